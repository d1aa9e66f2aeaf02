/* What is sent: every message is a function of its connection and its number. */
#ifndef BERTHLOAD_MESSAGES_H
#define BERTHLOAD_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "M" + 20 digits + "-C" + 10 digits, and what rounds it up. */
#define MESSAGE_TEXT_BYTES 40

/* What a connection sends when all send the same. */
#define MESSAGE_SHARED_LABEL "0000"

/* What a message is made of. */
enum message_kind {
    MESSAGE_TEXTS,   /* the text alone, as the seed's client sends it */
    MESSAGE_GROWING, /* message i is its text and i + 1 repetitions of it: the seed's type 1 */
    MESSAGE_PATTERN, /* the text as far as it fits, and a pattern behind it */
    MESSAGE_MARKED,  /* a mark (common/mark.h), and a pattern behind it */
};

/* What all messages of a run have in common. */
struct message_plan {
    enum message_kind kind;
    bool shared;     /* all connections send the same texts, M<i>-C0000 */
    uint32_t client; /* in the marks; and so is run */
    uint64_t run;
    uint32_t size_min; /* of a pattern, or of marked messages */
    uint32_t size_max;
    uint8_t *pattern;  /* size_max + the number of shifts; owned */
    uint8_t *texts;    /* every text of every connection, in order; NULL: none is held. Owned */
    uint64_t messages; /* of a connection; of those held */
};

/* The longest text that connection numbers up to `connections` and message numbers up to
 * `messages` lead to; with `shared`, connections have no number. */
uint32_t message_text_longest(uint32_t connections, uint64_t messages, bool shared);

/* The longest growing message: number `messages` of a connection whose text is the longest. */
uint64_t message_growing_longest(uint32_t connections, uint64_t messages, bool shared);

/* How many growing messages of a connection are at most `bytes` long, of `messages`. */
uint64_t message_growing_within(uint32_t connections, uint64_t messages, bool shared,
                                uint64_t bytes);

/* The bytes of all texts together, in one block; UINT64_MAX: more than can be counted. */
uint64_t message_texts_bytes(uint32_t connections, uint64_t messages, bool shared);

/* The pattern's bytes are never digits, so that no text runs on into them, nor `avoid` (the
 * first byte of a delimiter; -1: none), so that no delimiter begins in them.
 * false if there is no memory. */
bool message_plan_make(struct message_plan *plan, uint32_t size_min, uint32_t size_max, int avoid);

/* The same for marked messages, of at least MARK_BYTES. */
bool message_plan_make_marked(struct message_plan *plan, uint32_t size_min, uint32_t size_max,
                              uint64_t run, uint32_t client);

/* MESSAGE_TEXTS or MESSAGE_GROWING. */
void message_plan_make_texts(struct message_plan *plan, enum message_kind kind, bool shared);

/* Builds all texts of a plan of texts, so that sending a message is copying it. false if there is
 * no memory; the plan then still makes each text when it is sent. O(all bytes). */
bool message_plan_hold(struct message_plan *plan, uint32_t connections, uint64_t messages);

void message_plan_free(struct message_plan *plan);

/* One place in the row of a connection's messages. */
struct message_cursor {
    uint64_t index;      /* 1 is the first message */
    uint32_t connection; /* 1 is the first connection */
    uint8_t digits;      /* how many the index has */
    uint8_t text_bytes;  /* 0: it is marked, and has none */
    bool shared;
    uint64_t power;                /* the next index that has a digit more; of what is held */
    uint64_t time_ns;              /* in the mark; set by whoever writes, or expects a reply */
    const uint8_t *held;           /* the text among those that are held; NULL: none is */
    char text[MESSAGE_TEXT_BYTES]; /* M<index>-C<connection>, if it is not held */
};

void message_cursor_start(const struct message_plan *plan, struct message_cursor *cursor,
                          uint32_t connection);

/* The same at message `index`. */
void message_cursor_at(const struct message_plan *plan, struct message_cursor *cursor,
                       uint32_t connection, uint64_t index);
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
