/* The properties of any framing over any bytes: see fuzz.h. Each run allocates exactly sized copies
 * of what it shows to the parser, and frees them; an input of n bytes costs O(n * n) at most, with
 * n below STREAM_BYTES_MAX.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer inputs show nothing that shorter ones do not, and take their time. */
#define STREAM_BYTES_MAX 1024
#define CUT_AT_ONCE      5
#define SPLITS           3 /* random splits of one input */

/* What came out of a stream: each message as a place and a size in it, and how it ended. */
struct outcome {
    struct {
        size_t place;
        uint32_t size;
    } messages[STREAM_BYTES_MAX];
    size_t count;
    size_t consumed;
    enum berth_frame_verdict verdict;
    struct berth_frame frame;
};

/* How a stream is fed. */
enum feeding {
    FEED_WHOLE,
    FEED_BYTES,
    FEED_RANDOM_CUT,
    FEED_RANDOM_DECODE, /* with berth_frame_decode, frame by frame */
};

void fuzz_failed(const char *text, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    abort();
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

uint32_t fuzz_number(struct fuzz_input *input, size_t bytes)
{
    uint32_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number |= (uint32_t)fuzz_byte(input) << (8 * i);
    }
    return number;
}

uint32_t fuzz_message_bytes_max(struct fuzz_input *input)
{
    uint8_t choice = fuzz_byte(input);
    if (choice == 255) {
        return BERTH_MESSAGE_BYTES_LIMIT - fuzz_byte(input);
    }
    return choice < 250 ? choice % 50 + 1u : choice * 20u;
}

uint8_t *fuzz_copy(const uint8_t *bytes, size_t count)
{
    if (count == 0) {
        return NULL;
    }
    uint8_t *copy = malloc(count);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, bytes, count);
    return copy;
}

bool fuzz_is_filled(const void *room, size_t bytes)
{
    const uint8_t *at = room;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != FUZZ_FILL) {
            return false;
        }
    }
    return true;
}

/* One step of a small generator (xorshift64); any state but 0. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Bounds that hold for every verdict, and that the rest of Berth counts on. */
static void check_frame(const struct berth_framing *framing, enum berth_frame_verdict verdict,
                        const struct berth_frame *frame, size_t count)
{
    size_t longest = (size_t)framing->message_bytes_max + BERTH_HEADER_BYTES_MAX * 2;
    char text[300];
    switch (verdict) {
    case BERTH_FRAME_NEED:
        FUZZ_CHECK(frame->need_bytes > count);
        FUZZ_CHECK(frame->need_bytes <= longest);
        FUZZ_CHECK(frame->refusal == BERTH_REFUSED_NOTHING);
        return;
    case BERTH_FRAME_READY:
        FUZZ_CHECK(frame->header_bytes <= BERTH_HEADER_BYTES_MAX);
        FUZZ_CHECK(frame->message_bytes <= framing->message_bytes_max);
        FUZZ_CHECK(frame->message_bytes > 0 || !framing->refuse_empty);
        FUZZ_CHECK((size_t)frame->header_bytes + frame->message_bytes + frame->trailer_bytes <=
                   count);
        FUZZ_CHECK(frame->header_bytes + frame->message_bytes + frame->trailer_bytes > 0);
        FUZZ_CHECK(frame->refusal == BERTH_REFUSED_NOTHING);
        return;
    case BERTH_FRAME_BAD:
        FUZZ_CHECK(frame->refusal != BERTH_REFUSED_NOTHING);
        FUZZ_CHECK(frame->field_bytes <= sizeof frame->field);
        FUZZ_CHECK(frame->field_bytes <= count);
        memset(text, '~', sizeof text);
        FUZZ_CHECK(berth_frame_refusal_text(frame, text, sizeof text) == text);
        FUZZ_CHECK(memchr(text, '\0', sizeof text) != NULL);
        FUZZ_CHECK(strlen(text) > 10);
        return;
    }
    fuzz_failed("the verdict is one", __FILE__, __LINE__);
}

static void record(struct outcome *outcome, size_t place, uint32_t size)
{
    FUZZ_CHECK(outcome->count < STREAM_BYTES_MAX);
    outcome->messages[outcome->count].place = place;
    outcome->messages[outcome->count++].size = size;
}

/* Takes what can be taken off the front of `held`, which begins at outcome->consumed. */
static void take_with_cut(const struct berth_framing *framing, const uint8_t *held, size_t count,
                          size_t *scanned, struct outcome *outcome)
{
    struct berth_message messages[CUT_AT_ONCE];
    size_t consumed;
    size_t cut = berth_frame_cut(framing, held, count, scanned, messages, CUT_AT_ONCE, &consumed,
                                 &outcome->frame, &outcome->verdict);
    FUZZ_CHECK(cut <= CUT_AT_ONCE);
    FUZZ_CHECK(consumed <= count);
    size_t end = 0;
    for (size_t i = 0; i < cut; i++) {
        size_t place = (size_t)(messages[i].data - held);
        FUZZ_CHECK(place >= end + messages[i].header_bytes);
        FUZZ_CHECK(messages[i].size <= framing->message_bytes_max);
        FUZZ_CHECK(messages[i].size > 0 || !framing->refuse_empty);
        end = place + messages[i].size;
        FUZZ_CHECK(end <= consumed);
        record(outcome, outcome->consumed + place, messages[i].size);
    }
    FUZZ_CHECK(cut == CUT_AT_ONCE || outcome->verdict != BERTH_FRAME_READY);
    outcome->consumed += consumed;
    check_frame(framing, outcome->verdict, &outcome->frame, count - consumed);
}

static void take_with_decode(const struct berth_framing *framing, const uint8_t *held, size_t count,
                             size_t *scanned, struct outcome *outcome)
{
    struct berth_frame *frame = &outcome->frame;
    outcome->verdict = berth_frame_decode(framing, held, count, scanned, frame);
    check_frame(framing, outcome->verdict, frame, count);
    if (outcome->verdict == BERTH_FRAME_READY) {
        record(outcome, outcome->consumed + frame->header_bytes, frame->message_bytes);
        outcome->consumed += frame->header_bytes + frame->message_bytes + frame->trailer_bytes;
        *scanned = 0;
    }
}

/* Feeds a stream piece by piece, as a connection would. */
static void feed(const struct berth_framing *framing, const uint8_t *bytes, size_t count,
                 enum feeding feeding, uint64_t random, struct outcome *outcome)
{
    size_t present = 0, scanned = 0, need = 0;
    *outcome = (struct outcome){.verdict = BERTH_FRAME_NEED};
    do {
        size_t piece = count - present;
        if (feeding == FEED_BYTES && piece > 1) {
            piece = 1;
        } else if (feeding != FEED_WHOLE && piece > 1) {
            size_t most = 1 + next_random(&random) % 64;
            piece = 1 + next_random(&random) % (piece < most ? piece : most);
        }
        present += piece;
        size_t messages = outcome->count;
        bool too_early = present - outcome->consumed < need;
        do {
            size_t held_bytes = present - outcome->consumed;
            uint8_t *held = fuzz_copy(bytes + outcome->consumed, held_bytes);
            if (feeding == FEED_RANDOM_DECODE) {
                take_with_decode(framing, held, held_bytes, &scanned, outcome);
            } else {
                take_with_cut(framing, held, held_bytes, &scanned, outcome);
            }
            free(held);
        } while (outcome->verdict == BERTH_FRAME_READY);
        if (too_early) {
            FUZZ_CHECK(outcome->verdict == BERTH_FRAME_NEED);
            FUZZ_CHECK(outcome->count == messages);
            FUZZ_CHECK(outcome->frame.need_bytes >= need);
        }
        need = outcome->frame.need_bytes;
    } while (present < count && outcome->verdict == BERTH_FRAME_NEED);
}

static void check_same(const struct berth_framing *framing, const struct outcome *a,
                       const struct outcome *b)
{
    FUZZ_CHECK(a->count == b->count);
    FUZZ_CHECK(a->consumed == b->consumed);
    FUZZ_CHECK(a->verdict == b->verdict);
    for (size_t i = 0; i < a->count; i++) {
        FUZZ_CHECK(a->messages[i].place == b->messages[i].place);
        FUZZ_CHECK(a->messages[i].size == b->messages[i].size);
    }
    FUZZ_CHECK(a->frame.refusal == b->frame.refusal);
    if (a->verdict == BERTH_FRAME_NEED) {
        FUZZ_CHECK(a->frame.need_bytes == b->frame.need_bytes);
    }
    /* A custom decoder may be shown more or less before it refuses, and say so. */
    if (a->verdict == BERTH_FRAME_BAD && framing->kind != BERTH_FRAMING_CUSTOM) {
        FUZZ_CHECK(memcmp(&a->frame, &b->frame, sizeof a->frame) == 0);
    }
}

/* The framing of another side that accepts messages of this size. */
static struct berth_framing other_side(const struct berth_framing *framing, uint32_t size)
{
    struct berth_framing other = *framing;
    if (other.message_bytes_max < size) {
        other.message_bytes_max = size;
    }
    return other;
}

/* Writes the frame of a message that may be sent, and finds it again as the other side does.
 * Returns the frame's bytes, which the caller frees. */
static uint8_t *send_and_receive(const struct berth_framing *framing, const uint8_t *message,
                                 uint32_t size, size_t *frame_bytes)
{
    const struct berth_framing other = other_side(framing, size);
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int header_bytes = berth_frame_header(framing, size, header);
    FUZZ_CHECK(header_bytes >= 0 && header_bytes <= BERTH_HEADER_BYTES_MAX);
    size_t front = (size_t)header_bytes;
    size_t total = front + size + framing->delimiter_bytes;
    uint8_t *whole = malloc(total);
    FUZZ_CHECK(whole != NULL);
    memcpy(whole, header, front);
    if (size > 0) {
        memcpy(whole + front, message, size);
    }
    memcpy(whole + front + size, framing->delimiter, framing->delimiter_bytes);

    struct berth_frame frame;
    size_t scanned = 0;
    FUZZ_CHECK(berth_frame_decode(&other, whole, total, &scanned, &frame) == BERTH_FRAME_READY);
    FUZZ_CHECK(frame.header_bytes == front);
    FUZZ_CHECK(frame.message_bytes == size);
    FUZZ_CHECK(frame.trailer_bytes == framing->delimiter_bytes);
    if (size > framing->message_bytes_max) {
        scanned = 0;
        FUZZ_CHECK(berth_frame_decode(framing, whole, total, &scanned, &frame) == BERTH_FRAME_BAD);
    }
    /* One byte less is not enough, and says how much would be. */
    scanned = 0;
    uint8_t *less = fuzz_copy(whole, total - 1);
    FUZZ_CHECK(berth_frame_decode(&other, less, total - 1, &scanned, &frame) == BERTH_FRAME_NEED);
    FUZZ_CHECK(frame.need_bytes == total);
    free(less);
    *frame_bytes = total;
    return whole;
}

/* What was received can be sent. The frame written is the frame read, but for the bytes before a
 * length field, which are the application's own; a custom encoder may have several headers. */
static void check_received(const struct berth_framing *framing, const uint8_t *bytes,
                           const struct outcome *outcome)
{
    for (size_t i = 0; i < outcome->count; i++) {
        size_t place = outcome->messages[i].place;
        uint32_t size = outcome->messages[i].size;
        uint8_t *message = fuzz_copy(bytes + place, size);
        if (framing->kind == BERTH_FRAMING_CUSTOM) {
            free(message);
            continue;
        }
        FUZZ_CHECK(berth_frame_message_check(framing, message, size) == BERTH_OK);
        size_t frame_bytes;
        uint8_t *frame = send_and_receive(framing, message, size, &frame_bytes);
        size_t front = frame_bytes - size - framing->delimiter_bytes;
        size_t own = framing->length_offset;
        FUZZ_CHECK(memcmp(frame + own, bytes + place - front + own, frame_bytes - own) == 0);
        free(frame);
        free(message);
    }
}

/* The bytes as a message to send. */
static void check_sent(const struct berth_framing *framing, const uint8_t *bytes, uint32_t size)
{
    uint8_t *message = fuzz_copy(bytes, size);
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int header_bytes = berth_frame_header(framing, size, header);
    int check = berth_frame_message_check(framing, message, size);
    FUZZ_CHECK(check == BERTH_OK || check == BERTH_E_TOO_LARGE || check == BERTH_E_FRAME);
    FUZZ_CHECK(header_bytes >= 0 || header_bytes == check);
    FUZZ_CHECK(size > 0 || !framing->refuse_empty || check == BERTH_E_FRAME);
    if (check == BERTH_OK) {
        size_t frame_bytes;
        free(send_and_receive(framing, message, size, &frame_bytes));
    } else if (framing->kind == BERTH_FRAMING_DELIMITER && header_bytes >= 0) {
        /* Sent all the same, it would be received as something shorter. */
        size_t total = (size_t)size + framing->delimiter_bytes;
        uint8_t *whole = malloc(total);
        FUZZ_CHECK(whole != NULL);
        memcpy(whole, message, size);
        memcpy(whole + size, framing->delimiter, framing->delimiter_bytes);
        const struct berth_framing other = other_side(framing, size);
        struct berth_frame frame;
        size_t scanned = 0;
        enum berth_frame_verdict verdict =
            berth_frame_decode(&other, whole, total, &scanned, &frame);
        FUZZ_CHECK(verdict == BERTH_FRAME_BAD ||
                   (verdict == BERTH_FRAME_READY && frame.message_bytes < size));
        free(whole);
    }
    free(message);
}

void fuzz_framing(const struct berth_framing *framing, struct fuzz_input input)
{
    static struct outcome whole, split; /* too large for a stack */
    if (input.left == 0) {
        input.at = (const uint8_t *)""; /* there may be no pointer where there are no bytes */
    }
    size_t count = input.left < STREAM_BYTES_MAX ? input.left : STREAM_BYTES_MAX;
    struct berth_error error;
    FUZZ_CHECK(berth_framing_check(framing, &error) == BERTH_OK);

    uint64_t random = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < count; i++) {
        random = (random ^ input.at[i]) * 0x100000001b3u;
    }
    random |= 1; /* the generator's one bad state is 0 */

    feed(framing, input.at, count, FEED_WHOLE, 0, &whole);
    feed(framing, input.at, count, FEED_BYTES, 0, &split);
    check_same(framing, &whole, &split);
    for (int i = 0; i < SPLITS; i++) {
        feed(framing, input.at, count, FEED_RANDOM_CUT, next_random(&random), &split);
        check_same(framing, &whole, &split);
        feed(framing, input.at, count, FEED_RANDOM_DECODE, next_random(&random), &split);
        check_same(framing, &whole, &split);
    }
    check_received(framing, input.at, &whole);
    check_sent(framing, input.at, (uint32_t)count);
    if (framing->message_bytes_max < count) {
        check_sent(framing, input.at, framing->message_bytes_max);
    }
}
