/* The scripts of vex. Any bytes are a script or are refused with a place and a reason of one line;
 * a script's braces find each other; and what it sends is the same bytes in pieces of any size.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "vex/script.h"
#include "vex/stream.h"

/* How far a script is followed: repeats make long ones of short ones. */
#define STEPS_MAX 200
#define BYTES_MAX 2048

static void check_error(const struct script_error *error, const struct script *script)
{
    FUZZ_CHECK(script->steps == NULL && script->bytes == NULL);
    FUZZ_CHECK(memchr(error->text, '\0', sizeof error->text) != NULL);
    FUZZ_CHECK(strncmp(error->text, "step ", 5) == 0);
    FUZZ_CHECK(strstr(error->text, "' at ") != NULL);
    for (const char *at = error->text; *at != '\0'; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
}

static void check_steps(const char *text, size_t size, const struct script *script)
{
    FUZZ_CHECK(script->steps_count > 0);
    for (uint32_t i = 0; i < script->steps_count; i++) {
        const struct step *step = &script->steps[i];
        FUZZ_CHECK(step->position + step->verb_bytes <= size);
        FUZZ_CHECK(step->first.low <= step->first.high && step->second.low <= step->second.high);
        FUZZ_CHECK(step->literal + step->literal_bytes <= script->bytes_count);
        if (step->verb == VERB_REPEAT || step->verb == VERB_AGAIN) {
            FUZZ_CHECK(step->other < script->steps_count && script->steps[step->other].other == i);
        }
        char place[100];
        char cut[8];
        FUZZ_CHECK(script_place(text, script, i, place, sizeof place) == place);
        FUZZ_CHECK(script_place(text, script, i, cut, sizeof cut) == cut);
    }
}

/* The first bytes that it sends, taken in pieces; how many. */
static size_t follow(const struct stream *stream, size_t piece, uint8_t *out)
{
    size_t count = 0;
    struct cursor cursor;
    cursor_start(&cursor, stream);
    for (unsigned steps = 0; steps < STEPS_MAX && cursor_step(&cursor, stream) != NULL; steps++) {
        size_t got = 0;
        do {
            size_t room = BYTES_MAX - count;
            got = cursor_bytes(&cursor, stream, out + count, piece < room ? piece : room);
            count += got;
        } while (got > 0);
        if (!cursor_sent_all(&cursor, stream)) {
            break; /* there is no room for more */
        }
        FUZZ_CHECK(cursor.depth <= SCRIPT_DEPTH_MAX);
        cursor_advance(&cursor, stream);
    }
    cursor_skip_to_end_of_connection(&cursor, stream);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script;
    struct script_error error;
    char *text = (char *)fuzz_copy(data, size);
    if (script_parse(text, size, &script, &error)) {
        static uint8_t first[BYTES_MAX];
        static uint8_t again[BYTES_MAX];
        check_steps(text, size, &script);
        struct stream stream = {&script, {.width = 4}, size};
        size_t count = follow(&stream, BYTES_MAX, first);
        FUZZ_CHECK(follow(&stream, 1 + size % 7, again) == count);
        FUZZ_CHECK(memcmp(first, again, count) == 0);
        (void)script_fits(&script, text, 1, &error);
        script_fini(&script);
    } else {
        check_error(&error, &script);
    }
    free(text);
    return 0;
}
