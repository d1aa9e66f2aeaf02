/* The whole core, unchanged, in virtual time: honest peers echo through a real server, each run
 * drawn from one seed (help_stage.h says what is drawn and what is checked).
 *
 *     sim_echo                    the ordinary run; BERTH_FULL=1 in the environment runs more seeds
 *     sim_echo --seeds N          the first N seeds of each kind
 *     sim_echo --seed N [--trace] one seed of each kind, with its story on stderr
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/help_stage.h"

#define SEEDS         600
#define SEEDS_ENDINGS 400
#define SEEDS_STOPPED 300
#define SEEDS_FULL    20 /* times as many with BERTH_FULL=1 */

static uint64_t seed_first = 1;
static uint64_t seeds; /* 0: as above */
static bool trace;

static void run_seeds(enum stage_kind kind, uint64_t ordinary)
{
    uint64_t count = seeds != 0                     ? seeds
                     : getenv("BERTH_FULL") != NULL ? ordinary * SEEDS_FULL
                                                    : ordinary / STAGE_SEEDS_PART;
    for (uint64_t seed = seed_first; seed < seed_first + count; seed++) {
        (void)stage_run(seed, kind, trace);
    }
}

static void every_honest_peer_gets_every_reply(void **state)
{
    (void)state;
    run_seeds(STAGE_CALM, SEEDS);
}

static void connections_that_end_early_leave_nothing_behind(void **state)
{
    (void)state;
    run_seeds(STAGE_ENDINGS, SEEDS_ENDINGS);
}

static void a_stop_answers_whole_messages_and_ends(void **state)
{
    (void)state;
    run_seeds(STAGE_STOPPED, SEEDS_STOPPED);
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    uint64_t hashes[20];
    for (uint64_t seed = 0; seed < 20; seed++) {
        hashes[seed] = stage_run(seed, STAGE_CALM, false);
        assert_true(stage_run(seed, STAGE_CALM, false) == hashes[seed]);
        for (uint64_t other = 0; other < seed; other++) {
            assert_true(hashes[other] != hashes[seed]);
        }
    }
}

/* The runs of three seeds, folded into 64 bits each: the same from every compiler, at every level
 * of optimisation, under every sanitizer. A change to the engine or to the simulated world may well
 * change them; the message of the failure is then what to put here. */
static void every_build_gives_the_same_run(void **state)
{
    (void)state;
    static const uint64_t golden[] = {
        UINT64_C(0xa015e1a8c9d821b4),
        UINT64_C(0x033ed7178da695d5),
        UINT64_C(0x996773f6bfcd2813),
    };
    bool same = true;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        uint64_t hash = stage_run(1001 + i, STAGE_CALM, false);
        printf("seed %zu: UINT64_C(0x%016llx)\n", 1001 + i, (unsigned long long)hash);
        same = same && hash == golden[i];
    }
    assert_true(same);
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(arguments[i], "--seed") == 0 && i + 1 < count) {
            seed_first = strtoull(arguments[++i], NULL, 10);
            seeds = 1;
        } else if (strcmp(arguments[i], "--seeds") == 0 && i + 1 < count) {
            seeds = strtoull(arguments[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: sim_echo [--seed N | --seeds N] [--trace]\n");
            return 2;
        }
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(every_build_gives_the_same_run),
        cmocka_unit_test(every_honest_peer_gets_every_reply),
        cmocka_unit_test(connections_that_end_early_leave_nothing_behind),
        cmocka_unit_test(a_stop_answers_whole_messages_and_ends),
    };
    /* Chosen seeds are a search or a replay: the comparisons of runs are left out. */
    bool replay = seeds != 0;
    return replay ? _cmocka_run_group_tests("sim.echo", tests + 2, 3, NULL, NULL)
                  : cmocka_run_group_tests_name("sim.echo", tests, NULL, NULL);
}
