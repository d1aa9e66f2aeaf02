/* Frames with a varint in front. The input: a byte of flags, the maximum (1 or 2 bytes), then the
 * stream.
 */
#include "fuzz/fuzz.h"

#define FLAG_REFUSE_EMPTY 0x01

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    const struct berth_framing framing = {
        .kind = BERTH_FRAMING_VARINT,
        .message_bytes_max = fuzz_message_bytes_max(&input),
        .refuse_empty = flags & FLAG_REFUSE_EMPTY,
    };
    fuzz_framing(&framing, input);
    return 0;
}
