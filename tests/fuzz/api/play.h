/* A play: one input of fuzz_api, as a program that uses Berth from inside its callbacks and between
 * its turns, in a simulated world, beside a model of what must come of it.
 *
 *   tape.c      the input: settings, orders, and the scripts of the callbacks
 *   stage.c     the world, the server, the turns of its workers
 *   actors.c    those who connect from outside: what they say, hear, and how they leave
 *   seen.c      the model: connections, as the callbacks showed them
 *   voices.c    the model: messages that were promised to a peer, and whether they came
 *   callbacks.c what the server calls, held against the model; then the scripts
 *   orders.c    the table of orders, and those that any thread may give
 *   inside.c    orders of the connection's own worker
 *   finish.c    everybody becomes honest, everything must end, and nothing may be left
 *
 * The model shares no code and no state with the engine. It knows the public header, what its
 * callbacks were told, what its calls returned, and what its actors said and heard. A call's result
 * is compared with those that the header allows at that moment; where only the engine can know
 * (whether the end of a connection has begun) and no event told, either is allowed.
 */
#ifndef BERTH_TESTS_FUZZ_API_PLAY_H
#define BERTH_TESTS_FUZZ_API_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "fuzz/fuzz.h"
#include "io/sim.h"

#define PLAY_WORKERS    3
#define PLAY_SEEN       64 /* connections of one play: bits of a uint64_t */
#define PLAY_LIVES      32 /* actors, one after the other */
#define PLAY_CAST       8  /* actors at once */
#define PLAY_OUTGOING   16
#define PLAY_HELD       128 /* kept messages at once */
#define PLAY_GROUPS     4
#define PLAY_PAYLOADS   128
#define PLAY_LOOKS      32 /* visits */
#define PLAY_PROTOCOLS  3
#define PLAY_EXTRAS     BERTH_GROUP_FRAMINGS_MAX /* framings that crowd out the second */
#define PLAY_SHARP_MASK (BERTH_WATCH_FLOW | BERTH_WATCH_CONNECTIONS)

#define MESSAGE_MOST 250000 /* what a pool of 1 MiB can hold messages of */

/* A play ends in reasonable time: bytes that are written or sent in all, and actions of scripts. */
#define PLAY_BYTES_MOST   (3u << 20)
#define PLAY_ACTIONS_MOST 400

#define NOBODY UINT32_MAX

/* ------------------------------------------------------------------------------------- the tape */

/* What a script belongs to. */
enum role {
    ROLE_OPEN,
    ROLE_MESSAGE,
    ROLE_DRAINED,
    ROLE_CLOSE,
    ROLE_EACH,
    ROLE_DONE,
    ROLE_EVENT,
    ROLE_LOG,
    ROLE_FAILED,
    ROLES,
};

/* One order: what, and three numbers that each order reads in its own way. In a script MORE says
 * that the next one belongs to the same call. */
#define ORDER_BYTES 4
#define ORDER_MORE  0x40
#define ORDER_KINDS 0x3f

struct order {
    uint8_t kind;
    uint8_t a;
    uint8_t b;
    uint8_t c;
};

/* The front of the input. Each byte chooses among a few values (tape.c). */
enum setting {
    SET_WAYS,      /* workers, one message at a time, watched, never started */
    SET_EMPTY,     /* which voice has empty messages; connections' space; crowded */
    SET_FRAMING,   /* of the first address */
    SET_FRAMING_2, /* of the second, and of outgoing connections */
    SET_LARGEST,   /* message_bytes_max */
    SET_RECEIVE,
    SET_SEND,
    SET_SEND_MOST,
    SET_WINDOW,
    SET_PLACES, /* connections_max, connects_max */
    SET_DEADLINES,
    SET_TURN, /* its share; nobody listens to events, or to the log */
    SET_MEMORY,
    SET_SEED,   /* of the world */
    SET_FAULTS, /* a swarm of them, with or without trouble, or none */
    SET_SCRIPT, /* orders at the end that are scripts */
    SET_BEFORE, /* orders at the front that are given before the start */
    SET_EVERY,  /* calls between two that a message's or event's script is for */
    SET_ROLES,  /* where each role's script is */
    SET_BYTES = SET_ROLES + ROLES,
};

struct tape {
    const uint8_t *settings;
    const uint8_t *orders; /* count of them, then script_count of the scripts */
    uint32_t count;
    uint32_t script_count;
    uint32_t calls[ROLES]; /* so many of each role so far */
};

/* -------------------------------------------------------------------------------------- the model
 */

/* Who says something. A message's first byte names its voice, and the low bits of its number. */
enum voice { VOICE_REPLY, VOICE_SEND, VOICE_HANDLE, VOICE_GROUP, VOICE_ACTOR, VOICES };

/* A message: its bytes follow from this (voices.c). */
struct line {
    enum voice voice;
    uint32_t from;   /* whose: an actor, a connection, a group */
    uint32_t number; /* in its voice */
    uint32_t size;
};

/* Messages of one voice to one peer, which come in order and all: their sizes. */
struct promises {
    uint32_t *sizes;
    uint32_t count;
    uint32_t room;
    uint32_t heard;
};

/* A message that the program was given. */
enum told_state { TOLD_OPEN, TOLD_KEPT, TOLD_ANSWERED, TOLD_DONE };

struct told {
    uint8_t state; /* enum told_state */
    uint32_t size; /* of its answer */
};

/* A connection as the callbacks showed it. Its number never changes, and is not used again. */
struct seen {
    struct berth_conn *conn; /* from the first callback to the last */
    berth_handle handle;
    uint32_t number;
    uint32_t worker;
    uint32_t life;    /* the actor at its other end, or NOBODY */
    uint32_t partner; /* the connection at its other end, or NOBODY */
    uint16_t port;    /* of the side that connected; 0: it was gone before it could be asked */
    uint8_t protocol;
    bool outgoing;
    bool opened;    /* on_open */
    bool over;      /* CLOSED, or on_close */
    bool closed;    /* on_close */
    bool asked;     /* berth_close */
    bool may_close; /* berth_handle_close: sooner or later */
    bool begun;     /* CLOSING, which only a sharp play is always told of */
    bool paused;    /* for certain */
    bool kept_ever;
    bool owed;            /* an on_drained */
    bool owed_by_handle;  /* the same, for a send by handle */
    bool may_drain;       /* one may still come, for that */
    uint32_t owed_turn;   /* when the last of those was refused */
    uint32_t resume_turn; /* when it was last resumed by handle; 0: never */
    uint64_t opened_ns;
    struct told *told;
    uint32_t told_count;
    uint32_t told_room;
    uint32_t told_heard; /* replies to all before were heard, or will never come */
    struct promises sends;
    struct promises handles;
    uint32_t payloads_heard[PLAY_GROUPS + 1]; /* the last is for broadcasts */
};

/* The batch that a callback was given. */
struct batch {
    struct seen *seen; /* NULL outside on_message(s) */
    const struct berth_message *messages;
    uint32_t count;
    uint32_t next;  /* the first that has not ended */
    uint32_t first; /* the number of messages[0] among all of the connection's */
    bool roomy;     /* replies no larger than their messages must find room */
};

struct held {
    struct berth_kept *kept;
    struct seen *seen;
    uint32_t number; /* of its message */
    uint32_t size;
    bool only_read; /* it had ended before it was kept */
};

struct payload {
    uint8_t group; /* PLAY_GROUPS: everybody */
    uint8_t slow;
    uint32_t number;
    uint32_t size;
    uint64_t members; /* when it was sent; bits of seen numbers */
    uint64_t sure;    /* those of them that must get it, if nobody was slow or could not carry it */
    uint64_t heard;
    uint32_t turns[PLAY_WORKERS]; /* when it was sent */
};

struct group {
    struct berth_group *group; /* NULL: not made */
    enum berth_slow slow;
    uint64_t members;
    uint32_t sent;
};

struct look {
    struct play *play;
    uint64_t
        must; /* bits of seen numbers: those open when it was asked for, and not closed since */
    uint64_t visited;
    bool silent; /* nobody is told when it is done */
    bool done;
};

struct outgoing {
    bool used;
    bool over; /* failed, or closed */
    bool elsewhere;
    uint32_t seen; /* NOBODY until it is open */
};

/* ------------------------------------------------------------------------------------- the actors
 */

/* A message as an actor says it. */
struct said {
    uint32_t size;
    uint32_t end; /* of its frame, in all bytes that the actor says */
};

struct life {
    sim_peer end;
    uint16_t port;
    uint8_t protocol;
    bool open; /* not closed by us */
    bool reads;
    bool shut;     /* says no more */
    bool parted;   /* reset, or closed before the server's end */
    bool vanished; /* without a word */
    bool eof;
    uint32_t seen; /* the connection, or NOBODY */
    struct said *said;
    uint32_t said_count;
    uint32_t said_room;
    uint32_t wild_from; /* what it says from this message on is no frame; NOBODY: all are */
    uint8_t *says;
    uint32_t says_bytes;
    uint32_t says_room;
    uint32_t may_say; /* of these, for now */
    uint32_t written;
    uint8_t *hears; /* the frame that is coming */
    uint32_t hears_bytes;
    uint32_t hears_room;
    uint32_t scanned; /* of it, for a delimiter */
};

/* --------------------------------------------------------------------------------------- a play */

struct play {
    struct tape tape;
    bool story;
    bool calm;  /* the scripts are over, everybody is honest */
    bool sharp; /* CLOSING is always watched */
    bool started;
    bool crowded;     /* the second address's framing is beyond those that carry payloads */
    enum voice empty; /* the voice that has empty messages */

    struct sim_options options;
    bool trouble; /* the system may fail */
    struct sim_world *world;
    struct io *clock;
    uint8_t clock_buffers[2];
    uint64_t alarm_ns;
    struct io_listener elsewhere; /* where nobody accepts */
    struct berth_config config;
    struct berth_protocol protocols[PLAY_PROTOCOLS];
    struct berth_protocol extras[PLAY_EXTRAS];
    struct berth_address addresses[2];
    struct berth_server *server;
    bool ended[PLAY_WORKERS];
    uint32_t workers_left;
    uint32_t turns[PLAY_WORKERS]; /* begun */
    uint32_t inside;              /* the worker whose turn it is, or NOBODY */
    uint32_t events_deep;         /* inside on_event or on_log */
    uint32_t mask;                /* of events */
    uint32_t stops;
    uint64_t progress;
    uint32_t bytes_left;
    uint32_t actions_left;

    struct seen seen[PLAY_SEEN];
    uint32_t seen_count;
    struct batch batch;
    struct held held[PLAY_HELD];
    uint32_t held_count;
    uint32_t let_go_late; /* when the worker had ended */
    struct payload payloads[PLAY_PAYLOADS];
    uint32_t payloads_count;
    uint32_t payloads_sent[PLAY_GROUPS + 1];
    struct group groups[PLAY_GROUPS];
    struct look looks[PLAY_LOOKS];
    uint32_t looks_count;
    struct outgoing outgoing[PLAY_OUTGOING];
    uint32_t outgoing_count;
    uint32_t outgoing_open; /* made, and neither failed nor over */
    uint32_t connects_failed;
    uint64_t kept_count;

    struct life lives[PLAY_LIVES];
    uint32_t lives_count;
    uint32_t cast[PLAY_CAST]; /* the last life of each */

    uint8_t *message; /* to send: a room of its own inside events, which come inside calls */
    uint8_t rooms[2][MESSAGE_MOST + 4096];
    uint8_t frame[MESSAGE_MOST + 4096];
    struct berth_record records[64];
};

/* ---------------------------------------------------------------------------------------- helpers
 */

/* Prints what does not hold, and how to have the story told, and aborts. */
_Noreturn void play_failed(const struct play *play, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line of the story, if it is told. */
#define TELL(play, ...)                                                                            \
    do {                                                                                           \
        if ((play)->story) {                                                                       \
            play_tell(play, __VA_ARGS__);                                                          \
        }                                                                                          \
    } while (0)
void play_tell(const struct play *play, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What a call may return: one of `must` if there is any, else BERTH_OK or one of `may`. Bits. */
struct expect {
    uint32_t must;
    uint32_t may;
};
#define ERROR_BIT(err) (UINT32_C(1) << -(err))

/* Fails unless it is one of them, and tells the story of the call. */
void expect_result(struct play *play, const struct expect *expect, int result, const char *call,
                   uint32_t about);

/* --------------------------------------------------------------------------------------- tape.c */

/* The bytes in front are the settings, those behind the orders. */
void tape_open(struct tape *tape, const uint8_t *data, size_t size);
struct order tape_order(const struct tape *tape, uint32_t index);
/* The orders of the next call of a role, as many as `max`; 0 if there are none for this one. */
uint32_t tape_script(struct tape *tape, enum role role, struct order *out, uint32_t max);
/* Settings of the server and of the world, from the tape. */
void tape_settings(struct play *play);
/* A size for a message of this framing; raw: perhaps one that it cannot carry. Takes it from what
 * the play may still use. */
uint32_t tape_size(struct play *play, const struct berth_framing *framing, uint8_t choice,
                   bool raw);

/* --------------------------------------------------------------------------------------- stage.c
 */

void stage_open(struct play *play);
void stage_start(struct play *play);
void stage_turn(struct play *play, uint32_t index, bool wait);
/* A turn of every worker, and all actors act. */
void stage_round(struct play *play);
/* Lets so much time pass with no worker stepped. */
void stage_doze(struct play *play, uint64_t ns);
/* The workers have ended: the server is destroyed, actors that waited for it are dismissed. */
void stage_close(struct play *play);

/* -------------------------------------------------------------------------------------- actors.c
 */

void actor_connect(struct play *play, uint32_t who, uint8_t protocol, bool reads);
void actor_say(struct play *play, uint32_t who, const struct order *order);
void actor_babble(struct play *play, uint32_t who, const struct order *order);
void actor_shut(struct play *play, uint32_t who);
void actor_reset(struct play *play, uint32_t who);
void actor_close(struct play *play, uint32_t who);
void actor_vanish(struct play *play, uint32_t who);
void actor_reads(struct play *play, uint32_t who, bool reads);
/* Writes and reads what it may. */
void actor_act(struct play *play, struct life *life);
void actor_free(struct life *life);

/* ---------------------------------------------------------------------------------------- seen.c
 */

struct seen *seen_of(struct play *play, const struct berth_conn *conn);
struct seen *seen_of_handle(struct play *play, berth_handle handle);
/* A connection shows itself for the first time. */
struct seen *seen_begin(struct play *play, struct berth_conn *conn);
void seen_opened(struct play *play, struct seen *seen);
void seen_over(struct play *play, struct seen *seen);
/* The model's part in on_close. */
void seen_closed(struct play *play, struct seen *seen, enum berth_reason reason);
/* One of those that are open, or NULL: the choice-th of a worker's, or of all (NOBODY). */
struct seen *seen_choose(struct play *play, uint32_t worker, uint8_t choice);
bool seen_is_live(const struct seen *seen);
/* What a send or join must or may come to because of its end. */
void seen_expect(const struct play *play, const struct seen *seen, struct expect *expect);
const struct berth_framing *seen_framing(const struct play *play, const struct seen *seen);
/* The numbers of those that are open, as bits. */
uint64_t seen_live(const struct play *play);
/* It leaves a group, or, with PLAY_GROUPS, its end begins: what is on its way may not come. */
void seen_unsure(struct play *play, const struct seen *seen, uint32_t group);

/* -------------------------------------------------------------------------------------- voices.c
 */

/* Writes a message's bytes. */
void line_write(const struct line *line, uint8_t *out);
bool line_is(const struct line *line, const uint8_t *bytes, uint32_t size);
/* Which errors a framing has for a message (bits), and the bytes of its frame. */
uint32_t framing_errors(const struct berth_framing *framing, const uint8_t *message, uint32_t size);
uint32_t framing_bytes(const struct berth_framing *framing, uint32_t size);
/* Looks for a frame at the front of what a peer hears. 1: it is whole; 0: not yet; -1: it is none.
 */
int framing_find(const struct berth_framing *framing, struct life *life, uint32_t *front,
                 uint32_t *size);
void promise_add(struct promises *promises, uint32_t size);
/* A peer of the connection hears a message: it must have been promised, and be its turn. */
void voice_heard(struct play *play, struct seen *seen, const uint8_t *bytes, uint32_t size);
/* The peer hears the end of the stream, in order: then it has heard all. */
void voice_complete(struct play *play, struct seen *seen);

/* ----------------------------------------------------------------------------------- callbacks.c
 */

void callbacks_set(struct play *play);
void each_visited(struct berth_conn *conn, void *context);
void visit_done(void *context);

/* -------------------------------------------------------------------- orders.c, inside.c, finish.c
 */

/* Obeys an order, if it may be given here; `own`: the connection that a callback is about. */
void order_obey(struct play *play, const struct order *order, struct seen *own);

typedef void order_fn(struct play *play, const struct order *order, struct seen *own);
order_fn inside_reply, inside_send, inside_keep, inside_close, inside_pause, inside_resume,
    inside_join, inside_leave, inside_connect, inside_find, inside_ask, inside_fill, inside_huge;

/* A connection that an order means: the callback's own, or one of its worker. */
struct seen *order_seen(struct play *play, uint8_t choice, struct seen *own);
/* Lets go of a kept message: answers it with `size` bytes, or, with NOBODY, releases it. false if
 * it is still held. */
bool held_let_go(struct play *play, uint32_t index, uint32_t size);
void resume_by_handle(struct play *play, struct seen *seen);

void finish(struct play *play);

#endif
