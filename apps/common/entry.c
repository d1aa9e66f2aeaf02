/* One line of a program's log, in memory and as text: in columns for people, or a JSON object.
 *
 * A worker fills an entry (a few stores and the copy of a short text); the writer's thread turns
 * it into text (about half a microsecond). All of it is pure and allocates nothing: an entry is
 * fixed in size, and every line fits in ENTRY_LINE_BYTES. Numbers are written by hand because
 * printf takes longer than all the rest together, and a log of a load test has millions of lines.
 */
#include "common/entry.h"

#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

/* The columns of the text: 99,999 seconds, 1,000 workers, the seed's session ids, and the longest
 * words. What is longer moves its line to the right. */
#define COLUMN_SECONDS 5
#define COLUMN_WORKER  4
#define COLUMN_CONN    10
#define COLUMN_MODE    11
#define COLUMN_EVENT   15

/* A reason is static text, and so far none is half as long. */
#define REASON_BYTES_MAX 200

static const char *const mode_names[] = {
#define MODE_NAME(name, text) text,
    ENTRY_MODES(MODE_NAME)
#undef MODE_NAME
};

static const char *const event_names[] = {
#define EVENT_NAME(name, text) text,
    ENTRY_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

static const char *const key_names[] = {
#define KEY_NAME(name, text) text,
    ENTRY_KEYS(KEY_NAME)
#undef KEY_NAME
};

/* ---- filling ---- */

void entry_init(struct entry *entry, enum entry_mode mode, enum entry_event event, uint64_t conn)
{
    entry->conn = conn;
    entry->reason = NULL;
    entry->values_count = 0;
    entry->mode = (uint8_t)mode;
    entry->event = (uint8_t)event;
    entry->text_bytes = 0;
    entry->peer.family = BERTH_FAMILY_NONE;
    entry->local.family = BERTH_FAMILY_NONE;
}

void entry_number(struct entry *entry, enum entry_key key, uint64_t value)
{
    if (entry->values_count < ENTRY_VALUES_MAX) {
        entry->keys[entry->values_count] = (uint8_t)key;
        entry->values[entry->values_count++] = value;
    }
}

void entry_text(struct entry *entry, const void *text, size_t bytes)
{
    size_t kept = bytes < ENTRY_TEXT_BYTES ? bytes : ENTRY_TEXT_BYTES;
    memcpy(entry->text, text, kept);
    entry->text_bytes = (uint8_t)kept;
    if (kept < bytes) {
        entry_number(entry, KEY_LEFT_OUT, bytes - kept);
    }
}

/* ---- writing ---- */

static char *put(char *out, const char *text)
{
    while (*text != '\0') { /* a few bytes each, and no call */
        *out++ = *text++;
    }
    return out;
}

/* Digits from the right; at least `width` of them, filled up in front with `fill`. */
static char *put_number(char *out, uint64_t value, unsigned width, char fill)
{
    char digits[20]; /* of 2^64 - 1 */
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (; width > count; width--) {
        *out++ = fill;
    }
    while (count > 0) {
        *out++ = digits[--count];
    }
    return out;
}

/* Blanks up to the column that began at `start`, and one behind it. */
static char *pad(char *out, const char *start, unsigned width)
{
    while (out - start < (ptrdiff_t)width) {
        *out++ = ' ';
    }
    *out++ = ' ';
    return out;
}

/* A text in quotes, as JSON has it. Bytes are taken one by one: they need not be UTF-8, so what is
 * not printable ASCII becomes a \u00.. of its own. */
static char *put_quoted(char *out, const char *text, size_t bytes)
{
    static const char figures[] = "0123456789abcdef";
    *out++ = '"';
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\') {
            *out++ = '\\';
            *out++ = (char)byte;
        } else if (byte >= ' ' && byte < 0x7f) {
            *out++ = (char)byte;
        } else {
            out = put(out, "\\u00");
            *out++ = figures[byte >> 4];
            *out++ = figures[byte & 15];
        }
    }
    *out++ = '"';
    return out;
}

static char *put_reason(char *out, const char *reason)
{
    size_t bytes = strlen(reason);
    return put_quoted(out, reason, bytes < REASON_BYTES_MAX ? bytes : REASON_BYTES_MAX);
}

static char *put_address(char *out, const struct berth_address *address)
{
    char text[BERTH_ADDRESS_TEXT_BYTES];
    return put(out, berth_address_format(address, text, sizeof text));
}

size_t entry_write_text(const struct entry *entry, char *out)
{
    char *at = put_number(out, entry->t_ns / NS_PER_S, COLUMN_SECONDS, ' ');
    *at++ = '.';
    at = put_number(at, entry->t_ns % NS_PER_S, 9, '0');
    *at++ = ' ';
    char *column = at;
    if (entry->worker == ENTRY_NO_WORKER) {
        *at++ = '-';
    } else {
        *at++ = 'w';
        at = put_number(at, entry->worker, 1, ' ');
    }
    column = at = pad(at, column, COLUMN_WORKER);
    at = entry->conn == 0 ? put(at, "-") : put_number(at, entry->conn, 1, ' ');
    column = at = pad(at, column, COLUMN_CONN);
    at = put(at, mode_names[entry->mode]);
    column = at = pad(at, column, COLUMN_MODE);
    at = put(at, event_names[entry->event]);
    at = pad(at, column, COLUMN_EVENT);
    if (entry->peer.family != BERTH_FAMILY_NONE) {
        at = put(at, "peer=");
        at = put_address(at, &entry->peer);
        *at++ = ' ';
    }
    if (entry->local.family != BERTH_FAMILY_NONE) {
        at = put(at, "local=");
        at = put_address(at, &entry->local);
        *at++ = ' ';
    }
    for (unsigned i = 0; i < entry->values_count; i++) {
        at = put(at, key_names[entry->keys[i]]);
        *at++ = '=';
        at = put_number(at, entry->values[i], 1, ' ');
        *at++ = ' ';
    }
    if (entry->text_bytes > 0) {
        at = put(at, "text=");
        at = put_quoted(at, entry->text, entry->text_bytes);
        *at++ = ' ';
    }
    if (entry->reason != NULL) {
        at = put(at, "reason=");
        at = put_reason(at, entry->reason);
    }
    while (at[-1] == ' ') {
        at--;
    }
    *at++ = '\n';
    return (size_t)(at - out);
}

size_t entry_write_json(const struct entry *entry, char *out)
{
    char *at = put(out, "{\"t\":");
    at = put_number(at, entry->t_ns, 1, ' ');
    if (entry->worker != ENTRY_NO_WORKER) {
        at = put(at, ",\"worker\":");
        at = put_number(at, entry->worker, 1, ' ');
    }
    at = put(at, ",\"mode\":\"");
    at = put(at, mode_names[entry->mode]);
    at = put(at, "\",\"event\":\"");
    at = put(at, event_names[entry->event]);
    *at++ = '"';
    if (entry->conn != 0) {
        at = put(at, ",\"conn\":");
        at = put_number(at, entry->conn, 1, ' ');
    }
    if (entry->peer.family != BERTH_FAMILY_NONE) {
        at = put(at, ",\"peer\":\"");
        at = put_address(at, &entry->peer);
        *at++ = '"';
    }
    if (entry->local.family != BERTH_FAMILY_NONE) {
        at = put(at, ",\"local\":\"");
        at = put_address(at, &entry->local);
        *at++ = '"';
    }
    for (unsigned i = 0; i < entry->values_count; i++) {
        at = put(at, ",\"");
        at = put(at, key_names[entry->keys[i]]);
        at = put(at, "\":");
        at = put_number(at, entry->values[i], 1, ' ');
    }
    if (entry->text_bytes > 0) {
        at = put(at, ",\"text\":");
        at = put_quoted(at, entry->text, entry->text_bytes);
    }
    if (entry->reason != NULL) {
        at = put(at, ",\"reason\":");
        at = put_reason(at, entry->reason);
    }
    at = put(at, "}\n");
    return (size_t)(at - out);
}

/* ---- reading ---- */

bool entry_modes_read(const char *text, unsigned allowed, unsigned *modes)
{
    unsigned found = 0;
    for (;;) {
        size_t bytes = strcspn(text, ",");
        unsigned bit = 0;
        for (unsigned i = 0; i < ENTRY_MODES_COUNT && bit == 0; i++) {
            if (strlen(mode_names[i]) == bytes && memcmp(mode_names[i], text, bytes) == 0) {
                bit = ENTRY_MODE_BIT(i) & allowed;
            }
        }
        if (bit == 0) {
            return false;
        }
        found |= bit;
        if (text[bytes] == '\0') {
            *modes = found;
            return true;
        }
        text += bytes + 1;
    }
}

const char *entry_modes_write(unsigned modes, char *out)
{
    char *at = put(out, "none");
    for (unsigned i = 0; i < ENTRY_MODES_COUNT; i++) {
        if ((modes & ENTRY_MODE_BIT(i)) != 0) {
            at = *out == 'n' ? out : put(at, ",");
            at = put(at, mode_names[i]);
        }
    }
    *at = '\0';
    return out;
}
