/* The command line: one rule per option, with what it wants in words, so that every refusal can
 * say both the option's name and what would have been right. What depends on several options
 * together is in settle.c. Allocates nothing; the options' texts point into argv. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "limits.h"
#include "number.h"

/* What the library can hold: 22 bits of slots. */
#define CONNECTIONS_MAX 4000000u
/* 2^48: a run of them would last for years, and their products stay within 64 bits. */
#define MESSAGES_MAX (UINT64_C(1) << 48)
/* A connection's timestamps of outstanding messages are kept: 8 MiB at the most. */
#define PIPELINE_MAX 1048576u
/* The library's limit of one receive operation. */
#define BUFFER_MAX (1024u * 1024u)
/* Ten years, and an hour for what should take seconds. */
#define LONGEST_NS (UINT64_C(3650) * 24 * 3600 * NS_PER_S)
#define PATIENT_NS (UINT64_C(3600) * NS_PER_S)
/* Faster than the kernel makes connections. */
#define RATE_MAX 10000000u
/* A network of 16 bits: with 14,000 connections from each more than there can be. */
#define SOURCES_MAX 65536u
/* With the library's back-off this is more than ten days. */
#define RETRIES_MAX 1000000u

/* 20 times with a back-off of 10 ms that doubles up to 1 s: about 15 s, a server's restart. */
#define DEFAULT_RETRIES            20u
#define DEFAULT_CONNECT_TIMEOUT_NS (10 * NS_PER_S)
/* Longer than anything that is still alive is silent. */
#define DEFAULT_ANSWER_TIMEOUT_NS (30 * NS_PER_S)

struct rule {
    const char *name;
    const char *wants; /* completes "... is not"; NULL: it takes no value */
    bool (*take)(struct options *options, const char *value);
};

/* All whole numbers are read into 64 bits and are known to fit where they go. */
static bool take_number(const char *value, uint64_t least, uint64_t most, uint32_t *out)
{
    uint64_t number = 0;
    if (!number_read(value, least, most, &number)) {
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool take_connect(struct options *options, const char *value)
{
    const char *colon = strrchr(value, ':');
    uint64_t port = 0;
    if (colon == NULL || !number_read(colon + 1, 1, UINT16_MAX, &port)) {
        return false;
    }
    const char *host = value;
    size_t bytes = (size_t)(colon - value);
    if (bytes >= 2 && host[0] == '[' && host[bytes - 1] == ']') {
        host++;
        bytes -= 2;
    } else if (memchr(host, ':', bytes) != NULL) {
        return false; /* a bare IPv6 address: where would its port begin? */
    }
    if (bytes == 0 || bytes >= sizeof options->host) {
        return false;
    }
    memcpy(options->host, host, bytes);
    options->host[bytes] = '\0';
    snprintf(options->port, sizeof options->port, "%u", (unsigned)port);
    options->connect = value;
    return true;
}

static bool take_connections(struct options *options, const char *value)
{
    return take_number(value, 1, CONNECTIONS_MAX, &options->connections);
}

static bool take_at_once(struct options *options, const char *value)
{
    return take_number(value, 1, CONNECTIONS_MAX, &options->at_once);
}

static bool take_idle(struct options *options, const char *value)
{
    return take_number(value, 1, CONNECTIONS_MAX, &options->idle);
}

static bool take_messages(struct options *options, const char *value)
{
    return number_read(value, 1, MESSAGES_MAX, &options->messages);
}

static bool take_duration(struct options *options, const char *value)
{
    return number_read_time(value, LONGEST_NS, &options->duration_ns);
}

static bool take_size(struct options *options, const char *value)
{
    uint64_t low = 0;
    uint64_t high = 0;
    if (!number_read_range(value, 0, BERTH_MESSAGE_BYTES_LIMIT, &low, &high)) {
        return false;
    }
    options->sized = true;
    options->size_min = (uint32_t)low;
    options->size_max = (uint32_t)high;
    return true;
}

static bool take_long(struct options *options, const char *value)
{
    (void)value;
    options->shared = true;
    return true;
}

static bool take_growing(struct options *options, const char *value)
{
    (void)value;
    options->growing = true;
    return true;
}

static bool take_pipeline(struct options *options, const char *value)
{
    return take_number(value, 1, PIPELINE_MAX, &options->pipeline);
}

static bool take_workers(struct options *options, const char *value)
{
    return take_number(value, 1, WORKERS_MAX, &options->workers);
}

const char *options_backend_name(enum berth_backend backend)
{
    switch (backend) {
    case BERTH_BACKEND_URING:
        return "uring";
    case BERTH_BACKEND_EPOLL:
        return "epoll";
    case BERTH_BACKEND_AUTO:
        break;
    }
    return "auto";
}

static bool take_backend(struct options *options, const char *value)
{
    static const enum berth_backend backends[] = {BERTH_BACKEND_AUTO, BERTH_BACKEND_URING,
                                                  BERTH_BACKEND_EPOLL};
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(value, options_backend_name(backends[i])) == 0) {
            options->backend = backends[i];
            return true;
        }
    }
    return false;
}

static bool take_buffer_size(struct options *options, const char *value)
{
    return take_number(value, 1, BUFFER_MAX, &options->buffer_bytes);
}

static bool take_frame(struct options *options, const char *value)
{
    options->frame = value; /* read by options_settle, which knows the largest message */
    return true;
}

static bool take_max_message(struct options *options, const char *value)
{
    return take_number(value, 1, BERTH_MESSAGE_BYTES_LIMIT, &options->message_max);
}

static bool take_reply(struct options *options, const char *value)
{
    bool id = strcmp(value, "id") == 0;
    options->reply = id ? REPLY_ID_FIRST : REPLY_BARE;
    return id || strcmp(value, "bare") == 0;
}

static bool take_connect_rate(struct options *options, const char *value)
{
    return take_number(value, 0, RATE_MAX, &options->connect_rate);
}

static bool take_connect_delay(struct options *options, const char *value)
{
    return number_read_ms(value, PATIENT_NS, &options->connect_delay_ns);
}

/* An IPv4 address as a number. */
static bool read_ipv4(const char *text, size_t bytes, uint32_t *out)
{
    char copy[sizeof "255.255.255.255:0"];
    struct berth_address address;
    int written = snprintf(copy, sizeof copy, "%.*s:0", (int)bytes, text);
    if (bytes == 0 || (size_t)written >= sizeof copy ||
        berth_address_parse(copy, &address) != BERTH_OK || address.family != BERTH_IPV4) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < 4; i++) {
        *out = *out << 8 | address.bytes[i];
    }
    return true;
}

static bool take_source(struct options *options, const char *value)
{
    const char *dash = strchr(value, '-');
    size_t bytes = dash == NULL ? strlen(value) : (size_t)(dash - value);
    uint32_t last = 0;
    if (!read_ipv4(value, bytes, &options->source)) {
        return false;
    }
    last = options->source;
    if (dash != NULL && !read_ipv4(dash + 1, strlen(dash + 1), &last)) {
        return false;
    }
    options->sources = last - options->source + 1;
    return last >= options->source && options->sources <= SOURCES_MAX;
}

static bool take_retry(struct options *options, const char *value)
{
    bool always = strcmp(value, "always") == 0;
    if (always || strcmp(value, "no") == 0) {
        options->retries = always ? RETRIES_ALWAYS : 0;
        return true;
    }
    return take_number(value, 0, RETRIES_MAX, &options->retries);
}

static bool take_connect_timeout(struct options *options, const char *value)
{
    return number_read_time(value, PATIENT_NS, &options->connect_timeout_ns);
}

static bool take_answer_timeout(struct options *options, const char *value)
{
    return number_read_time(value, LONGEST_NS, &options->answer_timeout_ns);
}

static bool take_timeout(struct options *options, const char *value)
{
    return number_read_time(value, LONGEST_NS, &options->timeout_ns);
}

static bool take_json(struct options *options, const char *value)
{
    options->json = value;
    return *value != '\0';
}

static bool take_ledger(struct options *options, const char *value)
{
    options->ledger = value;
    return *value != '\0';
}

static bool take_test_connection(struct options *options, const char *value)
{
    (void)value;
    options->test_connection = true;
    return true;
}

static bool take_bell(struct options *options, const char *value)
{
    (void)value;
    options->bell = true;
    return true;
}

#define WATCHABLE                                                                                  \
    (ENTRY_MODE_BIT(ENTRY_FLOW) | ENTRY_MODE_BIT(ENTRY_CONNECTIONS) | ENTRY_MODE_BIT(ENTRY_DATA))

static bool take_watch(struct options *options, const char *value)
{
    return entry_modes_read(value, WATCHABLE, &options->watch);
}

static bool take_flow(struct options *options, const char *value)
{
    return take_number(value, 1, CONNECTIONS_MAX, &options->flow);
}

static bool take_log(struct options *options, const char *value)
{
    options->log = value;
    return *value != '\0';
}

static bool take_log_format(struct options *options, const char *value)
{
    options->log_json = strcmp(value, "json") == 0;
    return options->log_json || strcmp(value, "text") == 0;
}

static bool take_console(struct options *options, const char *value)
{
    (void)value;
    options->console = true;
    return true;
}

static bool take_quiet(struct options *options, const char *value)
{
    (void)value;
    options->quiet = true;
    return true;
}

static const struct rule rules[] = {
    {"connect", "HOST:PORT with a port from 1 to 65535, an IPv6 address in [brackets]",
     take_connect},
    {"connections", "a whole number from 1 to 4,000,000", take_connections},
    {"at-once", "a whole number from 1 to 4,000,000", take_at_once},
    {"idle", "a whole number from 1 to 4,000,000", take_idle},
    {"messages", "a whole number from 1 to 2^48", take_messages},
    {"duration", "a time above 0 such as 10, 2.5s or 500ms", take_duration},
    {"size", "a number of bytes from 0 to 1073741824, or two as MIN-MAX", take_size},
    {"long", NULL, take_long},
    {"growing", NULL, take_growing},
    {"pipeline", "a whole number from 1 to 1,048,576", take_pipeline},
    {"workers", "a whole number from 1 to 1,023", take_workers},
    {"backend", "auto, uring or epoll", take_backend},
    {"buffer-size", "a number of bytes from 1 to 1048576", take_buffer_size},
    {"frame", "a framing", take_frame},
    {"max-message", "a number of bytes from 1 to 1073741824", take_max_message},
    {"reply", "id or bare", take_reply},
    {"connect-rate", "a whole number from 0 to 10,000,000", take_connect_rate},
    {"connect-delay", "a number of milliseconds from 0 to 3600000, such as 5 or 0.25",
     take_connect_delay},
    {"source", "an IPv4 address, or the first and the last of up to 65536 as ADDR-ADDR",
     take_source},
    {"retry", "no, always, or a whole number from 0 to 1,000,000", take_retry},
    {"connect-timeout", "a time above 0, up to an hour, such as 10, 2.5s or 500ms",
     take_connect_timeout},
    {"answer-timeout", "a time above 0 such as 10, 2.5s or 500ms", take_answer_timeout},
    {"timeout", "a time above 0 such as 10, 2.5s or 500ms", take_timeout},
    {"test-connection", NULL, take_test_connection},
    {"bell", NULL, take_bell},
    {"watch", "flow, connections, data, or several of them with commas between", take_watch},
    {"flow", "a connection's number from 1 to 4,000,000", take_flow},
    {"log", "the name of a file or of a folder", take_log},
    {"log-format", "text or json", take_log_format},
    {"console", NULL, take_console},
    {"json", "the name of a file", take_json},
    {"ledger", "the name of a file", take_ledger},
    {"quiet", NULL, take_quiet},
};

#define RULES        (sizeof rules / sizeof rules[0])
#define HELP_RULE    ((int)RULES)
#define VERSION_RULE ((int)RULES + 1)

/* getopt's result is the place of the rule, above every character. */
#define FIRST_RESULT 256

static void fill_long_options(struct option *out)
{
    for (size_t i = 0; i < RULES; i++) {
        out[i] =
            (struct option){.name = rules[i].name,
                            .has_arg = rules[i].wants != NULL ? required_argument : no_argument,
                            .val = FIRST_RESULT + (int)i};
    }
    out[RULES] = (struct option){.name = "help", .val = FIRST_RESULT + HELP_RULE};
    out[RULES + 1] = (struct option){.name = "version", .val = FIRST_RESULT + VERSION_RULE};
    out[RULES + 2] = (struct option){.name = NULL};
}

/* getopt says only that something is wrong; what, is in its globals. */
static enum options_verdict explain_getopt(int result, char **argv, char *why)
{
    if (result == ':') {
        snprintf(why, OPTIONS_WHY_BYTES, "--%s: needs a value: %s",
                 rules[optopt - FIRST_RESULT].name, rules[optopt - FIRST_RESULT].wants);
    } else if (optopt >= FIRST_RESULT) {
        snprintf(why, OPTIONS_WHY_BYTES, "%.100s: takes no value", argv[optind - 1]);
    } else if (optopt != 0) {
        snprintf(why, OPTIONS_WHY_BYTES, "-%c: no such option", optopt);
    } else {
        snprintf(why, OPTIONS_WHY_BYTES, "%.100s: no such option, or short for several",
                 argv[optind - 1]);
    }
    return OPTIONS_BAD;
}

static void set_defaults(struct options *options)
{
    *options = (struct options){
        .connections = 1,
        .pipeline = 1,
        .frame = "length:4:le",
        .retries = DEFAULT_RETRIES,
        .connect_timeout_ns = DEFAULT_CONNECT_TIMEOUT_NS,
        .answer_timeout_ns = DEFAULT_ANSWER_TIMEOUT_NS,
    };
}

enum options_verdict options_read(int argc, char **argv, struct options *options, char *why)
{
    struct option long_options[RULES + 3];
    int result;
    fill_long_options(long_options);
    set_defaults(options);
    opterr = 0;
    optind = 0; /* begin anew, also after a line that was not read to its end */
    while ((result = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        if (result == 'h' || result == FIRST_RESULT + HELP_RULE) {
            return OPTIONS_HELP;
        }
        if (result == FIRST_RESULT + VERSION_RULE) {
            return OPTIONS_VERSION;
        }
        if (result < FIRST_RESULT) {
            return explain_getopt(result, argv, why);
        }
        const struct rule *rule = &rules[result - FIRST_RESULT];
        if (!rule->take(options, optarg)) {
            snprintf(why, OPTIONS_WHY_BYTES, "--%s: \"%.100s\" is not %s", rule->name, optarg,
                     rule->wants);
            return OPTIONS_BAD;
        }
    }
    if (optind < argc) {
        snprintf(why, OPTIONS_WHY_BYTES, "%.100s: not an option (every option begins with --)",
                 argv[optind]);
        return OPTIONS_BAD;
    }
    if (options->connect == NULL) {
        (void)options_settle(options, why); /* which says so */
        return OPTIONS_ASK;
    }
    return options_settle(options, why) ? OPTIONS_RUN : OPTIONS_BAD;
}
