/* Addresses. The input as a text: what is read is written in a form that reads the same. The input
 * as an address: what is written can be read. And neither looks past its end.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <berth/address.h>

#define ADDRESS_INPUT_BYTES 23

static bool same(const struct berth_address *a, const struct berth_address *b)
{
    return a->family == b->family && a->port == b->port && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static void write_and_read(const struct berth_address *address)
{
    char text[BERTH_ADDRESS_TEXT_BYTES];
    memset(text, '~', sizeof text);
    FUZZ_CHECK(berth_address_format(address, text, sizeof text) == text);
    const char *end = memchr(text, '\0', sizeof text);
    FUZZ_CHECK(end != NULL);
    struct berth_address again;
    FUZZ_CHECK(berth_address_parse(text, &again) == BERTH_OK);
    FUZZ_CHECK(same(address, &again));
    /* In less room: the front of it, and nothing behind the room. */
    size_t room = (size_t)(end - text) / 2;
    char less[BERTH_ADDRESS_TEXT_BYTES];
    memset(less, '~', sizeof less);
    berth_address_format(address, less, room);
    FUZZ_CHECK(room == 0 || (memcmp(less, text, room - 1) == 0 && less[room - 1] == '\0'));
    FUZZ_CHECK(less[room] == '~');
}

static void read_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    struct berth_address address;
    memset(&address, FUZZ_FILL, sizeof address);
    int code = berth_address_parse(text, &address);
    if (code == BERTH_OK) {
        FUZZ_CHECK(address.family == BERTH_IPV4 || address.family == BERTH_IPV6 ||
                   address.family == BERTH_ANY);
        FUZZ_CHECK(address.scope == 0 || address.family == BERTH_IPV6);
        FUZZ_CHECK(strlen(text) < BERTH_ADDRESS_TEXT_BYTES);
        write_and_read(&address);
    } else {
        FUZZ_CHECK(code == BERTH_E_INVALID);
        FUZZ_CHECK(fuzz_is_filled(&address, sizeof address));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_text(data, size);
    if (size >= ADDRESS_INPUT_BYTES) {
        static const uint8_t families[] = {BERTH_IPV4, BERTH_IPV6, BERTH_ANY};
        struct fuzz_input input = {data, size};
        struct berth_address address = {.family = families[fuzz_byte(&input) % 3]};
        address.port = (uint16_t)fuzz_number(&input, 2);
        uint32_t scope = fuzz_number(&input, 4);
        if (address.family == BERTH_IPV6) {
            address.scope = scope;
            memcpy(address.bytes, input.at, 16);
        } else if (address.family == BERTH_IPV4) {
            memcpy(address.bytes, input.at, 4);
        }
        write_and_read(&address);
    }
    return 0;
}
