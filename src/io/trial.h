/* Self-tests of the io_uring backend on the running kernel. select.c runs them; nobody else. */
#ifndef BERTH_IO_TRIAL_H
#define BERTH_IO_TRIAL_H

#include "io/feature.h"
#include "io/io.h"

struct trial_result {
    uint32_t features_off; /* what it is run without */
    const char *failure;   /* the step that failed; NULL: all of it works */
    int error;             /* its negative errno; 0: it came to a wrong result */
    uint32_t suspects;     /* features without which it may pass */
};

/* Everything once, in a few milliseconds; 1.3 seconds at most, when the kernel forgets something.
 */
void trial_run(uint32_t features_off, struct trial_result *result);

/* Whether so many rings can be open at once, each with receive_count buffers: opens and closes
 * them. The failure is that of the first that cannot. */
void trial_rings(uint32_t rings, uint32_t receive_count, struct trial_result *result);

#endif
