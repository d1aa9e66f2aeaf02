/* What this system grants the process. */
#ifndef BERTHLOAD_LIMITS_H
#define BERTHLOAD_LIMITS_H

#include <stdint.h>

/* The most workers that the library has. */
#define WORKERS_MAX 1023u

/* The CPUs that this process may run on; at least 1. */
uint32_t limits_cpus(void);

/* Raises the soft limit of descriptors to the hard one, and returns how many there may be. */
uint64_t limits_raise_descriptors(void);

/* The memory that this process can have without pushing others out, in bytes: the machine's, and
 * that of its control group. UINT64_MAX: unknown. */
uint64_t limits_memory_available(void);

/* How many descriptors a run needs. */
uint64_t limits_descriptors_needed(uint32_t connections, uint32_t workers);

/* How many workers it takes if each may have `granted` descriptors; 0: no number of them would do.
 */
uint32_t limits_workers_needed(uint32_t connections, uint64_t granted);

#endif
