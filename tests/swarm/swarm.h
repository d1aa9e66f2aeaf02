/* The swarm: the whole core in a simulated world, among honest and hostile peers, from one seed.
 *
 *     swarm_draw      what the seed means: the server's settings, the framing, the world's faults,
 *                     what the program does in its callbacks, who comes              swarm_draw.c
 *     swarm_run       the loop: workers are stepped in the seed's order, actors act, the program
 *                     answers late, first among faults, then in a healed world       swarm_run.c
 *     actor_...       the peers, and what each may see                               swarm_actor.c
 *     program_...     the callbacks, and what each of them must be told swarm_program.c content_...
 * every message, as a function of who sends it and its number    swarm_content.c
 *
 * What must come of it is known without the engine. An actor's messages are a function of its
 * number, so the program can tell each byte of what is handed to it, and the actor each byte of
 * what comes back. The program counts the replies that it made; an actor whose stream ends in order
 * must have heard exactly those. Each reason for which a connection ends must be one that somebody
 * gave: the peer, the program, the world, or a deadline that was really missed.
 *
 * After the hostile part the world heals: faults stop, the program does what it put off, and
 * everybody who is honest, and two who come then, must be served to the end in bounded virtual
 * time; those who hold a place in silence must lose it at their deadlines.
 */
#ifndef BERTH_TESTS_SWARM_H
#define BERTH_TESTS_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "core/core.h"
#include "io/sim.h"
#include "sim/help_codec.h"
#include "sim/help_dice.h"

#define SWARM_ACTORS_MAX  12 /* at once */
#define SWARM_WORKERS_MAX 3
#define SWARM_VISITS_MAX  8192 /* connections of one run */
#define SWARM_HELD_MAX    8192 /* kept messages at once */
#define SWARM_BEGAN       64   /* of an actor's last messages: when each began */

/* ------------------------------------------------------------------------------------- classes */

/* What a run may hold, each of which can be left out: --without, --shrink. */
#define SWARM_CLASSES(X)                                                                           \
    X(LONG, "long-delays")                                                                         \
    X(SPLIT, "splits")                                                                             \
    X(SHORT, "short-sends")                                                                        \
    X(BUFFER, "no-buffers")                                                                        \
    X(FINAL, "early-finals")                                                                       \
    X(CANCEL, "late-cancels")                                                                      \
    X(ACCEPT, "accept-errors")                                                                     \
    X(RESET, "resets")                                                                             \
    X(HALF, "half-closes")                                                                         \
    X(SPURIOUS, "spurious-reaps")                                                                  \
    X(CONNECT, "connect-errors")                                                                   \
    X(RECEIVE, "receive-errors")                                                                   \
    X(SEND, "send-errors")                                                                         \
    X(QUEUE, "queue-overflows")                                                                    \
    X(DESCRIPTORS, "few-descriptors")                                                              \
    X(MEMORY, "little-memory")                                                                     \
    X(DOZE, "frozen-workers")                                                                      \
    X(SLOW, "slow-senders")                                                                        \
    X(DEAF, "non-readers")                                                                         \
    X(FLOOD, "flooders")                                                                           \
    X(LIAR, "liars")                                                                               \
    X(VANISH, "vanishers")                                                                         \
    X(CUT, "resetters")                                                                            \
    X(KEEP, "kept-messages")                                                                       \
    X(PUSH, "unasked-sends")                                                                       \
    X(PAUSE, "pauses")                                                                             \
    X(CLOSE, "closes")                                                                             \
    X(GROUP, "groups")                                                                             \
    X(HANDLE, "requests-by-handle")                                                                \
    X(VISIT, "visits")                                                                             \
    X(LISTEN, "listening-off")                                                                     \
    X(OUTGOING, "outgoing-connections")                                                            \
    X(DEADLINE, "deadlines")                                                                       \
    X(TIGHT, "a-tight-pool")                                                                       \
    X(STOP, "an-early-stop")                                                                       \
    X(WORKERS, "several-workers")                                                                  \
    X(WRAPS, "wrapping-counters")

enum swarm_class {
#define SWARM_CLASS(name, text) CLASS_##name,
    SWARM_CLASSES(SWARM_CLASS)
#undef SWARM_CLASS
        CLASS_COUNT,
};

extern const char *const swarm_class_names[CLASS_COUNT];

/* -------------------------------------------------------------------------------------- actors */

enum actor_kind {
    ACTOR_HONEST,
    ACTOR_SLOW,   /* sends a message byte by byte */
    ACTOR_DEAF,   /* asks, and never reads */
    ACTOR_FLOOD,  /* the smallest messages, as many and as fast as it can */
    ACTOR_LIAR,   /* sends what is no frame, behind some that are */
    ACTOR_VANISH, /* is gone without a word */
    ACTOR_CUT,    /* resets in the middle */
    ACTOR_KINDS,
};

enum actor_state {
    ACTOR_AWAY, /* not connected: before the first attempt, or between two */
    ACTOR_CONNECTING,
    ACTOR_TALKING,
    ACTOR_OVER,
};

/* How an honest actor leaves. */
enum actor_leaves {
    LEAVES_HALF, /* ends its side as soon as all is written, and reads to the end */
    LEAVES_LAST, /* ends its side when all replies are there, and reads to the end */
    LEAVES_SHUT, /* closes when all replies are there */
    LEAVES_NOT,  /* stays until the world has healed */
    LEAVES_COUNT,
};

/* What a peer has done by which its connection may have ended. */
#define DEED_SHUT     0x01u /* ended its side, or the world did that */
#define DEED_CLOSED   0x02u
#define DEED_RESET    0x04u
#define DEED_VANISHED 0x08u
#define DEED_LIED     0x10u

/* Kinds of unasked messages. */
#define PUSH_KINDS 4

struct visit;

struct actor {
    enum actor_kind kind;
    enum actor_state state;
    enum actor_leaves leaves;
    uint32_t life; /* whose messages these are: one for each connection tried */
    sim_peer end;
    struct visit *visit; /* NULL until the server has opened it */
    uint64_t next_ns;    /* away, or slow: not before */
    uint32_t refusals;

    /* what it says */
    uint32_t messages; /* in all */
    uint32_t begun;    /* of these, whose first byte is written */
    uint32_t said;     /* whole */
    uint8_t *frame;    /* the one that is being written */
    uint32_t frame_bytes;
    uint32_t frame_at;
    uint64_t began_ns[SWARM_BEGAN];
    uint64_t connected_ns; /* when it asked for the connection */
    uint64_t heard_ns;     /* since when it may count as silent (swarm_actor.c) */
    uint32_t window;       /* messages said beyond those whose replies came */
    uint32_t write_most;   /* bytes of one write */
    uint32_t writes_most;  /* of one act */
    uint32_t lazy;         /* acts in one of so many turns */
    uint32_t turns_at;     /* messages after which a hostile one does what it is named for */
    uint64_t pace_ns;      /* slow: from byte to byte */

    /* what it hears */
    uint8_t *heard;
    uint32_t heard_bytes;
    uint32_t read_most;
    uint32_t replies;            /* heard whole */
    uint32_t next_reply;         /* the message whose reply comes next, if it has one */
    uint32_t pushes[PUSH_KINDS]; /* the number behind the last one heard of each kind */
    bool turned;                 /* it has done what it is named for */
    bool silent;                 /* it says nothing more */
    bool shut;
    uint32_t deeds;
};

/* ------------------------------------------------------------------------------------ the program
 */

/* A connection as the callbacks saw it. */
struct visit {
    berth_handle handle;
    struct actor *actor; /* NULL: not known, or gone */
    uint32_t life;       /* of the actor that it belongs to; NO_LIFE: not known */
    uint32_t deeds;      /* of its peer */
    uint32_t worker;
    uint32_t opens;
    uint32_t closes;
    uint32_t messages; /* handed over */
    uint32_t replies;  /* made */
    uint32_t kept;     /* in the program's hands */
    uint32_t pushes;   /* sent within callbacks */
    uint32_t handled;  /* sent by handle */
    uint32_t visited;
    bool closing; /* the program has asked for it */
    bool paused;
    bool member;
    bool pushed; /* in this batch */
    bool owed;   /* an on_drained */
    bool outgoing;
    uint64_t opened_ns;
    enum berth_reason reason;
    enum berth_reason missed; /* the deadline that it missed, or 0 */
};

#define NO_LIFE UINT32_MAX

struct held {
    struct berth_kept *kept;
    struct visit *visit;
    uint64_t hash; /* of the message when it was kept */
    bool replies;
};

struct program {
    struct dice dice;
    uint64_t stale;   /* calls with handles of connections that had ended */
    uint64_t classes; /* bits: what it does */
    uint32_t paused;  /* visits */
    uint32_t pace;    /* kept messages are let go of in one of so many turns */
    bool newest_first;
    bool listening;
    bool visiting;
    uint32_t visit_limit;
    uint64_t visits_begun;
    uint64_t visits_done;
    uint32_t held_count;
    struct held held[SWARM_HELD_MAX];
    uint64_t after_end[SWARM_WORKERS_MAX]; /* kept messages let go of when their worker had ended */
    struct berth_group *group;
    enum berth_slow slow;
    uint32_t group_sent;
    uint32_t broadcast;
    uint64_t nap_ns;
    uint64_t alarm_ns;
    uint32_t out_wanted; /* outgoing connections: asked for, opened and failed */
    uint32_t out_asked;
    uint32_t out_opened;
    uint32_t out_failed;
};

/* -------------------------------------------------------------------------------------- the run */

enum phase {
    PHASE_HOSTILE,
    PHASE_HEALED,
    PHASE_STOPPING,
};

struct swarm {
    uint64_t seed;
    uint64_t without; /* classes left out */
    bool trace;
    struct dice dice;
    struct sim_options options;
    struct berth_config config;
    const char *framing_name;
    struct berth_protocol protocol;
    struct berth_protocol client; /* of outgoing connections */
    bool one_by_one;              /* on_message, not on_messages */
    uint32_t warm_bytes;          /* for the server's fields of these names */
    uint32_t lend_bytes;
    int backlog;
    bool dozes;
    bool wraps;     /* counters begin shortly before their end */
    uint32_t kinds; /* bits: which actors come */
    uint32_t actors_count;
    uint32_t lives_most;
    uint64_t hostile_steps;
    uint64_t stop_at_step; /* UINT64_MAX: after the healing */
    uint64_t cut_at_step;

    struct sim_world *world;
    struct berth_server *server;
    struct io *clock; /* an io of nobody, which makes time pass */
    uint8_t clock_buffers[2];
    struct berth_address address;
    bool ended[SWARM_WORKERS_MAX];
    uint32_t workers_left;

    struct actor actors[SWARM_ACTORS_MAX];
    uint32_t lives; /* begun */
    struct program program;
    struct visit visits[SWARM_VISITS_MAX];
    uint32_t visits_count;

    enum phase phase;
    uint64_t steps;
    uint64_t healed_ns;
    uint64_t stopped_ns;
    uint64_t alarm_ns;
    uint64_t progress; /* anything that anybody did */
    uint32_t idle;     /* steps since */
    uint32_t stops;

    uint64_t no_buffer; /* what the workers' ios saw */
    uint64_t overflows;
};

/* What many runs came to. */
struct swarm_sums {
    uint64_t completions;
    uint64_t virtual_ns;
    uint64_t steps;
    uint64_t visits;
    uint64_t messages;
    uint64_t replies;
    uint64_t vanished; /* connections whose peer did */
    uint64_t shut;     /* ... ended its side */
    uint64_t resets;   /* ... reset, or was reset, in the middle */
    uint64_t no_buffer;
    uint64_t overflows;
    uint64_t stale;  /* calls with handles of connections that had ended */
    uint64_t wraps;  /* runs */
    uint64_t clocks; /* runs that began late */
    uint64_t reasons[32];
    uint64_t hash;
};

static inline bool swarm_has(const struct swarm *swarm, enum swarm_class class)
{
    return (swarm->without >> class & 1) == 0;
}

/* Plays one seed. Returns if it went well; otherwise says what went wrong, and exits with 1. */
void swarm_play(uint64_t seed, uint64_t without, bool trace, struct swarm_sums *sums);

void swarm_draw(struct swarm *swarm);
void swarm_print(const struct swarm *swarm);
_Noreturn void swarm_fail(const struct swarm *swarm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void swarm_note(const struct swarm *swarm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* -----------------------------------------------------------------------------------
 * swarm_content.c
 */

/* What a message's first byte asks of the program: this modulo 8. */
enum content_class {
    CONTENT_REPLY, /* 0, 1: a reply by copy */
    CONTENT_REPLY_SPACE = 2,
    CONTENT_LATE,         /* kept, and answered later */
    CONTENT_LATE_NOTHING, /* kept, and released */
    CONTENT_PUSH,         /* a message of its own, and a reply */
    CONTENT_NOTHING,      /* no reply */
    CONTENT_JOIN,         /* a reply; and a membership begins or ends */
};

/* First bytes of what the server sends unasked: all of them CONTENT_NOTHING. */
enum push_kind {
    PUSH_CALLBACK = 6,
    PUSH_HANDLE = 14,
    PUSH_GROUP = 22,
    PUSH_BROADCAST = 30,
};

static inline unsigned push_index(enum push_kind kind)
{
    return (unsigned)kind / 8;
}

/* The most bytes of an unasked message. */
#define PUSH_MOST 300

/* Message `number` of a life (a number whose remainder by ACTOR_KINDS is its kind: flooders say
 * little). `out` has room for message_bytes_max. */
uint32_t content_write(const struct swarm *swarm, uint32_t life, uint32_t number, uint8_t *out);
/* The class alone, without the bytes. */
enum content_class content_class(const struct swarm *swarm, uint32_t life, uint32_t number);
static inline enum content_class content_class_of(const uint8_t *bytes, uint32_t size)
{
    unsigned class = size == 0 ? 0 : bytes[0] % 8;
    return class == 1 ? CONTENT_REPLY : (enum content_class) class;
}
static inline bool content_replies(enum content_class class)
{
    return class != CONTENT_LATE_NOTHING && class != CONTENT_NOTHING;
}
/* An unasked message. Returns its bytes. */
uint32_t content_push(const struct swarm *swarm, enum push_kind kind, uint32_t number,
                      uint8_t *out);
/* Its number; false if it is too small to have one. */
bool content_push_number(const struct berth_message *message, uint32_t *number);

/* ------------------------------------------------------------------------------------
 * swarm_actor.c
 */

void actor_begin(struct swarm *swarm, struct actor *actor, enum actor_kind kind);
void actor_act(struct swarm *swarm, struct actor *actor);
/* The world has healed: those who can leave do, or wait to be thrown out. */
void actor_heal(struct swarm *swarm, struct actor *actor);
void actor_free(struct actor *actor);
/* The server has opened this actor's connection. NULL: it belongs to nobody that is here still. */
struct actor *actor_of_port(struct swarm *swarm, uint16_t port);

/* ----------------------------------------------------------------------------------
 * swarm_program.c
 */

void program_watch(struct swarm *swarm); /* before the server is made */
void program_protocols(struct swarm *swarm);

/* Of both its files. */
unsigned visit_number(const struct swarm *swarm, const struct visit *visit);
void visit_set_paused(struct swarm *swarm, struct visit *visit, bool paused);
/* Fails unless a call returned what it had to. */
void visit_expect(const struct swarm *swarm, const struct visit *visit, const char *what,
                  int result, int expected);
bool program_does(const struct swarm *swarm, enum swarm_class class);
bool program_one_in(struct swarm *swarm, uint32_t count);
/* Answers or releases the index-th of what is held. */
void program_let_go(struct swarm *swarm, uint32_t index);
uint64_t content_hash(const uint8_t *bytes, uint32_t count);

/* ----------------------------------------------------------------------------------
 * swarm_between.c
 */

/* Between two turns. */
void program_act(struct swarm *swarm);
void program_heal(struct swarm *swarm);
/* Whether it has nothing more to do by itself. */
bool program_done(const struct swarm *swarm);
/* When the workers have ended: lets go of everything, and checks its books. */
void program_end(struct swarm *swarm);
/* Bytes of the pool that its kept messages on this worker hold. */
uint64_t program_kept_on(const struct swarm *swarm, uint32_t worker);

#endif
