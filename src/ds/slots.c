/* Slots: take, give, and whether a generation still lives.
 *
 * A slot's generation goes up by one when it is taken and by one when it is given back, so that it
 * is odd exactly while in use and a handle of an earlier life never matches. A slot whose
 * generation would wrap is retired instead of reused: after 2^31 lives it is lost, and nothing else
 * is. The free list is last in, first out, so that few slots stay warm. All O(1).
 */
#include "ds/slots.h"

#include "base/assert.h"

/* The last generation a slot may live in; the next would wrap. */
#define GENERATION_LAST (UINT32_MAX)

void slots_init(struct slots *slots, struct slots_entry *zeroed, size_t stride, uint32_t count)
{
    BERTH_ASSERT(count >= 1 && count < SLOTS_NONE);
    *slots =
        (struct slots){.entries = (uint8_t *)zeroed, .stride = (uint32_t)stride, .count = count};
}

uint32_t slots_take(struct slots *slots)
{
    uint32_t slot = slots->free;
    if (slot >= slots->count) {
        return SLOTS_NONE;
    }
    struct slots_entry *entry = slots_entry_of(slots, slot);
    BERTH_ASSERT((entry->generation & 1) == 0);
    slots->free = entry->number == 0 ? slot + 1 : entry->number - 1;
    entry->number = slot;
    entry->generation++;
    slots->used++;
    return slot;
}

void slots_give(struct slots *slots, uint32_t slot)
{
    BERTH_ASSERT(slot < slots->count);
    struct slots_entry *entry = slots_entry_of(slots, slot);
    BERTH_ASSERT((entry->generation & 1) == 1);
    slots->used--;
    if (entry->generation == GENERATION_LAST) {
        entry->generation = 0; /* even: in no one's use, and on no list */
        slots->retired++;
        return;
    }
    entry->generation++;
    entry->number = slots->free + 1;
    slots->free = slot;
}
