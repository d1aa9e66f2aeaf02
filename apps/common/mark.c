/* The mark of a message: which one it is, and a CRC of all of it (docs/PROTOCOL.md 10). Writing and
 * reading cost one CRC each. Pure; nothing is owned.
 *
 * The CRC stands in front of everything that it covers, so that it is one pass over bytes that lie
 * in a row; the four bytes before it are the same in every mark. */
#include "common/mark.h"

#include "common/crc32c.h"
#include "common/little.h"

#define MAGIC_MESSAGE UINT32_C(0x316d4c42) /* BLm1 */
#define MAGIC_REFUSAL UINT32_C(0x31724c42) /* BLr1: five bits apart */

/* A magic number that differs from ours in so many bits was damaged; one that differs in more is
 * somebody else's message. By chance one in eight million messages without a mark is taken for a
 * damaged one: 529 of 2^32 numbers are so near. */
#define MAGIC_NEAR_BITS 2

#define AT_CRC        4
#define AT_COVERED    8 /* by the CRC, to the message's end */
#define AT_RUN        8
#define AT_CLIENT     16
#define AT_CONNECTION 20
#define AT_SEQUENCE   24
#define AT_TIME       32
#define AT_LENGTH     40
#define AT_REFUSAL    44

void mark_write(const struct mark *mark, uint8_t *message)
{
    little_put32(message, mark->refusal == 0 ? MAGIC_MESSAGE : MAGIC_REFUSAL);
    little_put64(message + AT_RUN, mark->run);
    little_put32(message + AT_CLIENT, mark->client);
    little_put32(message + AT_CONNECTION, mark->connection);
    little_put64(message + AT_SEQUENCE, mark->sequence);
    little_put64(message + AT_TIME, mark->time_ns);
    little_put32(message + AT_LENGTH, mark->length);
    little_put32(message + AT_REFUSAL, mark->refusal);
    little_put32(message + AT_CRC, crc32c(message + AT_COVERED, mark->length - AT_COVERED));
}

static unsigned bits_of(uint32_t value)
{
    unsigned bits = 0;
    for (; value != 0; value &= value - 1) {
        bits++;
    }
    return bits;
}

static enum mark_verdict verdict_on_other(uint32_t magic)
{
    unsigned message = bits_of(magic ^ MAGIC_MESSAGE);
    unsigned refusal = bits_of(magic ^ MAGIC_REFUSAL);
    return message <= MAGIC_NEAR_BITS || refusal <= MAGIC_NEAR_BITS ? MARK_DAMAGED : MARK_NONE;
}

enum mark_verdict mark_read(const uint8_t *message, size_t size, struct mark *out)
{
    if (size < AT_CRC) {
        return MARK_NONE;
    }
    uint32_t magic = little_get32(message);
    if (magic != MAGIC_MESSAGE && magic != MAGIC_REFUSAL) {
        return verdict_on_other(magic);
    }
    if (size < MARK_BYTES ||
        crc32c(message + AT_COVERED, size - AT_COVERED) != little_get32(message + AT_CRC)) {
        return MARK_DAMAGED;
    }
    const struct mark mark = {
        .run = little_get64(message + AT_RUN),
        .sequence = little_get64(message + AT_SEQUENCE),
        .time_ns = little_get64(message + AT_TIME),
        .client = little_get32(message + AT_CLIENT),
        .connection = little_get32(message + AT_CONNECTION),
        .length = little_get32(message + AT_LENGTH),
        .refusal = little_get32(message + AT_REFUSAL),
    };
    if (mark.length != size || (mark.refusal != 0) != (magic == MAGIC_REFUSAL)) {
        return MARK_DAMAGED;
    }
    *out = mark;
    return MARK_RIGHT;
}

const char *mark_refusal_text(uint32_t refusal)
{
    switch (refusal) {
#define REFUSAL_TEXT(name, value, text)                                                            \
    case name:                                                                                     \
        return text;
        MARK_REFUSALS(REFUSAL_TEXT)
#undef REFUSAL_TEXT
    default:
        return "a reason that is not known here";
    }
}
