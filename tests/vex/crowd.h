/* Many peers that run one script: the connections of one call of vex, one thread, one epoll.
 *
 * crowd_run starts them (at their rate, so many at once), lets each run when something happened for
 * it (peer.h), and ends when all have done, when the time is over, or at SIGINT or SIGTERM. What
 * they did is in the tally.
 */
#ifndef BERTH_TESTS_VEX_CROWD_H
#define BERTH_TESTS_VEX_CROWD_H

#include "histogram.h"
#include "options.h"
#include "peer.h"
#include "replies.h"
#include "script.h"
#include "timers.h"

#define FAILURE_BYTES 256

struct tally {
    /* Scripts: what was asked for is the sum of these. */
    uint64_t done;      /* to their end, and nothing went wrong */
    uint64_t failed;    /* something did */
    uint64_t stopped;   /* the time was over */
    uint64_t unstarted; /* and it was for these before they began */
    /* Connections. What was made is the sum of what ended. */
    uint64_t made;
    uint64_t refused; /* could not be made */
    uint64_t ended_eof;
    uint64_t ended_reset;
    uint64_t ended_timeout;
    uint64_t ended_itself;
    /* What failed: ends that came where the script did not expect one, expect-... that were not
     * met, replies that were no echo. */
    uint64_t cut;
    uint64_t unmet;
    uint64_t wrong;
    uint64_t bytes_out;
    uint64_t frames_out;
    uint64_t bytes_in;
    uint64_t frames_in;
    struct histogram pings_us;   /* from sending a ping to its whole echo */
    struct histogram lives_us;   /* from connected to ended, of those that the other side ended */
    char failure[FAILURE_BYTES]; /* the first one, in words */
    uint64_t elapsed_ns;
};

/* What one send and one receive take at most. */
#define CROWD_BUFFER_BYTES 65536

struct crowd {
    const struct options *options;
    const struct script *script;
    int epoll;
    int signals;
    struct timers timers;
    struct timer start_timer; /* of the next start, where there is a rate */
    struct peer *peers;
    uint64_t begin_ns;
    uint64_t started;
    uint64_t running;
    uint64_t connected_first; /* peers that have been connected at least once */
    struct peer *ready_first; /* they gave way to others, and have more to do */
    struct peer *ready_last;
    struct tally tally;
    uint8_t buffer[CROWD_BUFFER_BYTES];
};

/* Runs the script on all connections. 0, or a negative errno with *what saying what failed before
 * anything began. The options and the script are borrowed. */
int crowd_run(struct crowd *crowd, const struct options *options, const struct script *script,
              const char **what);

#endif
