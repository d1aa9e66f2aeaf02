/* The handler echo: the worker answers within the callback.
 *
 * A message costs the copy of its bytes. With --reply every:N the answer to a message also ends
 * those before it, which get none.
 */
#include "handler.h"
#include "log.h"
#include "serving.h"

void echo_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    struct answered answered = serving_note(serving, conn, messages, count);
    for (size_t i = answered.first; i < count; i += answered.every) {
        const struct berth_message *message = &messages[i];
        int err;
        uint8_t *reply =
            berth_reply_space(conn, message, serving_reply_bytes(serving, message), &err);
        if (reply == NULL) {
            log_reply_failed(conn, err);
            berth_close(conn); /* a reply must not be left out in silence */
            return;
        }
        serving_write_reply(serving, answered.id + (uint32_t)i, message, reply);
        serving_replied(serving, conn, message, answered.id + (uint32_t)i);
    }
}
