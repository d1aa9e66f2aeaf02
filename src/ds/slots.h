/* A table of fixed slots with generations: the numbers behind handles. */
#ifndef BERTH_DS_SLOTS_H
#define BERTH_DS_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_NONE UINT32_MAX

/* The account of one slot, anywhere in it. Zeroed memory is a table whose slots are all free, so
 * that a large table is not touched before it is used. */
struct slots_entry {
    uint32_t generation; /* odd while in use, even while free */
    uint32_t number;     /* in use: the slot's; free: the next free one's + 1, 0: the one behind */
};

struct slots {
    uint8_t *entries; /* borrowed: the first of count entries, zeroed, */
    uint32_t stride;  /* this many bytes from each to the next */
    uint32_t count;
    uint32_t used;
    uint32_t retired; /* slots whose generations are used up */
    uint32_t free;    /* head of the free list; count or more: empty */
};

void slots_init(struct slots *slots, struct slots_entry *zeroed, size_t stride, uint32_t count);

/* Takes a free slot, the one freed last first; SLOTS_NONE if there is none. O(1). */
uint32_t slots_take(struct slots *slots);

/* Gives a slot back. From now on its generation is stale. O(1). */
void slots_give(struct slots *slots, uint32_t slot);

static inline struct slots_entry *slots_entry_of(const struct slots *slots, uint32_t slot)
{
    return (struct slots_entry *)(void *)(slots->entries + (size_t)slot * slots->stride);
}

static inline uint32_t slots_generation(const struct slots *slots, uint32_t slot)
{
    return slots_entry_of(slots, slot)->generation;
}

/* Whether the slot is in use by this generation. */
static inline bool slots_holds(const struct slots *slots, uint32_t slot, uint32_t generation)
{
    return slot < slots->count && (generation & 1) != 0 &&
           slots_generation(slots, slot) == generation;
}

static inline uint32_t slots_free_count(const struct slots *slots)
{
    return slots->count - slots->used - slots->retired;
}

#endif
