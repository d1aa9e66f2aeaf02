/* The rig: one server in one of three worlds, its clients, and what both saw.
 *
 * The same scenario runs in the simulated world, stepped on the test's thread, and on the real
 * backends, with threads and sockets. The server's program (help_program.c) does what the first
 * byte of a message says, and the clients (help_clients.c) know every byte of every answer.
 *
 *     rig_reset(world);                  settings may be changed between
 *     rig_create(); rig_listen(); rig_start();      each false when an allocation failed in it
 *     uint32_t c = rig_client(0);
 *     rig_ask(c, (struct ask){'e', 100, 100, 0});
 *     RIG_UNTIL(rig_settled(c));
 *     rig_down();                        checks that nothing is left
 *
 * A failure names the scenario and the point, and the command that repeats it; it does not return.
 */
#ifndef BERTH_TESTS_TORTURE_HELP_RIG_H
#define BERTH_TESTS_TORTURE_HELP_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "io/sim.h"
#include "torture/help_allocations.h"

enum rig_world { RIG_SIM, RIG_EPOLL, RIG_URING, RIG_WORLDS };

#define RIG_CLIENTS   12
#define RIG_VISITS    64
#define RIG_ASKS      300 /* of one client */
#define RIG_WORKERS   3
#define RIG_GROUPS    3
#define RIG_ALL       RIG_GROUPS /* what a broadcast counts as */
#define RIG_LISTENERS 2
#define RIG_ROOM      (160 * 1024) /* a client's largest frame */
#define RIG_MESSAGE   (128 * 1024)
#define RIG_HELD      64 /* kept messages at once */

/* Turns past the second after which the server closes somebody for want of memory. */
#define RIG_PATIENCE_TURNS 1200

/* ------------------------------------------------------------------------------------ messages */

/* What a client asks for. The first byte of the message is the command:
 *   e i   an answer: copied, in place        n   kept, and answered in the callback
 *   k K   kept, for rig_let_go: to be answered, to be released       x   kept and released at once
 *   q     none                               s   an answer, and the connection closes
 *   j l   joins, leaves group `argument`     g b   a payload of `reply` bytes to it, to everybody
 *   f     `argument` pushes of `reply` bytes     p   an answer, and pauses
 *   d     an outgoing connection             v   a visit of all connections */
struct ask {
    char command;
    uint32_t size;
    uint32_t reply;
    uint8_t argument;
};

#define ASK_HEAD   9
#define REPLY_HEAD 8

struct rig_message { /* as it was read */
    char kind;       /* the command, or R a reply, P a payload, S a push */
    uint8_t who;     /* the client; of a payload, the group */
    uint16_t number;
    uint32_t size; /* of a reply, asked for or given */
    uint8_t argument;
};

void rig_fill(uint8_t *bytes, const struct rig_message *message, uint32_t bytes_count);
/* Checks every byte. */
struct rig_message rig_read(const uint8_t *bytes, uint32_t count);

/* ----------------------------------------------------------------------------------- the clients
 */

enum answer { ANSWER_NONE, ANSWER_WANTED, ANSWER_CAME };

struct rig_client {
    int fd;
    sim_peer peer;
    uint8_t listener;
    bool refused; /* nobody listened */
    bool stalls;  /* does not read */
    bool leaves;  /* its end is expected */
    bool ended;   /* saw the end of the stream, or a reset */
    bool reset;
    bool closed; /* by us */
    uint16_t asked;
    uint16_t wanted; /* answers */
    uint16_t came;
    int32_t last; /* number of the newest answer */
    uint8_t answers[RIG_ASKS];
    uint32_t sizes[RIG_ASKS];
    uint32_t pushes;
    int32_t last_push;
    uint32_t payloads[RIG_GROUPS + 1];
    int32_t last_payload[RIG_GROUPS + 1];
    uint32_t held;
    uint8_t room[RIG_ROOM];
};

/* --------------------------------------------------------------------- the server's connections */

struct owed { /* an answer that was refused for want of room */
    uint8_t who;
    uint16_t number;
    uint32_t size;
};

struct rig_visit {
    _Atomic uint64_t handle;
    _Atomic int client; /* -1 until it said something */
    _Atomic uint32_t closes;
    _Atomic uint32_t reason;
    _Atomic uint32_t drains;
    _Atomic uint32_t refusals; /* BERTH_E_WOULD_EXCEED that its program got */
    _Atomic uint32_t groups;   /* that it is in, as bits */
    _Atomic bool disorder;     /* answers that were owed come behind later ones */
    /* The worker's. */
    bool keeps;
    bool closes_then; /* when nothing is owed any more */
    struct owed owed[RIG_ASKS];
    uint32_t owed_first;
    uint32_t owed_count;
    uint32_t pushes_left;
    uint32_t pushes;
    uint32_t push_bytes;
};

/* ---------------------------------------------------------------------------------------- the rig
 */

struct rig {
    enum rig_world kind;
    bool patient; /* memory does not come back before somebody was closed for want of it */
    bool chooses; /* created by berth_server_create, which runs the self-test */
    struct berth_config config;
    struct berth_protocol protocols[RIG_LISTENERS];
    struct berth_protocol dialer;
    uint32_t listeners;

    struct sim_world *world;
    struct berth_server *server;
    bool running;
    bool ended[RIG_WORKERS]; /* stepped workers */
    struct berth_address addresses[RIG_LISTENERS];
    struct berth_address nowhere;                     /* nobody listens there */
    _Atomic(struct berth_group *) groups[RIG_GROUPS]; /* made here, used by workers */

    struct rig_client clients[RIG_CLIENTS];
    uint32_t clients_count;
    uint32_t bystander;                /* the client that needs no memory, or RIG_CLIENTS */
    struct berth_kept *bystander_kept; /* its message, while it is unanswered */
    bool cut;       /* the scenario stops the server in a way that loses answers */
    uint32_t piece; /* clients write in pieces of so many bytes; 0: all at once */
    struct rig_visit visits[RIG_VISITS];
    _Atomic uint32_t visits_count;

    pthread_mutex_t lock; /* of held */
    struct berth_kept *held[RIG_HELD];
    uint32_t held_count;

    _Atomic uint32_t progress;
    _Atomic uint32_t payloads[RIG_GROUPS + 1];
    _Atomic uint32_t refused; /* calls that were refused for want of memory */
    _Atomic uint32_t seen;    /* connections that visits saw */
    _Atomic uint32_t visits_asked, visited;
    _Atomic uint32_t dials, dials_opened, dials_answered, dials_closed, dials_failed;
    _Atomic uint32_t events;
    _Atomic uint32_t logged;
    char log[200];

    uint64_t alarm_ns; /* virtual time at which the next turn ends at the latest */
    uint32_t stuck;    /* turns in a row that brought nothing */
    uint64_t stuck_ms;
    uint32_t nudges;      /* visits that were made only to give the worker a turn */
    uint32_t descriptors; /* of the process, before */
};

extern struct rig rig;

/* Everything as before a server: default settings, small. */
void rig_reset(enum rig_world kind);

/* Each of these returns false if it was refused because an allocation failed, having checked what
 * it said; any other refusal ends the test. */
bool rig_create(void);
bool rig_listen(void);
bool rig_start(void);
bool rig_group(uint32_t number, enum berth_slow slow);
bool rig_up(void); /* all but the last */

/* All clients leave, and it stops, if it runs. */
void rig_stop(void);

/* Ends it in order, whatever has become of it, and checks that nothing is left. */
void rig_down(void);

/* The real time, monotonic. */
uint64_t rig_now_ms(void);

/* One step of the world. */
void rig_turn(void);
/* The same, as part of waiting for something. Memory comes back when nothing goes on any more. */
void rig_wait(const char *what, int line);

#define RIG_UNTIL(condition)                                                                       \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            rig_wait(#condition, __LINE__);                                                        \
        }                                                                                          \
        rig.stuck = 0;                                                                             \
    } while (0)

/* Memory is back; whoever waits for it gets a turn. */
void rig_relent(void);

_Noreturn void rig_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define RIG_CHECK(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            rig_fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                         \
        }                                                                                          \
    } while (0)

/* Calls the library, with its allocations counted. */
#define RIG_CALL(expression)                                                                       \
    __extension__({                                                                                \
        bool rig_before = allocations_counted(true);                                               \
        __typeof__(expression) rig_result = (expression);                                          \
        (void)allocations_counted(rig_before);                                                     \
        rig_result;                                                                                \
    })

/* ---- help_clients.c ---- */

/* A new client at one of the server's addresses. Returns its number. */
uint32_t rig_client(uint8_t listener);
void rig_say(uint32_t number, const void *bytes, uint32_t count);
void rig_ask(uint32_t number, struct ask ask);
/* The frame of what it asks, for a test that says it in its own way. Returns its bytes. */
uint32_t rig_frame(uint32_t number, struct ask ask, uint8_t *out);
/* Asks for an echo and waits; false if the connection ended instead. */
bool rig_hello(uint32_t number);
/* Every answer is there, or the connection has ended. */
bool rig_settled(uint32_t number);
bool rig_all_settled(void);
void rig_leave(uint32_t number); /* closes */
void rig_half_close(uint32_t number);
void rig_abandon(uint32_t number); /* resets */
/* Reads what is there; said by rig_turn. */
void rig_clients_read(void);
void rig_clients_poll(void);
/* The connection of a client, or NULL if it never spoke. */
struct rig_visit *rig_visit_of(uint32_t number);
/* That nobody lost an answer without the loss of his connection, for the reasons that there are;
 * and that one failure hurt one at most. */
void rig_judge(void);
bool rig_judge_one(uint32_t number);

/* ---- help_program.c ---- */

/* The protocols of the rig's listeners, and of its outgoing connections. */
void rig_protocols(void);
/* Lets go of kept messages, oldest first, at most so many; returns how many. */
uint32_t rig_let_go(uint32_t most);
uint32_t rig_held(void);
/* One that is held already, and what the bystander waits for. */
struct berth_kept *rig_take_held(void);
void rig_answer_bystander(void);
/* Waits until everybody has what he asked for, letting go of all that is kept. */
void rig_settle(void);
/* An outgoing connection. false if it was refused for want of memory. */
bool rig_dial(const struct berth_address *to, uint32_t attempts);
/* A payload from the test's thread; false if it was refused for want of memory. */
bool rig_group_send(uint32_t group, uint32_t size);
bool rig_broadcast(uint32_t size, enum berth_slow slow);
bool rig_visit_all(void);

#endif
