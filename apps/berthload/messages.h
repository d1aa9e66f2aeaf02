/* What is sent: every message is a function of its connection and its number. */
#ifndef BERTHLOAD_MESSAGES_H
#define BERTHLOAD_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "M" + 20 digits + "-C" + 10 digits, and what rounds it up. */
#define MESSAGE_TEXT_BYTES 40

/* The longest text that connection numbers up to `connections` and message numbers up to
 * `messages` lead to. */
uint32_t message_text_longest(uint32_t connections, uint64_t messages);

/* What all messages of a run have in common. */
struct message_plan {
    bool sized;        /* false: the text alone, as the seed's client sends it */
    uint32_t size_min; /* if sized */
    uint32_t size_max;
    uint8_t *pattern; /* size_max + the number of shifts; owned */
};

/* The pattern's bytes are never digits, so that no text runs on into them, nor `avoid` (the
 * first byte of a delimiter; -1: none), so that no delimiter begins in them.
 * false if there is no memory. */
bool message_plan_make(struct message_plan *plan, uint32_t size_min, uint32_t size_max, int avoid);
void message_plan_make_texts(struct message_plan *plan);
void message_plan_free(struct message_plan *plan);

/* One place in the row of a connection's messages. */
struct message_cursor {
    uint64_t index;      /* 1 is the first message */
    uint32_t connection; /* 1 is the first connection */
    uint8_t digits;      /* how many the index has */
    uint8_t text_bytes;
    char text[MESSAGE_TEXT_BYTES]; /* M<index>-C<connection> */
};

void message_cursor_start(struct message_cursor *cursor, uint32_t connection);
void message_cursor_next(struct message_cursor *cursor);

/* The size of the message at the cursor. */
uint32_t message_size(const struct message_plan *plan, const struct message_cursor *cursor);

/* Writes the message at the cursor; `size` is its message_size. */
void message_write(const struct message_plan *plan, const struct message_cursor *cursor,
                   uint32_t size, uint8_t *out);

/* Whether `bytes` are the message at the cursor; `size` is its message_size. */
bool message_is(const struct message_plan *plan, const struct message_cursor *cursor, uint32_t size,
                const uint8_t *bytes);

#endif
