/* Kernel facts about sockets under io_uring: what a close, a shutdown, a reset and an empty buffer
 * ring do to a receive, and what a send does. Law numbers are those of src/io/io.h.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/help_kernel.h"

#define MUCH (32 * 1024 * 1024)
#define CODE 0x1234567812345678u

struct fixture {
    struct io_uring ring;
    struct kernel_buffers buffers;
    struct kernel_pair pair;
};

static void begin(struct fixture *f, unsigned buffers_given)
{
    kernel_ring(&f->ring, 16, 0);
    kernel_buffers_open(&f->ring, &f->buffers, 4, 64, buffers_given);
    f->pair = kernel_pair();
}

static void end(struct fixture *f)
{
    kernel_buffers_close(&f->ring, &f->buffers);
}

static bool more(const struct io_uring_cqe *cqe)
{
    return (cqe->flags & IORING_CQE_F_MORE) != 0;
}

/* Law 5: why a socket is shut down and joined before it is closed. */
static void k01_close_under_a_multishot_receive_sends_no_fin(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 4);
    kernel_receive(&f.ring, f.pair.server, CODE);
    assert_false(kernel_take(&f.ring, KERNEL_MUST_NOT_MS, &cqe)); /* submitted, and armed */
    close(f.pair.server);
    assert_false(kernel_readable(f.pair.client, KERNEL_MUST_NOT_MS)); /* no FIN */
    assert_int_equal(send(f.pair.client, "late", 4, MSG_NOSIGNAL), 4);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, 4); /* data for a closed descriptor */
    assert_true(cqe.user_data == CODE && more(&cqe));
    struct io_uring_sqe *sqe = io_uring_get_sqe(&f.ring);
    io_uring_prep_cancel64(sqe, CODE, 0);
    sqe->user_data = 0;
    bool ended = false;
    while (!ended && kernel_take(&f.ring, KERNEL_MUST_MS, &cqe)) {
        ended = cqe.user_data == CODE;
    }
    assert_true(ended);
    assert_int_equal(cqe.res, -ECANCELED);
    assert_false(more(&cqe));
    char byte;
    assert_true(kernel_readable(f.pair.client, KERNEL_MUST_MS)); /* now it is gone */
    assert_int_equal(recv(f.pair.client, &byte, 1, 0), 0);
    close(f.pair.client);
    end(&f);
}

/* Law 5: the first step of an orderly end. */
static void k02_shutdown_ends_a_multishot_receive(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    char byte;
    begin(&f, 4);
    kernel_receive(&f.ring, f.pair.server, CODE);
    assert_false(kernel_take(&f.ring, KERNEL_MUST_NOT_MS, &cqe));
    assert_int_equal(shutdown(f.pair.server, SHUT_RDWR), 0);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, 0);
    assert_false(more(&cqe));
    assert_false(kernel_take(&f.ring, KERNEL_MUST_NOT_MS, &cqe)); /* and only one */
    assert_true(kernel_readable(f.pair.client, KERNEL_MUST_MS));
    assert_int_equal(recv(f.pair.client, &byte, 1, 0), 0);
    kernel_close_pair(f.pair);
    end(&f);
}

/* The receive's -ENOBUFS: why a connection is parked until a lease is returned. */
static void k03_empty_buffer_ring_gives_enobufs(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 1);
    kernel_receive(&f.ring, f.pair.server, CODE);
    assert_int_equal(send(f.pair.client, "one", 3, MSG_NOSIGNAL), 3);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, 3);
    if (more(&cqe)) { /* it may notice at once that there is no second */
        assert_int_equal(send(f.pair.client, "two", 3, MSG_NOSIGNAL), 3);
        assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    }
    assert_int_equal(cqe.res, -ENOBUFS);
    assert_false(more(&cqe));
    kernel_buffer_give(&f.buffers, 0); /* nothing was lost: armed again, it arrives */
    kernel_receive(&f.ring, f.pair.server, CODE);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, 3);
    assert_memory_equal(f.buffers.memory, "two", 3);
    kernel_close_pair(f.pair);
    end(&f);
}

/* Law 8 and the reason RESET: what arrived before a reset is delivered before it. */
static void k04_a_reset_comes_after_the_bytes_before_it(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 4);
    kernel_receive(&f.ring, f.pair.server, CODE);
    assert_false(kernel_take(&f.ring, KERNEL_MUST_NOT_MS, &cqe));
    assert_int_equal(send(f.pair.client, "abcd", 4, MSG_NOSIGNAL), 4);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, 4);
    assert_true(more(&cqe));
    kernel_reset(f.pair.client);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, -ECONNRESET);
    assert_false(more(&cqe));
    close(f.pair.server);
    end(&f);
}

static volatile sig_atomic_t pipe_signals;

static void on_sigpipe(int number)
{
    (void)number;
    pipe_signals++;
}

/* User law 9, no signal handlers: the ring needs no MSG_NOSIGNAL, a plain send does. */
static void k05_a_ring_send_raises_no_sigpipe(void **state)
{
    (void)state;
    struct sigaction handler = {.sa_handler = on_sigpipe};
    struct sigaction before;
    struct fixture f;
    struct io_uring_cqe cqe = {0};
    begin(&f, 4);
    assert_int_equal(sigaction(SIGPIPE, &handler, &before), 0);
    pipe_signals = 0;
    kernel_reset(f.pair.client);
    assert_true(kernel_readable(f.pair.server, KERNEL_MUST_MS)); /* the reset is there */
    for (int i = 0; i < 3 && cqe.res != -EPIPE; i++) {           /* -ECONNRESET may be first */
        struct io_uring_sqe *sqe = io_uring_get_sqe(&f.ring);
        io_uring_prep_send(sqe, f.pair.server, "x", 1, 0);
        assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    }
    assert_int_equal(cqe.res, -EPIPE);
    assert_int_equal(pipe_signals, 0);
    assert_int_equal(send(f.pair.server, "x", 1, 0), -1);
    assert_int_equal(pipe_signals, 1); /* the epoll backend's reason for MSG_NOSIGNAL */
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
    close(f.pair.server);
    end(&f);
}

static void queue_send(struct io_uring *ring, int fd, const void *bytes, size_t count, int flags,
                       uint64_t user_data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    assert_non_null(sqe);
    io_uring_prep_send(sqe, fd, bytes, count, MSG_NOSIGNAL | flags);
    sqe->user_data = user_data;
}

/* Why the engine has deadlines of its own for what it sends: the system has none. */
static void k12_a_send_that_nobody_reads_waits_until_a_shutdown(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 4);
    uint8_t *much = calloc(1, MUCH);
    assert_non_null(much);
    queue_send(&f.ring, f.pair.client, much, MUCH, MSG_WAITALL, CODE);
    assert_false(kernel_take(&f.ring, KERNEL_LONG_MS, &cqe));
    assert_int_equal(shutdown(f.pair.client, SHUT_WR), 0);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_true(cqe.user_data == CODE);
    assert_true(cqe.res > 0 && cqe.res < MUCH); /* what was taken, and no error */
    kernel_close_pair(f.pair);
    end(&f);
    free(much);
}

/* Why a short count is no proof that a connection lives: only the next send says that it is dead.
 */
static void k13_a_user_timeout_ends_a_send_with_a_short_count(void **state)
{
    (void)state;
    const unsigned timeout_ms = 700;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 4);
    uint8_t *much = calloc(1, MUCH);
    assert_non_null(much);
    assert_int_equal(
        setsockopt(f.pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms),
        0);
    queue_send(&f.ring, f.pair.client, much, MUCH, MSG_WAITALL, CODE);
    /* It is looked at when a probe of the closed window is due, and those come more and more
     * seldom. */
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS * 2, &cqe));
    assert_true(cqe.user_data == CODE);
    assert_true(cqe.res > 0 && cqe.res < MUCH);
    queue_send(&f.ring, f.pair.client, much, 1, 0, CODE);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, -EPIPE);
    kernel_close_pair(f.pair);
    end(&f);
    free(much);
}

/* Law 6: a send is resumed at its exact offset. */
static void k14_a_large_send_is_short(void **state)
{
    (void)state;
    struct fixture f;
    struct io_uring_cqe cqe;
    begin(&f, 4);
    uint8_t *much = calloc(1, MUCH);
    assert_non_null(much);
    queue_send(&f.ring, f.pair.client, much, MUCH, 0, CODE);
    assert_true(kernel_take(&f.ring, KERNEL_MUST_MS, &cqe));
    assert_true(cqe.res > 0 && cqe.res < MUCH);
    kernel_close_pair(f.pair);
    end(&f);
    free(much);
}

/* Reads until both sends are done and all that they counted is out. Returns how often the byte
 * changed. */
static unsigned read_all(struct fixture *f, size_t *total)
{
    static char bytes[65536];
    struct io_uring_cqe cqe;
    size_t sent = 0;
    unsigned done = 0;
    unsigned switches = 0;
    char last = 0;
    while ((done < 2 || *total < sent) && kernel_readable(f->pair.server, KERNEL_MUST_MS)) {
        ssize_t got = recv(f->pair.server, bytes, sizeof bytes, MSG_DONTWAIT);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++) {
            switches += bytes[i] != last ? 1 : 0;
            last = bytes[i];
        }
        *total += (size_t)got;
        while (done < 2 && kernel_take(&f->ring, 0, &cqe)) {
            assert_true(cqe.res > 0);
            sent += (size_t)cqe.res;
            done++;
        }
    }
    assert_int_equal(done, 2);
    return switches;
}

/* Law 4: why there is one send in flight on a socket. */
static void k15_two_sends_in_flight_interleave(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 4);
    char *a = malloc(MUCH);
    char *b = malloc(MUCH);
    assert_true(a != NULL && b != NULL);
    memset(a, 'a', MUCH);
    memset(b, 'b', MUCH);
    queue_send(&f.ring, f.pair.client, a, MUCH, MSG_WAITALL, 1);
    queue_send(&f.ring, f.pair.client, b, MUCH, MSG_WAITALL, 2);
    assert_int_equal(io_uring_submit(&f.ring), 2);
    size_t total = 0;
    unsigned switches = read_all(&f, &total);
    assert_int_equal(total, 2 * (size_t)MUCH);
    assert_true(switches > 2); /* a run of a, a run of b, and back */
    kernel_close_pair(f.pair);
    end(&f);
    free(a);
    free(b);
}

/* io_peer may return false, and an accepted socket may be dead. */
static void k16_a_reset_before_accept_is_accepted(void **state)
{
    (void)state;
    struct sockaddr_storage name;
    socklen_t bytes = sizeof name;
    char got[8];
    int listener = kernel_listen(4);
    int client = kernel_connect(listener);
    assert_int_equal(send(client, "gone", 4, MSG_NOSIGNAL), 4);
    kernel_reset(client);
    int server = kernel_accept(listener);
    assert_int_equal(recv(server, got, sizeof got, 0), 4);
    assert_memory_equal(got, "gone", 4);
    assert_int_equal(recv(server, got, sizeof got, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(getpeername(server, (struct sockaddr *)&name, &bytes), -1);
    assert_int_equal(errno, ENOTCONN);
    close(server);
    close(listener);
}

/* The number under this name in the second line of TcpExt's pair in /proc/net/netstat. */
static unsigned long long tcp_count(const char *name)
{
    static char names[8192];
    static char values[8192];
    char *rest[2];
    FILE *file = fopen("/proc/net/netstat", "re");
    assert_non_null(file);
    assert_non_null(fgets(names, sizeof names, file));
    assert_non_null(fgets(values, sizeof values, file));
    fclose(file);
    const char *key = strtok_r(names, " \n", &rest[0]);
    const char *value = strtok_r(values, " \n", &rest[1]);
    while (key != NULL && value != NULL && strcmp(key, name) != 0) {
        key = strtok_r(NULL, " \n", &rest[0]);
        value = strtok_r(NULL, " \n", &rest[1]);
    }
    assert_true(key != NULL && value != NULL);
    return strtoull(value, NULL, 10);
}

/* Why the backlog is 4096: who finds it full gets no answer, not even a refusal, and tries again a
 * second later. The server does not notice; only the system counts. */
static void k17_a_full_backlog_drops_clients_without_a_word(void **state)
{
    (void)state;
    enum { CLIENTS = 100, BACKLOG = 8 };
    int clients[CLIENTS];
    struct sockaddr_in name;
    socklen_t bytes = sizeof name;
    char got = 0;
    int listener = kernel_listen(BACKLOG);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &bytes), 0);
    unsigned long long before = tcp_count("ListenOverflows");
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&name, sizeof name), -1);
        assert_int_equal(errno, EINPROGRESS);
    }
    int accepted = 0;
    while (kernel_readable(listener, KERNEL_MUST_NOT_MS) && accepted < CLIENTS) {
        close(kernel_accept(listener));
        accepted++;
    }
    assert_in_range(accepted, BACKLOG + 1, CLIENTS / 2); /* it holds one more than it says */
    assert_true(tcp_count("ListenOverflows") - before >= CLIENTS - (unsigned)accepted);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]); /* or they would come again */
    }
    int after = kernel_connect(listener); /* the server is unharmed */
    int server = kernel_accept(listener);
    assert_int_equal(send(after, "!", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(server, &got, 1, 0), 1);
    assert_int_equal(got, '!');
    close(after);
    close(server);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k01_close_under_a_multishot_receive_sends_no_fin),
        cmocka_unit_test(k02_shutdown_ends_a_multishot_receive),
        cmocka_unit_test(k03_empty_buffer_ring_gives_enobufs),
        cmocka_unit_test(k04_a_reset_comes_after_the_bytes_before_it),
        cmocka_unit_test(k05_a_ring_send_raises_no_sigpipe),
        cmocka_unit_test(k12_a_send_that_nobody_reads_waits_until_a_shutdown),
        cmocka_unit_test(k13_a_user_timeout_ends_a_send_with_a_short_count),
        cmocka_unit_test(k14_a_large_send_is_short),
        cmocka_unit_test(k15_two_sends_in_flight_interleave),
        cmocka_unit_test(k16_a_reset_before_accept_is_accepted),
        cmocka_unit_test(k17_a_full_backlog_drops_clients_without_a_word),
    };
    if (!kernel_has_uring()) {
        return KERNEL_SKIPPED;
    }
    return cmocka_run_group_tests_name("kernel facts: sockets", tests, NULL, NULL);
}
