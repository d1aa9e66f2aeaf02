/* A run from its start to its end, as the main thread sees it. */
#ifndef BERTHLOAD_RUN_H
#define BERTHLOAD_RUN_H

#include <stdbool.h>

#include "client.h"

/* Takes SIGINT and SIGTERM from here on, and ignores SIGPIPE. */
void run_catch_signals(void);

/* Whether one of them has come. */
bool run_interrupted(void);

/* Starts a client that was made, and returns when its workers have ended: because all is
 * answered, or by a limit or a signal. false if it did not start. */
bool run_client(struct client *client, struct berth_error *why);

#endif
