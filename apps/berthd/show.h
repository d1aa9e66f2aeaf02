/* What berthd says at its start and at its end, on the standard output. */
#ifndef BERTHD_SHOW_H
#define BERTHD_SHOW_H

#include <berth/berth.h>

#include "options.h"
#include "serving.h"

/* The machine and every setting. */
void show_settings(const struct options *options);

/* What they cost, and what of it with so many connections. */
void show_plan(const struct berth_server *server, const struct serving *serving,
               uint32_t connections);

/* After the end: what was kept, and the numbers. */
void show_end(const struct berth_server *server, const struct serving *serving);

#endif
