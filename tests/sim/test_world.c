/* The simulated world itself, through io.h and the peers: that a seed repeats, that bytes are
 * conserved under every fault, and that listeners take, queue and refuse as they should.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/sim.h"

#define PEERS        6
#define STREAM_BYTES 3000
#define BUFFER_BYTES 200
#define BUFFERS      8
#define SEEDS        300
#define STEPS_MAX    3000000

/* An assertion that names the seed, with which the run can be repeated. */
#define EXPECT(seed, condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("seed %llu: not %s", (unsigned long long)(seed), #condition);                 \
        }                                                                                          \
    } while (0)

/* ----------------------------------------------------------------- an echo server and its peers */

/* The server's side of a connection: it sends back what it received, in order. */
struct served {
    bool open;
    bool ended; /* no more will be received */
    bool broken;
    uint64_t received;
    uint64_t sent;
    uint8_t waiting[STREAM_BYTES];
};

/* An actor: it sends a stream, half-closes, and reads until the end. */
struct actor {
    sim_peer peer;
    bool over;
    uint32_t sent;
    uint32_t got;
    uint32_t state; /* at its end */
    uint64_t salt;
};

struct scene {
    uint64_t seed;
    struct sim_world *world;
    struct io_listener listener;
    struct io *io;
    uint8_t *buffers;
    struct served served[PEERS];
    uint32_t accepts;
    bool hostile; /* some peers reset, some never half-close */
    struct actor actors[PEERS];
    struct io_completion batch[16];
};

static uint8_t byte_at(uint64_t salt, uint64_t position)
{
    return (uint8_t)((position + salt) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static const struct berth_address localhost = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};

static void scene_open(struct scene *s, uint64_t seed, const struct sim_options *options)
{
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->world = sim_world_create(seed, options);
    s->buffers = calloc(BUFFERS, BUFFER_BYTES);
    assert_non_null(s->buffers);
    assert_int_equal(io_listen(&io_backend_sim, s->world, &localhost, PEERS, &s->listener), 0);
    struct io_config config = {.world = s->world,
                               .socks_max = PEERS,
                               .listeners = &s->listener,
                               .listeners_count = 1,
                               .receive_base = s->buffers,
                               .receive_bytes = BUFFER_BYTES,
                               .receive_count = BUFFERS};
    assert_int_equal(io_open(&io_backend_sim, &config, &s->io), 0);
    for (uint32_t i = 0; i < PEERS; i++) {
        s->actors[i].salt = sim_world_random(s->world);
        s->actors[i].peer = sim_peer_connect(s->world, &s->listener.address);
    }
}

static void scene_close(struct scene *s)
{
    io_close_all(s->io);
    io_listener_close(&io_backend_sim, s->world, &s->listener);
    EXPECT(s->seed, sim_world_connections(s->world) == 0);
    sim_world_destroy(s->world);
    free(s->buffers);
}

static uint64_t token(enum io_op op, uint32_t slot)
{
    return io_token(op, 1, slot);
}

/* Keeps the operations of a connection going; closes it once nothing is left to do. */
static void serve(struct scene *s, uint32_t sock)
{
    struct served *c = &s->served[sock];
    bool receiving = io_in_flight(s->io, (int)sock, IO_RECEIVE);
    bool sending = io_in_flight(s->io, (int)sock, IO_SEND);
    if (!c->ended && !c->broken && !receiving) {
        io_receive(s->io, (int)sock, token(IO_RECEIVE, sock));
    }
    if (!c->broken && !sending && c->received > c->sent) {
        struct io_span span = {.data = c->waiting + c->sent,
                               .size = (uint32_t)(c->received - c->sent)};
        io_send(s->io, (int)sock, &span, 1, token(IO_SEND, sock));
        return;
    }
    bool done = c->ended && c->received == c->sent;
    if ((done || c->broken) && (receiving || sending)) {
        io_shutdown(s->io, (int)sock, IO_SHUTDOWN_BOTH);
    } else if (done || c->broken) {
        io_close(s->io, (int)sock, false);
        c->open = false;
    }
}

static void take_receive(struct scene *s, struct served *c, const struct io_completion *completion)
{
    if (completion->result > 0) {
        EXPECT(s->seed, c->received + (uint32_t)completion->result <= STREAM_BYTES);
        memcpy(c->waiting + c->received, completion->data, (size_t)completion->result);
        c->received += (uint32_t)completion->result;
        io_lease_return(s->io, completion->lease);
    } else if (completion->result == 0) {
        c->ended = true;
    } else if (completion->result != -ENOBUFS) {
        c->broken = true;
    }
}

static void server_turn(struct scene *s)
{
    while (s->accepts < 2) {
        io_accept(s->io, token(IO_ACCEPT, 0));
        s->accepts++;
    }
    uint32_t count = io_reap(s->io, s->batch, 16, IO_FOREVER);
    for (uint32_t i = 0; i < count; i++) {
        const struct io_completion *completion = &s->batch[i];
        uint32_t sock = io_token_slot(completion->token);
        switch (io_token_op(completion->token)) {
        case IO_ACCEPT:
            s->accepts--;
            if (completion->result >= 0) {
                sock = (uint32_t)completion->result;
                s->served[sock] = (struct served){.open = true};
            }
            break;
        case IO_RECEIVE:
            take_receive(s, &s->served[sock], completion);
            break;
        case IO_SEND:
            s->served[sock].sent += completion->result > 0 ? (uint32_t)completion->result : 0;
            s->served[sock].broken = s->served[sock].broken || completion->result < 0;
            break;
        case IO_CONNECT:
            fail();
        }
    }
    for (uint32_t sock = 0; sock < PEERS; sock++) {
        if (s->served[sock].open) {
            serve(s, sock);
        }
    }
}

static void actor_finish(struct scene *s, struct actor *a, uint32_t state)
{
    a->state = state;
    a->over = true;
    sim_peer_close(s->world, a->peer);
}

static void actor_turn(struct scene *s, struct actor *a)
{
    uint8_t bytes[256];
    if (a->over || sim_world_random(s->world) % 4 == 0) {
        return;
    }
    if (s->hostile && a->sent > 0 && sim_world_random(s->world) % 200 == 0) {
        sim_peer_reset(s->world, a->peer);
    }
    uint32_t size = STREAM_BYTES - a->sent;
    size = size < sizeof bytes ? size : (uint32_t)sizeof bytes;
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = byte_at(a->salt, a->sent + i);
    }
    int32_t wrote = size == 0 ? 0 : sim_peer_write(s->world, a->peer, bytes, size);
    EXPECT(s->seed, wrote <= (int32_t)size);
    a->sent += wrote > 0 ? (uint32_t)wrote : 0;
    if (a->sent == STREAM_BYTES && (sim_peer_state(s->world, a->peer) & SIM_PEER_SHUT) == 0) {
        sim_peer_shutdown(s->world, a->peer, IO_SHUTDOWN_SEND);
    }
    int32_t got = sim_peer_read(s->world, a->peer, bytes, sizeof bytes);
    for (int32_t i = 0; i < got; i++) {
        if (bytes[i] != byte_at(a->salt, a->got + (uint32_t)i)) {
            fail_msg("seed %llu: byte %u of a stream came back as another",
                     (unsigned long long)s->seed, a->got + (uint32_t)i);
        }
    }
    a->got += (uint32_t)got;
    uint32_t state = sim_peer_state(s->world, a->peer);
    if ((state & (SIM_PEER_EOF | SIM_PEER_REFUSED | SIM_PEER_RESET)) != 0 && got == 0) {
        actor_finish(s, a, state);
    }
}

static bool scene_over(const struct scene *s)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        if (!s->actors[i].over || s->served[i].open) {
            return false;
        }
    }
    return true;
}

/* Lets the scene play to its end; the accepts are then cancelled and joined. */
static void scene_play(struct scene *s)
{
    uint32_t steps = 0;
    while (!scene_over(s)) {
        server_turn(s);
        for (uint32_t i = 0; i < PEERS; i++) {
            actor_turn(s, &s->actors[i]);
        }
        if (++steps > STEPS_MAX) {
            fail_msg("seed %llu: no end after %u steps", (unsigned long long)s->seed, steps);
        }
    }
    while (s->accepts > 0) {
        io_cancel_accepts(s->io);
        uint32_t count = io_reap(s->io, s->batch, 16, IO_FOREVER);
        for (uint32_t i = 0; i < count; i++) {
            s->accepts--;
            if (s->batch[i].result >= 0) { /* a client that had closed while it waited */
                io_close(s->io, s->batch[i].result, true);
            }
        }
    }
}

static uint64_t hash_of(uint64_t seed, uint64_t options_seed)
{
    struct scene s;
    struct sim_options options = sim_options_swarm(options_seed);
    scene_open(&s, seed, &options);
    scene_play(&s);
    uint64_t hash = sim_world_hash(s.world);
    scene_close(&s);
    return hash;
}

/* ---------------------------------------------------------------------------------------- tests */

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    uint64_t seen[20];
    for (uint64_t seed = 0; seed < 20; seed++) {
        seen[seed] = hash_of(seed, seed);
        EXPECT(seed, seen[seed] == hash_of(seed, seed));
        for (uint64_t other = 0; other < seed; other++) {
            EXPECT(seed, seen[seed] != seen[other]);
        }
    }
    assert_true(hash_of(7, 1) != hash_of(8, 1)); /* the options alone do not make the run */
}

/* Bytes: each stream comes back as it went out; all of it, unless somebody's connection was ended
 * by a fault, and then a beginning of it. */
static void bytes_are_conserved_under_all_faults(void **state)
{
    (void)state;
    uint32_t whole = 0;
    uint32_t cut = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct scene s;
        struct sim_options options = sim_options_swarm(seed);
        bool ends = options.reset != 0 || options.half_close != 0 || options.accept_error != 0;
        scene_open(&s, seed, &options);
        s.hostile = seed % 3 == 0;
        scene_play(&s);
        for (uint32_t i = 0; i < PEERS; i++) {
            const struct actor *a = &s.actors[i];
            EXPECT(seed, a->got <= a->sent);
            bool all = a->got == STREAM_BYTES && (a->state & SIM_PEER_EOF) != 0;
            if (!all && !ends && !s.hostile) {
                fail_msg("seed %llu: peer %u sent %u, got %u, state %x", (unsigned long long)seed,
                         i, a->sent, a->got, a->state);
            }
            whole += all ? 1 : 0;
            cut += all ? 0 : 1;
        }
        scene_close(&s);
    }
    assert_true(whole > SEEDS && cut > SEEDS / 10); /* both kinds were tried */
}

static void nothing_listens_and_full_backlogs_refuse(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_create(1, NULL);
    struct io_listener listener;
    struct io_listener again;
    assert_int_equal(io_listen(&io_backend_sim, world, &localhost, 3, &listener), 0);
    assert_int_equal(listener.backlog, 3);
    assert_true(listener.address.port != 0);
    assert_int_equal(io_listen(&io_backend_sim, world, &listener.address, 3, &again), -EADDRINUSE);
    uint8_t buffers[4] = {0};
    struct io_config config = {.world = world,
                               .socks_max = 1,
                               .receive_base = buffers,
                               .receive_bytes = 1,
                               .receive_count = 4};
    struct io *io;
    struct io_completion none;
    assert_int_equal(io_open(&io_backend_sim, &config, &io), 0); /* only to make time pass */
    sim_peer peers[5];
    for (int i = 0; i < 5; i++) {
        struct berth_address to = listener.address;
        to.port = (uint16_t)(to.port + (i == 4 ? 1 : 0)); /* the last: nobody is there */
        peers[i] = sim_peer_connect(world, &to);
        assert_int_equal(sim_peer_state(world, peers[i]), 0);
        assert_int_equal(sim_peer_write(world, peers[i], "early", 5), 0);
        while (!sim_world_idle(world)) {
            assert_int_equal(io_reap(io, &none, 1, IO_FOREVER), 0);
        }
        uint32_t expected = i < 3 ? SIM_PEER_CONNECTED : SIM_PEER_REFUSED;
        assert_int_equal(sim_peer_state(world, peers[i]), expected);
    }
    assert_int_equal(sim_peer_write(world, peers[4], "late", 4), -EPIPE);
    io_listener_close(&io_backend_sim, world, &listener); /* resets those that wait */
    while (!sim_world_idle(world)) {
        (void)io_reap(io, &none, 1, IO_FOREVER);
    }
    for (int i = 0; i < 5; i++) {
        bool reset = (sim_peer_state(world, peers[i]) & SIM_PEER_RESET) != 0;
        assert_int_equal(reset, i < 3);
        sim_peer_close(world, peers[i]);
    }
    assert_int_equal(sim_world_connections(world), 0);
    io_close_all(io);
    sim_world_destroy(world);
}

static struct io *open_bare(struct sim_world *world)
{
    static uint8_t buffer;
    struct io *io;
    struct io_config config = {.world = world,
                               .socks_max = 1,
                               .receive_base = &buffer,
                               .receive_bytes = 1,
                               .receive_count = 1};
    assert_int_equal(io_open(&io_backend_sim, &config, &io), 0);
    return io;
}

/* Time is one for all: no io is carried past what another waits for, unless it is never stepped. */
static void deadlines_of_several_ios_are_all_met(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_create(3, NULL);
    struct io *fast = open_bare(world);
    struct io *slow = open_bare(world);
    struct io_completion none;
    uint64_t start_ns = sim_world_now(world);
    uint64_t next_fast = start_ns + 1000;
    for (uint64_t at = start_ns + 7000; at < start_ns + 100000; at += 7000) {
        while (sim_world_now(world) < at) {
            (void)io_reap(fast, &none, 1, next_fast);
            assert_true(io_now(fast) <= next_fast); /* never late */
            next_fast += io_now(fast) == next_fast ? 1000 : 0;
            (void)io_reap(slow, &none, 1, at);
            assert_true(io_now(slow) <= at);
        }
    }
    assert_false(sim_world_idle(world)); /* fast waits for its next deadline */
    /* slow is not stepped any more: fast gets on after a while. */
    uint64_t far = sim_world_now(world) + 1000000000;
    for (int i = 0; i < 2 * SIM_PATIENCE && io_now(fast) < far; i++) {
        (void)io_reap(fast, &none, 1, far);
    }
    assert_int_equal(io_now(fast), far);
    assert_int_equal(io_reap(fast, &none, 1, IO_FOREVER), 0);
    assert_int_equal(io_reap(slow, &none, 1, IO_FOREVER), 0);
    assert_true(sim_world_idle(world));
    io_wake(slow);
    assert_false(sim_world_idle(world));
    assert_int_equal(io_reap(slow, &none, 1, IO_FOREVER), 0);
    assert_false(sim_world_idle(world)); /* it was woken, and has its turn */
    assert_int_equal(io_reap(slow, &none, 1, IO_FOREVER), 0);
    assert_true(sim_world_idle(world));
    io_close_all(fast);
    io_close_all(slow);
    sim_world_destroy(world);
}

static void an_alarm_stops_the_clock(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_create(4, NULL);
    struct io *io = open_bare(world);
    struct io_completion none;
    uint64_t at = sim_world_now(world) + 123456789;
    sim_world_alarm(world, at);
    assert_false(sim_world_idle(world));
    assert_int_equal(io_reap(io, &none, 1, IO_FOREVER), 0);
    assert_int_equal(sim_world_now(world), at);
    assert_true(sim_world_idle(world));
    uint64_t polled = sim_world_now(world);
    for (int i = 0; i < 1000; i++) { /* polling costs time, so that it ends */
        (void)io_reap(io, &none, 1, 0);
    }
    assert_true(sim_world_now(world) >= polled + 1000);
    io_close_all(io);
    sim_world_destroy(world);
}

/* The options of a swarm: every fault is off in some and on in others, and never above 1/2. */
static void a_swarm_turns_each_fault_on_and_off(void **state)
{
    (void)state;
    enum { FAULTS = 10 };
    uint32_t on[FAULTS] = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_options o = sim_options_swarm(seed);
        uint32_t rates[FAULTS] = {o.long_delay, o.split,        o.short_send,   o.no_buffer,
                                  o.drop_more,  o.cancel_loses, o.accept_error, o.reset,
                                  o.half_close, o.spurious};
        for (int i = 0; i < FAULTS; i++) {
            assert_true(rates[i] <= SIM_RATE_ONE / 2);
            on[i] += rates[i] != 0 ? 1 : 0;
        }
        assert_true(o.delay_mean_ns > 0 && o.pipe_bytes >= 128);
    }
    for (int i = 0; i < FAULTS; i++) {
        assert_in_range(on[i], 60, 140);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(bytes_are_conserved_under_all_faults),
        cmocka_unit_test(nothing_listens_and_full_backlogs_refuse),
        cmocka_unit_test(deadlines_of_several_ios_are_all_met),
        cmocka_unit_test(an_alarm_stops_the_clock),
        cmocka_unit_test(a_swarm_turns_each_fault_on_and_off),
    };
    return cmocka_run_group_tests_name("the simulated world", tests, NULL, NULL);
}
