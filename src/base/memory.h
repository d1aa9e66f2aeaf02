/* Address space from the system: reserved at start, memory only where it is touched. */
#ifndef BERTH_BASE_MEMORY_H
#define BERTH_BASE_MEMORY_H

#include <stddef.h>

/* Reserves `bytes` (> 0) of zeroed memory, page-aligned. NULL if the system refuses. */
void *memory_reserve(size_t bytes);

/* Gives back what memory_reserve gave; NULL is allowed. */
void memory_release(void *at, size_t bytes);

/* From now on a child of fork finds zeros there. `at` and `bytes` as they were reserved. */
void memory_wipe_on_fork(void *at, size_t bytes);

#endif
