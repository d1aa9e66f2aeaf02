/* A table of fixed slots with generations: the numbers behind handles. */
#ifndef BERTH_DS_SLOTS_H
#define BERTH_DS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_NONE UINT32_MAX

/* One entry of the account kept beside the slots themselves. Zeroed memory is a table whose slots
 * are all free, so that a large table is not touched before it is used. */
struct slots_entry {
    uint32_t generation; /* odd while in use, even while free */
    uint32_t next;       /* free list: next free slot + 1; 0 is the slot just behind */
};

struct slots {
    struct slots_entry *entries; /* borrowed: count of them, zeroed */
    uint32_t count;
    uint32_t used;
    uint32_t retired; /* slots whose generations are used up */
    uint32_t free;    /* head of the free list; count or more: empty */
};

void slots_init(struct slots *slots, struct slots_entry *zeroed, uint32_t count);

/* Takes a free slot, the one freed last first; SLOTS_NONE if there is none. O(1). */
uint32_t slots_take(struct slots *slots);

/* Gives a slot back. From now on its generation is stale. O(1). */
void slots_give(struct slots *slots, uint32_t slot);

static inline uint32_t slots_generation(const struct slots *slots, uint32_t slot)
{
    return slots->entries[slot].generation;
}

/* Whether the slot is in use by this generation. */
static inline bool slots_holds(const struct slots *slots, uint32_t slot, uint32_t generation)
{
    return slot < slots->count && (generation & 1) != 0 &&
           slots->entries[slot].generation == generation;
}

static inline uint32_t slots_free_count(const struct slots *slots)
{
    return slots->count - slots->used - slots->retired;
}

#endif
