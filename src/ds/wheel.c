/* The timer wheel: set, cancel, expire, defer, and when to look next.
 *
 * Level 0 has a slot for each of the next 64 ticks, level 1 for each of the next 64 runs of 64
 * ticks, and so on; four levels reach 4.6 hours, and what lies beyond waits in the last slot and is
 * placed anew when that comes round. When the tick crosses a run's border the run's slot is dealt
 * out to the levels below. A slot is several lists: with a million timers nearly each one dealt is
 * a cache miss, and one list would wait for them one after the other. A word of occupancy bits per
 * level lets an idle wheel jump over empty ticks. Timers belong to their owners; the wheel only
 * links them.
 *
 * Set and cancel are O(1); expire deals each timer out at most once per level.
 */
#include "ds/wheel.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"

#define SLOT_MASK   (WHEEL_SLOTS - 1)
#define REACH_TICKS (UINT64_C(1) << (WHEEL_LEVELS * WHEEL_SLOTS_LOG2))

static void list_push(struct wheel_timer **head, struct wheel_timer *timer)
{
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    *head = timer;
}

static void list_remove(struct wheel_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

static unsigned slot_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * WHEEL_SLOTS_LOG2)) & SLOT_MASK;
}

/* The lowest level whose slots tell due_tick from the current tick's run. */
static unsigned level_of(const struct wheel *wheel, uint64_t due_tick)
{
    uint64_t differing = due_tick ^ wheel->tick;
    unsigned level = 0;
    while (level < WHEEL_LEVELS - 1 && differing >> ((level + 1) * WHEEL_SLOTS_LOG2) != 0) {
        level++;
    }
    return level;
}

static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    if (timer->due_tick <= wheel->tick) {
        timer->level = WHEEL_LEVELS;
        list_push(&wheel->expired, timer);
        return;
    }
    uint64_t tick = timer->due_tick;
    uint64_t horizon = wheel->tick + REACH_TICKS - 1 - (REACH_TICKS >> WHEEL_SLOTS_LOG2);
    if (tick > horizon) {
        tick = horizon; /* beyond the reach: placed anew when this comes round */
    }
    unsigned level = level_of(wheel, tick);
    unsigned slot = slot_of(tick, level);
    timer->level = (uint8_t)level;
    list_push(&wheel->slots[level][slot][wheel->lane++ % WHEEL_LANES], timer);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ns / WHEEL_TICK_NS;
}

static bool slot_is_empty(const struct wheel *wheel, unsigned level, unsigned slot)
{
    for (unsigned lane = 0; lane < WHEEL_LANES; lane++) {
        if (wheel->slots[level][slot][lane] != NULL) {
            return false;
        }
    }
    return true;
}

static void unlink_timer(struct wheel *wheel, struct wheel_timer *timer)
{
    unsigned level = timer->level;
    struct wheel_timer **link = timer->link;
    list_remove(timer);
    if (level == WHEEL_LEVELS || *link != NULL) {
        return;
    }
    /* It may have been the last of its slot; a link inside a timer is not a slot's. */
    struct wheel_timer **first = wheel->slots[level][0];
    if (link >= first && link < first + WHEEL_SLOTS * WHEEL_LANES) {
        unsigned slot = (unsigned)(link - first) / WHEEL_LANES;
        if (slot_is_empty(wheel, level, slot)) {
            wheel->occupied[level] &= ~(UINT64_C(1) << slot);
        }
    }
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns)
{
    wheel_cancel(wheel, timer);
    uint64_t tick = due_ns / WHEEL_TICK_NS;
    timer->due_tick = (tick + (tick * WHEEL_TICK_NS < due_ns ? 1 : 0)) & WHEEL_TICK_MAX;
    place(wheel, timer);
    wheel->count++;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    if (wheel_is_set(timer)) {
        unlink_timer(wheel, timer);
        wheel->count--;
    }
}

/* Deals out the slot of `level` that the tick has just entered: one of each lane in turn, so that
 * while one is dealt the next ones of the other lanes are on their way from memory. */
static void cascade(struct wheel *wheel, unsigned level)
{
    unsigned slot = slot_of(wheel->tick, level);
    if ((wheel->occupied[level] >> slot & 1) == 0) {
        return;
    }
    struct wheel_timer *lanes[WHEEL_LANES];
    memcpy(lanes, wheel->slots[level][slot], sizeof lanes);
    memset(wheel->slots[level][slot], 0, sizeof lanes);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    for (bool more = true; more;) {
        more = false;
        for (unsigned lane = 0; lane < WHEEL_LANES; lane++) {
            struct wheel_timer *timer = lanes[lane];
            if (timer != NULL) {
                lanes[lane] = timer->next;
                __builtin_prefetch(timer->next, 1);
                place(wheel, timer);
                more = true;
            }
        }
    }
}

/* The next tick, after the current one and at most `limit`, at which something may happen. */
static uint64_t next_tick(const struct wheel *wheel, uint64_t limit)
{
    uint64_t best = limit;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] == 0) {
            continue;
        }
        unsigned shift = level * WHEEL_SLOTS_LOG2;
        unsigned here = slot_of(wheel->tick, level);
        /* Bits from the slot behind the current one on, in the order in which they come round. */
        unsigned from = (here + 1) & SLOT_MASK;
        uint64_t bits = wheel->occupied[level];
        uint64_t turned = from == 0 ? bits : bits >> from | bits << (WHEEL_SLOTS - from);
        uint64_t ahead = (uint64_t)__builtin_ctzll(turned) + 1;
        uint64_t tick = ((wheel->tick >> shift) + ahead) << shift;
        if (tick < best) {
            best = tick;
        }
    }
    return best;
}

struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t now_tick = now_ns / WHEEL_TICK_NS;
    while (wheel->expired == NULL && wheel->tick < now_tick) {
        wheel->tick = next_tick(wheel, now_tick);
        for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
            if ((wheel->tick & ((UINT64_C(1) << (level * WHEEL_SLOTS_LOG2)) - 1)) == 0) {
                cascade(wheel, level);
            }
        }
        cascade(wheel, 0);
    }
    struct wheel_timer *timer = wheel->expired;
    if (timer != NULL) {
        list_remove(timer);
        wheel->count--;
    }
    return timer;
}

void wheel_defer(struct wheel *wheel, struct wheel_timer *timer)
{
    BERTH_ASSERT(!wheel_is_set(timer));
    BERTH_ASSERT(timer->due_tick <= wheel->tick);
    timer->level = WHEEL_LEVELS;
    list_push(&wheel->deferred, timer);
    wheel->count++;
}

void wheel_release(struct wheel *wheel)
{
    while (wheel->deferred != NULL) {
        struct wheel_timer *timer = wheel->deferred;
        list_remove(timer);
        list_push(&wheel->expired, timer);
    }
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    if (wheel->expired != NULL) {
        return wheel->tick * WHEEL_TICK_NS;
    }
    uint64_t tick = wheel->count == 0 ? WHEEL_NEVER : next_tick(wheel, WHEEL_NEVER);
    return tick == WHEEL_NEVER ? WHEEL_NEVER : tick * WHEEL_TICK_NS;
}

void wheel_validate(const struct wheel *wheel)
{
    uint32_t seen = 0;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            bool occupied = (wheel->occupied[level] >> slot & 1) != 0;
            BERTH_ASSERT(occupied == !slot_is_empty(wheel, level, slot));
            for (unsigned lane = 0; lane < WHEEL_LANES; lane++) {
                const struct wheel_timer *timer = wheel->slots[level][slot][lane];
                for (; timer != NULL; timer = timer->next) {
                    BERTH_ASSERT(timer->level == level);
                    BERTH_ASSERT(timer->due_tick > wheel->tick);
                    seen++;
                }
            }
        }
    }
    for (const struct wheel_timer *timer = wheel->expired; timer != NULL; timer = timer->next) {
        BERTH_ASSERT(timer->due_tick <= wheel->tick);
        seen++;
    }
    for (const struct wheel_timer *timer = wheel->deferred; timer != NULL; timer = timer->next) {
        BERTH_ASSERT(timer->level == WHEEL_LEVELS);
        seen++;
    }
    BERTH_ASSERT(seen == wheel->count);
}
