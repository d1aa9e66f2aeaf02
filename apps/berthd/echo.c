/* The handler echo: the worker answers within the callback.
 *
 * A message costs the copy of its bytes. With --reply every:N the answer to a message also ends
 * those before it, which get none.
 */
#include <string.h>

#include "common/little.h"
#include "handler.h"
#include "log.h"
#include "serving.h"

void echo_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    struct answered answered = serving_note(serving, conn, messages, count);
    const bool accounted = serving->book != NULL;
    const size_t id_bytes = serving->carries_id ? TRANSMISSION_ID_BYTES : 0;
    for (size_t i = answered.first; i < count; i += answered.every) {
        const struct berth_message *message = &messages[i];
        uint32_t id = answered.id + (uint32_t)i;
        int err;
        uint8_t *reply = berth_reply_space(conn, message, id_bytes + message->size, &err);
        if (reply == NULL) {
            log_reply_failed(conn, err);
            berth_close(conn); /* a reply must not be left out in silence */
            return;
        }
        if (id_bytes > 0) {
            little_put32(reply, id);
        }
        memcpy(reply + id_bytes, message->data, message->size);
        if (accounted) {
            serving_replied(serving, conn, message, id);
        }
    }
}
