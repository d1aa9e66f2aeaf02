/* From before the start of the workers until they have ended. */
#ifndef BERTHD_SERVE_H
#define BERTHD_SERVE_H

#include <signal.h>
#include <stdbool.h>

#include <berth/berth.h>

#include "options.h"
#include "serving.h"

/* Takes what it needs to wait for signals and commands, before clients take every descriptor.
 * `signals` are blocked in every thread. Lends all until serve_end. false: the system refused.
 * Owner's thread, as the others. */
bool serve_begin(struct berth_server *server, const struct options *options,
                 const struct serving *serving, const sigset_t *signals);

/* Serves until a signal, the console or the end of the input ends it, and then until every worker
 * has ended. The server was started. */
void serve(void);

void serve_end(void);

#endif
