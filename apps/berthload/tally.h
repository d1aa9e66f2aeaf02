/* What is counted while messages run. */
#ifndef BERTHLOAD_TALLY_H
#define BERTHLOAD_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include <berth/berth.h>

#include "account.h"
#include "histogram.h"

/* Why a connection ended before all its messages were answered: the library's reasons under their
 * own numbers, and from CAUSE_WRONG on berthload's. */
enum cause {
    CAUSE_NONE = 0,
    CAUSE_LIBRARY_LAST = BERTH_REASON_SLOW,
    CAUSE_WRONG,
    CAUSE_SEND,
    CAUSE_SIGNAL,
    CAUSE_SILENCE,
    CAUSE_TIMEOUT,
    CAUSE_STOP,  /* the console's S */
    CAUSE_CLOSE, /* its Z: what was not sent is not missing */
    CAUSE_LEDGER,
    CAUSES,
};

const char *cause_text(uint32_t cause);

/* Bytes that no two workers' counters share: a cache line. */
#define TALLY_ALIGNMENT 64

struct loss {
    uint64_t connections;
    uint64_t messages; /* sent on them and not answered rightly, wrong replies included */
};

/* One worker's counters. It alone writes them; those that the progress line reads meanwhile are
 * atomic, the others are read when the workers have ended. */
struct tally {
    _Alignas(TALLY_ALIGNMENT) _Atomic uint64_t sent; /* messages */
    _Atomic uint64_t right;
    _Atomic uint64_t sent_bytes;  /* of messages, without their frames */
    _Atomic uint64_t right_bytes; /* of right replies, without their frames, with their ids */
    uint64_t right_frame_bytes;   /* the same with their frames */
    uint64_t made;                /* connections */
    uint64_t failed;
    uint64_t unbegun; /* connections that the run ended before */
    uint64_t retries;
    uint64_t firsts; /* with --idle: right replies to first messages, */
    uint64_t first_sent_bytes;
    uint64_t first_right_bytes; /* which no rate and no latency refers to */
    uint64_t idle_lost;         /* idle connections that ended before their time */
    uint64_t wrong;             /* wrong replies; each ends its connection */
    struct loss lost[CAUSES];
    struct account_totals account; /* with --ledger */
    struct histogram latency;
};

/* Adds to a counter that no other thread writes: no locked instruction. */
static inline void tally_add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

static inline uint64_t tally_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Adds all that `from` counted. Both must have ended. */
void tally_merge(struct tally *into, const struct tally *from);

#endif
