/* berthd's settings as the command line gives them. The input: for each setting a byte that chooses
 * it, and its text up to a newline. A text is refused with a reason in one line that shows it, or
 * taken; the same texts make the same settings; and settings that fit together are a configuration
 * that the library takes, or one in which it finds fault with a field that some setting sets.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#include "berthd/settings.h"
#include "core/core.h"

#define TEXT_MAX 1024

static struct options first;
static struct options again;

static void check_why(const char *why, const struct setting *setting)
{
    FUZZ_CHECK(why[0] == '\'');
    for (const char *at = why; *at != '\0'; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
    size_t tail = strlen(setting->wants);
    FUZZ_CHECK(strlen(why) > tail && strcmp(why + strlen(why) - tail, setting->wants) == 0);
}

/* Takes all of them, as far as they are taken. */
static void take_all(char *text, size_t size, struct options *options)
{
    size_t at = 0;
    settings_begin(options);
    while (at + 1 < size) {
        size_t which = (uint8_t)text[at] % settings_count;
        const char *value = text + at + 1;
        char why[OPTIONS_WHY_BYTES] = "";
        const struct given given = {value, GIVEN_AS_OPTION};
        if (settings_take(options, which, given, why)) {
            FUZZ_CHECK(options->given[which].text == value);
        } else {
            check_why(why, &settings[which]);
        }
        at += 1 + strlen(value) + 1;
    }
}

/* As berthd's main.c makes it of the settings that the library checks. */
static struct berth_config config_of(const struct options *o)
{
    struct berth_config c;
    berth_config_init(&c);
    c.backend = o->backend;
    c.workers = o->workers;
    c.connections_max = o->max_connections;
    c.first_message_timeout_ms = o->timeouts_ms[TIMEOUT_FIRST_MESSAGE];
    c.message_timeout_ms = o->timeouts_ms[TIMEOUT_MESSAGE];
    c.receive_idle_timeout_ms = o->timeouts_ms[TIMEOUT_RECEIVE_IDLE];
    c.send_idle_timeout_ms = o->timeouts_ms[TIMEOUT_SEND_IDLE];
    c.send_progress_timeout_ms = o->timeouts_ms[TIMEOUT_SEND_PROGRESS];
    if (o->buffer_size > 0) {
        c.receive_bytes = o->buffer_size;
        c.send_bytes = o->buffer_size;
    }
    if (o->receive_buffers > 0) {
        c.receive_buffers = o->receive_buffers;
    }
    c.send_high_bytes = o->send_high_bytes;
    c.send_low_bytes = o->send_low_bytes;
    c.send_max_bytes = o->send_max_bytes;
    c.pool_bytes = o->pool_bytes;
    c.linger_timeout_ms = o->linger_ms;
    c.stop_timeout_ms = o->stop_timeout_ms;
    c.window_messages = o->window;
    c.window_bytes = o->window_bytes;
    return c;
}

/* Whether a setting answers for this field of the library's. */
static bool is_set(const char *field)
{
    char word[64];
    snprintf(word, sizeof word, " %s ", field);
    for (size_t i = 0; i < settings_count; i++) {
        if (strstr(settings[i].fields, word) != NULL) {
            return true;
        }
    }
    return false;
}

static void check_settled(const struct options *options)
{
    struct berth_error error = {.text = ""};
    struct berth_config config = config_of(options);
    FUZZ_CHECK(berth_framing_check(&options->framing, &error) == BERTH_OK);
    FUZZ_CHECK(options->framing.message_bytes_max == options->max_message);
    if (config_resolve(&config, &error) != BERTH_OK) {
        FUZZ_CHECK(is_set(error.setting));
    }
}

/* All but where the texts come from, which has holes. */
static void check_same(void)
{
    const uint8_t *one = (const uint8_t *)&first;
    const uint8_t *other = (const uint8_t *)&again;
    size_t from = offsetof(struct options, listens_count);
    FUZZ_CHECK(memcmp(one, other, offsetof(struct options, listens_given)) == 0);
    FUZZ_CHECK(memcmp(one + from, other + from, offsetof(struct options, given) - from) == 0);
    for (size_t i = 0; i < settings_count; i++) {
        FUZZ_CHECK(first.given[i].text == again.given[i].text);
        FUZZ_CHECK(first.given[i].line == again.given[i].line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX + 1];
    char why[OPTIONS_WHY_BYTES] = "";
    if (size > TEXT_MAX) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == '\n' ? '\0' : text[i];
    }
    take_all(text, size, &first);
    take_all(text, size, &again);
    check_same();
    if (options_settle(&first, why)) {
        check_settled(&first);
    } else {
        FUZZ_CHECK(strncmp(why, "--", 2) == 0 && strlen(why) < sizeof why);
    }
    return 0;
}
