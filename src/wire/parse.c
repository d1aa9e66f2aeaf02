/* Framings as text, as berthd and berthload take them on the command line and in files.
 *
 *   length:N[:le|be][:offset=K][:itself][:adjust=N][:nonempty]    parts after N in any order
 *   varint[:nonempty]
 *   delimiter:TEXT[:nonempty]
 *   fixed:N
 *
 * Numbers are decimal, without leading zeros; only adjust may have a sign. TEXT is taken byte by
 * byte, but for `:`, which ends it, and the escapes \r \n \t \0 \\ \xHH; a colon in a delimiter is
 * written \x3a. Length fields are little-endian unless they are `be`.
 *
 * One operation, berth_framing_parse; it borrows the text and allocates nothing. O(length of the
 * text). It is strict: what is not understood, said twice or out of range is refused by name,
 * since a framing that is nearly right costs its user a day.
 */
#include <berth/frame.h>

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "wire/wire.h"

/* As much of a wrong part as an error shows. */
#define SHOWN_BYTES 40

/* More digits than any number here has, and few enough not to overflow while reading. */
#define NUMBER_DIGITS_MAX 10

/* One piece of the text between colons. */
struct part {
    const char *at;
    size_t bytes;
};

/* What has been said already. */
enum said {
    SAID_ENDIAN = 1,
    SAID_OFFSET = 2,
    SAID_ITSELF = 4,
    SAID_ADJUST = 8,
    SAID_NONEMPTY = 16,
};

/* Refuses with the part in the text. It comes from outside, so only printable bytes of it. */
static int refuse(struct berth_error *error, const char *setting, struct part part, const char *why)
{
    char shown[SHOWN_BYTES + 1];
    size_t bytes = part.bytes < SHOWN_BYTES ? part.bytes : SHOWN_BYTES;
    for (size_t i = 0; i < bytes; i++) {
        shown[i] = part.at[i] >= ' ' && part.at[i] <= '~' ? part.at[i] : '?';
    }
    shown[bytes] = '\0';
    return error_set(error, BERTH_E_INVALID, 0, setting, "framing part \"%s\"%s %s", shown,
                     bytes < part.bytes ? "..." : "", why);
}

/* Takes the next part off the text; false at its end. A text that ends in a colon has an empty
 * part there, which nothing accepts. */
static bool next_part(const char **text, struct part *part)
{
    if (*text == NULL) {
        return false;
    }
    const char *colon = strchr(*text, ':');
    part->at = *text;
    part->bytes = colon != NULL ? (size_t)(colon - *text) : strlen(*text);
    *text = colon != NULL ? colon + 1 : NULL;
    return true;
}

static bool part_is(struct part part, const char *word)
{
    return part.bytes == strlen(word) && memcmp(part.at, word, part.bytes) == 0;
}

/* Whether the part begins with `word`, which is then taken off. */
static bool part_begins(struct part *part, const char *word)
{
    size_t bytes = strlen(word);
    if (part->bytes < bytes || memcmp(part->at, word, bytes) != 0) {
        return false;
    }
    part->at += bytes;
    part->bytes -= bytes;
    return true;
}

static bool part_number(struct part part, int64_t low, int64_t high, int64_t *number)
{
    bool negative = low < 0 && part_begins(&part, "-");
    if (part.bytes == 0 || part.bytes > NUMBER_DIGITS_MAX ||
        (part.at[0] == '0' && part.bytes > 1)) {
        return false;
    }
    int64_t sum = 0;
    for (size_t i = 0; i < part.bytes; i++) {
        if (part.at[i] < '0' || part.at[i] > '9') {
            return false;
        }
        sum = sum * 10 + (part.at[i] - '0');
    }
    *number = negative ? -sum : sum;
    return *number >= low && *number <= high;
}

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = memchr(digits, digit, sizeof digits - 1);
    return found != NULL ? (int)((found - digits) % 16) : -1;
}

/* Reads the escape that follows a backslash. Returns how many characters it has, 0 if it is none.
 */
static size_t read_escape(struct part rest, uint8_t *byte)
{
    static const char letters[] = "rnt0\\";
    static const uint8_t meanings[] = {'\r', '\n', '\t', '\0', '\\'};
    if (rest.bytes == 0) {
        return 0;
    }
    if (rest.at[0] == 'x') {
        int high = rest.bytes >= 3 ? hex_digit(rest.at[1]) : -1;
        int low = rest.bytes >= 3 ? hex_digit(rest.at[2]) : -1;
        *byte = (uint8_t)(high * 16 + low);
        return high >= 0 && low >= 0 ? 3 : 0;
    }
    const char *letter = memchr(letters, rest.at[0], sizeof meanings);
    if (letter == NULL) {
        return 0;
    }
    *byte = meanings[letter - letters];
    /* \012 is an octal number to whoever writes it, and three bytes to this grammar. */
    bool octal = *byte == 0 && rest.bytes > 1 && rest.at[1] >= '0' && rest.at[1] <= '9';
    return octal ? 0 : 1;
}

static int read_delimiter(struct part part, struct berth_framing *framing,
                          struct berth_error *error)
{
    struct part rest = part;
    while (rest.bytes > 0) {
        uint8_t byte = (uint8_t)rest.at[0];
        size_t taken = 1;
        if (byte == '\\') {
            size_t escape = read_escape((struct part){rest.at + 1, rest.bytes - 1}, &byte);
            if (escape == 0) {
                return refuse(error, "delimiter", part,
                              "has an escape that is none of \\r \\n \\t \\0 \\\\ \\xHH");
            }
            taken += escape;
        }
        if (framing->delimiter_bytes == BERTH_DELIMITER_BYTES_MAX) {
            return refuse(error, "delimiter", part, "is longer than 16 bytes");
        }
        framing->delimiter[framing->delimiter_bytes++] = byte;
        rest.at += taken;
        rest.bytes -= taken;
    }
    if (framing->delimiter_bytes == 0) {
        return refuse(error, "delimiter", part, "is empty, and a delimiter has 1 to 16 bytes");
    }
    return BERTH_OK;
}

/* One of the parts that may follow `length:N`. Returns what it says, 0 if it is none of them, or a
 * negative error. */
static int read_length_part(struct part part, struct berth_framing *framing,
                            struct berth_error *error)
{
    struct part value = part;
    int64_t number;
    if (part_is(part, "le") || part_is(part, "be")) {
        framing->length_big_endian = part_is(part, "be");
        return SAID_ENDIAN;
    }
    if (part_is(part, "itself")) {
        framing->length_counts_itself = true;
        return SAID_ITSELF;
    }
    if (part_begins(&value, "offset=")) {
        if (!part_number(value, 0, WIRE_LENGTH_OFFSET_MAX, &number)) {
            return refuse(error, "length_offset", part, "must be a number from 0 to 56");
        }
        framing->length_offset = (uint8_t)number;
        return SAID_OFFSET;
    }
    if (part_begins(&value, "adjust=")) {
        if (!part_number(value, INT32_MIN, INT32_MAX, &number)) {
            return refuse(error, "length_adjust", part,
                          "must be a number from -2147483648 to 2147483647");
        }
        framing->length_adjust = (int32_t)number;
        return SAID_ADJUST;
    }
    return 0;
}

/* The parts that come after what every framing of the kind must have. */
static int read_parts(const char *text, struct berth_framing *framing, struct berth_error *error)
{
    int said = 0;
    struct part part;
    while (next_part(&text, &part)) {
        int saying = 0;
        if (framing->kind == BERTH_FRAMING_LENGTH) {
            saying = read_length_part(part, framing, error);
        }
        if (saying == 0 && framing->kind != BERTH_FRAMING_FIXED && part_is(part, "nonempty")) {
            framing->refuse_empty = true;
            saying = SAID_NONEMPTY;
        }
        if (saying < 0) {
            return saying;
        }
        if (saying == 0) {
            return refuse(error, "framing", part, "is not known here");
        }
        if (said & saying) {
            return refuse(error, "framing", part, "says again what another part has said");
        }
        said |= saying;
    }
    return BERTH_OK;
}

/* What must follow the kind: nothing, a number or the delimiter. */
static int read_kind(struct part kind, const char **text, struct berth_framing *framing,
                     struct berth_error *error)
{
    struct part part = {"", 0};
    int64_t number;
    if (part_is(kind, "varint")) {
        framing->kind = BERTH_FRAMING_VARINT;
        return BERTH_OK;
    }
    if (part_is(kind, "length")) {
        framing->kind = BERTH_FRAMING_LENGTH;
        next_part(text, &part);
        if (!part_number(part, 1, 8, &number) || (number & (number - 1)) != 0) {
            return refuse(error, "length_bytes", part,
                          "must be 1, 2, 4 or 8 bytes, as in length:4");
        }
        framing->length_bytes = (uint8_t)number;
        return BERTH_OK;
    }
    if (part_is(kind, "delimiter")) {
        framing->kind = BERTH_FRAMING_DELIMITER;
        next_part(text, &part);
        return read_delimiter(part, framing, error);
    }
    if (part_is(kind, "fixed")) {
        framing->kind = BERTH_FRAMING_FIXED;
        next_part(text, &part);
        if (!part_number(part, 1, BERTH_MESSAGE_BYTES_LIMIT, &number)) {
            return refuse(error, "message_bytes_max", part,
                          "must be a number of bytes from 1 to 1073741824, as in fixed:64");
        }
        framing->message_bytes_max = (uint32_t)number;
        return BERTH_OK;
    }
    return refuse(error, "kind", kind,
                  "is no framing: length:N, varint, delimiter:TEXT or fixed:N");
}

int berth_framing_parse(const char *text, uint32_t message_bytes_max, struct berth_framing *out,
                        struct berth_error *error)
{
    BERTH_ASSERT(text != NULL);
    BERTH_ASSERT(out != NULL);
    struct berth_framing framing = {.message_bytes_max = message_bytes_max};
    struct part kind;
    next_part(&text, &kind);
    int code = read_kind(kind, &text, &framing, error);
    if (code == BERTH_OK) {
        code = read_parts(text, &framing, error);
    }
    if (code == BERTH_OK) {
        code = berth_framing_check(&framing, error);
    }
    if (code == BERTH_OK) {
        *out = framing;
    }
    return code;
}
