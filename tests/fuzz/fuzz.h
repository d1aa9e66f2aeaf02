/* What the fuzz targets share: reading options off the front of an input, and the properties that
 * hold for any framing and any bytes.
 *
 * A target is one file, fuzz_<noun>.c, with LLVMFuzzerTestOneInput in it, and one folder of small
 * inputs, corpus/<noun>. fuzz.cmake finds both. A property that does not hold aborts the program:
 * that is what a fuzzer reports as a find.
 */
#ifndef BERTH_TESTS_FUZZ_FUZZ_H
#define BERTH_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/frame.h>

/* libFuzzer's entry; fuzz_main.c calls it too. The input is borrowed. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(x) ((x) ? (void)0 : fuzz_failed(#x, __FILE__, __LINE__))

/* Prints what does not hold and aborts. */
_Noreturn void fuzz_failed(const char *text, const char *file, int line);

/* An input, from the place where it has not been used yet. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The next byte, or number of bytes as a little-endian number; zeros when the input has ended. */
uint8_t fuzz_byte(struct fuzz_input *input);
uint32_t fuzz_number(struct fuzz_input *input, size_t bytes);

/* A maximum that small inputs reach often, and now and then one near the limit. */
uint32_t fuzz_message_bytes_max(struct fuzz_input *input);

/* An exactly sized copy on the heap, so that the sanitizers see a read past its end. The caller
 * frees it; NULL for no bytes. */
uint8_t *fuzz_copy(const uint8_t *bytes, size_t count);

/* What a call that fails must leave alone is filled with this first, and looked at afterwards. */
#define FUZZ_FILL 0xee
bool fuzz_is_filled(const void *room, size_t bytes);

/* Holds the rest of the input to be a stream of this framing, then a message to send with it, and
 * checks all that must be so:
 *   - what is cut lies inside the bytes, frame after frame, and keeps the limits;
 *   - however the stream is split, the same messages come out and the same refusal ends them;
 *   - nothing happens before the bytes that NEED asks for are there;
 *   - a message that was received can be sent, and comes out as itself;
 *   - a message that may be sent is received as itself, and one that may not is refused by name.
 * The framing must pass berth_framing_check. */
void fuzz_framing(const struct berth_framing *framing, struct fuzz_input input);

#endif
