/* Frames that end in a delimiter. The input: a byte of flags with the delimiter's length, the
 * maximum (1 or 2 bytes), the delimiter, then the stream. With FLAG_FEW_LETTERS all of it is made
 * of two letters, so that delimiters overlap themselves and are met often.
 */
#include "fuzz/fuzz.h"

#define FLAG_LENGTH       0x0f
#define FLAG_REFUSE_EMPTY 0x10
#define FLAG_FEW_LETTERS  0x20
#define LETTERS_MAX       512

static uint8_t letter(uint8_t byte)
{
    return byte & 1 ? 'a' : 'b';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    struct berth_framing framing = {
        .kind = BERTH_FRAMING_DELIMITER,
        .message_bytes_max = fuzz_message_bytes_max(&input),
        .refuse_empty = flags & FLAG_REFUSE_EMPTY,
        .delimiter_bytes = (uint8_t)((flags & FLAG_LENGTH) + 1),
    };
    bool few = flags & FLAG_FEW_LETTERS;
    for (size_t i = 0; i < framing.delimiter_bytes; i++) {
        uint8_t byte = fuzz_byte(&input);
        framing.delimiter[i] = few ? letter(byte) : byte;
    }
    uint8_t letters[LETTERS_MAX];
    if (few) {
        size_t count = input.left < LETTERS_MAX ? input.left : LETTERS_MAX;
        for (size_t i = 0; i < count; i++) {
            letters[i] = letter(input.at[i]);
        }
        input = (struct fuzz_input){letters, count};
    }
    fuzz_framing(&framing, input);
    return 0;
}
