/* The log: who was refused and why, on stderr, at most so many lines a second.
 *
 * Anybody can make a server log by sending it nonsense, so lines about connections are limited and
 * those left out are counted. A connection that ended well leaves no line.
 *
 * A worker must not wait for whoever reads stderr, so it only puts a line into a ring; a thread of
 * the log's own writes. A full ring drops the line and counts it. A line costs the worker a lock
 * and a copy, a few times a second.
 */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "watch.h"

/* Enough to see who is at it; a disk can take it for a year. */
#define LINES_PER_SECOND 20
#define NS_PER_S         UINT64_C(1000000000)

/* Lines that may wait to be written: some seconds' worth. */
#define RING_LINES 128
#define LINE_BYTES 512

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_cond_t idle; /* nothing waits, and nothing is being written */
    bool writing;
    char lines[RING_LINES][LINE_BYTES];
    unsigned first;
    unsigned count;
    bool ending;
    uint64_t left_out;
    uint64_t second; /* of the limit, and the lines in it */
    unsigned lines_in_second;
    pthread_t thread;
} the_log = {.lock = PTHREAD_MUTEX_INITIALIZER,
             .changed = PTHREAD_COND_INITIALIZER,
             .idle = PTHREAD_COND_INITIALIZER};

static void *write_lines(void *unused)
{
    (void)unused;
    char line[LINE_BYTES];
    pthread_mutex_lock(&the_log.lock);
    while (the_log.count > 0 || !the_log.ending) {
        if (the_log.count == 0) {
            pthread_cond_wait(&the_log.changed, &the_log.lock);
            continue;
        }
        snprintf(line, sizeof line, "%s", the_log.lines[the_log.first]);
        the_log.first = (the_log.first + 1) % RING_LINES;
        the_log.count--;
        the_log.writing = true;
        pthread_mutex_unlock(&the_log.lock);
        fprintf(stderr, "berthd: %s\n", line);
        pthread_mutex_lock(&the_log.lock);
        the_log.writing = false;
        pthread_cond_signal(&the_log.idle);
    }
    pthread_mutex_unlock(&the_log.lock);
    return NULL;
}

bool log_begin(void)
{
    return pthread_create(&the_log.thread, NULL, write_lines, NULL) == 0;
}

static void put(const char *format, va_list arguments)
{
    char text[LINE_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    watch_line(ENTRY_ERROR, EVENT_NOTE, text);
    pthread_mutex_lock(&the_log.lock);
    if (the_log.count == RING_LINES) {
        the_log.left_out++;
    } else {
        unsigned at = (the_log.first + the_log.count++) % RING_LINES;
        snprintf(the_log.lines[at], LINE_BYTES, "%s", text);
        pthread_cond_signal(&the_log.changed);
    }
    pthread_mutex_unlock(&the_log.lock);
}

void log_line(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put(format, arguments);
    va_end(arguments);
}

void log_library(void *context, const char *text)
{
    (void)context;
    log_line("%s", text);
}

void log_flush(void)
{
    pthread_mutex_lock(&the_log.lock);
    while (the_log.count > 0 || the_log.writing) {
        pthread_cond_wait(&the_log.idle, &the_log.lock);
    }
    pthread_mutex_unlock(&the_log.lock);
}

static bool within_limit(const struct berth_conn *conn)
{
    uint64_t second = berth_conn_now_ns(conn) / NS_PER_S;
    pthread_mutex_lock(&the_log.lock);
    if (the_log.second != second) {
        the_log.second = second;
        the_log.lines_in_second = 0;
    }
    bool within = the_log.lines_in_second++ < LINES_PER_SECOND;
    the_log.left_out += within ? 0 : 1;
    pthread_mutex_unlock(&the_log.lock);
    return within;
}

static const char *peer_text(const struct berth_conn *conn, char *out, size_t bytes)
{
    struct berth_address address;
    if (!berth_conn_peer(conn, &address)) {
        return "a peer that is gone";
    }
    return berth_address_format(&address, out, bytes);
}

/* Worth a line: something that whoever runs the server, or the peer, can do something about. */
static bool ended_badly(enum berth_reason reason)
{
    switch (reason) {
    case BERTH_REASON_REFUSED:
    case BERTH_REASON_DEADLINE:
    case BERTH_REASON_MEMORY:
    case BERTH_REASON_SYSTEM:
    case BERTH_REASON_FIRST_MESSAGE:
    case BERTH_REASON_MESSAGE_SLOW:
    case BERTH_REASON_RECEIVE_IDLE:
    case BERTH_REASON_SEND_IDLE:
    case BERTH_REASON_SEND_STALLED:
        return true;
    default:
        return false;
    }
}

void log_closed(struct berth_conn *conn, enum berth_reason reason)
{
    if (!ended_badly(reason) || !within_limit(conn)) {
        return;
    }
    char peer[BERTH_ADDRESS_TEXT_BYTES];
    char why[256];
    log_line("closed %s: %s", peer_text(conn, peer, sizeof peer),
             berth_conn_why(conn, why, sizeof why));
}

void log_reply_failed(struct berth_conn *conn, int err)
{
    if (within_limit(conn)) {
        char peer[BERTH_ADDRESS_TEXT_BYTES];
        log_line("closing %s: a reply could not be queued: %s", peer_text(conn, peer, sizeof peer),
                 berth_err_text(err));
    }
}

void log_end(void)
{
    pthread_mutex_lock(&the_log.lock);
    uint64_t left_out = the_log.left_out;
    the_log.ending = true;
    pthread_cond_signal(&the_log.changed);
    pthread_mutex_unlock(&the_log.lock);
    pthread_join(the_log.thread, NULL);
    if (left_out > 0) {
        fprintf(stderr, "berthd: %llu more lines were left out\n", (unsigned long long)left_out);
    }
}
