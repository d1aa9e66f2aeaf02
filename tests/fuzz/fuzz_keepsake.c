/* load.ini. Whatever a file holds: it is read, or its flaw is told and the built-in answers stand.
 * What was read is written so that it reads the same, and a file cut anywhere breaks nothing. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "berthload/keepsake.h"

static bool same(const struct answers *one, const struct answers *other)
{
    char a[KEEPSAKE_BYTES_MAX];
    char b[KEEPSAKE_BYTES_MAX];
    size_t bytes = keepsake_write(one, a, sizeof a);
    FUZZ_CHECK(bytes > 0);
    return keepsake_write(other, b, sizeof b) == bytes && memcmp(a, b, bytes) == 0;
}

static bool read_and_check(const char *text, size_t size, struct answers *answers)
{
    struct answers built_in;
    struct answers again;
    struct keepsake_flaw flaw;
    char out[KEEPSAKE_BYTES_MAX];
    answers_default(&built_in);
    memset(&flaw, 0, sizeof flaw);
    if (!keepsake_read(text, size, answers, &flaw)) {
        FUZZ_CHECK(same(answers, &built_in));
        FUZZ_CHECK(flaw.what[0] != '\0' && memchr(flaw.what, '\0', sizeof flaw.what) != NULL);
        FUZZ_CHECK(memchr(flaw.key, '\0', sizeof flaw.key) != NULL);
        FUZZ_CHECK(flaw.line <= size + 1);
        return false;
    }
    size_t bytes = keepsake_write(answers, out, sizeof out);
    FUZZ_CHECK(keepsake_read(out, bytes, &again, &flaw));
    FUZZ_CHECK(same(answers, &again));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answers answers;
    char *text = malloc(size + 1); /* of the exact size, so that a sanitizer sees a step too far */
    FUZZ_CHECK(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    (void)read_and_check(text, size, &answers);
    (void)read_and_check(text, size / 2, &answers);
    free(text);
    return 0;
}
