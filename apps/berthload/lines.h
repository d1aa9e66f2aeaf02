/* Lines that a person types. */
#ifndef BERTHLOAD_LINES_H
#define BERTHLOAD_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* The longest line that is taken, with its end mark; every answer and command is shorter. */
#define LINE_BYTES_MAX 512

struct lines {
    int file;
    size_t used;   /* bytes that were read and not given out */
    bool skipping; /* the rest of a line that was too long */
    bool ended;    /* no more will be read */
    char bytes[LINE_BYTES_MAX];
};

enum lines_verdict {
    LINES_LINE,
    LINES_LONG, /* a line that is too long; it is dropped whole */
    LINES_WAIT, /* no whole line yet: more must be read (lines_take only) */
    LINES_END,
};

/* Reads from a descriptor that is lent. */
void lines_init(struct lines *lines, int file);

/* Takes bytes that were read: as many as there is room for, which is at least one after
 * lines_take said LINES_WAIT. Returns how many. */
size_t lines_give(struct lines *lines, const char *bytes, size_t count);

/* The next whole line, without its newline; zero bytes in it become \1. At the end of the input,
 * what stands there without a newline is no line: nobody pressed Enter. */
enum lines_verdict lines_take(struct lines *lines, char *out);

/* The same, and reads until there is a line. Blocks. */
enum lines_verdict lines_read(struct lines *lines, char *out);

/* Reads what there is, once. false: the input has ended. */
bool lines_more(struct lines *lines);

/* A line as it may be shown: what a terminal would obey becomes '?', and what goes beyond the room
 * "...". Returns `out`, which has `bytes`, at least 4. Pure. */
const char *lines_show(const char *line, char *out, size_t bytes);

#endif
