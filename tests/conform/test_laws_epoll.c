/* The conformance suite on the epoll backend. Skipped only where it cannot be opened at all. */
#include "conform/help_rig.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

int main(void)
{
    rig_backend = &io_backend_epoll;
    return rig_opens() ? rig_run_twice(rig_backend) : SKIPPED;
}
