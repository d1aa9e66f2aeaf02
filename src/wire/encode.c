/* The other direction: the header that goes before a message, and whether a message can be sent.
 *
 * berth_frame_header and berth_frame_message_check. Both borrow everything and keep nothing.
 * O(1), except that the check of a message against a delimiter reads the message once.
 */
#include <berth/frame.h>

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/wire.h"

/* Whether the framing can carry a message of so many bytes. */
static int check_size(const struct berth_framing *framing, uint32_t message_bytes)
{
    if (message_bytes == 0 && framing->refuse_empty) {
        return BERTH_E_FRAME;
    }
    if (message_bytes > BERTH_MESSAGE_BYTES_LIMIT) {
        return BERTH_E_TOO_LARGE;
    }
    if (framing->kind == BERTH_FRAMING_FIXED && message_bytes != framing->message_bytes_max) {
        return BERTH_E_TOO_LARGE;
    }
    if (framing->kind == BERTH_FRAMING_LENGTH) {
        int64_t field = (int64_t)message_bytes - wire_length_adjust(framing);
        if (field < 0 || (uint64_t)field > wire_length_field_max(framing->length_bytes)) {
            return BERTH_E_TOO_LARGE;
        }
    }
    return BERTH_OK;
}

static int write_length(const struct berth_framing *framing, uint32_t message_bytes,
                        uint8_t *header)
{
    uint64_t field = (uint64_t)((int64_t)message_bytes - wire_length_adjust(framing));
    bool big = framing->length_big_endian;
    memset(header, 0, framing->length_offset);
    uint8_t *at = header + framing->length_offset;
    switch (framing->length_bytes) {
    case 1:
        *at = (uint8_t)field;
        break;
    case 2:
        store16(at, (uint16_t)field, big);
        break;
    case 4:
        store32(at, (uint32_t)field, big);
        break;
    case 8:
        store64(at, field, big);
        break;
    default:
        BERTH_UNREACHABLE();
    }
    return framing->length_offset + framing->length_bytes;
}

static int write_varint(uint32_t message_bytes, uint8_t *header)
{
    int bytes = 0;
    while (message_bytes > WIRE_VARINT_VALUE) {
        header[bytes++] = (uint8_t)(message_bytes | WIRE_VARINT_MORE);
        message_bytes >>= WIRE_VARINT_BITS;
    }
    header[bytes++] = (uint8_t)message_bytes;
    return bytes;
}

int berth_frame_header(const struct berth_framing *framing, uint32_t message_bytes, uint8_t *header)
{
    int code = check_size(framing, message_bytes);
    if (code != BERTH_OK) {
        return code;
    }
    switch (framing->kind) {
    case BERTH_FRAMING_LENGTH:
        return write_length(framing, message_bytes, header);
    case BERTH_FRAMING_VARINT:
        return write_varint(message_bytes, header);
    case BERTH_FRAMING_DELIMITER:
    case BERTH_FRAMING_FIXED:
        return 0;
    case BERTH_FRAMING_CUSTOM: {
        size_t bytes = framing->custom_header(framing->custom_context, message_bytes, header);
        BERTH_ASSERT(bytes <= BERTH_HEADER_BYTES_MAX);
        return (int)bytes;
    }
    }
    BERTH_UNREACHABLE();
}

int berth_frame_message_check(const struct berth_framing *framing, const uint8_t *message,
                              uint32_t message_bytes)
{
    int code = check_size(framing, message_bytes);
    if (code != BERTH_OK || framing->kind != BERTH_FRAMING_DELIMITER) {
        return code;
    }
    /* The first place where the delimiter stands in the message, or may have begun at its end. */
    size_t place = wire_delimiter_find(framing, message, 0, message_bytes);
    if (place + framing->delimiter_bytes <= message_bytes) {
        return BERTH_E_FRAME;
    }
    /* From there on, and with the delimiter behind it, it must first stand at the very end: after
     * "xa" the delimiter "aa" would be found one byte too early. */
    uint8_t seam[2 * BERTH_DELIMITER_BYTES_MAX];
    size_t tail = message_bytes - place;
    if (tail > 0) {
        memcpy(seam, message + place, tail);
    }
    memcpy(seam + tail, framing->delimiter, framing->delimiter_bytes);
    size_t found = wire_delimiter_find(framing, seam, 0, tail + framing->delimiter_bytes);
    return found == tail ? BERTH_OK : BERTH_E_FRAME;
}
