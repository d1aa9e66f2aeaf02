/* The whole core in virtual time with a program that answers late (help_late.h): each run is drawn
 * from one seed, and no order of messages, answers, requests by handle and endings may break a law.
 *
 *     sim_late                    the ordinary run; BERTH_FULL=1 in the environment runs more seeds
 *     sim_late --seeds N          the first N seeds of each kind
 *     sim_late --seed N [--trace] one seed of each kind, with its story on stderr
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/help_late.h"

/* Where STAGE_SEEDS_PART is not 1: a quarter, as an eighth does not reach the corners. */
#define SEEDS      (STAGE_SEEDS_PART > 1 ? 25 : 100)
#define SEEDS_FULL 6000 /* with BERTH_FULL=1 */

static uint64_t seed_first = 1;
static uint64_t seeds; /* 0: as above */
static bool trace;
static struct late sums; /* only its counters */

static void run_seeds(enum stage_kind kind)
{
    uint64_t count = seeds != 0 ? seeds : getenv("BERTH_FULL") != NULL ? SEEDS_FULL : SEEDS;
    for (uint64_t seed = seed_first; seed < seed_first + count; seed++) {
        (void)stage_run_late(seed, kind, trace, &sums);
    }
}

static void every_reply_comes_in_order(void **state)
{
    (void)state;
    run_seeds(STAGE_CALM);
}

static void endings_leave_nothing_behind(void **state)
{
    (void)state;
    run_seeds(STAGE_ENDINGS);
}

static void a_stop_waits_for_answers_to_its_deadline(void **state)
{
    (void)state;
    run_seeds(STAGE_STOPPED);
}

/* What the seeds are for happened in some of them. */
static void the_seeds_reach_the_corners(void **state)
{
    (void)state;
    printf("answered %llu, released %llu, too late %llu, not kept %llu, not sent %llu, drained "
           "%llu, held at the end %llu, visits %u\n",
           (unsigned long long)sums.answered, (unsigned long long)sums.released,
           (unsigned long long)sums.stale, (unsigned long long)sums.keeps_refused,
           (unsigned long long)sums.sends_refused, (unsigned long long)sums.drains,
           (unsigned long long)sums.cut_kept, sums.visits_done);
    assert_true(sums.answered > 0 && sums.released > 0 && sums.stale > 0);
    assert_true(STAGE_SEEDS_PART > 1 || sums.keeps_refused > 0); /* rare */
    assert_true(sums.sends_refused > 0 && sums.drains > 0);
    assert_true(sums.cut_kept > 0 && sums.visits_done > 0);
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    struct late unused = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t hash = stage_run_late(seed, STAGE_CALM, false, &unused);
        assert_true(stage_run_late(seed, STAGE_CALM, false, &unused) == hash);
    }
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
            fprintf(stderr, "usage: sim_late [--seed N | --seeds N] [--trace]\n");
            return 2;
        }
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_comes_in_order),
        cmocka_unit_test(endings_leave_nothing_behind),
        cmocka_unit_test(a_stop_waits_for_answers_to_its_deadline),
        cmocka_unit_test(the_seeds_reach_the_corners),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };
    /* A chosen seed is a replay; the first three are all there is to it. */
    return seeds != 0 ? _cmocka_run_group_tests("sim.late", tests, 3, NULL, NULL)
                      : cmocka_run_group_tests_name("sim.late", tests, NULL, NULL);
}
