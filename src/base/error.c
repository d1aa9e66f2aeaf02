/* Errors: their names, their texts, and the filling of struct berth_error. All O(1), no state. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *berth_err_name(int err)
{
    switch (err) {
#define ERROR_NAME(name, value, text)                                                              \
    case name:                                                                                     \
        return #name;
        BERTH_ERRORS(ERROR_NAME)
#undef ERROR_NAME
    default:
        return "BERTH_E_?";
    }
}

const char *berth_err_text(int err)
{
    switch (err) {
#define ERROR_TEXT(name, value, text)                                                              \
    case name:                                                                                     \
        return text;
        BERTH_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        return "this number is not an error of Berth";
    }
}

int error_set(struct berth_error *error, int code, int system, const char *setting,
              const char *format, ...)
{
    if (error == NULL) {
        return code;
    }
    error->code = code;
    error->system = system;
    error->setting = setting;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    /* A length below 0, a failure, is a huge one here: nothing is added then either. */
    if (system != 0 && (size_t)length < sizeof error->text) {
        snprintf(error->text + length, sizeof error->text - (size_t)length, ": %s",
                 strerror(system));
    }
    return code;
}
