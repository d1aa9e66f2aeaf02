/* The answers to berthload's questions: what is taken, and what is refused with what reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "options.h"
#include "questions.h"

static struct answers answers;
static char why[ANSWER_WHY_BYTES];

static void takes(enum answer which, const char *text, const char *becomes)
{
    char now[ANSWER_TEXT_BYTES];
    why[0] = '\0';
    if (!answer_take(&answers, which, text, why)) {
        fail_msg("%s: \"%s\" was refused: %s", answer_key(which), text, why);
    }
    assert_string_equal(answer_text(&answers, which, now), becomes);
}

static void refuses(enum answer which, const char *text, const char *because)
{
    struct answers before = answers;
    why[0] = '\0';
    if (answer_take(&answers, which, text, why)) {
        fail_msg("%s: \"%s\" was taken", answer_key(which), text);
    }
    if (strstr(why, because) == NULL) {
        fail_msg("%s: \"%s\" was refused with: %s", answer_key(which), text, why);
    }
    assert_memory_equal(&before, &answers, sizeof before);
}

static int begin(void **state)
{
    (void)state;
    memset(&answers, 0, sizeof answers); /* so that they can be compared as bytes */
    answers_default(&answers);
    return 0;
}

static void the_seeds_values_are_offered(void **state)
{
    static const char *const offered[] = {"N", "localhost", "4444", "-", "25", "1", "1", "1000"};
    char text[ANSWER_TEXT_BYTES];
    (void)state;
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        assert_string_equal(answer_text(&answers, (enum answer)i, text), offered[i]);
    }
}

static void hosts(void **state)
{
    char longest[64 + 1];
    (void)state;
    takes(ANSWER_HOST, "  server.example\t", "server.example");
    takes(ANSWER_HOST, "a-b_c.7x", "a-b_c.7x");
    assert_true(answers.by_name);
    takes(ANSWER_HOST, "192.0.2.7", "192.0.2.7");
    assert_false(answers.by_name);
    takes(ANSWER_HOST, "2001:db8::7", "2001:db8::7");
    takes(ANSWER_HOST, "[::1]", "::1");
    refuses(ANSWER_HOST, "localhost", "is not an IP address");
    refuses(ANSWER_HOST, "192.0.2", "is not an IP address");
    refuses(ANSWER_HOST, "192.0.2.7:80", "is not an IP address");
    refuses(ANSWER_HOST, "", "is not an IP address");
    takes(ANSWER_METHOD, "n", "N");
    takes(ANSWER_HOST, "x", "x");
    memset(longest, 'a', sizeof longest - 1);
    longest[64] = '\0';
    refuses(ANSWER_HOST, longest, "is not a machine's name");
    longest[63] = '\0';
    takes(ANSWER_HOST, longest, longest);
    static const char *const bad[] = {"",     ".",     "a..b", "-a",          "a b",
                                      "a:1",  "1.2.3", "*",    "a/",          "a;b",
                                      "\x01", "::g",   "[x]",  "caf\xc3\xa9", "_a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refuses(ANSWER_HOST, bad[i], "is not a machine's name");
    }
}

static void another_method_brings_its_own_host(void **state)
{
    char text[ANSWER_TEXT_BYTES];
    (void)state;
    takes(ANSWER_HOST, "server", "server");
    takes(ANSWER_METHOD, "N", "N");
    assert_string_equal(answer_text(&answers, ANSWER_HOST, text), "server");
    takes(ANSWER_METHOD, "i", "I");
    assert_string_equal(answer_text(&answers, ANSWER_HOST, text), "127.0.0.1");
    takes(ANSWER_METHOD, " N ", "N");
    assert_string_equal(answer_text(&answers, ANSWER_HOST, text), "localhost");
    refuses(ANSWER_METHOD, "", "N, for a machine's name");
    refuses(ANSWER_METHOD, "x", "N, for a machine's name");
    refuses(ANSWER_METHOD, "nn", "N, for a machine's name");
    refuses(ANSWER_METHOD, "\x0e", "N, for a machine's name"); /* N without its high bits */
}

static void logs(void **state)
{
    char text[ANSWER_TEXT_BYTES + 1];
    (void)state;
    takes(ANSWER_LOG, "/var/log/x y", "/var/log/x y");
    takes(ANSWER_LOG, "-", "-");
    refuses(ANSWER_LOG, "", "a path");
    refuses(ANSWER_LOG, "a;b", "without ';'");
    refuses(ANSWER_LOG, "a\x1b[2J", "without ';'");
    memset(text, 'a', sizeof text);
    text[ANSWER_TEXT_BYTES] = '\0';
    refuses(ANSWER_LOG, text, "less than 180 bytes");
    text[ANSWER_TEXT_BYTES - 1] = '\0';
    takes(ANSWER_LOG, text, text);
}

/* What is refused is shown, cut and without what a terminal would obey. */
static void a_refused_answer_can_be_shown(void **state)
{
    char text[400];
    (void)state;
    refuses(ANSWER_PORT, "4\x1b[31m4", "\"4?[31m4\" is not a port");
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refuses(ANSWER_PORT, text, "1...\" is not a port");
    assert_true(strlen(why) < 160);
}

/* The bounds of an answer are those of the option of the same name: what the one takes at its
 * bounds the other takes, and one beyond neither does. */
static void numbers_are_those_of_the_options(void **state)
{
    static const struct {
        enum answer which;
        const char *most;
        const char *beyond;
    } numbers[] = {
        {ANSWER_BUFFER, "1048576", "1048577"},
        {ANSWER_CONNECTIONS, "4000000", "4000001"},
        {ANSWER_MESSAGES, "281474976710656", "281474976710657"},
        {ANSWER_AT_ONCE, "4000000", "4000001"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const char *const texts[] = {"1", numbers[i].most, "0", numbers[i].beyond};
        for (size_t j = 0; j < 4; j++) {
            struct options options;
            char reason[OPTIONS_WHY_BYTES];
            char program[] = "berthload";
            char connect[] = "--connect=127.0.0.1:1";
            char option[100];
            char *argv[] = {program, connect, option, NULL};
            snprintf(option, sizeof option, "--%s=%s", answer_key(numbers[i].which), texts[j]);
            bool taken = options_read(3, argv, &options, reason) == OPTIONS_RUN;
            if (taken != (j < 2)) {
                fail_msg("%s: taken %d: %s", option, taken, reason);
            }
            if (j < 2) {
                takes(numbers[i].which, texts[j], texts[j]);
            } else {
                refuses(numbers[i].which, texts[j], "is not a");
            }
        }
    }
    takes(ANSWER_PORT, "65535", "65535");
    refuses(ANSWER_PORT, "65536", "a port from 1 to 65535");
    refuses(ANSWER_PORT, "0", "a port from 1 to 65535");
    refuses(ANSWER_PORT, "+1", "a port from 1 to 65535");
    refuses(ANSWER_PORT, "1 2", "a port from 1 to 65535");
    refuses(ANSWER_PORT, "", "a port from 1 to 65535");
}

/* ---- the order of the questions ---- */

static void answers_lead_through_all_questions(void **state)
{
    static const char *const lines[] = {"", "example", "", "", "10", "20", "30", "40", ""};
    struct questions questions;
    char prompt[QUESTION_PROMPT_BYTES];
    (void)state;
    questions_init(&questions, &answers);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(questions.at, i < ANSWERS_COUNT ? i : QUESTION_BEGIN);
        assert_true(strlen(questions_prompt(&questions, prompt)) > 0);
        assert_true(questions_answer(&questions, lines[i], why));
    }
    assert_int_equal(questions.at, QUESTION_OVER);
    assert_string_equal(questions.answers.host, "example");
    assert_int_equal(questions.answers.numbers[ANSWER_PORT], 4444);
    assert_int_equal(questions.answers.numbers[ANSWER_AT_ONCE], 40);
}

static void a_bad_answer_leaves_the_question(void **state)
{
    struct questions questions;
    (void)state;
    questions_init(&questions, &answers);
    for (int i = 0; i < 3; i++) {
        assert_false(questions_answer(&questions, "Q", why));
        assert_int_equal(questions.at, ANSWER_METHOD);
    }
    assert_true(questions_answer(&questions, "I", why));
    assert_int_equal(questions.at, ANSWER_HOST);
}

static void a_server_that_refuses_is_a_question(void **state)
{
    struct questions questions;
    (void)state;
    questions_init(&questions, &answers);
    questions_return(&questions, ANSWER_PORT);
    assert_true(questions_answer(&questions, "", why));
    assert_int_equal(questions.at, ANSWER_LOG);
    questions_unreachable(&questions);
    assert_false(questions_answer(&questions, "no", why));
    assert_int_equal(questions.at, QUESTION_UNREACHABLE);
    assert_true(questions_answer(&questions, "H", why));
    assert_int_equal(questions.at, ANSWER_METHOD);
    questions_unreachable(&questions);
    assert_true(questions_answer(&questions, " ", why));
    assert_int_equal(questions.at, ANSWER_LOG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_seeds_values_are_offered, begin),
        cmocka_unit_test_setup(hosts, begin),
        cmocka_unit_test_setup(another_method_brings_its_own_host, begin),
        cmocka_unit_test_setup(logs, begin),
        cmocka_unit_test_setup(a_refused_answer_can_be_shown, begin),
        cmocka_unit_test_setup(numbers_are_those_of_the_options, begin),
        cmocka_unit_test_setup(answers_lead_through_all_questions, begin),
        cmocka_unit_test_setup(a_bad_answer_leaves_the_question, begin),
        cmocka_unit_test_setup(a_server_that_refuses_is_a_question, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
