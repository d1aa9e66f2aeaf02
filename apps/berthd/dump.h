/* What the flight recorders hold, written down. */
#ifndef BERTHD_DUMP_H
#define BERTHD_DUMP_H

#include <pthread.h>

#include <berth/berth.h>

#include "common/journal.h"

/* What each recorder holds: berthd sets the library's recorder_records to it. */
#define DUMP_RECORDS 4096

/* Where a dump goes. */
struct dump_target {
    struct journal_ring *ring;
    pthread_mutex_t *lock; /* of the ring; held for one line at a time */
    uint64_t now_ns;
};

/* Puts all records of all workers into the ring: worker by worker, there connection by connection,
 * the worker's own first, each in the order of time. A ring that is full loses the rest, and the
 * log says so: with more than 15 workers that can be. Any thread but workers. */
void dump_recorders(const struct berth_server *server, uint32_t workers, struct dump_target *to);

#endif
