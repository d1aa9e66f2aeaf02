/* Threads, and what a program may know of its processors and descriptors. */
#ifndef BERTH_BASE_THREAD_H
#define BERTH_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts a named thread that takes no signals: those are the program's own. 0 or an errno. */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument);

/* A count that threads add to and somebody waits for. */
struct latch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t count;
};

void latch_init(struct latch *latch);
void latch_fini(struct latch *latch);
void latch_add(struct latch *latch);

/* Waits until the count is `wanted` or more, at most timeout_ms (below 0: for ever). Whether it
 * is. */
bool latch_wait(struct latch *latch, uint32_t wanted, int64_t timeout_ms);

/* Gives the calling thread a table of descriptors of its own, a copy of the process's as it is now.
 * 0 or a negative errno. */
int thread_own_descriptors(void);

/* How many CPUs this process may run on, at least 1. */
uint32_t thread_cpus(void);

#endif
