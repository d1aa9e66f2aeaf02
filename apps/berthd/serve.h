/* From the start of the workers until they have ended. */
#ifndef BERTHD_SERVE_H
#define BERTHD_SERVE_H

#include <signal.h>
#include <stdbool.h>

#include <berth/berth.h>

#include "options.h"
#include "serving.h"

/* Serves until a signal, the console or the end of the input ends it, and then until every worker
 * has ended. `signals` are blocked in every thread. false: the system refused what it takes to
 * wait; then the server was stopped at once. Owner's thread. */
bool serve(struct berth_server *server, const struct options *options,
           const struct serving *serving, const sigset_t *signals);

#endif
