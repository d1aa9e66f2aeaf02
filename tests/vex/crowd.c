/* The loop of vex: starts peers, waits for sockets and timers, and lets those run for whom
 * something happened. Peers that could go on for ever take turns.
 *
 * All memory is taken at the start: O(connections). A turn costs O(what happened), and O(log n) for
 * each timer.
 */
#include "crowd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "must.h"
#include "sockets.h"

#define EVENTS_MAX 256

/* Starts in one turn: events of those that run come between them. */
#define STARTS_MAX 512

/* The standard three, epoll, signals, and what a sanitizer may have open. */
#define DESCRIPTORS_OWN 32

/* ------------------------------------------------------------------------------------------ turns
 */

static void give_way(struct crowd *crowd, struct peer *peer)
{
    if (peer->is_ready) {
        return;
    }
    peer->is_ready = true;
    peer->next_ready = NULL;
    if (crowd->ready_last != NULL) {
        crowd->ready_last->next_ready = peer;
    } else {
        crowd->ready_first = peer;
    }
    crowd->ready_last = peer;
}

/* All have been connected once: those who wait for that are told. */
static void announce(struct crowd *crowd, uint64_t before)
{
    if (crowd->connected_first != before && crowd->connected_first == crowd->options->connections) {
        printf("vex: %llu connected\n", (unsigned long long)crowd->connected_first);
        (void)fflush(stdout); /* what cannot be written is missed by who waits for it */
    }
}

static void run(struct crowd *crowd, struct peer *peer)
{
    uint64_t before = crowd->connected_first;
    enum peer_state state = peer_run(peer);
    if (state == PEER_GIVES_WAY) {
        give_way(crowd, peer);
    } else if (state == PEER_OVER) {
        crowd->running--;
    }
    announce(crowd, before);
}

/* Those that gave way until now, once each. */
static void run_ready(struct crowd *crowd)
{
    struct peer *peer = crowd->ready_first;
    crowd->ready_first = NULL;
    crowd->ready_last = NULL;
    while (peer != NULL) {
        struct peer *next = peer->next_ready;
        peer->is_ready = false;
        run(crowd, peer);
        peer = next;
    }
}

/* ------------------------------------------------------------------------------------------ starts
 */

static bool may_start(const struct crowd *crowd)
{
    return crowd->started < crowd->options->connections &&
           crowd->running < crowd->options->at_once && crowd->start_timer.place == 0;
}

static void start(struct crowd *crowd)
{
    const struct options *options = crowd->options;
    for (unsigned i = 0; i < STARTS_MAX && may_start(crowd); i++) {
        struct peer *peer = &crowd->peers[crowd->started];
        peer->crowd = crowd;
        peer->number = crowd->started++;
        crowd->running++;
        if (options->rate > 0 && crowd->started < options->connections) {
            /* From the beginning on, so that lateness does not add up. */
            uint64_t due_ns = crowd->begin_ns + crowd->started * NS_PER_S / options->rate;
            timers_set(&crowd->timers, &crowd->start_timer, due_ns);
        }
        peer_start(peer);
        run(crowd, peer);
    }
}

/* -------------------------------------------------------------------------------------------- loop
 */

/* The earliest of: at once, the first timer, the end. */
static struct timespec patience(const struct crowd *crowd, uint64_t now_ns, uint64_t end_ns)
{
    uint64_t until_ns = timers_first_ns(&crowd->timers);
    until_ns = until_ns < end_ns ? until_ns : end_ns;
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    if (crowd->ready_first != NULL || may_start(crowd)) {
        left_ns = 0;
    }
    return (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_S),
                             .tv_nsec = (long)(left_ns % NS_PER_S)};
}

/* What happened on sockets; false if a signal says to end. */
static bool take_events(struct crowd *crowd, uint64_t end_ns)
{
    /* Static: of what the kernel writes by this call MemorySanitizer knows nothing. */
    static struct epoll_event events[EVENTS_MAX];
    struct timespec wait = patience(crowd, clock_ns(), end_ns);
    int count = epoll_pwait2(crowd->epoll, events, EVENTS_MAX, &wait, NULL);
    MUST(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        struct peer *peer = events[i].data.ptr;
        if (peer == NULL) {
            return false;
        }
        peer_events(peer, events[i].events);
        if (!peer->is_ready) {
            run(crowd, peer);
        }
    }
    return true;
}

static void take_timers(struct crowd *crowd)
{
    uint64_t now_ns = clock_ns();
    struct timer *timer = timers_take_due(&crowd->timers, now_ns);
    while (timer != NULL) {
        struct peer *peer = timer->owner;
        if (peer != NULL) { /* else a start: may_start sees that it is not set */
            peer_expired(peer);
            if (!peer->is_ready) {
                run(crowd, peer);
            }
        }
        timer = timers_take_due(&crowd->timers, now_ns);
    }
}

static void loop(struct crowd *crowd)
{
    crowd->begin_ns = clock_ns();
    uint64_t end_ns = crowd->begin_ns + crowd->options->time_ns;
    bool go_on = true;
    while (go_on && clock_ns() < end_ns &&
           (crowd->running > 0 || crowd->started < crowd->options->connections)) {
        start(crowd);
        go_on = take_events(crowd, end_ns);
        take_timers(crowd);
        run_ready(crowd);
    }
    crowd->tally.stopped = crowd->running;
    crowd->tally.unstarted = crowd->options->connections - crowd->started;
    for (uint64_t i = 0; i < crowd->started; i++) {
        peer_stop(&crowd->peers[i]);
    }
    crowd->tally.elapsed_ns = clock_ns() - crowd->begin_ns;
}

/* ------------------------------------------------------------------------------------------- start
 */

static int open_signals(struct crowd *crowd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    crowd->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (crowd->signals < 0 || epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, crowd->signals, &event) != 0) {
        return -errno;
    }
    return 0;
}

static int open_crowd(struct crowd *crowd, const char **what)
{
    uint64_t connections = crowd->options->connections;
    uint64_t at_once =
        crowd->options->at_once < connections ? crowd->options->at_once : connections;
    *what = "descriptors for so many connections at once";
    if (at_once + DESCRIPTORS_OWN > sockets_descriptors()) {
        return -EMFILE;
    }
    *what = "memory";
    crowd->peers = calloc(connections, sizeof *crowd->peers);
    if (crowd->peers == NULL || !timers_open(&crowd->timers, connections + 1)) {
        return -ENOMEM;
    }
    *what = "epoll";
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    return crowd->epoll < 0 ? -errno : open_signals(crowd);
}

int crowd_run(struct crowd *crowd, const struct options *options, const struct script *script,
              const char **what)
{
    *crowd = (struct crowd){.options = options, .script = script, .epoll = -1, .signals = -1};
    int result = open_crowd(crowd, what);
    if (result == 0) {
        loop(crowd);
    }
    if (crowd->signals >= 0) {
        close(crowd->signals);
    }
    if (crowd->epoll >= 0) {
        close(crowd->epoll);
    }
    timers_close(&crowd->timers);
    free(crowd->peers);
    return result;
}
