/* The log: who was refused and why, on stderr, at most so many lines a second.
 *
 * Anybody can make a server log by sending it nonsense, so lines about connections are limited and
 * those left out are counted. A connection that ended well leaves no line. Writing is stdio's,
 * which locks; it happens per bad ending, never per message.
 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* Enough to see who is at it; a disk can take it for a year. */
#define LINES_PER_SECOND 20
#define NS_PER_S         UINT64_C(1000000000)

static _Atomic uint64_t limit_second;
static _Atomic uint32_t limit_lines;
static _Atomic uint64_t left_out;

void log_line(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "berthd: %s\n", text); /* one call, one line, whatever the thread */
}

void log_library(void *context, const char *text)
{
    (void)context;
    log_line("%s", text);
}

static bool within_limit(const struct berth_conn *conn)
{
    uint64_t second = berth_conn_now_ns(conn) / NS_PER_S;
    if (atomic_exchange(&limit_second, second) != second) {
        atomic_store(&limit_lines, 0);
    }
    if (atomic_fetch_add(&limit_lines, 1) < LINES_PER_SECOND) {
        return true;
    }
    atomic_fetch_add(&left_out, 1);
    return false;
}

static const char *peer_text(const struct berth_conn *conn, char *out, size_t bytes)
{
    struct berth_address address;
    if (!berth_conn_peer(conn, &address)) {
        return "a peer that is gone";
    }
    return berth_address_format(&address, out, bytes);
}

void log_closed(struct berth_conn *conn, enum berth_reason reason)
{
    bool badly = reason == BERTH_REASON_REFUSED || reason == BERTH_REASON_MEMORY ||
                 reason == BERTH_REASON_SYSTEM || reason == BERTH_REASON_DEADLINE;
    if (!badly || !within_limit(conn)) {
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
    uint64_t count = atomic_load(&left_out);
    if (count > 0) {
        log_line("%llu more lines about connections were left out", (unsigned long long)count);
    }
}
