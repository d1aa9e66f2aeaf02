/* The loop: a scenario is run once to count its allocations and to see that it succeeds, and then
 * again and again, with the first failed, the second, and so on, until it ended without a failure.
 * Three ways: that one alone fails; it and all later ones, until nothing goes on any more; and the
 * same with memory away until the server has closed somebody for want of it (simulated world only,
 * where the second that takes costs nothing).
 *
 *     torture_traffic sim|epoll|uring [--scenario NAME [--mode one|on|long] [--point N]]
 *
 * Without BERTH_FULL=1 each scenario and way has at most so many points, spread evenly. A table
 * says what was run; with BERTH_FAULTS_DIR set, a row of it goes there.
 */
#include "torture/help_run.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKIPPED 77

/* A scenario that never ends without a failure would be a loop. */
#define POINTS_MAX 5000

/* Of one scenario and way in a short run, so that a program takes a second or two. */
#define POINTS_SHORT_SIM  30
#define POINTS_SHORT_LONG 6
#define POINTS_SHORT_LIVE 3

static const char *const world_names[RIG_WORLDS] = {"sim", "epoll", "uring"};

enum way { WAY_ONE, WAY_ON, WAY_LONG, WAYS };
static const char *const way_names[WAYS] = {"one", "on", "long"};

static struct {
    const char *noun;
    const struct scenario *scenario;
    enum rig_world world;
    enum way way;
    uint32_t count; /* of the last body's allocations */
    bool full;
    uint64_t begin_ms;
    /* What was asked for on the command line. */
    const char *only;
    int only_way; /* -1: all */
    uint32_t only_point;
    /* For say_where: how to repeat the point that is run, and what failed in it. */
    char repeat[256];
    const char *what;
} run = {.only_way = -1};

/* A signal's handler may do no more. */
static void say(const char *text)
{
    size_t bytes = 0;
    while (text[bytes] != '\0') {
        bytes++;
    }
    (void)!write(STDERR_FILENO, text, bytes);
}

static void say_where(void)
{
    say("to repeat: ");
    say(run.repeat);
    if (run.what[0] != '\0') {
        say("\nwhat failed: ");
        say(run.what);
    }
    say("\n");
}

void run_failed(const char *format, va_list arguments)
{
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    say_where();
}

/* An assertion of the library's, or a sanitizer's finding, is a failure like any other. */
static void aborted(int number)
{
    (void)number;
    say_where();
}

void __asan_on_error(void);
void __asan_on_error(void)
{
    say_where();
}

/* ------------------------------------------------------------------------------------ one point */

/* One client that is served before anything fails, and has a message kept: what it needs from then
 * on is there. */
static void greet_bystander(void)
{
    rig.bystander = rig_client(0);
    RIG_CHECK(rig_hello(rig.bystander));
    rig_ask(rig.bystander, (struct ask){'k', 100, 300, 0});
    RIG_UNTIL(rig_held() == 1);
    rig.bystander_kept = rig_take_held();
}

/* Runs the scenario with this point failed. Returns whether it was reached. */
static bool run_point(uint32_t point)
{
    const struct scenario *scenario = run.scenario;
    enum fail_mode mode = point == 0 ? FAIL_NONE : run.way == WAY_ONE ? FAIL_ONE : FAIL_ON;
    (void)snprintf(run.repeat, sizeof run.repeat,
                   "torture_%s %s --scenario %s --mode %s --point %u", run.noun,
                   world_names[run.world], scenario->name, way_names[run.way], point);
    rig_reset(run.world);
    rig.patient = run.way == WAY_LONG;
    if (scenario->settings != NULL) {
        scenario->settings();
    }
    if (!scenario->whole) {
        RIG_CHECK(rig_up());
        greet_bystander();
    }
    allocations_arm(mode, point);
    scenario->body();
    if (rig.running && !rig.cut) {
        rig_settle();
    }
    bool failed = allocations_failed();
    run.count = allocations_count();
    rig_down();
    (void)allocations_disarm();
    return failed;
}

/* ----------------------------------------------------------------------------- a scenario's points
 */

/* How many points of this way there are, all of which were run, or some of them. */
static uint32_t run_way(enum way way, uint32_t expected)
{
    uint32_t most = run.world != RIG_SIM ? POINTS_SHORT_LIVE
                    : way == WAY_LONG    ? POINTS_SHORT_LONG
                                         : POINTS_SHORT_SIM;
    uint32_t step = run.full || expected <= most ? 1 : (expected + most - 1) / most;
    uint32_t points = 0;
    run.way = way;
    if (run.only_point > 0) {
        return run_point(run.only_point) ? 1 : 0;
    }
    for (uint32_t point = 1; run_point(point); point += step) {
        points++;
        if (point > POINTS_MAX) {
            rig_fail("it does not end");
        }
    }
    return points;
}

static uint32_t run_scenario(const struct scenario *scenario)
{
    uint32_t points[WAYS] = {0};
    run.scenario = scenario;
    run.way = WAY_ONE;
    allocations_counted(false);
    (void)run_point(0);
    uint32_t expected = run.count;
    for (enum way way = WAY_ONE; way < WAYS; way++) {
        bool runs = way != WAY_LONG || run.world == RIG_SIM;
        if (runs && (run.only_way < 0 || run.only_way == (int)way)) {
            points[way] = run_way(way, expected);
        }
    }
    printf("%-24s %-6s %11u %8u %10u %8u\n", scenario->name, world_names[run.world], expected,
           points[WAY_ONE], points[WAY_ON], points[WAY_LONG]);
    fflush(stdout);
    return points[WAY_ONE] + points[WAY_ON] + points[WAY_LONG];
}

/* ---------------------------------------------------------------------------------------- the run
 */

/* A row for docs/FAULTS.md. Before the run it says that the fault is not met: a run may end
 * anywhere. */
static void write_row(bool met, uint32_t points)
{
    const char *folder = getenv("BERTH_FAULTS_DIR");
    const char *test = getenv("BERTH_FAULTS_TEST");
    char path[512];
    if (folder == NULL || test == NULL || run.only != NULL) {
        return;
    }
    (void)mkdir(folder, 0777); /* or it is there; if neither, the open says so */
    (void)snprintf(path, sizeof path, "%s/F12.%s.%s%s.json", folder, world_names[run.world],
                   run.noun, run.full ? ".full" : "");
    FILE *file = fopen(path, "w");
    double seconds = (double)(rig_now_ms() - run.begin_ms) / 1000;
    if (file == NULL ||
        fprintf(file,
                "{\"id\": \"F12\", \"backend\": \"%s\", \"where\": \"%s\", \"passed\": %s, "
                "\"figure\": \"%u allocations failed, %s\", \"command\": \"./dev test%s -R %s\", "
                "\"seconds\": %.1f}\n",
                world_names[run.world], run.world == RIG_SIM ? "sim" : "kernel",
                met ? "true" : "false", points, met ? "0 leaks" : "and not to the end",
                run.full ? " --full" : "", test, seconds) < 0 ||
        fclose(file) != 0) {
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static int number_of(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    fprintf(stderr, "%s: what is that?\n", text);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    if (argc < 2 || argc % 2 != 0) {
        fputs("give a backend: sim, epoll or uring\n", stderr);
        exit(2);
    }
    run.world = (enum rig_world)number_of(argv[1], world_names, RIG_WORLDS);
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--scenario") == 0) {
            run.only = argv[i + 1];
        } else if (strcmp(argv[i], "--mode") == 0) {
            run.only_way = number_of(argv[i + 1], way_names, WAYS);
        } else if (strcmp(argv[i], "--point") == 0) {
            run.only_point = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else {
            fprintf(stderr, "%s: no such option\n", argv[i]);
            exit(2);
        }
    }
}

static bool has_uring(void)
{
    struct io_uring ring;
    bool before = allocations_counted(false);
    int result = io_uring_queue_init(2, &ring, 0);
    if (result == 0) {
        io_uring_queue_exit(&ring);
    }
    (void)allocations_counted(before);
    return result == 0 || (result != -ENOSYS && result != -EPERM);
}

int run_main(int argc, char **argv, const char *noun, const struct scenario *scenarios,
             uint32_t count)
{
    run.noun = noun;
    run.what = allocations_what();
    allocations_begin();
    (void)signal(SIGABRT, aborted);
    read_options(argc, argv);
    const char *full = getenv("BERTH_FULL");
    run.full = full != NULL && strcmp(full, "1") == 0;
    if (run.world == RIG_URING && !has_uring()) {
        puts("no io_uring on this machine");
        return SKIPPED;
    }
    printf("%-24s %-6s %11s %8s %10s %8s\n", "scenario", "world", "allocations", "one",
           "persistent", "long");
    uint32_t points = 0;
    run.begin_ms = rig_now_ms();
    write_row(false, 0);
    for (uint32_t i = 0; i < count; i++) {
        bool wanted = run.only == NULL || strcmp(run.only, scenarios[i].name) == 0;
        if (wanted && (scenarios[i].worlds & 1u << run.world) != 0) {
            points += run_scenario(&scenarios[i]);
        }
    }
    printf("%u points failed; nothing is left over\n", points);
    write_row(true, points);
    return EXIT_SUCCESS;
}
