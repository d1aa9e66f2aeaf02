/* What the deadlines of a million connections cost a worker: the real deadline.c and wheel, in
 * virtual time, a millisecond a turn, with the real CPU time taken.
 *
 *     bench_timers [--connections N] [--seconds N] [--idle-ms N] [--active N] [--rate N]
 *
 * One connection in a hundred is active (--active, in percent): it receives and sends --rate times
 * a second, and each time its stamps are renewed as a receive and a send renew them. Every other
 * one says something a second before its idle deadline, just enough to stay. So each timer expires
 * again and again, and nobody may be ended: that is asserted. The first minute warms up and is not
 * counted, nor is what reading the CPU clock costs.
 *
 * Reported is CPU time per virtual second, for two parts: the turns (asking when to wake, expiring
 * timers, looking at stamps, setting them anew), and the stamps themselves. In a server the stamps'
 * cache lines are there anyway, as the receive has just touched the slot; here they are fetched for
 * the stamp alone, so that part is an upper bound.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "core/core.h"
#include "io/sim.h"

#define MS_PER_S  1000
#define NS_PER_S  UINT64_C(1000000000)
#define WARM_UP_S 60

/* A prime: steps of it visit all connections in an order that no prefetcher guesses. */
#define STRIDE UINT64_C(7368787)

struct settings {
    uint64_t connections;
    uint64_t seconds;
    uint64_t idle_ms;
    uint64_t active_percent;
    uint64_t rate;
};

struct bench {
    struct settings s;
    struct berth_server *server;
    struct worker *worker;
    uint64_t active;      /* connections that are */
    uint64_t active_next; /* the next active one to say something, and the next other */
    uint64_t quiet_next;
    uint64_t active_due; /* in thousandths of a connection */
    uint64_t quiet_due;
    uint64_t expired;
    uint64_t stamped;
    uint64_t turns_ns;
    uint64_t stamps_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* What a call of the above costs. */
static uint64_t clock_ns(void)
{
    enum { CALLS = 100000 };
    uint64_t begin = cpu_ns();
    for (int i = 1; i < CALLS; i++) {
        (void)cpu_ns();
    }
    return (cpu_ns() - begin) / CALLS;
}

/* How often those who are not active say something. */
static uint64_t quiet_ms(const struct bench *b)
{
    return b->s.idle_ms - MS_PER_S;
}

/* ------------------------------------------------------------------------------------ the world */

static void create(struct bench *b)
{
    struct berth_config config;
    struct berth_error error;
    berth_config_init(&config);
    config.workers = 1;
    config.connections_max = (uint32_t)b->s.connections;
    config.pool_bytes = 1 << 20;
    config.receive_idle_timeout_ms = (uint32_t)b->s.idle_ms;
    if (server_create_in(&b->server, &config, &io_backend_sim, NULL, &error) != BERTH_OK) {
        fprintf(stderr, "bench_timers: %s\n", error.text);
        exit(EXIT_FAILURE);
    }
    b->worker = &b->server->workers[0];
}

static struct berth_conn *conn_at(const struct bench *b, uint64_t number)
{
    return &b->worker->conns[number * STRIDE % b->s.connections];
}

/* What receive.c, dispatch.c and send.c do to the deadlines for one batch and its replies. */
static void stamp(struct bench *b, struct berth_conn *conn)
{
    deadline_received(conn);
    deadline_messages_ended(conn);
    deadline_partial(conn);
    deadline_send_started(conn);
    deadline_sent(conn);
    b->stamped++;
}

/* Everybody arrives, in the course of one idle deadline, and says the first message. */
static void arrive(struct bench *b)
{
    struct worker *worker = b->worker;
    uint64_t begin_ns = NS_PER_S;
    wheel_init(&worker->wheel, begin_ns);
    for (uint64_t i = 0; i < b->s.connections; i++) {
        struct berth_conn *conn = conn_take(worker, NULL);
        BERTH_ASSERT(conn != NULL);
    }
    for (uint64_t i = 0; i < b->s.connections; i++) {
        deadline_clock(worker, begin_ns + quiet_ms(b) * NS_PER_MS * i / b->s.connections);
        struct berth_conn *conn = conn_at(b, i);
        conn->flags |= CF_PERMIT;
        conn_move(conn, CONN_OPEN);
        deadline_opened(conn);
        deadline_messages_ended(conn);
    }
}

/* ---------------------------------------------------------------------------------------- turns */

/* The wheel's part of a worker's turn, with every call that worker_turn makes. */
static void turn(struct bench *b)
{
    struct worker *worker = b->worker;
    uint64_t until_ns = wheel_next_ns(&worker->wheel);
    uint64_t now_ns = worker->now_ns + NS_PER_MS;
    deadline_reaped(worker, until_ns > worker->now_ns, 1);
    deadline_clock(worker, now_ns);
    deadline_settle(worker);
    struct wheel_timer *timer;
    while ((timer = wheel_expire(&worker->wheel, now_ns)) != NULL) {
        deadline_timer(LIST_ENTRY(timer, struct berth_conn, timer));
        b->expired++;
    }
}

/* Those that say something in this millisecond. */
static void stamps(struct bench *b)
{
    uint64_t others = b->s.connections - b->active;
    b->active_due += b->active * b->s.rate;
    for (; b->active_due >= MS_PER_S; b->active_due -= MS_PER_S) {
        stamp(b, conn_at(b, b->active_next));
        b->active_next = (b->active_next + 1) % b->active;
    }
    b->quiet_due += others * MS_PER_S / quiet_ms(b);
    for (; b->quiet_due >= MS_PER_S; b->quiet_due -= MS_PER_S) {
        stamp(b, conn_at(b, b->active + b->quiet_next));
        b->quiet_next = (b->quiet_next + 1) % others;
    }
}

static void run(struct bench *b, uint64_t seconds)
{
    b->turns_ns = 0;
    b->stamps_ns = 0;
    b->expired = 0;
    b->stamped = 0;
    uint64_t clock = clock_ns();
    for (uint64_t ms = 0; ms < seconds * MS_PER_S; ms++) {
        uint64_t begin = cpu_ns();
        turn(b);
        uint64_t middle = cpu_ns();
        stamps(b);
        b->turns_ns += middle - begin - clock;
        b->stamps_ns += cpu_ns() - middle - clock;
    }
}

static void report(const struct bench *b)
{
    double s = (double)b->s.seconds;
    double turns_ms = (double)b->turns_ns / 1e6 / s;
    double stamps_ms = (double)b->stamps_ns / 1e6 / s;
    printf("%llu connections, %llu %% active %llu times a second, idle deadline %llu ms, %llu "
           "virtual seconds\n",
           (unsigned long long)b->s.connections, (unsigned long long)b->s.active_percent,
           (unsigned long long)b->s.rate, (unsigned long long)b->s.idle_ms,
           (unsigned long long)b->s.seconds);
    printf("turns:  %8.0f timers expired and set anew a second, %7.3f ms of CPU a second\n",
           (double)b->expired / s, turns_ms);
    printf("stamps: %8.0f batches a second,                     %7.3f ms of CPU a second\n",
           (double)b->stamped / s, stamps_ms);
    printf("in all: %.3f ms of CPU a second, %.2f %% of one CPU (turns alone %.2f %%)\n",
           turns_ms + stamps_ms, (turns_ms + stamps_ms) / 10, turns_ms / 10);
}

/* ------------------------------------------------------------------------------------- the start
 */

static void read_option(struct settings *s, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *field;
    } options[] = {{"--connections", &s->connections},
                   {"--seconds", &s->seconds},
                   {"--idle-ms", &s->idle_ms},
                   {"--active", &s->active_percent},
                   {"--rate", &s->rate}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char *end = NULL;
        if (strcmp(name, options[i].name) == 0 && value != NULL) {
            *options[i].field = strtoull(value, &end, 10);
            if (*value != '\0' && *end == '\0') {
                return;
            }
        }
    }
    fprintf(stderr,
            "usage: bench_timers [--connections N] [--seconds N] [--idle-ms N] [--active PERCENT] "
            "[--rate N]\n");
    exit(2);
}

int main(int count, char **arguments)
{
    struct bench b = {.s = {.connections = 1000000,
                            .seconds = 60,
                            .idle_ms = 60000,
                            .active_percent = 1,
                            .rate = 5}};
    for (int i = 1; i < count; i += 2) {
        read_option(&b.s, arguments[i], i + 1 < count ? arguments[i + 1] : NULL);
    }
    b.active = b.s.connections * b.s.active_percent / 100;
    if (b.active == 0 || b.active == b.s.connections || b.s.idle_ms < 2 * MS_PER_S ||
        b.s.connections % STRIDE == 0) {
        fprintf(stderr, "bench_timers: somebody must be active, and somebody not\n");
        return 2;
    }
    create(&b);
    arrive(&b);
    run(&b, WARM_UP_S);
    run(&b, b.s.seconds);
    for (uint64_t i = 0; i < b.s.connections; i++) {
        BERTH_ASSERT(b.worker->conns[i].state == CONN_OPEN); /* nobody was ended */
        BERTH_ASSERT(wheel_is_set(&b.worker->conns[i].timer));
    }
    wheel_validate(&b.worker->wheel);
    report(&b);
    berth_server_destroy(b.server);
    return EXIT_SUCCESS;
}
