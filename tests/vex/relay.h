/* vex relay: stands between clients and a server that are both honest, and is a bad network.
 *
 * Bytes pass in their order, whole, unless --flip, --vanish or --reset say otherwise: what is done
 * to them besides is only about when they come, and how many at a time.
 */
#ifndef BERTH_TESTS_VEX_RELAY_H
#define BERTH_TESTS_VEX_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "script.h"
#include "sockets.h"
#include "timers.h"

struct relay_options {
    struct place listen;
    struct place to;
    uint64_t seed;
    struct range split; /* bytes of a write; high 0: as they came */
    uint64_t join_ms;   /* the first bytes wait so long for others, then all leave at once */
    uint64_t stall_ms;  /* now and then nothing passes for up to so long */
    uint64_t late_fin_ms;
    uint64_t flip;   /* shares, in billionths: of the bytes, one bit each */
    uint64_t vanish; /* of the connections */
    uint64_t reset;
    uint64_t time_ns; /* 0: until a signal */
    const char *json;
};

struct relay_counts {
    uint64_t connections;
    uint64_t refused; /* the server did not take them */
    uint64_t open;    /* when it ended */
    uint64_t bytes_up;
    uint64_t bytes_down;
    uint64_t pieces; /* writes */
    uint64_t joins;
    uint64_t stalls;
    uint64_t flips;
    uint64_t fins_late;
    uint64_t vanished;
    uint64_t resets;        /* its own */
    uint64_t resets_passed; /* one side's, told to the other */
};

struct pair;

struct relay {
    const struct relay_options *options;
    int epoll;
    int listener;
    int signals;
    bool may_accept; /* somebody may wait */
    uint64_t pairs_open;
    struct pair *pairs; /* all that are open */
    struct pair *dead;  /* to be freed when the events at hand have been looked at */
    struct pair *ready; /* they gave way, and have more to do */
    struct timers timers;
    struct relay_counts counts;
};

/* vex relay with the arguments behind its name: the exit status. */
int relay_main(int argc, char **argv);

#endif
