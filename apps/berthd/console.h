/* The console: entries on the standard input, answers on the standard output. */
#ifndef BERTHD_CONSOLE_H
#define BERTHD_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include <berth/berth.h>

#include "command.h"
#include "roster.h"
#include "serving.h"

struct console {
    struct berth_server *server;
    const struct serving *serving;
    struct roster roster;
    bool listening;
    /* What was asked for, for the loop that reads the input. */
    unsigned ends; /* Z, so often */
    bool drain;
    /* The entry that is being typed. */
    char entry[COMMAND_BYTES_MAX + 1];
    size_t entry_bytes; /* beyond COMMAND_BYTES_MAX they are counted only */
};

/* Lends the server and `serving` to it, until console_fini; after the workers have ended. */
bool console_init(struct console *console, struct berth_server *server,
                  const struct serving *serving);
void console_fini(struct console *console);

/* Takes what was read, and does what each whole line says. Owner's thread. */
void console_take(struct console *console, const char *bytes, size_t count);

/* The input has ended: a last line without its newline is one all the same. */
void console_input_ended(struct console *console);

#endif
