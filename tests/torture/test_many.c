/* One to many, and visits, with every allocation failed.
 *
 * A payload that could not be sent was refused to its sender; a member for whom there was no node
 * is treated as slow, by the group's policy, and alone. The newest payload of a group that keeps it
 * for the slow always comes in the end.
 */
#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define CROWD 4

static uint32_t members[CROWD];

/* Clients that have joined a group; how many, which were not refused. */
static uint32_t assemble(uint32_t group, enum berth_slow slow)
{
    uint32_t joined = 0;
    bool made = rig_group(group, slow);
    for (uint32_t i = 0; i < CROWD; i++) {
        members[i] = rig_client(i % 2 == 0 ? 0 : (uint8_t)(rig.listeners - 1));
        if (made) {
            rig_ask(members[i], (struct ask){'j', 20, 20, (uint8_t)group});
        }
    }
    RIG_UNTIL(rig_all_settled());
    for (uint32_t i = 0; i < CROWD; i++) {
        const struct rig_visit *visit = rig_visit_of(members[i]);
        joined += visit != NULL && (visit->groups & 1u << group) != 0 ? 1 : 0;
    }
    RIG_CHECK(joined == CROWD || allocations_failed());
    return made ? joined : 0;
}

static bool is_member(uint32_t client, uint32_t group)
{
    const struct rig_visit *visit = rig_visit_of(client);
    return visit != NULL && visit->closes == 0 && (visit->groups & 1u << group) != 0 &&
           !rig.clients[client].ended;
}

/* Every payload that was sent has reached each member, or there was no node for it. */
static void all_have(uint32_t group, uint32_t sent)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        const struct rig_client *client = &rig.clients[members[i]];
        struct berth_stats stats;
        RIG_UNTIL(!is_member(members[i], group) || client->payloads[group] == sent ||
                  (berth_server_stats(rig.server, &stats),
                   stats.group_skipped + stats.group_replaced > 0 && allocations_failed()));
    }
}

static void two_framings(void)
{
    rig.listeners = 2;
    rig.config.workers = 2;
}

static void group(void)
{
    uint32_t sent = 0;
    if (assemble(0, BERTH_SLOW_PAUSE) == 0) {
        return;
    }
    for (uint32_t i = 0; i < 5; i++) {
        sent += rig_group_send(0, 60 + 500 * i) ? 1 : 0;
    }
    all_have(0, sent);
    rig_ask(members[0], (struct ask){'g', 20, 80, 0}); /* by a member, on its worker */
    rig_ask(members[1], (struct ask){'l', 20, 80, 0});
    RIG_UNTIL(rig_all_settled());
    (void)rig_group_send(0, 90);
    rig_leave(members[2]);
    (void)rig_group_send(0, 100);
}

/* Members that are in several groups come and go. */
static void groups(void)
{
    bool made = true;
    for (uint32_t i = 0; i < RIG_GROUPS; i++) {
        made = rig_group(i, BERTH_SLOW_LATEST) && made;
    }
    for (uint32_t i = 0; made && i < CROWD; i++) {
        members[i] = rig_client(0);
        for (uint8_t g = 0; g < RIG_GROUPS; g++) {
            rig_ask(members[i], (struct ask){'j', 20, 20, g});
        }
    }
    RIG_UNTIL(rig_all_settled());
    for (uint32_t i = 0; made && i < RIG_GROUPS; i++) {
        (void)rig_group_send(i, 70);
        rig_ask(members[i], (struct ask){'l', 20, 20, (uint8_t)i});
    }
    RIG_UNTIL(rig_all_settled());
}

/* ------------------------------------------------------------------------------------- the slow */

static void short_queue(void)
{
    rig.config.send_high_bytes = 20000;
    rig.config.send_low_bytes = 5000;
    rig.config.send_max_bytes = 60000;
}

static bool others_have(uint32_t group, int32_t number)
{
    for (uint32_t i = 1; i < CROWD; i++) {
        if (is_member(members[i], group) && rig.clients[members[i]].last_payload[group] < number) {
            return false;
        }
    }
    return true;
}

/* One member does not read; the others get everything, as far as there are nodes, and are given the
 * time to. */
static void flood(uint32_t group, uint32_t payloads, bool closes)
{
    uint32_t bytes = 9000;
    rig.clients[members[0]].stalls = true;
    for (uint32_t i = 0; i < payloads; i++) {
        while (!rig_group_send(group, bytes)) {
            rig_wait("room for a payload", __LINE__);
        }
        int32_t number = (int32_t)rig.payloads[group] - 1;
        for (uint32_t turns = 0; turns < 30 && !others_have(group, number); turns++) {
            rig_turn();
        }
        if (closes) { /* whoever is not given the time to read is closed too */
            RIG_UNTIL(others_have(group, number));
        }
    }
}

static void slow_paused(void)
{
    if (assemble(0, BERTH_SLOW_PAUSE) > 0) {
        flood(0, 16, false);
    }
    rig.clients[members[0]].stalls = false;
}

/* The last payload comes to the slow one too, and behind it nothing. */
static void slow_latest(void)
{
    uint32_t joined = assemble(0, BERTH_SLOW_LATEST);
    if (joined > 0) {
        flood(0, 16, false);
    }
    rig.clients[members[0]].stalls = false;
    for (uint32_t i = 0; joined > 0 && i < CROWD; i++) {
        const struct rig_client *client = &rig.clients[members[i]];
        RIG_UNTIL(!is_member(members[i], 0) ||
                  client->last_payload[0] == (int32_t)rig.payloads[0] - 1);
    }
}

static void slow_closed(void)
{
    if (assemble(0, BERTH_SLOW_CLOSE) > 0) {
        rig.clients[members[0]].leaves = true;
        flood(0, 16, true);
    }
    rig.clients[members[0]].stalls = false;
}

/* ------------------------------------------------------------------------------------- everybody
 */

static void broadcasts(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        members[i] = rig_client(i % 2 == 0 ? 0 : (uint8_t)(rig.listeners - 1));
        (void)rig_hello(members[i]);
    }
    uint32_t sent = 0;
    for (uint32_t i = 0; i < 6; i++) {
        sent += rig_broadcast(100 + 700 * i, BERTH_SLOW_LATEST) ? 1 : 0;
    }
    rig_ask(members[0], (struct ask){'b', 20, 50, BERTH_SLOW_PAUSE}); /* by a worker */
    RIG_UNTIL(rig_all_settled());
    RIG_CHECK(sent == 6 || allocations_failed());
}

static void visits(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        (void)rig_hello(rig_client(0));
    }
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 4; i++) {
        asked += rig_visit_all() ? 1 : 0;
    }
    uint32_t client = rig_client(0);
    rig_ask(client, (struct ask){'v', 20, 20, 0});
    RIG_UNTIL(rig_settled(client) && rig.visited >= asked);
    RIG_CHECK(rig.seen >= CROWD || allocations_failed());
}

static const struct scenario scenarios[] = {
    {"group", ON_ALL, false, two_framings, group},
    {"groups", ON_ALL, false, NULL, groups},
    {"slow_paused", ON_ALL, false, short_queue, slow_paused},
    {"slow_latest", ON_ALL, false, short_queue, slow_latest},
    {"slow_closed", ON_ALL, false, short_queue, slow_closed},
    {"broadcasts", ON_ALL, false, two_framings, broadcasts},
    {"visits", ON_ALL, false, two_framings, visits},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "many", scenarios, COUNT(scenarios));
}
