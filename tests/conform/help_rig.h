/* A bench on which a test of io.h runs, the same on every backend.
 *
 * A rig is one or two ios, their listeners, and a book of every operation started. Tests start
 * operations through the rig_ functions, which return an operation's number in the book, and let
 * turns pass until a condition holds:
 *
 *     RIG_UNTIL(rig, rig_op(rig, op)->finals == 1);
 *
 * No test sleeps to put things in order; each wait is bounded, in time on a real backend and in
 * turns in the simulation, and a wait that fails names its condition, the backend and the seed.
 * Every completion of every test is held against the laws that need no scenario: 1 (it belongs to
 * an operation in flight), 4, 6, 7 (its lease is nobody else's), 10 (its error is listed), 12.
 */
#ifndef BERTH_TESTS_CONFORM_HELP_RIG_H
#define BERTH_TESTS_CONFORM_HELP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/fault.h"
#include "io/io.h"
#include "io/sim.h"

#define RIG_IOS_MAX       2
#define RIG_LISTENERS_MAX 4
#define RIG_BATCH_MAX     64

/* What a test asks for; 0 is the default behind it. */
struct rig_setup {
    uint32_t ios;           /* 1 */
    uint32_t listeners;     /* 1; the same for all ios */
    int backlog;            /* 128 */
    uint32_t socks_max;     /* 64 */
    uint32_t receive_bytes; /* 4096 */
    uint32_t receive_count; /* 8 */
    uint32_t batch;         /* most completions of one reap: RIG_BATCH_MAX */
    bool any;               /* listen on BERTH_ANY instead of 127.0.0.1 */
};

/* Bytes that arrived, in order. */
struct rig_bytes {
    uint8_t *bytes;
    size_t size;
    size_t room;
};

/* A socket of one of the ios. */
struct rig_end {
    uint32_t io;
    int sock;
};

struct rig_op {
    enum io_op kind;
    struct rig_end end;
    bool flying;
    uint32_t finals; /* completions without IO_MORE: 1 once it has ended */
    uint32_t pieces; /* completions with it */
    int32_t result;  /* of the last completion */
    uint8_t listener;
    struct rig_bytes *into;
};

struct rig_held {
    uint32_t io;
    uint16_t lease;
    const uint8_t *data;
    uint32_t size;
};

struct rig {
    struct rig_setup setup;
    struct sim_world *world; /* NULL on a real backend */
    struct sim_options faults;
    struct fault_setup decorator; /* if there is one */
    struct io_listener listeners[RIG_LISTENERS_MAX];
    struct io *ios[RIG_IOS_MAX];
    uint8_t *buffers[RIG_IOS_MAX];
    struct io_completion batch[RIG_BATCH_MAX];

    struct rig_op *ops;
    uint32_t ops_count;
    uint32_t ops_room;
    uint32_t flying; /* operations in flight */

    bool hold;             /* keep leases in `held` instead of returning them */
    struct rig_held *held; /* room for every buffer of every io */
    uint32_t held_count;

    const char *waits_for; /* the condition of the running RIG_UNTIL */
    uint64_t waits_since_ns;
    uint32_t waits_turns;
    uint64_t completions;
};

/* ----------------------------------------------------------------------- the backend under test */

extern const struct io_backend *rig_backend;
extern uint32_t rig_features_off;          /* of uring: what its ios do without */
extern uint32_t rig_rest_ms;               /* of uring: io_config's; 0: a minute */
extern const struct io_backend *rig_inner; /* NULL, or what the fault-injecting backend wraps */
extern struct fault_plan rig_plan;         /* ... and what it is to do, in every test */
extern uint64_t rig_seed;  /* of the simulation; 0 is the kind world, others are swarms */
extern uint32_t rig_batch; /* of an io that does not say: the most completions of one reap */
extern bool rig_in_child;  /* a death test's child: failing exits, and does not return to cmocka */
bool rig_simulated(void);
bool rig_opens(void); /* whether the backend works on this system at all */

/* Whether a turn may end early, with nothing and for no reason. */
bool rig_may_spin(void);

/* Whether every byte goes alone. Who must fill a socket, with megabytes, then skips. */
bool rig_byte_by_byte(void);
/* So many bytes, or a 200th where every byte goes alone. */
uint32_t rig_bytes_count(uint32_t count);

/* Runs all tests on a backend. Returns how many failed. */
int rig_run(const struct io_backend *backend, uint64_t seed);

/* The same twice: with reaps of many completions, and of one. */
int rig_run_twice(const struct io_backend *backend);

/* The same on the fault-injecting backend around one: in a kind plan, byte by byte, and in `seeds`
 * plans from seeds (in the simulation, with as many worlds). With an argument, only in that one.
 * Returns the program's exit status; a backend that cannot be opened is skipped. */
int rig_run_decorated(const struct io_backend *inner, uint64_t seeds, int count, char **arguments);

/* ------------------------------------------------------------------------------- open and close */

void rig_open(struct rig *rig, const struct rig_setup *setup);
/* Cancels the accepts, joins, returns held leases and closes the ios and listeners. The sockets the
 * test has closed itself (io_close_all asserts it). */
void rig_close(struct rig *rig);
/* Turns on more faults, of the simulation or of the decorator; nothing on a real backend. */
void rig_faults(struct rig *rig, const struct sim_options *more);
/* What stands for the world where io.h asks for one. */
void *rig_world(struct rig *rig);

/* ----------------------------------------------------------------------------------- operations */

struct rig_op *rig_op(struct rig *rig, uint32_t op);
uint32_t rig_accept(struct rig *rig, uint32_t io);
uint32_t rig_connect(struct rig *rig, uint32_t io, const struct berth_address *to);
uint32_t rig_connect_from(struct rig *rig, uint32_t io, const struct berth_address *to,
                          const struct berth_address *from);
uint32_t rig_receive(struct rig *rig, struct rig_end end, struct rig_bytes *into);
uint32_t rig_send(struct rig *rig, struct rig_end end, const void *bytes, uint32_t count);
uint32_t rig_send_spans(struct rig *rig, struct rig_end end, const struct io_span *spans,
                        uint32_t count);
void rig_return_held(struct rig *rig);

/* ---------------------------------------------------------------------------------------- turns */

/* One reap of each io, with its completions noted. Returns how many there were. */
uint32_t rig_turn(struct rig *rig); /* part of a wait that has begun */
void rig_once(struct rig *rig);     /* one turn for itself */
uint32_t rig_look(struct rig *rig); /* one that does not wait */
void rig_wait_begin(struct rig *rig, const char *condition);
/* Lets turns pass until nothing more happens by itself. */
void rig_quiet(struct rig *rig);
/* The same, but returns false once an operation has ended. */
bool rig_quiet_unless(struct rig *rig, uint32_t op);
#define RIG_NONE UINT32_MAX

#define RIG_UNTIL(rig, condition)                                                                  \
    do {                                                                                           \
        rig_wait_begin(rig, #condition);                                                           \
        while (!(condition)) {                                                                     \
            (void)rig_turn(rig);                                                                   \
        }                                                                                          \
    } while (0)

_Noreturn void rig_fail(const struct rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------------------------ scenarios */

struct rig_pair {
    struct rig_end client;
    struct rig_end server;
};

/* A connection from one io to listener 0, accepted by another (or the same). */
struct rig_pair rig_pair(struct rig *rig, uint32_t client_io, uint32_t server_io);
/* An address where nobody listens any more, of which no io was ever told. */
struct berth_address rig_dead_address(struct rig *rig);
/* Sends all of it, as many sends as that takes, while `to` receives into `into`. */
void rig_transfer(struct rig *rig, struct rig_end from, struct rig_end to, const uint8_t *bytes,
                  size_t count, struct rig_bytes *into);
/* Receives until `into` has so many bytes, starting again after law 9 and -ENOBUFS. */
void rig_collect(struct rig *rig, struct rig_end end, struct rig_bytes *into, size_t count);
/* Sends all of it to a peer that has space for it. */
void rig_send_all(struct rig *rig, struct rig_end end, const uint8_t *bytes, uint32_t count);
/* Follows a receive, and those that continue it, until the stream ends. Returns how it ended. */
int32_t rig_follow(struct rig *rig, uint32_t receive);
int32_t rig_collect_end(struct rig *rig, struct rig_end end, struct rig_bytes *into);
/* Shuts down, joins, closes: the only legal order. */
void rig_finish(struct rig *rig, struct rig_end end);
void rig_finish_pair(struct rig *rig, struct rig_pair pair);
/* Waits until the receive and the send of this end are over. */
void rig_join(struct rig *rig, struct rig_end end);

/* Sends to a peer that does not read until the socket is full. Returns the bytes that were taken;
 * *blocked is the send that is now in flight and cannot end. `block` is what each send sends. */
size_t rig_fill(struct rig *rig, struct rig_end from, const uint8_t *block, uint32_t count,
                uint32_t *blocked);

/* `count` bytes in which every position can be told from its neighbours. The caller frees them. */
uint8_t *rig_pattern(size_t count);
void rig_expect_pattern(const struct rig *rig, const struct rig_bytes *got, size_t count);
void rig_bytes_free(struct rig_bytes *bytes);

/* The tests, by file. */
extern const struct CMUnitTest rig_tests_laws[];
extern const size_t rig_tests_laws_count;
extern const struct CMUnitTest rig_tests_streams[];
extern const size_t rig_tests_streams_count;
extern const struct CMUnitTest rig_tests_connections[];
extern const size_t rig_tests_connections_count;
extern const struct CMUnitTest rig_tests_deaths[];
extern const size_t rig_tests_deaths_count;

#endif
