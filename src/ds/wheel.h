/* Timers: a hierarchical wheel, 1 ms a tick. */
#ifndef BERTH_DS_WHEEL_H
#define BERTH_DS_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_LEVELS     4
#define WHEEL_SLOTS      64 /* a power of two, and the bits of one occupancy word */
#define WHEEL_SLOTS_LOG2 6
#define WHEEL_LANES      4 /* lists of a slot, walked side by side: see wheel.c */
#define WHEEL_TICK_NS    UINT64_C(1000000)
#define WHEEL_NEVER      UINT64_MAX

/* A timer, embedded in what it is for. Zeroed means not set. */
struct wheel_timer {
    struct wheel_timer *next;
    struct wheel_timer **link; /* the pointer that points here; NULL when not set */
    uint64_t due_tick : 48;    /* 8,900 years */
    uint64_t level : 8;        /* where it stands, or WHEEL_LEVELS when it has expired */
    uint64_t kind : 8;         /* the owner's: which struct this is embedded in */
};

#define WHEEL_TICK_MAX ((UINT64_C(1) << 48) - 1)

struct wheel {
    uint64_t tick; /* every timer due at or before it has expired */
    uint64_t occupied[WHEEL_LEVELS];
    struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS][WHEEL_LANES];
    uint32_t lane; /* of the next timer that is placed */
    struct wheel_timer *expired;
    struct wheel_timer *deferred; /* expired, and put off until wheel_release */
    uint32_t count;               /* timers set, expired and deferred ones included */
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);

/* Sets a timer that may be set already. It expires at the first tick at or after due_ns: never
 * early, and late by less than a tick as far as the caller looks often enough. O(1). */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns);

/* Does nothing if the timer is not set. O(1). */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);

static inline bool wheel_is_set(const struct wheel_timer *timer)
{
    return timer->link != NULL;
}

/* Takes out one timer that is due at now_ns, or NULL. Call until NULL. Amortised O(levels). */
struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_ns);

/* Puts off a timer that wheel_expire has just given out: it counts as set, can be set anew or
 * cancelled, and expires again after the next wheel_release. O(1). */
void wheel_defer(struct wheel *wheel, struct wheel_timer *timer);

/* Lets all deferred timers expire again. O(deferred timers). */
void wheel_release(struct wheel *wheel);

/* When to look again: no timer is due before, though perhaps none at it; deferred timers do not
 * count. WHEEL_NEVER without timers. O(levels). */
uint64_t wheel_next_ns(const struct wheel *wheel);

/* Asserts that every timer stands where its due tick says. O(timers). For tests. */
void wheel_validate(const struct wheel *wheel);

#endif
