/* What a server does beside its messages, with every allocation failed: it stops listening and
 * listens again, ends those that are late, is watched, and stops, in order and at once.
 *
 * None of it is lost: deadlines pass, clients that waited are served, and a stop answers what was
 * received.
 */
#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define CROWD 4

static uint32_t crowd[CROWD];

static void listening(void)
{
    struct berth_error error = {.text = ""};
    uint32_t client = rig_client(0);
    (void)rig_hello(client);
    RIG_CHECK(RIG_CALL(berth_server_listening(rig.server, false, &error)) == BERTH_OK);
    RIG_UNTIL(atomic_load(&rig.server->listening) == LISTENING_HALTED);
    rig_ask(client, (struct ask){'e', 20, 600, 0});
    RIG_UNTIL(rig_settled(client));
    uint32_t early = rig_client(0);
    RIG_CHECK(rig.clients[early].refused);
    rig_leave(early);
    int result = RIG_CALL(berth_server_listening(rig.server, true, &error));
    RIG_CHECK(result == BERTH_OK);
    (void)rig_hello(rig_client(0));
}

static void quick_deadlines(void)
{
    rig.config.first_message_timeout_ms = 40;
    rig.config.message_timeout_ms = 40;
    rig.config.linger_timeout_ms = 40;
}

/* Clients that say nothing, and half a message; a bystander is not late. */
static void deadlines(void)
{
    uint32_t silent = rig_client(0);
    uint32_t slow = rig_client(0);
    rig.clients[silent].leaves = true;
    rig.clients[slow].leaves = true;
    uint8_t frame[3004];
    (void)rig_frame(slow, (struct ask){'q', 3000, 8, 0}, frame);
    rig_say(slow, frame, 1000);
    RIG_UNTIL(rig.clients[silent].ended && rig.clients[slow].ended);
}

static void watched(void)
{
    static struct berth_record records[64];
    berth_server_watch(rig.server, BERTH_WATCH_ALL);
    uint32_t client = rig_client(0);
    (void)rig_hello(client);
    rig_ask(client, (struct ask){'e', 6000, 6000, 0});
    rig_ask(client, (struct ask){'n', 20, 700, 0});
    RIG_UNTIL(rig_settled(client));
    RIG_CHECK(RIG_CALL(berth_server_recorder(rig.server, 0, records, COUNT(records))) > 0);
    RIG_CHECK(rig.events > 0 || allocations_failed());
    berth_server_watch(rig.server, 0);
}

static bool someone_ended(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        if (rig.clients[crowd[i]].ended) {
            return true;
        }
    }
    return false;
}

/* A stop in the middle: what was received is answered. */
static void stop_in_order(void)
{
    struct berth_stats stats;
    berth_server_stats(rig.server, &stats);
    uint64_t bytes = stats.bytes_in;
    for (uint32_t i = 0; i < CROWD; i++) {
        crowd[i] = rig_client(0);
        for (uint32_t m = 0; m < 5; m++) {
            rig_ask(crowd[i], (struct ask){m % 2 == 0 ? 'e' : 'n', 50, 2000, 0});
        }
        rig.clients[crowd[i]].leaves = true;
        bytes += 5 * (50 + 4);
    }
    RIG_UNTIL((berth_server_stats(rig.server, &stats), stats.bytes_in >= bytes) || someone_ended());
    rig.clients[rig.bystander].leaves = true;
    berth_server_stop(rig.server);
    rig_answer_bystander();
    for (uint32_t i = 0; i < CROWD; i++) {
        RIG_UNTIL(rig.clients[crowd[i]].ended);
    }
}

static void stop_and_cut(void)
{
    crowd[0] = rig_client(0);
    rig.clients[crowd[0]].stalls = true;
    for (uint32_t m = 0; m < 40; m++) {
        rig_ask(crowd[0], (struct ask){m % 2 == 0 ? 'e' : 'k', 50, 9000, 0});
    }
    rig.cut = true;
    for (uint32_t turns = 0; turns < 20; turns++) {
        rig_turn();
    }
    rig_answer_bystander();
    rig.clients[rig.bystander].leaves = true;
    berth_server_stop(rig.server);
    rig_turn();
    berth_server_stop(rig.server);
}

/* The kernel takes nothing from the ring for a while, or not this once: everything waits, and goes
 * on; also the end. */
static void ring_refused(void)
{
    allocations_are_enters(true);
    RIG_CHECK(rig_up());
    for (uint32_t i = 0; i < CROWD; i++) {
        crowd[i] = rig_client((uint8_t)(i % rig.listeners));
        rig_ask(crowd[i], (struct ask){'e', 20, 20, 0});
    }
    rig_settle();
    rig_ask(crowd[0], (struct ask){'i', 30000, 60000, 0});
    rig_ask(crowd[1], (struct ask){'n', 20, 5000, 0});
    rig_settle();
    rig_stop();
}

static void two_addresses(void)
{
    rig.listeners = 2;
}

static const struct scenario scenarios[] = {
    {"listening", ON_ALL, false, NULL, listening},
    {"deadlines", ON_ALL, false, quick_deadlines, deadlines},
    {"watched", ON_ALL, false, NULL, watched},
    {"stop_in_order", ON_ALL, false, NULL, stop_in_order},
    {"stop_and_cut", ON_ALL, false, NULL, stop_and_cut},
    {"ring_refused", ON_URING, true, NULL, ring_refused},
    {"ring_refused_with_polls", ON_URING, true, two_addresses, ring_refused},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "beside", scenarios, COUNT(scenarios));
}
