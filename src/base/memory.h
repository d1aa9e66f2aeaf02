/* Address space from the system: reserved at start, memory only where it is touched. */
#ifndef BERTH_BASE_MEMORY_H
#define BERTH_BASE_MEMORY_H

#include <stddef.h>

/* A page of memory, the unit of all of this, on the systems that this library is made for. */
#define MEMORY_PAGE ((size_t)4096)

/* Reserves `bytes` (> 0) of zeroed memory, page-aligned. NULL if the system refuses. */
void *memory_reserve(size_t bytes);

/* Gives back what memory_reserve gave; NULL is allowed. */
void memory_release(void *at, size_t bytes);

/* A name for a part of what was reserved, in whole pages, as the system's list of mappings shows it
 * (/proc/PID/smaps) where it can. `name` is static text. */
void memory_name(void *at, size_t bytes, const char *name);

/* What a reservation of so many bytes takes of the address space: whole pages. */
size_t memory_pages(size_t bytes);

/* From now on a child of fork finds zeros there. `at` and `bytes` as they were reserved. */
void memory_wipe_on_fork(void *at, size_t bytes);

#endif
