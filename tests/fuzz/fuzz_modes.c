/* The list of modes that --watch takes. The input: a byte of modes that are allowed, then the text
 * up to its first zero. What is accepted names nothing but allowed modes and is found again when it
 * is said in another way; what is refused changes nothing.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/entry.h"

#define UNTOUCHED 0xabcdu

/* How many words the list has. */
static unsigned words_of(const char *text)
{
    unsigned count = 1;
    for (; *text != '\0'; text++) {
        count += *text == ',' ? 1 : 0;
    }
    return count;
}

static unsigned bits_of(unsigned modes)
{
    unsigned count = 0;
    for (; modes != 0; modes &= modes - 1) {
        count++;
    }
    return count;
}

/* A list twice over says the same; with nothing behind its last comma it says nothing. */
static void check_longer(const char *text, unsigned allowed, unsigned modes)
{
    size_t length = strlen(text);
    char *longer = malloc(2 * length + 2);
    FUZZ_CHECK(longer != NULL);
    memcpy(longer, text, length);
    longer[length] = ',';
    longer[length + 1] = '\0';
    unsigned again = UNTOUCHED;
    FUZZ_CHECK(!entry_modes_read(longer, allowed, &again) && again == UNTOUCHED);
    memcpy(longer + length + 1, text, length + 1);
    FUZZ_CHECK(entry_modes_read(longer, allowed, &again) && again == modes);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    unsigned allowed = fuzz_byte(&input);
    char *text = malloc(input.left + 1); /* exactly sized: a read past its end shows */
    FUZZ_CHECK(text != NULL);
    if (input.left > 0) {
        memcpy(text, input.at, input.left);
    }
    text[input.left] = '\0';
    unsigned modes = UNTOUCHED;
    if (entry_modes_read(text, allowed, &modes)) {
        FUZZ_CHECK(modes != 0 && (modes & ~allowed) == 0);
        FUZZ_CHECK(bits_of(modes) <= words_of(text));
        check_longer(text, allowed, modes);
        if (modes != allowed) { /* without a mode that it names it is refused */
            unsigned less = UNTOUCHED;
            FUZZ_CHECK(!entry_modes_read(text, allowed & ~modes, &less) && less == UNTOUCHED);
        }
    } else {
        FUZZ_CHECK(modes == UNTOUCHED);
    }
    free(text);
    return 0;
}
