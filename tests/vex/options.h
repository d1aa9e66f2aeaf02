/* What vex is told on its command line.
 */
#ifndef BERTH_TESTS_VEX_OPTIONS_H
#define BERTH_TESTS_VEX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "framing.h"
#include "replies.h"
#include "sockets.h"

#define OPTIONS_SOURCES_MAX 64

struct options {
    struct place target;
    struct place sources[OPTIONS_SOURCES_MAX]; /* cycled through */
    unsigned sources_count;
    uint64_t connections;
    uint64_t at_once;
    uint64_t rate; /* starts a second; 0: as fast as possible */
    uint64_t seed;
    uint64_t timeout_ms; /* of each wait */
    uint64_t time_ns;    /* of it all */
    struct framing framing;
    struct replies_rule rule;
    const char *text; /* the script */
    size_t text_bytes;
    char *text_read;  /* the same if it was read from a file; freed by options_fini */
    const char *json; /* a file, or - */
};

enum options_result { OPTIONS_RUN, OPTIONS_ENDED, OPTIONS_WRONG };

/* Reads the command line. Help is printed here (ENDED), and what is wrong said on stderr (WRONG).
 * On RUN the options must be ended by options_fini. */
enum options_result options_read(int argc, char **argv, struct options *out);
void options_fini(struct options *options);

/* The text of --help. */
const char *help_text(void);

#endif
