/* vex's own framing: the length's bytes, written and read one at a time, whatever the machine's
 * order is, and a scan that knows where in a run of frames it stands. Owns nothing. */
#include "framing.h"

#include <string.h>

bool framing_parse(const char *text, struct framing *out)
{
    if (strchr("1248", text[0]) == NULL || text[0] == '\0') {
        return false;
    }
    out->width = (unsigned)(text[0] - '0');
    out->big = strcmp(text + 1, "be") == 0;
    return out->big || text[1] == '\0' || strcmp(text + 1, "le") == 0;
}

static unsigned shift_of(const struct framing *framing, unsigned at)
{
    return 8 * (framing->big ? framing->width - 1 - at : at);
}

uint8_t framing_byte(const struct framing *framing, uint64_t length, unsigned at)
{
    return (uint8_t)(length >> shift_of(framing, at));
}

struct scan_piece scan_next(struct scan *scan, const struct framing *framing, const uint8_t *bytes,
                            size_t count)
{
    struct scan_piece piece = {0};
    if (scan->header_have == framing->width) { /* a message is begun, and not empty */
        piece.bytes = scan->left < count ? (size_t)scan->left : count;
        piece.body_bytes = piece.bytes;
        scan->left -= piece.bytes;
    } else {
        if (scan->header_have == 0) {
            scan->length = 0;
        }
        while (piece.bytes < count && scan->header_have < framing->width) {
            scan->length |= (uint64_t)bytes[piece.bytes++] << shift_of(framing, scan->header_have);
            scan->header_have++;
        }
        piece.header_whole = scan->header_have == framing->width;
        scan->left = scan->length;
    }
    piece.whole = scan->header_have == framing->width && scan->left == 0;
    if (piece.whole) {
        scan->header_have = 0;
    }
    return piece;
}

uint64_t scan_all(struct scan *scan, const struct framing *framing, const uint8_t *bytes,
                  size_t count)
{
    uint64_t frames = 0;
    while (count > 0) {
        struct scan_piece piece = scan_next(scan, framing, bytes, count);
        frames += piece.whole ? 1 : 0;
        bytes += piece.bytes;
        count -= piece.bytes;
    }
    return frames;
}
