/* The simulated world's memory: the C library's, past the wrappers of help_allocations.c. */
#define WORLD_ITSELF
#include "torture/help_world.h"

#include "torture/help_allocations.h"

void *world_malloc(size_t bytes)
{
    bool before = allocations_counted(false);
    void *memory = malloc(bytes);
    (void)allocations_counted(before);
    return memory;
}

void *world_calloc(size_t count, size_t bytes)
{
    bool before = allocations_counted(false);
    void *memory = calloc(count, bytes);
    (void)allocations_counted(before);
    return memory;
}

void *world_realloc(void *old, size_t bytes)
{
    bool before = allocations_counted(false);
    void *memory = realloc(old, bytes);
    (void)allocations_counted(before);
    return memory;
}

void world_free(void *memory)
{
    free(memory);
}
