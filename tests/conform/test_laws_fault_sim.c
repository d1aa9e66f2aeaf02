/* The conformance suite on the fault-injecting backend around the simulated one: plans and worlds
 * from the same seeds. With an argument, only with that seed. */
#include <stdlib.h>

#include "conform/help_rig.h"

/* Enough that every pair of faults is on together in some; a few seconds. */
#define SEEDS      12
#define SEEDS_FULL 400

int main(int count, char **arguments)
{
    uint64_t seeds = getenv("BERTH_FULL") != NULL ? SEEDS_FULL : SEEDS;
    return rig_run_decorated(&io_backend_sim, seeds, count, arguments);
}
