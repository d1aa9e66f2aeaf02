/* What a person's commands do. */
#ifndef BERTHLOAD_COMMANDS_H
#define BERTHLOAD_COMMANDS_H

#include "client.h"
#include "console.h"
#include "results.h"

/* Obeys a command while the run goes on, and answers on the standard output, or on the standard
 * error if that has the JSON. Returns why nothing more is to be sent, or CAUSE_NONE. */
enum cause commands_obey(struct client *client, enum command command, const char *line);

/* After the run: obeys commands until one of them closes, the input ends or a signal comes. */
void commands_stay(struct console *console, const struct results *results);

#endif
