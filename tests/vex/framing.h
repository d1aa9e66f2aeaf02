/* vex's own framing, written from docs/PROTOCOL.md: a length of 1, 2, 4 or 8 bytes that counts the
 * message and not itself, and the message. Pure; O(1) a call.
 */
#ifndef BERTH_TESTS_VEX_FRAMING_H
#define BERTH_TESTS_VEX_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMING_WIDTH_MAX 8

struct framing {
    unsigned width; /* 1, 2, 4 or 8 */
    bool big;       /* most significant byte first */
};

/* "4le", "2be", "1". */
bool framing_parse(const char *text, struct framing *out);

/* Byte number `at` of the length's bytes. */
uint8_t framing_byte(const struct framing *framing, uint64_t length, unsigned at);

/* Where one is in a run of frames; all zero at its beginning. */
struct scan {
    unsigned header_have;
    uint64_t length; /* as far as it has been read */
    uint64_t left;   /* of the message */
};

/* What the bytes at the front are. */
struct scan_piece {
    size_t bytes;      /* how many were taken */
    bool header_whole; /* the length is known with them: scan.length */
    size_t body_bytes; /* so many of them, the last ones, are the message's */
    bool whole;        /* and it ends here */
};

/* Takes bytes up to the end of the length or to the end of the message; at least one. */
struct scan_piece scan_next(struct scan *scan, const struct framing *framing, const uint8_t *bytes,
                            size_t count);

/* How many frames became whole with these bytes. */
uint64_t scan_all(struct scan *scan, const struct framing *framing, const uint8_t *bytes,
                  size_t count);

#endif
