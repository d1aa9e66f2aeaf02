/* The main thread's loop: waits for signals and input, and ends the server in order.
 *
 * Signals come through a descriptor, so that one poll waits for them and for the console. The first
 * SIGTERM or SIGINT, Z, or the end of the input (if it was asked to count) begins an orderly end;
 * the next one cuts it short. While the server ends or drains, the loop looks every 20 ms whether
 * it is done; otherwise it costs nothing.
 */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "log.h"
#include "watch.h"

#define LOOK_MS 20

/* A job in the background must not read its terminal; it may come to the front again. */
#define BACKGROUND_LOOK_MS 500

#define INPUT_BYTES 4096

struct loop {
    struct berth_server *server;
    const struct options *options;
    struct console console;
    bool commands;   /* input is taken for commands */
    bool input_open; /* input is read */
    int signal_fd;
    unsigned stops; /* how often the server was told to stop, up to 2 */
    unsigned console_ends;
    uint64_t drain_began_ms; /* 0: not draining */
};

static struct loop the_loop; /* a late answer to the console may come until the workers end */

static void stop(struct loop *loop)
{
    if (loop->stops < 2) {
        loop->stops++;
        berth_server_stop(loop->server);
    }
}

static void take_signals(struct loop *loop)
{
    struct signalfd_siginfo info;
    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGUSR1) {
            watch_dump();
        } else {
            stop(loop);
        }
    }
}

/* A second command to end counts like a second signal. */
static void take_commands_results(struct loop *loop)
{
    for (; loop->console_ends < loop->console.ends; loop->console_ends++) {
        stop(loop);
    }
}

static void take_input(struct loop *loop)
{
    char bytes[INPUT_BYTES];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (count > 0) {
        if (loop->commands) {
            console_take(&loop->console, bytes, (size_t)count);
        }
    } else {
        loop->input_open = false;
        if (loop->commands) {
            console_input_ended(&loop->console);
        }
    }
    take_commands_results(loop);
    if (!loop->input_open && loop->options->end_with_input && loop->stops == 0) {
        stop(loop);
    }
}

/* Whether this process may read its input now: it is no terminal, or we are in its front. */
static bool is_in_front(void)
{
    pid_t front = tcgetpgrp(STDIN_FILENO);
    return front < 0 || front == getpgrp();
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A drain ends the server when nobody is left, or when the time for an end has passed. */
static void look_at_drain(struct loop *loop)
{
    if (!loop->console.drain || loop->stops > 0) {
        loop->drain_began_ms = 0;
        return;
    }
    struct berth_stats stats;
    berth_server_stats(loop->server, &stats);
    loop->drain_began_ms = loop->drain_began_ms == 0 ? now_ms() : loop->drain_began_ms;
    if (stats.connections_open == 0) {
        puts("drained: all clients have left");
        stop(loop);
    } else if (now_ms() - loop->drain_began_ms >= loop->options->stop_timeout_ms) {
        printf("draining ends: %llu clients have not left\n",
               (unsigned long long)stats.connections_open);
        stop(loop);
    }
}

static void wait_once(struct loop *loop)
{
    bool read_input = loop->input_open && is_in_front();
    struct pollfd fds[2] = {{.fd = loop->signal_fd, .events = POLLIN},
                            {.fd = read_input ? STDIN_FILENO : -1, .events = POLLIN}};
    int wait_ms = -1;
    if (loop->stops > 0 || loop->console.drain) {
        wait_ms = LOOK_MS;
    } else if (loop->input_open && !read_input) {
        wait_ms = BACKGROUND_LOOK_MS;
    }
    if (poll(fds, 2, wait_ms) < 0) {
        return; /* interrupted; the loop comes back */
    }
    if (fds[0].revents != 0) {
        take_signals(loop);
    }
    if (fds[1].revents != 0) {
        take_input(loop);
    }
    look_at_drain(loop);
}

static bool has_console(const struct options *options)
{
    return options->console == CHOICE_YES ||
           (options->console == CHOICE_AUTO && isatty(STDIN_FILENO));
}

bool serve_begin(struct berth_server *server, const struct options *options,
                 const struct serving *serving, const sigset_t *signals)
{
    the_loop = (struct loop){.server = server, .options = options};
    the_loop.commands = has_console(options);
    the_loop.input_open = the_loop.commands || options->end_with_input;
    the_loop.signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (the_loop.signal_fd < 0) {
        return false;
    }
    if (!console_init(&the_loop.console, server, serving)) {
        close(the_loop.signal_fd);
        return false;
    }
    return true;
}

void serve(void)
{
    if (the_loop.commands) {
        puts("commands: C counts the clients, Z ends; help lists all");
    }
    while (the_loop.stops == 0 || !berth_server_wait(the_loop.server, 0)) {
        wait_once(&the_loop);
    }
}

void serve_end(void)
{
    console_fini(&the_loop.console);
    close(the_loop.signal_fd);
}
