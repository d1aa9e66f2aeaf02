/* Length-prefixed frames. The input: a byte of flags, the field's offset, its adjustment (4 bytes),
 * the maximum (1 or 2 bytes), then the stream.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#define FLAG_WIDTH        0x03
#define FLAG_BIG_ENDIAN   0x04
#define FLAG_ITSELF       0x08
#define FLAG_REFUSE_EMPTY 0x10
#define FLAG_ADJUST_SMALL 0x20 /* an adjustment as real protocols have one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    uint8_t offset = fuzz_byte(&input);
    int32_t adjust = (int32_t)fuzz_number(&input, 4);
    const struct berth_framing framing = {
        .kind = BERTH_FRAMING_LENGTH,
        .message_bytes_max = fuzz_message_bytes_max(&input),
        .refuse_empty = flags & FLAG_REFUSE_EMPTY,
        .length_bytes = (uint8_t)(1 << (flags & FLAG_WIDTH)),
        .length_offset = offset,
        .length_big_endian = flags & FLAG_BIG_ENDIAN,
        .length_counts_itself = flags & FLAG_ITSELF,
        .length_adjust = flags & FLAG_ADJUST_SMALL ? adjust % 10 : adjust,
    };
    struct berth_error error = {.setting = NULL};
    if (berth_framing_check(&framing, &error) == BERTH_OK) {
        fuzz_framing(&framing, input);
    } else {
        FUZZ_CHECK(strcmp(error.setting, "length_offset") == 0 ||
                   strcmp(error.setting, "length_adjust") == 0);
    }
    return 0;
}
