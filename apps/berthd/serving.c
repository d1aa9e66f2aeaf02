/* What all handlers share.
 *
 * A batch takes its numbers with one addition to the counter that all connections share, so that
 * every message has one, rising on a connection; a message's transmission id is its number from
 * the first id on. With nothing kept, a message costs nothing here.
 */
#include "serving.h"

#include <string.h>

#include "common/little.h"

#include "log.h"
#include "watch.h"

bool serving_init(struct serving *serving, const struct options *options)
{
    *serving = (struct serving){
        .first_transmission_id = options->first_transmission_id,
        .carries_id = options->carries_id,
        .reply_every = options->reply_every,
        .delay_ms = options->delay_ms,
    };
    session_begin(options->first_session_id);
    if (!waiting_init(&serving->waiting)) {
        return false;
    }
    if (options->keep_data > 0) {
        serving->received = received_create(options->keep_data, options->keep_data_bytes);
        if (serving->received == NULL) {
            waiting_fini(&serving->waiting);
            return false;
        }
    }
    return true;
}

void serving_fini(struct serving *serving)
{
    received_destroy(serving->received);
    waiting_fini(&serving->waiting);
}

static void opened(struct berth_conn *conn)
{
    const struct serving *serving = berth_conn_context(conn);
    struct session *session = session_of(conn);
    if (serving->received != NULL) {
        session_ask_addresses(conn, session); /* later the client may be gone */
    }
}

static void closed(struct berth_conn *conn, enum berth_reason reason)
{
    const struct serving *serving = berth_conn_context(conn);
    log_closed(conn, reason);
    if (serving->book != NULL) {
        book_closed(serving->book, conn, reason);
    }
}

void serving_protocol(struct serving *serving, const struct berth_framing *framing,
                      struct berth_protocol *out)
{
    *out = (struct berth_protocol){
        .framing = *framing,
        .context = serving,
        .on_open = opened,
        .on_close = closed,
    };
}

static void keep(struct serving *serving, const struct session *session, uint64_t number,
                 const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t id = serving->first_transmission_id + (uint32_t)(number + i);
        received_keep(serving->received, number + i, id, session, &messages[i]);
    }
}

size_t serving_unanswered(const struct serving *serving, const struct session *session)
{
    return serving->reply_every > 0
               ? serving->reply_every - 1 - session->messages % serving->reply_every
               : SIZE_MAX;
}

uint32_t serving_take_id(struct serving *serving)
{
    uint64_t number = atomic_fetch_add_explicit(&serving->messages, 1, memory_order_relaxed);
    return serving->first_transmission_id + (uint32_t)number;
}

struct answered serving_note(struct serving *serving, struct berth_conn *conn,
                             const struct berth_message *messages, size_t count)
{
    struct session *session = session_of(conn);
    uint64_t number = atomic_fetch_add_explicit(&serving->messages, count, memory_order_relaxed);
    if (serving->received != NULL) {
        keep(serving, session, number, messages, count);
    }
    if (watch_wants_data()) {
        watch_messages(conn, messages, count, serving->first_transmission_id + (uint32_t)number,
                       serving->carries_id);
    }
    struct answered answered = {
        .first = count,
        .every = serving->reply_every,
        .id = serving->first_transmission_id + (uint32_t)number,
    };
    if (serving->reply_every > 0) {
        answered.first = serving_unanswered(serving, session);
    }
    session->messages += count;
    for (size_t i = 0; i < count; i++) {
        session->bytes += messages[i].size;
    }
    return answered;
}

size_t serving_reply_bytes(const struct serving *serving, const struct berth_message *message)
{
    return message->size + (serving->carries_id ? (size_t)TRANSMISSION_ID_BYTES : 0);
}

uint8_t *serving_write_id(const struct serving *serving, uint32_t id, uint8_t *reply)
{
    if (!serving->carries_id) {
        return reply;
    }
    little_put32(reply, id);
    return reply + TRANSMISSION_ID_BYTES;
}

void serving_write_reply(const struct serving *serving, uint32_t id,
                         const struct berth_message *message, uint8_t *reply)
{
    reply = serving_write_id(serving, id, reply);
    if (message->size > 0) {
        memcpy(reply, message->data, message->size);
    }
}

void serving_answer(struct berth_kept *kept)
{
    int result = berth_kept_reply(kept, kept->reply, kept->reply_bytes);
    if (result == BERTH_E_TOO_LARGE || result == BERTH_E_FRAME) {
        log_line("a reply could not be framed: %s", berth_err_text(result));
        berth_kept_release(kept);
    }
}

struct berth_kept *serving_keep(const struct serving *serving, struct berth_conn *conn,
                                const struct berth_message *message, uint32_t id)
{
    int err;
    struct berth_kept *kept =
        berth_keep(conn, message, serving_reply_bytes(serving, message), &err);
    if (kept == NULL) {
        log_reply_failed(conn, err);
        berth_close(conn);
    } else if (serving->book != NULL) {
        book_reply(conn, kept->reply_bytes, id, false);
    }
    return kept;
}
