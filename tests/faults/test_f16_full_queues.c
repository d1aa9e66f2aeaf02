/* F16: io_uring's queues are full. The worker stands still in a callback while thousands of clients
 * send; then one turn sends to all of them, which is more than the submission queue holds, and more
 * completions than the completion queue does. Each client must get both what it was sent and the
 * answer to what it said, round after round: no send is lost, and a receive that ended because the
 * queue was full began again. The large form has as many clients as a table of descriptors allows.
 *
 * With the argument "refused" it is run by tests/variants/refuse, on a kernel that takes nothing of
 * every third submission: then it is the submission queue that stays full, and what finds no place
 * in it must wait its turn.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define ORDINARY    6000u /* above the 4,096 completions of the queue */
#define FULL        9000u
#define ROUNDS      3u
#define FULL_ROUNDS 30u
#define SPARE       100u /* descriptors that are no connection */

enum kind { HOLD = 1, ASKED, PUSHED };

struct words {
    uint32_t kind;
    uint32_t round;
};

static struct {
    struct berth_server *server;
    uint32_t clients;
    int fds[FULL];
    _Atomic uint32_t round;
    _Atomic bool held;
    _Atomic bool let_go;
    _Atomic uint32_t refused;
    bool kernel_refuses;
} world;

/* A client's question comes back; the first client's other one holds the worker. */
static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct words words;
    memcpy(&words, message->data, sizeof words);
    if (words.kind == HOLD) {
        atomic_store(&world.held, true);
        while (!atomic_load(&world.let_go)) {
            sched_yield();
        }
        return;
    }
    if (berth_reply(conn, message, &words, sizeof words) != BERTH_OK) {
        atomic_fetch_add(&world.refused, 1);
    }
}

static const struct berth_protocol protocol = {
    .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = sizeof(struct words)},
    .on_message = on_message,
};

static void push(struct berth_conn *conn, void *context)
{
    (void)context;
    const struct words words = {.kind = PUSHED, .round = world.round};
    if (berth_send(conn, &words, sizeof words) != BERTH_OK) {
        atomic_fetch_add(&world.refused, 1);
    }
}

static void tell(uint32_t client, enum kind kind)
{
    const struct words words = {.kind = (uint32_t)kind, .round = world.round};
    live_tell(world.fds[client], &words, sizeof words);
}

/* The two messages of this round, in either order. */
static void hear_both(uint32_t client)
{
    struct words words[2];
    size_t heard = 0;
    while (heard < sizeof words) {
        ssize_t more = read(world.fds[client], (uint8_t *)words + heard, sizeof words - heard);
        assert_true(more > 0);
        heard += (size_t)more;
    }
    assert_int_equal(words[0].round, world.round);
    assert_int_equal(words[1].round, world.round);
    assert_int_equal(words[0].kind + words[1].kind, ASKED + PUSHED);
    assert_int_not_equal(words[0].kind, words[1].kind);
}

static void play_round(void)
{
    atomic_store(&world.held, false);
    atomic_store(&world.let_go, false);
    tell(0, HOLD);
    LIVE_UNTIL(world.held);
    for (uint32_t i = 0; i < world.clients; i++) {
        tell(i, ASKED);
    }
    assert_int_equal(berth_visit(world.server, push, NULL, NULL), BERTH_OK);
    atomic_store(&world.let_go, true);
    for (uint32_t i = 0; i < world.clients; i++) {
        hear_both(i);
    }
}

/* Both ends of every connection are in this process. */
static void take_descriptors(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * FULL + SPARE) {
        limit.rlim_cur = limit.rlim_max < 2 * FULL + SPARE ? limit.rlim_max : 2 * FULL + SPARE;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

static void nothing_is_lost_when_the_queues_are_full(void **state)
{
    (void)state;
    const char *form = getenv("BERTH_FULL");
    bool full = form != NULL && strcmp(form, "1") == 0;
    uint32_t rounds = full ? FULL_ROUNDS : ROUNDS;
    fault_begin("F16", "uring", "kernel");
    take_descriptors();
    world.clients = full ? FULL : ORDINARY;
    struct berth_config config;
    live_settings(&config);
    config.connections_max = world.clients;
    world.server = live_create(&config);
    struct berth_address at = live_listen_on(world.server, &protocol);
    live_start(world.server);
    for (uint32_t i = 0; i < world.clients; i++) {
        world.fds[i] = live_client(&at);
    }
    LIVE_UNTIL(live_stats_of(world.server).connections_open == world.clients);
    for (uint32_t i = 0; i < rounds; i++) {
        atomic_store(&world.round, i);
        play_round();
    }
    struct berth_stats stats = live_stats_of(world.server);
    assert_true(stats.queue_overflows > 0 || world.kernel_refuses);
    assert_int_equal(world.refused, 0);
    assert_int_equal(stats.resets + stats.refused, 0);
    for (uint32_t i = 0; i < world.clients; i++) {
        close(world.fds[i]);
    }
    live_end(world.server);
    fault_met("%u rounds of %u clients; the completion queue was found full %llu times%s; all %u "
              "messages arrived",
              rounds, world.clients, (unsigned long long)stats.queue_overflows,
              world.kernel_refuses ? ", every third submission was refused" : "",
              rounds * world.clients * 2);
}

int main(int argc, char **argv)
{
    world.kernel_refuses = argc > 1 && strcmp(argv[1], "refused") == 0;
    const struct CMUnitTest tests[] = {
        {.name = "uring: nothing_is_lost_when_the_queues_are_full",
         .test_func = nothing_is_lost_when_the_queues_are_full,
         .setup_func = live_on_uring},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
