/* The handler pool: threads of the program's own answer, for work that would hold a worker up.
 *
 * A worker keeps each message that is to be answered and queues the batch; a thread takes some,
 * writes the replies and hands them to the library, which sends them in the order of their
 * messages whatever thread was first. A message costs the copy that keeps it, a second one for the
 * reply, and its share of a lock on either side.
 */
#include <stdint.h>

#include "handler.h"
#include "serving.h"
#include "waiting.h"

/* What a thread takes at a time: the lock is shared by so many, and few wait for the last one. */
#define TAKEN_AT_ONCE 16

void pool_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    struct answered answered = serving_note(serving, conn, messages, count);
    struct kept_list list;
    kept_list_init(&list);
    for (size_t i = answered.first; i < count; i += answered.every) {
        uint32_t id = answered.id + (uint32_t)i;
        struct berth_kept *kept = serving_keep(serving, conn, &messages[i], id);
        if (kept == NULL) {
            break;
        }
        kept->user = (void *)(uintptr_t)id;
        kept_list_add(&list, kept);
    }
    waiting_put(&serving->waiting, &list);
}

void *pool_thread(void *context)
{
    struct serving *serving = context;
    struct berth_kept *kept;
    while ((kept = waiting_take(&serving->waiting, TAKEN_AT_ONCE)) != NULL) {
        while (kept != NULL) {
            struct berth_kept *next = kept->next;
            serving_write_reply(serving, (uint32_t)(uintptr_t)kept->user, &kept->message,
                                kept->reply);
            serving_answer(kept);
            kept = next;
        }
    }
    return NULL;
}
