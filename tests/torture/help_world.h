/* What the simulated world's files are compiled behind: its memory goes by names of its own, which
 * nobody counts or fails (help_world.c). */
#ifndef BERTH_TESTS_TORTURE_HELP_WORLD_H
#define BERTH_TESTS_TORTURE_HELP_WORLD_H

#include <stddef.h>
#include <stdlib.h>

void *world_malloc(size_t bytes);
void *world_calloc(size_t count, size_t bytes);
void *world_realloc(void *old, size_t bytes);
void world_free(void *memory);

#ifndef WORLD_ITSELF
#define malloc  world_malloc
#define calloc  world_calloc
#define realloc world_realloc
#define free    world_free
#endif

#endif
