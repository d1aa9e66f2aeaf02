/* Marks. Whatever bytes come as a message: they are right, damaged or without a mark, nothing
 * behind them is read, and what is right is written again as the same bytes. A message that was
 * marked is right until any bit of it differs, or its end is elsewhere; then it is damaged, never
 * somebody else's. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/mark.h"

#define BYTES_MAX 4096

static void check_any(const uint8_t *bytes, size_t size)
{
    struct mark mark;
    uint8_t *message = fuzz_copy(bytes, size);
    memset(&mark, FUZZ_FILL, sizeof mark);
    enum mark_verdict verdict = mark_read(message, size, &mark);
    if (verdict == MARK_RIGHT) {
        uint8_t *again = fuzz_copy(bytes, size);
        FUZZ_CHECK(size >= MARK_BYTES && mark.length == size);
        memset(again, 0, MARK_BYTES);
        mark_write(&mark, again);
        FUZZ_CHECK(memcmp(again, bytes, size) == 0);
        free(again);
    } else {
        FUZZ_CHECK(verdict == MARK_NONE || verdict == MARK_DAMAGED);
        FUZZ_CHECK(fuzz_is_filled(&mark, sizeof mark));
    }
    free(message);
}

static void check_marked(struct fuzz_input input)
{
    struct mark read;
    struct mark mark = {
        .run = (uint64_t)fuzz_number(&input, 4) << 32 | fuzz_number(&input, 4),
        .sequence = fuzz_number(&input, 4),
        .time_ns = fuzz_number(&input, 4),
        .client = fuzz_number(&input, 4),
        .connection = fuzz_number(&input, 4),
        .refusal = fuzz_number(&input, 1),
    };
    const uint32_t flip = fuzz_number(&input, 2);
    mark.length = MARK_BYTES + (uint32_t)input.left;
    uint8_t *message = malloc(mark.length);
    FUZZ_CHECK(message != NULL);
    if (input.left > 0) {
        memcpy(message + MARK_BYTES, input.at, input.left);
    }
    mark_write(&mark, message);
    FUZZ_CHECK(mark_read(message, mark.length, &read) == MARK_RIGHT);
    FUZZ_CHECK(read.run == mark.run && read.sequence == mark.sequence &&
               read.time_ns == mark.time_ns && read.client == mark.client &&
               read.connection == mark.connection && read.length == mark.length &&
               read.refusal == mark.refusal);
    message[flip / 8 % mark.length] ^= (uint8_t)(1u << flip % 8);
    FUZZ_CHECK(mark_read(message, mark.length, &read) == MARK_DAMAGED);
    message[flip / 8 % mark.length] ^= (uint8_t)(1u << flip % 8);
    uint32_t shorter = 4 + flip % (mark.length - 4);
    FUZZ_CHECK(mark_read(message, shorter, &read) == MARK_DAMAGED);
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > BYTES_MAX) {
        return 0;
    }
    check_any(data, size);
    check_marked((struct fuzz_input){.at = data, .left = size});
    return 0;
}
