/* A self-test of the io_uring backend on the running kernel. select.c runs it; nobody else. */
#ifndef BERTH_IO_TRIAL_H
#define BERTH_IO_TRIAL_H

#include "io/feature.h"
#include "io/io.h"

struct trial_result {
    uint32_t features_off; /* what it was run without */
    const char *failure;   /* the step that failed; NULL: all of it works */
    int error;             /* its negative errno; 0: it came to a wrong result */
    uint32_t suspects;     /* features without which it may pass */
};

/* Runs it once, in a few milliseconds; 1.3 seconds at most, when the kernel forgets something. */
void trial_run(uint32_t features_off, struct trial_result *result);

#endif
