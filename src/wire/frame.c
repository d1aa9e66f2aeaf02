/* Cutting a run of bytes into messages.
 *
 * berth_frame_decode says what stands at the front of some bytes; berth_frame_cut takes as many
 * whole frames off the front as there are. Both borrow the bytes, write only what the caller lent
 * them, and keep nothing between calls but the caller's *scanned.
 *
 * berth_frame_cut is on the data path. It looks at the kind once and then stays in a loop made for
 * it; the loop only takes what is whole and allowed, and leaves to berth_frame_decode to say, once
 * a call, what stops it. A message costs about a nanosecond for length, varint and fixed, one
 * memchr for a delimiter, one call for custom.
 */
#include <berth/frame.h>

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/wire.h"

/* The longest frame of a custom framing is its largest message between a header and a trailer
 * of at most BERTH_HEADER_BYTES_MAX each. */
#define CUSTOM_EXTRA_BYTES (2u * BERTH_HEADER_BYTES_MAX)

/* How many messages in a row must have the size of the one before, until the loop for runs is
 * tried: leaving it costs a mispredicted branch, which mixed sizes should not pay. */
#define RUN_ENTRY 3

/* Where the loops of berth_frame_cut put what they find. */
struct cutter {
    const uint8_t *bytes;
    size_t count;
    struct berth_message *messages;
    size_t max;
    size_t cut;      /* messages written so far */
    size_t consumed; /* bytes that they cover */
};

/* ---- verdicts ---- */

static enum berth_frame_verdict say_need(struct berth_frame *frame, uint32_t need_bytes)
{
    *frame = (struct berth_frame){.need_bytes = need_bytes};
    return BERTH_FRAME_NEED;
}

/* The frame's size is known and allowed; whether all of it is there is not known yet. */
static enum berth_frame_verdict say_size(struct berth_frame *frame, uint32_t header_bytes,
                                         uint32_t message_bytes, uint32_t trailer_bytes,
                                         size_t count)
{
    uint32_t total = header_bytes + message_bytes + trailer_bytes;
    if (count < total) {
        return say_need(frame, total);
    }
    *frame = (struct berth_frame){
        .header_bytes = header_bytes,
        .message_bytes = message_bytes,
        .trailer_bytes = trailer_bytes,
        .need_bytes = total,
    };
    return BERTH_FRAME_READY;
}

static enum berth_frame_verdict say_bad(struct berth_frame *frame, enum berth_refusal refusal,
                                        const uint8_t *field, size_t field_bytes)
{
    *frame = (struct berth_frame){.refusal = refusal};
    frame->field_bytes =
        (uint32_t)(field_bytes < sizeof frame->field ? field_bytes : sizeof frame->field);
    memcpy(frame->field, field, frame->field_bytes);
    return BERTH_FRAME_BAD;
}

/* ---- length ---- */

WIRE_INLINE uint64_t load_field(const uint8_t *at, unsigned width, bool big_endian)
{
    switch (width) {
    case 1:
        return *at;
    case 2:
        return load16(at, big_endian);
    case 4:
        return load32(at, big_endian);
    case 8:
        return load64(at, big_endian);
    default:
        BERTH_UNREACHABLE();
    }
}

static enum berth_frame_verdict decode_length(const struct berth_framing *framing,
                                              const uint8_t *bytes, size_t count,
                                              struct berth_frame *frame)
{
    uint32_t width = framing->length_bytes;
    uint32_t header_bytes = framing->length_offset + width;
    if (count < header_bytes) {
        return say_need(frame, header_bytes);
    }
    const uint8_t *at = bytes + framing->length_offset;
    uint64_t field = load_field(at, width, framing->length_big_endian);
    struct wire_length rule = wire_length_rule(framing);
    if (field - rule.low <= rule.span) {
        return say_size(frame, header_bytes, (uint32_t)(field + rule.add), 0, count);
    }
    if (field > rule.low) {
        say_bad(frame, BERTH_REFUSED_ABOVE_MAX, at, width);
        frame->limit = rule.low + rule.span;
    } else {
        bool empty = field + rule.add == 0;
        say_bad(frame, empty ? BERTH_REFUSED_EMPTY : BERTH_REFUSED_NEGATIVE, at, width);
        frame->limit = rule.low;
    }
    frame->header_bytes = header_bytes;
    frame->value = field;
    return BERTH_FRAME_BAD;
}

/* Messages of the size of the one before, as many as follow each other. Here the next message's
 * place does not come out of the field just read, only out of a register: the processor predicts
 * that the comparison holds and reads many fields at once, where the general loop waits for each
 * before it knows where the next one is (2.3 ns a message down to less than 1). */
WIRE_INLINE void cut_length_run(struct cutter *cutter, uint32_t offset, unsigned width,
                                bool big_endian, uint64_t field)
{
    const struct berth_message *last = &cutter->messages[cutter->cut - 1];
    const uint32_t size = last->size;
    const uint32_t header_bytes = last->header_bytes;
    const size_t total = (size_t)header_bytes + size;
    const uint8_t *at = cutter->bytes + cutter->consumed;
    size_t left = cutter->count - cutter->consumed;
    struct berth_message *message = cutter->messages + cutter->cut;
    const struct berth_message *end = cutter->messages + cutter->max;
    while (message != end && left >= total && load_field(at + offset, width, big_endian) == field) {
        *message++ = (struct berth_message){at + header_bytes, size, header_bytes};
        at += total;
        left -= total;
    }
    cutter->cut = (size_t)(message - cutter->messages);
    cutter->consumed = cutter->count - left;
}

WIRE_INLINE void cut_length_as(struct cutter *cutter, const struct berth_framing *framing,
                               unsigned width, bool big_endian)
{
    const struct wire_length rule = wire_length_rule(framing);
    const uint32_t offset = framing->length_offset;
    const uint32_t header_bytes = offset + width;
    uint64_t before = 0;
    unsigned alike = 0;
    while (cutter->cut < cutter->max && cutter->count - cutter->consumed >= header_bytes) {
        const uint8_t *at = cutter->bytes + cutter->consumed;
        uint64_t field = load_field(at + offset, width, big_endian);
        if (BERTH_UNLIKELY(field - rule.low > rule.span)) {
            break;
        }
        uint32_t size = (uint32_t)(field + rule.add);
        if (cutter->count - cutter->consumed - header_bytes < size) {
            break;
        }
        cutter->messages[cutter->cut++] =
            (struct berth_message){at + header_bytes, size, header_bytes};
        cutter->consumed += (size_t)header_bytes + size;
        alike = field == before ? alike + 1 : 0;
        before = field;
        if (alike >= RUN_ENTRY) {
            cut_length_run(cutter, offset, width, big_endian, field);
            alike = 0;
        }
    }
}

static void cut_length(struct cutter *cutter, const struct berth_framing *framing)
{
    bool big = framing->length_big_endian;
    switch (framing->length_bytes) {
    case 1:
        cut_length_as(cutter, framing, 1, false);
        return;
    case 2:
        big ? cut_length_as(cutter, framing, 2, true) : cut_length_as(cutter, framing, 2, false);
        return;
    case 4:
        big ? cut_length_as(cutter, framing, 4, true) : cut_length_as(cutter, framing, 4, false);
        return;
    case 8:
        big ? cut_length_as(cutter, framing, 8, true) : cut_length_as(cutter, framing, 8, false);
        return;
    default:
        BERTH_UNREACHABLE();
    }
}

/* ---- varint ---- */

/* Reads a varint. Returns its bytes, 0 if it does not end within `count`, or -1 if it is not one:
 * too long, or padded with a last byte that adds nothing. */
static int load_varint(const uint8_t *bytes, size_t count, uint64_t *value)
{
    uint64_t sum = 0;
    int most = count < WIRE_VARINT_BYTES_MAX ? (int)count : WIRE_VARINT_BYTES_MAX;
    for (int i = 0; i < most; i++) {
        sum |= (uint64_t)(bytes[i] & WIRE_VARINT_VALUE) << (WIRE_VARINT_BITS * i);
        if ((bytes[i] & WIRE_VARINT_MORE) == 0) {
            *value = sum;
            return bytes[i] == 0 && i > 0 ? -1 : i + 1;
        }
    }
    *value = sum;
    return most == WIRE_VARINT_BYTES_MAX ? -1 : 0;
}

static enum berth_frame_verdict decode_varint(const struct berth_framing *framing,
                                              const uint8_t *bytes, size_t count,
                                              struct berth_frame *frame)
{
    uint64_t value;
    int header_bytes = load_varint(bytes, count, &value);
    if (header_bytes == 0) {
        return say_need(frame, (uint32_t)count + 1);
    }
    if (header_bytes < 0) {
        size_t field_bytes = 1;
        while (field_bytes < WIRE_VARINT_BYTES_MAX && bytes[field_bytes - 1] & WIRE_VARINT_MORE) {
            field_bytes++;
        }
        say_bad(frame, BERTH_REFUSED_VARINT, bytes, field_bytes);
        frame->header_bytes = (uint32_t)field_bytes;
        frame->value = value;
        frame->limit = WIRE_VARINT_BYTES_MAX;
        return BERTH_FRAME_BAD;
    }
    bool empty = value == 0 && framing->refuse_empty;
    if (!empty && value <= framing->message_bytes_max) {
        return say_size(frame, (uint32_t)header_bytes, (uint32_t)value, 0, count);
    }
    say_bad(frame, empty ? BERTH_REFUSED_EMPTY : BERTH_REFUSED_ABOVE_MAX, bytes,
            (size_t)header_bytes);
    frame->header_bytes = (uint32_t)header_bytes;
    frame->value = value;
    frame->limit = empty ? 1 : framing->message_bytes_max;
    return BERTH_FRAME_BAD;
}

static void cut_varint(struct cutter *cutter, const struct berth_framing *framing)
{
    const uint64_t low = framing->refuse_empty ? 1 : 0;
    const uint64_t span = framing->message_bytes_max - low;
    while (cutter->cut < cutter->max && cutter->consumed < cutter->count) {
        const uint8_t *at = cutter->bytes + cutter->consumed;
        size_t left = cutter->count - cutter->consumed;
        uint64_t value = *at;
        int header_bytes = 1;
        if (value & WIRE_VARINT_MORE) {
            header_bytes = load_varint(at, left, &value);
            if (header_bytes <= 0) {
                break;
            }
        }
        if (value - low > span || left - (size_t)header_bytes < value) {
            break;
        }
        cutter->messages[cutter->cut++] = (struct berth_message){
            at + header_bytes,
            (uint32_t)value,
            (uint32_t)header_bytes,
        };
        cutter->consumed += (size_t)header_bytes + (size_t)value;
    }
}

/* ---- delimiter ---- */

/* Only this much can matter: a delimiter may begin after message_bytes_max bytes and no later. */
static size_t delimiter_window(const struct berth_framing *framing, size_t count)
{
    size_t most = (size_t)framing->message_bytes_max + framing->delimiter_bytes;
    return count < most ? count : most;
}

static enum berth_frame_verdict decode_delimiter(const struct berth_framing *framing,
                                                 const uint8_t *bytes, size_t count,
                                                 size_t *scanned, struct berth_frame *frame)
{
    BERTH_ASSERT(*scanned <= count);
    uint32_t max = framing->message_bytes_max;
    size_t window = delimiter_window(framing, count);
    size_t place = wire_delimiter_find(framing, bytes, *scanned, window);
    *scanned = place;
    if (place + framing->delimiter_bytes <= window) {
        if (place > 0 || !framing->refuse_empty) {
            return say_size(frame, 0, (uint32_t)place, framing->delimiter_bytes, count);
        }
        say_bad(frame, BERTH_REFUSED_EMPTY, bytes, framing->delimiter_bytes);
        frame->trailer_bytes = framing->delimiter_bytes;
        frame->limit = 1;
        return BERTH_FRAME_BAD;
    }
    /* It is not there in full. The first place where it may still stand is `place`. */
    if (place > max) {
        /* Only bytes that were there at the earliest moment of this refusal are shown, so that it
         * reads the same however the bytes were split. */
        say_bad(frame, BERTH_REFUSED_NO_DELIMITER, bytes, (size_t)max + 1);
        frame->trailer_bytes = framing->delimiter_bytes;
        frame->limit = max;
        return BERTH_FRAME_BAD;
    }
    /* The next news: the delimiter is complete, or it turns out to be past the maximum. */
    size_t whole = place + framing->delimiter_bytes;
    size_t hopeless = (count > max ? count : max) + 1;
    return say_need(frame, (uint32_t)(whole < hopeless ? whole : hopeless));
}

static void cut_delimiter(struct cutter *cutter, const struct berth_framing *framing,
                          size_t *scanned)
{
    const uint32_t trailer_bytes = framing->delimiter_bytes;
    while (cutter->cut < cutter->max) {
        const uint8_t *at = cutter->bytes + cutter->consumed;
        size_t window = delimiter_window(framing, cutter->count - cutter->consumed);
        size_t place = wire_delimiter_find(framing, at, *scanned, window);
        if (place + trailer_bytes > window || (place == 0 && framing->refuse_empty)) {
            *scanned = place;
            return;
        }
        cutter->messages[cutter->cut++] = (struct berth_message){at, (uint32_t)place, 0};
        cutter->consumed += place + trailer_bytes;
        *scanned = 0;
    }
}

/* ---- fixed ---- */

static void cut_fixed(struct cutter *cutter, uint32_t size)
{
    while (cutter->cut < cutter->max && cutter->count - cutter->consumed >= size) {
        cutter->messages[cutter->cut++] =
            (struct berth_message){cutter->bytes + cutter->consumed, size, 0};
        cutter->consumed += size;
    }
}

/* ---- custom ---- */

/* A refusal that the custom decoder did not make itself. What it left in `field` is shown, or the
 * front of the frame if it left nothing there. The caller adds value and limit. */
static void refuse_custom(struct berth_frame *frame, enum berth_refusal refusal,
                          const uint8_t *bytes, size_t count)
{
    if (frame->field_bytes == 0) {
        frame->field_bytes = (uint32_t)(count < sizeof frame->field ? count : sizeof frame->field);
        memcpy(frame->field, bytes, frame->field_bytes);
    }
    frame->need_bytes = 0;
    frame->trailer_bytes = 0; /* it would mark the refusal of a delimiter framing */
    frame->refusal = refusal;
}

/* A custom decoder is the application's, but what it says comes from the peer's bytes: a size over
 * the maximum is an operating error and refused here, whether it is declared as a message or asked
 * for as bytes still needed. */
static enum berth_frame_verdict custom_need(const struct berth_framing *framing,
                                            const uint8_t *bytes, size_t count,
                                            struct berth_frame *frame)
{
    uint64_t need = frame->need_bytes;
    if (need <= count) {
        need = (uint64_t)count + 1;
    }
    if (need > (uint64_t)framing->message_bytes_max + CUSTOM_EXTRA_BYTES) {
        refuse_custom(frame, BERTH_REFUSED_ABOVE_MAX, bytes, count);
        frame->value = need;
        frame->limit = framing->message_bytes_max;
        return BERTH_FRAME_BAD;
    }
    return say_need(frame, (uint32_t)need);
}

static enum berth_frame_verdict custom_ready(const struct berth_framing *framing,
                                             const uint8_t *bytes, size_t count,
                                             struct berth_frame *frame)
{
    uint32_t header_bytes = frame->header_bytes;
    uint32_t message_bytes = frame->message_bytes;
    BERTH_ASSERT(header_bytes <= BERTH_HEADER_BYTES_MAX);
    BERTH_ASSERT(frame->trailer_bytes <= BERTH_HEADER_BYTES_MAX);
    size_t shown = header_bytes < count ? header_bytes : count;
    if (message_bytes > framing->message_bytes_max) {
        refuse_custom(frame, BERTH_REFUSED_ABOVE_MAX, bytes, shown);
        frame->value = message_bytes;
        frame->limit = framing->message_bytes_max;
        return BERTH_FRAME_BAD;
    }
    if (message_bytes == 0 && framing->refuse_empty) {
        refuse_custom(frame, BERTH_REFUSED_EMPTY, bytes, shown);
        frame->value = 0;
        frame->limit = 1;
        return BERTH_FRAME_BAD;
    }
    /* A frame of no bytes would be found again and again for ever. */
    BERTH_ASSERT(header_bytes + message_bytes + frame->trailer_bytes > 0);
    return say_size(frame, header_bytes, message_bytes, frame->trailer_bytes, count);
}

static enum berth_frame_verdict decode_custom(const struct berth_framing *framing,
                                              const uint8_t *bytes, size_t count, size_t *scanned,
                                              struct berth_frame *frame)
{
    if (count == 0) {
        return say_need(frame, 1);
    }
    *frame = (struct berth_frame){.refusal = BERTH_REFUSED_NOTHING};
    enum berth_frame_verdict verdict =
        framing->custom_decode(framing->custom_context, bytes, count, scanned, frame);
    BERTH_ASSERT(frame->field_bytes <= sizeof frame->field);
    switch (verdict) {
    case BERTH_FRAME_NEED:
        return custom_need(framing, bytes, count, frame);
    case BERTH_FRAME_READY:
        return custom_ready(framing, bytes, count, frame);
    case BERTH_FRAME_BAD:
        if (frame->refusal == BERTH_REFUSED_NOTHING) {
            refuse_custom(frame, BERTH_REFUSED_CUSTOM, bytes, count);
        }
        return BERTH_FRAME_BAD;
    }
    BERTH_UNREACHABLE();
}

/* Every message is a call of the application's function, so nothing is gained by a loop of its
 * own that has to ask once more at the end. */
static enum berth_frame_verdict cut_custom(struct cutter *cutter,
                                           const struct berth_framing *framing, size_t *scanned,
                                           struct berth_frame *frame)
{
    for (;;) {
        const uint8_t *at = cutter->bytes + cutter->consumed;
        size_t left = cutter->count - cutter->consumed;
        enum berth_frame_verdict verdict = decode_custom(framing, at, left, scanned, frame);
        if (verdict != BERTH_FRAME_READY || cutter->cut == cutter->max) {
            return verdict;
        }
        cutter->messages[cutter->cut++] = (struct berth_message){
            at + frame->header_bytes,
            frame->message_bytes,
            frame->header_bytes,
        };
        cutter->consumed += frame->header_bytes + frame->message_bytes + frame->trailer_bytes;
        *scanned = 0;
    }
}

/* ---- the two doors ---- */

enum berth_frame_verdict berth_frame_decode(const struct berth_framing *framing,
                                            const uint8_t *bytes, size_t count, size_t *scanned,
                                            struct berth_frame *frame)
{
    switch (framing->kind) {
    case BERTH_FRAMING_LENGTH:
        return decode_length(framing, bytes, count, frame);
    case BERTH_FRAMING_VARINT:
        return decode_varint(framing, bytes, count, frame);
    case BERTH_FRAMING_DELIMITER:
        return decode_delimiter(framing, bytes, count, scanned, frame);
    case BERTH_FRAMING_FIXED:
        return say_size(frame, 0, framing->message_bytes_max, 0, count);
    case BERTH_FRAMING_CUSTOM:
        return decode_custom(framing, bytes, count, scanned, frame);
    }
    BERTH_UNREACHABLE();
}

size_t berth_frame_cut(const struct berth_framing *framing, const uint8_t *bytes, size_t count,
                       size_t *scanned, struct berth_message *messages, size_t max,
                       size_t *consumed, struct berth_frame *frame,
                       enum berth_frame_verdict *verdict)
{
    struct cutter cutter = {.bytes = bytes, .count = count, .messages = messages, .max = max};
    /* Without bytes there may be no pointer to do arithmetic on either. */
    if (count > 0) {
        switch (framing->kind) {
        case BERTH_FRAMING_LENGTH:
            cut_length(&cutter, framing);
            break;
        case BERTH_FRAMING_VARINT:
            cut_varint(&cutter, framing);
            break;
        case BERTH_FRAMING_DELIMITER:
            cut_delimiter(&cutter, framing, scanned);
            break;
        case BERTH_FRAMING_FIXED:
            cut_fixed(&cutter, framing->message_bytes_max);
            break;
        case BERTH_FRAMING_CUSTOM:
            *verdict = cut_custom(&cutter, framing, scanned, frame);
            *consumed = cutter.consumed;
            return cutter.cut;
        default:
            BERTH_UNREACHABLE();
        }
        bytes += cutter.consumed;
    }
    *consumed = cutter.consumed;
    *verdict = berth_frame_decode(framing, bytes, count - cutter.consumed, scanned, frame);
    return cutter.cut;
}
