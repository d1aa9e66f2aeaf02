/* The properties of any framing over any bytes: see fuzz.h. What is shown to a decoder lies against
 * a page that cannot be read: in front of it or behind it, so that a step too far is a crash in any
 * build, with sanitizers or without. Nothing is allocated after the first input.
 *
 * The first executions of a process, and so whatever it is started to look at again, are thorough:
 * every way of feeding, every message. After THOROUGH_RUNS of them an input gets a part of that,
 * which its own bytes choose; a long run then tries many more inputs. An input of n bytes costs
 * O(n * n) at most, with n up to STREAM_BYTES_MAX.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Longer inputs show nothing that shorter ones do not, and take their time. */
#define STREAM_BYTES_MAX 1024
#define CUT_AT_ONCE      5
#define SPLITS           3 /* random splits of one input */

/* More than the mutations of a corpus in ./dev test. */
#define THOROUGH_RUNS 50000

/* A refusal's text costs more than all the rest: later it is written for one in so many. */
#define TEXT_PART 64

/* Room for the longest frame of ours, in whole pages. */
#define FENCED_BYTES 4096

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

/* ------------------------------------------------------------------------------------- the fence
 */

/* Bytes between two pages that nobody may touch. */
static uint8_t *fenced(void)
{
    static uint8_t *room;
    if (room == NULL) {
        uint8_t *pages =
            mmap(NULL, 3 * FENCED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FUZZ_CHECK(pages != MAP_FAILED);
        room = pages + FENCED_BYTES;
        FUZZ_CHECK(mprotect(room, FENCED_BYTES, PROT_READ | PROT_WRITE) == 0);
    }
    return room;
}

/* Room for so many bytes with a fence right behind them, or, with `front`, in front. */
static uint8_t *fenced_room(size_t count, bool front)
{
    FUZZ_CHECK(count <= FENCED_BYTES);
    return front ? fenced() : fenced() + FENCED_BYTES - count;
}

/* NULL for no bytes: there may be no pointer where there are none. */
static const uint8_t *show(const uint8_t *bytes, size_t count, bool front)
{
    uint8_t *shown = count == 0 ? NULL : fenced_room(count, front);
    if (count > 0) {
        memcpy(shown, bytes, count);
    }
    return shown;
}

/* -------------------------------------------------------------------------------------- feeding */

/* How an input is looked at. */
struct looking {
    bool thorough;
    bool texts;
    uint64_t random;
};

static struct looking looking;

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
        if (!looking.texts) {
            return;
        }
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
    bool front = (random >> 40 & 1) != 0;
    outcome->count = 0;
    outcome->consumed = 0;
    outcome->verdict = BERTH_FRAME_NEED;
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
            const uint8_t *held = show(bytes + outcome->consumed, held_bytes, front);
            if (feeding == FEED_RANDOM_DECODE) {
                take_with_decode(framing, held, held_bytes, &scanned, outcome);
            } else {
                take_with_cut(framing, held, held_bytes, &scanned, outcome);
            }
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

/* What was written of a message's frame. */
struct written {
    size_t bytes;
    uint8_t *at; /* against a fence */
};

/* Writes the frame of a message that may be sent, and finds it again as the other side does. */
static struct written send_and_receive(const struct berth_framing *framing, const uint8_t *message,
                                       uint32_t size)
{
    const struct berth_framing other = other_side(framing, size);
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int header_bytes = berth_frame_header(framing, size, header);
    FUZZ_CHECK(header_bytes >= 0 && header_bytes <= BERTH_HEADER_BYTES_MAX);
    size_t front = (size_t)header_bytes;
    size_t total = front + size + framing->delimiter_bytes;
    uint8_t *whole = fenced_room(total, false);
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
    const uint8_t *less = total == 1 ? NULL : memmove(whole + 1, whole, total - 1);
    FUZZ_CHECK(berth_frame_decode(&other, less, total - 1, &scanned, &frame) == BERTH_FRAME_NEED);
    FUZZ_CHECK(frame.need_bytes == total);
    return (struct written){.bytes = total - 1, .at = whole + 1};
}

/* What was received can be sent. The frame written is the frame read, but for the bytes before a
 * length field, which are the application's own; a custom encoder may have several headers. */
static void check_received(const struct berth_framing *framing, const uint8_t *bytes, size_t place,
                           uint32_t size)
{
    const uint8_t *message = bytes + place;
    FUZZ_CHECK(berth_frame_message_check(framing, message, size) == BERTH_OK);
    struct written frame = send_and_receive(framing, message, size);
    size_t front = frame.bytes + 1 - size - framing->delimiter_bytes;
    size_t own = framing->length_offset;
    if (frame.bytes > own) { /* all but its last byte, which was taken away */
        FUZZ_CHECK(memcmp(frame.at + own, bytes + place - front + own, frame.bytes - own) == 0);
    }
}

static void check_all_received(const struct berth_framing *framing, const uint8_t *bytes,
                               const struct outcome *outcome)
{
    if (framing->kind == BERTH_FRAMING_CUSTOM || outcome->count == 0) {
        return;
    }
    size_t first = looking.thorough ? 0 : looking.random % outcome->count;
    size_t last = looking.thorough ? outcome->count - 1 : first;
    for (size_t i = first; i <= last; i++) {
        check_received(framing, bytes, outcome->messages[i].place, outcome->messages[i].size);
    }
}

/* The bytes as a message to send. */
static void check_sent(const struct berth_framing *framing, const uint8_t *bytes, uint32_t size)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    const uint8_t *message = show(bytes, size, (looking.random & 1) != 0);
    int header_bytes = berth_frame_header(framing, size, header);
    int check = berth_frame_message_check(framing, message, size);
    FUZZ_CHECK(check == BERTH_OK || check == BERTH_E_TOO_LARGE || check == BERTH_E_FRAME);
    FUZZ_CHECK(header_bytes >= 0 || header_bytes == check);
    FUZZ_CHECK(size > 0 || !framing->refuse_empty || check == BERTH_E_FRAME);
    if (check == BERTH_OK) {
        (void)send_and_receive(framing, bytes, size); /* which holds it against all that it must */
    } else if (framing->kind == BERTH_FRAMING_DELIMITER && header_bytes >= 0) {
        /* Sent all the same, it would be received as something shorter. */
        size_t total = (size_t)size + framing->delimiter_bytes;
        uint8_t *whole = fenced_room(total, false);
        memcpy(whole, bytes, size);
        memcpy(whole + size, framing->delimiter, framing->delimiter_bytes);
        const struct berth_framing other = other_side(framing, size);
        struct berth_frame frame;
        size_t scanned = 0;
        enum berth_frame_verdict verdict =
            berth_frame_decode(&other, whole, total, &scanned, &frame);
        FUZZ_CHECK(verdict == BERTH_FRAME_BAD ||
                   (verdict == BERTH_FRAME_READY && frame.message_bytes < size));
    }
}

/* Feeds it in pieces, and holds what comes out against the whole. Each way has its own splits,
 * which do not depend on how many ways are tried. */
static void check_splits(const struct berth_framing *framing, const uint8_t *bytes, size_t count,
                         const struct outcome *whole)
{
    static struct outcome split; /* too large for a stack */
    uint64_t random = looking.random;
    uint32_t ways = 1 + 2 * SPLITS;
    uint32_t only = (uint32_t)(looking.random >> 20) % ways;
    for (uint32_t way = 0; way < ways; way++) {
        uint64_t seed = next_random(&random);
        if (looking.thorough || way == only) {
            enum feeding feeding = way == 0       ? FEED_BYTES
                                   : way % 2 == 1 ? FEED_RANDOM_CUT
                                                  : FEED_RANDOM_DECODE;
            feed(framing, bytes, count, feeding, seed, &split);
            check_same(framing, whole, &split);
        }
    }
}

void fuzz_framing(const struct berth_framing *framing, struct fuzz_input input)
{
    static struct outcome whole;
    static uint64_t runs;
    if (input.left == 0) {
        input.at = (const uint8_t *)""; /* there may be no pointer where there are no bytes */
    }
    size_t count = input.left < STREAM_BYTES_MAX ? input.left : STREAM_BYTES_MAX;
    FUZZ_CHECK(berth_framing_check(framing, NULL) == BERTH_OK);

    uint64_t random = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < count; i++) {
        random = (random ^ input.at[i]) * 0x100000001b3u;
    }
    random |= 1; /* the generator's one bad state is 0 */
    looking.random = next_random(&random) | 1;
    looking.thorough = runs++ < THOROUGH_RUNS;
    looking.texts = looking.thorough || looking.random % TEXT_PART == 1;

    feed(framing, input.at, count, FEED_WHOLE, looking.random, &whole);
    check_splits(framing, input.at, count, &whole);
    check_all_received(framing, input.at, &whole);
    check_sent(framing, input.at, (uint32_t)count);
    if (framing->message_bytes_max < count) {
        check_sent(framing, input.at, framing->message_bytes_max);
    }
}
