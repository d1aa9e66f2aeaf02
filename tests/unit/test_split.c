/* Any split: a sequence of messages, cut into up to three receives in every possible way and also
 * received byte by byte, comes out as it went in, for every kind of framing.
 *
 * The messages pass through three parties that share no code: berth_frame_header writes the
 * stream; an oracle of a few lines, made for being right rather than fast, reads the whole of it
 * at once; and a consumer as any program would write it feeds it to Berth piece by piece. All
 * three must agree on every message, at every cut.
 *
 * All pairs of cuts are tried for every stream of up to STREAM_ALL_PAIRS bytes. The one stream that
 * is longer (a varint of three bytes begins at 16,384) has every single cut, and every pair out of
 * the places near a frame's boundary and a coarse grid between them.
 *
 * The thirteen cases that the article counts are below by name, for its own framing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/frame.h>

#include <stdlib.h>
#include <string.h>

#include "unit/framings.h"

#define STREAM_ALL_PAIRS 2000
#define STREAM_MAX       40000
#define MESSAGES_MAX     16
#define NEAR             6   /* places about a frame's boundary, where pairs are tried */
#define GRID             997 /* and places between them */
#define CUT_AT_ONCE      3 /* fewer than a stream has, so that cutting also ends for want of room */

/* The thread sanitizer has nothing to find in pure functions of one thread, and makes them forty
 * times slower: there, one pair in eleven is enough. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PAIR_STEP 11
#endif
#elif defined(__SANITIZE_THREAD__)
#define PAIR_STEP 11
#endif
#ifndef PAIR_STEP
#define PAIR_STEP 1
#endif

struct sent {
    const uint8_t *data;
    uint32_t size;
};

/* A stream, the messages in it, and where each frame begins. */
struct stream {
    struct berth_framing framing;
    struct sent messages[MESSAGES_MAX];
    size_t count;
    uint8_t bytes[STREAM_MAX];
    size_t size;
    size_t begins[MESSAGES_MAX + 1];
    bool ends_bad; /* what follows the messages is refused */
    struct berth_frame bad;
};

/* ---- the oracle ---- */

/* Finds the message at the front of bytes that hold at least one whole frame. Returns the bytes of
 * its frame. Plain arithmetic on single bytes, no early ends, no state. */
static size_t oracle(const struct berth_framing *f, const uint8_t *b, size_t n, struct sent *out)
{
    long long length = 0, scale = 1;
    size_t header = 0, trailer = 0;
    if (f->kind == BERTH_FRAMING_LENGTH) {
        header = (size_t)f->length_offset + f->length_bytes;
        for (size_t i = 0; i < f->length_bytes; i++) {
            size_t digit = f->length_big_endian ? f->length_offset + i : header - 1 - i;
            length = length * 256 + b[digit];
        }
        length += f->length_adjust;
        length -= f->length_counts_itself ? f->length_bytes : 0;
    } else if (f->kind == BERTH_FRAMING_VARINT) {
        do {
            length += b[header] % 128 * scale;
            scale *= 128;
        } while (b[header++] >= 128);
    } else if (f->kind == BERTH_FRAMING_DELIMITER) {
        trailer = f->delimiter_bytes;
        while (memcmp(b + length, f->delimiter, trailer) != 0) {
            length++;
        }
    } else if (f->kind == BERTH_FRAMING_FIXED) {
        length = f->message_bytes_max;
    } else {
        while (b[header++] != ':') {
            length = length * 10 + b[header - 1] - '0';
        }
    }
    *out = (struct sent){b + header, (uint32_t)length};
    assert_true(header + (size_t)length + trailer <= n);
    return header + (size_t)length + trailer;
}

/* ---- a custom framing: decimal digits, a colon, the message ---- */

#define CUSTOM_DIGITS 6

static enum berth_frame_verdict digits_decode(void *context, const uint8_t *bytes, size_t count,
                                              size_t *scanned, struct berth_frame *frame)
{
    (void)context;
    while (*scanned < count && bytes[*scanned] >= '0' && bytes[*scanned] <= '9') {
        (*scanned)++;
    }
    if (*scanned > CUSTOM_DIGITS || (*scanned < count && bytes[*scanned] != ':')) {
        return BERTH_FRAME_BAD;
    }
    if (*scanned == count) {
        frame->need_bytes = (uint32_t)count + 1;
        return BERTH_FRAME_NEED;
    }
    for (size_t i = 0; i < *scanned; i++) {
        frame->message_bytes = frame->message_bytes * 10 + bytes[i] - '0';
    }
    frame->header_bytes = (uint32_t)*scanned + 1;
    return BERTH_FRAME_READY;
}

static size_t digits_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    char text[CUSTOM_DIGITS + 2];
    size_t bytes = 0;
    do {
        text[bytes++] = (char)('0' + message_bytes % 10);
        message_bytes /= 10;
    } while (message_bytes > 0);
    for (size_t i = 0; i < bytes; i++) {
        header[i] = (uint8_t)text[bytes - 1 - i];
    }
    header[bytes] = ':';
    return bytes + 1;
}

/* ---- the consumer ---- */

/* Holds what has come and is not a whole message yet, as a server holds it. */
struct consumer {
    const struct stream *stream;
    bool one_by_one; /* berth_frame_decode instead of berth_frame_cut */
    uint8_t held[STREAM_MAX];
    size_t held_bytes;
    size_t scanned;
    size_t need;
    size_t messages;
    enum berth_frame_verdict verdict;
    struct berth_frame frame;
};

static void consumer_begin(struct consumer *consumer, const struct stream *stream, bool one_by_one)
{
    consumer->stream = stream;
    consumer->one_by_one = one_by_one;
    consumer->held_bytes = 0;
    consumer->scanned = 0;
    consumer->need = 0;
    consumer->messages = 0;
    consumer->verdict = BERTH_FRAME_NEED;
}

static void consumer_message(struct consumer *consumer, const uint8_t *data, uint32_t size)
{
    assert_true(consumer->messages < consumer->stream->count);
    const struct sent *sent = &consumer->stream->messages[consumer->messages++];
    if (size != sent->size || memcmp(data, sent->data, size) != 0) {
        fail_msg("message %zu has %u bytes and not %u, or other ones", consumer->messages - 1, size,
                 sent->size);
    }
}

/* Takes messages off the front of what is held. Returns the bytes they cover. */
static size_t consumer_take(struct consumer *consumer)
{
    const struct berth_framing *framing = &consumer->stream->framing;
    size_t consumed = 0;
    if (consumer->one_by_one) {
        struct berth_frame *frame = &consumer->frame;
        consumer->verdict = berth_frame_decode(framing, consumer->held, consumer->held_bytes,
                                               &consumer->scanned, frame);
        if (consumer->verdict == BERTH_FRAME_READY) {
            consumer_message(consumer, consumer->held + frame->header_bytes, frame->message_bytes);
            consumed = frame->header_bytes + frame->message_bytes + frame->trailer_bytes;
            consumer->scanned = 0;
        }
        return consumed;
    }
    struct berth_message messages[CUT_AT_ONCE];
    size_t cut =
        berth_frame_cut(framing, consumer->held, consumer->held_bytes, &consumer->scanned, messages,
                        CUT_AT_ONCE, &consumed, &consumer->frame, &consumer->verdict);
    for (size_t i = 0; i < cut; i++) {
        consumer_message(consumer, messages[i].data, messages[i].size);
    }
    return consumed;
}

static void consumer_receive(struct consumer *consumer, const uint8_t *bytes, size_t count)
{
    size_t messages = consumer->messages;
    memcpy(consumer->held + consumer->held_bytes, bytes, count);
    consumer->held_bytes += count;
    bool too_early = consumer->held_bytes < consumer->need;
    do {
        size_t consumed = consumer_take(consumer);
        assert_true(consumed <= consumer->held_bytes);
        consumer->held_bytes -= consumed;
        memmove(consumer->held, consumer->held + consumed, consumer->held_bytes);
    } while (consumer->verdict == BERTH_FRAME_READY);
    /* Before the bytes that were needed are there, nothing may come of it. */
    assert_true(!too_early ||
                (consumer->verdict == BERTH_FRAME_NEED && consumer->messages == messages));
    if (consumer->verdict == BERTH_FRAME_NEED) {
        assert_true(consumer->frame.need_bytes > consumer->held_bytes);
        assert_true(!too_early || consumer->frame.need_bytes >= consumer->need);
        consumer->need = consumer->frame.need_bytes;
    }
}

static void consumer_end(const struct consumer *consumer)
{
    const struct stream *stream = consumer->stream;
    assert_int_equal(consumer->messages, stream->count);
    if (!stream->ends_bad) {
        assert_int_equal(consumer->verdict, BERTH_FRAME_NEED);
        assert_int_equal(consumer->held_bytes, 0);
        return;
    }
    assert_int_equal(consumer->verdict, BERTH_FRAME_BAD);
    assert_memory_equal(&consumer->frame, &stream->bad, sizeof stream->bad);
}

/* ---- every cut ---- */

static struct stream stream;
static struct consumer consumer;

/* Receives the stream in three pieces. What is refused is refused as soon as it can be, and a
 * program does not go on after that. */
static void receive_in_three(size_t first, size_t second)
{
    const size_t ends[] = {first, second, stream.size};
    for (int one_by_one = 0; one_by_one <= 1; one_by_one++) {
        consumer_begin(&consumer, &stream, one_by_one);
        size_t at = 0;
        for (size_t i = 0; i < 3 && consumer.verdict != BERTH_FRAME_BAD; i++) {
            consumer_receive(&consumer, stream.bytes + at, ends[i] - at);
            at = ends[i];
        }
        consumer_end(&consumer);
    }
}

static void receive_byte_by_byte(void)
{
    for (int one_by_one = 0; one_by_one <= 1; one_by_one++) {
        consumer_begin(&consumer, &stream, one_by_one);
        for (size_t i = 0; i < stream.size && consumer.verdict != BERTH_FRAME_BAD; i++) {
            consumer_receive(&consumer, stream.bytes + i, 1);
        }
        consumer_end(&consumer);
    }
}

static bool is_interesting(size_t place)
{
    for (size_t i = 0; i <= stream.count; i++) {
        if (place + NEAR >= stream.begins[i] && place <= stream.begins[i] + NEAR) {
            return true;
        }
    }
    return place % GRID == 0;
}

static void receive_every_way(void)
{
    receive_byte_by_byte();
    bool all = stream.size <= STREAM_ALL_PAIRS;
    for (size_t first = 0; first <= stream.size; first++) {
        if (!all && !is_interesting(first)) {
            receive_in_three(first, stream.size);
            continue;
        }
        for (size_t second = first; second <= stream.size; second += PAIR_STEP) {
            if (all || is_interesting(second)) {
                receive_in_three(first, second);
            }
        }
    }
}

/* Begins a stream. Its maximum is its longest message, so that every limit is met exactly. */
static void stream_begin(const struct berth_framing *framing, const struct sent *messages,
                         size_t count)
{
    assert_true(count <= MESSAGES_MAX);
    stream.framing = *framing;
    stream.count = count;
    stream.size = 0;
    stream.ends_bad = false;
    stream.framing.message_bytes_max = 1;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].size > stream.framing.message_bytes_max) {
            stream.framing.message_bytes_max = messages[i].size;
        }
    }
    struct berth_error error = {.text = ""};
    if (berth_framing_check(&stream.framing, &error) != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t header[BERTH_HEADER_BYTES_MAX];
        assert_int_equal(
            berth_frame_message_check(&stream.framing, messages[i].data, messages[i].size),
            BERTH_OK);
        int bytes = berth_frame_header(&stream.framing, messages[i].size, header);
        assert_true(bytes >= 0);
        stream.messages[i] = messages[i];
        stream.begins[i] = stream.size;
        memcpy(stream.bytes + stream.size, header, (size_t)bytes);
        stream.size += (size_t)bytes;
        memcpy(stream.bytes + stream.size, messages[i].data, messages[i].size);
        stream.size += messages[i].size;
        memcpy(stream.bytes + stream.size, stream.framing.delimiter,
               stream.framing.delimiter_bytes);
        stream.size += stream.framing.delimiter_bytes;
    }
    stream.begins[count] = stream.size;
}

/* What the oracle reads in the stream must be what went in. */
static void ask_the_oracle(void)
{
    size_t at = 0;
    for (size_t i = 0; i < stream.count; i++) {
        struct sent sent;
        assert_int_equal(at, stream.begins[i]);
        at += oracle(&stream.framing, stream.bytes + at, stream.size - at, &sent);
        assert_int_equal(sent.size, stream.messages[i].size);
        assert_memory_equal(sent.data, stream.messages[i].data, sent.size);
    }
    assert_int_equal(at, stream.size);
}

static void try_every_way(const struct berth_framing *framing, const struct sent *messages,
                          size_t count)
{
    stream_begin(framing, messages, count);
    ask_the_oracle();
    receive_every_way();
}

/* Bytes of every value, so that a message also looks like headers. */
static const uint8_t *pattern(size_t from)
{
    static uint8_t bytes[STREAM_MAX];
    if (bytes[1] == 0) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)(i * 7 + i / 251);
        }
    }
    return bytes + from;
}

/* Messages of these sizes; those of 0 bytes only where they are allowed. */
static size_t of_sizes(const uint32_t *sizes, size_t count, uint32_t least, struct sent *messages)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] >= least) {
            messages[kept++] = (struct sent){pattern(i * 3), sizes[i]};
        }
    }
    return kept;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the kinds ---- */

static void try_length(uint8_t width, bool big, uint8_t offset, bool itself, int32_t adjust)
{
    static const uint32_t many[] = {3, 0, 0, 5, 1, 4, 4, 4, 4, 4, 4, 2};
    static const uint32_t few[] = {2, 0, 5};
    for (int refuse_empty = 0; refuse_empty <= 1; refuse_empty++) {
        struct berth_framing framing = {
            .kind = BERTH_FRAMING_LENGTH,
            .refuse_empty = refuse_empty,
            .length_bytes = width,
            .length_offset = offset,
            .length_big_endian = big,
            .length_counts_itself = itself,
            .length_adjust = adjust,
        };
        /* A field of 0 is the smallest there is. */
        int32_t least = adjust - (itself ? width : 0);
        least = least < refuse_empty ? refuse_empty : least;
        struct sent messages[MESSAGES_MAX];
        bool long_header = offset > 8;
        size_t count = of_sizes(long_header ? few : many, long_header ? COUNT(few) : COUNT(many),
                                (uint32_t)least, messages);
        try_every_way(&framing, messages, count);
    }
}

static void split_length(void **state)
{
    (void)state;
    static const uint8_t widths[] = {1, 2, 4, 8};
    static const uint8_t offsets[] = {0, 1, 5, 56};
    static const int32_t adjusts[] = {0, 2, -3};
    for (size_t w = 0; w < COUNT(widths); w++) {
        for (size_t o = 0; o < COUNT(offsets); o++) {
            for (size_t a = 0; a < COUNT(adjusts); a++) {
                for (int bits = 0; bits < 4; bits++) {
                    try_length(widths[w], bits & 1, offsets[o], bits & 2, adjusts[a]);
                }
            }
        }
    }
}

static void split_varint(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 127, 0, 128, 129, 3, 3, 300};
    struct sent messages[MESSAGES_MAX];
    for (uint32_t least = 0; least <= 1; least++) {
        const struct berth_framing framing = VARINT(0, .refuse_empty = least == 1);
        try_every_way(&framing, messages, of_sizes(sizes, COUNT(sizes), least, messages));
    }
}

static void split_varint_of_three_bytes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 16384, 0, 16385, 129};
    struct sent messages[MESSAGES_MAX];
    const struct berth_framing framing = VARINT(0);
    try_every_way(&framing, messages, of_sizes(sizes, COUNT(sizes), 0, messages));
}

static void split_fixed(void **state)
{
    (void)state;
    static const uint32_t ones[] = {1, 1, 1, 1, 1, 1}, sevens[] = {7, 7, 7, 7, 7, 7, 7};
    const struct berth_framing framing = FIXED(0);
    struct sent messages[MESSAGES_MAX];
    try_every_way(&framing, messages, of_sizes(ones, COUNT(ones), 0, messages));
    try_every_way(&framing, messages, of_sizes(sevens, COUNT(sevens), 0, messages));
}

static void split_custom(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 12, 0, 123, 9, 10};
    struct sent messages[MESSAGES_MAX];
    for (uint32_t least = 0; least <= 1; least++) {
        const struct berth_framing framing = {
            .kind = BERTH_FRAMING_CUSTOM,
            .refuse_empty = least == 1,
            .custom_decode = digits_decode,
            .custom_header = digits_header,
        };
        try_every_way(&framing, messages, of_sizes(sizes, COUNT(sizes), least, messages));
    }
}

static void split_delimiter(void **state)
{
    (void)state;
    /* Messages that come as near to their delimiter as they may. */
    static const struct {
        struct berth_framing framing;
        const char *messages[8];
    } cases[] = {
        {DELIMITER("\n", 0), {"line", "", "a", "", "", "\r", "longest of all"}},
        {DELIMITER("\r\n", 0), {"line", "", "\r", "\n", "\n\r", "a\rb\nc", "\r\r\r", "\n\n"}},
        {DELIMITER("aa", 0), {"b", "", "ab", "", "bab", "ababab", "abb"}},
        {DELIMITER("aab", 0), {"a", "", "aaaa", "ab", "aba", "b", "abab"}},
        {DELIMITER("aba", 0), {"a", "", "b", "abb", "aa", "aabb", "bbb"}},
        {DELIMITER("\r\n\r\n", 0), {"\r", "", "a\r\nb", "\r\n\r", "\n\r", "\r\n\n", "GET /"}},
        {DELIMITER("0123456789abcdef", 0), {"0123456789abcde", "", "x", "0", "0123401234"}},
        {DELIMITER("aaaaaaaaaaaaaaaa", 0), {"aaaaaaaaaaaaaaab", "", "b", "aab", "aaaaaaab"}},
        {DELIMITER("aaaaaaaaaaaaaaab", 0), {"a", "", "aaaaaaaaaaaaaaaaaaaa", "b", "ba"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t least = 0; least <= 1; least++) {
            struct berth_framing framing = cases[i].framing;
            framing.refuse_empty = least == 1;
            struct sent messages[MESSAGES_MAX];
            size_t count = 0;
            for (size_t m = 0; m < COUNT(cases[i].messages); m++) {
                const char *text = cases[i].messages[m];
                if (text != NULL && strlen(text) >= least) {
                    messages[count++] =
                        (struct sent){(const uint8_t *)text, (uint32_t)strlen(text)};
                }
            }
            try_every_way(&framing, messages, count);
        }
    }
}

/* ---- what is refused ---- */

/* The same messages come out before it and the same words are found for it, wherever the bytes
 * were split, and whatever follows. */
static void refusals_do_not_depend_on_the_split(void **state)
{
    (void)state;
    static const struct {
        struct berth_framing framing;
        const char *bad;
        size_t bad_bytes;
        enum berth_refusal refusal;
    } cases[] = {
        {LENGTH(4, 0), BYTES("\x0b\0\0\0abcdef"), BERTH_REFUSED_ABOVE_MAX},
        {LENGTH(8, 0, .length_big_endian = true), BYTES("\x80\0\0\0\0\0\0\1"),
         BERTH_REFUSED_ABOVE_MAX},
        {LENGTH(2, 0, .length_counts_itself = true), BYTES("\1\0abcdef"), BERTH_REFUSED_NEGATIVE},
        {LENGTH(1, 0, .length_offset = 3, .refuse_empty = true), BYTES("abc\0def"),
         BERTH_REFUSED_EMPTY},
        {VARINT(0), BYTES("\x81\x80\0abc"), BERTH_REFUSED_VARINT},
        {VARINT(0), BYTES("\xff\xff\xff\xff\xff\1"), BERTH_REFUSED_VARINT},
        {VARINT(0), BYTES("\xff\xff\xff\xff\x0fxx"), BERTH_REFUSED_ABOVE_MAX},
        {VARINT(0, .refuse_empty = true), BYTES("\0abc"), BERTH_REFUSED_EMPTY},
        {DELIMITER("\n", 0), BYTES("0123456789+\nabc\n"), BERTH_REFUSED_NO_DELIMITER},
        {DELIMITER("\r\n", 0), BYTES("0123456789\r\r\nabc\r\n"), BERTH_REFUSED_NO_DELIMITER},
        {DELIMITER("\r\n\r\n", 0), BYTES("012345678\r\n\r\r\n\r\n"), BERTH_REFUSED_NO_DELIMITER},
        {DELIMITER("\r\n", 0, .refuse_empty = true), BYTES("\r\nabc\r\n"), BERTH_REFUSED_EMPTY},
        {DELIMITER("bbbbbbbbbbbbbbbb", 0), BYTES("aaaaaaaaaaabbbbbbbbbbbbbbbb"),
         BERTH_REFUSED_NO_DELIMITER},
    };
    static const uint32_t sizes[] = {3, 10, 1};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sent messages[MESSAGES_MAX];
        stream_begin(&cases[i].framing, messages, of_sizes(sizes, COUNT(sizes), 0, messages));
        ask_the_oracle();
        memcpy(stream.bytes + stream.size, cases[i].bad, cases[i].bad_bytes);
        size_t scanned = 0;
        assert_int_equal(berth_frame_decode(&stream.framing, stream.bytes + stream.size,
                                            cases[i].bad_bytes, &scanned, &stream.bad),
                         BERTH_FRAME_BAD);
        assert_int_equal(stream.bad.refusal, cases[i].refusal);
        stream.size += cases[i].bad_bytes;
        stream.ends_bad = true;
        receive_every_way();
    }
}

/* ---- the thirteen cases of the article ---- */

#define SEED_MESSAGE "0123456789"
#define PREFIX       4
#define MESSAGE      10
#define WHOLE        (PREFIX + MESSAGE)

/* One receive operation: how many bytes it brings, and what is known after it. */
struct receive {
    size_t bytes;
    size_t messages; /* handed over so far */
    size_t need;     /* bytes of the frame until there is news: the prefix, then all of it */
};

/* Plays the receives of a case; then whatever is missing comes, and all must be there. */
static void seed_case(const struct receive *receives, size_t count)
{
    static const struct sent messages[] = {
        {(const uint8_t *)SEED_MESSAGE, MESSAGE},
        {(const uint8_t *)SEED_MESSAGE, MESSAGE},
        {(const uint8_t *)SEED_MESSAGE, MESSAGE},
    };
    const struct berth_framing framing = berth_framing_seed(MESSAGE);
    for (int one_by_one = 0; one_by_one <= 1; one_by_one++) {
        stream_begin(&framing, messages, COUNT(messages));
        assert_memory_equal(stream.bytes, "\x0a\0\0\0" SEED_MESSAGE, WHOLE);
        consumer_begin(&consumer, &stream, one_by_one);
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            consumer_receive(&consumer, stream.bytes + at, receives[i].bytes);
            at += receives[i].bytes;
            assert_int_equal(consumer.verdict, BERTH_FRAME_NEED);
            assert_int_equal(consumer.messages, receives[i].messages);
            assert_int_equal(consumer.need, receives[i].need);
        }
        consumer_receive(&consumer, stream.bytes + at, stream.size - at);
        consumer_end(&consumer);
    }
}

#define SEED_CASE(name, ...)                                                                       \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        static const struct receive receives[] = {__VA_ARGS__};                                    \
        seed_case(receives, COUNT(receives));                                                      \
    }

/* clang-format off: a case a line */
SEED_CASE(seed_split_01_first_receive_is_less_than_the_prefix, {3, 0, PREFIX})
SEED_CASE(seed_split_02_another_part_of_the_prefix, {1, 0, PREFIX}, {2, 0, PREFIX})
SEED_CASE(seed_split_03_rest_of_the_prefix_and_no_more, {1, 0, PREFIX}, {3, 0, WHOLE})
SEED_CASE(seed_split_04_rest_of_the_prefix_and_part_of_the_message, {2, 0, PREFIX}, {6, 0, WHOLE})
SEED_CASE(seed_split_05_rest_of_the_prefix_and_all_of_the_message, {2, 0, PREFIX}, {12, 1, PREFIX})
SEED_CASE(seed_split_06_exactly_the_prefix, {4, 0, WHOLE})
SEED_CASE(seed_split_07_after_the_prefix_part_of_the_message, {4, 0, WHOLE}, {7, 0, WHOLE})
SEED_CASE(seed_split_08_after_the_prefix_all_of_the_message, {4, 0, WHOLE}, {10, 1, PREFIX})
SEED_CASE(seed_split_09_the_prefix_and_part_of_the_message, {9, 0, WHOLE})
SEED_CASE(seed_split_10_another_part_of_the_message, {9, 0, WHOLE}, {4, 0, WHOLE})
SEED_CASE(seed_split_11_all_the_rest_of_the_message, {9, 0, WHOLE}, {5, 1, PREFIX})
SEED_CASE(seed_split_12_the_prefix_and_all_of_the_message, {14, 1, PREFIX})
/* The article's thirteenth is a remark: the case before it is the common one. Here is a connection
 * on which nothing else happens. */
SEED_CASE(seed_split_13_the_common_case, {14, 1, PREFIX}, {14, 2, PREFIX}, {14, 3, PREFIX})
/* Two that the article leaves out on purpose, since its clients wait for each answer. */
SEED_CASE(seed_split_beyond_a_message_and_part_of_the_next, {16, 1, PREFIX}, {2, 1, WHOLE})
SEED_CASE(seed_split_beyond_many_messages_at_once, {42, 3, PREFIX})
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_split_01_first_receive_is_less_than_the_prefix),
        cmocka_unit_test(seed_split_02_another_part_of_the_prefix),
        cmocka_unit_test(seed_split_03_rest_of_the_prefix_and_no_more),
        cmocka_unit_test(seed_split_04_rest_of_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_05_rest_of_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_06_exactly_the_prefix),
        cmocka_unit_test(seed_split_07_after_the_prefix_part_of_the_message),
        cmocka_unit_test(seed_split_08_after_the_prefix_all_of_the_message),
        cmocka_unit_test(seed_split_09_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_10_another_part_of_the_message),
        cmocka_unit_test(seed_split_11_all_the_rest_of_the_message),
        cmocka_unit_test(seed_split_12_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_13_the_common_case),
        cmocka_unit_test(seed_split_beyond_a_message_and_part_of_the_next),
        cmocka_unit_test(seed_split_beyond_many_messages_at_once),
        cmocka_unit_test(split_length),
        cmocka_unit_test(split_varint),
        cmocka_unit_test(split_varint_of_three_bytes),
        cmocka_unit_test(split_delimiter),
        cmocka_unit_test(split_fixed),
        cmocka_unit_test(split_custom),
        cmocka_unit_test(refusals_do_not_depend_on_the_split),
    };
    return cmocka_run_group_tests_name("wire.split", tests, NULL, NULL);
}
