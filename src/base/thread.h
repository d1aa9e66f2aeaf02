/* Threads, and what a program may know of its processors and descriptors. */
#ifndef BERTH_BASE_THREAD_H
#define BERTH_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts a named thread that takes no signals: those are the program's own. 0 or an errno. */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument);

/* Waits for a thread to end, at most timeout_ms (below 0: for ever). true if it ended, and was
 * joined. */
bool thread_join(pthread_t thread, int64_t timeout_ms);

/* How many CPUs this process may run on, at least 1. */
uint32_t thread_cpus(void);

#endif
