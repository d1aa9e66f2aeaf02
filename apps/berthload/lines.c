/* Lines that a person types, cut from what a descriptor brings: the questions are answered with
 * them, and then the run is given commands. One buffer of fixed size, so that what was typed ahead
 * for the one is there for the other; a line that does not fit is dropped whole and said. */
#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void lines_init(struct lines *lines, int file)
{
    *lines = (struct lines){.file = file};
}

size_t lines_give(struct lines *lines, const char *bytes, size_t count)
{
    size_t room = sizeof lines->bytes - lines->used;
    size_t taken = count < room ? count : room;
    memcpy(lines->bytes + lines->used, bytes, taken);
    lines->used += taken;
    return taken;
}

static void drop(struct lines *lines, size_t count)
{
    lines->used -= count;
    memmove(lines->bytes, lines->bytes + count, lines->used);
}

enum lines_verdict lines_take(struct lines *lines, char *out)
{
    const char *newline = memchr(lines->bytes, '\n', lines->used);
    if (newline == NULL) {
        if (lines->used == sizeof lines->bytes) {
            lines->skipping = true;
            lines->used = 0;
        }
        return LINES_WAIT;
    }
    size_t count = (size_t)(newline - lines->bytes);
    bool was_long = lines->skipping;
    for (size_t i = 0; i < count; i++) {
        out[i] = lines->bytes[i] != '\0' ? lines->bytes[i] : '\1';
    }
    out[count] = '\0';
    lines->skipping = false;
    drop(lines, count + 1);
    return was_long ? LINES_LONG : LINES_LINE;
}

bool lines_more(struct lines *lines)
{
    ssize_t count;
    do {
        count = read(lines->file, lines->bytes + lines->used, sizeof lines->bytes - lines->used);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        lines->ended = true;
        return false;
    }
    lines->used += (size_t)count;
    return true;
}

enum lines_verdict lines_read(struct lines *lines, char *out)
{
    for (;;) {
        enum lines_verdict verdict = lines_take(lines, out);
        if (verdict != LINES_WAIT) {
            return verdict;
        }
        if (!lines_more(lines)) {
            return LINES_END;
        }
    }
}

const char *lines_show(const char *line, char *out, size_t bytes)
{
    size_t length = strlen(line);
    size_t shown = length < bytes ? length : bytes - sizeof "...";
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)line[i];
        out[i] = '?';
        if (byte >= ' ' && byte != 0x7f) {
            out[i] = line[i];
        }
    }
    snprintf(out + shown, bytes - shown, "%s", shown < length ? "..." : "");
    return out;
}
