/* The echo handler: one reply per message, and a line about every connection that ended badly.
 *
 * A batch takes its transmission ids with one addition to the shared counter, so ids of one
 * connection rise and no two replies of the server share one (until it wraps). A message costs the
 * copy of its bytes.
 */
#include "echo.h"

#include <string.h>

#include "log.h"
#include "session.h"
#include "watch.h"

#define FIRST_ID 10001u

/* The id is little-endian whatever the length's byte order. */
static void store_id(uint8_t *at, uint32_t id)
{
    at[0] = (uint8_t)id;
    at[1] = (uint8_t)(id >> 8);
    at[2] = (uint8_t)(id >> 16);
    at[3] = (uint8_t)(id >> 24);
}

static void opened(struct berth_conn *conn)
{
    (void)session_of(conn);
}

/* A batch has come, whose transmission ids begin at first_id. */
static void received(struct berth_conn *conn, const struct berth_message *messages, size_t count,
                     uint32_t first_id, bool has_ids)
{
    session_of(conn)->messages += count;
    if (watch_wants_data()) {
        watch_messages(conn, messages, count, first_id, has_ids);
    }
}

static void reply_with_id(struct berth_conn *conn, const struct berth_message *messages,
                          size_t count)
{
    struct echo *echo = berth_conn_context(conn);
    uint32_t id =
        atomic_fetch_add_explicit(&echo->transmission_id, (uint32_t)count, memory_order_relaxed);
    received(conn, messages, count, id + 1, true);
    for (size_t i = 0; i < count; i++) {
        const struct berth_message *message = &messages[i];
        int err;
        uint8_t *reply = berth_reply_space(conn, message, sizeof id + message->size, &err);
        if (reply == NULL) {
            log_reply_failed(conn, err);
            berth_close(conn); /* a reply must not be left out in silence */
            return;
        }
        store_id(reply, ++id);
        memcpy(reply + sizeof id, message->data, message->size);
    }
}

static void reply_bare(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    received(conn, messages, count, 0, false);
    for (size_t i = 0; i < count; i++) {
        int err;
        uint8_t *reply = berth_reply_space(conn, &messages[i], messages[i].size, &err);
        if (reply == NULL) {
            log_reply_failed(conn, err);
            berth_close(conn);
            return;
        }
        memcpy(reply, messages[i].data, messages[i].size);
    }
}

void echo_protocol(struct echo *echo, const struct berth_framing *framing, bool carries_id,
                   struct berth_protocol *out)
{
    atomic_init(&echo->transmission_id, FIRST_ID - 1);
    *out = (struct berth_protocol){
        .framing = *framing,
        .context = echo,
        .on_messages = carries_id ? reply_with_id : reply_bare,
        .on_open = opened,
        .on_close = log_closed,
    };
}
