/* The relay's loop: accepts, waits, lets pairs run (pair.c), and tells what it did.
 *
 * One thread, one epoll. A pair that died is freed at the end of the turn, when no event at hand
 * can name it any more.
 */
#include "relay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "must.h"
#include "pair.h"

#define EVENTS_MAX  256
#define PAIRS_MAX   100000
#define MS_MAX      3600000
#define SECONDS_MAX 86400
#define SPLIT_MAX   1048576

enum status { STATUS_GOOD = 0, STATUS_FAILED = 1, STATUS_WRONG = 2 };

static const char help[] =
    "vex relay --to HOST:PORT [OPTION]...\n"
    "\n"
    "Listens, connects each client to HOST:PORT, and passes the bytes on, both ways.\n"
    "Prints the address that it got, and at its end (SIGTERM, SIGINT, --seconds) what it\n"
    "did.\n"
    "\n"
    "  --listen HOST:PORT  (127.0.0.1:0: any free port)\n"
    "  --seed N            of everything random (1)\n"
    "  --split N[..N]      bytes of a write (as many as came)\n"
    "  --join MS           what comes is held so long, and leaves together (0)\n"
    "  --stall MS          one arrival in eight is held for up to so long (0)\n"
    "  --late-fin MS       an end of stream is passed on so much later (0)\n"
    "  --flip SHARE        of the bytes have one bit flipped: 0.0001 (0)\n"
    "  --vanish SHARE      of the connections vanish, both ends without FIN or RST (0)\n"
    "  --reset SHARE       of the connections are reset, both ends (0)\n"
    "  --seconds S         ends by itself (0: by a signal only)\n"
    "  --json FILE         one JSON object; - is the standard output\n"
    "\n"
    "Where a connection vanishes or is reset the seed says: after 0 to 65535 bytes of both\n"
    "ways together, and small numbers as often as large ones. A reset of one side is passed\n"
    "on to the other.\n";

/* ----------------------------------------------------------------------------------------- options
 */

static bool set_by_name(void *context, const char *name, const char *value)
{
    struct relay_options *options = context;
    return sockets_parse(value, true, strcmp(name, "--to") == 0 ? &options->to : &options->listen);
}

static bool read_options(int argc, char **argv, struct relay_options *out)
{
    *out = (struct relay_options){.seed = 1};
    MUST(sockets_parse("127.0.0.1:0", true, &out->listen));
    const struct argument table[] = {
        {"--listen", ARGUMENT_TEXT, NULL, 0, 0},
        {"--to", ARGUMENT_TEXT, NULL, 0, 0},
        {"--seed", ARGUMENT_NUMBER, &out->seed, 0, UINT64_MAX},
        {"--split", ARGUMENT_RANGE, &out->split, 1, SPLIT_MAX},
        {"--join", ARGUMENT_NUMBER, &out->join_ms, 0, MS_MAX},
        {"--stall", ARGUMENT_NUMBER, &out->stall_ms, 0, MS_MAX},
        {"--late-fin", ARGUMENT_NUMBER, &out->late_fin_ms, 0, MS_MAX},
        {"--flip", ARGUMENT_SHARE, &out->flip, 0, 0},
        {"--vanish", ARGUMENT_SHARE, &out->vanish, 0, 0},
        {"--reset", ARGUMENT_SHARE, &out->reset, 0, 0},
        {"--seconds", ARGUMENT_TIME, &out->time_ns, 0, SECONDS_MAX * BILLION},
        {"--json", ARGUMENT_TEXT, &out->json, 0, 0},
    };
    const struct arguments arguments = {.program = "vex relay",
                                        .table = table,
                                        .count = sizeof table / sizeof table[0],
                                        .again = set_by_name,
                                        .context = out};
    if (!arguments_read(&arguments, argc, argv)) {
        return false;
    }
    if (out->to.bytes == 0) {
        fprintf(stderr, "vex relay: --to is missing (--help)\n");
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------ report
 */

static bool report(FILE *file, const struct relay *relay, bool json)
{
    const struct relay_counts *counts = &relay->counts;
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"seed", relay->options->seed},   {"connections", counts->connections},
        {"refused", counts->refused},     {"open", counts->open},
        {"bytes_up", counts->bytes_up},   {"bytes_down", counts->bytes_down},
        {"pieces", counts->pieces},       {"joins", counts->joins},
        {"stalls", counts->stalls},       {"flips", counts->flips},
        {"fins_late", counts->fins_late}, {"vanished", counts->vanished},
        {"resets", counts->resets},       {"resets_passed", counts->resets_passed},
    };
    fputs(json ? "{" : "vex relay:", file);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        unsigned long long value = fields[i].value;
        if (json) {
            fprintf(file, "%s\"%s\": %llu", i == 0 ? "" : ", ", fields[i].name, value);
        } else {
            fprintf(file, "%s %s %llu", i == 0 ? "" : ",", fields[i].name, value);
        }
    }
    fputs(json ? "}\n" : "\n", file);
    return fflush(file) == 0 && ferror(file) == 0;
}

static bool report_all(const struct relay *relay)
{
    const char *path = relay->options->json;
    bool out = path != NULL && strcmp(path, "-") == 0;
    bool good = report(out ? stderr : stdout, relay, false);
    if (path == NULL) {
        return good;
    }
    FILE *file = out ? stdout : fopen(path, "w");
    good = file != NULL && report(file, relay, true) && good;
    if (file != NULL && !out) {
        good = fclose(file) == 0 && good;
    }
    if (!good) {
        fprintf(stderr, "vex relay: cannot write %s: %s\n", path, strerror(errno));
    }
    return good;
}

/* -------------------------------------------------------------------------------------------- loop
 */

static void accept_all(struct relay *relay)
{
    while (relay->may_accept) {
        if (relay->pairs_open == PAIRS_MAX) {
            relay->may_accept = false; /* until one has ended */
            return;
        }
        int fd = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            relay->may_accept = errno == EINTR || errno == ECONNABORTED;
        } else {
            pair_open(relay, fd);
        }
    }
}

static void free_dead(struct relay *relay)
{
    while (relay->dead != NULL) {
        struct pair *next = relay->dead->next;
        free(relay->dead);
        relay->dead = next;
    }
}

static void run_ready(struct relay *relay)
{
    struct pair *pair = relay->ready;
    relay->ready = NULL;
    while (pair != NULL) {
        struct pair *next = pair->next_ready;
        pair->is_ready = false;
        pair_run(pair);
        pair = next;
    }
}

static void run_due(struct relay *relay)
{
    uint64_t now_ns = clock_ns();
    struct timer *timer = timers_take_due(&relay->timers, now_ns);
    while (timer != NULL) {
        pair_run(timer->owner);
        timer = timers_take_due(&relay->timers, now_ns);
    }
}

static struct timespec patience(const struct relay *relay, uint64_t end_ns)
{
    uint64_t now_ns = clock_ns();
    uint64_t until_ns = timers_first_ns(&relay->timers);
    until_ns = until_ns < end_ns ? until_ns : end_ns;
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    if (relay->ready != NULL || relay->may_accept) {
        left_ns = 0;
    }
    if (left_ns > SECONDS_MAX * NS_PER_S) {
        left_ns = SECONDS_MAX * NS_PER_S;
    }
    return (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_S),
                             .tv_nsec = (long)(left_ns % NS_PER_S)};
}

/* false if a signal says to end. */
static bool take_events(struct relay *relay, uint64_t end_ns)
{
    /* Static: of what the kernel writes by this call MemorySanitizer knows nothing. */
    static struct epoll_event events[EVENTS_MAX];
    struct timespec wait = patience(relay, end_ns);
    int count = epoll_pwait2(relay->epoll, events, EVENTS_MAX, &wait, NULL);
    MUST(count >= 0 || errno == EINTR);
    bool go_on = true;
    for (int i = 0; i < count; i++) {
        struct side *side = events[i].data.ptr;
        if (events[i].data.ptr == &relay->signals) {
            go_on = false;
        } else if (events[i].data.ptr == &relay->listener) {
            relay->may_accept = true;
        } else if (!side->pair->is_dead) {
            pair_events(side, events[i].events);
            pair_run(side->pair);
        }
    }
    return go_on;
}

static void loop(struct relay *relay)
{
    uint64_t time_ns = relay->options->time_ns;
    uint64_t end_ns = time_ns == 0 ? UINT64_MAX : clock_ns() + time_ns;
    bool go_on = true;
    while (go_on && clock_ns() < end_ns) {
        accept_all(relay);
        go_on = take_events(relay, end_ns);
        run_due(relay);
        run_ready(relay);
        free_dead(relay);
    }
    relay->counts.open = relay->pairs_open;
    while (relay->pairs != NULL) {
        pair_close(relay->pairs);
    }
    free_dead(relay);
}

/* ----------------------------------------------------------------------------------------- opening
 */

static int watch(struct relay *relay, int *fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = fd};
    return epoll_ctl(relay->epoll, EPOLL_CTL_ADD, *fd, &event) == 0 ? 0 : -errno;
}

/* To vanish needs a right: it is better to know that before anything passes. */
static int try_to_vanish(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = fd < 0 ? -errno : sockets_vanish(fd);
    if (fd >= 0 && result != 0) {
        close(fd);
    }
    return result;
}

static int open_relay(struct relay *relay)
{
    struct place bound;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    (void)sockets_descriptors(); /* as many as there may be */
    if (relay->options->vanish > 0) {
        int result = try_to_vanish();
        if (result != 0) {
            return result;
        }
    }
    if (!timers_open(&relay->timers, PAIRS_MAX)) {
        return -ENOMEM;
    }
    relay->listener = sockets_listen(&relay->options->listen, &bound);
    if (relay->listener < 0) {
        return relay->listener;
    }
    relay->epoll = epoll_create1(EPOLL_CLOEXEC);
    relay->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (relay->epoll < 0 || relay->signals < 0) {
        return -errno;
    }
    int result = watch(relay, &relay->signals, EPOLLIN);
    if (result == 0) {
        result = watch(relay, &relay->listener, EPOLLIN | EPOLLET);
    }
    if (result == 0) {
        char text[128];
        printf("vex relay: listening on %s\n", sockets_text(&bound, text, sizeof text));
        result = fflush(stdout) == 0 ? 0 : -errno;
    }
    return result;
}

int relay_main(int argc, char **argv)
{
    struct relay_options options;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return STATUS_GOOD;
        }
    }
    if (!read_options(argc, argv, &options)) {
        return STATUS_WRONG;
    }
    struct relay relay = {.options = &options, .epoll = -1, .listener = -1, .signals = -1};
    int result = open_relay(&relay);
    if (result != 0) {
        fprintf(stderr, "vex relay: cannot begin: %s\n", strerror(-result));
    } else {
        loop(&relay);
    }
    bool good = result == 0 && report_all(&relay);
    int *descriptors[] = {&relay.signals, &relay.listener, &relay.epoll};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (*descriptors[i] >= 0) {
            close(*descriptors[i]);
        }
    }
    timers_close(&relay.timers);
    return result != 0 ? STATUS_WRONG : good ? STATUS_GOOD : STATUS_FAILED;
}
