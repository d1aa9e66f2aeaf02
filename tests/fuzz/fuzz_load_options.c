/* berthload's command line. The input: its words, with newlines between. It is refused, for a
 * reason that begins with what is at fault, or it is a run that can be made: its framing makes
 * sense, its messages and their replies can be framed, its counts and times fit together. Read
 * twice it says the same.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berthload/options.h"

#define TEXT_MAX  1024
#define WORDS_MAX 40

static char program[] = "berthload";

static enum options_verdict read_words(char *text, size_t size, struct options *options, char *why)
{
    char *words[WORDS_MAX + 2] = {program};
    int count = 1;
    for (size_t at = 0; at < size && count < WORDS_MAX; at += strlen(text + at) + 1) {
        words[count++] = text + at;
    }
    return options_read(count, words, options, why);
}

static bool can_frame(const struct options *options, uint32_t message_bytes)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    uint32_t reply = message_bytes + (options->with_id ? 4 : 0);
    return reply <= options->message_max &&
           berth_frame_header(&options->framing, message_bytes, header) >= 0 &&
           berth_frame_header(&options->framing, reply, header) >= 0;
}

static void check_run(const struct options *options)
{
    FUZZ_CHECK(berth_framing_check(&options->framing, NULL) == BERTH_OK);
    FUZZ_CHECK(options->framing.message_bytes_max == options->message_max);
    FUZZ_CHECK(can_frame(options, options->message_bytes));
    FUZZ_CHECK(!options->sized ||
               (options->size_min <= options->size_max && can_frame(options, options->size_min)));
    FUZZ_CHECK(options->frame_bytes >= options->message_bytes);
    FUZZ_CHECK((uint64_t)options->frame_bytes * options->pipeline <= UINT64_C(3) << 29);
    FUZZ_CHECK((options->messages == 0) != (options->duration_ns == 0));
    FUZZ_CHECK(options->timeout_ns > options->duration_ns);
    FUZZ_CHECK(options->connections >= 1 && options->at_once >= 1);
    FUZZ_CHECK(options->at_once <= options->connections && options->flow <= options->connections);
    FUZZ_CHECK(options->pipeline >= 1 && options->workers <= 1023);
    unsigned long port = strtoul(options->port, NULL, 10);
    FUZZ_CHECK(options->host[0] != '\0' && port >= 1 && port <= UINT16_MAX);
    FUZZ_CHECK(strlen(options->host) < sizeof options->host);
    bool delimited = options->framing.kind == BERTH_FRAMING_DELIMITER;
    FUZZ_CHECK(options->avoid == (delimited ? options->framing.delimiter[0] : -1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX + 1];
    static struct options options;
    static struct options again;
    char why[OPTIONS_WHY_BYTES];
    char why_again[OPTIONS_WHY_BYTES];
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
    memset(why, '~', sizeof why);
    enum options_verdict verdict = read_words(text, size, &options, why);
    FUZZ_CHECK(read_words(text, size, &again, why_again) == verdict);
    if (verdict == OPTIONS_BAD || verdict == OPTIONS_ASK) {
        FUZZ_CHECK(memchr(why, '\0', sizeof why) != NULL && strcmp(why, why_again) == 0);
        FUZZ_CHECK(strlen(why) > 5 && strstr(why, ": ") != NULL);
    } else if (verdict == OPTIONS_RUN) {
        check_run(&options);
        FUZZ_CHECK(memcmp(&options, &again, sizeof options) == 0);
    }
    return 0;
}
