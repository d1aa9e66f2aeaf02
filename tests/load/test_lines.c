/* Lines cut from what comes in any pieces, and commands read from lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "lines.h"

static void lines_come_whole_in_any_pieces(void **state)
{
    static const char input[] = "one\n\ntwo\0x\nthree";
    (void)state;
    for (size_t piece = 1; piece < sizeof input; piece++) {
        struct lines lines;
        char line[LINE_BYTES_MAX];
        char seen[100] = "";
        lines_init(&lines, -1);
        for (size_t at = 0; at < sizeof input - 1; at += piece) {
            size_t left = sizeof input - 1 - at;
            assert_int_equal(lines_give(&lines, input + at, left < piece ? left : piece),
                             left < piece ? left : piece);
            enum lines_verdict verdict;
            while ((verdict = lines_take(&lines, line)) == LINES_LINE) {
                size_t bytes = strlen(seen);
                snprintf(seen + bytes, sizeof seen - bytes, "%.20s|", line);
            }
            assert_int_equal(verdict, LINES_WAIT);
        }
        assert_string_equal(seen, "one||two\1x|"); /* what has no newline is no line */
    }
}

static void a_line_that_is_too_long_is_dropped_whole(void **state)
{
    struct lines lines;
    char line[LINE_BYTES_MAX];
    (void)state;
    lines_init(&lines, -1);
    for (int i = 0; i < 3 * LINE_BYTES_MAX; i++) {
        assert_int_equal(lines_give(&lines, "x", 1), 1);
        assert_int_equal(lines_take(&lines, line), LINES_WAIT);
    }
    assert_int_equal(lines_give(&lines, "\nnext\n", 6), 6);
    assert_int_equal(lines_take(&lines, line), LINES_LONG);
    assert_int_equal(lines_take(&lines, line), LINES_LINE);
    assert_string_equal(line, "next");
    /* The longest that fits, with its newline, fills the buffer. */
    char longest[LINE_BYTES_MAX];
    memset(longest, 'y', sizeof longest);
    longest[sizeof longest - 1] = '\n';
    assert_int_equal(lines_give(&lines, longest, sizeof longest), sizeof longest);
    assert_int_equal(lines_take(&lines, line), LINES_LINE);
    assert_int_equal(strlen(line), LINE_BYTES_MAX - 1);
}

static void reading_ends_with_the_input(void **state)
{
    struct lines lines;
    char line[LINE_BYTES_MAX];
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a\nb", 3), 3);
    close(ends[1]);
    lines_init(&lines, ends[0]);
    assert_int_equal(lines_read(&lines, line), LINES_LINE);
    assert_string_equal(line, "a");
    assert_int_equal(lines_read(&lines, line), LINES_END);
    assert_int_equal(lines_read(&lines, line), LINES_END);
    close(ends[0]);
}

static void a_line_can_be_shown(void **state)
{
    char out[10];
    (void)state;
    assert_string_equal(lines_show("a\x1b[2J\x7f", out, sizeof out), "a?[2J?");
    assert_string_equal(lines_show("123456789", out, sizeof out), "123456789");
    assert_string_equal(lines_show("1234567890", out, sizeof out), "123456...");
    assert_string_equal(lines_show("1234567890", out, 4), "...");
    assert_string_equal(lines_show("", out, sizeof out), "");
}

static void commands(void **state)
{
    static const struct {
        const char *line;
        enum command command;
    } cases[] = {
        {"c", COMMAND_STATUS},       {"C", COMMAND_STATUS},        {" status ", COMMAND_STATUS},
        {"STATUS", COMMAND_STATUS},  {"t", COMMAND_FLOW_ON},       {"Flow", COMMAND_FLOW_ON},
        {"F", COMMAND_FLOW_OFF},     {"noflow", COMMAND_FLOW_OFF}, {"s", COMMAND_STOP},
        {"stop\r", COMMAND_STOP},    {"Z", COMMAND_CLOSE},         {"close", COMMAND_CLOSE},
        {"h", COMMAND_HELP},         {"help", COMMAND_HELP},       {"", COMMAND_NOTHING},
        {" \t", COMMAND_NOTHING},    {"x", COMMAND_UNKNOWN},       {"clos", COMMAND_UNKNOWN},
        {"closed", COMMAND_UNKNOWN}, {"c c", COMMAND_UNKNOWN},     {"\x03", COMMAND_UNKNOWN},
        {"cs", COMMAND_UNKNOWN},     {"#", COMMAND_UNKNOWN},       {"3", COMMAND_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (command_read(cases[i].line) != cases[i].command) {
            fail_msg("\"%s\" is read as %d", cases[i].line, (int)command_read(cases[i].line));
        }
    }
}

static void a_console_hands_over_what_was_typed_ahead(void **state)
{
    struct lines lines;
    char line[LINE_BYTES_MAX];
    enum command command;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    lines_init(&lines, ends[0]);
    assert_int_equal(lines_give(&lines, "c\nnonsense\n", 11), 11);
    struct console *console = console_open(&lines);
    assert_non_null(console);
    assert_true(console_next(console, 5000, &command, line));
    assert_int_equal(command, COMMAND_STATUS);
    assert_true(console_next(console, 5000, &command, line));
    assert_int_equal(command, COMMAND_UNKNOWN);
    assert_string_equal(line, "nonsense");
    assert_false(console_next(console, 0, &command, line));
    assert_false(console_ended(console));
    for (int i = 0; i < 20; i++) { /* more than may wait at once */
        assert_int_equal(write(ends[1], "z\n", 2), 2);
    }
    close(ends[1]);
    for (int i = 0; i < 20; i++) {
        assert_true(console_next(console, 5000, &command, line));
        assert_int_equal(command, COMMAND_CLOSE);
    }
    assert_false(console_next(console, 5000, &command, line)); /* ended: it does not wait */
    assert_true(console_ended(console));
    console_close(console);
    close(ends[0]);
}

/* A console is closed while its thread reads, and while commands wait that nobody takes. */
static void a_console_closes_at_any_time(void **state)
{
    struct lines lines;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    lines_init(&lines, ends[0]);
    console_close(console_open(&lines));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(write(ends[1], "h\n", 2), 2);
    }
    console_close(console_open(&lines));
    console_close(NULL);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole_in_any_pieces),
        cmocka_unit_test(a_line_that_is_too_long_is_dropped_whole),
        cmocka_unit_test(reading_ends_with_the_input),
        cmocka_unit_test(a_line_can_be_shown),
        cmocka_unit_test(commands),
        cmocka_unit_test(a_console_hands_over_what_was_typed_ahead),
        cmocka_unit_test(a_console_closes_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
