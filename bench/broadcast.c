/* What one payload to many costs: berth_group_send to N connections, against a loop of send(2) over
 * N sockets that does nothing else.
 *
 *   bench_broadcast [CONNECTIONS [BYTES [ROUNDS [BURST]]]]
 *
 * 200 connections, payloads of 256 bytes, 200 rounds and one payload a round by default. A round
 * sends BURST payloads to everybody and waits until every reader has them all. The server is on CPU
 * 0, the readers are a process on CPU 1; the figure is CPU time of the server's process, all its
 * threads, per delivery. The two ways take turns, nine times each, in alternating order; printed
 * are their medians, and of the nine ratios the median, the second and the last but one (of a
 * median of nine, 96 % of the time).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <berth/berth.h>

enum {
    CONNECTIONS_MAX = 20000,
    BYTES_MAX = 1 << 20,
    HEADER = 4,
    READ_BYTES = 256 << 10,
    EVENTS_MAX = 512,
    TRIES = 9, /* of each way; the median counts */
    SERVER_CPU = 0,
    READER_CPU = 1,
};

struct job {
    uint32_t connections;
    uint32_t bytes;
    uint32_t rounds;
    uint32_t burst;
    uint16_t port;
    int told; /* a byte comes when a round is read, from the readers */
    pid_t readers;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void pin(size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* with one CPU, both share it */
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ------------------------------------------------------------------------------------- readers */

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) != 0) {
        fail("connect");
    }
    return fd;
}

/* Reads everything on every connection, and tells when all have a round's bytes. */
static void read_rounds(const struct job *job, int tell)
{
    static uint8_t bytes[READ_BYTES];
    struct epoll_event events[EVENTS_MAX];
    int ep = epoll_create1(0);
    for (uint32_t i = 0; i < job->connections; i++) {
        int fd = connect_to(job->port);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) != 0) {
            fail("epoll_ctl");
        }
    }
    uint64_t frame = HEADER + job->bytes;
    uint64_t round_bytes = frame * job->burst * job->connections;
    uint64_t got = 0;
    for (;;) {
        int count = epoll_wait(ep, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            ssize_t more = recv(events[i].data.fd, bytes, sizeof bytes, 0);
            if (more <= 0) {
                exit(0); /* the server has ended */
            }
            got += (uint64_t)more;
        }
        for (; got >= round_bytes; got -= round_bytes) {
            if (write(tell, "r", 1) != 1) {
                fail("write");
            }
        }
    }
}

static void readers_start(struct job *job)
{
    int ends[2];
    if (pipe(ends) != 0) {
        fail("pipe");
    }
    job->readers = fork();
    if (job->readers < 0) {
        fail("fork");
    }
    if (job->readers == 0) {
        close(ends[0]);
        pin(READER_CPU);
        read_rounds(job, ends[1]);
    }
    close(ends[1]);
    job->told = ends[0];
}

static void readers_end(const struct job *job)
{
    close(job->told);
    kill(job->readers, SIGKILL);
    waitpid(job->readers, NULL, 0);
}

static void wait_round(const struct job *job)
{
    char byte;
    if (read(job->told, &byte, 1) != 1) {
        fail("the readers have ended");
    }
}

/* --------------------------------------------------------------------------------------- Berth */

static struct berth_group *group;

static void join(struct berth_conn *conn)
{
    if (berth_group_join(group, conn) != BERTH_OK) {
        fputs("a connection could not join\n", stderr);
        exit(1);
    }
}

static void must(int result, const struct berth_error *error)
{
    if (result != BERTH_OK) {
        fprintf(stderr, "%s\n", error->text);
        exit(1);
    }
}

static struct berth_server *server_start(struct job *job, const struct berth_protocol *protocol)
{
    struct berth_config config;
    struct berth_server *server = NULL;
    struct berth_error error;
    berth_config_init(&config);
    config.workers = 1;
    config.connections_max = job->connections;
    config.post_bytes = 256u << 20;
    config.send_high_bytes = 4u << 20; /* nobody shall be slow here */
    config.send_max_bytes = 8u << 20;
    config.first_message_timeout_ms = 0; /* nobody says anything */
    config.receive_idle_timeout_ms = 0;
    must(berth_server_create(&server, &config, &error), &error);
    const struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = protocol};
    const struct berth_group_options options = {"all", BERTH_SLOW_PAUSE};
    struct berth_address bound;
    must(berth_listen(server, &listen, &bound, &error), &error);
    must(berth_group_create(server, &options, &group, &error), &error);
    must(berth_server_start(server, &error), &error);
    job->port = bound.port;
    return server;
}

static double run_berth(struct job *job, const uint8_t *payload)
{
    struct berth_protocol protocol = {.framing = berth_framing_seed(BYTES_MAX), .on_open = join};
    struct berth_server *server = server_start(job, &protocol);
    readers_start(job);
    while (berth_group_members(group) < job->connections) {
        sched_yield();
    }
    double begin = cpu_ns();
    for (uint32_t round = 0; round < job->rounds; round++) {
        for (uint32_t i = 0; i < job->burst; i++) {
            int result = berth_group_send(group, payload, job->bytes);
            if (result != BERTH_OK) {
                fprintf(stderr, "berth_group_send: %s\n", berth_err_text(result));
                exit(1);
            }
        }
        wait_round(job);
    }
    double spent = cpu_ns() - begin;
    readers_end(job);
    berth_server_stop(server);
    berth_server_wait(server, -1);
    berth_server_destroy(server);
    return spent / job->rounds / job->burst / job->connections;
}

/* --------------------------------------------------------------------------------- the raw loop */

static int raw_listen(struct job *job)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t bytes = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr *address = (struct sockaddr *)(void *)&at;
    if (fd < 0 || bind(fd, address, sizeof at) != 0 || listen(fd, CONNECTIONS_MAX) != 0 ||
        getsockname(fd, address, &bytes) != 0) {
        fail("listen");
    }
    job->port = ntohs(at.sin_port);
    return fd;
}

static void raw_send(int fd, const uint8_t *frame, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, frame, bytes, MSG_NOSIGNAL); /* waits for room */
        if (sent < 0 && errno != EINTR) {
            fail("send");
        }
        frame += sent < 0 ? 0 : sent;
        bytes -= sent < 0 ? 0 : (size_t)sent;
    }
}

static double run_raw(struct job *job, const uint8_t *payload)
{
    static int fds[CONNECTIONS_MAX];
    static uint8_t frame[HEADER + BYTES_MAX];
    const int on = 1;
    int listener = raw_listen(job);
    readers_start(job);
    for (uint32_t i = 0; i < job->connections; i++) {
        fds[i] = accept(listener, NULL, NULL);
        if (fds[i] < 0 || setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
            fail("accept");
        }
    }
    for (unsigned i = 0; i < HEADER; i++) {
        frame[i] = (uint8_t)(job->bytes >> 8 * i);
    }
    memcpy(frame + HEADER, payload, job->bytes);
    double begin = cpu_ns();
    for (uint32_t round = 0; round < job->rounds; round++) {
        for (uint32_t n = 0; n < job->burst; n++) {
            for (uint32_t i = 0; i < job->connections; i++) {
                raw_send(fds[i], frame, HEADER + job->bytes);
            }
        }
        wait_round(job);
    }
    double spent = cpu_ns() - begin;
    readers_end(job);
    for (uint32_t i = 0; i < job->connections; i++) {
        close(fds[i]);
    }
    close(listener);
    return spent / job->rounds / job->burst / job->connections;
}

/* ------------------------------------------------------------------------------------------ main
 */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static double median(double *values)
{
    qsort(values, TRIES, sizeof values[0], compare);
    return values[TRIES / 2];
}

static uint32_t number(char **arguments, int count, int which, uint32_t otherwise, uint32_t most)
{
    if (which >= count) {
        return otherwise;
    }
    char *end;
    unsigned long value = strtoul(arguments[which], &end, 10);
    if (*end != '\0' || value < 1 || value > most) {
        fprintf(stderr, "argument %d is '%s'; it must be 1 to %u\n", which, arguments[which], most);
        exit(2);
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    static uint8_t payload[BYTES_MAX];
    struct job job = {
        .connections = number(argv, argc, 1, 200, CONNECTIONS_MAX),
        .bytes = number(argv, argc, 2, 256, BYTES_MAX),
        .rounds = number(argv, argc, 3, 200, 1000000),
        .burst = number(argv, argc, 4, 1, 10000),
    };
    double berth[TRIES];
    double raw[TRIES];
    double ratios[TRIES];
    memset(payload, 'b', sizeof payload);
    pin(SERVER_CPU);
    for (unsigned i = 0; i < TRIES; i++) {
        if (i % 2 != 0) {
            raw[i] = run_raw(&job, payload);
        }
        berth[i] = run_berth(&job, payload);
        if (i % 2 == 0) {
            raw[i] = run_raw(&job, payload);
        }
        ratios[i] = berth[i] / raw[i];
    }
    double ratio = median(ratios); /* which sorts them */
    printf("%u connections, %u bytes, %u rounds of %u: berth_group_send %.0f ns, "
           "loop of send %.0f ns a delivery; ratio %.3f [%.3f, %.3f]\n",
           job.connections, job.bytes, job.rounds, job.burst, median(berth), median(raw), ratio,
           ratios[1], ratios[TRIES - 2]);
    return 0;
}
