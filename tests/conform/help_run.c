/* Runs every test of the conformance suite on one backend, under a name that holds the seed, so
 * that a failure in the log says how to repeat it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conform/help_rig.h"

#define TESTS_MAX 80

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

/* An exit status holds no more. */
#define FAILED_MOST 50

static size_t add(struct CMUnitTest *all, size_t count, const struct CMUnitTest *some, size_t more)
{
    if (count + more > TESTS_MAX) {
        fprintf(stderr, "TESTS_MAX is too small\n");
        return count;
    }
    memcpy(all + count, some, more * sizeof *some);
    return count + more;
}

int rig_run(const struct io_backend *backend, uint64_t seed)
{
    struct CMUnitTest all[TESTS_MAX];
    char name[80];
    size_t count = 0;
    rig_backend = backend;
    rig_seed = seed;
    count = add(all, count, rig_tests_laws, rig_tests_laws_count);
    count = add(all, count, rig_tests_streams, rig_tests_streams_count);
    count = add(all, count, rig_tests_connections, rig_tests_connections_count);
    if (seed == 0) { /* the mistakes are asserted in io.c, whatever the seed */
        count = add(all, count, rig_tests_deaths, rig_tests_deaths_count);
    }
    (void)snprintf(name, sizeof name, "%s%s%s, seed %llu%s", io_backend_name(backend),
                   rig_inner != NULL ? " around " : "",
                   rig_inner != NULL ? io_backend_name(rig_inner) : "", (unsigned long long)seed,
                   rig_byte_by_byte() ? ", byte by byte"
                   : rig_batch == 1   ? ", one by one"
                                      : "");
    return _cmocka_run_group_tests(name, all, count, NULL, NULL);
}

int rig_run_twice(const struct io_backend *backend)
{
    int failed = rig_run(backend, 0);
    rig_batch = 1;
    return failed + rig_run(backend, 0);
}

int rig_run_decorated(const struct io_backend *inner, uint64_t seeds, int count, char **arguments)
{
    uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 0) : 0;
    uint64_t last = count > 1 ? first : seeds;
    int failed = 0;
    rig_backend = &io_backend_fault;
    rig_inner = inner;
    if (!rig_opens()) {
        return SKIPPED;
    }
    for (uint64_t seed = first; seed <= last; seed++) {
        rig_plan = seed == 0 ? (struct fault_plan){0} : fault_plan_swarm(seed);
        failed += rig_run(&io_backend_fault, seed);
    }
    if (first == 0) {
        rig_plan = (struct fault_plan){.receive_most = 1, .send_most = 1};
        failed += rig_run(&io_backend_fault, 0);
    }
    return failed < FAILED_MOST ? failed : FAILED_MOST;
}
