/* F20: replies to peers that have reset their connections, in a program that leaves SIGPIPE as it
 * is by default: the signal would end it. Each reply is made when its peer has gone for certain,
 * for every second one behind the end of its stream: that is the case in which the system would
 * send the signal.
 */
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define ORDINARY 1000u
#define FULL     10000u
#define PINGS    1000u

#define LINE_BYTES 512

#define PING  "ping" /* answered at once; anything else when its sender has gone */
#define LEAVE "gone"
#define BYTES 4

static struct {
    _Atomic uint32_t held; /* messages whose answer waits for that */
    _Atomic uint32_t left; /* peers that have gone */
    _Atomic uint32_t replies;
    _Atomic uint32_t resets;
} world;

/* ------------------------------------------------------------------------------------ the server
 */

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    if (memcmp(message->data, LEAVE, BYTES) == 0) {
        uint32_t number = atomic_fetch_add(&world.held, 1) + 1;
        uint64_t begin_ms = live_now_ms();
        while (atomic_load(&world.left) < number && live_now_ms() - begin_ms < LIVE_WAIT_MS) {
            sched_yield();
        }
    }
    if (berth_reply(conn, message, message->data, message->size) == BERTH_OK) {
        atomic_fetch_add(&world.replies, 1);
    }
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    atomic_fetch_add(&world.resets, reason == BERTH_REASON_RESET ? 1 : 0);
}

static const struct berth_protocol protocol = {
    .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = BYTES},
    .on_message = on_message,
    .on_close = on_close,
};

/* ------------------------------------------------------------------------------------- the peers
 */

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Asks, and has gone before the answer is made. */
static void leave(const struct berth_address *to, uint32_t number)
{
    int fd = live_client(to);
    live_tell(fd, LEAVE, BYTES);
    LIVE_UNTIL(atomic_load(&world.held) == number);
    if (number % 2 == 0) {
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
    }
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    close(fd);
    atomic_store(&world.left, number);
}

/* The signals that wait for a thread: it may block what it gets, and then does not die of it. */
static uint64_t pending(const char *task)
{
    char line[LINE_BYTES];
    uint64_t set = 0;
    snprintf(line, sizeof line, "/proc/self/task/%s/status", task);
    FILE *file = fopen(line, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0) {
            set |= strtoull(line + 7, NULL, 16);
        }
    }
    fclose(file);
    return set;
}

static void assert_no_signal(void)
{
    struct sigaction now;
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *task = readdir(folder); task != NULL; task = readdir(folder)) {
        if (task->d_name[0] != '.') {
            assert_int_equal(pending(task->d_name) >> (SIGPIPE - 1) & 1, 0);
        }
    }
    closedir(folder);
}

static void a_reply_to_who_has_gone_is_no_signal(void **state)
{
    (void)state;
    const char *form = getenv("BERTH_FULL");
    uint32_t count = form != NULL && strcmp(form, "1") == 0 ? FULL : ORDINARY;
    bool uring = live_backend == BERTH_BACKEND_URING;
    fault_begin("F20", uring ? "uring" : "epoll", "kernel");
    memset(&world, 0, sizeof world);
    struct berth_config config;
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    struct berth_address at = live_listen_on(server, &protocol);
    live_start(server);
    unsigned held = descriptors();
    assert_no_signal();
    for (uint32_t number = 1; number <= count; number++) {
        leave(&at, number);
        LIVE_UNTIL(live_stats_of(server).closed == number);
    }
    assert_int_equal(atomic_load(&world.replies), count);
    assert_int_equal(atomic_load(&world.resets), count);
    int fd = live_client(&at);
    for (unsigned i = 0; i < PINGS; i++) {
        live_tell(fd, PING, BYTES);
        live_hear(fd, PING, BYTES);
    }
    close(fd);
    LIVE_UNTIL(live_stats_of(server).connections_open == 0);
    LIVE_UNTIL(descriptors() == held);
    assert_no_signal();
    struct berth_stats stats = live_stats_of(server);
    assert_int_equal(stats.messages_in, count + PINGS);
    assert_int_equal(stats.messages_out, count + PINGS);
    assert_int_equal(stats.closed, count + 1);
    live_end(server);
    fault_met(
        "%u replies to peers that had reset, every second one behind its half-close: no signal, "
        "the handler untouched, exit status 0",
        count);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_DFL); /* a parent may have ignored it, and that is inherited */
    const struct CMUnitTest tests[] = {LIVE_ON_BOTH(a_reply_to_who_has_gone_is_no_signal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
