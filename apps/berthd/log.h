/* berthd's log: lines on stderr, few enough to never matter. */
#ifndef BERTHD_LOG_H
#define BERTHD_LOG_H

#include <berth/berth.h>

/* A line. Any thread. */
void log_line(const char *format, ...);

/* The library's own lines (berth_config.on_log). */
void log_library(void *context, const char *text);

/* A connection has ended (berth_protocol.on_close): a line if it ended badly. */
void log_closed(struct berth_conn *conn, enum berth_reason reason);

/* A reply could not be queued; the connection is closed for it. */
void log_reply_failed(struct berth_conn *conn, int err);

/* Says how many lines were left out, if any were. At the end. */
void log_end(void);

#endif
