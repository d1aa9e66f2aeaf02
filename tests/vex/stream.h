/* What a script sends, as one run of bytes: a function of the script, the seed and the connection's
 * number, and of nothing that the network does.
 *
 * So the same bytes can be made twice: one cursor goes before and sends them, another follows and
 * says what each reply must be, however many are on their way, and nothing is remembered of them.
 *
 * Pure. A step costs O(1), bytes cost O(their number). A cursor is copied by assignment.
 */
#ifndef BERTH_TESTS_VEX_STREAM_H
#define BERTH_TESTS_VEX_STREAM_H

#include "framing.h"
#include "script.h"

/* Lent to all cursors of a connection. */
struct stream {
    const struct script *script;
    struct framing framing;
    uint64_t key; /* of the seed and the connection's number */
};

struct cursor {
    uint32_t step; /* the script's count when it has ended */
    unsigned depth;
    uint64_t rounds_left[SCRIPT_DEPTH_MAX];
    uint64_t visits; /* of steps so far: what their random numbers depend on */
    uint64_t frames; /* begun so far: what their messages depend on */
    bool begun;      /* the step's bytes; below: where in them */
    uint64_t units;  /* frames, or 1 */
    uint64_t unit;
    uint64_t unit_at;
    uint64_t unit_bytes; /* the header's with them */
    uint64_t declared;
};

/* Stands before the first step that does something. */
void cursor_start(struct cursor *cursor, const struct stream *stream);

/* The step it stands at, NULL at the end. */
const struct step *cursor_step(const struct cursor *cursor, const struct stream *stream);

/* Goes to the next step that does something; repeats and braces are gone through on the way. */
void cursor_advance(struct cursor *cursor, const struct stream *stream);

/* Goes on to where the script takes note of a connection's end: to an expect-..., close, reset or
 * vanish, or to its end; out of repeats if need be. */
void cursor_skip_to_end_of_connection(struct cursor *cursor, const struct stream *stream);

/* A number of the step's range, as the seed says for this visit. */
uint64_t cursor_number(const struct cursor *cursor, const struct stream *stream,
                       struct range range);

/* Writes what the step sends next, at most `most` bytes of it (to NULL: goes over them); how many.
 * 0 when the step has sent all, and for a step that sends nothing. */
size_t cursor_bytes(struct cursor *cursor, const struct stream *stream, uint8_t *out, size_t most);

/* Whether the step sends bytes, and whether it has sent all of them. */
bool cursor_sends(const struct cursor *cursor, const struct stream *stream);
bool cursor_sent_all(const struct cursor *cursor, const struct stream *stream);

#endif
