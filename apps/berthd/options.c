/* berthd's options: read, checked, and refused by name.
 *
 * options_read fills a struct from argv; nothing is kept. Each option is a row of a table with the
 * function that reads it. Numbers are plain decimal; anything else is refused with the option's
 * name, the text that was given and what would be right.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT        4444 /* the seed's */
#define CONNECTIONS_DEFAULT 3000
#define CONNECTIONS_MOST    4000000
#define BUFFER_MOST         (1u << 20)
#define WORKERS_MOST        1023
#define BACKLOG_DEFAULT     4096
#define BACKLOG_MOST        (1u << 20)
#define MESSAGE_DEFAULT     (1u << 20)
#define TIMEOUT_MOST_MS     (24u * 3600 * 1000)
#define FRAME_DEFAULT       "length:4:le"

/* The transmission id in front of a reply's message. */
#define ID_BYTES 4

static const char help_text[] =
    "Usage: berthd [OPTION]...\n"
    "Serves framed messages over TCP: answers each with its length, a transmission id\n"
    "counted from 10001, and the message itself.\n"
    "\n"
    "  --listen ADDR:PORT     serve here; may be given again. *:PORT is every address,\n"
    "                         [ADDR]:PORT is IPv6, port 0 is any free port\n"
    "                         (default *:4444)\n"
    "  --max-connections N    served at once; the next waits until one leaves\n"
    "                         (default 3000)\n"
    "  --max-message BYTES    the largest message accepted, at most 1073741820\n"
    "                         (default 1048576, or what the framing carries)\n"
    "  --frame FRAMING        how messages are framed (default length:4:le):\n"
    "                           length:1|2|4|8[:le|:be][:offset=N][:itself][:adjust=N]\n"
    "                           varint, delimiter:TEXT (\\r \\n \\t \\0 \\\\ \\xHH), fixed:BYTES;\n"
    "                         all but fixed may end in :nonempty. Only length and varint\n"
    "                         replies carry the transmission id\n"
    "  --buffer-size BYTES    of one receive and of one send operation, 1 to 1048576\n"
    "                         (default: 73728 and 262144)\n"
    "  --workers N            threads, 1 to 1023 (default: one per CPU)\n"
    "  --backend NAME         auto, uring or epoll (default auto: io_uring where this\n"
    "                         kernel passes a self-test)\n"
    "  --backlog N            clients that may wait to be accepted (default 4096; the\n"
    "                         system may clip it)\n"
    "  --watch MODE,...       show what happens as it happens; any of\n"
    "                           flow         each step of each connection\n"
    "                           connections  who comes and goes\n"
    "                           data         each message and its header\n"
    "                           threads      which thread runs which callback\n"
    "  --log FILE|DIR         write that and all errors to this file, or to a new file\n"
    "                         in this folder (default: what is watched, to stderr)\n"
    "  --log-format FORMAT    text (default), or json: one object a line\n"
    "  --first-message-timeout MS\n"
    "                         for a client's first message; 0 here and below: no\n"
    "                         deadline (default 30000)\n"
    "  --message-timeout MS   for each message, from its first byte to its last\n"
    "                         (default 30000)\n"
    "  --receive-idle-timeout MS\n"
    "                         the longest time without a byte from a client\n"
    "                         (default 600000)\n"
    "  --send-idle-timeout MS\n"
    "                         the longest time without a byte to it (default 0)\n"
    "  --send-progress-timeout MS\n"
    "                         the longest time in which it takes nothing of what waits\n"
    "                         to be sent (default 30000)\n"
    "  --help, --version      print this, or the version, and end\n"
    "\n"
    "SIGTERM and SIGINT end it in order: it answers what it received, prints a summary\n"
    "and exits with status 0. A second one ends it at once. SIGUSR1 writes down what the\n"
    "flight recorders hold: the last batches and changes of state of each connection.\n";

static bool refuse(const char *option, const char *given, const char *rule)
{
    fprintf(stderr, "berthd: %s: '%s' %s\n", option, given, rule);
    return false;
}

/* Reads a plain decimal number. */
static bool read_number(const char *option, const char *text, uint64_t least, uint64_t most,
                        uint64_t *out)
{
    char rule[80];
    snprintf(rule, sizeof rule, "is not a number from %llu to %llu", (unsigned long long)least,
             (unsigned long long)most);
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return refuse(option, text, rule);
    }
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno != 0 || value < least || value > most) {
        return refuse(option, text, rule);
    }
    *out = value;
    return true;
}

static bool read_listen(struct options *o, const char *option, const char *text)
{
    if (o->listens_count == LISTENS_MAX) {
        return refuse(option, text, "is one address too many; at most 64 fit");
    }
    if (berth_address_parse(text, &o->listens[o->listens_count]) != BERTH_OK) {
        return refuse(option, text, "is not ADDR:PORT, [ADDR]:PORT or *:PORT");
    }
    o->listens_count++;
    return true;
}

static bool read_u32(uint32_t *field, const char *option, const char *text, uint64_t least,
                     uint64_t most)
{
    uint64_t value = 0;
    if (!read_number(option, text, least, most, &value)) {
        return false;
    }
    *field = (uint32_t)value;
    return true;
}

static bool read_max_connections(struct options *o, const char *option, const char *text)
{
    return read_u32(&o->max_connections, option, text, 1, CONNECTIONS_MOST);
}

static bool read_max_message(struct options *o, const char *option, const char *text)
{
    return read_u32(&o->max_message, option, text, 1, BERTH_MESSAGE_BYTES_LIMIT - ID_BYTES);
}

static bool read_buffer_size(struct options *o, const char *option, const char *text)
{
    return read_u32(&o->buffer_size, option, text, 1, BUFFER_MOST);
}

static bool read_workers(struct options *o, const char *option, const char *text)
{
    return read_u32(&o->workers, option, text, 1, WORKERS_MOST);
}

static bool read_backlog(struct options *o, const char *option, const char *text)
{
    uint32_t value = 0;
    if (!read_u32(&value, option, text, 1, BACKLOG_MOST)) {
        return false;
    }
    o->backlog = (int)value;
    return true;
}

static bool read_backend(struct options *o, const char *option, const char *text)
{
    static const char *const names[] = {"auto", "uring", "epoll"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            o->backend = (enum berth_backend)i;
            return true;
        }
    }
    return refuse(option, text, "is not auto, uring or epoll");
}

static bool read_timeout(struct options *o, enum timeout which, const char *option,
                         const char *text)
{
    return read_u32(&o->timeouts_ms[which], option, text, 0, TIMEOUT_MOST_MS);
}

static bool read_first_message(struct options *o, const char *option, const char *text)
{
    return read_timeout(o, TIMEOUT_FIRST_MESSAGE, option, text);
}

static bool read_message(struct options *o, const char *option, const char *text)
{
    return read_timeout(o, TIMEOUT_MESSAGE, option, text);
}

static bool read_receive_idle(struct options *o, const char *option, const char *text)
{
    return read_timeout(o, TIMEOUT_RECEIVE_IDLE, option, text);
}

static bool read_send_idle(struct options *o, const char *option, const char *text)
{
    return read_timeout(o, TIMEOUT_SEND_IDLE, option, text);
}

static bool read_send_progress(struct options *o, const char *option, const char *text)
{
    return read_timeout(o, TIMEOUT_SEND_PROGRESS, option, text);
}

static bool read_frame(struct options *o, const char *option, const char *text)
{
    (void)option;
    o->frame = text; /* read once --max-message is known */
    return true;
}

static bool read_watch(struct options *o, const char *option, const char *text)
{
    return entry_modes_read(text, WATCH_MODES, &o->watch.modes) ||
           refuse(option, text, "is not some of flow,connections,data,threads");
}

static bool read_log(struct options *o, const char *option, const char *text)
{
    o->watch.path = text;
    return text[0] != '\0' || refuse(option, text, "is not a file or a folder");
}

static bool read_log_format(struct options *o, const char *option, const char *text)
{
    o->watch.json = strcmp(text, "json") == 0;
    return o->watch.json || strcmp(text, "text") == 0 ||
           refuse(option, text, "is not text or json");
}

struct row {
    const char *name;
    bool (*read)(struct options *, const char *option, const char *text);
    const char *settings; /* fields of the library that this option sets, between spaces */
};

static const struct row rows[] = {
    {"listen", read_listen, " address "},
    {"max-connections", read_max_connections, " connections_max "},
    {"max-message", read_max_message, " message_bytes_max pool_bytes send_max_bytes "},
    {"frame", read_frame, " framing "},
    {"buffer-size", read_buffer_size, " receive_bytes send_bytes "},
    {"workers", read_workers, " workers "},
    {"backend", read_backend, " backend "},
    {"backlog", read_backlog, " backlog "},
    {"watch", read_watch, ""},
    {"log", read_log, ""},
    {"log-format", read_log_format, ""},
    {"first-message-timeout", read_first_message, " first_message_timeout_ms "},
    {"message-timeout", read_message, " message_timeout_ms "},
    {"receive-idle-timeout", read_receive_idle, " receive_idle_timeout_ms "},
    {"send-idle-timeout", read_send_idle, " send_idle_timeout_ms "},
    {"send-progress-timeout", read_send_progress, " send_progress_timeout_ms "},
};

#define ROWS (sizeof rows / sizeof rows[0])

const char *options_name_of(const char *setting)
{
    char word[64];
    if (setting == NULL) {
        return NULL;
    }
    snprintf(word, sizeof word, " %s ", setting);
    for (size_t i = 0; i < ROWS; i++) {
        if (strstr(rows[i].settings, word) != NULL) {
            return rows[i].name;
        }
    }
    return NULL;
}

/* Whether the reply to a message of this size can be framed. */
static bool reply_fits(const struct options *o, uint32_t message_bytes)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    uint32_t reply = message_bytes + (o->carries_id ? ID_BYTES : 0);
    return berth_frame_header(&o->framing, reply, header) >= 0;
}

/* The largest maximum up to the usual one whose reply can be framed: a short length field carries
 * less. */
static uint32_t default_maximum(const struct options *o)
{
    uint32_t fits = 1;
    uint32_t too_large = MESSAGE_DEFAULT + 1;
    while (too_large - fits > 1) {
        uint32_t middle = fits + (too_large - fits) / 2;
        if (reply_fits(o, middle)) {
            fits = middle;
        } else {
            too_large = middle;
        }
    }
    return fits;
}

/* What can be checked only when all options are known. */
static bool settle(struct options *o)
{
    struct berth_error error;
    uint32_t given = o->max_message > 0 ? o->max_message : MESSAGE_DEFAULT;
    if (berth_framing_parse(o->frame, given, &o->framing, &error) != BERTH_OK) {
        fprintf(stderr, "berthd: --frame: '%s': %s\n", o->frame, error.text);
        return false;
    }
    o->carries_id =
        o->framing.kind == BERTH_FRAMING_LENGTH || o->framing.kind == BERTH_FRAMING_VARINT;
    if (o->max_message == 0 && o->carries_id) {
        o->framing.message_bytes_max = default_maximum(o);
    }
    o->max_message = o->framing.message_bytes_max;
    if (!reply_fits(o, o->max_message)) {
        fprintf(stderr,
                "berthd: --max-message: the framing '%s' cannot carry the reply to a message of "
                "%u bytes\n",
                o->frame, o->max_message);
        return false;
    }
    if (o->listens_count == 0) {
        o->listens[o->listens_count++] =
            (struct berth_address){.family = BERTH_ANY, .port = PORT_DEFAULT};
    }
    return true;
}

enum { GOT_HELP = 1000, GOT_VERSION };

static enum options_result read_all(int argc, char **argv, struct options *out)
{
    struct option table[ROWS + 3] = {{0}};
    for (size_t i = 0; i < ROWS; i++) {
        table[i] = (struct option){rows[i].name, required_argument, NULL, (int)i};
    }
    table[ROWS] = (struct option){"help", no_argument, NULL, GOT_HELP};
    table[ROWS + 1] = (struct option){"version", no_argument, NULL, GOT_VERSION};
    int got;
    while ((got = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (got == GOT_HELP) {
            fputs(help_text, stdout);
            return OPTIONS_DONE;
        }
        if (got == GOT_VERSION) {
            puts("berthd " BERTH_VERSION);
            return OPTIONS_DONE;
        }
        if (got < 0 || (size_t)got >= ROWS) {
            return OPTIONS_REFUSED; /* getopt_long has named the option */
        }
        char name[64];
        snprintf(name, sizeof name, "--%s", rows[got].name);
        if (!rows[got].read(out, name, optarg)) {
            return OPTIONS_REFUSED;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "berthd: '%s' is no option; see berthd --help\n", argv[optind]);
        return OPTIONS_REFUSED;
    }
    return settle(out) ? OPTIONS_RUN : OPTIONS_REFUSED;
}

enum options_result options_read(int argc, char **argv, struct options *out)
{
    struct berth_config library; /* its defaults are ours */
    berth_config_init(&library);
    *out = (struct options){
        .max_connections = CONNECTIONS_DEFAULT,
        .backlog = BACKLOG_DEFAULT,
        .frame = FRAME_DEFAULT,
        .timeouts_ms = {library.first_message_timeout_ms, library.message_timeout_ms,
                        library.receive_idle_timeout_ms, library.send_idle_timeout_ms,
                        library.send_progress_timeout_ms},
    };
    return read_all(argc, argv, out);
}
