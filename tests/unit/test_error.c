/* Errors: every one of the list has its name, its text and its number, and error_set fills all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static const struct {
    int value;
    const char *name, *text;
} errors[] = {
#define ERROR_ROW(name, value, text) {value, #name, text},
    BERTH_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

#define ERRORS (sizeof errors / sizeof errors[0])

static void every_error_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS; i++) {
        assert_string_equal(berth_err_name(errors[i].value), errors[i].name);
        assert_string_equal(berth_err_text(errors[i].value), errors[i].text);
        assert_true(strlen(errors[i].text) > 0);
    }
}

/* The numbers are the ABI: a new error gets the next one, an old one keeps its own. */
static void numbers_are_stable(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS; i++) {
        assert_int_equal(errors[i].value, -(int)i);
    }
    assert_int_equal(BERTH_OK, 0);
    assert_int_equal(BERTH_E_INVALID, -1);
    assert_int_equal(BERTH_E_MEMORY, -2);
    assert_int_equal(BERTH_E_SYSTEM, -3);
    assert_int_equal(BERTH_E_UNSUPPORTED, -4);
    assert_int_equal(BERTH_E_STATE, -5);
    assert_int_equal(BERTH_E_CLOSED, -6);
    assert_int_equal(BERTH_E_WOULD_EXCEED, -7);
    assert_int_equal(BERTH_E_TOO_LARGE, -8);
    assert_int_equal(BERTH_E_FRAME, -9);
    assert_int_equal(BERTH_E_FULL, -10);
    assert_int_equal(BERTH_E_STALE, -11);
}

static void numbers_that_are_none(void **state)
{
    (void)state;
    static const int none[] = {1, 2, 11, -1000, INT_MAX, INT_MIN, -(int)ERRORS};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_string_equal(berth_err_name(none[i]), "BERTH_E_?");
        assert_string_equal(berth_err_text(none[i]), "this number is not an error of Berth");
    }
}

static void set_fills_everything(void **state)
{
    (void)state;
    struct berth_error error;
    memset(&error, 0xee, sizeof error);
    assert_int_equal(error_set(&error, BERTH_E_INVALID, 0, "workers", "%d is %s", 5000, "too many"),
                     BERTH_E_INVALID);
    assert_int_equal(error.code, BERTH_E_INVALID);
    assert_int_equal(error.system, 0);
    assert_string_equal(error.setting, "workers");
    assert_string_equal(error.text, "5000 is too many");
}

static void set_adds_the_systems_text(void **state)
{
    (void)state;
    struct berth_error error;
    assert_int_equal(error_set(&error, BERTH_E_SYSTEM, EADDRINUSE, NULL, "bind"), BERTH_E_SYSTEM);
    assert_int_equal(error.system, EADDRINUSE);
    assert_null(error.setting);
    char expected[200];
    snprintf(expected, sizeof expected, "bind: %s", strerror(EADDRINUSE));
    assert_string_equal(error.text, expected);
}

static void set_cuts_long_texts(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof text);
    /* One that fills the room exactly, one that leaves one byte, and one that is far too long. */
    static const int lengths[] = {198, 199, 200, 299};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct {
            struct berth_error error;
            char guard;
        } room = {.guard = 0x7e};
        error_set(&room.error, BERTH_E_SYSTEM, ENOENT, NULL, "%.*s", lengths[i], text);
        assert_int_equal(strlen(room.error.text), sizeof room.error.text - 1);
        assert_int_equal(room.error.text[0], 'x');
        assert_int_equal(room.guard, 0x7e);
    }
}

/* What cannot be formatted (here: a character that the C locale does not have) leaves a text that
 * ends, and adds nothing to it. */
static void set_survives_a_format_that_fails(void **state)
{
    (void)state;
    struct berth_error error;
    memset(&error, 0xee, sizeof error);
    error.text[0] = '\0';
    error_set(&error, BERTH_E_SYSTEM, ENOENT, "workers", "%ls", L"\x20ac");
    assert_int_equal(error.code, BERTH_E_SYSTEM);
    assert_int_equal(error.system, ENOENT);
    assert_string_equal(error.text, "");
}

static void set_takes_no_error_too(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, BERTH_E_FULL, 0, NULL, "not kept"), BERTH_E_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_name_and_a_text),
        cmocka_unit_test(numbers_are_stable),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(set_fills_everything),
        cmocka_unit_test(set_adds_the_systems_text),
        cmocka_unit_test(set_cuts_long_texts),
        cmocka_unit_test(set_survives_a_format_that_fails),
        cmocka_unit_test(set_takes_no_error_too),
    };
    return cmocka_run_group_tests_name("base.error", tests, NULL, NULL);
}
