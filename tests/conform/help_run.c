/* Runs every test of the conformance suite on one backend, under a name that holds the seed, so
 * that a failure in the log says how to repeat it.
 */
#include <stdio.h>
#include <string.h>

#include "conform/help_rig.h"

#define TESTS_MAX 80

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
    (void)snprintf(name, sizeof name, "%s, seed %llu", io_backend_name(backend),
                   (unsigned long long)seed);
    return _cmocka_run_group_tests(name, all, count, NULL, NULL);
}
