/* Reserving memory: one anonymous mapping each, without swap accounting, so that a generous
 * reservation costs nothing until it is used. Called at start and end only.
 */
#include "base/memory.h"

#include <sys/mman.h>

#include "base/assert.h"

void *memory_reserve(size_t bytes)
{
    BERTH_ASSERT(bytes > 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void memory_release(void *at, size_t bytes)
{
    if (at != NULL) {
        munmap(at, bytes);
    }
}

void memory_wipe_on_fork(void *at, size_t bytes)
{
    (void)madvise(at, bytes, MADV_WIPEONFORK); /* Linux 4.14; before, it stays as it is */
}
