/* Who answers: one of the handlers, chosen by --handler. */
#ifndef BERTHD_HANDLER_H
#define BERTHD_HANDLER_H

#include <stdbool.h>
#include <stddef.h>

#include <berth/berth.h>

#include "options.h"
#include "serving.h"

struct answering;

/* Starts what the chosen handler needs, and sets protocol->on_messages, whose context is `serving`
 * (lent until the end). Signals must be blocked before: its threads take none. NULL: the system has
 * no memory or no threads for it. */
struct answering *handler_begin(struct serving *serving, const struct options *options,
                                struct berth_protocol *protocol);

/* Lets go of every message that waits, and ends the threads. After the server's workers have
 * ended, before the server is destroyed. NULL is allowed. */
void handler_end(struct answering *answering);

/* ------------------------------------------------------------------------- the handlers themselves
 */

/* echo.c: the worker answers at once. */
void echo_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count);

/* delay.c: one thread answers each message a fixed time after it came. */
void delay_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count);
void *delay_thread(void *context);

/* pool.c: several threads take messages from a queue and answer. */
void pool_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count);
void *pool_thread(void *context);

#endif
