/* The verification of replies, always on: each must have the length, the place and every byte of
 * the message it answers, and the transmission ids of a connection must rise. Operations: check a
 * reply, describe a wrong one. A verifier belongs to its connection and borrows the plan; checking
 * costs a memcmp or two, describing may allocate, as it happens once per broken connection. */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/little.h"

/* How many differing bytes a description shows: enough to recognise, short enough to read. */
#define SHOWN_BYTES 8u

static void count_id(struct verifier *verifier, uint32_t id)
{
    if (verifier->ids == 0) {
        verifier->first_id = id;
    }
    verifier->right_id = id;
    verifier->ids++;
    verifier->ids_sum += id;
}

enum reply_verdict verifier_check(struct verifier *verifier, const uint8_t *reply, uint32_t size)
{
    uint32_t id = 0;
    uint32_t message = message_size(verifier->plan, &verifier->expected);
    if (verifier->with_id) {
        if (size < REPLY_ID_BYTES) {
            return REPLY_SIZE;
        }
        id = little_get32(reply);
        /* As serial numbers: 32 bits that run over are still rising. */
        if (verifier->any_id && (int32_t)(id - verifier->last_id) <= 0) {
            return REPLY_ID;
        }
        reply += REPLY_ID_BYTES;
        size -= REPLY_ID_BYTES;
    }
    if (size != message) {
        return REPLY_SIZE;
    }
    if (!message_is(verifier->plan, &verifier->expected, message, reply)) {
        return REPLY_BYTES;
    }
    verifier->last_id = id;
    verifier->any_id = true;
    count_id(verifier, id);
    message_cursor_next(&verifier->expected);
    return REPLY_RIGHT;
}

void verifier_take_id(struct verifier *verifier, const uint8_t *reply)
{
    if (verifier->with_id) {
        verifier->last_id = little_get32(reply);
        verifier->any_id = true;
    }
}

void verifier_count_id(struct verifier *verifier, const uint8_t *reply)
{
    if (verifier->with_id) {
        count_id(verifier, little_get32(reply));
    }
}

/* Writes `count` bytes as hexadecimal, with blanks between; `out` has room for 3 of each. */
static void write_hex(const uint8_t *bytes, uint32_t count, char *out)
{
    static const char figures[] = "0123456789abcdef";
    for (uint32_t i = 0; i < count; i++) {
        out[3 * i] = figures[bytes[i] >> 4];
        out[3 * i + 1] = figures[bytes[i] & 15];
        out[3 * i + 2] = i + 1 < count ? ' ' : '\0';
    }
}

static void describe_bytes(const struct verifier *verifier, const uint8_t *reply, uint32_t size,
                           char *out, size_t bytes)
{
    uint8_t *expected = malloc(size > 0 ? size : 1);
    char want[3 * SHOWN_BYTES + 1] = "";
    char got[3 * SHOWN_BYTES + 1] = "";
    uint32_t at = 0;
    if (expected == NULL) {
        snprintf(out, bytes, "bytes differ (there is no memory to say which)");
        return;
    }
    message_write(verifier->plan, &verifier->expected, size, expected);
    while (at < size && expected[at] == reply[at]) {
        at++;
    }
    uint32_t shown = size - at < SHOWN_BYTES ? size - at : SHOWN_BYTES;
    write_hex(expected + at, shown, want);
    write_hex(reply + at, shown, got);
    snprintf(out, bytes, "from byte %" PRIu32 " of %" PRIu32 " on, expected %s, got %s", at + 1,
             size, want, got);
    free(expected);
}

const char *verifier_describe(const struct verifier *verifier, enum reply_verdict verdict,
                              const uint8_t *reply, uint32_t size, char *out, size_t bytes)
{
    uint32_t id_bytes = verifier->with_id ? REPLY_ID_BYTES : 0;
    switch (verdict) {
    case REPLY_SIZE:
        snprintf(out, bytes, "expected %" PRIu32 " bytes%s, got %" PRIu32,
                 message_size(verifier->plan, &verifier->expected) + id_bytes,
                 verifier->with_id ? " with the id" : "", size);
        break;
    case REPLY_ID:
        snprintf(out, bytes, "expected an id after %" PRIu32 ", got %" PRIu32, verifier->last_id,
                 little_get32(reply));
        break;
    case REPLY_BYTES:
        describe_bytes(verifier, reply + id_bytes, size - id_bytes, out, bytes);
        break;
    case REPLY_UNASKED:
        snprintf(out, bytes, "expected no reply more, got one of %" PRIu32 " bytes", size);
        break;
    case REPLY_RIGHT:
        snprintf(out, bytes, "nothing is wrong");
        break;
    }
    return out;
}
