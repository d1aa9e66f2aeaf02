/* berthd's settings: a table of rows, and a reader for each row.
 *
 * A reader takes a text, checks it and puts it into struct options; it is pure, whether the text
 * stood on the command line or in a file. Defaults are texts too, and read by the same readers, so
 * that what the written file says is what the program does. Numbers are plain decimal. What a
 * setting allows is said once, in its row, for every refusal.
 */
#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The library's limits (berth/berth.h); the rows repeat them in words. */
#define CONNECTIONS_MOST     4000000
#define BUFFER_MOST          (1u << 20)
#define RECEIVE_BUFFERS_MOST 32768
#define WORKERS_MOST         1023
#define BACKLOG_MOST         (1u << 20)
#define SEND_MOST            INT32_MAX
#define SYSTEM_MOST          (1u << 30)
#define WINDOW_MOST          65535
#define POOL_LEAST           (UINT64_C(1) << 20)
#define POOL_MOST            (UINT64_C(1) << 40)
#define TIMEOUT_MOST_MS      (24u * 3600 * 1000)

/* The transmission id in front of a reply's message. */
#define ID_BYTES 4

/* More would be kept waiting for longer than anybody waits. */
#define DELAY_MOST_MS (3600u * 1000)
#define THREADS_MOST  256

/* What is kept is held in memory until the end. */
#define KEEP_MOST       100000000
#define KEEP_BYTES_MOST (UINT64_C(1) << 40)

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno != 0 || value < least || value > most) {
        return false;
    }
    *out = value;
    return true;
}

static bool read_u32(const char *text, uint64_t least, uint64_t most, uint32_t *out)
{
    uint64_t value = 0;
    if (!read_number(text, least, most, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

/* "auto" is 0: the library, or berthd, chooses. */
static bool read_u32_or_auto(const char *text, uint64_t least, uint64_t most, uint32_t *out)
{
    if (strcmp(text, "auto") == 0) {
        *out = 0;
        return true;
    }
    return read_u32(text, least, most, out);
}

static bool read_listen(struct options *o, const char *text)
{
    return o->listens_count < LISTENS_MAX &&
           berth_address_parse(text, &o->listens[o->listens_count]) == BERTH_OK;
}

static bool read_max_connections(struct options *o, const char *text)
{
    return read_u32(text, 1, CONNECTIONS_MOST, &o->max_connections);
}

static bool read_backlog(struct options *o, const char *text)
{
    return read_u32(text, 1, BACKLOG_MOST, &o->backlog);
}

static bool read_workers(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, WORKERS_MOST, &o->workers);
}

static bool read_worker_connections(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, CONNECTIONS_MOST, &o->worker_connections);
}

static bool read_backend(struct options *o, const char *text)
{
    static const char *const names[] = {"auto", "uring", "epoll"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            o->backend = (enum berth_backend)i;
            return true;
        }
    }
    return false;
}

static bool read_linger(struct options *o, const char *text)
{
    return read_u32(text, 1, TIMEOUT_MOST_MS, &o->linger_ms);
}

static bool read_stop_timeout(struct options *o, const char *text)
{
    return read_u32(text, 1, TIMEOUT_MOST_MS, &o->stop_timeout_ms);
}

static bool read_timeout(struct options *o, enum timeout which, const char *text)
{
    return read_u32(text, 0, TIMEOUT_MOST_MS, &o->timeouts_ms[which]);
}

static bool read_first_message(struct options *o, const char *text)
{
    return read_timeout(o, TIMEOUT_FIRST_MESSAGE, text);
}

static bool read_message(struct options *o, const char *text)
{
    return read_timeout(o, TIMEOUT_MESSAGE, text);
}

static bool read_receive_idle(struct options *o, const char *text)
{
    return read_timeout(o, TIMEOUT_RECEIVE_IDLE, text);
}

static bool read_send_idle(struct options *o, const char *text)
{
    return read_timeout(o, TIMEOUT_SEND_IDLE, text);
}

static bool read_send_progress(struct options *o, const char *text)
{
    return read_timeout(o, TIMEOUT_SEND_PROGRESS, text);
}

static bool read_frame(struct options *o, const char *text)
{
    o->frame = text; /* read once max-message is known */
    return true;
}

static bool read_max_message(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, BERTH_MESSAGE_BYTES_LIMIT - ID_BYTES, &o->max_message);
}

static bool read_first_transmission_id(struct options *o, const char *text)
{
    return read_u32(text, 0, UINT32_MAX, &o->first_transmission_id);
}

static bool read_first_session_id(struct options *o, const char *text)
{
    return read_number(text, 1, INT64_MAX, &o->first_session_id);
}

static bool read_buffer_size(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, BUFFER_MOST, &o->buffer_size);
}

static bool read_receive_buffers(struct options *o, const char *text)
{
    uint32_t count = 0;
    if (!read_u32_or_auto(text, 2, RECEIVE_BUFFERS_MOST, &count) || (count & (count - 1)) != 0) {
        return false;
    }
    o->receive_buffers = count;
    return true;
}

static bool read_pool(struct options *o, const char *text)
{
    o->pool_bytes = 0;
    return strcmp(text, "auto") == 0 || read_number(text, POOL_LEAST, POOL_MOST, &o->pool_bytes);
}

static bool read_send_high(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, SEND_MOST, &o->send_high_bytes);
}

static bool read_send_low(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, SEND_MOST, &o->send_low_bytes);
}

static bool read_send_max(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, SEND_MOST, &o->send_max_bytes);
}

static bool read_system_send(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, SYSTEM_MOST, &o->system_send_bytes);
}

static bool read_system_receive(struct options *o, const char *text)
{
    return read_u32_or_auto(text, 1, SYSTEM_MOST, &o->system_receive_bytes);
}

static bool read_handler(struct options *o, const char *text)
{
    static const char *const names[] = {"echo", "delay", "pool"};
    o->handler_given = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            o->handler_given = true;
            o->handler = (enum handler)i;
        }
    }
    return o->handler_given || strcmp(text, "auto") == 0;
}

static bool read_delay(struct options *o, const char *text)
{
    o->delay_ms = 0;
    o->delay_given = strcmp(text, "off") != 0;
    return !o->delay_given || read_u32(text, 0, DELAY_MOST_MS, &o->delay_ms);
}

static bool read_threads(struct options *o, const char *text)
{
    return read_u32(text, 1, THREADS_MOST, &o->threads);
}

static bool read_window(struct options *o, const char *text)
{
    return read_u32(text, 1, WINDOW_MOST, &o->window);
}

static bool read_window_bytes(struct options *o, const char *text)
{
    return read_u32(text, 1, SEND_MOST / 2, &o->window_bytes);
}

static bool read_reply(struct options *o, const char *text)
{
    static const char every[] = "every:";
    if (strcmp(text, "each") == 0 || strcmp(text, "none") == 0) {
        o->reply_every = text[0] == 'e';
        return true;
    }
    return strncmp(text, every, sizeof every - 1) == 0 &&
           read_u32(text + sizeof every - 1, 1, UINT32_MAX, &o->reply_every);
}

static bool read_keep_data(struct options *o, const char *text)
{
    return read_u32(text, 0, KEEP_MOST, &o->keep_data);
}

static bool read_keep_data_bytes(struct options *o, const char *text)
{
    return read_number(text, 1, KEEP_BYTES_MOST, &o->keep_data_bytes);
}

static bool read_yes_or_no(const char *text, bool *out)
{
    *out = strcmp(text, "yes") == 0;
    return *out || strcmp(text, "no") == 0;
}

static bool read_console(struct options *o, const char *text)
{
    bool yes = false;
    if (strcmp(text, "auto") == 0) {
        o->console = CHOICE_AUTO;
        return true;
    }
    bool right = read_yes_or_no(text, &yes);
    o->console = yes ? CHOICE_YES : CHOICE_NO;
    return right;
}

static bool read_end_with_input(struct options *o, const char *text)
{
    return read_yes_or_no(text, &o->end_with_input);
}

static bool read_worker_descriptors(struct options *o, const char *text)
{
    return read_yes_or_no(text, &o->worker_descriptors);
}

static bool read_watch(struct options *o, const char *text)
{
    o->watch.modes = 0;
    return strcmp(text, "none") == 0 || entry_modes_read(text, WATCH_MODES, &o->watch.modes);
}

static bool read_log(struct options *o, const char *text)
{
    o->watch.path = strcmp(text, "none") == 0 ? NULL : text;
    return text[0] != '\0';
}

static bool read_ledger(struct options *o, const char *text)
{
    o->ledger = strcmp(text, "none") == 0 ? NULL : text;
    return text[0] != '\0';
}

static bool read_log_format(struct options *o, const char *text)
{
    o->watch.json = strcmp(text, "json") == 0;
    return o->watch.json || strcmp(text, "text") == 0;
}

const struct setting settings[] = {
    {.name = "listen",
     .read = read_listen,
     .wants = "ADDR:PORT, [ADDR]:PORT or *:PORT, or is one address too many (64 fit)",
     .initial = "*:4444",
     .comment = "Listen here. May be given again. ADDR is a number, not a name; * is every address "
                "of both families; port 0 is any free port.",
     .fields = " address ",
     .repeats = true},
    {.name = "max-connections",
     .read = read_max_connections,
     .wants = "a number from 1 to 4000000",
     .initial = "3000",
     .comment = "Connections served at once. The next one waits until one leaves.",
     .fields = " connections_max "},
    {.name = "backlog",
     .read = read_backlog,
     .wants = "a number from 1 to 1048576",
     .initial = "4096",
     .comment = "Clients that may wait to be accepted, on each address. The system may clip it.",
     .fields = " backlog "},
    {.name = "workers",
     .read = read_workers,
     .wants = "auto or a number from 1 to 1023",
     .initial = "auto",
     .comment = "Threads; auto is one for each CPU.",
     .fields = " workers "},
    {.name = "worker-connections",
     .read = read_worker_connections,
     .wants = "auto or a number from 1 to 4000000",
     .initial = "auto",
     .comment = "The most connections of one worker; auto is max-connections.",
     .fields = " worker_connections_max "},
    {.name = "worker-descriptors",
     .read = read_worker_descriptors,
     .wants = "yes or no",
     .initial = "no",
     .comment = "Whether each worker has a table of descriptors of its own, so that the system's "
                "limit for a process (ulimit -n) is one for each worker.",
     .fields = " worker_descriptors ",
     .alone = true},
    {.name = "backend",
     .read = read_backend,
     .wants = "auto, uring or epoll",
     .initial = "auto",
     .comment = "auto (io_uring where this kernel passes a self-test), uring or epoll.",
     .fields = " backend "},
    {.name = "linger",
     .read = read_linger,
     .wants = "a number of milliseconds from 1 to 86400000",
     .initial = "2000",
     .comment = "Milliseconds that a peer has to take what is queued while its connection closes, "
                "and then to end its side.",
     .fields = " linger_timeout_ms "},
    {.name = "stop-timeout",
     .read = read_stop_timeout,
     .wants = "a number of milliseconds from 1 to 86400000",
     .initial = "5000",
     .comment = "Milliseconds that an orderly end takes at most; what is then open is cut.",
     .fields = " stop_timeout_ms "},
    {.name = "first-message-timeout",
     .read = read_first_message,
     .wants = "a number of milliseconds from 0 to 86400000",
     .initial = "30000",
     .comment =
         "Milliseconds that a client has for its first message. 0, here and below: no deadline.",
     .fields = " first_message_timeout_ms "},
    {.name = "message-timeout",
     .read = read_message,
     .wants = "a number of milliseconds from 0 to 86400000",
     .initial = "30000",
     .comment = "Milliseconds for each message, from its first byte to its last.",
     .fields = " message_timeout_ms "},
    {.name = "receive-idle-timeout",
     .read = read_receive_idle,
     .wants = "a number of milliseconds from 0 to 86400000",
     .initial = "600000",
     .comment = "The longest time without a byte from a client.",
     .fields = " receive_idle_timeout_ms "},
    {.name = "send-idle-timeout",
     .read = read_send_idle,
     .wants = "a number of milliseconds from 0 to 86400000",
     .initial = "0",
     .comment = "The longest time without a byte to it.",
     .fields = " send_idle_timeout_ms "},
    {.name = "send-progress-timeout",
     .read = read_send_progress,
     .wants = "a number of milliseconds from 0 to 86400000",
     .initial = "30000",
     .comment = "The longest time in which it takes nothing of what waits to be sent.",
     .fields = " send_progress_timeout_ms "},
    {.name = "frame",
     .read = read_frame,
     .wants = "a framing",
     .initial = "length:4:le",
     .comment = "How messages are framed:\n"
                "length:1|2|4|8[:le|:be][:offset=N][:itself][:adjust=N]\n"
                "varint, delimiter:TEXT (\\r \\n \\t \\0 \\\\ \\xHH), fixed:BYTES\n"
                "All but fixed may end in :nonempty.",
     .fields = " framing "},
    {.name = "max-message",
     .read = read_max_message,
     .wants = "auto or a number from 1 to 1073741820",
     .initial = "auto",
     .comment = "The largest message accepted, in bytes. auto is 1048576, or what the framing "
                "carries.",
     .fields = " message_bytes_max "},
    {.name = "first-transmission-id",
     .read = read_first_transmission_id,
     .wants = "a number from 0 to 4294967295",
     .initial = "10001",
     .comment = "The transmission id of the first message. Ids count every message of every "
                "connection.",
     .fields = ""},
    {.name = "first-session-id",
     .read = read_first_session_id,
     .wants = "a number from 1 to 9223372036854775807",
     .initial = "1000000001",
     .comment = "The session id of the first connection.",
     .fields = ""},
    {.name = "buffer-size",
     .read = read_buffer_size,
     .wants = "auto or a number from 1 to 1048576",
     .initial = "auto",
     .comment = "The most bytes of one receive and of one send. auto is 270336 and 262144.",
     .fields = " receive_bytes send_bytes "},
    {.name = "receive-buffers",
     .read = read_receive_buffers,
     .wants = "auto or a power of two from 2 to 32768",
     .initial = "auto",
     .comment = "Receive buffers of each worker, shared by its connections. auto is 16.",
     .fields = " receive_buffers "},
    {.name = "pool",
     .read = read_pool,
     .wants = "auto or a number of bytes from 1048576 to 1099511627776",
     .initial = "auto",
     .comment = "Bytes of each worker for replies that wait and for messages that come in parts. "
                "Reserved, and used as needed. auto follows from the other settings.",
     .fields = " pool_bytes "},
    {.name = "send-high",
     .read = read_send_high,
     .wants = "auto or a number of bytes from 1 to 2147483647",
     .initial = "auto",
     .comment = "While more bytes than this wait to be sent to a client, it is not read. auto is "
                "262144.",
     .fields = " send_high_bytes "},
    {.name = "send-low",
     .read = read_send_low,
     .wants = "auto or a number of bytes from 1 to 2147483647",
     .initial = "auto",
     .comment = "Below this many it is read again. auto is a quarter of send-high.",
     .fields = " send_low_bytes "},
    {.name = "send-max",
     .read = read_send_max,
     .wants = "auto or a number of bytes from 1 to 2147483647",
     .initial = "auto",
     .comment = "The most bytes that may wait on one connection. auto is send-high, 8 MiB, and two "
                "messages of the largest size.",
     .fields = " send_max_bytes "},
    {.name = "system-send",
     .read = read_system_send,
     .wants = "auto or a number of bytes from 1 to 1073741824",
     .initial = "auto",
     .comment = "What the system itself holds of a client's replies beside that (SO_SNDBUF). auto "
                "grows with use, to 4 MiB on most systems.",
     .fields = " system_send_bytes "},
    {.name = "system-receive",
     .read = read_system_receive,
     .wants = "auto or a number of bytes from 1 to 1073741824",
     .initial = "auto",
     .comment = "And of what a client sent and was not read (SO_RCVBUF). auto grows with use, to 6 "
                "MiB on most systems.",
     .fields = " system_receive_bytes "},
    {.name = "handler",
     .read = read_handler,
     .wants = "auto, echo, delay or pool",
     .initial = "auto",
     .comment = "Who answers: echo (the worker, at once), delay (after the time below), pool "
                "(threads apart from the workers). auto is delay if a delay is set, else echo.",
     .fields = ""},
    {.name = "delay",
     .read = read_delay,
     .wants = "off or a number of milliseconds from 0 to 3600000",
     .initial = "off",
     .comment = "Milliseconds from a message to its reply; no worker waits for it.",
     .fields = ""},
    {.name = "threads",
     .read = read_threads,
     .wants = "a number from 1 to 256",
     .initial = "4",
     .comment = "Threads of the handler pool.",
     .fields = ""},
    {.name = "window",
     .read = read_window,
     .wants = "a number from 1 to 65535",
     .initial = "256",
     .comment =
         "Messages of one connection that may be on their way, from the first unanswered one "
         "on; then it is not read.",
     .fields = " window_messages "},
    {.name = "window-bytes",
     .read = read_window_bytes,
     .wants = "a number of bytes from 1 to 1073741823",
     .initial = "1048576",
     .comment = "And the bytes of memory that they may hold.",
     .fields = " window_bytes "},
    {.name = "reply",
     .read = read_reply,
     .wants = "each, none or every:N with N from 1 to 4294967295",
     .initial = "each",
     .comment = "Which messages of a connection are answered: each, every:N (every N-th), or none.",
     .fields = ""},
    {.name = "keep-data",
     .read = read_keep_data,
     .wants = "a number from 0 to 100000000",
     .initial = "0",
     .comment = "Keep so many of the first messages, and list them at the end.",
     .fields = ""},
    {.name = "keep-data-bytes",
     .read = read_keep_data_bytes,
     .wants = "a number from 1 to 1099511627776",
     .initial = "67108864",
     .comment = "And at most so many bytes of them.",
     .fields = ""},
    {.name = "console",
     .read = read_console,
     .wants = "auto, yes or no",
     .initial = "auto",
     .comment = "Read commands from the standard input. auto: if it is a terminal.",
     .fields = "",
     .alone = true},
    {.name = "end-with-input",
     .read = read_end_with_input,
     .wants = "yes or no",
     .initial = "no",
     .comment = "Whether the end of the standard input ends the server.",
     .fields = "",
     .alone = true},
    {.name = "watch",
     .read = read_watch,
     .wants = "none, or some of flow,connections,data,threads",
     .initial = "none",
     .comment = "Show what happens as it happens: none, or any of\n"
                "flow (each step of each connection), connections (who comes and goes),\n"
                "data (each message and its header), threads (which runs which callback),\n"
                "with commas between them.",
     .fields = ""},
    {.name = "log",
     .read = read_log,
     .wants = "none, a file or a folder",
     .initial = "none",
     .comment = "Write that and all errors to this file, or to a new file in this folder. none: "
                "what is watched goes to the standard error.",
     .fields = ""},
    {.name = "log-format",
     .read = read_log_format,
     .wants = "text or json",
     .initial = "text",
     .comment = "text, or json: an object a line.",
     .fields = ""},
    {.name = "ledger",
     .read = read_ledger,
     .wants = "none or a file",
     .initial = "none",
     .comment = "Account in this file for every message that berthload --ledger sends: received,\n"
                "answered, and handed to the system. tools/ledger checks it.",
     .fields = ""},
};

const size_t settings_count = sizeof settings / sizeof settings[0];
static_assert(sizeof settings / sizeof settings[0] < SETTINGS_MAX, "SETTINGS_MAX is too small");

int settings_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < settings_count; i++) {
        if (strlen(settings[i].name) == bytes && memcmp(settings[i].name, name, bytes) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void settings_begin(struct options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < settings_count; i++) {
        const struct given given = {settings[i].initial, GIVEN_NOWHERE};
        char why[OPTIONS_WHY_BYTES];
        if (!settings_take(options, i, given, why)) {
            abort(); /* a row whose default its own reader refuses */
        }
    }
}

/* The command line's addresses replace the file's, and both the default. */
static void forget_listens(struct options *o, int line)
{
    bool alike = o->listens_count > 0 && line != GIVEN_NOWHERE &&
                 o->listens_given[0].line != GIVEN_NOWHERE &&
                 (o->listens_given[0].line < 0) == (line < 0);
    if (!alike) {
        o->listens_count = 0;
    }
}

/* A text, cut where it is long, with what would break a line left out. */
static void quote(const char *text, char *out, size_t bytes)
{
    size_t at = 0;
    for (; at < bytes - 1 && text[at] != '\0'; at++) {
        out[at] = text[at] >= ' ' && text[at] <= '~' ? text[at] : '?';
    }
    out[at] = '\0';
}

bool settings_take(struct options *options, size_t at, struct given given, char *why)
{
    const struct setting *setting = &settings[at];
    if (setting->repeats) {
        forget_listens(options, given.line);
    }
    if (!setting->read(options, given.text)) {
        char quoted[160];
        quote(given.text, quoted, sizeof quoted);
        snprintf(why, OPTIONS_WHY_BYTES, "'%s' is not %s", quoted, setting->wants);
        return false;
    }
    if (setting->repeats) {
        options->listens_given[options->listens_count++] = given;
    }
    options->given[at] = given;
    return true;
}

const char *settings_source(const struct options *options, size_t at, int line, char *out,
                            size_t bytes)
{
    if (line > 0) {
        snprintf(out, bytes, "%.300s:%d: %s", options->config, line, settings[at].name);
    } else {
        snprintf(out, bytes, "--%s", settings[at].name);
    }
    return out;
}
