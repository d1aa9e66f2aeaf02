/* Connections and turns: accepts, connects, their cancels, the table of sockets, the limit of
 * descriptors, deadlines and wake-ups. The same on every backend, but for what needs real
 * descriptors or threads, which the simulation skips.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conform/help_rig.h"
#include "io/backend.h"

/* -------------------------------------------------------------------------------------- accepts */

static void an_accept_serves_every_listener(void **state)
{
    (void)state;
    static const uint8_t order[] = {2, 0, 1, 1, 2, 0, 0, 2};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.listeners = 3});
    for (size_t i = 0; i < sizeof order; i++) { /* one accept in flight, three listeners */
        uint32_t accept = rig_accept(&rig, 0);
        uint32_t connect = rig_connect(&rig, 0, &rig.listeners[order[i]].address);
        RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1 && rig_op(&rig, connect)->finals == 1);
        assert_true(rig_op(&rig, accept)->result >= 0);
        assert_int_equal(rig_op(&rig, accept)->listener, order[i]);
        struct rig_pair pair = {rig_op(&rig, connect)->end, rig_op(&rig, accept)->end};
        rig_finish_pair(&rig, pair);
    }
    rig_close(&rig);
}

static void fewer_accepts_than_clients(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.listeners = 3});
    uint32_t connects[CLIENTS];
    uint32_t accepts[CLIENTS];
    uint32_t per_listener[3] = {0};
    for (int i = 0; i < CLIENTS; i++) {
        connects[i] = rig_connect(&rig, 0, &rig.listeners[i % 3].address);
        RIG_UNTIL(&rig, rig_op(&rig, connects[i])->finals == 1);
        assert_int_equal(rig_op(&rig, connects[i])->result, 0);
    }
    for (int i = 0; i < CLIENTS; i += 2) { /* two at a time: exactly two are taken */
        accepts[i] = rig_accept(&rig, 0);
        accepts[i + 1] = rig_accept(&rig, 0);
        RIG_UNTIL(&rig, rig_op(&rig, accepts[i])->finals == 1 &&
                            rig_op(&rig, accepts[i + 1])->finals == 1);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(rig_op(&rig, accepts[i])->result >= 0);
        per_listener[rig_op(&rig, accepts[i])->listener]++;
        rig_finish(&rig, rig_op(&rig, accepts[i])->end);
        rig_finish(&rig, rig_op(&rig, connects[i])->end);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(per_listener[i], 2);
    }
    rig_close(&rig);
}

static void two_ios_share_a_listener(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.ios = 2});
    uint32_t connects[CLIENTS];
    uint32_t accepts[2] = {rig_accept(&rig, 0), rig_accept(&rig, 1)};
    uint32_t accepted = 0;
    for (int i = 0; i < CLIENTS; i++) {
        connects[i] = rig_connect(&rig, (uint32_t)i % 2, &rig.listeners[0].address);
    }
    rig_wait_begin(&rig, "every client is accepted by one io or the other");
    while (accepted < CLIENTS) {
        (void)rig_turn(&rig);
        for (int i = 0; i < 2; i++) {
            if (rig_op(&rig, accepts[i])->finals == 1) {
                assert_true(rig_op(&rig, accepts[i])->result >= 0);
                rig_finish(&rig, rig_op(&rig, accepts[i])->end);
                accepted++;
                accepts[i] = rig_accept(&rig, (uint32_t)i);
                rig_wait_begin(&rig, "every client is accepted by one io or the other");
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        RIG_UNTIL(&rig, rig_op(&rig, connects[i])->finals == 1);
        assert_int_equal(rig_op(&rig, connects[i])->result, 0);
        rig_finish(&rig, rig_op(&rig, connects[i])->end);
    }
    rig_quiet(&rig);
    assert_int_equal(rig_op(&rig, accepts[0])->finals, 0);
    assert_int_equal(rig_op(&rig, accepts[1])->finals, 0);
    rig_close(&rig);
}

static void cancel_of_accepts_loses_no_client(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.listeners = 2});
    rig_faults(&rig, &(struct sim_options){.cancel_loses = SIM_RATE_ONE / 2});
    for (int round = 0; round < 20; round++) {
        uint32_t accepts[3];
        for (int i = 0; i < 3; i++) {
            accepts[i] = rig_accept(&rig, 0);
        }
        uint32_t connect = rig_connect(&rig, 0, &rig.listeners[round % 2].address);
        if (round % 3 == 0) {
            rig_once(&rig);
        }
        io_cancel_accepts(rig.ios[0]);
        if (round % 2 == 0) {
            io_cancel_accepts(rig.ios[0]); /* twice is still one end */
        }
        RIG_UNTIL(&rig, rig_op(&rig, accepts[0])->finals + rig_op(&rig, accepts[1])->finals +
                                rig_op(&rig, accepts[2])->finals ==
                            3);
        int taken = -1;
        for (int i = 0; i < 3; i++) {
            int32_t result = rig_op(&rig, accepts[i])->result;
            assert_true(result >= 0 || result == -ECANCELED);
            assert_true(result < 0 || taken < 0); /* one client, one success */
            taken = result >= 0 ? i : taken;
        }
        uint32_t last = taken >= 0 ? accepts[taken] : rig_accept(&rig, 0);
        RIG_UNTIL(&rig, rig_op(&rig, last)->finals == 1 && rig_op(&rig, connect)->finals == 1);
        assert_true(rig_op(&rig, last)->result >= 0);
        rig_finish(&rig, rig_op(&rig, last)->end);
        rig_finish(&rig, rig_op(&rig, connect)->end);
    }
    rig_close(&rig);
}

static void a_client_that_reset_is_accepted_without_a_name(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
    RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
    struct rig_end client = rig_op(&rig, connect)->end;
    rig_send_all(&rig, client, (const uint8_t *)"gone", 4);
    io_close(rig.ios[0], client.sock, true);
    rig_quiet(&rig);
    uint32_t accept = rig_accept(&rig, 0);
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
    assert_true(rig_op(&rig, accept)->result >= 0); /* kernel fact K16 */
    struct berth_address name;
    struct rig_end server = rig_op(&rig, accept)->end;
    assert_false(io_peer(rig.ios[0], server.sock, &name));
    assert_int_equal(rig_collect_end(&rig, server, &got), -ECONNRESET);
    assert_true(got.size <= 4);
    rig_finish(&rig, server);
    rig_close(&rig);
    rig_bytes_free(&got);
}

static int descriptor_of(struct io *io, int sock)
{
    if (rig_inner == NULL) {
        return io->socks[sock].fd;
    }
    return fault_inner(io)->socks[fault_inner_sock(io, sock)].fd;
}

static void both_ends_agree_on_their_names(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    struct berth_address of_client[2];
    struct berth_address of_server[2];
    assert_true(io_local(rig.ios[0], pair.client.sock, &of_client[0]));
    assert_true(io_peer(rig.ios[0], pair.server.sock, &of_client[1]));
    assert_true(io_local(rig.ios[0], pair.server.sock, &of_server[0]));
    assert_true(io_peer(rig.ios[0], pair.client.sock, &of_server[1]));
    assert_int_equal(of_client[0].port, of_client[1].port);
    assert_int_equal(of_server[0].port, of_server[1].port);
    assert_int_equal(of_server[0].port, rig.listeners[0].address.port);
    assert_true(of_client[0].port != 0 && of_client[0].port != of_server[0].port);
    assert_memory_equal(of_client[0].bytes, of_client[1].bytes, 4);
    if (!rig_simulated()) { /* io.h promises TCP_NODELAY on both kinds of sockets */
        int socks[2] = {pair.client.sock, pair.server.sock};
        for (int i = 0; i < 2; i++) {
            int on = 0;
            socklen_t bytes = sizeof on;
            int fd = descriptor_of(rig.ios[0], socks[i]);
            assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
            assert_int_equal(on, 1);
        }
    }
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
}

/* One socket for both families, where the system has IPv6; a client's IPv4 address is told as one.
 */
static void one_listener_serves_both_families(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.any = true});
    struct berth_address to[2] = {{.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}},
                                  {.family = BERTH_IPV6, .bytes = {[15] = 1}}};
    bool has_ipv6 = rig.listeners[0].address.family == BERTH_ANY;
    for (int i = 0; i < (has_ipv6 ? 2 : 1); i++) {
        struct berth_address name;
        to[i].port = rig.listeners[0].address.port;
        uint32_t accept = rig_accept(&rig, 0);
        uint32_t connect = rig_connect(&rig, 0, &to[i]);
        RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
        assert_int_equal(rig_op(&rig, connect)->result, 0);
        RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
        assert_true(io_peer(rig.ios[0], rig_op(&rig, accept)->end.sock, &name));
        assert_int_equal(name.family, to[i].family);
        assert_memory_equal(name.bytes, to[i].bytes, i == 0 ? 4 : 16);
        rig_finish(&rig, rig_op(&rig, accept)->end);
        rig_finish(&rig, rig_op(&rig, connect)->end);
    }
    rig_close(&rig);
}

/* ------------------------------------------------------------------------------------- connects */

static void a_connect_starts_from_the_local_address_given(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct berth_address from = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 7}};
    struct berth_address name;
    uint32_t accept = rig_accept(&rig, 0);
    uint32_t connect = rig_connect_from(&rig, 0, &rig.listeners[0].address, &from);
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1 && rig_op(&rig, connect)->finals == 1);
    assert_int_equal(rig_op(&rig, connect)->result, 0);
    assert_true(io_peer(rig.ios[0], rig_op(&rig, accept)->end.sock, &name));
    assert_memory_equal(name.bytes, from.bytes, 4);
    assert_true(name.port != 0);
    rig_finish(&rig, rig_op(&rig, accept)->end);
    rig_finish(&rig, rig_op(&rig, connect)->end);
    rig_close(&rig);
}

static void connect_is_refused_where_nobody_listens(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.socks_max = 1});
    struct berth_address dead = rig_dead_address(&rig);
    for (int round = 0; round < 20; round++) { /* its place is free again each time */
        uint32_t op = rig_connect(&rig, 0, &dead);
        RIG_UNTIL(&rig, rig_op(&rig, op)->finals == 1);
        assert_int_equal(rig_op(&rig, op)->result, -ECONNREFUSED);
        io_close(rig.ios[0], rig_op(&rig, op)->end.sock, false);
    }
    rig_close(&rig);
}

/* A link-local address without its link: the system says EINVAL, which is in no list. */
static void a_connect_that_cannot_start_says_so_in_the_list(void **state)
{
    (void)state;
    if (rig_simulated()) {
        skip(); /* every address is good there */
    }
    static const int listed[] = {EMFILE,     ENFILE,        ENOBUFS, ENOMEM, EAFNOSUPPORT,
                                 EADDRINUSE, EADDRNOTAVAIL, EACCES,  EPERM,  EIO};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct berth_address to = {.family = BERTH_IPV6, .port = 1, .bytes = {[15] = 1}};
    struct berth_address from = {.family = BERTH_IPV6, .bytes = {0xfe, 0x80, [15] = 1}};
    int result = io_connect(rig.ios[0], &to, &from, io_token(IO_CONNECT, 0, 0));
    size_t i = 0;
    while (i < sizeof listed / sizeof *listed && result != -listed[i]) {
        i++;
    }
    if (i == sizeof listed / sizeof *listed) {
        rig_fail(&rig, "law 10: %d is no result of a connect's start", result);
    }
    rig_close(&rig);
}

/* A stream to many: the system says so before anything is on the wire. */
static void a_connect_that_fails_at_once_ends_once(void **state)
{
    (void)state;
    if (rig_simulated()) {
        skip(); /* every address is good there */
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    const struct berth_address to = {.family = BERTH_IPV4, .port = 1, .bytes = {224, 0, 0, 1}};
    for (int round = 0; round < 3; round++) {
        uint32_t op = rig_connect(&rig, 0, &to);
        RIG_UNTIL(&rig, rig_op(&rig, op)->finals == 1);
        assert_int_equal(rig_op(&rig, op)->result, -ENETUNREACH);
        io_close(rig.ios[0], rig_op(&rig, op)->end.sock, false);
    }
    rig_close(&rig);
}

/* A backlog of one holds two clients on Linux; the connects beyond wait for an answer that does
 * not come (the simulation refuses them), and a cancel must end that wait. */
static void cancel_of_a_connect_ends_it(void **state)
{
    (void)state;
    enum { CLIENTS = 5 };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.backlog = 1});
    uint32_t connects[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        connects[i] = rig_connect(&rig, 0, &rig.listeners[0].address);
    }
    rig_quiet(&rig);
    uint32_t waiting = 0;
    for (int i = 0; i < CLIENTS; i++) {
        waiting += rig_op(&rig, connects[i])->finals == 0 ? 1 : 0;
        io_cancel(rig.ios[0], rig_op(&rig, connects[i])->end.sock, IO_CONNECT);
    }
    assert_true(waiting > 0 || rig_simulated());
    for (int i = 0; i < CLIENTS; i++) {
        RIG_UNTIL(&rig, rig_op(&rig, connects[i])->finals == 1);
        io_close(rig.ios[0], rig_op(&rig, connects[i])->end.sock, false);
    }
    uint32_t at_once = rig_connect(&rig, 0, &rig.listeners[0].address);
    io_cancel(rig.ios[0], rig_op(&rig, at_once)->end.sock, IO_CONNECT);
    RIG_UNTIL(&rig, rig_op(&rig, at_once)->finals == 1);
    io_close(rig.ios[0], rig_op(&rig, at_once)->end.sock, false);
    rig_close(&rig);
}

/* ------------------------------------------------------------------------- the table of sockets */

static void places_are_used_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.socks_max = 2});
    struct rig_bytes got = {0};
    for (int round = 0; round < 60; round++) {
        struct rig_pair pair = rig_pair(&rig, 0, 0);
        assert_in_range(pair.client.sock, 0, 1);
        assert_in_range(pair.server.sock, 0, 1);
        uint8_t byte = (uint8_t)round;
        got.size = 0;
        rig_transfer(&rig, pair.client, pair.server, &byte, 1, &got);
        assert_int_equal(got.bytes[0], byte); /* nothing of an earlier round */
        rig_finish_pair(&rig, pair);
    }
    rig_close(&rig);
    rig_bytes_free(&got);
}

static void a_full_table_is_enfile(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.ios = 2, .socks_max = 1});
    struct rig_pair pair = rig_pair(&rig, 0, 1);
    uint64_t token = io_token(IO_CONNECT, 1, UINT32_MAX);
    assert_int_equal(io_connect(rig.ios[0], &rig.listeners[0].address, NULL, token), -ENFILE);
    rig_finish(&rig, pair.client);
    uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
    uint32_t accept = rig_accept(&rig, 1); /* has its one socket still */
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1 && rig_op(&rig, connect)->finals == 1);
    assert_int_equal(rig_op(&rig, accept)->result, -ENFILE);
    rig_finish(&rig, pair.server);
    rig_finish(&rig, rig_op(&rig, connect)->end);
    rig_close(&rig);
}

static void many_sockets_each_get_their_own_bytes(void **state)
{
    (void)state;
    const uint32_t pairs_count = 300;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.socks_max = 2 * pairs_count, .receive_count = 32});
    struct rig_pair *pairs = calloc(pairs_count, sizeof *pairs);
    struct rig_bytes *got = calloc(pairs_count, sizeof *got);
    uint32_t *receives = calloc(pairs_count, sizeof *receives);
    uint32_t *names = calloc(pairs_count, sizeof *names);
    for (uint32_t i = 0; i < pairs_count; i++) {
        pairs[i] = rig_pair(&rig, 0, 0);
        receives[i] = rig_receive(&rig, pairs[i].server, &got[i]);
        names[i] = i * 2654435761u;
    }
    for (uint32_t i = 0; i < pairs_count; i++) {
        (void)rig_send(&rig, pairs[i].client, &names[i], 1); /* in two pieces, all at once */
    }
    for (uint32_t i = 0; i < pairs_count; i++) {
        rig_join(&rig, (struct rig_end){.io = 0, .sock = pairs[i].client.sock});
        rig_send_all(&rig, pairs[i].client, (uint8_t *)&names[i] + 1, 3);
    }
    for (uint32_t i = 0; i < pairs_count; i++) {
        rig_wait_begin(&rig, "a socket has its 4 bytes");
        while (got[i].size < 4) {
            if (rig_op(&rig, receives[i])->finals == 1) { /* law 9, or no buffer */
                receives[i] = rig_receive(&rig, pairs[i].server, &got[i]);
            }
            (void)rig_turn(&rig);
        }
        assert_int_equal(got[i].size, 4);
        assert_memory_equal(got[i].bytes, &names[i], 4);
        rig_finish_pair(&rig, pairs[i]);
        rig_bytes_free(&got[i]);
    }
    rig_close(&rig);
    free(pairs);
    free(got);
    free(receives);
    free(names);
}

/* The limit of descriptors, set in this process so that exactly none is left. */
static void no_descriptor_keeps_the_client_in_the_backlog(void **state)
{
    (void)state;
    if (rig_simulated()) {
        skip();
    }
    struct rig rig;
    struct rlimit before;
    rig_open(&rig, &(struct rig_setup){0});
    uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
    RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
    assert_int_equal(rig_op(&rig, connect)->result, 0);
    int spare = dup(0);
    assert_true(spare >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)spare + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint32_t accept = rig_accept(&rig, 0);
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
    int32_t starved = rig_op(&rig, accept)->result;
    close(spare); /* one is free now, and the client is still there */
    accept = rig_accept(&rig, 0);
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(starved, -EMFILE);
    assert_true(rig_op(&rig, accept)->result >= 0);
    struct rig_bytes got = {0};
    struct rig_end server = rig_op(&rig, accept)->end;
    rig_transfer(&rig, rig_op(&rig, connect)->end, server, (const uint8_t *)"!", 1, &got);
    rig_finish(&rig, server);
    rig_finish(&rig, rig_op(&rig, connect)->end);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* ---------------------------------------------------------------------------------------- turns */

static void a_deadline_is_kept(void **state)
{
    (void)state;
    const uint64_t wait_ns = 20000000;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    (void)rig_accept(&rig, 0); /* something that could complete, and does not */
    (void)io_reap(rig.ios[0], rig.batch, 1, 0);
    uint64_t deadline_ns = io_now(rig.ios[0]) + wait_ns;
    int turns = 0;
    while (io_now(rig.ios[0]) < deadline_ns) {
        assert_int_equal(io_reap(rig.ios[0], rig.batch, RIG_BATCH_MAX, deadline_ns), 0);
        turns++;
    }
    assert_true(rig_may_spin() || turns < 10); /* it slept, rather than spun */
    assert_true(io_now(rig.ios[0]) < deadline_ns + 50 * wait_ns);
    uint64_t past = io_now(rig.ios[0]);
    assert_int_equal(io_reap(rig.ios[0], rig.batch, 1, 0), 0); /* does not wait */
    assert_int_equal(io_reap(rig.ios[0], rig.batch, 1, past), 0);
    assert_true(io_now(rig.ios[0]) < past + wait_ns || !rig_simulated());
    rig_close(&rig);
}

/* Waits with deadlines that are later and earlier than the last one's, which a wake had ended. */
static void deadlines_get_later_and_earlier(void **state)
{
    (void)state;
    const uint64_t ms = 1000000;
    const uint64_t waits_ms[] = {3000, 2000, 5, 4000, 10, IO_FOREVER / ms, 5, 3000, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    for (size_t i = 0; i < sizeof waits_ms / sizeof *waits_ms; i++) {
        uint64_t begin_ns = io_now(rig.ios[0]);
        bool forever = waits_ms[i] == IO_FOREVER / ms;
        uint64_t until_ns = forever ? IO_FOREVER : begin_ns + waits_ms[i] * ms;
        bool woken = waits_ms[i] >= 1000;
        if (woken) {
            io_wake(rig.ios[0]);
        }
        do {
            assert_int_equal(io_reap(rig.ios[0], rig.batch, 1, until_ns), 0);
        } while (!woken && io_now(rig.ios[0]) < until_ns);
        assert_true(io_now(rig.ios[0]) < begin_ns + 1000 * ms);
    }
    rig_close(&rig);
}

/* Nobody waits for them, so they come with what is waited for, or a little later. */
static void sends_that_took_all_may_be_late(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    io_sends_may_be_late(rig.ios[0], true);
    for (uint32_t i = 1; i <= 5; i++) {
        uint32_t send = rig_send(&rig, pair.client, "x", 1);
        rig_collect(&rig, pair.server, &got, i);
        assert_int_equal(rig_op(&rig, send)->finals, 1);
        assert_int_equal(rig_op(&rig, send)->result, 1);
    }
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    rig_join(&rig, pair.server);
    uint64_t begin_ns = io_now(rig.ios[0]);
    uint32_t alone = rig_send(&rig, pair.client, "x", 1);
    RIG_UNTIL(&rig, rig_op(&rig, alone)->finals == 1);
    assert_true(io_now(rig.ios[0]) < begin_ns + 20 * IO_LATE_NS);
    uint32_t hurried = rig_send(&rig, pair.client, "x", 1);
    io_sends_may_be_late(rig.ios[0], false);
    begin_ns = io_now(rig.ios[0]);
    RIG_UNTIL(&rig, rig_op(&rig, hurried)->finals == 1);
    bool delays = rig_seed != 0; /* of the simulated system; real ones pause, too */
    assert_true(io_now(rig.ios[0]) < begin_ns + IO_LATE_NS || delays || !rig_simulated());
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* A send that waits for the socket, or is short, is told when it is done. */
static void sends_to_a_full_socket_are_never_late(void **state)
{
    (void)state;
    if (rig_byte_by_byte()) {
        skip();
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint8_t block[8000] = {0}; /* small enough for each way of sending that a backend has */
    uint32_t blocked;
    size_t filled = rig_fill(&rig, pair.client, block, sizeof block, &blocked);
    assert_int_equal(rig_op(&rig, blocked)->finals, 0);
    io_sends_may_be_late(rig.ios[0], true);
    rig_collect(&rig, pair.server, &got, filled);
    RIG_UNTIL(&rig, rig_op(&rig, blocked)->finals == 1);
    assert_true(rig_op(&rig, blocked)->result > 0);
    rig_collect(&rig, pair.server, &got, filled + (size_t)rig_op(&rig, blocked)->result);
    rig_quiet(&rig);
    assert_int_equal(got.size, filled + (size_t)rig_op(&rig, blocked)->result);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* More sends are done in each turn than a reap gives, and the receive has its turn all the same. */
static void sends_do_not_hold_up_receives(void **state)
{
    (void)state;
    enum { SENDERS = 12, TURNS = 400 };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.batch = 4});
    struct rig_bytes got = {0};
    struct rig_pair pairs[SENDERS + 1];
    uint32_t sends[SENDERS];
    for (int i = 0; i <= SENDERS; i++) {
        pairs[i] = rig_pair(&rig, 0, 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        sends[i] = rig_send(&rig, pairs[i].client, "x", 1);
    }
    (void)rig_receive(&rig, pairs[SENDERS].server, &got);
    uint32_t other = rig_send(&rig, pairs[SENDERS].client, "y", 1);
    rig_wait_begin(&rig, "the receive has its turn");
    for (int turn = 0; got.size == 0; turn++) {
        assert_true(turn < TURNS || rig_seed != 0);
        (void)rig_turn(&rig);
        for (int i = 0; i < SENDERS; i++) {
            if (rig_op(&rig, sends[i])->finals == 1) {
                sends[i] = rig_send(&rig, pairs[i].client, "x", 1);
            }
        }
    }
    RIG_UNTIL(&rig, rig_op(&rig, other)->finals == 1);
    for (int i = 0; i <= SENDERS; i++) {
        rig_finish_pair(&rig, pairs[i]);
    }
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* Sockets that are armed and silent cost nothing: what was told once is not told again. */
static void silent_sockets_do_not_spin(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, (const uint8_t *)"hello", 5, &got);
    rig_transfer(&rig, pair.server, pair.client, (const uint8_t *)"hello", 5, &got);
    uint32_t there = rig_receive(&rig, pair.server, &got);
    uint32_t back = rig_receive(&rig, pair.client, &got);
    (void)rig_accept(&rig, 0);
    rig_quiet(&rig);
    uint64_t until_ns = io_now(rig.ios[0]) + 20000000;
    int turns = 0;
    while (io_now(rig.ios[0]) < until_ns) {
        assert_int_equal(io_reap(rig.ios[0], rig.batch, RIG_BATCH_MAX, until_ns), 0);
        turns++;
    }
    assert_true(rig_may_spin() || turns < 10);
    assert_int_equal(rig_op(&rig, there)->finals + rig_op(&rig, back)->finals, 0);
    /* The peer is gone, and nobody receives: that is no reason to spin either. */
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    io_cancel(rig.ios[0], pair.client.sock, IO_RECEIVE);
    rig_join(&rig, pair.server);
    rig_join(&rig, pair.client);
    io_close(rig.ios[0], pair.client.sock, false);
    rig_quiet(&rig);
    until_ns = io_now(rig.ios[0]) + 20000000;
    for (turns = 0; io_now(rig.ios[0]) < until_ns; turns++) {
        assert_int_equal(io_reap(rig.ios[0], rig.batch, RIG_BATCH_MAX, until_ns), 0);
    }
    assert_true(rig_may_spin() || turns < 10);
    rig_finish(&rig, pair.server);
    rig_close(&rig);
    rig_bytes_free(&got);
}

static void a_wake_ends_the_next_reap(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    for (int i = 0; i < 10; i++) {
        io_wake(rig.ios[0]);
        io_wake(rig.ios[0]); /* many wakes may be one */
        uint64_t before = io_now(rig.ios[0]);
        assert_int_equal(io_reap(rig.ios[0], rig.batch, 1, before + 3000000000), 0);
        assert_true(io_now(rig.ios[0]) < before + 2000000000);
    }
    rig_close(&rig);
}

struct waker {
    struct io *io;
    pthread_barrier_t *barrier;
    int rounds;
};

static void *wake_each_round(void *argument)
{
    const struct waker *waker = argument;
    for (int i = 0; i < waker->rounds; i++) {
        pthread_barrier_wait(waker->barrier);
        if (i % 2 == 1) { /* after the reap began to wait, mostly; both orders are legal */
            usleep(500);  /* check_style: allow(sleep) no event says that a thread waits */
        }
        io_wake(waker->io);
    }
    return NULL;
}

static void a_wake_comes_from_any_thread(void **state)
{
    (void)state;
    if (rig_simulated()) {
        skip(); /* one thread, by design */
    }
    struct rig rig;
    pthread_t thread;
    pthread_barrier_t barrier;
    rig_open(&rig, &(struct rig_setup){0});
    pthread_barrier_init(&barrier, NULL, 2);
    struct waker waker = {.io = rig.ios[0], .barrier = &barrier, .rounds = 100};
    assert_int_equal(pthread_create(&thread, NULL, wake_each_round, &waker), 0);
    uint64_t before = io_now(rig.ios[0]);
    for (int i = 0; i < waker.rounds; i++) {
        pthread_barrier_wait(&barrier);
        assert_int_equal(io_reap(rig.ios[0], rig.batch, 1, IO_FOREVER), 0);
    }
    pthread_join(thread, NULL);
    assert_true(io_now(rig.ios[0]) < before + 3000000000);
    pthread_barrier_destroy(&barrier);
    rig_close(&rig);
}

const struct CMUnitTest rig_tests_connections[] = {
    cmocka_unit_test(an_accept_serves_every_listener),
    cmocka_unit_test(fewer_accepts_than_clients),
    cmocka_unit_test(two_ios_share_a_listener),
    cmocka_unit_test(cancel_of_accepts_loses_no_client),
    cmocka_unit_test(a_client_that_reset_is_accepted_without_a_name),
    cmocka_unit_test(both_ends_agree_on_their_names),
    cmocka_unit_test(one_listener_serves_both_families),
    cmocka_unit_test(a_connect_starts_from_the_local_address_given),
    cmocka_unit_test(connect_is_refused_where_nobody_listens),
    cmocka_unit_test(a_connect_that_cannot_start_says_so_in_the_list),
    cmocka_unit_test(a_connect_that_fails_at_once_ends_once),
    cmocka_unit_test(cancel_of_a_connect_ends_it),
    cmocka_unit_test(places_are_used_again),
    cmocka_unit_test(a_full_table_is_enfile),
    cmocka_unit_test(many_sockets_each_get_their_own_bytes),
    cmocka_unit_test(no_descriptor_keeps_the_client_in_the_backlog),
    cmocka_unit_test(a_deadline_is_kept),
    cmocka_unit_test(deadlines_get_later_and_earlier),
    cmocka_unit_test(sends_that_took_all_may_be_late),
    cmocka_unit_test(sends_to_a_full_socket_are_never_late),
    cmocka_unit_test(sends_do_not_hold_up_receives),
    cmocka_unit_test(silent_sockets_do_not_spin),
    cmocka_unit_test(a_wake_ends_the_next_reap),
    cmocka_unit_test(a_wake_comes_from_any_thread),
};
const size_t rig_tests_connections_count =
    sizeof rig_tests_connections / sizeof *rig_tests_connections;
