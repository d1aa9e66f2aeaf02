/* The handler echo: the worker answers within the callback.
 *
 * A message costs the copy of its bytes, a large one not that. With --reply every:N the answer to a
 * message also ends those before it, which get none.
 */
#include "handler.h"
#include "log.h"
#include "serving.h"

/* A large message is sent from where it was received. */
static int reply_large(struct serving *serving, struct berth_conn *conn,
                       const struct berth_message *message, uint32_t id)
{
    uint8_t head[TRANSMISSION_ID_BYTES];
    uint8_t *end = serving_write_id(serving, id, head);
    const struct berth_piece pieces[] = {{head, (size_t)(end - head)},
                                         {message->data, message->size}};
    return berth_reply_pieces(conn, message, pieces, 2);
}

static int reply(struct serving *serving, struct berth_conn *conn,
                 const struct berth_message *message, uint32_t id)
{
    if (message->size >= BERTH_IN_PLACE_BYTES) {
        return reply_large(serving, conn, message, id);
    }
    int err;
    size_t bytes = serving_reply_bytes(serving, message);
    uint8_t *room = berth_reply_space(conn, message, bytes, &err);
    if (room == NULL) {
        return err;
    }
    serving_write_reply(serving, id, message, room);
    return BERTH_OK;
}

void echo_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    struct answered answered = serving_note(serving, conn, messages, count);
    for (size_t i = answered.first; i < count; i += answered.every) {
        const struct berth_message *message = &messages[i];
        uint32_t id = answered.id + (uint32_t)i;
        int err = reply(serving, conn, message, id);
        if (err != BERTH_OK) {
            log_reply_failed(conn, err);
            berth_close(conn); /* a reply must not be left out in silence */
            return;
        }
        serving_replied(serving, conn, message, id);
    }
}
