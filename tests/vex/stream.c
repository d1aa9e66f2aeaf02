/* Cursors on scripts: going from step to step through repeats, and making the bytes of the steps
 * that send. All state is in the cursor. */
#include "stream.h"

#include <string.h>

#include "random.h"

/* What a random number is for; numbers of one visit must not be the same. */
enum purpose { FOR_STEP = 1, FOR_UNITS, FOR_SIZE };

static uint64_t draw(const struct cursor *cursor, const struct stream *stream, enum purpose purpose,
                     struct range range)
{
    if (range.low == range.high) {
        return range.low;
    }
    uint64_t visit = random_mix(stream->key, cursor->visits * 4 + (uint64_t)purpose);
    return random_within(range, random_mix(visit, cursor->unit));
}

uint64_t cursor_number(const struct cursor *cursor, const struct stream *stream, struct range range)
{
    return draw(cursor, stream, FOR_STEP, range);
}

const struct step *cursor_step(const struct cursor *cursor, const struct stream *stream)
{
    return cursor->step < stream->script->steps_count ? &stream->script->steps[cursor->step] : NULL;
}

static void to(struct cursor *cursor, uint32_t step)
{
    cursor->step = step;
    cursor->visits++;
    cursor->begun = false;
    cursor->unit = 0;
}

/* It ends: every repeat has a round at least, and every round a step that is none of these two. */
static void settle(struct cursor *cursor, const struct stream *stream)
{
    const struct step *step = cursor_step(cursor, stream);
    while (step != NULL && (step->verb == VERB_REPEAT || step->verb == VERB_AGAIN)) {
        if (step->verb == VERB_REPEAT) {
            cursor->rounds_left[cursor->depth++] = draw(cursor, stream, FOR_STEP, step->first);
            to(cursor, cursor->step + 1);
        } else if (--cursor->rounds_left[cursor->depth - 1] == 0) {
            cursor->depth--;
            to(cursor, cursor->step + 1);
        } else {
            to(cursor, step->other + 1);
        }
        step = cursor_step(cursor, stream);
    }
}

void cursor_start(struct cursor *cursor, const struct stream *stream)
{
    *cursor = (struct cursor){0};
    settle(cursor, stream);
}

void cursor_advance(struct cursor *cursor, const struct stream *stream)
{
    to(cursor, cursor->step + 1);
    settle(cursor, stream);
}

static bool notes_the_end(enum verb verb)
{
    return verb == VERB_EXPECT_EOF || verb == VERB_EXPECT_RESET || verb == VERB_EXPECT_END ||
           verb == VERB_CLOSE || verb == VERB_RESET || verb == VERB_VANISH;
}

void cursor_skip_to_end_of_connection(struct cursor *cursor, const struct stream *stream)
{
    const struct step *step = cursor_step(cursor, stream);
    while (step != NULL && !notes_the_end(step->verb)) {
        if (step->verb == VERB_REPEAT) {
            cursor->rounds_left[cursor->depth++] = draw(cursor, stream, FOR_STEP, step->first);
        } else if (step->verb == VERB_AGAIN) {
            cursor->depth--;
        }
        to(cursor, cursor->step + 1);
        step = cursor_step(cursor, stream);
    }
}

/* ------------------------------------------------------------------------------------------ bytes
 */

bool cursor_sends(const struct cursor *cursor, const struct stream *stream)
{
    const struct step *step = cursor_step(cursor, stream);
    return step != NULL && (step->verb == VERB_SEND || step->verb == VERB_FRAMES ||
                            step->verb == VERB_PART || step->verb == VERB_PING);
}

/* The unit that the cursor has come to. */
static void begin_unit(struct cursor *cursor, const struct stream *stream, const struct step *step)
{
    cursor->unit_at = 0;
    switch (step->verb) {
    case VERB_SEND:
        cursor->unit_bytes = step->literal_bytes;
        break;
    case VERB_PART:
        cursor->declared = draw(cursor, stream, FOR_STEP, step->first);
        cursor->unit_bytes = draw(cursor, stream, FOR_SIZE, step->second);
        break;
    default:
        cursor->declared =
            draw(cursor, stream, FOR_SIZE, step->verb == VERB_PING ? step->first : step->second);
        cursor->unit_bytes = stream->framing.width + cursor->declared;
        break;
    }
}

static void begin(struct cursor *cursor, const struct stream *stream, const struct step *step)
{
    cursor->begun = true;
    cursor->unit = 0;
    cursor->units = 1;
    if (step->verb == VERB_FRAMES) {
        cursor->units = draw(cursor, stream, FOR_UNITS, step->first);
    }
    if (cursor->units > 0) {
        begin_unit(cursor, stream, step);
    }
}

bool cursor_sent_all(const struct cursor *cursor, const struct stream *stream)
{
    struct cursor further = *cursor;
    return cursor_bytes(&further, stream, NULL, 1) == 0;
}

/* Eight bytes of a message at a time: what they are depends on its number and their place. */
static void make_message(const struct cursor *cursor, const struct stream *stream, uint8_t *out,
                         size_t bytes)
{
    uint64_t key = random_mix(stream->key, ~cursor->frames);
    uint64_t at = cursor->unit_at - stream->framing.width;
    for (size_t i = 0; i < bytes;) {
        uint64_t word = random_mix(key, (at + i) / 8) >> (8 * ((at + i) % 8));
        for (uint64_t j = (at + i) % 8; j < 8 && i < bytes; j++, word >>= 8) {
            out[i++] = (uint8_t)word;
        }
    }
}

/* At most to the end of the header, or of the unit. */
static size_t make_bytes(struct cursor *cursor, const struct stream *stream,
                         const struct step *step, uint8_t *out, size_t most)
{
    uint64_t left = cursor->unit_bytes - cursor->unit_at;
    bool header = step->verb != VERB_SEND && cursor->unit_at < stream->framing.width;
    if (header && left > stream->framing.width - cursor->unit_at) {
        left = stream->framing.width - cursor->unit_at;
    }
    size_t bytes = left < most ? (size_t)left : most;
    if (out != NULL && step->verb == VERB_SEND) {
        memcpy(out, stream->script->bytes + step->literal + cursor->unit_at, bytes);
    } else if (out != NULL && header) {
        for (size_t i = 0; i < bytes; i++) {
            out[i] =
                framing_byte(&stream->framing, cursor->declared, (unsigned)(cursor->unit_at + i));
        }
    } else if (out != NULL) {
        make_message(cursor, stream, out, bytes);
    }
    cursor->unit_at += bytes;
    return bytes;
}

size_t cursor_bytes(struct cursor *cursor, const struct stream *stream, uint8_t *out, size_t most)
{
    if (!cursor_sends(cursor, stream)) {
        return 0;
    }
    const struct step *step = cursor_step(cursor, stream);
    if (!cursor->begun) {
        begin(cursor, stream, step);
    }
    size_t done = 0;
    while (cursor->unit < cursor->units) {
        if (cursor->unit_at == cursor->unit_bytes) {
            cursor->frames++;
            if (++cursor->unit < cursor->units) {
                begin_unit(cursor, stream, step);
            }
        } else if (done < most) {
            done += make_bytes(cursor, stream, step, out == NULL ? NULL : out + done, most - done);
        } else {
            break;
        }
    }
    return done;
}
