/* A load generator for the seed's protocol, written as tightly as raw epoll allows, so that it is
 * the server that is measured. One thread. Closed loop: every connection keeps `pipeline` messages
 * on their way. Open loop, with --rate: every connection is due for `pipeline` messages at once at
 * fixed times, all together `rate` a second; a latency counts from when the message was due, also
 * where it had to wait for the replies to those before it. The open loop spins: waking up would be
 * late.
 *
 *   peer_load --port N [--connections 50] [--pipeline 1] [--size 25] [--warmup 0.3] [--seconds 1]
 *             [--rate MESSAGES] [--watch PID]
 *
 * At the edges of the window it counts the messages answered so far and, in the same moment, reads
 * what the process PID has cost: both ends of the window fit each other within microseconds.
 *
 * It checks every reply's length, that the ids of a connection rise, that each message came back
 * in its turn (its first 8 bytes number it) and, on one in 64, every byte; at the end that no id
 * was left out or given twice. Exit status 1 if anything was wrong. The result is one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

enum {
    RECEIVE_MAX = 256 << 10,
    EVENTS_MAX = 512,
    CONNS_MAX = 60000,
    STEPS = 32, /* buckets per doubling of the latency: 3 % apart */
    BUCKETS = 64 * STEPS,
    FULL_CHECK_EVERY = 64,
};

static const uint64_t DRAIN_NS = 5000000000;

struct batch { /* requests that left in one send */
    uint64_t at_ns;
    uint32_t count;
};

struct conn {
    int fd;
    uint32_t sent; /* messages */
    uint32_t answered;
    uint32_t last_id;
    uint32_t part_bytes; /* of a reply that has not come whole */
    uint32_t unsent_from;
    uint32_t unsent_to;
    uint32_t batch_first; /* a ring of at most `pipeline` batches */
    uint32_t batch_count;
    uint64_t bursts; /* open loop: that were sent */
    uint8_t *part;
    uint8_t *unsent;
    struct batch *batches;
};

struct cost {
    uint64_t cpu_ns;
    uint64_t waited_ns;
    uint64_t switches;
};

/* One edge of the window. */
struct sample {
    uint64_t at_ns;
    uint64_t answered;
    uint64_t busy_ns; /* all CPUs, all processes; in steps of 10 ms */
    struct cost own;
    struct cost server;
};

static struct {
    uint32_t port, connections, pipeline, size;
    double warmup, seconds, rate;
    long watch;
} option = {.connections = 50, .pipeline = 1, .size = 25, .warmup = 0.3, .seconds = 1.0};

static uint8_t received[RECEIVE_MAX];
static struct conn conns[CONNS_MAX];
static uint8_t *requests; /* `pipeline` of them; only their numbers change */
static uint64_t latency[BUCKETS];
static bool measuring, draining;
static uint64_t schedule_start_ns, schedule_next; /* open loop: bursts, by number */
static double schedule_step_ns;
static uint64_t answered_all, ids_sum, errors;
static char first_error[128];

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void *need(void *memory)
{
    if (!memory) {
        fail("memory");
    }
    return memory;
}

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void wrong(const char *what, uint64_t got, uint64_t wanted)
{
    if (errors++ == 0) {
        snprintf(first_error, sizeof first_error, "%s: %llu, not %llu", what,
                 (unsigned long long)got, (unsigned long long)wanted);
    }
}

/* The first two numbers of a file of /proc, or the number after a word in it. */
static void read_numbers(const char *path, const char *word, uint64_t *first, uint64_t *second)
{
    char text[4096];
    FILE *file = fopen(path, "r");
    if (!file) {
        return; /* a thread that has just ended */
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *at = word ? strstr(text, word) : text;
    if (at) {
        *first += strtoull(at + (word ? strlen(word) : 0), &at, 10);
        *second += word ? 0 : strtoull(at, NULL, 10);
    }
}

/* What all threads of a process have cost so far. A thread that runs on another CPU is up to one
 * tick (4 ms) behind. */
static struct cost cost_of(long process)
{
    struct cost cost = {0};
    char path[300];
    glob_t tasks;
    snprintf(path, sizeof path, "/proc/%ld/task/*", process);
    if (!process || glob(path, GLOB_NOSORT, NULL, &tasks) != 0) {
        return cost;
    }
    for (size_t i = 0; i < tasks.gl_pathc; i++) {
        snprintf(path, sizeof path, "%s/schedstat", tasks.gl_pathv[i]);
        read_numbers(path, NULL, &cost.cpu_ns, &cost.waited_ns);
        snprintf(path, sizeof path, "%s/status", tasks.gl_pathv[i]);
        uint64_t unused = 0;
        read_numbers(path, "\nvoluntary_ctxt_switches:", &cost.switches, &unused);
    }
    globfree(&tasks);
    return cost;
}

/* User, nice, system, idle, waiting for a disk, interrupts hard and soft, stolen: in 10 ms each. */
static uint64_t busy_of_all(void)
{
    char text[256] = "";
    FILE *file = fopen("/proc/stat", "r");
    if (!file || !fgets(text, sizeof text, file)) {
        fail("/proc/stat");
    }
    fclose(file);
    uint64_t ticks = 0;
    char *at = text + strcspn(text, " ");
    for (int field = 0; field < 8; field++) {
        uint64_t number = strtoull(at, &at, 10);
        ticks += field == 3 || field == 4 ? 0 : number;
    }
    return ticks * 10000000;
}

static struct sample take_sample(void)
{
    struct sample sample = {.at_ns = clock_ns(CLOCK_MONOTONIC), .answered = answered_all};
    sample.server = cost_of(option.watch);
    sample.own = cost_of(getpid());
    sample.busy_ns = busy_of_all();
    return sample;
}

/* A latency's bucket: exact below STEPS ns, then STEPS buckets for each doubling. */
static uint32_t bucket_of(uint64_t ns)
{
    if (ns < STEPS) {
        return (uint32_t)ns;
    }
    uint32_t shift = 58 - (uint32_t)__builtin_clzll(ns); /* STEPS is 1 << 5 */
    return (shift + 1) * STEPS + (uint32_t)((ns >> shift) - STEPS);
}

static double percentile_us(double share)
{
    uint64_t all = 0, seen = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        all += latency[i];
    }
    for (uint32_t i = 0; i < BUCKETS; i++) {
        seen += latency[i];
        if (seen > 0 && (double)seen >= share * (double)all) {
            uint32_t shift = i < STEPS ? 0 : i / STEPS - 1;
            uint64_t low = i < STEPS ? i : (uint64_t)(STEPS + i % STEPS) << shift;
            return ((double)low + 0.5 * (double)(1ull << shift)) / 1e3;
        }
    }
    return 0;
}

/* Writes a message's number over its first bytes, as far as it has any. */
static void number_message(uint8_t *message, uint32_t number)
{
    uint64_t wide = number;
    memcpy(message, &wide, option.size < sizeof wide ? option.size : sizeof wide);
}

static void send_rest(struct conn *conn)
{
    while (conn->unsent_from < conn->unsent_to) {
        ssize_t sent = send(conn->fd, conn->unsent + conn->unsent_from,
                            conn->unsent_to - conn->unsent_from, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            return;
        }
        if (sent < 0) {
            fail("send");
        }
        conn->unsent_from += (uint32_t)sent;
    }
}

/* Sends `count` more messages, as one block. */
static void send_messages(struct conn *conn, uint32_t count, uint64_t now)
{
    uint32_t stride = HEADER + option.size, bytes = count * stride;
    for (uint32_t i = 0; i < count; i++) {
        number_message(requests + i * stride + HEADER, conn->sent + i);
    }
    conn->sent += count;
    if (option.pipeline == 0) {
        abort(); /* refused where the options are read */
    }
    uint32_t last = (conn->batch_first + conn->batch_count++) % option.pipeline;
    conn->batches[last] = (struct batch){.at_ns = now, .count = count};
    ssize_t sent = 0;
    if (conn->unsent_from == conn->unsent_to) {
        sent = send(conn->fd, requests, bytes, MSG_NOSIGNAL);
        if (sent == (ssize_t)bytes) {
            return;
        }
        if (sent < 0 && errno != EAGAIN) {
            fail("send");
        }
        sent = sent < 0 ? 0 : sent;
        conn->unsent_from = conn->unsent_to = 0;
    }
    size_t left = bytes - (size_t)sent;
    size_t kept = conn->unsent_to - conn->unsent_from;
    if (!conn->unsent) {
        conn->unsent = need(malloc((size_t)option.pipeline * stride));
    }
    memmove(conn->unsent, conn->unsent + conn->unsent_from, kept);
    memcpy(conn->unsent + kept, requests + sent, left);
    conn->unsent_from = 0;
    conn->unsent_to = (uint32_t)(kept + left);
    send_rest(conn);
}

/* When a burst is due: they are the connections' in turn. */
static uint64_t due_ns(uint64_t burst)
{
    return schedule_start_ns + (uint64_t)((double)burst * schedule_step_ns);
}

/* Open loop: sends the connection's next burst if it is due and the last one was answered. */
static void send_if_due(struct conn *conn, uint64_t now)
{
    uint64_t due = due_ns(conn->bursts * option.connections + (uint64_t)(conn - conns));
    if (due <= now && conn->sent == conn->answered) {
        conn->bursts++;
        send_messages(conn, option.pipeline, due);
    }
}

static void send_all_due(uint64_t now)
{
    if (option.connections == 0) {
        abort(); /* refused where the options are read */
    }
    for (; due_ns(schedule_next) <= now; schedule_next++) {
        send_if_due(&conns[schedule_next % option.connections], now);
    }
}

/* Takes `count` replies off the batches that they belong to. */
static void note_latency(struct conn *conn, uint32_t count, uint64_t now)
{
    while (count > 0) {
        struct batch *batch = &conn->batches[conn->batch_first];
        uint32_t take = count < batch->count ? count : batch->count;
        if (measuring) {
            latency[bucket_of(now - batch->at_ns)] += take;
        }
        count -= take;
        batch->count -= take;
        if (batch->count == 0) {
            conn->batch_first = (conn->batch_first + 1) % option.pipeline;
            conn->batch_count--;
        }
    }
}

static void check_reply(struct conn *conn, const uint8_t *reply)
{
    uint32_t length, id;
    uint64_t number = 0;
    memcpy(&length, reply, sizeof length);
    memcpy(&id, reply + 4, sizeof id);
    memcpy(&number, reply + REPLY_HEADER, option.size < 8 ? option.size : 8);
    if (length != option.size + 4) {
        wrong("length of a reply", length, option.size + 4);
    }
    if (id <= conn->last_id) {
        wrong("id that does not rise", id, conn->last_id + 1);
    }
    uint64_t mask = option.size < 8 ? (1ull << (8 * option.size)) - 1 : UINT64_MAX;
    if (number != (conn->answered & mask)) {
        wrong("message out of turn", number, conn->answered);
    }
    if (conn->answered % FULL_CHECK_EVERY == 0 && option.size > 8 &&
        memcmp(reply + REPLY_HEADER + 8, requests + HEADER + 8, option.size - 8) != 0) {
        wrong("bytes of message", number, number);
    }
    conn->last_id = id;
    conn->answered++;
    ids_sum += id;
}

/* Checks the whole replies at the front of `count` bytes; how many there are. */
static uint32_t check_replies(struct conn *conn, const uint8_t *bytes, size_t count)
{
    uint32_t stride = REPLY_HEADER + option.size, replies = 0;
    if (conn->part_bytes > 0) {
        size_t lacks = stride - conn->part_bytes, take = lacks < count ? lacks : count;
        memcpy(conn->part + conn->part_bytes, bytes, take);
        conn->part_bytes += (uint32_t)take;
        bytes += take;
        count -= take;
        if (conn->part_bytes == stride) {
            check_reply(conn, conn->part);
            conn->part_bytes = 0;
            replies++;
        }
    }
    for (; count >= stride; bytes += stride, count -= stride, replies++) {
        check_reply(conn, bytes);
    }
    if (count > 0) {
        memcpy(conn->part + conn->part_bytes, bytes, count);
        conn->part_bytes += (uint32_t)count;
    }
    return replies;
}

static void serve(struct conn *conn)
{
    send_rest(conn);
    ssize_t got;
    do {
        got = recv(conn->fd, received, sizeof received, 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            wrong("connection ended by the server", conn->answered, conn->sent);
            draining = true;
            close(conn->fd);
            return;
        }
        uint32_t replies = check_replies(conn, received, (size_t)got);
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (replies > 0) {
            answered_all += replies;
            note_latency(conn, replies, now);
            if (!draining && option.rate > 0) {
                send_if_due(conn, now);
            } else if (!draining) {
                send_messages(conn, replies, now);
            }
        }
    } while ((size_t)got == sizeof received);
}

static void turn(int epoll)
{
    struct epoll_event events[EVENTS_MAX];
    bool open_loop = option.rate > 0 && !draining;
    if (open_loop) {
        send_all_due(clock_ns(CLOCK_MONOTONIC));
    }
    int count = epoll_wait(epoll, events, EVENTS_MAX, open_loop ? 0 : 20);
    for (int i = 0; i < count; i++) {
        serve(events[i].data.ptr);
    }
}

static void run_for(int epoll, double seconds)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    while (errors == 0 && clock_ns(CLOCK_MONOTONIC) < until) {
        turn(epoll);
    }
}

/* Waits for the replies that are still due, and checks that the ids are those of a server that
 * nobody else has used: 10001, 10002 and so on, each once. */
static void drain(int epoll)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + DRAIN_NS, due = 0;
    draining = true;
    for (uint32_t i = 0; i < option.connections; i++) {
        due += conns[i].sent;
    }
    while (errors == 0 && answered_all < due && clock_ns(CLOCK_MONOTONIC) < until) {
        turn(epoll);
    }
    if (answered_all != due) {
        wrong("replies", answered_all, due);
    }
    uint64_t ids_due = answered_all * 10000 + answered_all * (answered_all + 1) / 2;
    if (ids_sum != ids_due) {
        wrong("sum of all ids", ids_sum, ids_due);
    }
}

static void connect_one(struct conn *conn, int epoll)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&address, sizeof address)) {
        fail("connect");
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (fcntl(conn->fd, F_SETFL, O_NONBLOCK)) {
        fail("fcntl");
    }
    conn->part = need(malloc(REPLY_HEADER + option.size));
    conn->batches = need(calloc(option.pipeline + 1u, sizeof *conn->batches));
    if (option.rate == 0) {
        send_messages(conn, option.pipeline, clock_ns(CLOCK_MONOTONIC));
    }
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, conn->fd, &event)) {
        fail("epoll_ctl");
    }
}

static void print_number(const char *name, uint64_t from, uint64_t to)
{
    printf("\"%s\": %llu, ", name, (unsigned long long)(to - from));
}

static void print_result(const struct sample *from, const struct sample *to)
{
    printf("{");
    print_number("messages", from->answered, to->answered);
    print_number("wall_ns", from->at_ns, to->at_ns);
    print_number("busy_ns", from->busy_ns, to->busy_ns);
    print_number("load_cpu_ns", from->own.cpu_ns, to->own.cpu_ns);
    print_number("load_waited_ns", from->own.waited_ns, to->own.waited_ns);
    print_number("server_cpu_ns", from->server.cpu_ns, to->server.cpu_ns);
    print_number("server_waited_ns", from->server.waited_ns, to->server.waited_ns);
    print_number("server_switches", from->server.switches, to->server.switches);
    print_number("errors", 0, errors);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"first_error\": \"%s\"}\n",
           percentile_us(0.50), percentile_us(0.99), percentile_us(0.999), first_error);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},
        {"connections", required_argument, NULL, 'c'},
        {"pipeline", required_argument, NULL, 'd'},
        {"size", required_argument, NULL, 's'},
        {"warmup", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},
        {"watch", required_argument, NULL, 'P'},
        {0},
    };
    for (int letter; (letter = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        const char *text = optarg ? optarg : "";
        uint32_t number = (uint32_t)strtoul(text, NULL, 10);
        switch (letter) {
        case 'p':
            option.port = number;
            break;
        case 'c':
            option.connections = number;
            break;
        case 'd':
            option.pipeline = number;
            break;
        case 's':
            option.size = number;
            break;
        case 'w':
            option.warmup = strtod(text, NULL);
            break;
        case 't':
            option.seconds = strtod(text, NULL);
            break;
        case 'r':
            option.rate = strtod(text, NULL);
            break;
        case 'P':
            option.watch = strtol(text, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (option.port < 1 || option.port > 65535 || option.connections < 1 ||
        option.connections > CONNS_MAX || option.pipeline < 1 || option.pipeline > 65536 ||
        option.size > (64u << 20) / option.pipeline || !(option.rate >= 0)) {
        fprintf(stderr, "peer_load: --port is needed, and sizes that fit into memory\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    uint32_t stride = HEADER + option.size;
    requests = need(malloc((size_t)option.pipeline * stride));
    for (uint32_t i = 0; i < option.pipeline; i++) {
        memcpy(requests + i * stride, &option.size, HEADER);
        for (uint32_t k = 0; k < option.size; k++) {
            requests[i * stride + HEADER + k] = (uint8_t)(k * 7 + 3); /* the same in each */
        }
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < option.connections; i++) {
        connect_one(&conns[i], epoll);
    }
    schedule_start_ns = clock_ns(CLOCK_MONOTONIC);
    schedule_step_ns = option.rate > 0 ? 1e9 * option.pipeline / option.rate : 0;
    run_for(epoll, option.warmup);
    struct sample from = take_sample();
    measuring = true;
    run_for(epoll, option.seconds);
    measuring = false;
    struct sample to = take_sample();
    drain(epoll);
    print_result(&from, &to);
    return errors > 0;
}
