/* The commands that a person gives a run. */
#ifndef BERTHLOAD_CONSOLE_H
#define BERTHLOAD_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lines.h"

/* X(constant, letter, word, what it does) */
#define COMMANDS(X)                                                                                \
    X(COMMAND_STATUS, "C", "status", "how far the run is; after its end, the summary")             \
    X(COMMAND_FLOW_ON, "T", "flow", "write the flow of the messages to the log from here on")      \
    X(COMMAND_FLOW_OFF, "F", "noflow", "do not write it any more")                                 \
    X(COMMAND_STOP, "S", "stop", "stop the run: it is aborted, and the exit status 1")             \
    X(COMMAND_CLOSE, "Z", "close", "close: send nothing more, await the replies, end")             \
    X(COMMAND_HELP, "H", "help", "this list")

enum command {
#define COMMAND_ENUM(name, letter, word, text) name,
    COMMANDS(COMMAND_ENUM)
#undef COMMAND_ENUM
        COMMAND_UNKNOWN,
    COMMAND_NOTHING, /* an empty line */
};

/* Reads a line as a command: its letter or its word, in either case, with blanks around it. Pure.
 */
enum command command_read(const char *line);

/* The list of all commands. */
const char *console_help(void);

struct console;

/* Starts a thread that reads commands from `lines`, which is lent until console_close; what was
 * typed ahead is in it. NULL if there is no thread for it. */
struct console *console_open(struct lines *lines);

/* The next command that was given, with its line (LINE_BYTES_MAX); waits for it up to timeout_ms.
 * false: there is none. */
bool console_next(struct console *console, uint32_t timeout_ms, enum command *command, char *line);

/* Whether no command will come any more. */
bool console_ended(struct console *console);

/* Ends the thread. NULL is allowed. */
void console_close(struct console *console);

#endif
