/* F23: connections come and go, and the handles of those that have gone are used all the time.
 *
 * Two threads of clients connect, ask, and end in different ways; two more send to, close, pause
 * and resume connections whose on_close has been called, while slots and descriptors are in use
 * again. A callback looks such handles up too. Each such call must say that the handle is stale, no
 * open connection may notice, and what a client hears must be for the connection that it has.
 *
 * The abusers send to handles that may be open as well: such a message arrives at its connection
 * or nowhere. Now and then a client waits for one.
 *
 * Every message has 16 bytes: the handle of the connection that it is for, and a number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define ORDINARY  5000u
#define FULL      1000000u
#define CLIENTS   2 /* threads */
#define ABUSERS   2
#define ASKED_MAX 3  /* questions of one connection */
#define WAITS     64 /* one visit of so many waits for a message by handle */
#define PACE      10 /* clients go no faster than one call of an abuser for so many connections */

/* The last handles of either kind. Few, so that those that are used were free a moment ago. */
#define REMEMBERED 256u

/* Client addresses 127.0.0.2 and on: some ends leave a port in TIME_WAIT. */
#define SOURCES 16u

#define SENT_BY_HANDLE UINT64_MAX

struct words {
    uint64_t handle;
    uint64_t number;
};

struct ring {
    _Atomic uint64_t handles[REMEMBERED];
    _Atomic uint32_t next;
};

static struct {
    struct berth_server *server;
    struct berth_address at;
    uint32_t each; /* connections of a client's thread */
    struct ring open;
    struct ring gone;
    _Atomic uint64_t waiting[CLIENTS]; /* handles of connections that wait for a message, or 0 */
    _Atomic bool over;
    _Atomic uint64_t stale;      /* calls that said so */
    _Atomic uint64_t wrong;      /* calls on a handle that had gone which did not */
    _Atomic uint64_t misheard;   /* messages that a client got and were not its own */
    _Atomic uint64_t broken;     /* ends that no client asked for */
    _Atomic uint64_t by_handle;  /* messages sent to open handles */
    _Atomic uint64_t found_gone; /* berth_conn_find of a handle that had gone */
} world;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void remember(struct ring *ring, berth_handle handle)
{
    uint32_t place = atomic_fetch_add(&ring->next, 1) % REMEMBERED;
    atomic_store(&ring->handles[place], handle);
}

static berth_handle recall(struct ring *ring, uint64_t random)
{
    return atomic_load(&ring->handles[random % REMEMBERED]);
}

/* ------------------------------------------------------------------------------------ the server
 */

static void on_open(struct berth_conn *conn)
{
    remember(&world.open, berth_conn_handle(conn));
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)reason;
    remember(&world.gone, berth_conn_handle(conn));
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct words words;
    memcpy(&words, message->data, sizeof words);
    words.handle = berth_conn_handle(conn);
    (void)berth_reply(conn, message, &words, sizeof words); /* the client may be gone */
    berth_handle gone = recall(&world.gone, berth_conn_random(conn));
    if (gone != 0 && berth_conn_find(conn, gone) != NULL) {
        atomic_fetch_add(&world.found_gone, 1);
    }
}

static const struct berth_protocol protocol = {
    .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = sizeof(struct words)},
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
};

/* ----------------------------------------------------------------------------------- the abusers
 */

static void abuse_gone(berth_handle handle, unsigned how)
{
    struct words words = {.handle = handle, .number = SENT_BY_HANDLE};
    int result = how == 0   ? berth_handle_close(world.server, handle)
                 : how == 1 ? berth_handle_pause(world.server, handle)
                 : how == 2 ? berth_handle_resume(world.server, handle)
                            : berth_handle_send(world.server, handle, &words, sizeof words);
    atomic_fetch_add(result == BERTH_E_STALE ? &world.stale : &world.wrong, 1);
}

static void send_to_open(berth_handle handle)
{
    struct words words = {.handle = handle, .number = SENT_BY_HANDLE};
    if (berth_handle_send(world.server, handle, &words, sizeof words) == BERTH_OK) {
        atomic_fetch_add(&world.by_handle, 1);
    }
}

static void *abuse(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    while (!atomic_load(&world.over)) {
        uint64_t what = next_random(&random);
        berth_handle gone = recall(&world.gone, what >> 8);
        berth_handle open = recall(&world.open, what >> 8);
        berth_handle waiting = atomic_load(&world.waiting[(what >> 8) % CLIENTS]);
        if (gone != 0) {
            abuse_gone(gone, what % 4);
        }
        if (open != 0 && what % 8 == 0) {
            send_to_open(open);
        }
        if (waiting != 0) {
            send_to_open(waiting);
        }
        sched_yield(); /* the machine may have one processor */
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------- the clients
 */

static int connect_from(uint32_t source)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = LIVE_WAIT_MS / 1000};
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(world.at.port)};
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
                bind(fd, (const struct sockaddr *)(const void *)&from, sizeof from) == 0 &&
                connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0;
    if (!good) {
        perror("a client's connect");
        abort();
    }
    return fd;
}

/* One message, whole; false: the stream has ended. */
static bool hear(int fd, struct words *out)
{
    ssize_t got = recv(fd, out, sizeof *out, MSG_WAITALL);
    if (got != 0 && got != (ssize_t)sizeof *out) {
        atomic_fetch_add(&world.broken, 1); /* a reset, a part, or nothing for too long */
        return false;
    }
    return got != 0;
}

/* Hears the answer to `number`; messages by handle may come before it. Learns its own handle. */
static bool hear_answer(int fd, uint64_t number, berth_handle *mine)
{
    struct words words;
    do {
        if (!hear(fd, &words)) {
            return false;
        }
        if (*mine == 0) {
            *mine = words.handle; /* whatever names itself otherwise later is not ours */
        }
        if (words.handle != *mine || (words.number != number && words.number != SENT_BY_HANDLE)) {
            atomic_fetch_add(&world.misheard, 1);
        }
    } while (words.number == SENT_BY_HANDLE);
    return true;
}

static void end_in_order(int fd, berth_handle mine)
{
    struct words words;
    shutdown(fd, SHUT_WR);
    while (hear(fd, &words)) {
        if (words.handle != mine || words.number != SENT_BY_HANDLE) {
            atomic_fetch_add(&world.misheard, 1);
        }
    }
    close(fd);
}

static void end_by_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* Until a message by handle has come, which must be its own. */
static void wait_for_message(int fd, berth_handle mine, uint32_t client)
{
    struct words words;
    atomic_store(&world.waiting[client], mine);
    if (!hear(fd, &words)) {
        atomic_fetch_add(&world.broken, 1);
    } else if (words.handle != mine || words.number != SENT_BY_HANDLE) {
        atomic_fetch_add(&world.misheard, 1);
    }
    atomic_store(&world.waiting[client], 0);
}

static void visit(uint32_t client, uint64_t *random, uint64_t number)
{
    uint64_t how = next_random(random);
    int fd = connect_from((uint32_t)(how % SOURCES));
    berth_handle mine = 0;
    for (uint64_t i = 0; i <= (how >> 8) % ASKED_MAX; i++) {
        struct words words = {.number = number + i};
        if (send(fd, &words, sizeof words, MSG_NOSIGNAL) != (ssize_t)sizeof words) {
            atomic_fetch_add(&world.broken, 1);
        }
        if ((how >> 16) % 8 == 0) {
            break; /* it does not wait for the answer */
        }
        if (!hear_answer(fd, number + i, &mine)) {
            atomic_fetch_add(&world.broken, 1);
            break;
        }
    }
    if ((how >> 16) % 8 > 1 && (how >> 20) % WAITS == 0) {
        wait_for_message(fd, mine, client);
    }
    if ((how >> 16) % 8 == 1) {
        end_in_order(fd, mine);
    } else {
        end_by_reset(fd);
    }
}

static void *visit_all(void *number)
{
    uint32_t client = (uint32_t)(uintptr_t)number;
    uint64_t random = client + 7;
    for (uint32_t i = 0; i < world.each; i++) {
        uint64_t begin_ms = live_now_ms();
        while (world.stale < i / PACE && live_now_ms() - begin_ms < LIVE_WAIT_MS) {
            sched_yield();
        }
        visit(client, &random, (uint64_t)i * ASKED_MAX);
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------- the test
 */

static void run_threads(void)
{
    pthread_t clients[CLIENTS];
    pthread_t abusers[ABUSERS];
    for (uintptr_t i = 0; i < ABUSERS; i++) {
        assert_int_equal(pthread_create(&abusers[i], NULL, abuse, (void *)(i + 77)), 0);
    }
    for (uintptr_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_create(&clients[i], NULL, visit_all, (void *)i), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i], NULL);
    }
    atomic_store(&world.over, true);
    for (int i = 0; i < ABUSERS; i++) {
        pthread_join(abusers[i], NULL);
    }
}

static void nothing_reaches_who_has_the_place_now(void **state)
{
    (void)state;
    const char *form = getenv("BERTH_FULL");
    uint32_t all = form != NULL && strcmp(form, "1") == 0 ? FULL : ORDINARY;
    fault_begin("F23", live_backend == BERTH_BACKEND_EPOLL ? "epoll" : "uring", "kernel");
    memset(&world, 0, sizeof world);
    struct berth_config config;
    live_settings(&config);
    config.workers = 2;
    world.each = all / CLIENTS;
    world.server = live_create(&config);
    world.at = live_listen_on(world.server, &protocol);
    live_start(world.server);
    run_threads();
    LIVE_UNTIL(live_stats_of(world.server).closed == all);
    struct berth_stats stats = live_stats_of(world.server);
    assert_int_equal(stats.accepted, all);
    assert_int_equal(stats.connections_open, 0);
    live_end(world.server);
    assert_int_equal(world.wrong, 0);
    assert_int_equal(world.found_gone, 0);
    assert_int_equal(world.misheard, 0);
    assert_int_equal(world.broken, 0);
    assert_true(world.stale >= world.each / PACE - 1);
    assert_true(world.by_handle > 0);
    fault_met(
        "%u connections, %llu calls on handles that had gone: all of them stale; %llu messages "
        "to open handles: 0 of either reached another connection",
        all, (unsigned long long)world.stale, (unsigned long long)world.by_handle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(nothing_reaches_who_has_the_place_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
