/* Reads the scripts of vex: a table of verbs, and one pass over the text.
 *
 * The text is borrowed; steps and literal bytes are the script's own. What can be known before
 * anything is sent is refused here: a verb that needs a connection where there is none, a connect
 * on top of another, a repeat whose second round would not find what the first one found.
 */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the connection must be before a step, and is after it. */
enum needs { ANYTHING, OPEN, CLOSED, OPEN_THEN_CLOSED };

enum argument { NOTHING, NUMBER, TIME, TIME_IF_ANY, NUMBER_IF_ANY, LITERAL, PIECES };

static const struct {
    const char *word;
    enum verb verb;
    enum needs needs;
    enum argument first;
    enum argument second;
} verbs[] = {
    {"connect", VERB_CONNECT, CLOSED, NOTHING, NOTHING},
    {"rcvbuf", VERB_RCVBUF, ANYTHING, NUMBER, NOTHING},
    {"sndbuf", VERB_SNDBUF, ANYTHING, NUMBER, NOTHING},
    {"bytes", VERB_BYTES, ANYTHING, PIECES, NOTHING},
    {"noread", VERB_NOREAD, ANYTHING, NOTHING, NOTHING},
    {"doread", VERB_DOREAD, ANYTHING, NOTHING, NOTHING},
    {"send", VERB_SEND, OPEN, LITERAL, NOTHING},
    {"frame", VERB_FRAMES, OPEN, NOTHING, NUMBER},
    {"frames", VERB_FRAMES, OPEN, NUMBER, NUMBER},
    {"part", VERB_PART, OPEN, NUMBER, NUMBER},
    {"ping", VERB_PING, OPEN, NUMBER, NOTHING},
    {"read", VERB_READ, OPEN, NUMBER, NOTHING},
    {"replies", VERB_REPLIES, OPEN, NUMBER_IF_ANY, NOTHING},
    {"pause", VERB_PAUSE, ANYTHING, TIME, NOTHING},
    {"shut", VERB_SHUT, OPEN, NOTHING, NOTHING},
    {"close", VERB_CLOSE, OPEN_THEN_CLOSED, NOTHING, NOTHING},
    {"reset", VERB_RESET, OPEN_THEN_CLOSED, NOTHING, NOTHING},
    {"vanish", VERB_VANISH, OPEN_THEN_CLOSED, NOTHING, NOTHING},
    {"expect-eof", VERB_EXPECT_EOF, OPEN, TIME_IF_ANY, NOTHING},
    {"expect-reset", VERB_EXPECT_RESET, OPEN, TIME_IF_ANY, NOTHING},
    {"expect-end", VERB_EXPECT_END, OPEN, TIME_IF_ANY, NOTHING},
    {"repeat", VERB_REPEAT, ANYTHING, NUMBER, NOTHING},
    {"}", VERB_AGAIN, ANYTHING, NOTHING, NOTHING},
};
#define VERBS_COUNT (sizeof verbs / sizeof verbs[0])

struct word {
    const char *text;
    size_t bytes;
};

struct reader {
    const char *text;
    size_t bytes;
    size_t at;
    struct script *script;
    struct script_error *error;
    struct word verb; /* of the step that is read */
    size_t steps_room;
    bool open; /* whether there is a connection, at this place of the script */
    unsigned depth;
    uint32_t repeats[SCRIPT_DEPTH_MAX];
    bool open_before[SCRIPT_DEPTH_MAX];
    uint32_t doing; /* steps so far that are no repeat and no brace */
    uint32_t doing_before[SCRIPT_DEPTH_MAX];
};

/* ----------------------------------------------------------------------------------------- errors
 */

/* Where in the text, for people: counted from 1, with the line if there are several. */
static void place_of(const char *text, size_t position, char *out, size_t bytes)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < position; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    if (line == 1) {
        snprintf(out, bytes, "%zu", column);
    } else {
        snprintf(out, bytes, "line %zu, %zu", line, column);
    }
}

/* A word as it may be shown: short, and printable. */
#define SHOWN_BYTES 24

struct shown {
    char text[SHOWN_BYTES + 4];
};

static struct shown show(struct word word)
{
    struct shown shown;
    size_t bytes = word.bytes < SHOWN_BYTES ? word.bytes : SHOWN_BYTES;
    for (size_t i = 0; i < bytes; i++) {
        char c = word.text[i];
        shown.text[i] = '?';
        if (c >= ' ' && c <= '~') {
            shown.text[i] = c;
        }
    }
    snprintf(shown.text + bytes, sizeof shown.text - bytes, "%s", bytes < word.bytes ? "..." : "");
    return shown;
}

static bool fail(struct reader *reader, const char *what, struct word word)
{
    char place[64];
    place_of(reader->text, (size_t)(reader->verb.text - reader->text), place, sizeof place);
    snprintf(reader->error->text, sizeof reader->error->text, "step %u, '%s' at %s: %s%s%s%s",
             reader->script->steps_count + 1, show(reader->verb).text, place,
             word.bytes > 0 ? "'" : "", word.bytes > 0 ? show(word).text : "",
             word.bytes > 0 ? "' " : "", what);
    return false;
}

static bool fail_plainly(struct reader *reader, const char *what)
{
    return fail(reader, what, (struct word){"", 0});
}

/* ------------------------------------------------------------------------------------------ words
 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_step(char c)
{
    return c == ';' || c == '\n' || c == '{' || c == '}' || c == '#';
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->bytes && is_blank(reader->text[reader->at])) {
        reader->at++;
    }
}

/* To the first character of the next step: over separators and remarks. */
static void skip_to_step(struct reader *reader)
{
    bool remark = false;
    while (reader->at < reader->bytes) {
        char c = reader->text[reader->at];
        remark = c == '#' || (remark && c != '\n');
        if (!remark && !is_blank(c) && c != ';' && c != '\n') {
            return;
        }
        reader->at++;
    }
}

/* The next word of this step; no bytes if there is none. */
static struct word next_word(struct reader *reader)
{
    skip_blanks(reader);
    struct word word = {reader->text + reader->at, 0};
    while (reader->at < reader->bytes && !is_blank(reader->text[reader->at]) &&
           !ends_step(reader->text[reader->at]) && reader->text[reader->at] != '"') {
        reader->at++;
        word.bytes++;
    }
    return word;
}

static bool is_word(struct word word, const char *text)
{
    return strlen(text) == word.bytes && memcmp(word.text, text, word.bytes) == 0;
}

/* ---------------------------------------------------------------------------------------- numbers
 */

/* Digits, and behind them a unit of time if it is one. */
static bool read_number(struct word word, bool time, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t microseconds;
    } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}};
    uint64_t value = 0;
    size_t i = 0;
    for (; i < word.bytes && word.text[i] >= '0' && word.text[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(word.text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    struct word unit = {word.text + i, word.bytes - i};
    *out = value;
    if (i == 0 || !time) {
        return i > 0 && unit.bytes == 0;
    }
    for (size_t j = 0; j < sizeof units / sizeof units[0]; j++) {
        if (is_word(unit, units[j].unit)) {
            *out = value * units[j].microseconds;
            return value <= SCRIPT_TIME_MAX_US / units[j].microseconds;
        }
    }
    return false;
}

/* N or N..M. */
static bool read_range(struct word word, bool time, struct range *out)
{
    for (size_t i = 0; i + 1 < word.bytes; i++) {
        if (word.text[i] == '.' && word.text[i + 1] == '.') {
            struct word high = {word.text + i + 2, word.bytes - i - 2};
            return read_number((struct word){word.text, i}, time, &out->low) &&
                   read_number(high, time, &out->high) && out->low <= out->high;
        }
    }
    bool good = read_number(word, time, &out->low);
    out->high = out->low;
    return good;
}

static bool read_argument(struct reader *reader, bool time, bool may_lack, struct range *out)
{
    struct word word = next_word(reader);
    if (word.bytes == 0 && may_lack) {
        return true;
    }
    if (word.bytes == 0) {
        return fail_plainly(reader, time ? "needs a time, as 50ms" : "needs a number");
    }
    if (!read_range(word, time, out)) {
        return fail(reader, time ? "is no time up to an hour, as 50ms or 1s..2s" : "is no number",
                    word);
    }
    return true;
}

/* ---------------------------------------------------------------------------------- literal bytes
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void add_byte(struct script *script, int byte)
{
    script->bytes[script->bytes_count++] = (uint8_t)byte; /* there is room: script_parse */
}

static bool read_hex(struct reader *reader, struct word word)
{
    for (size_t i = 0; i < word.bytes; i += 2) {
        int high = hex_digit(word.text[i]);
        int low = i + 1 < word.bytes ? hex_digit(word.text[i + 1]) : -1;
        if (high < 0 || low < 0) {
            return fail(reader, "is no run of bytes in hexadecimal, and not in quotes", word);
        }
        add_byte(reader->script, high * 16 + low);
    }
    return true;
}

/* What follows a backslash; how many characters that took, or 0. */
static size_t read_escape(const char *text, size_t bytes, int *out)
{
    static const char names[] = "rnt0\\\"";
    static const char values[] = "\r\n\t\0\\\"";
    for (size_t i = 0; bytes > 0 && i < sizeof names - 1; i++) {
        if (text[0] == names[i]) {
            *out = (unsigned char)values[i];
            return 1;
        }
    }
    if (bytes < 3 || text[0] != 'x' || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0) {
        return 0;
    }
    *out = hex_digit(text[1]) * 16 + hex_digit(text[2]);
    return 3;
}

static bool read_quoted(struct reader *reader)
{
    size_t at = reader->at + 1;
    while (at < reader->bytes && reader->text[at] != '"') {
        int byte = (unsigned char)reader->text[at];
        size_t used = 1;
        if (byte == '\\') {
            used = read_escape(reader->text + at + 1, reader->bytes - at - 1, &byte);
            if (used == 0) {
                return fail(reader, "is no escape: \\r \\n \\t \\0 \\\\ \\\" \\xHH",
                            (struct word){reader->text + at, reader->bytes - at > 1 ? 2 : 1});
            }
            used++;
        }
        add_byte(reader->script, byte);
        at += used;
    }
    if (at >= reader->bytes) {
        return fail_plainly(reader, "has quotes that are not closed");
    }
    reader->at = at + 1;
    return true;
}

static bool read_literal(struct reader *reader, struct step *step)
{
    step->literal = reader->script->bytes_count;
    bool some = false;
    for (;;) {
        struct word word = next_word(reader);
        bool quoted =
            word.bytes == 0 && reader->at < reader->bytes && reader->text[reader->at] == '"';
        if (word.bytes == 0 && !quoted) {
            break;
        }
        if (!(quoted ? read_quoted(reader) : read_hex(reader, word))) {
            return false;
        }
        some = true;
    }
    step->literal_bytes = reader->script->bytes_count - step->literal;
    return some || fail_plainly(reader, "needs bytes: 0500 in hexadecimal, or \"text\"");
}

/* ------------------------------------------------------------------------------------------ steps
 */

/* all, or N each TIME. */
static bool read_pieces(struct reader *reader, struct step *step)
{
    size_t before = reader->at;
    if (is_word(next_word(reader), "all")) {
        return true;
    }
    reader->at = before;
    if (!read_argument(reader, false, false, &step->first)) {
        return false;
    }
    if (step->first.low == 0) {
        return fail_plainly(reader, "needs at least 1, or all");
    }
    if (!is_word(next_word(reader), "each")) {
        return fail_plainly(reader, "is written: bytes 1 each 100ms, or bytes all");
    }
    return read_argument(reader, true, false, &step->second);
}

static bool read_by_kind(struct reader *reader, enum argument kind, struct step *step,
                         struct range *out)
{
    switch (kind) {
    case NOTHING:
        return true;
    case NUMBER:
    case NUMBER_IF_ANY:
        return read_argument(reader, false, kind == NUMBER_IF_ANY, out);
    case TIME:
    case TIME_IF_ANY:
        return read_argument(reader, true, kind == TIME_IF_ANY, out);
    case LITERAL:
        return read_literal(reader, step);
    case PIECES:
        return read_pieces(reader, step);
    }
    return false;
}

/* Keeps the books of what is connected where. */
static bool track(struct reader *reader, enum needs needs)
{
    if (needs == CLOSED && reader->open) {
        return fail_plainly(reader, "there is a connection: close, reset or vanish comes first");
    }
    if ((needs == OPEN || needs == OPEN_THEN_CLOSED) && !reader->open) {
        return fail_plainly(reader, "there is no connection here: connect comes first");
    }
    if (needs != ANYTHING) {
        reader->open = needs != OPEN_THEN_CLOSED;
    }
    return true;
}

static bool open_repeat(struct reader *reader, const struct step *step)
{
    if (step->first.low == 0) {
        return fail_plainly(reader, "needs at least 1 round");
    }
    skip_blanks(reader);
    if (reader->at == reader->bytes || reader->text[reader->at] != '{') {
        return fail_plainly(reader, "is written: repeat 10 { ... }");
    }
    reader->at++;
    if (reader->depth == SCRIPT_DEPTH_MAX) {
        return fail_plainly(reader, "is the fifth in one another, and four are the most");
    }
    reader->repeats[reader->depth] = reader->script->steps_count;
    reader->open_before[reader->depth] = reader->open;
    reader->doing_before[reader->depth] = reader->doing;
    reader->depth++;
    return true;
}

static bool close_repeat(struct reader *reader, struct step *step)
{
    if (reader->depth == 0) {
        return fail_plainly(reader, "closes no repeat");
    }
    reader->depth--;
    if (reader->open != reader->open_before[reader->depth]) {
        return fail_plainly(reader, reader->open
                                        ? "the second round would connect again: close first"
                                        : "the second round would find no connection");
    }
    if (reader->doing == reader->doing_before[reader->depth]) {
        return fail_plainly(reader, "closes a repeat of nothing");
    }
    uint32_t opening = reader->repeats[reader->depth];
    step->other = opening;
    reader->script->steps[opening].other = reader->script->steps_count;
    return true;
}

static bool add_step(struct reader *reader, const struct step *step)
{
    struct script *script = reader->script;
    if (script->steps_count == reader->steps_room) {
        size_t room = reader->steps_room == 0 ? 16 : reader->steps_room * 2;
        struct step *steps = realloc(script->steps, room * sizeof *steps);
        if (steps == NULL) {
            return fail_plainly(reader, "there is no memory for so many steps");
        }
        script->steps = steps;
        reader->steps_room = room;
    }
    script->steps[script->steps_count++] = *step;
    return true;
}

static bool read_step(struct reader *reader)
{
    bool brace = reader->text[reader->at] == '}';
    reader->verb = (struct word){reader->text + reader->at, 1};
    if (brace) {
        reader->at++;
    } else if ((reader->verb = next_word(reader)).bytes == 0) {
        reader->verb.bytes = 1;
    }
    size_t which = 0;
    while (which < VERBS_COUNT && !is_word(reader->verb, verbs[which].word)) {
        which++;
    }
    if (which == VERBS_COUNT) {
        return fail_plainly(reader, "is no verb; vex --help lists them");
    }
    struct step step = {.verb = verbs[which].verb,
                        .position = (uint32_t)(reader->verb.text - reader->text),
                        .verb_bytes = (uint32_t)reader->verb.bytes};
    if (step.verb == VERB_FRAMES) {
        step.first = (struct range){1, 1};
    }
    if (!track(reader, verbs[which].needs) ||
        !read_by_kind(reader, verbs[which].first, &step, &step.first) ||
        !read_by_kind(reader, verbs[which].second, &step, &step.second)) {
        return false;
    }
    if (step.verb == VERB_REPEAT) {
        return open_repeat(reader, &step) && add_step(reader, &step);
    }
    if (step.verb == VERB_AGAIN) {
        return close_repeat(reader, &step) && add_step(reader, &step);
    }
    reader->doing++;
    skip_blanks(reader);
    if (reader->at < reader->bytes &&
        (!ends_step(reader->text[reader->at]) || reader->text[reader->at] == '{')) {
        struct word word = next_word(reader);
        word.bytes = word.bytes == 0 ? 1 : word.bytes;
        return fail(reader, "is more than it takes", word);
    }
    return add_step(reader, &step);
}

/* --------------------------------------------------------------------------------------- in public
 */

bool script_parse(const char *text, size_t bytes, struct script *out, struct script_error *error)
{
    *out = (struct script){0};
    error->text[0] = '\0';
    struct reader reader = {.text = text, .bytes = bytes, .script = out, .error = error};
    reader.verb = (struct word){text, bytes};
    bool good = true;
    if (bytes > SCRIPT_BYTES_MAX) {
        good = fail_plainly(&reader, "is more than a mebibyte of script");
    } else if ((out->bytes = malloc(bytes + 1)) == NULL) { /* no literal is longer than its text */
        good = fail_plainly(&reader, "there is no memory for the script");
    }
    if (good) {
        skip_to_step(&reader);
    }
    while (good && reader.at < bytes) {
        good = read_step(&reader);
        skip_to_step(&reader);
    }
    if (good && out->steps_count == 0) {
        good = fail_plainly(&reader, "has no step");
    } else if (good && reader.depth > 0) {
        uint32_t opening = reader.repeats[reader.depth - 1];
        reader.verb = (struct word){text + out->steps[opening].position, strlen("repeat")};
        out->steps_count = opening; /* the step that the error is about */
        good = fail_plainly(&reader, "its brace is not closed");
    }
    if (!good) {
        script_fini(out);
    }
    return good;
}

void script_fini(struct script *script)
{
    free(script->steps);
    free(script->bytes);
    *script = (struct script){0};
}

const char *script_place(const char *text, const struct script *script, uint32_t step, char *out,
                         size_t bytes)
{
    const struct step *which = &script->steps[step];
    char place[64];
    place_of(text, which->position, place, sizeof place);
    snprintf(out, bytes, "step %u, '%.*s' at %s", step + 1, (int)which->verb_bytes,
             text + which->position, place);
    return out;
}

bool script_fits(const struct script *script, const char *text, unsigned width,
                 struct script_error *error)
{
    uint64_t most = width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
    for (uint32_t i = 0; i < script->steps_count; i++) {
        const struct step *step = &script->steps[i];
        bool declares = step->verb == VERB_PART || step->verb == VERB_PING;
        uint64_t length = step->verb == VERB_FRAMES ? step->second.high
                          : declares                ? step->first.high
                                                    : 0;
        if (length > most) {
            char place[96];
            snprintf(error->text, sizeof error->text,
                     "%s: a length of %u bytes cannot declare that much",
                     script_place(text, script, i, place, sizeof place), width);
            return false;
        }
    }
    return true;
}
