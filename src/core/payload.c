/* Payloads: written once, and posted to every worker that has receivers.
 *
 * A sender asks how many receivers each worker has of each framing, frames its message once for
 * every framing among them into one block of the server's posts, and hands each of those workers
 * its share as a letter. From then on the block belongs to the workers together; the one that drops
 * its share last gives it back. Receivers that come while a payload is on its way are not its
 * receivers, so counts that are a moment old are right.
 *
 * A send costs O(workers + framings + bytes x framings in use), one lock for the block, and a wake
 * of each of those workers that sleeps. Any thread.
 */
#include <string.h>

#include "base/assert.h"
#include "core/group.h"

#define WORD_BITS 64

/* Where a payload goes, and how it is to be written. */
struct draft {
    const void *data;
    uint32_t size;
    size_t bytes; /* of all encodings */
    uint32_t encodings_count;
    struct encoding encodings[BERTH_GROUP_FRAMINGS_MAX];
    uint32_t workers_count;                                      /* with receivers */
    uint64_t workers[(WORKERS_MAX + WORD_BITS - 1) / WORD_BITS]; /* which, as bits */
};

/* ------------------------------------------------------------------------------ a server's
 * framings
 */

static bool same_framing(const struct berth_framing *a, const struct berth_framing *b)
{
    return a->kind == b->kind &&
           (a->kind != BERTH_FRAMING_FIXED || a->message_bytes_max == b->message_bytes_max) &&
           a->refuse_empty == b->refuse_empty && a->length_bytes == b->length_bytes &&
           a->length_offset == b->length_offset && a->length_big_endian == b->length_big_endian &&
           a->length_counts_itself == b->length_counts_itself &&
           a->length_adjust == b->length_adjust && a->delimiter_bytes == b->delimiter_bytes &&
           memcmp(a->delimiter, b->delimiter, a->delimiter_bytes) == 0 &&
           a->custom_header == b->custom_header && a->custom_context == b->custom_context;
}

/* The number of a framing, given out the first time. Keeps the pointer then. server->lock is held.
 */
uint8_t framing_number(struct berth_server *server, const struct berth_framing *framing)
{
    uint32_t count = atomic_load_explicit(&server->framings_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        if (same_framing(server->framings[i], framing)) {
            return (uint8_t)i;
        }
    }
    if (count == BERTH_GROUP_FRAMINGS_MAX) {
        return FRAMING_NONE;
    }
    server->framings[count] = framing;
    atomic_store_explicit(&server->framings_count, count + 1, memory_order_release);
    return (uint8_t)count;
}

/* --------------------------------------------------------------------------------------- drafting
 */

static bool speaks(const _Atomic uint32_t *speaking, uint32_t framing)
{
    return atomic_load_explicit(&speaking[framing], memory_order_relaxed) > 0;
}

/* Which workers have receivers, and which framings those have, as bits. */
static uint32_t draft_receivers(struct draft *draft, const struct berth_server *server,
                                const struct berth_group *group, uint32_t framings)
{
    uint32_t in_use = 0;
    for (uint32_t i = 0; i < server->config.workers; i++) {
        const _Atomic uint32_t *speaking =
            group == NULL ? server->workers[i].speaking : group->parts[i].speaking;
        uint32_t here = 0;
        for (uint32_t f = 0; f < framings; f++) {
            here |= speaks(speaking, f) ? UINT32_C(1) << f : 0;
        }
        /* Who speaks another gets nothing, and is counted there. */
        bool others = group == NULL && speaks(speaking, FRAMING_NONE);
        if (here != 0 || others) {
            draft->workers[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
            draft->workers_count++;
            in_use |= here;
        }
    }
    return in_use;
}

static uint32_t trailer_bytes(const struct berth_framing *framing)
{
    return framing->kind == BERTH_FRAMING_DELIMITER ? framing->delimiter_bytes : 0;
}

/* The bytes of the message's frame, or why it has none. */
static int64_t frame_bytes(const struct berth_server *server, const struct berth_framing *framing,
                           const struct draft *draft)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int result = berth_frame_message_check(framing, draft->data, draft->size);
    if (result == BERTH_OK) {
        result = berth_frame_header(framing, draft->size, header);
    }
    if (result < 0) {
        return result;
    }
    int64_t bytes = result + (int64_t)draft->size + trailer_bytes(framing);
    if (bytes > server->config.send_max_bytes) {
        return BERTH_E_TOO_LARGE;
    }
    return bytes == 0 ? BERTH_E_FRAME : bytes; /* nothing would be on the wire */
}

/* Decides what is to be written. An error if no framing of the server can carry the message. */
static int draft_encodings(struct draft *draft, const struct berth_server *server, uint32_t in_use,
                           uint32_t framings)
{
    int64_t result = BERTH_OK;
    bool fits = false;
    for (uint32_t f = 0; f < framings; f++) {
        int64_t bytes = frame_bytes(server, server->framings[f], draft);
        bool used = (in_use & UINT32_C(1) << f) != 0;
        if (bytes < 0) {
            result = result == BERTH_OK ? bytes : result;
            draft->encodings[f].unfit = used;
            continue;
        }
        fits = true;
        if (used) {
            draft->encodings[f] =
                (struct encoding){.at = (uint32_t)draft->bytes, .size = (uint32_t)bytes};
            draft->encodings_count++;
            draft->bytes += (size_t)bytes;
        }
    }
    return fits ? BERTH_OK : (int)result;
}

/* ---------------------------------------------------------------------------------------- writing
 */

static void write_frame(const struct berth_framing *framing, const struct draft *draft, uint8_t *at)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int header_bytes = berth_frame_header(framing, draft->size, header);
    BERTH_ASSERT(header_bytes >= 0);
    memcpy(at, header, (size_t)header_bytes);
    at += header_bytes;
    if (draft->size > 0) {
        memcpy(at, draft->data, draft->size);
    }
    memcpy(at + draft->size, framing->delimiter, trailer_bytes(framing));
}

static void write_encodings(struct payload *payload, const struct draft *draft, size_t from)
{
    for (uint32_t f = 0; f < BERTH_GROUP_FRAMINGS_MAX; f++) {
        struct encoding *encoding = &payload->encodings[f];
        *encoding = draft->encodings[f];
        if (encoding->size > 0) {
            encoding->at += (uint32_t)from;
            write_frame(payload->server->framings[f], draft, (uint8_t *)payload + encoding->at);
        }
    }
}

static void write_shares(struct payload *payload, const struct draft *draft)
{
    struct share *share = payload->shares;
    struct berth_server *server = payload->server;
    for (uint32_t i = 0; i < server->config.workers; i++) {
        if ((draft->workers[i / WORD_BITS] & UINT64_C(1) << i % WORD_BITS) != 0) {
            *share++ = (struct share){
                .mail.kind = MAIL_SHARE, .payload = payload, .worker = &server->workers[i]};
        }
    }
    atomic_init(&payload->workers, draft->workers_count);
}

/* Whether the posts could ever hold so much in one piece. */
static bool post_could(const struct berth_server *server, size_t bytes)
{
    size_t piece = POOL_PIECE;
    while (piece < bytes) {
        piece *= 2;
    }
    return piece <= server->post.bytes;
}

/* Hands the shares out; the last one may end the payload. */
static void post_shares(struct payload *payload, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct share *share = &payload->shares[i];
        if (!worker_post(share->worker, &share->mail)) {
            share_over(share); /* it has ended, and nobody is there any more */
        }
    }
}

static int payload_send(struct berth_server *server, struct berth_group *group,
                        enum berth_slow slow, struct draft *draft)
{
    uint32_t framings = atomic_load_explicit(&server->framings_count, memory_order_acquire);
    uint32_t in_use = draft_receivers(draft, server, group, framings);
    int result = draft_encodings(draft, server, in_use, framings);
    if (result != BERTH_OK || draft->workers_count == 0) {
        return result;
    }
    size_t head = sizeof(struct payload) + draft->workers_count * sizeof(struct share);
    if (!post_could(server, head + draft->bytes)) {
        return BERTH_E_TOO_LARGE;
    }
    struct payload *payload = post_take(&server->post, head + draft->bytes);
    if (payload == NULL) {
        return BERTH_E_WOULD_EXCEED;
    }
    payload->server = server;
    payload->group = group;
    payload->slow = slow;
    payload->encodings_count = draft->encodings_count;
    payload->number = 0;
    if (group != NULL) {
        payload->number = atomic_fetch_add_explicit(&group->sent, 1, memory_order_relaxed);
    }
    write_encodings(payload, draft, head);
    write_shares(payload, draft);
    post_shares(payload, draft->workers_count);
    return BERTH_OK;
}

int berth_group_send(struct berth_group *group, const void *data, size_t size)
{
    BERTH_ASSERT(data != NULL || size == 0);
    if (size > BERTH_MESSAGE_BYTES_LIMIT) {
        return BERTH_E_TOO_LARGE;
    }
    struct draft draft = {.data = data, .size = (uint32_t)size};
    return payload_send(group->server, group, group->slow, &draft);
}

int berth_broadcast(struct berth_server *server, const void *data, size_t size,
                    enum berth_slow slow)
{
    BERTH_ASSERT(data != NULL || size == 0);
    if (slow != BERTH_SLOW_PAUSE && slow != BERTH_SLOW_LATEST && slow != BERTH_SLOW_CLOSE) {
        return BERTH_E_INVALID;
    }
    if (size > BERTH_MESSAGE_BYTES_LIMIT) {
        return BERTH_E_TOO_LARGE;
    }
    struct draft draft = {.data = data, .size = (uint32_t)size};
    return payload_send(server, NULL, slow, &draft);
}

/* ------------------------------------------------------------------------------------- the shares
 */

void share_over(struct share *share)
{
    struct payload *payload = share->payload;
    if (atomic_fetch_sub_explicit(&payload->workers, 1, memory_order_acq_rel) == 1) {
        post_give(&payload->server->post, payload);
    }
}

void share_drop(struct share *share)
{
    BERTH_ASSERT(share->references > 0);
    if (--share->references == 0) {
        share_over(share);
    }
}
