/* What came out of a run. */
#ifndef BERTHLOAD_RESULTS_H
#define BERTHLOAD_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

#include "options.h"
#include "tally.h"

/* Room for the verdict. */
#define VERDICT_BYTES 240

struct results {
    const struct options *options; /* lent */
    struct tally tally;            /* of all workers */
    struct berth_plan plan;
    struct berth_stats stats;
    uint64_t surplus_bytes; /* that came although every reply was there already */
    uint64_t planned;       /* messages; with --duration, as many as were sent */
    bool stopped;           /* by the console's S before --duration was over */
    bool closed;            /* by the console's Z: what was sent is all that was to be */
    bool unaccounted;       /* the ledger is not whole */
    uint32_t most;          /* connections at once */
    uint64_t held;          /* messages that were built before the start; 0: none were */
    uint64_t build_ns;      /* what that took; in none of the other times */
    uint64_t opening_ns;    /* with --idle: until all connections were open, */
    uint64_t first_ns;      /* and then until each had its first answer */
    uint64_t elapsed_ns;    /* from the start to the last connection's end */
    uint64_t traffic_ns;    /* from the first connection to the last answer: what rates refer to */
    uint64_t user_ns;       /* CPU time of the whole run */
    uint64_t system_ns;
    double busy; /* the share of its threads' time that the client was working during traffic */
};

/* Every planned message sent and answered rightly, and every connection made. */
bool results_right(const struct results *results);

/* Planned messages that were not sent, or not answered rightly. */
uint64_t results_aborted(const struct results *results);

/* Per cent of the planned messages that were sent; 100 without a plan. */
double results_percent(const struct results *results);

/* Milliseconds of the whole run for each message sent; 0 if there was none. */
double results_ms_per_message(const struct results *results);

/* How the run ended, the line before the last. Returns `out` (VERDICT_BYTES). */
const char *results_ending(const struct results *results, char *out);

/* The last line: what was sent, and what was answered. Returns `out` (VERDICT_BYTES). */
const char *results_verdict(const struct results *results, char *out);

/* Per second of traffic; 0 if there was none. */
double results_rate(const struct results *results, uint64_t count);

/* Whether the outcome says more about berthload than about the server. */
bool results_client_bound(const struct results *results);

#endif
