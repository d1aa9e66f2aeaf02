/* What the fault-injecting backend does, and when: a plan, and the dice that follow it for one io.
 *
 * A plan is limits, rates, and a list of errors each with a schedule. The dice belong to one io:
 * they hold its own randomness, drawn from the setup's seed, and how far each error's schedule has
 * come. The same seed and the same calls throw the same dice.
 *
 * All of it is O(errors of the plan), and nothing is allocated.
 */
#ifndef BERTH_IO_FAULT_PLAN_H
#define BERTH_IO_FAULT_PLAN_H

#include <stdatomic.h>

#include "io/io.h"

/* A rate is a probability in units of 1 / FAULT_RATE_ONE; 0 turns its fault off. */
#define FAULT_RATE_ONE (1u << 20)

/* A test has one error, or a few that it mixes. */
#define FAULT_ERRORS_MAX 8

enum fault_schedule {
    FAULT_ONCE,  /* the nth operation, and no other */
    FAULT_EVERY, /* every nth */
    FAULT_BURST, /* from the nth on, all of them for burst_ns */
};

/* An error of one kind of operation. What is counted: connects and sends that are started, pieces
 * that a receive would bring, accepts that bring a client or would.
 *
 *  accept   -ECONNABORTED -EPROTO -EPERM take a client and reset it; the others take none, and come
 *           whether one waits or not, as the system looks for a free descriptor before it looks for
 *           a client
 *  connect  nothing is sent, nobody hears of it; at_start: io_connect itself returns the error
 *  receive  comes in the place of bytes. -ECONNRESET -ETIMEDOUT -EPIPE -EHOSTUNREACH -ENETUNREACH
 *           end the connection, and what had not been given out is lost; the others lose nothing
 *  send     takes nothing; the same five end the connection
 *
 * A connection that an error ended stays so: a receive gives 0, a send -EPIPE, and the peer gets a
 * reset when the socket is closed. */
struct fault_error {
    enum io_op op;
    int error;     /* an errno of the operation's list in io.h, positive */
    bool at_start; /* connect only: of the list of errors that io_connect returns */
    enum fault_schedule schedule;
    uint32_t nth; /* from 1 */
    uint64_t burst_ns;
};

/* All zero injects nothing. A receive error on every first piece leaves no way forward. */
struct fault_plan {
    uint32_t receive_most; /* the most bytes of a receive completion; 0: no limit */
    uint32_t send_most;    /* the most bytes that a send takes; 0: no limit */
    uint32_t split;        /* a receive completion has 1 to n of the n bytes that it could have */
    uint32_t short_send;   /* a send takes 1 to n of its n bytes */
    uint32_t drop_more;    /* a receive with bytes ends its operation (law 9) */
    uint32_t cancel_late;  /* a cancel is passed on some turns later, so that the natural result can
                            * come first; bytes that are there are given instead of -ECANCELED */
    uint32_t spurious;     /* a reap does not wait, and gives nothing out; not twice in a row */
    uint32_t errors_count;
    struct fault_error errors[FAULT_ERRORS_MAX];
};

/* A plan drawn from a seed: each fault is off with probability 1/2. The only error in it is a
 * receive's -ENOBUFS, after which every caller must go on. */
struct fault_plan fault_plan_swarm(uint64_t seed);

/* What was done, by all ios of a setup; any thread may look. */
#define FAULT_COUNTS(X)                                                                            \
    X(receives_cut)  /* pieces that could have had more bytes */                                   \
    X(sends_cut)     /* sends that were given to the inner io in part */                           \
    X(receives_over) /* operations that ended with bytes */                                        \
    X(cancels_late)  /* cancels that were held back */                                             \
    X(cancels_lost)  /* ... whose operation ended naturally meanwhile */                           \
    X(reaps_empty)                                                                                 \
    X(connections_ended) /* by an error of receive or send */

struct fault_counts {
#define FAULT_COUNT(name) _Atomic uint64_t name;
    FAULT_COUNTS(FAULT_COUNT)
#undef FAULT_COUNT
    _Atomic uint64_t errors[FAULT_ERRORS_MAX]; /* of each error of the plan */
};

static inline void fault_count(_Atomic uint64_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------- the dice */

/* How far one error's schedule has come. */
struct fault_progress {
    uint64_t passed; /* operations that were let through since it came last */
    uint64_t until_ns;
    bool came;
};

struct fault_dice {
    const struct fault_plan *plan; /* the setup's: a test may change it between turns */
    struct fault_counts *counts;
    uint64_t random;
    struct fault_progress progress[FAULT_ERRORS_MAX];
};

/* `number`: of the io among those of its setup. */
void fault_dice_init(struct fault_dice *dice, const struct fault_plan *plan,
                     struct fault_counts *counts, uint64_t seed, uint32_t number);

/* Draws nothing for a fault that is off: turning one off leaves the others' draws alone. */
bool fault_dice_chance(struct fault_dice *dice, uint32_t rate);

/* 1 to limit, which is at least 1. */
uint32_t fault_dice_part(struct fault_dice *dice, uint32_t limit);

/* Which of an operation's errors is meant: those that come at its start, or instead of what it
 * would bring. (Only accept and connect have both.) */
enum fault_point { FAULT_AT_START, FAULT_AT_RESULT };

/* The errno that is due here now, positive, or 0. */
int fault_dice_error(struct fault_dice *dice, enum io_op op, enum fault_point point,
                     uint64_t now_ns);

/* An operation was let through: all errors of its kind have come one nearer. */
void fault_dice_pass(struct fault_dice *dice, enum io_op op);

/* Whether this error of a receive or a send ends the connection. */
bool fault_error_ends(int error);

#endif
