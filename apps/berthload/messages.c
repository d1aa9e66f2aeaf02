/* The messages of a run: text M<i>-C<c> as the seed's client builds it, and with --size a pattern
 * behind it. None is stored: a cursor holds the text of one message and counts it up in place,
 * and the pattern is one block of random-looking bytes for the whole run, in which connection and
 * number decide where a message's share begins; so bytes of another message, or from another
 * place of the same one, show. The plan owns the pattern; a cursor belongs to its connection.
 * Writing is one or two memcpy, comparing one or two memcmp. */
#include "messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Different places in the pattern where messages begin: enough that neighbours differ, few enough
 * that the pattern of small messages stays in the processor's first cache. A power of two. */
#define PATTERN_SHIFTS 4096u

/* Odd numbers with well-spread bits (of splitmix64), to mix with. */
#define MIX_INDEX      UINT64_C(0x9e3779b97f4a7c15)
#define MIX_CONNECTION UINT64_C(0xbf58476d1ce4e5b9)
#define MIX_LAST       UINT64_C(0x94d049bb133111eb)

static uint32_t digits_of(uint64_t value)
{
    uint32_t digits = 1;
    for (; value >= 10; value /= 10) {
        digits++;
    }
    return digits;
}

uint32_t message_text_longest(uint32_t connections, uint64_t messages)
{
    return (uint32_t)(sizeof "M-C" - 1) + digits_of(messages) + digits_of(connections);
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
    *plan = (struct message_plan){.sized = true, .size_min = size_min, .size_max = size_max};
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

void message_plan_make_texts(struct message_plan *plan)
{
    *plan = (struct message_plan){.sized = false};
}

void message_plan_free(struct message_plan *plan)
{
    free(plan->pattern);
    plan->pattern = NULL;
}

static void write_text(struct message_cursor *cursor)
{
    int bytes = snprintf(cursor->text, sizeof cursor->text, "M%" PRIu64 "-C%" PRIu32, cursor->index,
                         cursor->connection);
    cursor->text_bytes = (uint8_t)bytes;
    cursor->digits = (uint8_t)digits_of(cursor->index);
}

void message_cursor_start(struct message_cursor *cursor, uint32_t connection)
{
    *cursor = (struct message_cursor){.index = 1, .connection = connection};
    write_text(cursor);
}

void message_cursor_next(struct message_cursor *cursor)
{
    cursor->index++;
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
    if (!plan->sized) {
        return cursor->text_bytes;
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
static void copy_text(uint8_t *out, const char *text, uint32_t bytes)
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
            out[i] = (uint8_t)text[i];
        }
    }
}

void message_write(const struct message_plan *plan, const struct message_cursor *cursor,
                   uint32_t size, uint8_t *out)
{
    uint32_t text = cursor->text_bytes;
    if (size <= text) {
        copy_text(out, cursor->text, size);
        return;
    }
    copy_text(out, cursor->text, text);
    memcpy(out + text, pattern_of(plan, cursor), size - text);
}

bool message_is(const struct message_plan *plan, const struct message_cursor *cursor, uint32_t size,
                const uint8_t *bytes)
{
    uint32_t text = cursor->text_bytes;
    if (size <= text) {
        return memcmp(bytes, cursor->text, size) == 0;
    }
    return memcmp(bytes, cursor->text, text) == 0 &&
           memcmp(bytes + text, pattern_of(plan, cursor), size - text) == 0;
}
