/* Clients that come and connections that are made, with every allocation failed.
 *
 * A client for whom there is no memory may find its connection closed, or waits in the queue; the
 * others are served, the limit is exact, and permits come back. An outgoing connection ends in its
 * callbacks, once, whatever failed.
 */
#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void one(void)
{
    (void)rig_hello(rig_client(0));
}

static void crowd(void)
{
    enum { CROWD = 8 };
    uint32_t clients[CROWD];
    for (uint32_t i = 0; i < CROWD; i++) {
        clients[i] = rig_client(0);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        rig_ask(clients[i], (struct ask){i % 2 == 0 ? 'e' : 'i', 50 + i, 400 * i + 8, 0});
    }
    RIG_UNTIL(rig_all_settled());
    for (uint32_t i = 0; i < CROWD; i++) {
        rig_half_close(clients[i]);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        RIG_UNTIL(rig.clients[clients[i]].ended);
    }
}

static void two_workers(void)
{
    rig.config.workers = 2;
}

/* Several listening sockets are accepted from in another way. */
static void two_addresses(void)
{
    rig.config.workers = 2;
    rig.listeners = 2;
}

static void both_addresses(void)
{
    uint32_t little = rig_client(0);
    uint32_t big = rig_client(1);
    rig_ask(little, (struct ask){'e', 30, 3000, 0});
    rig_ask(big, (struct ask){'i', 30, 3000, 0});
    RIG_UNTIL(rig_all_settled());
    (void)rig_hello(rig_client(1));
}

static void few(void)
{
    rig.config.connections_max = 3; /* the bystander is one */
}

/* More come than are served at once; each leaves when it has its answer, and the next comes in. */
static void at_the_limit(void)
{
    enum { CROWD = 6 };
    uint32_t first = rig.clients_count;
    for (uint32_t i = 0; i < CROWD; i++) {
        uint32_t client = rig_client(0);
        rig_ask(client, (struct ask){'e', 20, 20, 0});
    }
    for (uint32_t gone = 0; gone < CROWD;) {
        uint32_t before = gone;
        for (uint32_t i = first; i < first + CROWD; i++) {
            if (!rig.clients[i].closed && rig_settled(i)) {
                rig.clients[i].leaves = rig.clients[i].came == 1;
                rig_judge_one(i);
                rig_leave(i);
                gone++;
            }
        }
        if (gone == before) {
            rig_wait("one of those that wait is served", __LINE__);
        }
    }
}

/* Clients that are gone before they are accepted, or just then. */
static void resets(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t client = rig_client(0);
        if (i % 2 == 1) {
            rig_ask(client, (struct ask){'e', 2000, 20, 0});
        }
        rig_abandon(client);
    }
    (void)rig_hello(rig_client(0));
}

/* ---------------------------------------------------------------------------------------- outgoing
 */

static void outgoing(void)
{
    rig.config.connects_max = 4;
    rig.config.workers = 2;
}

/* Asked for by a client, on its worker; the server talks to itself. */
static void connects(void)
{
    uint32_t client = rig_client(0);
    for (uint32_t i = 0; i < 3; i++) {
        rig_ask(client, (struct ask){'d', 20, 20, 0});
    }
    RIG_UNTIL(rig_settled(client));
    RIG_UNTIL(rig.dials_closed + rig.dials_failed == rig.dials);
    RIG_CHECK(rig.dials_answered == rig.dials || allocations_failed());
    RIG_CHECK(rig.dials + rig.refused == 3 || allocations_failed());
}

static void refused_before_start(void)
{
    const struct berth_address nowhere = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}, .port = 1};
    if (!rig_create() || !rig_listen()) {
        return;
    }
    bool dialled = rig_dial(&nowhere, 1) && rig_dial(&nowhere, 4);
    if (!rig_start()) {
        return;
    }
    RIG_UNTIL(rig.dials_closed + rig.dials_failed == rig.dials);
    RIG_CHECK(rig.dials_opened == 0);
    RIG_CHECK(dialled || allocations_failed());
}

static const struct scenario scenarios[] = {
    {"accept_one", ON_ALL, false, NULL, one},
    {"accept_many", ON_ALL, false, two_workers, crowd},
    {"accept_both_addresses", ON_ALL, false, two_addresses, both_addresses},
    {"accept_at_the_limit", ON_ALL, false, few, at_the_limit},
    {"accept_resets", ON_ALL, false, NULL, resets},
    {"connect", ON_ALL, false, outgoing, connects},
    {"connect_refused", ON_ALL, true, outgoing, refused_before_start},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "accept", scenarios, COUNT(scenarios));
}
