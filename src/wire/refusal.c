/* What is wrong with some bytes, in one sentence for whoever has to find out on the other side.
 *
 * One operation, berth_frame_refusal_text; it writes into the caller's room and cuts there. It
 * runs once in a connection's life at most. The bytes are shown as they came, in hexadecimal, and
 * as text too if they are text: `47 45 54 20 ("GET ")` says at once who is calling.
 */
#include <berth/frame.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "wire/wire.h"

/* One byte may be text by chance; two are worth a look. */
#define TEXT_BYTES_MIN 2

/* A sentence that grows in the caller's room. */
struct sentence {
    char *out;
    size_t bytes;
    size_t at;
};

static void say(struct sentence *sentence, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct sentence *sentence, const char *format, ...)
{
    if (sentence->at >= sentence->bytes) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(sentence->out + sentence->at, sentence->bytes - sentence->at, format, arguments);
    va_end(arguments);
    BERTH_ASSERT(length >= 0);
    sentence->at += (size_t)length;
}

static void say_field(struct sentence *sentence, const struct berth_frame *frame)
{
    bool text = frame->field_bytes >= TEXT_BYTES_MIN;
    for (uint32_t i = 0; i < frame->field_bytes; i++) {
        say(sentence, " %02x", frame->field[i]);
        text = text && frame->field[i] >= ' ' && frame->field[i] <= '~';
    }
    if (text) {
        say(sentence, " (\"%.*s\")", (int)frame->field_bytes, (const char *)frame->field);
    }
}

/* The field's bytes and its number, and what it is to a peer whose lengths are signed. */
static void say_length(struct sentence *sentence, const struct berth_frame *frame)
{
    say(sentence, "length field");
    say_field(sentence, frame);
    say(sentence, " = %" PRIu64, frame->value);
    if (frame->field_bytes == 4 && frame->value >> 31 == 1) {
        say(sentence, " (-%" PRIu64 " as signed)", ((uint64_t)1 << 32) - frame->value);
    }
    if (frame->field_bytes == 8 && frame->value >> 63 == 1) {
        say(sentence, " (-%" PRIu64 " as signed)", 0 - frame->value);
    }
}

static void say_varint(struct sentence *sentence, const struct berth_frame *frame)
{
    BERTH_ASSERT(frame->field_bytes > 0);
    say(sentence, "varint length");
    say_field(sentence, frame);
    if (frame->field[frame->field_bytes - 1] & WIRE_VARINT_MORE) {
        say(sentence, " does not end within %d bytes", WIRE_VARINT_BYTES_MAX);
    } else {
        say(sentence, " = %" PRIu64 " is padded: its last byte adds nothing", frame->value);
    }
}

const char *berth_frame_refusal_text(const struct berth_frame *frame, char *out, size_t bytes)
{
    BERTH_ASSERT(frame->field_bytes <= sizeof frame->field);
    struct sentence sentence = {.out = out, .bytes = bytes};
    switch (frame->refusal) {
    case BERTH_REFUSED_NOTHING:
        say(&sentence, "nothing was refused");
        return out;
    case BERTH_REFUSED_NEGATIVE:
        say_length(&sentence, frame);
        say(&sentence, " is below the minimum of %" PRIu64, frame->limit);
        return out;
    case BERTH_REFUSED_EMPTY:
        /* Only the delimiter's refusal has a trailer. */
        if (frame->trailer_bytes > 0) {
            say(&sentence, "delimiter");
            say_field(&sentence, frame);
            say(&sentence, " ends an empty message, and empty messages are refused");
        } else {
            say_length(&sentence, frame);
            say(&sentence, " is an empty message, and empty messages are refused");
        }
        return out;
    case BERTH_REFUSED_ABOVE_MAX:
        say_length(&sentence, frame);
        say(&sentence, " is above the maximum of %" PRIu64, frame->limit);
        return out;
    case BERTH_REFUSED_VARINT:
        say_varint(&sentence, frame);
        return out;
    case BERTH_REFUSED_NO_DELIMITER:
        say(&sentence, "no delimiter after a message of at most %" PRIu64 " bytes that begins",
            frame->limit);
        say_field(&sentence, frame);
        return out;
    case BERTH_REFUSED_CUSTOM:
        say(&sentence, "the custom decoder refused the bytes");
        say_field(&sentence, frame);
        return out;
    }
    say(&sentence, "refusal %d, which Berth does not know, of the bytes", (int)frame->refusal);
    say_field(&sentence, frame);
    return out;
}
