/* The commands that a person gives a run, read by a thread of their own: the main thread looks
 * after the run, and the workers after their connections, and none of them may wait for somebody
 * who types. Commands go to the main thread through a short queue under a lock, which no worker
 * ever sees. The end of the input is no command; on a terminal (Ctrl-D) there may be more. A
 * process in a terminal's background leaves the terminal alone. */
#include "console.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Commands that may wait; who types faster waits. */
#define QUEUE_LENGTH 8u

/* How often a process in the background looks whether it is in the foreground. */
#define BACKGROUND_LOOK_MS 200

#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

struct given {
    enum command command;
    char line[LINE_BYTES_MAX];
};

struct console {
    struct lines *lines;
    int wake[2]; /* closing its second end ends the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct given queue[QUEUE_LENGTH];
    unsigned first;
    unsigned count;
    bool ended;   /* the input */
    bool closing; /* console_close */
};

enum command command_read(const char *line)
{
    static const struct {
        const char *letter;
        const char *word;
    } commands[] = {
#define COMMAND_ROW(name, letter, word, text) {letter, word},
        COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
    };
    line += strspn(line, " \t\r");
    size_t bytes = strcspn(line, " \t\r");
    if (bytes == 0) {
        return COMMAND_NOTHING;
    }
    if (line[bytes + strspn(line + bytes, " \t\r")] != '\0') {
        return COMMAND_UNKNOWN;
    }
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        size_t same = 0;
        while (same < bytes && (line[same] | 0x20) == commands[i].word[same]) {
            same++;
        }
        char upper = commands[i].letter[0];
        bool letter = bytes == 1 && (line[0] == upper || line[0] == (upper | 0x20));
        if (letter || (same == bytes && commands[i].word[same] == '\0')) {
            return (enum command)i;
        }
    }
    return COMMAND_UNKNOWN;
}

const char *console_help(void)
{
#define COMMAND_LINE(name, letter, word, text) "  " letter ", " word ": " text "\n"
    return "commands, each with Enter behind it:\n" COMMANDS(COMMAND_LINE);
#undef COMMAND_LINE
}

/* ---- the thread ---- */

/* false: it is to end. */
static bool put(struct console *console, enum command command, const char *line)
{
    pthread_mutex_lock(&console->lock);
    while (console->count == QUEUE_LENGTH && !console->closing) {
        pthread_cond_wait(&console->changed, &console->lock);
    }
    bool closing = console->closing;
    if (!closing) {
        struct given *given = &console->queue[(console->first + console->count) % QUEUE_LENGTH];
        given->command = command;
        memcpy(given->line, line, strlen(line) + 1);
        console->count++;
        pthread_cond_broadcast(&console->changed);
    }
    pthread_mutex_unlock(&console->lock);
    return !closing;
}

static bool give_lines(struct console *console)
{
    char line[LINE_BYTES_MAX];
    for (;;) { /* each turn takes a line of a buffer that is not filled meanwhile */
        enum lines_verdict verdict = lines_take(console->lines, line);
        if (verdict == LINES_WAIT || verdict == LINES_END) {
            return true;
        }
        enum command command = verdict == LINES_LONG ? COMMAND_UNKNOWN : command_read(line);
        if (!put(console, command, line)) {
            return false;
        }
    }
}

/* Waits for input, and reads it once. false: none will come, or the thread is to end. */
static bool read_some(struct console *console)
{
    int file = console->lines->file;
    bool terminal = isatty(file) == 1;
    pid_t foreground = terminal ? tcgetpgrp(file) : -1; /* -1: a terminal that controls nobody */
    bool ours = foreground < 0 || foreground == getpgrp();
    struct pollfd wanted[] = {{.fd = console->wake[0], .events = POLLIN},
                              {.fd = ours ? file : -1, .events = POLLIN}};
    if (poll(wanted, 2, ours ? -1 : BACKGROUND_LOOK_MS) < 0) {
        return true;
    }
    if (wanted[0].revents != 0) {
        return false;
    }
    if (wanted[1].revents == 0 || lines_more(console->lines)) {
        return true;
    }
    return terminal && (wanted[1].revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

static void *read_commands(void *argument)
{
    struct console *console = argument;
    while (give_lines(console) && read_some(console)) {
    }
    pthread_mutex_lock(&console->lock);
    console->ended = true;
    pthread_cond_broadcast(&console->changed);
    pthread_mutex_unlock(&console->lock);
    return NULL;
}

/* ---- the main thread ---- */

struct console *console_open(struct lines *lines)
{
    sigset_t all;
    sigset_t before;
    pthread_condattr_t clock;
    struct console *console = calloc(1, sizeof *console);
    if (console == NULL || pipe(console->wake) != 0) {
        free(console);
        return NULL;
    }
    console->lines = lines;
    pthread_mutex_init(&console->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&console->changed, &clock);
    pthread_condattr_destroy(&clock);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int result = pthread_create(&console->thread, NULL, read_commands, console);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        close(console->wake[0]);
        close(console->wake[1]);
        free(console);
        return NULL;
    }
    return console;
}

bool console_next(struct console *console, uint32_t timeout_ms, enum command *command, char *line)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)timeout_ms * NS_PER_MS;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    int result = 0;
    pthread_mutex_lock(&console->lock);
    while (console->count == 0 && !console->ended && timeout_ms > 0 && result == 0) {
        result = pthread_cond_timedwait(&console->changed, &console->lock, &until);
    }
    bool found = console->count > 0;
    if (found) {
        const struct given *given = &console->queue[console->first];
        *command = given->command;
        memcpy(line, given->line, strlen(given->line) + 1);
        console->first = (console->first + 1) % QUEUE_LENGTH;
        console->count--;
        pthread_cond_broadcast(&console->changed);
    }
    pthread_mutex_unlock(&console->lock);
    return found;
}

bool console_ended(struct console *console)
{
    pthread_mutex_lock(&console->lock);
    bool ended = console->ended && console->count == 0;
    pthread_mutex_unlock(&console->lock);
    return ended;
}

void console_close(struct console *console)
{
    if (console == NULL) {
        return;
    }
    pthread_mutex_lock(&console->lock);
    console->closing = true;
    pthread_cond_broadcast(&console->changed);
    pthread_mutex_unlock(&console->lock);
    close(console->wake[1]);
    pthread_join(console->thread, NULL);
    close(console->wake[0]);
    free(console);
}
