/* A line of the log. An entry made of the input's bytes becomes a line of text and one of JSON,
 * each within its room, one line long, of printable ASCII only, with its quotes in pairs; and the
 * input as a list of modes is refused, or reads the same when it is written. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "common/entry.h"

static void check_line(const char *line, size_t bytes)
{
    bool quoted = false;
    FUZZ_CHECK(bytes > 0 && bytes <= ENTRY_LINE_BYTES);
    for (size_t i = 0; i < bytes; i++) {
        bool last = i + 1 == bytes;
        FUZZ_CHECK(last ? line[i] == '\n' : line[i] >= ' ' && line[i] < 0x7f);
        if (quoted && line[i] == '\\') {
            FUZZ_CHECK(!last);
            i++; /* whatever follows it belongs to it */
        } else if (line[i] == '"') {
            quoted = !quoted;
        }
    }
    FUZZ_CHECK(!quoted);
}

static void fill(struct entry *entry, const uint8_t *data, size_t size)
{
    entry_init(entry, (enum entry_mode)(data[0] % ENTRY_MODES_COUNT),
               (enum entry_event)(data[1] % ENTRY_EVENTS_COUNT), data[2]);
    entry->t_ns = (uint64_t)data[3] << 56 | data[2];
    entry->worker = data[3] < 128 ? data[3] : ENTRY_NO_WORKER;
    for (size_t i = 0; i < data[2] % 9u; i++) {
        entry_number(entry, (enum entry_key)(data[i % size] % ENTRY_KEYS_COUNT),
                     UINT64_MAX / (i + 1) - data[0]);
    }
    if (data[1] > 128 && size > 40) {
        entry->peer = (struct berth_address){.family = BERTH_IPV6, .port = data[4]};
        memcpy(entry->peer.bytes, data + 5, sizeof entry->peer.bytes);
        entry->local = entry->peer;
        entry->local.family = BERTH_IPV4;
    }
    entry_text(entry, data + 4, size - 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[ENTRY_LINE_BYTES];
    char text[200];
    char modes[ENTRY_MODES_TEXT_BYTES];
    struct entry entry;
    unsigned found = 0;
    unsigned again = 0;
    if (size < 5 || size > 4096) {
        return 0;
    }
    memset(text, 0, sizeof text);
    memcpy(text, data, size < sizeof text - 1 ? size : sizeof text - 1);
    fill(&entry, data, size);
    entry.reason = text;
    check_line(line, entry_write_text(&entry, line));
    check_line(line, entry_write_json(&entry, line));
    if (entry_modes_read(text, ~0u, &found)) {
        FUZZ_CHECK(entry_modes_read(entry_modes_write(found, modes), ~0u, &again));
        FUZZ_CHECK(found == again);
    }
    return 0;
}
