/* Every message is kept and answered from another thread: 2 workers, 4 application threads, clients
 * that keep many on their way. None is lost, none leaves out of order. 100,000 messages; ten
 * million with BERTH_FULL=1 in the environment (./dev test --full), meant for ThreadSanitizer.
 *
 * The threads answer in disorder: each takes a handful of the newest messages of a shared stack.
 *
 * Under ThreadSanitizer this is fault F26 of docs/FAULTS.md, and leaves its row.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define WORKERS     2
#define THREADS     4
#define CLIENTS     20
#define ORDINARY    100000u
#define FULL        10000000u
#define AHEAD       200 /* messages on their way per client */
#define FRAME_BYTES 8   /* length and number */
#define HANDFUL     8

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct berth_kept *top;
    bool ending;
} stack = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void keep_all(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct berth_kept *first = NULL;
    struct berth_kept *last = NULL;
    for (size_t i = 0; i < count; i++) {
        struct berth_kept *kept = berth_keep(conn, &messages[i], messages[i].size, NULL);
        assert_non_null(kept);
        kept->next = first;
        first = kept;
        last = last == NULL ? kept : last;
    }
    pthread_mutex_lock(&stack.lock);
    last->next = stack.top;
    stack.top = first;
    pthread_cond_signal(&stack.changed);
    pthread_mutex_unlock(&stack.lock);
}

static struct berth_kept *take_handful(void)
{
    pthread_mutex_lock(&stack.lock);
    while (stack.top == NULL && !stack.ending) {
        pthread_cond_wait(&stack.changed, &stack.lock);
    }
    struct berth_kept *first = stack.top;
    struct berth_kept *last = first;
    for (int i = 1; i < HANDFUL && last != NULL && last->next != NULL; i++) {
        last = last->next;
    }
    if (last != NULL) {
        stack.top = last->next;
        last->next = NULL;
    }
    if (stack.top != NULL) {
        pthread_cond_signal(&stack.changed);
    }
    pthread_mutex_unlock(&stack.lock);
    return first;
}

static void *answer_all(void *unused)
{
    (void)unused;
    struct berth_kept *kept;
    while ((kept = take_handful()) != NULL) {
        while (kept != NULL) {
            struct berth_kept *next = kept->next;
            memcpy(kept->reply, kept->message.data, kept->message.size);
            assert_int_equal(berth_kept_reply(kept, kept->reply, kept->message.size), BERTH_OK);
            kept = next;
        }
    }
    return NULL;
}

struct client {
    int fd;
    uint32_t sent;
    uint32_t heard;
    size_t part; /* bytes of a reply that came in parts */
    uint8_t partial[FRAME_BYTES];
};

static void frame_of(uint32_t number, uint8_t *out)
{
    const uint8_t length[4] = {4};
    memcpy(out, length, 4);
    memcpy(out + 4, &number, 4);
}

static void send_more(struct client *client, uint32_t each)
{
    uint8_t bytes[AHEAD * FRAME_BYTES];
    size_t count = 0;
    while (client->sent < each && client->sent - client->heard < AHEAD) {
        frame_of(client->sent++, bytes + count);
        count += FRAME_BYTES;
    }
    if (count > 0) {
        live_tell(client->fd, bytes, count);
    }
}

static void hear_some(struct client *client)
{
    uint8_t bytes[AHEAD * FRAME_BYTES];
    memcpy(bytes, client->partial, client->part);
    ssize_t got = recv(client->fd, bytes + client->part, sizeof bytes - client->part, 0);
    assert_true(got > 0);
    size_t count = client->part + (size_t)got;
    size_t at = 0;
    for (; count - at >= FRAME_BYTES; at += FRAME_BYTES) {
        uint8_t expected[FRAME_BYTES];
        frame_of(client->heard, expected);
        if (memcmp(bytes + at, expected, FRAME_BYTES) != 0) {
            uint32_t number;
            memcpy(&number, bytes + at + 4, 4);
            fail_msg("reply %u instead of %u", number, client->heard);
        }
        client->heard++;
    }
    client->part = count - at;
    memcpy(client->partial, bytes + at, client->part);
}

static void run_clients(const struct berth_address *at, uint32_t each)
{
    struct client clients[CLIENTS] = {{0}};
    struct pollfd polls[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].fd = live_client(at);
        polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        send_more(&clients[i], each);
    }
    unsigned done = 0;
    while (done < CLIENTS) {
        int ready = poll(polls, CLIENTS, LIVE_WAIT_MS);
        assert_true(ready > 0);
        for (unsigned i = 0; i < CLIENTS; i++) {
            if ((polls[i].revents & POLLIN) == 0) {
                continue;
            }
            hear_some(&clients[i]);
            send_more(&clients[i], each);
            if (clients[i].heard == each) {
                polls[i].fd = -1;
                done++;
            }
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(clients[i].fd);
    }
}

/* ------------------------------------------------------------------------------ F26, for its row
 */

#if defined(__SANITIZE_THREAD__)
#define RACES_ARE_SEEN true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_SEEN true
#endif
#endif
#ifndef RACES_ARE_SEEN
#define RACES_ARE_SEEN false
#endif

static _Atomic unsigned reports;

/* ThreadSanitizer calls it for each of its reports. */
void __tsan_on_report(void *report);
void __tsan_on_report(void *report)
{
    (void)report;
    atomic_fetch_add(&reports, 1);
}

static void row_begin(void)
{
    if (RACES_ARE_SEEN) {
        fault_begin("F26", live_backend == BERTH_BACKEND_EPOLL ? "epoll" : "uring", "kernel");
    }
}

static void row_end(unsigned messages)
{
    if (RACES_ARE_SEEN && atomic_load(&reports) == 0) {
        fault_met("%u messages answered by %d threads: none lost, none out of order, 0 reports of "
                  "ThreadSanitizer",
                  messages, THREADS);
    }
}

static void none_is_lost_or_reordered(void **state)
{
    (void)state;
    row_begin();
    uint32_t all = getenv("BERTH_FULL") != NULL ? FULL : ORDINARY;
    struct berth_config config;
    live_settings(&config);
    config.workers = WORKERS;
    struct berth_protocol protocol = {
        .framing = {.kind = BERTH_FRAMING_LENGTH, .length_bytes = 4, .message_bytes_max = 100},
        .on_messages = keep_all,
    };
    struct berth_server *server = live_create(&config);
    struct berth_address at = live_listen_on(server, &protocol);
    live_start(server);
    stack.ending = false;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, answer_all, NULL), 0);
    }
    run_clients(&at, all / CLIENTS);
    pthread_mutex_lock(&stack.lock);
    stack.ending = true;
    pthread_cond_broadcast(&stack.changed);
    pthread_mutex_unlock(&stack.lock);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct berth_stats stats = live_stats_of(server);
    assert_int_equal(stats.messages_in, all);
    assert_int_equal(stats.messages_kept, all);
    LIVE_UNTIL(live_stats_of(server).messages_out == all);
    stats = live_stats_of(server);
    assert_true(stats.wakeups <= stats.turns); /* however many answers a turn takes in */
    live_end(server);
    row_end(all);
}

/* One message at a time: the worker sleeps before each answer, the client before each reply, and a
 * wake-up that is lost even once is waited for in vain. */
static void every_answer_wakes(void **state)
{
    (void)state;
    uint32_t all = (getenv("BERTH_FULL") != NULL ? FULL : ORDINARY) / 20;
    struct berth_config config;
    live_settings(&config);
    struct berth_protocol protocol = {
        .framing = {.kind = BERTH_FRAMING_LENGTH, .length_bytes = 4, .message_bytes_max = 100},
        .on_messages = keep_all,
    };
    struct berth_server *server = live_create(&config);
    struct berth_address at = live_listen_on(server, &protocol);
    live_start(server);
    stack.ending = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_all, NULL), 0);
    int fd = live_client(&at);
    for (uint32_t i = 0; i < all; i++) {
        uint8_t frame[FRAME_BYTES];
        frame_of(i, frame);
        live_tell(fd, frame, sizeof frame);
        live_hear(fd, frame, sizeof frame);
    }
    pthread_mutex_lock(&stack.lock);
    stack.ending = true;
    pthread_cond_broadcast(&stack.changed);
    pthread_mutex_unlock(&stack.lock);
    pthread_join(thread, NULL);
    close(fd);
    live_end(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(none_is_lost_or_reordered),
        LIVE_ON_BOTH(every_answer_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
