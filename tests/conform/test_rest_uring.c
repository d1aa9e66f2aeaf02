/* The conformance suite on uring with receives that come to rest at once: each that has waited for
 * a millisecond or two is a poll.
 */
#include "conform/help_rig.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

int main(void)
{
    rig_backend = &io_backend_uring;
    rig_rest_ms = 1;
    return rig_opens() ? rig_run_twice(rig_backend) : SKIPPED;
}
