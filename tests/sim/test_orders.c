/* Every order in which a connection's end can happen, exhaustively: fault F24.
 *
 * The backend here does what a script says. A connection has a receive and a send in flight; then
 * the receive completes in one of its ways, the send in one of its ways, a deadline passes, the
 * program closes, and the server stops, in every order of the five, with receive and send in one
 * turn's array or in two. What is in flight after that completes as it was cancelled, or with its
 * natural result all the same (law 3). However it goes there is exactly one on_open and one
 * on_close, nothing comes behind it, nothing leaks, and io.c finds no law broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "core/core.h"
#include "faults/row.h"
#include "io/backend.h"

#define IDLE_MS   50
#define LINGER_MS 20
#define TURNS_MAX 200
#define MESSAGE   "\3\0\0\0abc"
#define FRAME     7
#define PUSHED    100 /* bytes that the program has sent, so that a send is in flight */

enum happening { RECEIVES, SENDS, DEADLINE, CLOSES, STOPS, EVENTS };

/* How the receive completes, and how the send. */
static const int32_t receive_results[] = {FRAME, 5, 0, -ECONNRESET, -ENOBUFS, -ENOMEM};
static const int32_t send_results[] = {INT32_MAX, 1, -EPIPE, -ENOBUFS};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct script {
    uint32_t client; /* the accepted socket, while it is open */
    bool accepted;
    bool receives_now;
    bool sends_now;
    bool sends_first;
    bool more; /* the receive with bytes goes on */
    bool natural;
    bool ending; /* the script is over: all that is in flight completes */
    bool receive_cancelled;
    bool send_cancelled;
    bool accepts_cancelled;
    bool shut;
    bool shut_both;
    int32_t receive_result;
    int32_t send_result;
    uint32_t send_bytes;
    uint64_t now_ns;
};

static struct script script;
static uint32_t opens;
static uint32_t closes;
static uint32_t messages;
static uint64_t orders;

/* -------------------------------------------------------------------------------------- the
 * backend
 */

static int listen_at(void *world, const struct berth_address *address, int backlog,
                     struct io_listener *out)
{
    (void)world;
    *out = (struct io_listener){.id = 0, .address = *address, .backlog = backlog};
    out->address.port = 1;
    return 0;
}

static void listener_gone(void *world, struct io_listener *listener)
{
    (void)world;
    listener->id = -1;
}

static void listener_halts(void *world, struct io_listener *listener)
{
    (void)world;
    (void)listener;
}

static int listener_resumes(void *world, struct io_listener *listener)
{
    (void)world;
    (void)listener;
    return 0;
}

static int io_opens(struct io *io)
{
    io_random_seed(io, 1);
    io->now_ns = script.now_ns;
    return 0;
}

static void io_closes(struct io *io)
{
    (void)io;
}

static void accept_starts(struct io *io, uint32_t accept)
{
    (void)io;
    (void)accept;
}

static void accepts_end(struct io *io)
{
    (void)io;
    script.accepts_cancelled = true;
}

static int connect_starts(struct io *io, const struct berth_address *remote,
                          const struct berth_address *local)
{
    (void)io;
    (void)remote;
    (void)local;
    return -EACCES;
}

static void receive_starts(struct io *io, uint32_t sock)
{
    (void)io;
    (void)sock;
    script.receive_cancelled = false;
}

static void send_starts(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count)
{
    (void)io;
    (void)sock;
    script.send_cancelled = false;
    script.send_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        script.send_bytes += spans[i].size;
    }
}

static void cancel_comes(struct io *io, uint32_t sock, enum io_op op)
{
    (void)io;
    (void)sock;
    script.receive_cancelled = script.receive_cancelled || op == IO_RECEIVE;
    script.send_cancelled = script.send_cancelled || op == IO_SEND;
}

static void shut_down(struct io *io, uint32_t sock, enum io_shutdown how)
{
    (void)io;
    (void)sock;
    script.shut = true;
    script.shut_both = script.shut_both || how == IO_SHUTDOWN_BOTH;
}

static void sock_closes(struct io *io, uint32_t sock, bool reset)
{
    (void)io;
    (void)reset;
    assert_true(script.accepted && sock == script.client);
    script.accepted = false;
}

static bool name_of(struct io *io, uint32_t sock, bool peer, struct berth_address *out)
{
    (void)io;
    (void)sock;
    *out = (struct berth_address){.family = BERTH_IPV4};
    return !peer;
}

static void lease_comes_back(struct io *io, uint16_t lease)
{
    memset(io_lease_data(io, lease), 0xdb, io->config.receive_bytes);
}

static bool flies(const struct io *io, uint8_t what)
{
    return script.accepted && (io->socks[script.client].flags & what) != 0;
}

static void receive_ends(struct io *io, int32_t result)
{
    if (result <= 0) {
        io_complete_receive_end(io, script.client, result);
        return;
    }
    memcpy(io_lease_data(io, 0), MESSAGE, (size_t)result);
    io_complete_bytes(io, script.client, 0, (uint32_t)result, script.more);
}

static void send_ends(struct io *io, int32_t result)
{
    int32_t most = (int32_t)script.send_bytes;
    io_complete_send(io, script.client, result > most ? most : result);
}

/* All that is in flight, as it must end once the script is over. The peer ends its side when ours
 * is shut. */
static void end_all(struct io *io)
{
    if (flies(io, SOCK_SEND) && (script.send_cancelled || script.shut_both)) {
        send_ends(io, script.natural ? INT32_MAX : -ECANCELED);
    } else if (flies(io, SOCK_SEND)) {
        send_ends(io, INT32_MAX);
    }
    if (flies(io, SOCK_RECEIVE) && script.receive_cancelled && !script.natural) {
        io_complete_receive_end(io, script.client, -ECANCELED);
    } else if (flies(io, SOCK_RECEIVE) && (script.receive_cancelled || script.shut)) {
        io_complete_receive_end(io, script.client, 0);
    }
}

static void reaps(struct io *io, uint64_t deadline_ns)
{
    (void)deadline_ns;
    if (!script.accepted && opens == 0 && io->accepts_busy != 0) {
        script.client = io_sock_open(io, 7);
        script.accepted = true;
        io_complete_accept(io, (uint32_t)__builtin_ctz(io->accepts_busy), (int32_t)script.client,
                           0);
    }
    for (int half = 0; half < 2; half++) {
        bool sends = (half == 0) == script.sends_first;
        if (sends && script.sends_now && flies(io, SOCK_SEND)) {
            send_ends(io, script.send_result);
            script.sends_now = false;
        } else if (!sends && script.receives_now && flies(io, SOCK_RECEIVE)) {
            receive_ends(io, script.receive_result);
            script.receives_now = false;
        }
    }
    while (script.accepts_cancelled && io->accepts_busy != 0) {
        io_complete_accept(io, (uint32_t)__builtin_ctz(io->accepts_busy), -ECANCELED, 0);
    }
    if (script.ending) {
        end_all(io);
        script.now_ns += NS_PER_MS;
    }
    io->now_ns = script.now_ns;
}

static void wakes(struct io *io)
{
    (void)io;
}

static const struct io_backend scripted = {
    .ops =
        {
            .name = "scripted",
            .listen = listen_at,
            .listener_close = listener_gone,
            .listener_halt = listener_halts,
            .listener_resume = listener_resumes,
            .struct_bytes = sizeof(struct io),
            .open = io_opens,
            .close = io_closes,
            .accept = accept_starts,
            .cancel_accepts = accepts_end,
            .connect = connect_starts,
            .receive = receive_starts,
            .send = send_starts,
            .cancel = cancel_comes,
            .shutdown = shut_down,
            .sock_close = sock_closes,
            .name_of = name_of,
            .lease_return = lease_comes_back,
            .reap = reaps,
            .wake = wakes,
        },
};

/* --------------------------------------------------------------------------------------- a run */

static berth_handle handle;

static void on_open(struct berth_conn *conn)
{
    static const uint8_t bytes[PUSHED];
    assert_int_equal(opens++, 0);
    handle = berth_conn_handle(conn);
    assert_int_equal(berth_send(conn, bytes, sizeof bytes), BERTH_OK);
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    assert_true(opens == 1 && closes == 0);
    messages++;
    int result = berth_reply(conn, message, message->data, message->size);
    assert_true(result == BERTH_OK || result == BERTH_E_CLOSED);
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    assert_int_equal(opens, 1);
    assert_int_equal(closes++, 0);
    assert_true(reason >= BERTH_REASON_PEER && reason <= BERTH_REASON_SLOW);
}

static struct berth_server *begin(struct berth_protocol *protocol)
{
    struct berth_config config;
    struct berth_server *server;
    berth_config_init(&config);
    config.workers = 1;
    config.connections_max = 1;
    config.receive_bytes = 64;
    config.receive_buffers = 2;
    config.pool_bytes = 1 << 20;
    config.recorder_records = 16;
    config.post_bytes = 65536;
    config.first_message_timeout_ms = 0;
    config.receive_idle_timeout_ms = IDLE_MS;
    config.linger_timeout_ms = LINGER_MS;
    *protocol = (struct berth_protocol){.framing = berth_framing_seed(200),
                                        .on_open = on_open,
                                        .on_message = on_message,
                                        .on_close = on_close};
    script = (struct script){.now_ns = 1000 * NS_PER_MS};
    opens = closes = messages = 0;
    assert_int_equal(server_create_in(&server, &config, &scripted, NULL, NULL), BERTH_OK);
    struct berth_listen_options listen = {.address = {.family = BERTH_IPV4}, .protocol = protocol};
    assert_int_equal(berth_listen(server, &listen, NULL, NULL), BERTH_OK);
    assert_int_equal(server_start_stepped(server), 0);
    return server;
}

/* A turn, unless it has ended. */
static bool turn(struct berth_server *server)
{
    return server->workers[0].phase == WORKER_ENDED || worker_turn(&server->workers[0], false);
}

static void happen(struct berth_server *server, enum happening event)
{
    switch (event) {
    case RECEIVES:
        script.receives_now = true;
        break;
    case SENDS:
        script.sends_now = true;
        break;
    case DEADLINE:
        script.now_ns += (IDLE_MS + 2) * NS_PER_MS;
        (void)turn(server);
        (void)turn(server); /* quiet ones, before anybody is ended */
        (void)turn(server);
        return;
    case CLOSES:
        (void)berth_handle_close(server, handle);
        break;
    case STOPS:
    case EVENTS:
        berth_server_stop(server);
        break;
    }
}

/* Receive and send, if they are neighbours, may come in one array. */
static void play(struct berth_server *server, const enum happening *order, bool together)
{
    for (int i = 0; i < EVENTS; i++) {
        bool pair = i + 1 < EVENTS && order[i] <= SENDS && order[i + 1] <= SENDS;
        script.sends_first = order[i] == SENDS;
        happen(server, order[i]);
        if (!(together && pair)) {
            (void)turn(server);
        }
    }
}

static void run(const enum happening *order, size_t receive, size_t send, unsigned variant)
{
    struct berth_protocol protocol;
    struct berth_server *server = begin(&protocol);
    struct worker *worker = &server->workers[0];
    script.more = (variant & 1) != 0;
    script.natural = (variant & 2) != 0;
    script.receive_result = receive_results[receive];
    script.send_result = send_results[send];
    (void)turn(server);
    assert_int_equal(opens, 1);
    play(server, order, (variant & 4) != 0);
    script.ending = true;
    for (int turns = 0; worker->phase != WORKER_ENDED; turns++) {
        assert_true(turns < TURNS_MAX);
        (void)turn(server);
    }
    assert_int_equal(closes, 1);
    assert_false(script.accepted);
    assert_int_equal(worker->pool.used, 0);
    assert_int_equal(worker->slots.used, 0);
    assert_int_equal(io_leases_free(worker->io), 2);
    assert_int_equal(atomic_load(&server->permits), 1);
    worker_close(worker);
    berth_server_destroy(server);
    orders++;
}

static void run_all_results(const enum happening *order)
{
    for (size_t receive = 0; receive < COUNT(receive_results); receive++) {
        for (size_t send = 0; send < COUNT(send_results); send++) {
            for (unsigned variant = 0; variant < 8; variant++) {
                run(order, receive, send, variant);
            }
        }
    }
}

/* The next permutation in lexical order; false after the last. */
static bool permute(enum happening *order)
{
    int at = EVENTS - 2;
    while (at >= 0 && order[at] > order[at + 1]) {
        at--;
    }
    if (at < 0) {
        return false;
    }
    int with = EVENTS - 1;
    while (order[with] < order[at]) {
        with--;
    }
    enum happening swap = order[at];
    order[at] = order[with];
    order[with] = swap;
    for (int low = at + 1, high = EVENTS - 1; low < high; low++, high--) {
        swap = order[low];
        order[low] = order[high];
        order[high] = swap;
    }
    return true;
}

static void every_order_ends_once(void **state)
{
    (void)state;
    fault_begin("F24", "sim", "sim");
    enum happening order[EVENTS] = {RECEIVES, SENDS, DEADLINE, CLOSES, STOPS};
    do {
        run_all_results(order);
    } while (permute(order));
    printf("%llu orders\n", (unsigned long long)orders);
    fault_met("%llu orders of %llu, 0 leaks", (unsigned long long)orders,
              (unsigned long long)orders);
    assert_int_equal(orders, 120 * COUNT(receive_results) * COUNT(send_results) * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_order_ends_once)};
    return cmocka_run_group_tests_name("sim.orders", tests, NULL, NULL);
}
