/* Lines and commands. The input in two different splittings gives the same lines; each of them is
 * within its room, holds neither a newline nor a zero byte, and is some command. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "berthload/console.h"
#include "berthload/lines.h"

#define INPUT_BYTES_MAX 4096

/* The lines behind each other, with newlines; what was too long as its verdict. */
static size_t cut(const uint8_t *data, size_t size, size_t piece, char *out)
{
    struct lines lines;
    char line[LINE_BYTES_MAX];
    size_t written = 0;
    lines_init(&lines, -1);
    for (size_t at = 0; at < size;) {
        size_t want = size - at < piece ? size - at : piece;
        size_t taken = lines_give(&lines, (const char *)data + at, want);
        FUZZ_CHECK(taken > 0);
        at += taken;
        for (;;) {
            enum lines_verdict verdict = lines_take(&lines, line);
            if (verdict == LINES_WAIT) {
                break;
            }
            FUZZ_CHECK(verdict == LINES_LINE || verdict == LINES_LONG);
            if (verdict == LINES_LONG) {
                out[written++] = '\0';
                continue;
            }
            size_t bytes = strnlen(line, sizeof line);
            FUZZ_CHECK(bytes < sizeof line);
            FUZZ_CHECK(memchr(line, '\n', bytes) == NULL);
            FUZZ_CHECK(command_read(line) <= COMMAND_NOTHING);
            memcpy(out + written, line, bytes);
            written += bytes;
            out[written++] = '\n';
        }
    }
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char one[INPUT_BYTES_MAX];
    static char other[INPUT_BYTES_MAX];
    if (size == 0 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    size_t piece = 1 + data[0] % 7u;
    size_t bytes = cut(data, size, LINE_BYTES_MAX, one);
    FUZZ_CHECK(cut(data, size, piece, other) == bytes);
    FUZZ_CHECK(memcmp(one, other, bytes) == 0);
    return 0;
}
