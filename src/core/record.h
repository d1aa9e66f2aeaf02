/* The flight recorder: a ring of records that one thread writes and any thread may copy.
 *
 * recorder_put overwrites the oldest record; it takes four stores and waits for nothing. A copy
 * reads while the writer goes on, and leaves out what was overwritten under its hands. How it
 * knows: each word of a record is stored with release order, after the count of the records before
 * it; so whoever has read a word of record n also sees that count as n or more, and record n -
 * size, whose place n takes, as lost.
 *
 * The words are the worker's, in its block; whoever copies brings the room.
 */
#ifndef BERTH_CORE_RECORD_H
#define BERTH_CORE_RECORD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/event.h>

#define RECORD_WORDS 4

_Static_assert(sizeof(struct berth_record) == RECORD_WORDS * sizeof(uint64_t),
               "a record is stored as whole words");

struct recorder {
    _Atomic uint64_t *words; /* RECORD_WORDS for each record */
    uint64_t size;           /* records, a power of two */
    _Atomic uint64_t count;  /* written so far; only the writer changes it */
};

/* Lends the recorder zeroed room for `size` records. */
static inline void recorder_init(struct recorder *recorder, void *room, uint32_t size)
{
    recorder->words = room;
    recorder->size = size;
    atomic_init(&recorder->count, 0);
}

/* The writer's thread only. */
static inline void recorder_put(struct recorder *recorder, const struct berth_record *record)
{
    uint64_t count = atomic_load_explicit(&recorder->count, memory_order_relaxed);
    _Atomic uint64_t *at = recorder->words + (count & (recorder->size - 1)) * RECORD_WORDS;
    uint64_t what = (uint64_t)record->event << 48 | (uint64_t)record->worker << 32 | record->count;
    atomic_store_explicit(&at[0], record->time_ns, memory_order_release);
    atomic_store_explicit(&at[1], record->conn, memory_order_release);
    atomic_store_explicit(&at[2], what, memory_order_release);
    atomic_store_explicit(&at[3], record->value, memory_order_release);
    atomic_store_explicit(&recorder->count, count + 1, memory_order_release);
}

/* The newest records, at most `max`, oldest first; returns how many. Any thread. One less than the
 * ring's size is the most that is ever whole. */
size_t recorder_copy(const struct recorder *recorder, struct berth_record *out, size_t max);

#endif
