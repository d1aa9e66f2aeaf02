/* The heap of timers, and the clock that it goes by. Timers belong to their owners, who cancel them
 * before they go. */
#include "timers.h"

#include <stdlib.h>
#include <time.h>

#include "must.h"

bool timers_open(struct timers *timers, size_t room)
{
    *timers = (struct timers){.room = room};
    timers->heap = calloc(room + 1, sizeof(struct timer *));
    return timers->heap != NULL;
}

void timers_close(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

/* Moves a timer from its place to where it belongs. */
static void sift(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    while (place > 1 && timers->heap[place / 2]->due_ns > timer->due_ns) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    while (place * 2 <= timers->count) {
        size_t child = place * 2;
        if (child < timers->count &&
            timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns) {
            child++;
        }
        if (timers->heap[child]->due_ns >= timer->due_ns) {
            break;
        }
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
    if (timer->place == 0) {
        MUST(timers->count < timers->room);
        put(timers, ++timers->count, timer);
    }
    timer->due_ns = due_ns;
    sift(timers, timer);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    if (place == 0) {
        return;
    }
    struct timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last != timer) {
        put(timers, place, last);
        sift(timers, last);
    }
}

struct timer *timers_take_due(struct timers *timers, uint64_t now_ns)
{
    if (timers->count == 0 || timers->heap[1]->due_ns > now_ns) {
        return NULL;
    }
    struct timer *first = timers->heap[1];
    timers_cancel(timers, first);
    return first;
}

uint64_t timers_first_ns(const struct timers *timers)
{
    return timers->count == 0 ? UINT64_MAX : timers->heap[1]->due_ns;
}

uint64_t clock_ns(void)
{
    struct timespec now;
    MUST(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
