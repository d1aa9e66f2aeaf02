/* load.ini: what is written is read, what is damaged is told by line and key, and a file is
 * replaced whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keepsake.h"

static char folder[32]; /* of this process alone, in the one it was started in */
static struct answers built_in;
static struct answers found;
static struct keepsake_flaw flaw;

static void assert_same(const struct answers *one, const struct answers *other)
{
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        char a[ANSWER_TEXT_BYTES];
        char b[ANSWER_TEXT_BYTES];
        assert_string_equal(answer_text(one, (enum answer)i, a),
                            answer_text(other, (enum answer)i, b));
    }
}

static struct answers some_answers(void)
{
    static const char *const texts[] = {"I", "2001:db8::7", "65535",  "/var/log/a = b # c",
                                        "3", "4000000",     "500000", "20"};
    struct answers answers;
    char why[ANSWER_WHY_BYTES];
    answers_default(&answers);
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        assert_true(answer_take(&answers, (enum answer)i, texts[i], why));
    }
    return answers;
}

static void what_is_written_is_read(void **state)
{
    char text[KEEPSAKE_BYTES_MAX];
    struct answers answers = some_answers();
    (void)state;
    size_t bytes = keepsake_write(&answers, text, sizeof text);
    assert_true(bytes > 0);
    assert_true(keepsake_read(text, bytes, &found, &flaw));
    assert_same(&answers, &found);
    assert_int_equal(keepsake_write(&answers, text, bytes), 0); /* no room for the end mark */
}

/* The longest host and path still make lines that inih reads whole. */
static void the_longest_answers_are_read(void **state)
{
    char text[KEEPSAKE_BYTES_MAX];
    char why[ANSWER_WHY_BYTES];
    char longest[ANSWER_TEXT_BYTES];
    struct answers answers;
    (void)state;
    answers_default(&answers);
    for (size_t i = 0; i < sizeof longest; i++) {
        longest[i] = i % 60 == 59 ? '.' : 'a';
    }
    longest[sizeof longest - 1] = '\0';
    longest[sizeof longest - 2] = 'a';
    assert_true(answer_take(&answers, ANSWER_HOST, longest, why));
    assert_true(answer_take(&answers, ANSWER_LOG, longest, why));
    size_t bytes = keepsake_write(&answers, text, sizeof text);
    if (!keepsake_read(text, bytes, &found, &flaw)) {
        fail_msg("line %u: %s: %s", flaw.line, flaw.key, flaw.what);
    }
    assert_same(&answers, &found);
}

static void what_is_missing_is_built_in(void **state)
{
    static const char *const texts[] = {"", "\n\n", "[load]\n", "; nothing\n# nothing\n", "[load]"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(keepsake_read(texts[i], strlen(texts[i]), &found, &flaw));
        assert_same(&built_in, &found);
    }
    static const char text[] = "[load]\r\n  \r\nport: 17 ; a comment\r\n";
    assert_true(keepsake_read(text, sizeof text - 1, &found, &flaw));
    assert_int_equal(found.numbers[ANSWER_PORT], 17);
    assert_string_equal(found.host, built_in.host);
}

static void damage_is_told_by_line_and_key(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *key;
        const char *what;
    } cases[] = {
        {"[load]\nport = 0\n", 2, "port", "is not a port"},
        {"[load]\nport =\n", 2, "port", "is not a port"},
        {"[load]\nport = 1\n\nport = 1\n", 4, "port", "a second time"},
        {"[load]\nport = 1\n  2\n", 3, "port", "a second time"},
        {"[load]\nports = 1\n", 2, "ports", "no such key"},
        {"port = 1\n", 1, "port", "section []"},
        {"[load]\n[more]\nport = 1\n", 3, "port", "section [more]"},
        {"[load]\nport\n", 2, "", "neither a [section] nor"},
        {"[load\nport = 1\n", 1, "", "neither a [section] nor"},
        {"[load]\nport = 1\nnonsense\nconnections = 0\n", 3, "", "neither a [section] nor"},
        {"[load]\nconnections = 0\nnonsense\n", 2, "connections", "is not a whole number"},
        {"[load]\nhost = a\nhost-method = I\n", 3, "host-method", "does not fit"},
        {"[load]\nhost-method = I\nhost = a\n", 3, "host", "is not an IP address"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (keepsake_read(cases[i].text, strlen(cases[i].text), &found, &flaw)) {
            fail_msg("taken: %s", cases[i].text);
        }
        if (flaw.line != cases[i].line || strcmp(flaw.key, cases[i].key) != 0 ||
            strstr(flaw.what, cases[i].what) == NULL) {
            fail_msg("%s gives %u: %s: %s", cases[i].text, flaw.line, flaw.key, flaw.what);
        }
        assert_same(&built_in, &found);
    }
}

static void what_inih_would_misread_is_told(void **state)
{
    char text[400] = "[load]\nhost = ";
    (void)state;
    assert_false(keepsake_read("[load]\n\0port = 1\n", 17, &found, &flaw));
    assert_int_equal(flaw.line, 2);
    size_t bytes = strlen(text);
    memset(text + bytes, 'a', sizeof text - bytes);
    assert_false(keepsake_read(text, sizeof text, &found, &flaw));
    assert_int_equal(flaw.line, 2);
    assert_non_null(strstr(flaw.what, "longer"));
}

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void a_file_is_made_with_its_folders(void **state)
{
    char why[KEEPSAKE_WHY_BYTES];
    struct stat there;
    struct answers answers = some_answers();
    const char *path = path_of("one/two/load.ini");
    (void)state;
    assert_true(keepsake_load(path, &found, why)); /* not there: the built-in values */
    assert_same(&built_in, &found);
    if (!keepsake_save(path, &answers, why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(stat(path, &there), 0);
    assert_int_equal(there.st_mode & 07777, 0600);
    assert_true(keepsake_load(path, &found, why));
    assert_same(&answers, &found);
    assert_true(keepsake_save(path, &built_in, why)); /* and again, over it */
    assert_true(keepsake_load(path, &found, why));
    assert_same(&built_in, &found);
}

static void a_file_that_cannot_be_replaced_stays(void **state)
{
    char why[KEEPSAKE_WHY_BYTES];
    char name[300];
    struct answers answers = some_answers();
    (void)state;
    snprintf(name, sizeof name, "%s", path_of("folder/load.ini"));
    assert_true(keepsake_make_folders(name)); /* a folder where the file should be */
    assert_false(keepsake_save(name, &answers, why));
    assert_non_null(strstr(why, name));
    assert_int_equal(rmdir(name), 0);
    assert_int_equal(rmdir(path_of("folder")), 0); /* nothing was left beside it */
}

static void the_path_follows_the_environment(void **state)
{
    char path[KEEPSAKE_PATH_BYTES];
    (void)state;
    setenv("HOME", "/a", 1);
    setenv("XDG_CONFIG_HOME", "/b", 1);
    assert_true(keepsake_path(path));
    assert_string_equal(path, "/b/berth/load.ini");
    setenv("XDG_CONFIG_HOME", "relative", 1);
    assert_true(keepsake_path(path));
    assert_string_equal(path, "/a/.config/berth/load.ini");
    unsetenv("XDG_CONFIG_HOME");
    assert_true(keepsake_path(path));
    assert_string_equal(path, "/a/.config/berth/load.ini");
    unsetenv("HOME");
    assert_false(keepsake_path(path));
}

static int make_folder(void **state)
{
    (void)state;
    answers_default(&built_in);
    snprintf(folder, sizeof folder, "keepsake-%ld", (long)getpid());
    return mkdir(folder, S_IRWXU);
}

static int remove_folder(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof command, "rm -rf ./%s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_longest_answers_are_read),
        cmocka_unit_test(what_is_missing_is_built_in),
        cmocka_unit_test(damage_is_told_by_line_and_key),
        cmocka_unit_test(what_inih_would_misread_is_told),
        cmocka_unit_test(a_file_is_made_with_its_folders),
        cmocka_unit_test(a_file_that_cannot_be_replaced_stays),
        cmocka_unit_test(the_path_follows_the_environment),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
