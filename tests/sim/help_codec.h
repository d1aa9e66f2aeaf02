/* Framings as a peer knows them: a table of the kinds with their corners, and an encoder that
 * shares no code with src/wire, so that a mistake there is not made on both sides.
 *
 * codec_encode writes a frame around a message, codec_decode finds the first frame of some bytes;
 * codec_clean changes bytes that the framing cannot carry (the last byte of a delimiter);
 * codec_nonsense writes what is no frame. All are pure and O(bytes). Everything is in this header,
 * because tests of more than one folder use it.
 */
#ifndef BERTH_TESTS_SIM_HELP_CODEC_H
#define BERTH_TESTS_SIM_HELP_CODEC_H

#include <berth/frame.h>

#include <string.h>

#include "unit/framings.h"

/* The most that a frame is longer than its message. */
#define CODEC_EXTRA (BERTH_HEADER_BYTES_MAX + BERTH_DELIMITER_BYTES_MAX)

#define CODEC_DIGITS_MAX 9

struct codec {
    const char *name;
    struct berth_framing framing; /* message_bytes_max: the most that it can carry */
};

/* The custom framing: decimal digits, a colon, the message. */
static inline enum berth_frame_verdict codec_digits_decode(void *context, const uint8_t *bytes,
                                                           size_t count, size_t *scanned,
                                                           struct berth_frame *frame)
{
    (void)context;
    uint32_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == ':') {
            *scanned = i;
            frame->header_bytes = (uint32_t)i + 1;
            frame->message_bytes = value;
            return BERTH_FRAME_READY;
        }
        if (bytes[i] < '0' || bytes[i] > '9' || i == CODEC_DIGITS_MAX) {
            return BERTH_FRAME_BAD;
        }
        value = value * 10 + bytes[i] - '0';
    }
    frame->need_bytes = (uint32_t)count + 1;
    return BERTH_FRAME_NEED;
}

static inline size_t codec_digits_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    uint32_t scale = 1;
    size_t count = 0;
    while (message_bytes / scale >= 10) {
        scale *= 10;
    }
    for (; scale > 0; scale /= 10) {
        header[count++] = (uint8_t)('0' + message_bytes / scale % 10);
    }
    header[count++] = ':';
    return count;
}

static const struct codec codecs[] = {
    {"length:4:le", LENGTH(4, 1u << 20)},
    {"length:4:be", LENGTH(4, 1u << 20, .length_big_endian = true)},
    {"length:2:be", LENGTH(2, 65535, .length_big_endian = true)},
    {"length:1", LENGTH(1, 255)},
    {"length:8:le", LENGTH(8, 1u << 20)},
    {"length:2:be:itself",
     LENGTH(2, 65533, .length_big_endian = true, .length_counts_itself = true)},
    {"length:4:le:offset=2", LENGTH(4, 1u << 20, .length_offset = 2)},
    {"length:2:le:adjust=2", LENGTH(2, 65537, .length_adjust = 2)},
    {"length:2:be:adjust=-3", LENGTH(2, 65532, .length_big_endian = true, .length_adjust = -3)},
    {"varint", VARINT(1u << 20)},
    {"varint:nonempty", VARINT(1u << 20, .refuse_empty = true)},
    {"delimiter:\\n", DELIMITER("\n", 1u << 20)},
    {"delimiter:\\r\\n", DELIMITER("\r\n", 1u << 20)},
    {"delimiter:aab", DELIMITER("aab", 1u << 20)},
    {"fixed:7", FIXED(7)},
    {"fixed:1", FIXED(1)},
    {"custom digits",
     {.kind = BERTH_FRAMING_CUSTOM,
      .message_bytes_max = 1u << 20,
      .custom_decode = codec_digits_decode,
      .custom_header = codec_digits_header}},
};

#define CODECS (sizeof codecs / sizeof codecs[0])

/* The fewest bytes that a message of this framing has. */
static inline uint32_t codec_least(const struct berth_framing *f)
{
    if (f->kind == BERTH_FRAMING_FIXED) {
        return f->message_bytes_max;
    }
    int64_t least = f->refuse_empty ? 1 : 0;
    int64_t field_zero = f->length_adjust - (f->length_counts_itself ? f->length_bytes : 0);
    return (uint32_t)(field_zero > least ? field_zero : least);
}

/* Makes a message one that the framing can carry. */
static inline void codec_clean(const struct berth_framing *f, uint8_t *message, uint32_t size)
{
    for (uint32_t i = 0; f->kind == BERTH_FRAMING_DELIMITER && i < size; i++) {
        if (message[i] == f->delimiter[f->delimiter_bytes - 1]) {
            message[i] ^= 0x40;
        }
    }
}

static inline size_t codec_header(const struct berth_framing *f, uint32_t size, uint8_t *out)
{
    size_t count = 0;
    uint64_t value = size;
    switch (f->kind) {
    case BERTH_FRAMING_LENGTH:
        value = value - (uint64_t)(int64_t)f->length_adjust;
        value += f->length_counts_itself ? f->length_bytes : 0;
        count = (size_t)f->length_offset + f->length_bytes;
        memset(out, 0, count);
        for (unsigned i = 0; i < f->length_bytes; i++) {
            unsigned shift = 8 * (f->length_big_endian ? f->length_bytes - 1u - i : i);
            out[f->length_offset + i] = (uint8_t)(value >> shift);
        }
        break;
    case BERTH_FRAMING_VARINT:
        for (; value > 127; value >>= 7) {
            out[count++] = (uint8_t)(value % 128 + 128);
        }
        out[count++] = (uint8_t)value;
        break;
    case BERTH_FRAMING_CUSTOM:
        count = codec_digits_header(NULL, size, out);
        break;
    case BERTH_FRAMING_DELIMITER:
    case BERTH_FRAMING_FIXED:
        break;
    }
    return count;
}

/* Writes the frame of a message; returns its bytes. `out` has room for size + CODEC_EXTRA. */
static inline size_t codec_encode(const struct berth_framing *f, const uint8_t *message,
                                  uint32_t size, uint8_t *out)
{
    size_t count = codec_header(f, size, out);
    if (size > 0) {
        memcpy(out + count, message, size);
    }
    count += size;
    memcpy(out + count, f->delimiter, f->delimiter_bytes);
    return count + f->delimiter_bytes;
}

/* A varint's bytes, 0 if it is not whole. */
static inline size_t codec_varint(const uint8_t *bytes, size_t count, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < count && i < 5; i++) {
        *value |= (uint64_t)(bytes[i] & 127) << (7 * i);
        if (bytes[i] < 128) {
            return i + 1;
        }
    }
    return 0;
}

/* The header's bytes, 0 if it is not whole, and the message's size. */
static inline size_t codec_measure(const struct berth_framing *f, const uint8_t *bytes,
                                   size_t count, uint64_t *size)
{
    size_t header = (size_t)f->length_offset + f->length_bytes;
    *size = 0;
    if (f->kind == BERTH_FRAMING_VARINT) {
        return codec_varint(bytes, count, size);
    }
    if (f->kind == BERTH_FRAMING_CUSTOM) {
        for (size_t i = 0; i < count; i++) {
            if (bytes[i] == ':') {
                return i + 1;
            }
            *size = *size * 10 + bytes[i] - '0';
        }
        return 0;
    }
    if (count < header) {
        return 0;
    }
    for (unsigned i = 0; i < f->length_bytes; i++) {
        unsigned shift = 8 * (f->length_big_endian ? f->length_bytes - 1u - i : i);
        *size |= (uint64_t)bytes[f->length_offset + i] << shift;
    }
    *size += (uint64_t)(int64_t)f->length_adjust;
    *size -= f->length_counts_itself ? f->length_bytes : 0;
    return header;
}

/* Finds the first frame: returns its bytes, 0 if it is not whole, and where its message lies. What
 * is cut here was encoded here. */
static inline size_t codec_decode(const struct berth_framing *f, const uint8_t *bytes, size_t count,
                                  struct berth_message *message)
{
    uint64_t size = f->message_bytes_max;
    size_t header = 0;
    if (f->kind == BERTH_FRAMING_DELIMITER) {
        /* its last byte stands nowhere else: codec_clean */
        const uint8_t *last = memchr(bytes, f->delimiter[f->delimiter_bytes - 1], count);
        if (last == NULL) {
            return 0;
        }
        size = (uint64_t)(last + 1 - bytes) - f->delimiter_bytes;
    } else if (f->kind != BERTH_FRAMING_FIXED) {
        header = codec_measure(f, bytes, count, &size);
        if (header == 0) {
            return 0;
        }
    }
    *message = (struct berth_message){.data = bytes + header, .size = (uint32_t)size};
    return header + size + f->delimiter_bytes <= count ? header + size + f->delimiter_bytes : 0;
}

/* Writes bytes that are no frame whatever follows, and returns how many; 0: with this framing all
 * bytes are frames. `out` has room for message_bytes_max + CODEC_EXTRA. */
static inline size_t codec_nonsense(const struct berth_framing *f, uint8_t *out)
{
    size_t count = (size_t)f->length_offset + f->length_bytes;
    uint64_t most = UINT64_MAX >> (64 - 8 * (f->length_bytes == 0 ? 8 : f->length_bytes));
    switch (f->kind) {
    case BERTH_FRAMING_LENGTH:
        most += (uint64_t)(int64_t)f->length_adjust;
        most -= f->length_counts_itself ? f->length_bytes : 0;
        memset(out, 0xff, count);
        return most > f->message_bytes_max ? count : 0;
    case BERTH_FRAMING_VARINT:
        memset(out, 0xff, 5);
        return 5;
    case BERTH_FRAMING_CUSTOM:
        out[0] = 'x';
        return 1;
    case BERTH_FRAMING_DELIMITER:
        count = (size_t)f->message_bytes_max + f->delimiter_bytes;
        memset(out, f->delimiter[f->delimiter_bytes - 1] ^ 0x40, count);
        return count;
    case BERTH_FRAMING_FIXED:
        break;
    }
    return 0;
}

#endif
