/* Times at which something is to happen: a binary heap of timers that lie in their owners.
 *
 * O(log n) to set and to cancel, O(1) to see the first. The heap's memory is its own, and is there
 * from the start: setting a timer cannot fail.
 */
#ifndef BERTH_TESTS_VEX_TIMERS_H
#define BERTH_TESTS_VEX_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

struct timer {
    uint64_t due_ns;
    size_t place; /* in the heap, from 1; 0: not set */
    void *owner;  /* the owner's, for itself */
};

struct timers {
    struct timer **heap; /* from 1 */
    size_t count;
    size_t room;
};

/* Room for so many. false if there is no memory. */
bool timers_open(struct timers *timers, size_t room);
void timers_close(struct timers *timers);

/* Sets it anew, or moves it. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ns);
void timers_cancel(struct timers *timers, struct timer *timer);

/* The first of those that are due, not set any more; NULL if none is. */
struct timer *timers_take_due(struct timers *timers, uint64_t now_ns);

/* When the first is due; UINT64_MAX if none is set. */
uint64_t timers_first_ns(const struct timers *timers);

/* The monotonic clock. */
uint64_t clock_ns(void);

#endif
