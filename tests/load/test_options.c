/* The command line: defaults, every option read, and every bad value refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "number.h"
#include "options.h"

#define ARGUMENTS_MAX 16

static struct options options;
static char why[OPTIONS_WHY_BYTES];
static char line[500];

/* Reads a command line that is cut at its blanks. */
static enum options_verdict read_raw(const char *text)
{
    static char program[] = "berthload";
    char *argv[ARGUMENTS_MAX + 1] = {program};
    int argc = 1;
    snprintf(line, sizeof line, "%s", text);
    for (char *at = line; at != NULL && *at != '\0' && argc < ARGUMENTS_MAX;) {
        argv[argc++] = at;
        at = strchr(at, ' ');
        if (at != NULL) {
            *at++ = '\0';
        }
    }
    why[0] = '\0';
    return options_read(argc, argv, &options, why);
}

/* The same with --connect in front. */
static enum options_verdict read_line(const char *text)
{
    char whole[400];
    snprintf(whole, sizeof whole, "--connect=127.0.0.1:4444 %s", text);
    return read_raw(whole);
}

static void accepts(const char *text)
{
    enum options_verdict verdict = read_line(text);
    if (verdict != OPTIONS_RUN) {
        fail_msg("%s was refused: %s", text, why);
    }
}

static void defaults(void **state)
{
    (void)state;
    accepts("");
    assert_string_equal(options.host, "127.0.0.1");
    assert_string_equal(options.port, "4444");
    assert_int_equal(options.connections, 1);
    assert_int_equal(options.messages, 1);
    assert_int_equal(options.duration_ns, 0);
    assert_false(options.sized);
    assert_int_equal(options.pipeline, 1);
    assert_int_equal(options.framing.kind, BERTH_FRAMING_LENGTH);
    assert_int_equal(options.framing.length_bytes, 4);
    assert_false(options.framing.length_big_endian);
    assert_int_equal(options.message_max, 1048576);
    assert_true(options.with_id);
    assert_int_equal(options.retries, 20);
    assert_true(options.timeout_ns > 0 && options.answer_timeout_ns > 0);
    assert_true(options.connect_timeout_ns > 0);
    assert_null(options.json);
    assert_null(options.ledger);
    assert_false(options.quiet);
}

static void every_option_is_read(void **state)
{
    (void)state;
    accepts("--connections 100 --messages=1000 --size 1-5000 --pipeline 16 --workers 3");
    assert_int_equal(options.connections, 100);
    assert_int_equal(options.messages, 1000);
    assert_true(options.sized);
    assert_int_equal(options.size_min, 1);
    assert_int_equal(options.size_max, 5000);
    assert_int_equal(options.pipeline, 16);
    assert_int_equal(options.workers, 3);
    accepts("--backend uring --buffer-size 3 --frame varint --max-message 100 --reply bare");
    assert_int_equal(options.backend, BERTH_BACKEND_URING);
    assert_int_equal(options.buffer_bytes, 3);
    assert_int_equal(options.framing.kind, BERTH_FRAMING_VARINT);
    assert_int_equal(options.message_max, 100);
    assert_false(options.with_id);
    accepts("--connect-rate 50 --retry no --connect-timeout 250ms --timeout 1.5 --json - --quiet");
    assert_int_equal(options.connect_rate, 50);
    assert_true(options.connect_delay_ns == 20 * NS_PER_MS);
    assert_int_equal(options.retries, 0);
    assert_true(options.connect_timeout_ns == 250 * NS_PER_MS);
    assert_true(options.timeout_ns == 1500 * NS_PER_MS);
    assert_string_equal(options.json, "-");
    assert_true(options.quiet);
    accepts("--duration 2.5s --answer-timeout 7 --retry 3 --backend epoll");
    assert_true(options.duration_ns == 2500 * NS_PER_MS);
    assert_int_equal(options.messages, 0);
    assert_true(options.answer_timeout_ns == 7 * NS_PER_S);
    assert_int_equal(options.retries, 3);
    accepts("--messages 9 --connections 9 --at-once 4 --long --connect-delay 0.25 --retry always");
    assert_int_equal(options.at_once, 4);
    assert_true(options.shared);
    assert_true(options.connect_delay_ns == 250 * NS_PER_US);
    assert_true(options.retries == RETRIES_ALWAYS);
    accepts("--growing --test-connection --bell --connect-delay 0");
    assert_true(options.growing && options.test_connection && options.bell);
    assert_int_equal(options.connect_delay_ns, 0);
    accepts("--watch data,flow --flow 2 --connections 2 --log x --log-format json --console");
    assert_int_equal(options.watch, ENTRY_MODE_BIT(ENTRY_DATA) | ENTRY_MODE_BIT(ENTRY_FLOW));
    assert_int_equal(options.flow, 2);
    assert_string_equal(options.log, "x");
    assert_true(options.log_json && options.console && !options.asked);
    accepts("--log-format json --log-format text");
    assert_false(options.log_json);
    assert_int_equal(read_raw("--help"), OPTIONS_HELP);
    assert_int_equal(read_raw("-h"), OPTIONS_HELP);
    assert_int_equal(read_raw("--version"), OPTIONS_VERSION);
}

static void hosts_are_read(void **state)
{
    static const char *const bad[] = {"127.0.0.1", "127.0.0.1:", ":4444",  "[]:4444", "::1:4444",
                                      "host:0",    "host:65536", "host:x", "host:+1"};
    (void)state;
    assert_int_equal(read_raw("--connect [::1]:5"), OPTIONS_RUN);
    assert_string_equal(options.host, "::1");
    assert_string_equal(options.port, "5");
    assert_int_equal(read_raw("--connect localhost:65535"), OPTIONS_RUN);
    assert_string_equal(options.host, "localhost");
    assert_string_equal(options.port, "65535");
    assert_int_equal(read_raw("--connections 3"), OPTIONS_ASK);
    assert_non_null(strstr(why, "--connect: is missing"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "--connect %s", bad[i]);
        assert_int_equal(read_raw(text), OPTIONS_BAD);
        assert_memory_equal(why, "--connect: ", 11);
    }
}

struct refusal {
    const char *text;
    const char *begins; /* the refusal: with the option's name */
};

static void refuses(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (read_line(cases[i].text) != OPTIONS_BAD) {
            fail_msg("%s was accepted", cases[i].text);
        }
        if (strncmp(why, cases[i].begins, strlen(cases[i].begins)) != 0) {
            fail_msg("%s was refused with: %s", cases[i].text, why);
        }
    }
}

static void bad_values_are_refused_by_name(void **state)
{
    static const struct refusal cases[] = {
        {"--connections 0", "--connections: \"0\" is not a whole number from 1"},
        {"--connections -1", "--connections: \"-1\" is not"},
        {"--connections 1x", "--connections: \"1x\" is not"},
        {"--connections 4000001", "--connections:"},
        {"--connections 18446744073709551617", "--connections:"},
        {"--connections", "--connections: needs a value"},
        {"--messages 0", "--messages:"},
        {"--messages 1e6", "--messages:"},
        {"--duration 0", "--duration:"},
        {"--duration 1.", "--duration:"},
        {"--duration 1m", "--duration:"},
        {"--duration -1", "--duration:"},
        {"--duration 1 --messages 1", "--duration: cannot be combined"},
        {"--size 5-1", "--size:"},
        {"--size -5", "--size:"},
        {"--size 1-", "--size:"},
        {"--size 1073741825", "--size:"},
        {"--pipeline 0", "--pipeline:"},
        {"--pipeline 1048576 --size 10000", "--pipeline: 1048576 messages"},
        {"--workers 1024", "--workers:"},
        {"--backend kqueue", "--backend: \"kqueue\" is not auto, uring or epoll"},
        {"--buffer-size 0", "--buffer-size:"},
        {"--buffer-size 1048577", "--buffer-size:"},
        {"--frame nonsense", "--frame: "},
        {"--frame length:3", "--frame: "},
        {"--frame delimiter:-", "--frame: a delimiter that begins with '-'"},
        {"--frame delimiter:7x", "--frame: a delimiter"},
        {"--frame fixed:64 --reply id", "--reply: id makes"},
        {"--frame fixed:64 --size 63", "--size: must be 64"},
        {"--frame fixed:64 --size 1-64", "--size: must be 64"},
        {"--frame length:1 --size 252", "--size: the framing length:1 cannot carry"},
        {"--frame varint:nonempty --size 0-9", "--size: the framing varint:nonempty refuses"},
        {"--max-message 0", "--max-message:"},
        {"--max-message 100 --size 97", "--max-message: 100 is less than the 101 bytes"},
        {"--max-message 8", "--max-message: 8 is less than the 9 bytes"},
        {"--reply both", "--reply: \"both\" is not id or bare"},
        {"--connect-rate -1", "--connect-rate:"},
        {"--retry maybe", "--retry:"},
        {"--connect-timeout 3601", "--connect-timeout:"},
        {"--answer-timeout 0ms", "--answer-timeout:"},
        {"--timeout 99999999999999999999", "--timeout:"},
        {"--timeout 5 --duration 5", "--timeout: must be longer"},
        {"--json=", "--json:"},
        {"--quiet=yes", "--quiet=yes: takes no value"},
        {"--nonsense", "--nonsense: no such option"},
        {"-x", "-x: no such option"},
        {"host:4444", "host:4444: not an option"},
    };
    (void)state;
    refuses(cases, sizeof cases / sizeof cases[0]);
}

static void a_seeds_run_that_makes_no_sense_is_refused_by_name(void **state)
{
    static const struct refusal cases[] = {
        {"--connect-rate 5 --connect-delay 1", "--connect-delay: cannot be combined"},
        {"--connect-delay -1", "--connect-delay:"},
        {"--connect-delay 1.", "--connect-delay:"},
        {"--connect-delay .5", "--connect-delay:"},
        {"--connect-delay 1ms", "--connect-delay:"},
        {"--connect-delay 0.0000001", "--connect-delay:"},
        {"--connect-delay 3600001", "--connect-delay:"},
        {"--connect-delay 3600000.1", "--connect-delay:"},
        {"--at-once 0", "--at-once:"},
        {"--at-once 4000001", "--at-once:"},
        {"--connections 5 --at-once 4 --duration 1", "--at-once: with --duration"},
        {"--long --size 10", "--long: cannot be combined with --size"},
        {"--long --duration 1", "--long: cannot be combined with --duration"},
        {"--long --frame fixed:8", "--long: cannot be combined with --frame fixed:8"},
        {"--growing --size 10", "--growing: cannot be combined with --size"},
        {"--growing --duration 1", "--growing: cannot be combined with --duration"},
        {"--growing --frame fixed:8", "--growing: cannot be combined with --frame fixed:8"},
        {"--growing --messages 281474976710656 --long", "--growing: of 281474976710656"},
        {"--growing --messages 90000000", "--growing: of 90000000 messages only 89478483 stay"},
        {"--growing --messages 100 --max-message 700", "--max-message: 700 is less than"},
        {"--growing --messages 60 --frame length:1", "--growing: the framing length:1 cannot"},
        {"--messages 281474976710656 --connections 257", "--messages: 281474976710656 for each"},
        {"--long=1", "--long=1: takes no value"},
    };
    (void)state;
    refuses(cases, sizeof cases / sizeof cases[0]);
}

static void a_ledger_that_makes_no_sense_is_refused_by_name(void **state)
{
    static const struct refusal cases[] = {
        {"--ledger=", "--ledger: \"\" is not the name of a file"},
        {"--ledger x --size 20", "--size: with --ledger each message has at least 48 bytes"},
        {"--ledger x --size 47-100", "--size: with --ledger each message has at least 48 bytes"},
        {"--ledger x --frame fixed:47", "--frame: with --ledger each message has at least 48"},
        {"--ledger x --frame delimiter:;", "--ledger: cannot be combined with --frame delimiter:;"},
        {"--ledger x --frame length:1 --size 252", "--size: the framing length:1 cannot carry"},
        {"--ledger x --long", "--long: cannot be combined with --ledger"},
        {"--ledger x --growing", "--growing: cannot be combined with --ledger"},
    };
    (void)state;
    refuses(cases, sizeof cases / sizeof cases[0]);
}

static void a_ledger_settles_the_size(void **state)
{
    (void)state;
    accepts("--ledger x");
    assert_string_equal(options.ledger, "x");
    assert_true(options.sized && options.size_min == 64 && options.size_max == 64);
    accepts("--ledger x --size 48");
    assert_true(options.size_min == 48 && options.size_max == 48);
    accepts("--ledger x --frame fixed:500");
    assert_true(options.size_min == 500 && options.size_max == 500);
    accepts("--ledger x --frame varint --size 48-1000 --duration 1 --reply bare");
    assert_true(options.size_min == 48 && options.size_max == 1000);
}

static void framings_settle_the_rest(void **state)
{
    (void)state;
    accepts("--frame fixed:64");
    assert_true(options.sized && options.size_min == 64 && options.size_max == 64);
    assert_false(options.with_id);
    accepts("--frame delimiter:\\r\\n");
    assert_false(options.with_id);
    assert_int_equal(options.avoid, '\r');
    accepts("--frame delimiter:\\0");
    assert_int_equal(options.avoid, 0);
    accepts("--frame delimiter:; --reply id");
    assert_true(options.with_id);
    accepts("--frame varint");
    assert_true(options.with_id);
    assert_int_equal(options.avoid, -1);
    accepts("--frame length:1 --size 251");
    accepts("--size 0");
    accepts("--size 2000000");
    assert_int_equal(options.message_max, 2000004);
    accepts("--size 1073741820");
    assert_int_equal(options.message_max, BERTH_MESSAGE_BYTES_LIMIT);
    accepts("--messages 100 --growing");
    assert_int_equal(options.message_bytes, 102 * strlen("M100-C1"));
    assert_int_equal(options.message_max, 1048576);
    accepts("--messages 500000 --growing --long");
    assert_int_equal(options.message_bytes, 500002 * strlen("M500000-C0000"));
    assert_int_equal(options.message_max, options.message_bytes + 4);
    accepts("--connections 5 --at-once 6 --duration 1");
    assert_int_equal(options.at_once, 5);
    accepts("--messages 281474976710656 --connections 256");
    accepts("--duration 1 --connections 4000000");
    assert_int_equal(options.message_bytes, strlen("M18446744073709551615-C4000000"));
}

static void times_are_read_and_written(void **state)
{
    char text[NUMBER_TEXT_BYTES];
    uint64_t ns = 0;
    (void)state;
    assert_true(number_read_time("0.001", NS_PER_S, &ns) && ns == NS_PER_MS);
    assert_true(number_read_time("0.5ms", NS_PER_S, &ns) && ns == 500 * NS_PER_US);
    assert_true(number_read_time("0.000000001", NS_PER_S, &ns) && ns == 1);
    assert_false(number_read_time("0.0000000001", NS_PER_S, &ns));
    assert_false(number_read_time("1.000000001", NS_PER_S, &ns));
    assert_false(number_read_time(".5", NS_PER_S, &ns));
    assert_false(number_read_time("", NS_PER_S, &ns));
    assert_true(number_read_ms("0", NS_PER_S, &ns) && ns == 0);
    assert_true(number_read_ms("1000", NS_PER_S, &ns) && ns == NS_PER_S);
    assert_true(number_read_ms("0.000001", NS_PER_S, &ns) && ns == 1);
    assert_true(number_read_ms("12.5", NS_PER_S, &ns) && ns == 12500 * NS_PER_US);
    assert_false(number_read_ms("1000.000001", NS_PER_S, &ns));
    assert_false(number_read_ms("", NS_PER_S, &ns));
    assert_string_equal(number_write_clock(0, text), "0:00:00.0000000");
    assert_string_equal(number_write_clock(15 * NS_PER_MS + 123456, text), "0:00:00.0151234");
    assert_string_equal(number_write_clock(90061 * NS_PER_S, text), "25:01:01.0000000");
    assert_string_equal(number_write_clock(NS_PER_S - 1, text), "0:00:00.9999999");
    assert_string_equal(number_write_bytes(1, text), "1 byte");
    assert_string_equal(number_write_bytes(999, text), "999 bytes");
    assert_string_equal(number_write_bytes(1000, text), "1.00 kB");
    assert_string_equal(number_write_bytes(9996, text), "10.0 kB");
    assert_string_equal(number_write_bytes(999949, text), "999.9 kB");
    assert_string_equal(number_write_bytes(999950, text), "1.00 MB");
    assert_string_equal(number_write_bytes(UINT64_MAX, text), "18.4 EB");
    assert_string_equal(number_write(0, text), "0");
    assert_string_equal(number_write(999, text), "999");
    assert_string_equal(number_write(100000, text), "100,000");
    assert_string_equal(number_write(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(number_write_time(87230, text), "87.2 us");
    assert_string_equal(number_write_time(1530000000, text), "1.53 s");
    assert_string_equal(number_write_time(215400000, text), "215 ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(hosts_are_read),
        cmocka_unit_test(bad_values_are_refused_by_name),
        cmocka_unit_test(a_ledger_that_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(a_ledger_settles_the_size),
        cmocka_unit_test(a_seeds_run_that_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(framings_settle_the_rest),
        cmocka_unit_test(times_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
