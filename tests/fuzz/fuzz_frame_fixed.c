/* Frames of one size. The input: the size (1 or 2 bytes), then the stream. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    const struct berth_framing framing = {
        .kind = BERTH_FRAMING_FIXED,
        .message_bytes_max = fuzz_message_bytes_max(&input),
    };
    fuzz_framing(&framing, input);
    return 0;
}
