/* The console's entries, as text. */
#ifndef BERTHD_COMMAND_H
#define BERTHD_COMMAND_H

#include <stddef.h>
#include <stdint.h>

/* The longest entry; a longer one is no command. */
#define COMMAND_BYTES_MAX 200

enum command_kind {
    COMMAND_NOTHING = 0, /* an empty line */
    COMMAND_CONNECTIONS,
    COMMAND_FLOW_ON,
    COMMAND_FLOW_OFF,
    COMMAND_LIST,
    COMMAND_KICK, /* with an id */
    COMMAND_STOP,
    COMMAND_START,
    COMMAND_DRAIN,
    COMMAND_STATS,
    COMMAND_KEPT,
    COMMAND_END,
    COMMAND_HELP,
    COMMAND_WRONG, /* with a note */
};

struct command {
    enum command_kind kind;
    uint64_t id;
    char note[COMMAND_BYTES_MAX + 100]; /* one line for a person; printable */
};

/* Reads one entry, without its newline; upper and lower case are the same. Pure. */
void command_parse(const char *entry, size_t bytes, struct command *out);

/* What help prints: a line for each command. */
const char *command_help(void);

#endif
