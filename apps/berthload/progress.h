/* The line at the bottom of a terminal while a run goes on. */
#ifndef BERTHLOAD_PROGRESS_H
#define BERTHLOAD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;
    uint64_t last_ns; /* when the line was last written, and what it said */
    uint64_t last_answered;
};

/* With shown false, nothing is ever written. */
void progress_start(struct progress *progress, uint64_t now_ns, bool shown);

/* Writes the line anew if a second has passed. */
void progress_show(struct progress *progress, uint64_t now_ns, uint32_t open, uint64_t answered);

/* Wipes the line off. */
void progress_stop(struct progress *progress);

#endif
