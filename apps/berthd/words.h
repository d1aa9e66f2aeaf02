/* The library's events, as the log says them. */
#ifndef BERTHD_WORDS_H
#define BERTHD_WORDS_H

#include <stdint.h>

#include <berth/berth.h>

#include "common/entry.h"

/* The log's event of a library's (enum berth_event). */
enum entry_event words_event(uint16_t event);

/* Adds to an entry what the record carries. */
void words_figures(struct entry *entry, const struct berth_record *record);

/* The parts of a handle. */
static inline uint64_t words_slot(berth_handle handle)
{
    return handle >> 32 & ((1u << 22) - 1);
}

static inline uint64_t words_generation(berth_handle handle)
{
    return (uint32_t)handle;
}

#endif
