/* Custom framings. The input: a byte of flags, the maximum (1 or 2 bytes), then the stream. Its
 * decoder is a small language whose first byte says what kind of frame follows, and uses all that
 * a custom decoder may do, also what a careless one would: READY before the bytes are there, sizes
 * far above the maximum, NEED of nothing and NEED of too much.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#define FLAG_REFUSE_EMPTY 0x01

enum verb {
    VERB_SHORT,     /* verb, 1 byte of length, message */
    VERB_LONG,      /* verb, 4 bytes of length, message */
    VERB_TRAILER,   /* verb, message of the verb's high bits, trailer of 3 bytes */
    VERB_LINE,      /* verb, message, ';' */
    VERB_NEED,      /* verb, 4 bytes: asks for that many, for ever */
    VERB_BAD,       /* refuses */
    VERB_BAD_NAMED, /* refuses, with a reason and a field */
    VERB_EMPTY,     /* a frame of one byte and no message */
    VERBS,
};

#define TRAILER_BYTES     3
#define SHORT_HEADER      2
#define LONG_HEADER       5
#define VERB_BITS         3
#define NAMED_FIELD_BYTES 16

static enum berth_frame_verdict ready(struct berth_frame *frame, uint32_t header, uint32_t message,
                                      uint32_t trailer)
{
    frame->header_bytes = header;
    frame->message_bytes = message;
    frame->trailer_bytes = trailer;
    return BERTH_FRAME_READY;
}

static enum berth_frame_verdict decode_line(const uint8_t *bytes, size_t count, size_t *scanned,
                                            struct berth_frame *frame)
{
    size_t at = *scanned > 0 ? *scanned : 1;
    while (at < count && bytes[at] != ';') {
        at++;
    }
    *scanned = at;
    if (at == count) {
        return BERTH_FRAME_NEED; /* of 0: one more, whatever it is */
    }
    return ready(frame, 1, (uint32_t)at - 1, 1);
}

static enum berth_frame_verdict decode(void *context, const uint8_t *bytes, size_t count,
                                       size_t *scanned, struct berth_frame *frame)
{
    (void)context;
    struct fuzz_input input = {bytes + 1, count - 1};
    switch ((enum verb)(bytes[0] % VERBS)) {
    case VERB_SHORT:
        frame->need_bytes = SHORT_HEADER;
        return count < SHORT_HEADER ? BERTH_FRAME_NEED : ready(frame, SHORT_HEADER, bytes[1], 0);
    case VERB_LONG:
        frame->need_bytes = LONG_HEADER;
        return count < LONG_HEADER ? BERTH_FRAME_NEED
                                   : ready(frame, LONG_HEADER, fuzz_number(&input, 4), 0);
    case VERB_TRAILER:
        return ready(frame, 1, bytes[0] >> VERB_BITS, TRAILER_BYTES);
    case VERB_LINE:
        return decode_line(bytes, count, scanned, frame);
    case VERB_NEED:
        frame->need_bytes = count < LONG_HEADER ? LONG_HEADER : fuzz_number(&input, 4);
        return BERTH_FRAME_NEED;
    case VERB_BAD_NAMED:
        frame->refusal = BERTH_REFUSED_NEGATIVE;
        frame->field_bytes = count < NAMED_FIELD_BYTES ? (uint32_t)count : NAMED_FIELD_BYTES;
        memcpy(frame->field, bytes, frame->field_bytes);
        return BERTH_FRAME_BAD;
    case VERB_EMPTY:
        return ready(frame, 1, 0, 0);
    case VERB_BAD:
    case VERBS:
        break;
    }
    return BERTH_FRAME_BAD;
}

static size_t header(void *context, uint32_t message_bytes, uint8_t *out)
{
    (void)context;
    out[0] = VERB_LONG;
    for (size_t i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(message_bytes >> (8 * i));
    }
    return LONG_HEADER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    const struct berth_framing framing = {
        .kind = BERTH_FRAMING_CUSTOM,
        .message_bytes_max = fuzz_message_bytes_max(&input),
        .refuse_empty = flags & FLAG_REFUSE_EMPTY,
        .custom_decode = decode,
        .custom_header = header,
    };
    fuzz_framing(&framing, input);
    return 0;
}
