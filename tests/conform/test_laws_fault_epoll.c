/* The conformance suite on the fault-injecting backend around epoll. With an argument, only with
 * the plan of that seed. */
#include <stdlib.h>

#include "conform/help_rig.h"

/* A run takes about a second, most of it waiting for what must not happen. */
#define SEEDS      2
#define SEEDS_FULL 40

int main(int count, char **arguments)
{
    uint64_t seeds = getenv("BERTH_FULL") != NULL ? SEEDS_FULL : SEEDS;
    return rig_run_decorated(&io_backend_epoll, seeds, count, arguments);
}
