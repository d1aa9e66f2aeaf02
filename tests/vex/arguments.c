/* Reads command lines by a table. Values are borrowed from argv. O(arguments by table). */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include "script.h"

static bool read_digits(const char *text, size_t bytes, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return bytes > 0;
}

bool arguments_number(const char *text, uint64_t *out)
{
    return read_digits(text, strlen(text), out);
}

static bool read_range(const char *text, struct range *out)
{
    const char *dots = strstr(text, "..");
    if (dots == NULL) {
        bool good = arguments_number(text, &out->low);
        out->high = out->low;
        return good;
    }
    return read_digits(text, (size_t)(dots - text), &out->low) &&
           arguments_number(dots + 2, &out->high) && out->low <= out->high;
}

/* In billionths: 1, 0.25, 30; up to nine decimals. */
static bool read_decimal(const char *text, uint64_t most, uint64_t *out)
{
    const char *point = strchr(text, '.');
    size_t whole = point == NULL ? strlen(text) : (size_t)(point - text);
    uint64_t billionths = 0;
    if (!read_digits(text, whole, out) || *out > most) {
        return false;
    }
    if (point != NULL) {
        size_t decimals = strlen(point + 1);
        if (decimals > 9 || !read_digits(point + 1, decimals, &billionths)) {
            return false;
        }
        for (; decimals < 9; decimals++) {
            billionths *= 10;
        }
    }
    *out = *out * BILLION + billionths;
    return *out <= most * BILLION;
}

static bool read_value(const struct argument *argument, const char *value)
{
    uint64_t *number = argument->out;
    struct range *range = argument->out;
    switch (argument->kind) {
    case ARGUMENT_NUMBER:
        return arguments_number(value, number) && *number >= argument->low &&
               *number <= argument->high;
    case ARGUMENT_RANGE:
        return read_range(value, range) && range->low >= argument->low &&
               range->high <= argument->high;
    case ARGUMENT_SHARE:
        return read_decimal(value, 1, number);
    case ARGUMENT_TIME:
        return read_decimal(value, argument->high / BILLION, number) && *number >= argument->low;
    case ARGUMENT_TEXT:
        *(const char **)argument->out = value;
        return true;
    }
    return false;
}

static const struct argument *named(const struct arguments *arguments, const char *text,
                                    size_t bytes)
{
    for (size_t i = 0; i < arguments->count; i++) {
        const char *name = arguments->table[i].name;
        if (name != NULL && strlen(name) == bytes && memcmp(name, text, bytes) == 0) {
            return &arguments->table[i];
        }
    }
    return NULL;
}

/* Number `which` of those that stand alone. */
static const struct argument *alone(const struct arguments *arguments, size_t which)
{
    for (size_t i = 0; i < arguments->count; i++) {
        if (arguments->table[i].name == NULL && which-- == 0) {
            return &arguments->table[i];
        }
    }
    return NULL;
}

static bool complain(const struct arguments *arguments, const char *what, const char *about)
{
    fprintf(stderr, "%s: %s %s (--help)\n", arguments->program, what, about);
    return false;
}

static bool take(const struct arguments *arguments, const struct argument *argument,
                 const char *value)
{
    bool good = argument->out == NULL ? arguments->again(arguments->context, argument->name, value)
                                      : read_value(argument, value);
    if (good) {
        return true;
    }
    fprintf(stderr, "%s: %s cannot be '%s' (--help)\n", arguments->program,
            argument->name == NULL ? "an argument" : argument->name, value);
    return false;
}

bool arguments_read(const struct arguments *arguments, int argc, char **argv)
{
    size_t stood_alone = 0;
    for (int i = 0; i < argc; i++) {
        bool option = argv[i][0] == '-' && argv[i][1] == '-';
        const char *equals = option ? strchr(argv[i], '=') : NULL;
        size_t bytes = equals == NULL ? strlen(argv[i]) : (size_t)(equals - argv[i]);
        const struct argument *argument =
            option ? named(arguments, argv[i], bytes) : alone(arguments, stood_alone++);
        if (argument == NULL) {
            return complain(arguments, option ? "there is no" : "there is one too many:", argv[i]);
        }
        const char *value = equals == NULL ? argv[i] : equals + 1;
        if (option && equals == NULL) {
            if (i + 1 == argc) {
                return complain(arguments, "a value is missing behind", argv[i]);
            }
            value = argv[++i];
        }
        if (!take(arguments, argument, value)) {
            return false;
        }
    }
    if (alone(arguments, stood_alone) != NULL) {
        return complain(arguments, "something is missing", "at the end");
    }
    return true;
}
