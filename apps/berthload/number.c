/* Numbers, as people type and read them: strict reading (strtoul would take a sign, blanks and
 * what is too large), writing with thousands separators and with units of time. Nothing is owned
 * or allocated; the caller lends the room for a text. Costs O(length of the text); for the
 * options and the report, not for the data path. */
#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Reads digits from *text on and moves it behind them. false without a digit or above most. */
static bool read_digits(const char **text, uint64_t most, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;
    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (most - digit) / 10 || digit > most) {
            return false;
        }
        value = value * 10 + digit;
    }
    *text = at;
    *out = value;
    return true;
}

bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    if (!read_digits(&text, most, &value) || *text != '\0' || value < least) {
        return false;
    }
    *out = value;
    return true;
}

bool number_read_range(const char *text, uint64_t least, uint64_t most, uint64_t *low,
                       uint64_t *high)
{
    uint64_t from = 0;
    uint64_t to = 0;
    if (!read_digits(&text, most, &from) || from < least) {
        return false;
    }
    if (*text == '\0') {
        to = from;
    } else if (*text != '-' || !number_read(text + 1, from, most, &to)) {
        return false;
    }
    *low = from;
    *high = to;
    return true;
}

bool number_read_time(const char *text, uint64_t most_ns, uint64_t *ns)
{
    uint64_t whole = 0;
    uint64_t fraction = 0; /* of a unit, in billionths */
    if (!read_digits(&text, most_ns, &whole)) {
        return false;
    }
    if (*text == '.') {
        uint64_t weight = NS_PER_S / 10;
        for (text++; *text >= '0' && *text <= '9' && weight > 0; text++, weight /= 10) {
            fraction += (uint64_t)(*text - '0') * weight;
        }
        if (text[-1] == '.') {
            return false; /* a point and nothing behind it */
        }
    }
    uint64_t unit = NS_PER_S;
    if (strcmp(text, "ms") == 0) {
        unit = NS_PER_MS;
    } else if (strcmp(text, "s") != 0 && *text != '\0') {
        return false;
    }
    fraction /= NS_PER_S / unit;
    if (whole > most_ns / unit || fraction > most_ns - whole * unit || whole + fraction == 0) {
        return false;
    }
    *ns = whole * unit + fraction;
    return true;
}

bool number_read_ms(const char *text, uint64_t most_ns, uint64_t *ns)
{
    uint64_t whole = 0;
    uint64_t fraction = 0; /* in millionths, which are nanoseconds */
    if (!read_digits(&text, most_ns / NS_PER_MS, &whole)) {
        return false;
    }
    if (*text == '.') {
        uint64_t weight = NS_PER_MS / 10;
        for (text++; *text >= '0' && *text <= '9' && weight > 0; text++, weight /= 10) {
            fraction += (uint64_t)(*text - '0') * weight;
        }
        if (text[-1] == '.') {
            return false; /* a point and nothing behind it */
        }
    }
    if (*text != '\0' || fraction > most_ns - whole * NS_PER_MS) {
        return false;
    }
    *ns = whole * NS_PER_MS + fraction;
    return true;
}

const char *number_write(uint64_t value, char *out)
{
    char digits[NUMBER_TEXT_BYTES];
    size_t count = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *number_write_time(uint64_t ns, char *out)
{
    double value = (double)ns / (double)NS_PER_US;
    const char *unit = "us";
    if (ns >= NS_PER_S) {
        value = (double)ns / (double)NS_PER_S;
        unit = "s";
    } else if (ns >= NS_PER_MS) {
        value = (double)ns / (double)NS_PER_MS;
        unit = "ms";
    }
    int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
    snprintf(out, NUMBER_TEXT_BYTES, "%.*f %s", decimals, value, unit);
    return out;
}

const char *number_write_clock(uint64_t ns, char *out)
{
    uint64_t seconds = ns / NS_PER_S;
    snprintf(out, NUMBER_TEXT_BYTES, "%" PRIu64 ":%02u:%02u.%07u", seconds / 3600,
             (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60),
             (unsigned)(ns % NS_PER_S / 100));
    return out;
}

const char *number_write_bytes(uint64_t bytes, char *out)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    if (bytes < 1000) {
        snprintf(out, NUMBER_TEXT_BYTES, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
        return out;
    }
    for (; value >= 999.95 && unit + 1 < sizeof units / sizeof units[0]; unit++) {
        value /= 1000;
    }
    snprintf(out, NUMBER_TEXT_BYTES, "%.*f %s", value < 9.995 ? 2 : 1, value, units[unit]);
    return out;
}
