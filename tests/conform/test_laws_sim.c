/* The conformance suite on the simulated backend: in a kind world, and in swarms of faults. With an
 * argument, only with that seed. */
#include <stdlib.h>

#include "conform/help_rig.h"

/* Enough that every pair of faults is on together in some; a few seconds. */
#define SEEDS 20

int main(int count, char **arguments)
{
    if (count > 1) {
        return rig_run(&io_backend_sim, strtoull(arguments[1], NULL, 0));
    }
    int failed = rig_run_twice(&io_backend_sim);
    rig_batch = RIG_BATCH_MAX;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        failed += rig_run(&io_backend_sim, seed);
    }
    return failed > 255 ? 255 : failed;
}
