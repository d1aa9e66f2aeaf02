/* What is behind every connection of berthd, whoever answers: ids, sessions, kept messages. */
#ifndef BERTHD_SERVING_H
#define BERTHD_SERVING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "book.h"
#include "options.h"
#include "received.h"
#include "session.h"
#include "waiting.h"

/* The transmission id in front of a reply's message; little-endian whatever the length's byte
 * order. */
#define TRANSMISSION_ID_BYTES 4

struct serving {
    _Atomic uint64_t messages; /* received so far, by all workers */
    uint32_t first_transmission_id;
    bool carries_id;
    uint32_t reply_every; /* 0: no message is answered */
    uint32_t delay_ms;
    struct received *received; /* NULL: nothing is kept */
    struct book *book;         /* the ledger; NULL: none. Lent */
    struct waiting waiting;    /* messages to be answered by other threads than the workers */
};

/* false if there is no memory for it: for what is to be kept, above all. */
bool serving_init(struct serving *serving, const struct options *options);
void serving_fini(struct serving *serving);

/* The framing and what all handlers have in common; on_messages is the handler's. Lends `serving`
 * to it. */
void serving_protocol(struct serving *serving, const struct berth_framing *framing,
                      struct berth_protocol *out);

/* Which messages of a batch are answered: first, first + every, ... below its count. */
struct answered {
    size_t first;
    size_t every;
    uint32_t id; /* of the batch's message 0; an unsigned 32-bit number, and wraps */
};

/* Notes a batch, at the start of every on_messages: gives out ids, counts, keeps. On the
 * connection's worker. */
struct answered serving_note(struct serving *serving, struct berth_conn *conn,
                             const struct berth_message *messages, size_t count);

/* Of messages that come next on a connection, the first that is to be answered: so many are not.
 * Every reply_every-th follows it. SIZE_MAX: none is. */
size_t serving_unanswered(const struct serving *serving, const struct session *session);

/* A transmission id for a message that no handler gets. */
uint32_t serving_take_id(struct serving *serving);

/* Bytes of the reply to a message, and the reply itself. */
size_t serving_reply_bytes(const struct serving *serving, const struct berth_message *message);
void serving_write_reply(const struct serving *serving, uint32_t id,
                         const struct berth_message *message, uint8_t *reply);

/* A reply to a message of transmission id `id` was queued: for the ledger. On the connection's
 * worker. */
static inline void serving_replied(const struct serving *serving, struct berth_conn *conn,
                                   const struct berth_message *message, uint32_t id)
{
    if (__builtin_expect(serving->book != NULL, false)) {
        book_reply(conn, serving_reply_bytes(serving, message), id, true);
    }
}

/* The transmission id in front of a reply, if there is one; returns where the reply goes on. */
uint8_t *serving_write_id(const struct serving *serving, uint32_t id, uint8_t *reply);

/* Answers a kept message with what stands in kept->reply. Takes kept. Any thread. */
void serving_answer(struct berth_kept *kept);

/* Keeps a message with transmission id `id`, with the room for its reply. NULL when there is no
 * memory for it; then the connection closes: a reply must not be left out in silence. Inside the
 * callback. */
struct berth_kept *serving_keep(const struct serving *serving, struct berth_conn *conn,
                                const struct berth_message *message, uint32_t id);

#endif
