/* The handler delay: each message is answered a fixed time after it came, and no worker waits.
 *
 * The worker keeps the message, writes its reply and notes when it is due; one thread sleeps until
 * the first is. As all wait equally long, they are due in the order in which they were queued. (The
 * seed let the thread that received sleep, and everyone behind it.)
 */
#include <assert.h>
#include <stdint.h>

#include "handler.h"
#include "serving.h"
#include "waiting.h"

#define NS_PER_MS UINT64_C(1000000)

static_assert(sizeof(uintptr_t) >= sizeof(uint64_t), "a time is kept in a pointer");

static uint64_t due(const struct berth_kept *kept)
{
    return (uint64_t)(uintptr_t)kept->user;
}

void delay_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    struct answered answered = serving_note(serving, conn, messages, count);
    uint64_t at = berth_conn_now_ns(conn) + serving->delay_ms * NS_PER_MS;
    struct kept_list list;
    kept_list_init(&list);
    for (size_t i = answered.first; i < count; i += answered.every) {
        uint32_t id = answered.id + (uint32_t)i;
        struct berth_kept *kept = serving_keep(serving, conn, &messages[i], id);
        if (kept == NULL) {
            break;
        }
        serving_write_reply(serving, id, &messages[i], kept->reply);
        kept->user = (void *)(uintptr_t)at;
        kept_list_add(&list, kept);
    }
    waiting_put(&serving->waiting, &list);
}

void *delay_thread(void *context)
{
    struct serving *serving = context;
    struct berth_kept *kept;
    while ((kept = waiting_take_due(&serving->waiting, due)) != NULL) {
        serving_answer(kept);
    }
    return NULL;
}
