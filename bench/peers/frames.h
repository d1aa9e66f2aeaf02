/* The frames of the seed's protocol, for the peers in C and C++. It knows nothing of sockets.
 *
 * Request: a 4-byte little-endian length L, L bytes. Reply: the length 4 + L, a 4-byte id that
 * counts over the whole server, the same L bytes.
 *
 *   frames_answer   all frames that some received bytes make whole become replies, in one block
 *   frames_fini     gives back what a connection's part holds
 *
 * A frame that lies whole in what was received is copied once, into the block of replies. Only
 * what is cut off by its end is kept in the connection's part, which grows with what arrives and
 * stays as large as it was ever needed: an idle connection that was never cut has none.
 */
#ifndef BENCH_PEERS_FRAMES_H
#define BENCH_PEERS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER = 4,
    REPLY_HEADER = 8,
    MESSAGE_MAX = 1 << 20,
    PART_MIN = 4096,
    FIRST_ID = 10001,
};

/* A frame that has not come whole. */
struct part {
    uint8_t *bytes;
    uint32_t count;
    uint32_t room;
};

static inline uint32_t load32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void store32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

/* No more than this can the replies to `count` bytes behind a part be: a frame of 4 bytes makes 8,
 * and the part's own frame grows by as many. */
static inline uint32_t frames_replies_max(uint32_t part_count, uint32_t count)
{
    return part_count + 2 * count + REPLY_HEADER;
}

static inline uint8_t *frames_reply(uint8_t *to, const uint8_t *message, uint32_t bytes,
                                    uint32_t id)
{
    store32(to, bytes + 4);
    store32(to + 4, id);
    memcpy(to + REPLY_HEADER, message, bytes);
    return to + REPLY_HEADER + bytes;
}

/* Keeps the first bytes of a frame until the others come. */
static inline void part_keep(struct part *part, const uint8_t *bytes, size_t count)
{
    uint32_t want = part->count + (uint32_t)count;
    if (want > part->room) {
        part->room = want < PART_MIN ? (uint32_t)PART_MIN : want * 2;
        part->bytes = (uint8_t *)realloc(part->bytes, part->room);
        if (!part->bytes) {
            abort();
        }
    }
    memcpy(part->bytes + part->count, bytes, count);
    part->count = want;
}

/* Adds to the part what it lacks of `want` bytes; whether it has them now. */
static inline bool part_fill(struct part *part, uint32_t want, const uint8_t **at,
                             const uint8_t *end)
{
    size_t lacks = want - part->count;
    size_t there = (size_t)(end - *at);
    size_t take = lacks < there ? lacks : there;
    part_keep(part, *at, take);
    *at += take;
    return take == lacks;
}

/* Answers every whole frame of what was received, into a block that has room for all. The end of
 * the replies, or NULL for a length that no frame can have. */
static inline uint8_t *frames_answer(struct part *part, const uint8_t *at, const uint8_t *end,
                                     uint8_t *to, uint32_t *next_id)
{
    uint32_t id = *next_id; /* in a register: a write through `to` could be one to it */
    if (part->count > 0) {
        if (part->count < HEADER && !part_fill(part, HEADER, &at, end)) {
            return to;
        }
        uint32_t bytes = load32(part->bytes);
        if (bytes > MESSAGE_MAX) {
            return NULL;
        }
        if (!part_fill(part, HEADER + bytes, &at, end)) {
            return to;
        }
        to = frames_reply(to, part->bytes + HEADER, bytes, id++);
        part->count = 0;
    }
    while (end - at >= HEADER) {
        uint32_t bytes = load32(at);
        if (bytes > MESSAGE_MAX) {
            return NULL;
        }
        if (end - at - HEADER < (ptrdiff_t)bytes) {
            break;
        }
        to = frames_reply(to, at + HEADER, bytes, id++);
        at += HEADER + bytes;
    }
    *next_id = id;
    if (at < end) {
        part_keep(part, at, (size_t)(end - at));
    }
    return to;
}

static inline void frames_fini(struct part *part)
{
    free(part->bytes);
}

#endif
