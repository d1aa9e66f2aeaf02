/* One line of a log: exact as text, readable as JSON, and within its room whatever it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <cjson/cJSON.h>

#include "common/entry.h"

static char line[ENTRY_LINE_BYTES + 1];

static const char *text_of(const struct entry *entry)
{
    line[entry_write_text(entry, line)] = '\0';
    return line;
}

static const char *json_of(const struct entry *entry)
{
    line[entry_write_json(entry, line)] = '\0';
    return line;
}

static struct entry full_entry(void)
{
    struct entry entry;
    entry_init(&entry, ENTRY_CONNECTIONS, EVENT_CONNECTED, 1000000001);
    entry.t_ns = 12 * UINT64_C(1000000000) + 345;
    entry.worker = 3;
    assert_int_equal(berth_address_parse("127.0.0.1:4444", &entry.peer), 0);
    assert_int_equal(berth_address_parse("[::1]:50123", &entry.local), 0);
    entry_number(&entry, KEY_BYTES, 0);
    entry_number(&entry, KEY_ID, UINT64_MAX);
    entry_text(&entry, "a \"b\"\\\n\xff", 8);
    entry.reason = "it said so";
    return entry;
}

static void text_has_columns(void **state)
{
    (void)state;
    struct entry entry = full_entry();
    assert_string_equal(
        text_of(&entry),
        "   12.000000345 w3   1000000001 connections connected       peer=127.0.0.1:4444 "
        "local=[::1]:50123 bytes=0 id=18446744073709551615 text=\"a \\\"b\\\"\\\\\\u000a\\u00ff\" "
        "reason=\"it said so\"\n");
}

static void text_without_details_ends_at_its_last_word(void **state)
{
    (void)state;
    struct entry entry;
    entry_init(&entry, ENTRY_FLOW, EVENT_QUEUED, 0);
    entry.t_ns = 999999999;
    entry.worker = ENTRY_NO_WORKER;
    assert_string_equal(text_of(&entry), "    0.999999999 -    -          flow        queued\n");
}

static void json_has_the_same_fields(void **state)
{
    (void)state;
    struct entry entry = full_entry();
    assert_string_equal(
        json_of(&entry),
        "{\"t\":12000000345,\"worker\":3,\"mode\":\"connections\",\"event\":\"connected\","
        "\"conn\":1000000001,\"peer\":\"127.0.0.1:4444\",\"local\":\"[::1]:50123\",\"bytes\":0,"
        "\"id\":18446744073709551615,\"text\":\"a \\\"b\\\"\\\\\\u000a\\u00ff\","
        "\"reason\":\"it said so\"}\n");
    entry_init(&entry, ENTRY_ERROR, EVENT_LOST, 0);
    entry.t_ns = 0;
    entry.worker = ENTRY_NO_WORKER;
    assert_string_equal(json_of(&entry), "{\"t\":0,\"mode\":\"error\",\"event\":\"lost\"}\n");
}

/* The longest of everything still fits, and every byte of text can be read back. */
static void the_longest_line_fits(void **state)
{
    (void)state;
    char bytes[ENTRY_TEXT_BYTES + 7];
    char reason[1000];
    struct entry entry = full_entry();
    memset(bytes, 0x80, sizeof bytes);
    memset(reason, '\x01', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    entry.t_ns = UINT64_MAX;
    entry.conn = UINT64_MAX;
    entry.worker = UINT16_MAX - 1;
    entry.reason = reason;
    assert_int_equal(
        berth_address_parse("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", &entry.peer), 0);
    entry.local = entry.peer;
    entry.values_count = 0;
    entry_text(&entry, bytes, sizeof bytes);
    assert_int_equal(entry.values[0], 7);
    for (int i = 0; i < 2 * ENTRY_VALUES_MAX; i++) { /* those that have no room are dropped */
        entry_number(&entry, KEY_LEFT_OUT, UINT64_MAX);
    }
    assert_int_equal(entry.values_count, ENTRY_VALUES_MAX);
    assert_true(entry_write_text(&entry, line) <= ENTRY_LINE_BYTES);
    size_t length = entry_write_json(&entry, line);
    assert_true(length <= ENTRY_LINE_BYTES);
    line[length] = '\0';
    cJSON *json = cJSON_Parse(line);
    assert_non_null(json);
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "text");
    assert_int_equal(strlen(text->valuestring), 2 * ENTRY_TEXT_BYTES); /* U+0080 is two bytes */
    cJSON_Delete(json);
}

/* Every byte but 0, which cJSON's strings cannot hold, comes back as the character it stands for.
 */
static void every_byte_of_text_is_valid_json(void **state)
{
    (void)state;
    for (unsigned byte = 1; byte < 256; byte++) {
        struct entry entry;
        char raw = (char)byte;
        entry_init(&entry, ENTRY_DATA, EVENT_MESSAGE, 1);
        entry.t_ns = 1;
        entry.worker = 0;
        entry_text(&entry, &raw, 1);
        cJSON *json = cJSON_Parse(json_of(&entry));
        if (json == NULL) {
            fail_msg("byte %u makes %s", byte, line);
        }
        const unsigned char *text =
            (const unsigned char *)cJSON_GetObjectItemCaseSensitive(json, "text")->valuestring;
        unsigned got = byte < 0x80 ? text[0] : (text[0] & 3u) << 6 | (text[1] & 0x3fu);
        assert_int_equal(got, byte);
        cJSON_Delete(json);
    }
}

static void lists_of_modes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      ",",         "flow,", ",flow", "flow,,data",
                                      "flows", "flo",       "Flow",  " flow", "threads",
                                      "error", "flow data", "data,x"};
    const unsigned allowed =
        ENTRY_MODE_BIT(ENTRY_FLOW) | ENTRY_MODE_BIT(ENTRY_DATA) | ENTRY_MODE_BIT(ENTRY_CONNECTIONS);
    unsigned modes = 0;
    assert_true(entry_modes_read("data", allowed, &modes));
    assert_int_equal(modes, ENTRY_MODE_BIT(ENTRY_DATA));
    assert_true(entry_modes_read("connections,flow,data,flow", allowed, &modes));
    assert_int_equal(modes, allowed);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        modes = 77;
        if (entry_modes_read(bad[i], allowed, &modes) || modes != 77) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_columns),
        cmocka_unit_test(text_without_details_ends_at_its_last_word),
        cmocka_unit_test(json_has_the_same_fields),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(every_byte_of_text_is_valid_json),
        cmocka_unit_test(lists_of_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
