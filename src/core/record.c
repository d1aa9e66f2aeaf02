/* Events: into the flight recorder, and to whoever watches.
 *
 * An event is noted where it happens, by RECORD or WATCH (core.h). RECORD writes it to the worker's
 * flight recorder, always, so it stands where things happen once a batch or once a change of state.
 * WATCH is for the rest, receives and headers and single messages, and costs a branch on the
 * worker's copy of the mask while nobody watches. Both then tell the watcher.
 *
 * A worker looks at the mask once a turn. O(1) each; watch_batch is O(messages), and is called only
 * when somebody watches.
 */
#include "core/record.h"

#include "core/core.h"

size_t recorder_copy(const struct recorder *recorder, struct berth_record *out, size_t max)
{
    uint64_t end = atomic_load_explicit(&recorder->count, memory_order_acquire);
    uint64_t most = max < recorder->size ? max : recorder->size;
    uint64_t first = end > most ? end - most : 0;
    for (uint64_t n = first; n < end; n++) {
        const _Atomic uint64_t *at = recorder->words + (n & (recorder->size - 1)) * RECORD_WORDS;
        uint64_t what = atomic_load_explicit(&at[2], memory_order_acquire);
        out[n - first] = (struct berth_record){
            .time_ns = atomic_load_explicit(&at[0], memory_order_acquire),
            .conn = atomic_load_explicit(&at[1], memory_order_acquire),
            .event = (uint16_t)(what >> 48),
            .worker = (uint16_t)(what >> 32),
            .count = (uint32_t)what,
            .value = atomic_load_explicit(&at[3], memory_order_acquire),
        };
    }
    uint64_t now = atomic_load_explicit(&recorder->count, memory_order_acquire);
    uint64_t whole = now >= recorder->size ? now - recorder->size + 1 : 0; /* the first that is */
    uint64_t lost = whole > first ? whole - first : 0;
    if (lost >= end - first) {
        return 0;
    }
    size_t left = (size_t)(end - first - lost);
    for (size_t i = 0; lost > 0 && i < left; i++) {
        out[i] = out[i + lost];
    }
    return left;
}

static void tell(struct worker *worker, struct berth_conn *conn, const struct berth_record *record)
{
    const struct berth_config *config = &worker->server->config;
    config->on_event(config->event_context, conn, record);
}

static struct berth_record record_of(const struct worker *worker, const struct berth_conn *conn,
                                     const struct event *event)
{
    return (struct berth_record){
        .time_ns = worker->now_ns,
        .conn = conn == NULL ? 0 : berth_conn_handle(conn),
        .event = event->number,
        .worker = (uint16_t)worker->index,
        .count = event->count,
        .value = event->value,
    };
}

void event_record(struct worker *worker, struct berth_conn *conn, struct event event)
{
    struct berth_record record = record_of(worker, conn, &event);
    recorder_put(&worker->recorder, &record);
    if ((worker->watched & event.watch) != 0) {
        tell(worker, conn, &record);
    }
}

void event_watch(struct worker *worker, struct berth_conn *conn, struct event event)
{
    struct berth_record record = record_of(worker, conn, &event);
    tell(worker, conn, &record);
}

/* --------------------------------------------------------------------------- messages, one by one
 */

/* The bytes of the header at the front of `bytes`; 0 if it is not whole, or there is none. */
static uint32_t header_bytes_of(const struct berth_framing *framing, const uint8_t *bytes,
                                size_t count)
{
    if (framing->kind == BERTH_FRAMING_LENGTH) {
        uint32_t header = (uint32_t)framing->length_offset + framing->length_bytes;
        return count < header ? 0 : header;
    }
    if (framing->kind == BERTH_FRAMING_VARINT) {
        for (uint32_t i = 0; i < count; i++) {
            if (bytes[i] < 0x80) {
                return i + 1;
            }
        }
    }
    return 0;
}

/* Who watches one of these watches all, so that the callers' one look at the mask is enough. */
#define PARTS_WATCH (int)WATCH_OF_BERTH_EVENT_MESSAGE
_Static_assert((int)WATCH_OF_BERTH_EVENT_HEADER == PARTS_WATCH, "as of messages");
_Static_assert((int)WATCH_OF_BERTH_EVENT_HEADER_PARTIAL == PARTS_WATCH, "as of messages");
_Static_assert((int)WATCH_OF_BERTH_EVENT_MESSAGE_PARTIAL == PARTS_WATCH, "as of messages");

void watch_batch(struct berth_conn *conn, uint32_t count)
{
    struct worker *worker = conn->worker;
    for (uint32_t i = 0; i < count; i++) {
        const struct berth_message *message = &worker->batch[i];
        if (message->header_bytes > 0 && (conn->flags & CF_HEADER_TOLD) == 0) {
            event_watch(worker, conn, EVENT(HEADER, message->header_bytes, message->size));
        }
        event_watch(worker, conn, EVENT(MESSAGE, 0, message->size));
        conn->flags &= ~CF_HEADER_TOLD;
    }
}

void watch_partial(struct berth_conn *conn, const uint8_t *bytes, size_t count, uint32_t need)
{
    struct worker *worker = conn->worker;
    const struct berth_framing *framing = &conn->speaker->protocol.framing;
    bool headed = framing->kind == BERTH_FRAMING_LENGTH || framing->kind == BERTH_FRAMING_VARINT;
    uint32_t header = header_bytes_of(framing, bytes, count);
    if (headed && header == 0) {
        event_watch(worker, conn, EVENT(HEADER_PARTIAL, 0, count));
        return;
    }
    if (headed && (conn->flags & CF_HEADER_TOLD) == 0) {
        event_watch(worker, conn, EVENT(HEADER, header, need - header));
        conn->flags |= CF_HEADER_TOLD;
    }
    if (count > header) {
        bool known = headed || framing->kind == BERTH_FRAMING_FIXED;
        uint32_t whole = known ? need - header : 0;
        event_watch(worker, conn, EVENT(MESSAGE_PARTIAL, whole, count - header));
    }
}

/* ----------------------------------------------------------------------------- the program's side
 */

void berth_server_watch(struct berth_server *server, uint32_t mask)
{
    uint32_t wanted = server->config.on_event == NULL ? 0 : mask & BERTH_WATCH_ALL;
    atomic_store_explicit(&server->watch, wanted, memory_order_relaxed);
}

size_t berth_server_recorder(const struct berth_server *server, uint32_t worker,
                             struct berth_record *out, size_t max)
{
    BERTH_ASSERT(worker < server->config.workers);
    return recorder_copy(&server->workers[worker].recorder, out, max);
}

const char *berth_event_name(uint32_t event)
{
    switch (event) {
#define EVENT_NAME(constant, number, name, watch, text)                                            \
    case number:                                                                                   \
        return name;
        BERTH_EVENTS(EVENT_NAME)
#undef EVENT_NAME
    default:
        return NULL;
    }
}

const char *berth_event_text(uint32_t event)
{
    switch (event) {
#define EVENT_TEXT(constant, number, name, watch, text)                                            \
    case number:                                                                                   \
        return text;
        BERTH_EVENTS(EVENT_TEXT)
#undef EVENT_TEXT
    default:
        return NULL;
    }
}

const char *berth_pause_name(uint64_t pause)
{
    switch (pause) {
#define PAUSE_NAME(constant, number, name, text)                                                   \
    case number:                                                                                   \
        return name;
        BERTH_PAUSES(PAUSE_NAME)
#undef PAUSE_NAME
    default:
        return NULL;
    }
}
