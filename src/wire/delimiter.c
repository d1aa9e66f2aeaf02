/* The search for a delimiter, used to cut (frame.c) and to check what is sent (encode.c).
 *
 * One operation: wire_delimiter_find. It borrows the bytes and keeps nothing. memchr does the work
 * at the speed of memory; a hostile stream that consists of the delimiter's first byte costs one
 * call of it a byte and at most 16 comparisons, which is slow but linear.
 */
#include "wire/wire.h"

#include <string.h>

size_t wire_delimiter_find(const struct berth_framing *framing, const uint8_t *bytes, size_t from,
                           size_t count)
{
    while (from < count) {
        const uint8_t *hit = memchr(bytes + from, framing->delimiter[0], count - from);
        if (hit == NULL) {
            return count;
        }
        size_t place = (size_t)(hit - bytes);
        size_t compare = count - place;
        if (compare > framing->delimiter_bytes) {
            compare = framing->delimiter_bytes;
        }
        if (memcmp(hit, framing->delimiter, compare) == 0) {
            return place;
        }
        from = place + 1;
    }
    return count;
}
