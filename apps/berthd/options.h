/* berthd's command line, read into what the server is built from. */
#ifndef BERTHD_OPTIONS_H
#define BERTHD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "watch.h"

/* As many as a server can have listeners. */
#define LISTENS_MAX 64

/* The deadlines of connections, in milliseconds. */
enum timeout {
    TIMEOUT_FIRST_MESSAGE,
    TIMEOUT_MESSAGE,
    TIMEOUT_RECEIVE_IDLE,
    TIMEOUT_SEND_IDLE,
    TIMEOUT_SEND_PROGRESS,
    TIMEOUTS,
};

struct options {
    struct berth_address listens[LISTENS_MAX];
    uint32_t listens_count;
    int backlog;
    uint32_t max_connections;
    uint32_t buffer_size; /* 0: the library's default */
    uint32_t workers;     /* 0: one per CPU */
    enum berth_backend backend;
    uint32_t timeouts_ms[TIMEOUTS]; /* 0: none */
    uint32_t max_message;           /* 0: not given */
    const char *frame;
    struct berth_framing framing; /* from frame and max_message */
    struct watch_options watch;
    bool carries_id; /* length framings: the reply begins with the transmission id */
};

/* What reading the command line came to. */
enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_REFUSED };

/* Reads argv. DONE: --help or --version was printed. REFUSED: one line on stderr names the option
 * and what was wrong with it. */
enum options_result options_read(int argc, char **argv, struct options *out);

/* The option behind a field of berth_config or of a framing; NULL if none is. */
const char *options_name_of(const char *setting);

#endif
