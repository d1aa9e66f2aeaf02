/* The configuration file. Any bytes are either refused, with the name, a line and a reason in one
 * line of text, or read; what was read can be written, and reads as the same settings again.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berthd/config.h"
#include "berthd/settings.h"

static struct options first;
static struct options again;

static void check_refused(const char *why, size_t size)
{
    static const char name[] = "a.ini:";
    FUZZ_CHECK(strncmp(why, name, sizeof name - 1) == 0);
    char *end = NULL;
    unsigned long line = strtoul(why + sizeof name - 1, &end, 10);
    FUZZ_CHECK(line >= 1 && line <= size + 1);
    FUZZ_CHECK(end[0] == ':' && end[1] == ' ' && end[2] != '\0');
    for (const char *at = why; *at != '\0'; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
}

static void check_same(void)
{
    FUZZ_CHECK(again.listens_count == first.listens_count);
    for (uint32_t i = 0; i < first.listens_count; i++) {
        FUZZ_CHECK(memcmp(&again.listens[i], &first.listens[i], sizeof first.listens[i]) == 0);
    }
    for (size_t i = 0; i < settings_count; i++) {
        FUZZ_CHECK(strcmp(again.given[i].text, first.given[i].text) == 0);
    }
    FUZZ_CHECK(again.max_connections == first.max_connections && again.workers == first.workers &&
               again.backend == first.backend && again.pool_bytes == first.pool_bytes &&
               again.receive_buffers == first.receive_buffers);
}

/* Writes what was read, reads it, and holds the two together. */
static void check_written(bool settled)
{
    static char why[OPTIONS_WHY_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    FUZZ_CHECK(out != NULL);
    bool written = config_write(&first, out, why);
    FUZZ_CHECK(fclose(out) == 0);
    FUZZ_CHECK(written); /* what a file has said, a file can say */
    settings_begin(&again);
    again.config = "a.ini";
    FUZZ_CHECK(config_read(text, bytes, &again, why));
    FUZZ_CHECK(options_settle(&again, why) == settled);
    check_same();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char why[OPTIONS_WHY_BYTES];
    uint8_t *text = fuzz_copy(data, size);
    settings_begin(&first);
    first.config = "a.ini";
    if (config_read(size > 0 ? (const char *)text : "", size, &first, why)) {
        bool settled = options_settle(&first, why);
        if (settled) {
            FUZZ_CHECK(berth_framing_check(&first.framing, NULL) == BERTH_OK);
        } else {
            FUZZ_CHECK(why[0] != '\0');
        }
        check_written(settled);
    } else {
        check_refused(why, size);
    }
    free(text);
    return 0;
}
