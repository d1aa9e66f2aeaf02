/* The two clocks that berthload reads. Not the library's: its time stands still within a turn. */
#ifndef BERTHLOAD_CLOCK_H
#define BERTHLOAD_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "number.h"

static inline uint64_t clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for the clocks used here */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Time that passes. Costs about 20 ns: no system call. */
static inline uint64_t clock_now_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

/* Time that all CPUs have spent on this process. */
static inline uint64_t clock_cpu_ns(void)
{
    return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

#endif
