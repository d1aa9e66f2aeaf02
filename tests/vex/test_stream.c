/* What a script sends is the same bytes however they are taken, and what comes back is held against
 * them: every reply that is not the echo of its frame is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "replies.h"
#include "stream.h"

#define ROOM 65536

struct rig {
    struct script script;
    struct stream stream;
    struct cursor sent; /* at the script's end */
    uint8_t bytes[ROOM];
    size_t count;
};

static const struct replies_rule with_id = {REPLIES_ARE_ECHOES, 4};

/* Goes through all of a script, taking at most `most` bytes at a time. */
static void go_through(struct rig *rig, size_t most)
{
    rig->count = 0;
    cursor_start(&rig->sent, &rig->stream);
    while (cursor_step(&rig->sent, &rig->stream) != NULL) {
        size_t got = cursor_bytes(&rig->sent, &rig->stream, rig->bytes + rig->count, most);
        rig->count += got;
        assert_true(rig->count + most <= ROOM);
        if (got == 0) {
            cursor_advance(&rig->sent, &rig->stream);
        }
    }
}

static void open_rig(struct rig *rig, const char *text, unsigned width)
{
    struct script_error error;
    assert_true(script_parse(text, strlen(text), &rig->script, &error));
    rig->stream = (struct stream){&rig->script, {.width = width}, 7};
    go_through(rig, 1000);
}

static void frames_are_a_length_and_a_message(void **state)
{
    static struct rig rig;
    (void)state;
    open_rig(&rig, "connect; frame 3; send ff; part 9 2; part 1 0; repeat 2 { frames 2 0 }; shut",
             2);
    assert_int_equal(rig.count, 5 + 1 + 2 + 0 + 8);
    assert_memory_equal(rig.bytes, "\x03\0", 2);
    assert_memory_equal(rig.bytes + 5, "\xff\x09\0\0\0\0\0\0\0\0\0", 11);
    script_fini(&rig.script);
    open_rig(&rig, "connect; part 258 6", 4);
    assert_int_equal(rig.count, 6);
    assert_memory_equal(rig.bytes, "\x02\x01\0\0", 4);
    rig.stream.framing.big = true;
    go_through(&rig, 1);
    assert_memory_equal(rig.bytes, "\0\0\x01\x02", 4);
    script_fini(&rig.script);
}

static void bytes_are_the_same_in_any_pieces(void **state)
{
    static struct rig rig;
    static uint8_t first[ROOM];
    (void)state;
    open_rig(&rig,
             "repeat 3 { connect; frames 1..5 0..40; send \"abc\"; repeat 2..4 { ping 1..9; "
             "part 5..70000 0..30 } close }",
             4);
    size_t count = rig.count;
    memcpy(first, rig.bytes, count);
    for (size_t most = 1; most < 100; most++) {
        go_through(&rig, most);
        assert_int_equal(rig.count, count);
        assert_memory_equal(rig.bytes, first, count);
    }
    rig.stream.key++; /* another seed, or another connection: other numbers */
    go_through(&rig, 100);
    assert_true(rig.count != count || memcmp(rig.bytes, first, count) != 0);
    script_fini(&rig.script);
}

static void what_is_over_is_skipped(void **state)
{
    static struct rig rig;
    (void)state;
    open_rig(&rig,
             "connect; repeat 9 { ping 1; repeat 2 { ping 2 } } pause 1s; expect-eof; close; "
             "repeat 2 { connect; close }",
             4);
    struct cursor cursor;
    cursor_start(&cursor, &rig.stream);
    cursor_advance(&cursor, &rig.stream);
    cursor_skip_to_end_of_connection(&cursor, &rig.stream);
    assert_int_equal(cursor_step(&cursor, &rig.stream)->verb, VERB_EXPECT_EOF);
    assert_int_equal(cursor.depth, 0);
    unsigned steps = 0;
    while (cursor_step(&cursor, &rig.stream) != NULL) {
        cursor_advance(&cursor, &rig.stream);
        steps++;
    }
    assert_int_equal(steps, 6); /* expect-eof, close, and twice connect and close */
    script_fini(&rig.script);
}

/* The replies of a server that numbers its echoes, to the frames of the rig's bytes. */
static size_t answer(const struct rig *rig, uint8_t *out)
{
    size_t count = 0;
    uint32_t id = 0xfffffffe; /* it passes through 0 */
    for (size_t at = 0; at < rig->count;) {
        size_t size = rig->bytes[at] + 256u * rig->bytes[at + 1];
        uint8_t header[8] = {
            (uint8_t)(size + 4), (uint8_t)((size + 4) / 256), 0, 0, (uint8_t)id, (uint8_t)(id >> 8),
            (uint8_t)(id >> 16), (uint8_t)(id >> 24)};
        memcpy(out + count, header, sizeof header);
        memcpy(out + count + sizeof header, rig->bytes + at + 4, size);
        count += sizeof header + size;
        at += 4 + size;
        id++;
    }
    return count;
}

static struct replies take(const struct rig *rig, const uint8_t *bytes, size_t count, size_t most)
{
    struct replies replies;
    struct cursor start;
    struct replies_context context = {&rig->stream, &with_id, &rig->sent};
    cursor_start(&start, &rig->stream);
    replies_start(&replies, &start);
    for (size_t at = 0; at < count; at += most) {
        replies_take(&replies, &context, bytes + at, count - at < most ? count - at : most);
    }
    return replies;
}

static const char frames_of_all_sizes[] = "connect; frame 0; ping 1; pause 1ms; frames 20 0..300; "
                                          "send 02000000 \"x\"; send \"y\"; shut";
#define FRAMES 23

static void echoes_are_right_in_any_pieces(void **state)
{
    static struct rig rig;
    static uint8_t replies[ROOM];
    (void)state;
    open_rig(&rig, frames_of_all_sizes, 4);
    size_t count = answer(&rig, replies);
    for (size_t most = 1; most < 70; most++) {
        struct replies taken = take(&rig, replies, count, most);
        assert_int_equal(taken.frames, FRAMES);
        assert_int_equal(taken.wrong, 0);
    }
    script_fini(&rig.script);
}

static void one_changed_bit_is_a_wrong_reply(void **state)
{
    static struct rig rig;
    static uint8_t replies[ROOM];
    (void)state;
    open_rig(&rig, frames_of_all_sizes, 4);
    size_t count = answer(&rig, replies);
    size_t unseen = 0;
    for (size_t at = 0; at < count; at++) {
        replies[at] ^= 0x80;
        unseen += take(&rig, replies, count, 64).wrong == 0 ? 1 : 0;
        replies[at] ^= 0x80;
    }
    /* An id need only rise: a bit of it may go unseen. A message's and a length's may not. */
    assert_true(unseen <= 4 * FRAMES);
    assert_int_equal(take(&rig, replies, count, 64).wrong, 0);
    script_fini(&rig.script);
}

static void replies_that_nothing_asked_for_are_wrong(void **state)
{
    static struct rig rig;
    static uint8_t replies[ROOM];
    (void)state;
    open_rig(&rig, frames_of_all_sizes, 4);
    size_t count = answer(&rig, replies);
    memcpy(replies + count, "\x04\0\0\0\x77\x77\0\0", 8); /* the echo of one empty frame more */
    assert_int_equal(take(&rig, replies, count + 8, ROOM).wrong, 1);
    assert_int_equal(take(&rig, replies + 8, count - 8, ROOM).wrong, 1); /* without the first */
    /* And before anything was sent. */
    struct replies early;
    struct cursor start;
    cursor_start(&start, &rig.stream);
    struct replies_context context = {&rig.stream, &with_id, &start};
    replies_start(&early, &start);
    replies_take(&early, &context, replies, 8);
    assert_int_equal(early.wrong, 1);
    script_fini(&rig.script);
}

static void ids_must_rise(void **state)
{
    static struct rig rig;
    (void)state;
    open_rig(&rig, "connect; frames 2 0", 4);
    uint8_t replies[] = "\x04\0\0\0\xff\xff\xff\xff\x04\0\0\0\0\0\0\0";
    assert_int_equal(take(&rig, replies, 16, 16).wrong, 0);
    memcpy(replies + 12, "\xff\xff\xff\xff", 4);
    assert_int_equal(take(&rig, replies, 16, 16).wrong, 1);
    memcpy(replies + 12, "\xfe\xff\xff\xff", 4);
    assert_int_equal(take(&rig, replies, 16, 16).wrong, 1);
    memcpy(replies + 12, "\xff\xff\xff\x7f", 4);
    assert_int_equal(take(&rig, replies, 16, 16).wrong, 1);
    memcpy(replies + 12, "\xfe\xff\xff\x7f", 4);
    assert_int_equal(take(&rig, replies, 16, 16).wrong, 0);
    script_fini(&rig.script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_a_length_and_a_message),
        cmocka_unit_test(bytes_are_the_same_in_any_pieces),
        cmocka_unit_test(what_is_over_is_skipped),
        cmocka_unit_test(echoes_are_right_in_any_pieces),
        cmocka_unit_test(one_changed_bit_is_a_wrong_reply),
        cmocka_unit_test(replies_that_nothing_asked_for_are_wrong),
        cmocka_unit_test(ids_must_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
