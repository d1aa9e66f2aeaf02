/* The scripts of vex: one line that says what a peer does.
 *
 *     connect; bytes 1 each 100ms; frame 100; expect-eof 2s
 *
 * A script is steps, with a ; or a line's end between them. A step is a verb and its arguments;
 * repeat N { ... } goes through the steps in its braces N times. From # to the end of a line is a
 * remark. A number may be a range, 1..64: each time the step is reached, the seed says which it is.
 *
 * The verbs, and what each does, are in help.c. Pure: text in, steps out, or an error that names
 * the verb and its position.
 */
#ifndef BERTH_TESTS_VEX_SCRIPT_H
#define BERTH_TESTS_VEX_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_BYTES_MAX   (1u << 20) /* all cut points of all short frames take a tenth of it */
#define SCRIPT_DEPTH_MAX   4          /* repeats in repeats */
#define SCRIPT_TIME_MAX_US UINT64_C(3600000000)

enum verb {
    VERB_CONNECT,
    VERB_RCVBUF,
    VERB_SNDBUF,
    VERB_BYTES,
    VERB_NOREAD,
    VERB_DOREAD,
    VERB_SEND,
    VERB_FRAMES,
    VERB_PART,
    VERB_PING,
    VERB_READ,
    VERB_REPLIES,
    VERB_PAUSE,
    VERB_SHUT,
    VERB_CLOSE,
    VERB_RESET,
    VERB_VANISH,
    VERB_EXPECT_EOF,
    VERB_EXPECT_RESET,
    VERB_EXPECT_END,
    VERB_REPEAT,
    VERB_AGAIN, /* the closing brace */
};

struct range {
    uint64_t low;
    uint64_t high;
};

/* What the arguments are, by verb:
 *   rcvbuf, sndbuf, read, ping
 *                        first: bytes
 *   bytes                first: bytes of a piece, 0 for all; second: microseconds between two
 *   send                 literal, literal_bytes: where in the script's bytes
 *   frames               first: how many; second: bytes of each message (frame is one of them)
 *   part                 first: the length it declares; second: bytes that are sent of it
 *   replies              first: how many, 0 for all that are due
 *   pause, expect-...    first: microseconds, 0 for the option --timeout
 *   repeat, again        first: how often; other: the index of the other brace's step */
struct step {
    enum verb verb;
    uint32_t position; /* of the verb, in the text */
    uint32_t verb_bytes;
    struct range first;
    struct range second;
    uint32_t literal;
    uint32_t literal_bytes;
    uint32_t other;
};

struct script {
    struct step *steps;
    uint32_t steps_count;
    uint8_t *bytes;
    uint32_t bytes_count;
};

#define SCRIPT_ERROR_BYTES 200

/* "step 3, 'frmae' at 12: is no verb": a step is counted from 1, and so is a position, in its line
 * where there are several. Only what can be printed. */
struct script_error {
    char text[SCRIPT_ERROR_BYTES];
};

/* Reads a script. On success `out` must be ended by script_fini; on failure there is nothing in it.
 * Borrows the text. O(bytes). */
bool script_parse(const char *text, size_t bytes, struct script *out, struct script_error *error);
void script_fini(struct script *script);

/* Whether all its frames can be declared by a length of so many bytes. */
bool script_fits(const struct script *script, const char *text, unsigned width,
                 struct script_error *error);

/* "step 3, 'frame' at 12". Returns `out`. */
const char *script_place(const char *text, const struct script *script, uint32_t step, char *out,
                         size_t bytes);

#endif
