/* berthd's log: lines on stderr, few enough to never matter. */
#ifndef BERTHD_LOG_H
#define BERTHD_LOG_H

#include <stdbool.h>

#include <berth/berth.h>

/* Starts the thread that writes; false if the system has none. Signals must be blocked before, so
 * that it takes none. */
bool log_begin(void);

/* A line. Any thread; never waits for whoever reads stderr. */
void log_line(const char *format, ...);

/* Waits until everything said so far is written: at start, so that lines stand in order. */
void log_flush(void);

/* The library's own lines (berth_config.on_log). */
void log_library(void *context, const char *text);

/* A connection has ended (berth_protocol.on_close): a line if it ended badly. */
void log_closed(struct berth_conn *conn, enum berth_reason reason);

/* A reply could not be queued; the connection is closed for it. */
void log_reply_failed(struct berth_conn *conn, int err);

/* Writes what waits, says how many lines were left out, and ends the thread. */
void log_end(void);

#endif
