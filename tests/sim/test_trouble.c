/* A system in trouble, as the simulated world has it: errors of every operation, budgets, a
 * completion queue that overflows, peers that vanish. Each is seen to happen and to be what io.h
 * lists, on one io and with peers that are polled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/sim.h"

#define PEERS        8
#define BUFFER_BYTES 64
#define BUFFERS      16
#define TURNS_MAX    100000
#define SEEDS        200

static const struct berth_address localhost = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};

static struct sim_world *world;
static struct io *io;
static struct io_listener listener;
static uint8_t buffers[BUFFERS * BUFFER_BYTES];
static struct io_completion last; /* of each turn that brought some, the last */
static struct io_completion batch[64];
static uint32_t count; /* of the last turn */

static uint64_t token(enum io_op op, uint32_t slot)
{
    return io_token(op, 1, slot);
}

static void open_world(uint64_t seed, const struct sim_options *options)
{
    world = sim_world_create(seed, options);
    assert_int_equal(io_listen(&io_backend_sim, world, &localhost, PEERS, &listener), 0);
    struct io_config config = {.world = world,
                               .socks_max = PEERS,
                               .listeners = &listener,
                               .listeners_count = 1,
                               .receive_base = buffers,
                               .receive_bytes = BUFFER_BYTES,
                               .receive_count = BUFFERS};
    assert_int_equal(io_open(&io_backend_sim, &config, &io), 0);
}

static void close_world(void)
{
    io_close_all(io);
    io_listener_close(&io_backend_sim, world, &listener);
    assert_int_equal(sim_world_connections(world), 0);
    sim_world_destroy(world);
}

static void turn(void)
{
    count = io_reap(io, batch, sizeof batch / sizeof batch[0], IO_FOREVER);
    if (count > 0) {
        last = batch[count - 1];
    }
}

/* Turns until an operation has its last completion, which it returns; leases go back at once. */
static int32_t finish(enum io_op op)
{
    for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
        turn();
        for (uint32_t i = 0; i < count; i++) {
            if ((batch[i].flags & IO_LEASE) != 0) {
                io_lease_return(io, batch[i].lease);
            }
            if (io_token_op(batch[i].token) == op && (batch[i].flags & IO_MORE) == 0) {
                last = batch[i];
                return batch[i].result;
            }
        }
    }
    fail_msg("operation %d never ended", (int)op);
    return 0;
}

/* A connection with a peer. */
static int connection(sim_peer *peer)
{
    io_accept(io, token(IO_ACCEPT, 0));
    *peer = sim_peer_connect(world, &listener.address);
    int sock = finish(IO_ACCEPT);
    assert_true(sock >= 0);
    while ((sim_peer_state(world, *peer) & SIM_PEER_CONNECTED) == 0) {
        sim_world_alarm(world, sim_world_now(world) + 1000);
        turn();
    }
    return sock;
}

static void send_some(int sock)
{
    static const uint8_t bytes[100];
    struct io_span span = {bytes, sizeof bytes};
    io_send(io, sock, &span, 1, token(IO_SEND, (uint32_t)sock));
}

static void a_vanished_peer_is_given_up(void **state)
{
    (void)state;
    sim_peer peer;
    open_world(1, NULL);
    int sock = connection(&peer);
    io_receive(io, sock, token(IO_RECEIVE, (uint32_t)sock));
    sim_peer_vanish(world, peer);
    send_some(sock);
    assert_int_equal(finish(IO_SEND), 100); /* the system takes it, and nobody reads it */
    uint64_t sent_ns = sim_world_now(world);
    assert_int_equal(finish(IO_RECEIVE), -ETIMEDOUT);
    assert_in_range(sim_world_now(world) - sent_ns, SIM_GIVE_UP_NS - 1000000,
                    SIM_GIVE_UP_NS + 1000000);
    io_close(io, sock, false);
    close_world();
}

static void silence_towards_a_vanished_peer_is_for_ever(void **state)
{
    (void)state;
    sim_peer peer;
    open_world(2, NULL);
    int sock = connection(&peer);
    io_receive(io, sock, token(IO_RECEIVE, (uint32_t)sock));
    sim_peer_vanish(world, peer);
    for (int i = 0; i < 100; i++) {
        turn();
        assert_int_equal(count, 0);
    }
    assert_true(sim_world_idle(world));
    io_shutdown(io, sock, IO_SHUTDOWN_BOTH);
    assert_int_equal(finish(IO_RECEIVE), 0);
    io_close(io, sock, false);
    close_world();
}

/* Every error in the list comes, no other does, and a network's error breaks the connection for the
 * peer too. */
static void errors_are_the_listed_ones(void **state)
{
    (void)state;
    static const int receive[] = {ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOMEM, EIO};
    static const int send[] = {ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOBUFS, ENOMEM, EIO};
    uint32_t seen[2] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sim_peer peer;
        bool sends = seed % 2 == 1;
        open_world(seed, NULL);
        int sock = connection(&peer);
        sim_world_options(world, &(struct sim_options){.receive_error = SIM_RATE_ONE,
                                                       .send_error = SIM_RATE_ONE});
        assert_int_equal(sim_peer_write(world, peer, "hello", 5), 5);
        if (sends) {
            send_some(sock);
        } else {
            io_receive(io, sock, token(IO_RECEIVE, (uint32_t)sock));
        }
        int error = -finish(sends ? IO_SEND : IO_RECEIVE);
        const int *list = sends ? send : receive;
        size_t errors = sends ? sizeof send / sizeof send[0] : sizeof receive / sizeof receive[0];
        size_t which = 0;
        while (which < errors && list[which] != error) {
            which++;
        }
        assert_true(which < errors);
        seen[sends] |= 1u << which;
        io_close(io, sock, false);
        sim_peer_close(world, peer);
        close_world();
    }
    assert_int_equal(seen[0], 0x1f);
    assert_int_equal(seen[1], 0x3f);
}

static void a_connect_fails_at_its_start_or_later(void **state)
{
    (void)state;
    uint32_t starts = 0;
    uint32_t later = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_world(seed, &(struct sim_options){.connect_error = SIM_RATE_ONE / 2});
        int sock = io_connect(io, &listener.address, NULL, token(IO_CONNECT, 0));
        if (sock < 0) {
            starts++;
        } else {
            int32_t result = finish(IO_CONNECT);
            assert_true(result == 0 || result == -ETIMEDOUT || result == -EHOSTUNREACH ||
                        result == -ENETUNREACH || result == -EADDRNOTAVAIL ||
                        result == -EADDRINUSE || result == -EACCES || result == -EPERM ||
                        result == -ENOBUFS || result == -ENOMEM || result == -EIO);
            later += result < 0 ? 1 : 0;
            io_close(io, sock, false);
        }
        io_listener_halt(&io_backend_sim, world, &listener);
        close_world();
    }
    assert_in_range(starts, SEEDS / 4, SEEDS * 3 / 4);
    assert_in_range(later, SEEDS / 10, SEEDS / 2);
}

static void a_full_queue_ends_receives_with_bytes(void **state)
{
    (void)state;
    sim_peer peers[PEERS];
    int socks[PEERS];
    open_world(3, NULL);
    for (uint32_t i = 0; i < PEERS; i++) {
        socks[i] = connection(&peers[i]);
    }
    sim_world_options(world, &(struct sim_options){.queue_entries = 2, .delay_mean_ns = 1});
    for (uint32_t i = 0; i < PEERS; i++) {
        io_receive(io, socks[i], token(IO_RECEIVE, (uint32_t)socks[i]));
        assert_int_equal(sim_peer_write(world, peers[i], "x", 1), 1);
    }
    uint32_t finals = 0;
    uint32_t bytes = 0;
    for (uint32_t turns = 0; bytes < PEERS; turns++) { /* nothing is lost */
        assert_true(turns < TURNS_MAX);
        turn();
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(batch[i].result, 1);
            bytes++;
            finals += (batch[i].flags & IO_MORE) == 0 ? 1 : 0;
            assert_true((batch[i].flags & IO_MORE) != 0 || i >= 2);
            io_lease_return(io, batch[i].lease);
        }
    }
    struct io_stats stats;
    io_stats(io, &stats);
    assert_true((finals > 0) == (stats.overflows > 0));
    for (uint32_t i = 0; i < PEERS; i++) {
        io_shutdown(io, socks[i], IO_SHUTDOWN_BOTH);
        if (io_in_flight(io, socks[i], IO_RECEIVE)) {
            assert_int_equal(finish(IO_RECEIVE), 0);
        }
    }
    for (uint32_t i = 0; i < PEERS; i++) {
        for (uint32_t turns = 0; io_in_flight(io, socks[i], IO_RECEIVE); turns++) {
            assert_true(turns < TURNS_MAX);
            turn();
        }
        io_close(io, socks[i], false);
        sim_peer_close(world, peers[i]);
    }
    close_world();
}

/* What nobody can have waits, and comes when somebody gives. */
static void budgets_keep_clients_waiting(void **state)
{
    (void)state;
    sim_peer first;
    open_world(4, &(struct sim_options){.descriptors = 1});
    int sock = connection(&first);
    sim_peer second = sim_peer_connect(world, &listener.address);
    io_accept(io, token(IO_ACCEPT, 0));
    assert_int_equal(finish(IO_ACCEPT), -EMFILE);
    assert_int_equal(io_connect(io, &listener.address, NULL, token(IO_CONNECT, 0)), -EMFILE);
    io_close(io, sock, false);
    io_accept(io, token(IO_ACCEPT, 0));
    sock = finish(IO_ACCEPT);
    assert_true(sock >= 0);

    sim_world_options(world, &(struct sim_options){.memory_bytes = 50});
    send_some(sock);
    assert_int_equal(finish(IO_SEND), 100); /* there was some left */
    send_some(sock);
    assert_int_equal(finish(IO_SEND), -ENOBUFS);
    io_close(io, sock, true);
    sim_peer_close(world, first);
    sim_peer_close(world, second);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vanished_peer_is_given_up),
        cmocka_unit_test(silence_towards_a_vanished_peer_is_for_ever),
        cmocka_unit_test(errors_are_the_listed_ones),
        cmocka_unit_test(a_connect_fails_at_its_start_or_later),
        cmocka_unit_test(a_full_queue_ends_receives_with_bytes),
        cmocka_unit_test(budgets_keep_clients_waiting),
    };
    return cmocka_run_group_tests_name("sim.trouble", tests, NULL, NULL);
}
