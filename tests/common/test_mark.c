/* Marks: the bytes that docs/PROTOCOL.md 10 says, and not one bit of a message that could differ
 * unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/mark.h"

#define BYTES_MAX 300

static const struct mark some = {
    .run = 0x0123456789abcdef,
    .sequence = 0x99aabbccddeeff00,
    .time_ns = 0x1020304050607080,
    .client = 0x11223344,
    .connection = 0x55667788,
    .length = 50,
};

static void a_message_is_what_the_page_says(void **state)
{
    /* Computed by another program from the page alone. */
    static const uint8_t expected[50] = {
        0x42, 0x4c, 0x6d, 0x31, 0x71, 0xe8, 0xaf, 0x8f, 0xef, 0xcd, 0xab, 0x89, 0x67,
        0x45, 0x23, 0x01, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 0x00, 0xff,
        0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x80, 0x70, 0x60, 0x50, 0x40, 0x30, 0x20,
        0x10, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x78, 0x79};
    uint8_t message[51];
    (void)state;
    memset(message, 0xee, sizeof message);
    memcpy(message + MARK_BYTES, "xy", 2);
    mark_write(&some, message);
    assert_memory_equal(message, expected, sizeof expected);
    assert_int_equal(message[50], 0xee);
}

static void a_refusal_is_what_the_page_says(void **state)
{
    static const uint8_t expected[48] = {0x42, 0x4c, 0x72, 0x31, 0x9d, 0x09, 0x35, 0x0e, 0xef, 0xcd,
                                         0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x44, 0x33, 0x22, 0x11,
                                         0x88, 0x77, 0x66, 0x55, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00,
                                         0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                         0x30, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00};
    uint8_t message[48];
    struct mark mark = some;
    (void)state;
    mark.sequence = 7;
    mark.time_ns = 0;
    mark.length = 48;
    mark.refusal = MARK_REFUSED_DAMAGED;
    mark_write(&mark, message);
    assert_memory_equal(message, expected, sizeof expected);
}

/* A message of `size` bytes with something in it. */
static void write_some(uint8_t *message, uint32_t size, uint32_t refusal)
{
    struct mark mark = some;
    mark.length = size;
    mark.refusal = refusal;
    for (uint32_t i = MARK_BYTES; i < size; i++) {
        message[i] = (uint8_t)(i * 37);
    }
    mark_write(&mark, message);
}

static void what_was_written_is_read(void **state)
{
    uint8_t message[BYTES_MAX];
    (void)state;
    for (uint32_t size = MARK_BYTES; size < BYTES_MAX; size++) {
        struct mark mark;
        memset(&mark, 0xee, sizeof mark);
        write_some(message, size, size % 3);
        assert_int_equal(mark_read(message, size, &mark), MARK_RIGHT);
        assert_int_equal(mark.run, some.run);
        assert_int_equal(mark.sequence, some.sequence);
        assert_int_equal(mark.time_ns, some.time_ns);
        assert_int_equal(mark.client, some.client);
        assert_int_equal(mark.connection, some.connection);
        assert_int_equal(mark.length, size);
        assert_int_equal(mark.refusal, size % 3);
    }
}

/* M10.2: each bit, in the magic number too. */
static void no_bit_can_differ(void **state)
{
    static const uint32_t sizes[] = {48, 49, 55, 56, 64, 200};
    uint8_t message[BYTES_MAX];
    struct mark mark;
    (void)state;
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = sizes[i / 2];
        write_some(message, size, i % 2);
        for (uint32_t bit = 0; bit < 8 * size; bit++) {
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(mark_read(message, size, &mark), MARK_DAMAGED);
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(mark_read(message, size, &mark), MARK_RIGHT);
    }
}

static void another_length_is_damage(void **state)
{
    uint8_t message[BYTES_MAX] = {0};
    struct mark mark;
    (void)state;
    write_some(message, 100, 0);
    for (uint32_t size = 4; size < BYTES_MAX; size++) {
        assert_int_equal(mark_read(message, size, &mark), size == 100 ? MARK_RIGHT : MARK_DAMAGED);
    }
}

/* A CRC that fits is not enough: the length must be the message's, and a reason a refusal's. */
static void a_liar_is_found(void **state)
{
    uint8_t message[BYTES_MAX] = {0};
    struct mark mark = some;
    struct mark read;
    (void)state;
    mark.length = 64;
    mark_write(&mark, message);
    mark.refusal = 1;
    uint8_t refusal[BYTES_MAX] = {0};
    mark_write(&mark, refusal);
    assert_int_equal(mark_read(refusal, 64, &read), MARK_RIGHT);
    memcpy(message + 4, refusal + 4, 60); /* a message that gives a reason, with its CRC */
    assert_int_equal(mark_read(message, 64, &read), MARK_DAMAGED);
}

static void other_messages_have_no_mark(void **state)
{
    static const char *const others[] = {
        "", "BLm", "hello", "M1-C1 and a pattern behind it that is as long as one with a mark"};
    struct mark mark;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(mark_read((const uint8_t *)others[i], strlen(others[i]), &mark),
                         MARK_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_what_the_page_says),
        cmocka_unit_test(a_refusal_is_what_the_page_says),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(no_bit_can_differ),
        cmocka_unit_test(another_length_is_damage),
        cmocka_unit_test(a_liar_is_found),
        cmocka_unit_test(other_messages_have_no_mark),
    };
    return cmocka_run_group_tests_name("mark", tests, NULL, NULL);
}
