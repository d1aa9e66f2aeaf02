/* Addresses: what is read, what is refused, and that writing is the inverse of reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/address.h>
#include <berth/error.h>

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    struct berth_address address;
    const char *written; /* NULL: as it was read */
} good[] = {
    {"127.0.0.1:4444", {.family = BERTH_IPV4, .port = 4444, .bytes = {127, 0, 0, 1}}, NULL},
    {"0.0.0.0:0", {.family = BERTH_IPV4}, NULL},
    {"255.255.255.255:65535",
     {.family = BERTH_IPV4, .port = 65535, .bytes = {255, 255, 255, 255}},
     NULL},
    {"*:4444", {.family = BERTH_ANY, .port = 4444}, NULL},
    {":4444", {.family = BERTH_ANY, .port = 4444}, "*:4444"},
    {":0", {.family = BERTH_ANY}, "*:0"},
    {"[::]:80", {.family = BERTH_IPV6, .port = 80}, NULL},
    {"[::1]:4444", {.family = BERTH_IPV6, .port = 4444, .bytes = {[15] = 1}}, NULL},
    {"[0:0:0:0:0:0:0:1]:1", {.family = BERTH_IPV6, .port = 1, .bytes = {[15] = 1}}, "[::1]:1"},
    {"[2001:DB8::a]:1",
     {.family = BERTH_IPV6, .port = 1, .bytes = {0x20, 1, 0x0d, 0xb8, [15] = 0x0a}},
     "[2001:db8::a]:1"},
    {"[::ffff:1.2.3.4]:1",
     {.family = BERTH_IPV6, .port = 1, .bytes = {[10] = 0xff, 0xff, 1, 2, 3, 4}},
     NULL},
    {"[fe80::1%2]:80",
     {.family = BERTH_IPV6, .port = 80, .scope = 2, .bytes = {0xfe, 0x80, [15] = 1}},
     NULL},
    {"[fe80::1%4294967295]:80",
     {.family = BERTH_IPV6, .port = 80, .scope = UINT32_MAX, .bytes = {0xfe, 0x80, [15] = 1}},
     NULL},
    {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535",
     {.family = BERTH_IPV6,
      .port = 65535,
      .scope = UINT32_MAX,
      .bytes = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535"},
};

static void assert_same(const struct berth_address *a, const struct berth_address *b)
{
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->port, b->port);
    assert_int_equal(a->scope, b->scope);
    assert_memory_equal(a->bytes, b->bytes, sizeof a->bytes);
}

static void reads_and_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct berth_address address;
        memset(&address, 0xee, sizeof address);
        assert_int_equal(berth_address_parse(good[i].text, &address), BERTH_OK);
        assert_same(&address, &good[i].address);
        char text[BERTH_ADDRESS_TEXT_BYTES];
        assert_ptr_equal(berth_address_format(&address, text, sizeof text), text);
        assert_string_equal(text, good[i].written != NULL ? good[i].written : good[i].text);
        struct berth_address again;
        assert_int_equal(berth_address_parse(text, &again), BERTH_OK);
        assert_same(&again, &address);
    }
}

static const char *const bad[] = {
    "",
    ":",
    "*",
    "*:",
    "4444",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:99999999999",
    "127.0.0.1:-1",
    "127.0.0.1:+1",
    "127.0.0.1: 1",
    "127.0.0.1:1 ",
    " 127.0.0.1:1",
    "127.0.0.1:0x50",
    "127.0.0.1:080",
    "127.0.0.1:00",
    "127.0.0.1:http",
    "127.0.0.1:1:2",
    "127.0.0.1/8:1",
    "127.0.0:1",
    "127.1:1",
    "2130706433:1",
    "0x7f.0.0.1:1",
    "127.0.0.01:1",
    "127.0.0.256:1",
    "127.0.0.1.1:1",
    "127..0.1:1",
    "localhost:1",
    "example.org:1",
    "**:1",
    "*.*:1",
    "::1:4444",
    "::1",
    "[::1]",
    "[::1]4444",
    "[::1]:",
    "[::1]: 1",
    "[::1:4444",
    "::1]:4444",
    "[]:1",
    "[:1",
    "[::1]]:1",
    "[[::1]]:1",
    "[*]:1",
    "[127.0.0.1]:1",
    "[::1::2]:1",
    "[12345::]:1",
    "[g::]:1",
    "[1:2:3:4:5:6:7:8:9]:1",
    "[fe80::1%]:1",
    "[fe80::1%0]:1",
    "[fe80::1%eth0]:1",
    "[fe80::1%4294967296]:1",
    "[fe80::1%01]:1",
    "[fe80::1%1%1]:1",
    "[%1]:1",
    "[fe80::1%-1]:1",
    "[fe80::1%99999999999999999999]:1",
    "127.0.0.1%1:1",
    "*%1:1",
    "[0000000000000000000000000000000000000000000000000000000000000000]:1",
    "1111111111111111111111111111111111111111111111111111111111111111111:1"};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct berth_address address, untouched;
        memset(&address, 0xee, sizeof address);
        memset(&untouched, 0xee, sizeof untouched);
        int code = berth_address_parse(bad[i], &address);
        if (code != BERTH_E_INVALID) {
            print_message("\"%s\" was accepted\n", bad[i]);
        }
        assert_int_equal(code, BERTH_E_INVALID);
        assert_memory_equal(&address, &untouched, sizeof address);
    }
}

static void writes_no_address(void **state)
{
    (void)state;
    struct berth_address address = {.family = BERTH_FAMILY_NONE, .port = 1};
    char text[BERTH_ADDRESS_TEXT_BYTES];
    assert_string_equal(berth_address_format(&address, text, sizeof text), "no address");
    address.family = 99;
    assert_string_equal(berth_address_format(&address, text, sizeof text), "no address");
    assert_int_equal(berth_address_parse(text, &address), BERTH_E_INVALID);
}

static void writes_into_any_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char whole[BERTH_ADDRESS_TEXT_BYTES];
        berth_address_format(&good[i].address, whole, sizeof whole);
        for (size_t bytes = 0; bytes <= strlen(whole) + 1; bytes++) {
            char *room = malloc(bytes + 1);
            assert_non_null(room);
            memset(room, 0x7e, bytes + 1);
            assert_ptr_equal(berth_address_format(&good[i].address, room, bytes), room);
            assert_int_equal(room[bytes], 0x7e);
            if (bytes > 0) {
                assert_int_equal(strlen(room), bytes - 1);
                assert_memory_equal(room, whole, bytes - 1);
            }
            free(room);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(writes_no_address),
        cmocka_unit_test(writes_into_any_room),
    };
    return cmocka_run_group_tests_name("base.address", tests, NULL, NULL);
}
