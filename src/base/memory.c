/* Reserving memory: one anonymous mapping each, without swap accounting, so that a generous
 * reservation costs nothing until it is used. Called at start and end only.
 */
#include "base/memory.h"

#include <sys/mman.h>
#include <sys/prctl.h>

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

/* For systems whose headers are older than the kernel. */
#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

void memory_name(void *at, size_t bytes, const char *name)
{
    /* Linux 5.17, if it was built so; else there is no name. */
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, memory_pages(bytes), name);
}

size_t memory_pages(size_t bytes)
{
    return (bytes + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE;
}

void memory_wipe_on_fork(void *at, size_t bytes)
{
    (void)madvise(at, bytes, MADV_WIPEONFORK); /* Linux 4.14; before, it stays as it is */
}
