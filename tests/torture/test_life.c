/* A server's life with every allocation failed: create, listen, start, stop, destroy.
 *
 * What could not be made says so and leaves nothing behind; what had been made before can be
 * destroyed; and the next server, with memory back, serves.
 */
#include <string.h>

#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* After a server that never served: another one does. */
static void another_serves(bool served)
{
    if (served) {
        return;
    }
    rig_down();
    bool chooses = rig.chooses;
    rig_reset(rig.kind);
    rig.chooses = chooses;
    RIG_CHECK(rig_up());
}

static void create_and_destroy(void)
{
    another_serves(rig_create() && false);
}

static void choose(void)
{
    rig.chooses = true;
}

static void choose_any(void)
{
    rig.chooses = true;
    rig.config.backend = BERTH_BACKEND_AUTO;
}

/* The self-test of io_uring fails in all its parts: then it is epoll, and the log says why. */
static void create_with_any_backend(void)
{
    bool made = rig_create();
    if (made) {
        RIG_CHECK(rig.logged == 1 && strncmp(rig.log, "backend ", 8) == 0);
        bool uring = strncmp(rig.log, "backend uring", 13) == 0;
        RIG_CHECK(uring == (rig.server->backend == &io_backend_uring));
        RIG_CHECK(uring || strchr(rig.log + 8, ':') != NULL);
    }
    another_serves(made && rig_listen() && rig_start());
}

static void listen_twice(void)
{
    rig.listeners = 2;
}

static void listen_only(void)
{
    another_serves(rig_create() && rig_listen() && false);
}

static void start_and_stop(void)
{
    another_serves(rig_up());
}

static void many_workers(void)
{
    rig.config.workers = RIG_WORKERS;
    rig.listeners = 2;
}

static void start_and_cut(void)
{
    if (!rig_up()) {
        another_serves(false);
        return;
    }
    berth_server_stop(rig.server);
    berth_server_stop(rig.server);
}

static void outgoing(void)
{
    rig.config.connects_max = 4;
    rig.config.workers = 2;
}

/* Connections asked for before the start, and a visit that waits for it. */
static void start_with_plans(void)
{
    if (!rig_create() || !rig_listen()) {
        another_serves(false);
        return;
    }
    bool dialled = rig_dial(&rig.addresses[0], 1);
    bool asked = rig_visit_all();
    bool serves = rig_start();
    if (serves) {
        RIG_UNTIL(rig.dials_closed + rig.dials_failed == (dialled ? 1u : 0u));
        RIG_UNTIL(!asked || rig.visited > 0);
    }
    another_serves(serves);
}

static void groups_before_start(void)
{
    bool made = rig_create() && rig_listen();
    for (uint32_t i = 0; made && i < RIG_GROUPS; i++) {
        made = rig_group(i, BERTH_SLOW_PAUSE);
    }
    another_serves(made && rig_start());
}

static const struct scenario scenarios[] = {
    {"create_and_destroy", ON_ALL, true, NULL, create_and_destroy},
    {"create_chosen", ON_LIVE, true, choose, start_and_stop},
    {"create_any", ON_URING, true, choose_any, create_with_any_backend},
    {"listen_only", ON_ALL, true, listen_twice, listen_only},
    {"start_and_stop", ON_ALL, true, NULL, start_and_stop},
    {"start_many", ON_ALL, true, many_workers, start_and_stop},
    {"start_and_cut", ON_ALL, true, many_workers, start_and_cut},
    {"start_with_plans", ON_ALL, true, outgoing, start_with_plans},
    {"groups_before_start", ON_ALL, true, many_workers, groups_before_start},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "life", scenarios, COUNT(scenarios));
}
