/* What the files of src/wire share: the arithmetic of a length field and the search for a
 * delimiter. Everything here is pure. */
#ifndef BERTH_WIRE_WIRE_H
#define BERTH_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/frame.h>

/* The loops over frames are written once and compiled once per width and byte order of the length
 * field. They gain from it only where they are inlined, so that is not left to the compiler. */
#define WIRE_INLINE static inline __attribute__((always_inline))

/* Seven bits a byte: 5 bytes carry the 32 bits that a length may need, and 3 more. */
#define WIRE_VARINT_BYTES_MAX 5
#define WIRE_VARINT_BITS      7
#define WIRE_VARINT_MORE      0x80u
#define WIRE_VARINT_VALUE     0x7fu

/* The field ends within the longest header, whatever its width. */
#define WIRE_LENGTH_OFFSET_MAX (BERTH_HEADER_BYTES_MAX - 8)

/* How a length field's number and the message's bytes go together, brought into a form that costs
 * one comparison and one addition a message: the field is allowed when field - low <= span, in
 * unsigned arithmetic, and the message then has field + add bytes, modulo 2^64. */
struct wire_length {
    uint64_t low;
    uint64_t span;
    uint64_t add;
};

/* What is added to the field to get the message's bytes. At least -2^31 - 8, below 2^31. */
static inline int64_t wire_length_adjust(const struct berth_framing *framing)
{
    int64_t itself = framing->length_counts_itself ? framing->length_bytes : 0;
    return (int64_t)framing->length_adjust - itself;
}

/* The largest number that a length field of so many bytes can hold. */
static inline uint64_t wire_length_field_max(unsigned length_bytes)
{
    return UINT64_MAX >> (64 - 8 * length_bytes);
}

/* Requires what berth_framing_check grants: the largest message has a field that is not below 0. */
static inline struct wire_length wire_length_rule(const struct berth_framing *framing)
{
    int64_t adjust = wire_length_adjust(framing);
    int64_t low = (framing->refuse_empty ? 1 : 0) - adjust;
    if (low < 0) {
        low = 0;
    }
    int64_t high = (int64_t)framing->message_bytes_max - adjust;
    return (struct wire_length){
        .low = (uint64_t)low,
        .span = (uint64_t)(high - low),
        .add = (uint64_t)adjust,
    };
}

/* The first place at or after `from` where the delimiter stands or, at the end of the bytes, may
 * have begun: from there to the delimiter's end or to the end of the bytes, whichever comes first,
 * they are equal. `count` if there is none. The delimiter stands there in full when the place plus
 * delimiter_bytes is at most `count`.
 * Costs one memchr, and one more for each place where only the delimiter's first byte stands. */
size_t wire_delimiter_find(const struct berth_framing *framing, const uint8_t *bytes, size_t from,
                           size_t count);

#endif
