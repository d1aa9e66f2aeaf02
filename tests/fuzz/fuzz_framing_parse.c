/* The grammar of framings. The input: 4 bytes of maximum, then the text up to its first zero. What
 * is accepted makes sense and works; what is refused says why and changes nothing.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const settings[] = {
    "kind",          "message_bytes_max", "framing",   "length_bytes",
    "length_offset", "length_adjust",     "delimiter",
};

static bool is_setting(const char *name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strcmp(name, settings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void check_refused(const char *text, const struct berth_framing *out,
                          const struct berth_error *error)
{
    FUZZ_CHECK(fuzz_is_filled(out, sizeof *out));
    FUZZ_CHECK(error->code == BERTH_E_INVALID);
    FUZZ_CHECK(error->system == 0);
    FUZZ_CHECK(error->setting != NULL && is_setting(error->setting));
    const char *end = memchr(error->text, '\0', sizeof error->text);
    FUZZ_CHECK(end != NULL && end != error->text);
    for (const char *at = error->text; at < end; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
    FUZZ_CHECK(strlen(text) > 0 || strcmp(error->setting, "kind") == 0);
}

/* A text and a part that says what has been said, or nothing, is never accepted. */
static void check_longer(const char *text, uint32_t max, const char *more)
{
    size_t room = strlen(text) + strlen(more) + 1;
    char *longer = malloc(room);
    FUZZ_CHECK(longer != NULL);
    snprintf(longer, room, "%s%s", text, more);
    struct berth_framing framing;
    FUZZ_CHECK(berth_framing_parse(longer, max, &framing, NULL) == BERTH_E_INVALID);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint32_t max = fuzz_number(&input, 4);
    char *text = malloc(input.left + 1);
    FUZZ_CHECK(text != NULL);
    if (input.left > 0) {
        memcpy(text, input.at, input.left);
    }
    text[input.left] = '\0';

    struct berth_framing framing;
    memset(&framing, FUZZ_FILL, sizeof framing);
    struct berth_error error;
    memset(&error, FUZZ_FILL, sizeof error);
    int code = berth_framing_parse(text, max, &framing, &error);
    if (code == BERTH_OK) {
        FUZZ_CHECK(framing.kind != BERTH_FRAMING_CUSTOM);
        FUZZ_CHECK(framing.message_bytes_max == max || framing.kind == BERTH_FRAMING_FIXED);
        check_longer(text, max, ":");
        check_longer(text, max, ":nonempty:nonempty");
        check_longer(text, max, ":?");
        fuzz_framing(&framing, input);
    } else {
        FUZZ_CHECK(code == BERTH_E_INVALID);
        check_refused(text, &framing, &error);
    }
    free(text);
    return 0;
}
