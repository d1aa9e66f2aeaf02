/* The library's events, as the log says them. */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include <stdint.h>

#include <berth/berth.h>

#include "common/entry.h"

/* The log's event of a library's (enum berth_event). */
enum entry_event words_event(uint16_t event);

/* Adds to an entry what the record carries. */
void words_figures(struct entry *entry, const struct berth_record *record);

/* Adds a message's header: how many bytes it has, what it declares, and its bytes as decimals. */
void words_header(struct entry *entry, const struct berth_message *message);

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
