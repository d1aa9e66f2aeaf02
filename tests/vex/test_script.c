/* Scripts become the steps that they say, and one that is wrong is refused by verb and position. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

static struct script parsed(const char *text)
{
    struct script script;
    struct script_error error;
    if (!script_parse(text, strlen(text), &script, &error)) {
        fail_msg("%s", error.text);
    }
    return script;
}

static void a_script_becomes_its_steps(void **state)
{
    (void)state;
    struct script script = parsed("connect; bytes 1..7 each 50us..2ms\n # a remark; reset\n"
                                  "frames 50 25;;frame 100; part 2147483647 14; pause 1s; close");
    const struct {
        enum verb verb;
        struct range first;
        struct range second;
    } wanted[] = {
        {VERB_CONNECT, {0, 0}, {0, 0}},
        {VERB_BYTES, {1, 7}, {50, 2000}},
        {VERB_FRAMES, {50, 50}, {25, 25}},
        {VERB_FRAMES, {1, 1}, {100, 100}},
        {VERB_PART, {2147483647, 2147483647}, {14, 14}},
        {VERB_PAUSE, {1000000, 1000000}, {0, 0}},
        {VERB_CLOSE, {0, 0}, {0, 0}},
    };
    assert_int_equal(script.steps_count, sizeof wanted / sizeof wanted[0]);
    for (uint32_t i = 0; i < script.steps_count; i++) {
        assert_int_equal(script.steps[i].verb, wanted[i].verb);
        assert_int_equal(script.steps[i].first.low, wanted[i].first.low);
        assert_int_equal(script.steps[i].first.high, wanted[i].first.high);
        assert_int_equal(script.steps[i].second.low, wanted[i].second.low);
        assert_int_equal(script.steps[i].second.high, wanted[i].second.high);
    }
    script_fini(&script);
}

static void every_verb_is_known(void **state)
{
    (void)state;
    struct script script = parsed(
        "rcvbuf 4096; sndbuf 1; connect; noread; doread; bytes all; send 00; frame 0; frames 1 1; "
        "part 1 1; ping 1; read 1; replies; replies 2; pause 1ms; shut; expect-eof; "
        "expect-reset 1s; expect-end 1s..2s; reset; connect; vanish; connect; close");
    bool seen[VERB_AGAIN + 1] = {false};
    for (uint32_t i = 0; i < script.steps_count; i++) {
        seen[script.steps[i].verb] = true;
    }
    for (int verb = 0; verb < VERB_REPEAT; verb++) {
        assert_true(seen[verb]);
    }
    script_fini(&script);
}

static void literal_bytes_are_hexadecimal_or_text(void **state)
{
    (void)state;
    struct script script =
        parsed("connect; send 0500 0000 \"he\\x6C\" \"lo\\r\\n\\t\\0\\\\\\\"\" fF"
               "; send \";{}#\"");
    static const uint8_t wanted[] = "\x05\0\0\0hello\r\n\t\0\\\"\xff;{}#";
    assert_int_equal(script.steps[1].literal, 0);
    assert_int_equal(script.steps[1].literal_bytes, 16);
    assert_int_equal(script.steps[2].literal, 16);
    assert_int_equal(script.steps[2].literal_bytes, 4);
    assert_memory_equal(script.bytes, wanted, sizeof wanted - 1);
    script_fini(&script);
}

static void braces_find_each_other(void **state)
{
    (void)state;
    struct script script = parsed("repeat 2 { connect; repeat 1..3{ping 1} close }\nconnect");
    assert_int_equal(script.steps_count, 8);
    assert_int_equal(script.steps[0].other, 6);
    assert_int_equal(script.steps[6].other, 0);
    assert_int_equal(script.steps[2].other, 4);
    assert_int_equal(script.steps[4].other, 2);
    assert_int_equal(script.steps[2].first.high, 3);
    script_fini(&script);
}

/* What is wrong, and what is said about it: the step, the verb, and where it stands. */
static const struct {
    const char *text;
    const char *said;
} wrong[] = {
    {"connect; frmae 5", "step 2, 'frmae' at 10: is no verb"},
    {"connect;\nping 5;\n  pign 5", "step 3, 'pign' at line 3, 3: is no verb"},
    {"connect; ping", "step 2, 'ping' at 10: needs a number"},
    {"connect; ping x", "step 2, 'ping' at 10: 'x' is no number"},
    {"connect; ping -1", "'-1' is no number"},
    {"connect; ping 18446744073709551616", "is no number"},
    {"connect; ping 9..8", "'9..8' is no number"},
    {"connect; ping 5 6", "step 2, 'ping' at 10: '6' is more than it takes"},
    {"connect; ping 5 \"a\"", "is more than it takes"},
    {"connect; shut {", "step 2, 'shut' at 10: '{' is more than it takes"},
    {"connect; frames 5", "step 2, 'frames' at 10: needs a number"},
    {"pause 5", "step 1, 'pause' at 1: '5' is no time"},
    {"pause 3601s", "'3601s' is no time up to an hour"},
    {"pause", "needs a time"},
    {"bytes 0 each 1s", "needs at least 1"},
    {"bytes 5", "is written: bytes 1 each 100ms"},
    {"bytes 5 every 1s", "is written: bytes 1 each 100ms"},
    {"connect; send", "needs bytes"},
    {"connect; send 0g", "'0g' is no run of bytes"},
    {"connect; send 012", "'012' is no run of bytes"},
    {"connect; send \"abc", "quotes that are not closed"},
    {"connect; send \"abc\\", "is no escape"},
    {"connect; send \"\\q\"", "'\\q' is no escape"},
    {"connect; send \"\\x4\"", "'\\x' is no escape"},
    {"ping 5", "step 1, 'ping' at 1: there is no connection here"},
    {"connect; close; shut", "step 3, 'shut' at 17: there is no connection here"},
    {"connect; connect", "step 2, 'connect' at 10: there is a connection"},
    {"repeat 5 { connect }", "'}' at 20: the second round would connect again"},
    {"connect; repeat 5 { reset }", "'}' at 27: the second round would find no connection"},
    {"repeat 5 { }", "'}' at 12: closes a repeat of nothing"},
    {"repeat 9 { repeat 9 { } }", "'}' at 23: closes a repeat of nothing"},
    {"repeat 0 { pause 1s }", "'repeat' at 1: needs at least 1 round"},
    {"repeat 5 pause 1s", "'repeat' at 1: is written: repeat 10 { ... }"},
    {"pause 1s; repeat 5 { pause 1s", "step 2, 'repeat' at 11: its brace is not closed"},
    {"pause 1s }", "step 2, '}' at 10: closes no repeat"},
    {"repeat 1 { repeat 1 { repeat 1 { repeat 1 { repeat 1 {",
     "step 5, 'repeat' at 45: is the fif"},
    {"", "has no step"},
    {" ; # nothing", "has no step"},
    {"\x01\xff", "step 1, '\?\?' at 1: is no verb"},
    {"\"", "step 1, '\"' at 1: is no verb"},
    {"{", "step 1, '{' at 1: is no verb"},
};

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct script script;
        struct script_error error;
        assert_false(script_parse(wrong[i].text, strlen(wrong[i].text), &script, &error));
        if (strstr(error.text, wrong[i].said) == NULL) {
            fail_msg("of: %s\nsaid: %s\nnot: %s", wrong[i].text, error.text, wrong[i].said);
        }
        assert_null(script.steps);
        assert_null(script.bytes);
    }
}

static void a_script_may_be_as_long_as_its_limit(void **state)
{
    (void)state;
    char *text = malloc(SCRIPT_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, ';', SCRIPT_BYTES_MAX + 1);
    memcpy(text, "pause 1s", 8);
    struct script script;
    struct script_error error;
    assert_true(script_parse(text, SCRIPT_BYTES_MAX, &script, &error));
    script_fini(&script);
    assert_false(script_parse(text, SCRIPT_BYTES_MAX + 1, &script, &error));
    free(text);
}

static void lengths_must_fit_the_framing(void **state)
{
    static const char text[] = "connect; frames 9 1..255; ping 255; part 256 9";
    (void)state;
    struct script script = parsed(text);
    struct script_error error = {""};
    assert_true(script_fits(&script, text, 2, &error));
    assert_true(script_fits(&script, text, 8, &error));
    assert_false(script_fits(&script, text, 1, &error));
    assert_non_null(strstr(error.text, "step 4, 'part' at 37: a length of 1 bytes"));
    script_fini(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_becomes_its_steps),
        cmocka_unit_test(every_verb_is_known),
        cmocka_unit_test(literal_bytes_are_hexadecimal_or_text),
        cmocka_unit_test(braces_find_each_other),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_script_may_be_as_long_as_its_limit),
        cmocka_unit_test(lengths_must_fit_the_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
