/* What berthload is asked to do. */
#ifndef BERTHLOAD_OPTIONS_H
#define BERTHLOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "common/entry.h"

/* The longest host name that DNS knows, and its end. */
#define HOST_TEXT_BYTES 256

/* Room for a sentence on what is wrong with the options. */
#define OPTIONS_WHY_BYTES 400

/* What is taken when nothing is said, by berthd as well: the largest message. */
#define DEFAULT_MESSAGE_MAX 1048576u

/* With the library's back-off it is more than a century. */
#define RETRIES_ALWAYS (UINT32_MAX - 1)

struct options {
    char host[HOST_TEXT_BYTES]; /* without brackets */
    char port[6];
    const char *connect; /* both, as they were given */
    uint32_t connections;
    uint32_t at_once;     /* connections at once; 0: all. Settled: 1 to connections */
    uint32_t idle;        /* connections that send one message only; 0: the run has no stages */
    uint64_t messages;    /* per connection; 0: until duration_ns are over */
    uint64_t duration_ns; /* 0: until all messages are answered */
    bool sized;           /* false: messages are the seed's texts */
    uint32_t size_min;
    uint32_t size_max;
    bool shared;  /* --long: all connections send one array of texts */
    bool growing; /* message i is its text and i + 1 repetitions */
    uint32_t pipeline;
    uint32_t workers;        /* 0: not said; main settles it before the run */
    bool worker_descriptors; /* settled by main: each worker has a table of its own */
    enum berth_backend backend;
    uint32_t buffer_bytes; /* 0: the library's default */
    const char *frame;
    uint32_t message_max; /* 0: not said; settled like framing and with_id below */
    uint32_t connect_rate;
    uint64_t
        connect_delay_ns; /* between one connection and the next; settled, also from the rate */
    uint32_t source;      /* the first IPv4 address to connect from, as a number */
    uint32_t sources;     /* so many from there on; 0: the system chooses */
    uint32_t retries;     /* RETRIES_ALWAYS: until it succeeds */
    uint64_t connect_timeout_ns;
    uint64_t answer_timeout_ns;
    uint64_t timeout_ns; /* 0: not said; settled */
    const char *json;    /* NULL: none */
    const char *ledger;  /* a file; NULL: none. Then messages are sized, and have marks */
    bool quiet;
    bool asked;      /* the questions were answered: stay until Z */
    bool console;    /* take commands though the standard input is no terminal */
    unsigned watch;  /* ENTRY_MODE_BITs of what the log shows */
    const char *log; /* a file or a folder; NULL: none, or stderr if anything is watched */
    bool log_json;
    uint32_t flow;        /* the connection whose flow the log shows; 0: none */
    bool test_connection; /* make and drop a connection before the start */
    bool bell;            /* ring when the run is over */

    enum { REPLY_BY_FRAME, REPLY_ID_FIRST, REPLY_BARE } reply;

    /* Settled from the above by options_settle. */
    struct berth_framing framing;
    bool with_id;
    uint32_t message_bytes; /* the largest message that will be sent */
    uint32_t frame_bytes;   /* and the largest frame */
    int avoid;              /* the byte that no pattern may hold, or -1 */

    /* Settled before the run by preface_settle: whether texts are built before the start, as there
     * is memory for them, and how much they take. */
    bool held;
    uint64_t held_bytes;
};

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_BAD,
    OPTIONS_ASK, /* all is well, but --connect is missing */
};

/* Reads the command line and settles what follows from it. The texts in *options point into argv.
 * After OPTIONS_BAD, `why` (OPTIONS_WHY_BYTES) begins with the option's name; after OPTIONS_ASK
 * too, and what depends on several options is not settled. Not reentrant: getopt is not. */
enum options_verdict options_read(int argc, char **argv, struct options *options, char *why);

/* The second half of options_read: the framing, and whether everything fits together. */
bool options_settle(struct options *options, char *why);

/* The text of --help. */
const char *options_help(void);

const char *options_backend_name(enum berth_backend backend);

#endif
