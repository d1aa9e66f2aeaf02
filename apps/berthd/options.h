/* berthd's settings, from the command line and from a file, as the server is built from them. */
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

/* Room for one more setting than there are; settings.c checks it when it is compiled. */
#define SETTINGS_MAX 64

/* The most of a configuration file, and so of all texts in it. */
#define CONFIG_BYTES_MAX (64u * 1024)

/* Room for a sentence on what is wrong. */
#define OPTIONS_WHY_BYTES 600

enum handler { HANDLER_ECHO, HANDLER_DELAY, HANDLER_POOL };

/* A setting that may be left to the program. */
enum choice { CHOICE_NO, CHOICE_YES, CHOICE_AUTO };

/* Where the text of a setting comes from: GIVEN_NOWHERE (it is the default), GIVEN_AS_OPTION, or
 * the number of a line of the configuration file. */
#define GIVEN_NOWHERE   0
#define GIVEN_AS_OPTION (-1)

struct given {
    const char *text;
    int line;
};

/* Texts point into argv, static memory, or `kept`: it must not be copied or moved. */
struct options {
    /* the server */
    struct berth_address listens[LISTENS_MAX];
    struct given listens_given[LISTENS_MAX];
    uint32_t listens_count;
    uint32_t backlog;
    uint32_t max_connections;
    uint32_t workers;            /* 0: one per CPU */
    uint32_t worker_connections; /* 0: max_connections */
    bool worker_descriptors;
    enum berth_backend backend;
    uint32_t linger_ms;
    uint32_t stop_timeout_ms;
    uint32_t timeouts_ms[TIMEOUTS]; /* 0: none */

    /* messages */
    const char *frame;
    uint32_t max_message; /* 0 until settled, if not given */
    uint32_t first_transmission_id;
    uint64_t first_session_id;

    struct watch_options watch;
    const char *ledger; /* a file; NULL: none */

    /* memory */
    uint32_t buffer_size; /* 0: the library's default */
    uint32_t receive_buffers;
    uint64_t pool_bytes; /* 0: chosen; and the next three */
    uint32_t send_high_bytes;
    uint32_t send_low_bytes;
    uint32_t send_max_bytes;
    uint32_t system_send_bytes;
    uint32_t system_receive_bytes;

    /* answering and keeping */
    bool handler_given;
    enum handler handler;
    bool delay_given;
    uint32_t delay_ms;
    uint32_t threads;
    uint32_t window;
    uint32_t window_bytes;
    uint32_t reply_every; /* a reply to every so many-th message of a connection; 0: to none */
    uint32_t keep_data;   /* messages; 0: none is kept */
    uint64_t keep_data_bytes;

    enum choice console;
    bool end_with_input;

    /* From the above, by options_settle. */
    struct berth_framing framing;
    bool carries_id; /* length framings: the reply begins with the transmission id */

    const char *config;       /* the file that was read, or NULL */
    const char *write_config; /* the file to write, or NULL */

    struct given given[SETTINGS_MAX]; /* by the setting's place in the table */
    size_t kept_bytes;
    char kept[CONFIG_BYTES_MAX]; /* texts that came from the file */
};

/* What reading the command line came to. */
enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_REFUSED };

/* Reads argv, and the file that --config names; an option wins over the file wherever it stands.
 * DONE: --help or --version was printed, or --write-config has written its file. REFUSED: one
 * line on stderr names the option, or the file's line and key, and what was wrong with it. */
enum options_result options_read(int argc, char **argv, struct options *out);

/* What can be checked only when all settings are known: the framing, and whether they fit
 * together. Pure. false with the reason in `why` (OPTIONS_WHY_BYTES). */
bool options_settle(struct options *options, char *why);

/* Whoever set a field of berth_config or of a framing, as a person would look for it: "--workers",
 * or "berthd.ini:7: workers". NULL if no setting does. Writes to `out` and returns it. */
const char *options_source_of(const struct options *options, const char *field, char *out,
                              size_t bytes);

/* The text of --help. */
const char *options_help(void);

#endif
