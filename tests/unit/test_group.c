/* Groups on real sockets and with real threads, each test on both backends: four threads send to
 * hundreds of members on two workers, and the server ends while they do.
 */
#include "unit/help_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 300
#define SENDERS 4
#define EACH    150
#define PAYLOAD 12 /* a sender, a number, and the sender again */
#define FRAME   (4 + PAYLOAD)

struct client {
    int fd;
    uint8_t part[FRAME]; /* of a frame that has not come whole */
    uint32_t part_bytes;
    uint32_t next[SENDERS]; /* the number that must come next */
    uint32_t frames;
};

struct sender {
    pthread_t thread;
    uint32_t number;
    uint32_t refusals;
};

static struct client clients[CLIENTS];
static struct sender senders[SENDERS];
static struct berth_server *the_server;
static struct berth_group *the_group;
static atomic_bool enough;

static void join(struct berth_conn *conn)
{
    struct berth_group *group = berth_group_find(berth_conn_server(conn), "all");
    if (group == NULL || berth_group_join(group, conn) != BERTH_OK) {
        fprintf(stderr, "a member was refused\n");
        abort();
    }
}

/* The same where nobody reads, so that the pool may be full of what is queued. */
static void try_to_join(struct berth_conn *conn)
{
    int result = berth_group_join(the_group, conn);
    if (result != BERTH_OK && result != BERTH_E_MEMORY) {
        fprintf(stderr, "a member was refused: %s\n", berth_err_name(result));
        abort();
    }
}

/* The group is made before the start, as programs do. */
static void serve(const struct berth_protocol *protocol, struct berth_address *bound)
{
    const struct berth_group_options options = {"all", BERTH_SLOW_PAUSE};
    struct berth_config config;
    live_settings(&config);
    config.workers = 2;
    config.connections_max = CLIENTS;
    the_server = live_create(&config);
    *bound = live_listen_on(the_server, protocol);
    assert_int_equal(berth_group_create(the_server, &options, &the_group, NULL), BERTH_OK);
    live_start(the_server);
}

static void connect_all(const struct berth_address *to)
{
    memset(clients, 0, sizeof clients);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i].fd = live_client(to);
        assert_int_equal(fcntl(clients[i].fd, F_SETFL, O_NONBLOCK), 0);
    }
    LIVE_UNTIL(berth_group_members(the_group) == CLIENTS);
}

/* The last sender broadcasts, the others send to the group. */
static int send_next(struct sender *sender, uint32_t number)
{
    const uint32_t payload[3] = {sender->number, number, sender->number};
    return sender->number == SENDERS - 1
               ? berth_broadcast(the_server, payload, sizeof payload, BERTH_SLOW_PAUSE)
               : berth_group_send(the_group, payload, sizeof payload);
}

static void *send_each(void *argument)
{
    struct sender *sender = argument;
    for (uint32_t i = 0; i < EACH;) {
        int result = send_next(sender, i);
        if (result == BERTH_OK) {
            i++;
        } else if (result == BERTH_E_WOULD_EXCEED) {
            sender->refusals++;
            sched_yield();
        } else {
            fprintf(stderr, "a send failed: %s\n", berth_err_name(result));
            abort();
        }
    }
    return NULL;
}

static void *send_until_enough(void *argument)
{
    struct sender *sender = argument;
    for (uint32_t i = 0; !atomic_load(&enough); i++) {
        int result = send_next(sender, i);
        if (result != BERTH_OK && result != BERTH_E_WOULD_EXCEED) {
            fprintf(stderr, "a send failed: %s\n", berth_err_name(result));
            abort();
        }
        if (result != BERTH_OK) {
            sched_yield();
        }
    }
    return NULL;
}

static void start_senders(void *(*run)(void *))
{
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, run, &senders[i]), 0);
    }
}

static void join_senders(void)
{
    for (uint32_t i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    }
}

/* ----------------------------------------------------------------------------------- the clients
 */

static void check_frame(struct client *client)
{
    static const uint8_t header[4] = {PAYLOAD, 0, 0, 0};
    uint32_t payload[3];
    assert_memory_equal(client->part, header, sizeof header);
    memcpy(payload, client->part + 4, sizeof payload);
    assert_true(payload[0] < SENDERS && payload[2] == payload[0]);
    if (payload[1] != client->next[payload[0]]) {
        fail_msg("client %u got number %u of sender %u; expected %u", (unsigned)(client - clients),
                 payload[1], payload[0], client->next[payload[0]]);
    }
    client->next[payload[0]]++;
    client->frames++;
}

static void read_some(struct client *client)
{
    uint8_t bytes[4096];
    ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        fail_msg("client %u: the stream ended", (unsigned)(client - clients));
    }
    for (ssize_t i = 0; i < got; i++) {
        client->part[client->part_bytes++] = bytes[i];
        if (client->part_bytes == FRAME) {
            check_frame(client);
            client->part_bytes = 0;
        }
    }
}

/* Reads until every client has had so many frames. */
static void read_all(uint32_t frames)
{
    struct pollfd polls[CLIENTS];
    uint64_t begin_ms = live_now_ms();
    for (uint32_t done = 0; done < CLIENTS;) {
        uint32_t count = 0;
        uint32_t whose[CLIENTS];
        for (uint32_t i = 0; i < CLIENTS; i++) {
            if (clients[i].frames < frames) {
                whose[count] = i;
                polls[count++] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
            }
        }
        done = CLIENTS - count;
        if (count > 0 && live_now_ms() - begin_ms > LIVE_WAIT_MS) {
            fail_msg("%u clients wait; the first has %u of %u frames", count,
                     clients[whose[0]].frames, frames);
        }
        if (count > 0 && poll(polls, count, 100) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                if (polls[i].revents != 0) {
                    read_some(&clients[whose[i]]);
                }
            }
        }
    }
}

static void close_all(void)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        close(clients[i].fd);
    }
}

/* ------------------------------------------------------------------------------------- the tests
 */

static void every_member_gets_all_in_the_order_of_each_thread(void **state)
{
    (void)state;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(PAYLOAD), .on_open = join};
    serve(&protocol, &bound);
    connect_all(&bound);
    start_senders(send_each);
    read_all(SENDERS * EACH);
    join_senders();
    struct berth_stats stats = live_stats_of(the_server);
    assert_int_equal(stats.group_deliveries, CLIENTS * SENDERS * EACH);
    assert_int_equal(stats.group_encodings, SENDERS * EACH);
    assert_int_equal(stats.group_skipped, 0);
    close_all();
    LIVE_UNTIL(berth_group_members(the_group) == 0);
    live_end(the_server);
}

/* Clients come and go, and in the end the server, while four threads send. */
static void an_end_while_threads_send(void **state)
{
    (void)state;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(PAYLOAD),
                                      .on_open = try_to_join};
    serve(&protocol, &bound);
    connect_all(&bound);
    atomic_store(&enough, false);
    start_senders(send_until_enough);
    for (uint32_t i = 0; i < 40; i++) {
        close(clients[i].fd); /* with bytes unread: a reset */
        clients[i].fd = live_client(&bound);
    }
    LIVE_UNTIL(live_stats_of(the_server).closed >= 40);
    LIVE_UNTIL(live_stats_of(the_server).group_deliveries > 10000);
    berth_server_stop(the_server);
    berth_server_stop(the_server);
    assert_true(berth_server_wait(the_server, LIVE_WAIT_MS));
    atomic_store(&enough, true);
    join_senders();
    assert_int_equal(berth_group_members(the_group), 0);
    assert_int_equal(berth_group_send(the_group, "to nobody", 9), BERTH_OK);
    berth_server_destroy(the_server);
    close_all();
}

/* ----------------------------------------------------------------------------------- both backends
 */

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(every_member_gets_all_in_the_order_of_each_thread),
        LIVE_ON_BOTH(an_end_while_threads_send),
    };
    return cmocka_run_group_tests_name("unit.group", tests, NULL, NULL);
}
