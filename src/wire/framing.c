/* Framings as data: the one of the seed, and whether one makes sense.
 *
 * berth_framing_seed and berth_framing_check. Both are pure and O(1). What passes the check can be
 * decoded and encoded without any further question; the rest of src/wire relies on it.
 */
#include <berth/frame.h>

#include "base/assert.h"
#include "base/error.h"
#include "wire/wire.h"

/* The prefix of the article: a 32-bit integer in the byte order of its x86 computers. */
#define SEED_LENGTH_BYTES 4

struct berth_framing berth_framing_seed(uint32_t message_bytes_max)
{
    return (struct berth_framing){
        .kind = BERTH_FRAMING_LENGTH,
        .message_bytes_max = message_bytes_max,
        .length_bytes = SEED_LENGTH_BYTES,
    };
}

static const char *kind_name(enum berth_framing_kind kind)
{
    switch (kind) {
    case BERTH_FRAMING_LENGTH:
        return "length";
    case BERTH_FRAMING_VARINT:
        return "varint";
    case BERTH_FRAMING_DELIMITER:
        return "delimiter";
    case BERTH_FRAMING_FIXED:
        return "fixed";
    case BERTH_FRAMING_CUSTOM:
        return "custom";
    }
    return NULL;
}

/* A setting of another kind is a mistake about which kind this is. (refuse_empty is of all kinds;
 * with fixed it says what is true anyway.) */
static int check_foreign(const struct berth_framing *framing, struct berth_error *error)
{
    const struct {
        enum berth_framing_kind kind;
        const char *setting;
        bool set;
    } settings[] = {
        {BERTH_FRAMING_LENGTH, "length_bytes", framing->length_bytes != 0},
        {BERTH_FRAMING_LENGTH, "length_offset", framing->length_offset != 0},
        {BERTH_FRAMING_LENGTH, "length_big_endian", framing->length_big_endian},
        {BERTH_FRAMING_LENGTH, "length_counts_itself", framing->length_counts_itself},
        {BERTH_FRAMING_LENGTH, "length_adjust", framing->length_adjust != 0},
        {BERTH_FRAMING_DELIMITER, "delimiter_bytes", framing->delimiter_bytes != 0},
        {BERTH_FRAMING_CUSTOM, "custom_decode", framing->custom_decode != NULL},
        {BERTH_FRAMING_CUSTOM, "custom_header", framing->custom_header != NULL},
        {BERTH_FRAMING_CUSTOM, "custom_context", framing->custom_context != NULL},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (settings[i].set && settings[i].kind != framing->kind) {
            return error_set(error, BERTH_E_INVALID, 0, settings[i].setting,
                             "%s is a setting of the framing kind %s, but the kind is %s",
                             settings[i].setting, kind_name(settings[i].kind),
                             kind_name(framing->kind));
        }
    }
    return BERTH_OK;
}

static int check_length(const struct berth_framing *framing, struct berth_error *error)
{
    unsigned width = framing->length_bytes;
    if (width != 1 && width != 2 && width != 4 && width != 8) {
        return error_set(error, BERTH_E_INVALID, 0, "length_bytes",
                         "length_bytes is %u, and must be 1, 2, 4 or 8", width);
    }
    if (framing->length_offset > WIRE_LENGTH_OFFSET_MAX) {
        return error_set(error, BERTH_E_INVALID, 0, "length_offset",
                         "length_offset is %u, and must be 0 to %d", framing->length_offset,
                         WIRE_LENGTH_OFFSET_MAX);
    }
    /* At least one message must have a field: the largest must not be below the field's zero, and
     * the field's largest number must not be below the smallest message. */
    int64_t adjust = wire_length_adjust(framing);
    int64_t largest_field = (int64_t)framing->message_bytes_max - adjust;
    if (largest_field < 0) {
        return error_set(error, BERTH_E_INVALID, 0, "length_adjust",
                         "length_adjust is %d: with it even a field of 0 is a message above the "
                         "maximum of %u bytes",
                         framing->length_adjust, framing->message_bytes_max);
    }
    int64_t smallest_field = (framing->refuse_empty ? 1 : 0) - adjust;
    if (smallest_field > 0 && (uint64_t)smallest_field > wire_length_field_max(width)) {
        return error_set(error, BERTH_E_INVALID, 0, "length_adjust",
                         "length_adjust is %d: with it even the largest number of a field of %u "
                         "bytes is no message",
                         framing->length_adjust, width);
    }
    return BERTH_OK;
}

static int check_delimiter(const struct berth_framing *framing, struct berth_error *error)
{
    unsigned bytes = framing->delimiter_bytes;
    if (bytes == 0 || bytes > BERTH_DELIMITER_BYTES_MAX) {
        return error_set(error, BERTH_E_INVALID, 0, "delimiter_bytes",
                         "delimiter_bytes is %u, and must be 1 to %d", bytes,
                         BERTH_DELIMITER_BYTES_MAX);
    }
    for (unsigned i = bytes; i < BERTH_DELIMITER_BYTES_MAX; i++) {
        if (framing->delimiter[i] != 0) {
            return error_set(error, BERTH_E_INVALID, 0, "delimiter_bytes",
                             "delimiter_bytes is %u, but delimiter goes on after that", bytes);
        }
    }
    return BERTH_OK;
}

static int check_custom(const struct berth_framing *framing, struct berth_error *error)
{
    if (framing->custom_decode == NULL) {
        return error_set(error, BERTH_E_INVALID, 0, "custom_decode",
                         "custom_decode is missing: a custom framing needs a decoder");
    }
    if (framing->custom_header == NULL) {
        return error_set(error, BERTH_E_INVALID, 0, "custom_header",
                         "custom_header is missing: a custom framing needs an encoder");
    }
    return BERTH_OK;
}

int berth_framing_check(const struct berth_framing *framing, struct berth_error *error)
{
    BERTH_ASSERT(framing != NULL);
    if (kind_name(framing->kind) == NULL) {
        return error_set(error, BERTH_E_INVALID, 0, "kind", "kind is %d, which is no framing kind",
                         (int)framing->kind);
    }
    if (framing->message_bytes_max == 0 || framing->message_bytes_max > BERTH_MESSAGE_BYTES_LIMIT) {
        return error_set(error, BERTH_E_INVALID, 0, "message_bytes_max",
                         "message_bytes_max is %u, and must be 1 to %u", framing->message_bytes_max,
                         BERTH_MESSAGE_BYTES_LIMIT);
    }
    int code = check_foreign(framing, error);
    if (code != BERTH_OK) {
        return code;
    }
    switch (framing->kind) {
    case BERTH_FRAMING_LENGTH:
        return check_length(framing, error);
    case BERTH_FRAMING_DELIMITER:
        return check_delimiter(framing, error);
    case BERTH_FRAMING_CUSTOM:
        return check_custom(framing, error);
    case BERTH_FRAMING_VARINT:
    case BERTH_FRAMING_FIXED:
        return BERTH_OK;
    }
    BERTH_UNREACHABLE(); /* kind_name knew it */
}
