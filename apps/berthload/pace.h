/* Which connection begins next, and when. */
#ifndef BERTHLOAD_PACE_H
#define BERTHLOAD_PACE_H

#include <stdint.h>

/* Bytes that no two workers' paces share: a cache line. */
#define PACE_ALIGNMENT 64

/* The connections of one worker: every `step`th, in order. Its worker alone writes it. */
struct pace {
    _Alignas(PACE_ALIGNMENT) uint32_t next; /* its next connection; above `last`: none is left */
    uint32_t step;
    uint32_t last;
    uint64_t due_ns; /* when that one may begin at the earliest, from the start of the run on */
    uint64_t gap_ns; /* between two of this worker's */
};

/* Worker `worker` of `workers`, 0 the first, of a run whose connections are `delay_ns` apart. */
void pace_start(struct pace *pace, uint32_t worker, uint32_t workers, uint32_t connections,
                uint64_t delay_ns);

/* Takes the next connection: its number, and in *wait_ns how long it must still wait. 0: none is
 * left. */
uint32_t pace_take(struct pace *pace, uint64_t now_ns, uint64_t *wait_ns);

/* Gives up those that are left: how many. */
uint32_t pace_drop(struct pace *pace);

#endif
