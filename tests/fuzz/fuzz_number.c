/* berthload's numbers. The input: a byte that chooses the limits, then a text. What each reader
 * takes, and which number that is, is worked out once more in 128 bits, digit by digit; a text that
 * is refused leaves the result alone. The number behind the text, or the bytes themselves as a
 * number, are written in each form, which fits its room and reads as the same again.
 */
#include "fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berthload/number.h"

#define TEXT_MAX 64

__extension__ typedef unsigned __int128 wide;

/* No number of ours has so many figures: more are only counted as too much. */
#define WIDE_MOST ((wide)1 << 100)

/* Digits at the front of a text; how many, and their number. */
static size_t digits_of(const char *text, wide *value)
{
    size_t count = 0;
    *value = 0;
    for (; text[count] >= '0' && text[count] <= '9'; count++) {
        *value = *value < WIDE_MOST ? *value * 10 + (unsigned)(text[count] - '0') : *value;
    }
    return count;
}

static bool is_whole(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    wide value;
    size_t count = digits_of(text, &value);
    *out = (uint64_t)value;
    return count > 0 && text[count] == '\0' && value >= least && value <= most;
}

static void check_whole(const char *text, uint64_t least, uint64_t most)
{
    uint64_t expected;
    uint64_t got = UINT64_C(0xeeee);
    bool right = is_whole(text, least, most, &expected);
    FUZZ_CHECK(number_read(text, least, most, &got) == right);
    FUZZ_CHECK(got == (right ? expected : UINT64_C(0xeeee)));
}

static void check_range(const char *text, uint64_t least, uint64_t most)
{
    char first[TEXT_MAX + 1];
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t low = 1;
    uint64_t high = 2;
    size_t front = strcspn(text, "-");
    snprintf(first, sizeof first, "%.*s", (int)front, text);
    bool right = is_whole(first, least, most, &from);
    to = from;
    if (right && text[front] == '-') {
        right = is_whole(text + front + 1, from, most, &to);
    }
    FUZZ_CHECK(number_read_range(text, least, most, &low, &high) == right);
    FUZZ_CHECK(low == (right ? from : 1) && high == (right ? to : 2));
}

/* "DIGITS[.DIGITS]", `places` decimals at most, and then the rest. The value in units of 10 to the
 * power of -places; false if there is no such number. */
static bool decimal_of(const char *text, size_t places, wide *value, const char **rest)
{
    wide fraction = 0;
    size_t count = digits_of(text, value);
    if (count == 0) {
        return false;
    }
    text += count;
    size_t decimals = 0;
    if (*text == '.') {
        decimals = digits_of(text + 1, &fraction);
        if (decimals == 0 || decimals > places) {
            return false;
        }
        text += 1 + decimals;
    }
    for (size_t i = 0; i < places; i++) {
        *value *= 10;
        fraction *= i < places - decimals ? 10 : 1;
    }
    *value += fraction;
    *rest = text;
    return true;
}

static void check_time(const char *text, uint64_t most)
{
    const char *unit = NULL;
    wide value = 0;
    uint64_t got = 7;
    bool right = decimal_of(text, 9, &value, &unit);
    if (right && strcmp(unit, "ms") == 0) {
        value /= 1000;
    } else if (right) {
        right = *unit == '\0' || strcmp(unit, "s") == 0;
    }
    right = right && value > 0 && value <= most;
    FUZZ_CHECK(number_read_time(text, most, &got) == right);
    FUZZ_CHECK(got == (right ? (uint64_t)value : 7));

    got = 7;
    right = decimal_of(text, 6, &value, &unit) && *unit == '\0' && value <= most;
    FUZZ_CHECK(number_read_ms(text, most, &got) == right);
    FUZZ_CHECK(got == (right ? (uint64_t)value : 7));
}

/* The number without its separators, which stand behind every third figure from the right. */
static void check_separators(uint64_t value)
{
    char text[NUMBER_TEXT_BYTES];
    char plain[NUMBER_TEXT_BYTES];
    size_t at = 0;
    FUZZ_CHECK(number_write(value, text) == text);
    size_t bytes = strlen(text);
    FUZZ_CHECK(bytes < sizeof text);
    for (size_t i = 0; i < bytes; i++) {
        bool separator = i > 0 && (bytes - i) % 4 == 0;
        FUZZ_CHECK((text[i] == ',') == separator);
        if (!separator) {
            plain[at++] = text[i];
        }
    }
    plain[at] = '\0';
    FUZZ_CHECK(strtoull(plain, NULL, 10) == value);
}

/* A number that was rounded to three figures or more, in a unit of so much. */
static void check_rounded(uint64_t value, const char *text, const char *const *units,
                          const double *scales)
{
    char *end = NULL;
    double shown = strtod(text, &end);
    size_t unit = 0;
    FUZZ_CHECK(strlen(text) < NUMBER_TEXT_BYTES && end != text && *end == ' ');
    while (strcmp(end + 1, units[unit]) != 0) {
        unit++;
        FUZZ_CHECK(units[unit] != NULL);
    }
    double meant = shown * scales[unit];
    double error = meant > (double)value ? meant - (double)value : (double)value - meant;
    FUZZ_CHECK(error <= (double)value * 0.006 + scales[unit] * 0.0051);
}

static void check_written(uint64_t value)
{
    static const char *const times[] = {"us", "ms", "s", NULL};
    static const double time_scales[] = {1e3, 1e6, 1e9};
    static const char *const sizes[] = {"bytes", "byte", "kB", "MB", "GB", "TB", "PB", "EB", NULL};
    static const double size_scales[] = {1, 1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18};
    char text[NUMBER_TEXT_BYTES];
    check_separators(value);
    FUZZ_CHECK(number_write_time(value, text) == text);
    check_rounded(value, text, times, time_scales);
    FUZZ_CHECK(number_write_bytes(value, text) == text);
    check_rounded(value, text, sizes, size_scales);
    FUZZ_CHECK(number_write_clock(value, text) == text && strlen(text) < sizeof text);
    char *end;
    uint64_t hours = strtoull(text, &end, 10);
    FUZZ_CHECK(*end == ':');
    uint64_t minutes = strtoull(end + 1, &end, 10);
    FUZZ_CHECK(*end == ':' && minutes < 60);
    uint64_t seconds = strtoull(end + 1, &end, 10);
    FUZZ_CHECK(*end == '.' && seconds < 60 && strlen(end) == sizeof ".1234567" - 1);
    uint64_t fraction = strtoull(end + 1, &end, 10);
    FUZZ_CHECK(*end == '\0');
    FUZZ_CHECK(((hours * 60 + minutes) * 60 + seconds) * NS_PER_S + fraction * UINT64_C(100) ==
               value / 100 * 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t mosts[] = {UINT64_MAX, 65535, 9, NS_PER_S, UINT64_C(1) << 48, 0};
    static const uint64_t leasts[] = {0, 1, 10};
    char text[TEXT_MAX + 1];
    if (size == 0 || size > TEXT_MAX) {
        return 0;
    }
    uint64_t most = mosts[data[0] % (sizeof mosts / sizeof mosts[0])];
    uint64_t least = leasts[data[0] / 16 % (sizeof leasts / sizeof leasts[0])];
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    check_whole(text, least, most);
    check_range(text, least, most);
    check_time(text, most);

    struct fuzz_input input = {data + 1, size - 1};
    uint64_t value = fuzz_number(&input, 4);
    value |= (uint64_t)fuzz_number(&input, 4) << 32;
    check_written(value);
    check_written(strtoull(text, NULL, 10));
    return 0;
}
