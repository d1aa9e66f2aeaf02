/* The messages of a run: text M<i>-C<c> as the seed's client builds it, alone, or repeated more
 * and more often, or with a pattern behind it (--size); or, instead of a text, a mark (--ledger),
 * which costs a CRC to write and to compare. Texts are built before the start and held
 * in one block, connection after connection, if there is memory for it; if not, a cursor holds the
 * text of one message and counts it up in place. The pattern is one block of random-looking bytes
 * for the whole run, in which connection and number decide where a message's share begins; so bytes
 * of another message, or from another place of the same one, show. The plan owns the texts and
 * the pattern; a cursor belongs to its connection. Writing is one or two memcpy, comparing one or
 * two memcmp. */
#include "messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mark.h"

/* Different places in the pattern where messages begin: enough that neighbours differ, few enough
 * that the pattern of small messages stays in the processor's first cache. A power of two. */
#define PATTERN_SHIFTS 4096u

/* Odd numbers with well-spread bits (of splitmix64), to mix with. */
#define MIX_INDEX      UINT64_C(0x9e3779b97f4a7c15)
#define MIX_CONNECTION UINT64_C(0xbf58476d1ce4e5b9)
#define MIX_LAST       UINT64_C(0x94d049bb133111eb)

/* What every text has. */
#define FIXED_BYTES ((uint32_t)(sizeof "M-C" - 1))

/* A growing message i is its text and i + 1 repetitions of it: so many texts, and i more. */
#define GROWTH_COPIES 2u

static uint32_t digits_of(uint64_t value)
{
    uint32_t digits = 1;
    for (; value >= 10; value /= 10) {
        digits++;
    }
    return digits;
}

/* The digits of all numbers from 1 to `last` together. Its callers know that they can be counted.
 */
static uint64_t digits_up_to(uint64_t last)
{
    uint64_t sum = 0;
    for (uint64_t power = 1;; power *= 10) {
        if (power > last) {
            return sum;
        }
        sum += last - power + 1; /* so many have a digit of this value */
        if (power > UINT64_MAX / 10) {
            return sum;
        }
    }
}

static uint32_t label_bytes(uint32_t connection, bool shared)
{
    return shared ? (uint32_t)(sizeof MESSAGE_SHARED_LABEL - 1) : digits_of(connection);
}

uint32_t message_text_longest(uint32_t connections, uint64_t messages, bool shared)
{
    return FIXED_BYTES + digits_of(messages) + label_bytes(connections, shared);
}

uint64_t message_growing_longest(uint32_t connections, uint64_t messages, bool shared)
{
    if (messages > UINT64_MAX / MESSAGE_TEXT_BYTES - GROWTH_COPIES) {
        return UINT64_MAX;
    }
    return (messages + GROWTH_COPIES) * message_text_longest(connections, messages, shared);
}

uint64_t message_growing_within(uint32_t connections, uint64_t messages, bool shared,
                                uint64_t bytes)
{
    uint64_t low = 0; /* so many are short enough */
    uint64_t high = messages;
    while (low < high) { /* halves each time */
        uint64_t middle = high - (high - low) / 2;
        if (message_growing_longest(connections, middle, shared) <= bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* The texts of connections 1 to `connections`, or of the one that all share. */
static uint64_t texts_before(uint32_t connections, uint64_t messages, bool shared)
{
    uint64_t one = messages * FIXED_BYTES + digits_up_to(messages);
    return shared ? one + messages * label_bytes(0, true)
                  : one * connections + messages * digits_up_to(connections);
}

uint64_t message_texts_bytes(uint32_t connections, uint64_t messages, bool shared)
{
    uint64_t count = shared ? 1 : connections;
    return count > 0 && messages > UINT64_MAX / MESSAGE_TEXT_BYTES / count
               ? UINT64_MAX
               : texts_before(connections, messages, shared);
}

/* 64 bits that look random and depend on which message it is. */
static uint64_t mix(uint64_t index, uint64_t connection)
{
    uint64_t bits = index * MIX_INDEX ^ connection * MIX_CONNECTION;
    bits ^= bits >> 32;
    bits *= MIX_LAST;
    return bits ^ bits >> 29;
}

bool message_plan_make(struct message_plan *plan, uint32_t size_min, uint32_t size_max, int avoid)
{
    size_t bytes = (size_t)size_max + PATTERN_SHIFTS;
    *plan =
        (struct message_plan){.kind = MESSAGE_PATTERN, .size_min = size_min, .size_max = size_max};
    plan->pattern = malloc(bytes);
    if (plan->pattern == NULL) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(mix(i, 0) >> 56);
        while ((byte >= '0' && byte <= '9') || (int)byte == avoid) {
            byte++; /* ends: at most eleven in a row are not wanted */
        }
        plan->pattern[i] = byte;
    }
    return true;
}

bool message_plan_make_marked(struct message_plan *plan, uint32_t size_min, uint32_t size_max,
                              uint64_t run, uint32_t client)
{
    bool made = message_plan_make(plan, size_min, size_max, -1);
    plan->kind = MESSAGE_MARKED;
    plan->run = run;
    plan->client = client;
    return made;
}

void message_plan_make_texts(struct message_plan *plan, enum message_kind kind, bool shared)
{
    *plan = (struct message_plan){.kind = kind, .shared = shared};
}

bool message_plan_hold(struct message_plan *plan, uint32_t connections, uint64_t messages)
{
    uint32_t arrays = plan->shared ? 1 : connections;
    uint64_t bytes = message_texts_bytes(connections, messages, plan->shared);
    uint8_t *texts = bytes < SIZE_MAX ? malloc((size_t)bytes) : NULL;
    uint8_t *out = texts;
    if (texts == NULL) {
        return false;
    }
    for (uint32_t array = 1; array <= arrays; array++) {
        struct message_cursor cursor;
        message_cursor_start(plan, &cursor, array);
        for (uint64_t i = 0; i < messages; i++) {
            memcpy(out, cursor.text, cursor.text_bytes);
            out += cursor.text_bytes;
            message_cursor_next(&cursor);
        }
    }
    plan->texts = texts; /* only now, as the cursors above make each text */
    plan->messages = messages;
    return true;
}

void message_plan_free(struct message_plan *plan)
{
    free(plan->pattern);
    free(plan->texts);
    plan->pattern = NULL;
    plan->texts = NULL;
}

static void write_text(struct message_cursor *cursor)
{
    int bytes = cursor->shared
                    ? snprintf(cursor->text, sizeof cursor->text,
                               "M%" PRIu64 "-C" MESSAGE_SHARED_LABEL, cursor->index)
                    : snprintf(cursor->text, sizeof cursor->text, "M%" PRIu64 "-C%" PRIu32,
                               cursor->index, cursor->connection);
    cursor->text_bytes = (uint8_t)bytes;
    cursor->digits = (uint8_t)digits_of(cursor->index);
}

void message_cursor_at(const struct message_plan *plan, struct message_cursor *cursor,
                       uint32_t connection, uint64_t index)
{
    *cursor = (struct message_cursor){
        .index = index, .connection = connection, .shared = plan->shared, .power = 10};
    if (plan->kind == MESSAGE_MARKED) {
        return;
    }
    write_text(cursor);
    if (plan->texts != NULL) {
        uint64_t before = plan->shared ? 0 : texts_before(connection - 1, plan->messages, false);
        before += digits_up_to(index - 1);
        before += (index - 1) * (FIXED_BYTES + label_bytes(connection, plan->shared));
        cursor->held = plan->texts + before;
        while (cursor->power <= index) { /* what is held is far from overflowing it */
            cursor->power *= 10;
        }
    }
}

void message_cursor_start(const struct message_plan *plan, struct message_cursor *cursor,
                          uint32_t connection)
{
    message_cursor_at(plan, cursor, connection, 1);
}

/* Nothing but the length of the text changes, where the index gets a digit more. */
static void next_held(struct message_cursor *cursor)
{
    cursor->held += cursor->text_bytes;
    cursor->index++;
    if (cursor->index == cursor->power) {
        cursor->power *= 10;
        cursor->text_bytes++;
    }
}

void message_cursor_next(struct message_cursor *cursor)
{
    if (cursor->held != NULL) {
        next_held(cursor);
        return;
    }
    cursor->index++;
    if (cursor->text_bytes == 0) {
        return;
    }
    char *digit = cursor->text + cursor->digits; /* the last one: the text begins with M */
    for (; digit > cursor->text && *digit == '9'; digit--) {
        *digit = '0';
    }
    if (digit > cursor->text) {
        ++*digit;
    } else {
        write_text(cursor); /* one digit more */
    }
}

uint32_t message_size(const struct message_plan *plan, const struct message_cursor *cursor)
{
    if (plan->kind == MESSAGE_TEXTS) {
        return cursor->text_bytes;
    }
    if (plan->kind == MESSAGE_GROWING) {
        return cursor->text_bytes * (uint32_t)(cursor->index + GROWTH_COPIES);
    }
    if (plan->size_min == plan->size_max) {
        return plan->size_min;
    }
    uint64_t span = (uint64_t)plan->size_max - plan->size_min + 1;
    uint64_t random = mix(cursor->index, cursor->connection) >> 32;
    return plan->size_min + (uint32_t)(random * span >> 32);
}

/* Where the pattern of the message at the cursor begins. */
static const uint8_t *pattern_of(const struct message_plan *plan,
                                 const struct message_cursor *cursor)
{
    return plan->pattern + mix(cursor->index, cursor->connection) % PATTERN_SHIFTS;
}

/* A text, or its beginning, in a few moves of fixed size that may overlap: for lengths that vary,
 * but are short, gcc makes a string instruction, which takes longer to begin than all of this. */
static void copy_text(uint8_t *out, const uint8_t *text, uint32_t bytes)
{
    if (bytes >= 16) {
        memcpy(out, text, 16);
        if (bytes > 32) {
            memcpy(out + 16, text + 16, 16);
        }
        memcpy(out + bytes - 16, text + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(out, text, 8);
        memcpy(out + bytes - 8, text + bytes - 8, 8);
    } else if (bytes >= 4) {
        memcpy(out, text, 4);
        memcpy(out + bytes - 4, text + bytes - 4, 4);
    } else {
        for (uint32_t i = 0; i < bytes; i++) {
            out[i] = text[i];
        }
    }
}

static const uint8_t *text_of(const struct message_cursor *cursor)
{
    return cursor->held != NULL ? cursor->held : (const uint8_t *)cursor->text;
}

/* Fills `out` with repetitions of its first bytes, doubling what is there. */
static void repeat(uint8_t *out, uint32_t bytes, uint32_t size)
{
    while (bytes < size) {
        uint32_t more = size - bytes < bytes ? size - bytes : bytes;
        memcpy(out + bytes, out, more);
        bytes += more;
    }
}

static struct mark mark_of(const struct message_plan *plan, const struct message_cursor *cursor,
                           uint32_t size)
{
    return (struct mark){
        .run = plan->run,
        .sequence = cursor->index,
        .time_ns = cursor->time_ns,
        .client = plan->client,
        .connection = cursor->connection,
        .length = size,
    };
}

static void write_marked(const struct message_plan *plan, const struct message_cursor *cursor,
                         uint32_t size, uint8_t *out)
{
    const struct mark mark = mark_of(plan, cursor, size);
    memcpy(out + MARK_BYTES, pattern_of(plan, cursor), size - MARK_BYTES);
    mark_write(&mark, out);
}

static bool is_marked(const struct message_plan *plan, const struct message_cursor *cursor,
                      uint32_t size, const uint8_t *bytes)
{
    struct mark mark;
    return mark_read(bytes, size, &mark) == MARK_RIGHT && mark.run == plan->run &&
           mark.sequence == cursor->index && mark.time_ns == cursor->time_ns &&
           mark.client == plan->client && mark.connection == cursor->connection &&
           mark.refusal == 0 &&
           memcmp(bytes + MARK_BYTES, pattern_of(plan, cursor), size - MARK_BYTES) == 0;
}

void message_write(const struct message_plan *plan, const struct message_cursor *cursor,
                   uint32_t size, uint8_t *out)
{
    uint32_t text = cursor->text_bytes;
    if (plan->kind == MESSAGE_MARKED) {
        write_marked(plan, cursor, size, out);
        return;
    }
    if (size <= text) {
        copy_text(out, text_of(cursor), size);
        return;
    }
    copy_text(out, text_of(cursor), text);
    if (plan->kind == MESSAGE_GROWING) {
        repeat(out, text, size);
    } else {
        memcpy(out + text, pattern_of(plan, cursor), size - text);
    }
}

bool message_is(const struct message_plan *plan, const struct message_cursor *cursor, uint32_t size,
                const uint8_t *bytes)
{
    uint32_t text = cursor->text_bytes;
    if (plan->kind == MESSAGE_MARKED) {
        return is_marked(plan, cursor, size, bytes);
    }
    if (size <= text) {
        return memcmp(bytes, text_of(cursor), size) == 0;
    }
    /* What is a text and then equals itself moved by a text is repetitions of it. */
    const uint8_t *rest =
        plan->kind == MESSAGE_GROWING ? bytes : (const uint8_t *)pattern_of(plan, cursor);
    return memcmp(bytes, text_of(cursor), text) == 0 &&
           memcmp(bytes + text, rest, size - text) == 0;
}
