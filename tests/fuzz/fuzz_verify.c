/* Replies, as berthload judges them. The input: flags, two sizes, where the connection stands, then
 * replies, each of a byte that says what it is and, if it is not the right one, its bytes. Whether
 * a reply is right is worked out once more from the text that the message must have; a wrong one is
 * described in one line, and changes nothing.
 */
#include "fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berthload/verify.h"
#include "common/mark.h"

#define FLAG_ID     0x04
#define FLAG_SHARED 0x08
#define FLAG_HELD   0x10
#define SIZE_MOST   64u /* of a pattern */
#define REPLY_MOST  4096

#define HELD_CONNECTIONS 3
#define HELD_MESSAGES    120

/* What a reply's byte says. */
#define REPLY_IS_RIGHT 0x01 /* the right one, but for: */
#define REPLY_ID_OFF   0x02 /* its id is the one before */
#define REPLY_ONE_BIT  0x04 /* one bit of it */
#define REPLY_SHORTER  0x08 /* it ends a byte early */

static uint8_t reply[REPLY_MOST];

static struct message_plan make_plan(uint8_t flags, uint8_t least, uint8_t more)
{
    struct message_plan plan;
    enum message_kind kind = (enum message_kind)(flags & 3);
    if (kind == MESSAGE_MARKED) {
        uint32_t size_min = MARK_BYTES + least % SIZE_MOST;
        FUZZ_CHECK(message_plan_make_marked(&plan, size_min, size_min + more % SIZE_MOST, 7, 1));
        return plan;
    }
    if (kind == MESSAGE_PATTERN) {
        uint32_t size_min = least % SIZE_MOST;
        FUZZ_CHECK(message_plan_make(&plan, size_min, size_min + more % SIZE_MOST, '\n'));
        return plan;
    }
    message_plan_make_texts(&plan, kind, (flags & FLAG_SHARED) != 0);
    if ((flags & FLAG_HELD) != 0) {
        FUZZ_CHECK(message_plan_hold(&plan, HELD_CONNECTIONS, HELD_MESSAGES));
    }
    return plan;
}

/* The message that is expected, in this file's own words. Returns its size. */
static uint32_t expected(const struct message_plan *plan, const struct message_cursor *cursor,
                         uint8_t *out)
{
    char text[64];
    int bytes = plan->shared ? snprintf(text, sizeof text, "M%" PRIu64 "-C0000", cursor->index)
                             : snprintf(text, sizeof text, "M%" PRIu64 "-C%" PRIu32, cursor->index,
                                        cursor->connection);
    uint32_t size = message_size(plan, cursor);
    FUZZ_CHECK(size <= REPLY_MOST - REPLY_ID_BYTES);
    if (plan->kind == MESSAGE_PATTERN || plan->kind == MESSAGE_MARKED) {
        FUZZ_CHECK(size >= plan->size_min && size <= plan->size_max);
        message_write(plan, cursor, size, out);
    }
    if (plan->kind == MESSAGE_MARKED) {
        return size; /* fuzz_mark and fuzz_account know what is in it */
    }
    if (plan->kind == MESSAGE_PATTERN) {
        FUZZ_CHECK(memcmp(out, text, size < (uint32_t)bytes ? size : (uint32_t)bytes) == 0);
        return size;
    }
    uint32_t copies = plan->kind == MESSAGE_GROWING ? (uint32_t)cursor->index + 2 : 1;
    FUZZ_CHECK(size == copies * (uint32_t)bytes);
    for (uint32_t i = 0; i < copies; i++) {
        memcpy(out + i * (uint32_t)bytes, text, (size_t)bytes);
    }
    return size;
}

static void put_id(uint32_t id, uint8_t *out)
{
    for (unsigned i = 0; i < REPLY_ID_BYTES; i++) {
        out[i] = (uint8_t)(id >> 8 * i);
    }
}

/* A reply of the input's, in `reply`. Returns its size. */
static uint32_t next_reply(const struct verifier *verifier, struct fuzz_input *input)
{
    uint8_t how = fuzz_byte(input);
    uint32_t id_bytes = verifier->with_id ? REPLY_ID_BYTES : 0;
    if ((how & REPLY_IS_RIGHT) == 0) {
        uint32_t size = how >> 1;
        for (uint32_t i = 0; i < size; i++) {
            reply[i] = fuzz_byte(input);
        }
        return size;
    }
    uint32_t size = id_bytes + expected(verifier->plan, &verifier->expected, reply + id_bytes);
    uint32_t step = (how & REPLY_ID_OFF) != 0 ? 0 : 1 + (how >> 4);
    if (verifier->with_id) {
        put_id(verifier->last_id + step, reply);
    }
    if ((how & REPLY_ONE_BIT) != 0 && size > 0) {
        reply[fuzz_byte(input) % size] ^= (uint8_t)(1u << (how >> 5));
    }
    return (how & REPLY_SHORTER) != 0 && size > 0 ? size - 1 : size;
}

static enum reply_verdict judge(const struct verifier *verifier, const uint8_t *bytes,
                                uint32_t size)
{
    static uint8_t right[REPLY_MOST];
    uint32_t wanted = expected(verifier->plan, &verifier->expected, right);
    if (verifier->with_id) {
        if (size < REPLY_ID_BYTES) {
            return REPLY_SIZE;
        }
        uint32_t id = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                      (uint32_t)bytes[3] << 24;
        uint32_t ahead = id - verifier->last_id;
        if (verifier->any_id && (ahead == 0 || ahead > INT32_MAX)) {
            return REPLY_ID;
        }
        bytes += REPLY_ID_BYTES;
        size -= REPLY_ID_BYTES;
    }
    if (size != wanted) {
        return REPLY_SIZE;
    }
    return size == 0 || memcmp(bytes, right, size) == 0 ? REPLY_RIGHT : REPLY_BYTES;
}

static void check_wrong(const struct verifier *verifier, enum reply_verdict verdict,
                        const uint8_t *bytes, uint32_t size)
{
    char text[REPLY_TEXT_BYTES];
    memset(text, '~', sizeof text);
    FUZZ_CHECK(verifier_describe(verifier, verdict, bytes, size, text, sizeof text) == text);
    FUZZ_CHECK(memchr(text, '\0', sizeof text) != NULL && strlen(text) > 10);
    for (const char *at = text; *at != '\0'; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    uint8_t least = fuzz_byte(&input);
    struct message_plan plan = make_plan(flags, least, fuzz_byte(&input));
    struct verifier verifier = {.plan = &plan, .with_id = (flags & FLAG_ID) != 0};
    uint32_t connection = 1 + fuzz_byte(&input) % HELD_CONNECTIONS;
    uint64_t index = 1 + fuzz_byte(&input) % (HELD_MESSAGES / 2);
    message_cursor_at(&plan, &verifier.expected, connection, index);
    for (uint32_t n = 0; input.left > 0 && n < HELD_MESSAGES / 2; n++) {
        uint32_t bytes = next_reply(&verifier, &input);
        uint8_t *copy = malloc(bytes > 0 ? bytes : 1); /* an empty message has a place, too */
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, reply, bytes);
        enum reply_verdict verdict = judge(&verifier, copy, bytes);
        struct verifier before = verifier;
        FUZZ_CHECK(verifier_check(&verifier, copy, bytes) == verdict);
        if (verdict == REPLY_RIGHT) {
            FUZZ_CHECK(verifier.expected.index == before.expected.index + 1);
        } else {
            FUZZ_CHECK(memcmp(&verifier, &before, sizeof verifier) == 0);
            check_wrong(&verifier, verdict, copy, bytes);
        }
        free(copy);
    }
    message_plan_free(&plan);
    return 0;
}
