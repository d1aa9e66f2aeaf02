/* Who answers: one of the handlers, chosen by --handler. */
#ifndef BERTHD_HANDLER_H
#define BERTHD_HANDLER_H

#include <berth/berth.h>

/* berth_protocol.on_messages of the handler echo: the worker answers at once. The context is a
 * struct serving. */
void echo_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count);

#endif
