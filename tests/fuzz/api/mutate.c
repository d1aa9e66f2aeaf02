/* How libFuzzer changes a program: by whole orders, and by single bytes of them and of the
 * settings, so that what stands behind a change keeps its meaning. Now and then libFuzzer's own
 * mutations are let loose on all of it. Everything is in place, in the room that libFuzzer lends;
 * what is made follows from the seed. O(bytes).
 *
 * Without libFuzzer (fuzz_main.c) nothing calls this.
 */
#include <string.h>

#include "fuzz/api/play.h"

#define CHANGES_MOST 4

/* libFuzzer's; there is none with gcc. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

struct program {
    uint8_t *bytes;
    size_t size;
    size_t room;
    uint64_t random;
};

static uint32_t below(struct program *program, size_t limit)
{
    program->random = program->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return limit == 0 ? 0 : (uint32_t)((program->random >> 33) % limit);
}

static size_t orders_of(const struct program *program)
{
    return (program->size - SET_BYTES) / ORDER_BYTES;
}

static uint8_t *order_bytes(struct program *program, size_t index)
{
    return program->bytes + SET_BYTES + index * ORDER_BYTES;
}

/* Makes room for `count` orders at a place, or takes them away. */
static bool insert(struct program *program, size_t at, size_t count)
{
    size_t bytes = count * ORDER_BYTES;
    if (program->size + bytes > program->room) {
        return false;
    }
    uint8_t *place = order_bytes(program, at);
    memmove(place + bytes, place, (size_t)(program->bytes + program->size - place));
    program->size += bytes;
    return true;
}

static void take_away(struct program *program, size_t at, size_t count)
{
    uint8_t *place = order_bytes(program, at);
    uint8_t *from = place + count * ORDER_BYTES;
    memmove(place, from, (size_t)(program->bytes + program->size - from));
    program->size -= count * ORDER_BYTES;
}

static void new_order(struct program *program)
{
    size_t at = below(program, orders_of(program) + 1);
    if (insert(program, at, 1)) {
        for (size_t i = 0; i < ORDER_BYTES; i++) {
            bool small = below(program, 2) == 0;
            order_bytes(program, at)[i] = (uint8_t)below(program, small ? 8 : 256);
        }
        order_bytes(program, at)[0] = (uint8_t)below(program, 128);
    }
}

static void copy_orders(struct program *program)
{
    uint8_t copy[8 * ORDER_BYTES];
    size_t count = 1 + below(program, 8);
    size_t orders = orders_of(program);
    if (orders < count) {
        return;
    }
    memcpy(copy, order_bytes(program, below(program, orders - count + 1)), count * ORDER_BYTES);
    size_t at = below(program, orders + 1);
    if (insert(program, at, count)) {
        memcpy(order_bytes(program, at), copy, count * ORDER_BYTES);
    }
}

static void change_byte(struct program *program, size_t at)
{
    uint8_t *byte = &program->bytes[at];
    switch (below(program, 4)) {
    case 0:
        *byte ^= (uint8_t)(1u << below(program, 8));
        break;
    case 1:
        *byte = (uint8_t)below(program, 256);
        break;
    case 2:
        *byte = (uint8_t)below(program, 4);
        break;
    default:
        *byte = (uint8_t)(*byte + 1 - 2 * below(program, 2));
        break;
    }
}

static void change(struct program *program)
{
    size_t orders = orders_of(program);
    switch (below(program, 10)) {
    case 0:
    case 1:
        new_order(program);
        break;
    case 2:
        copy_orders(program);
        break;
    case 3:
        if (orders > 1) {
            take_away(program, below(program, orders), 1);
        }
        break;
    case 4:
    case 5:
        change_byte(program, below(program, SET_BYTES));
        break;
    case 6:
        change_byte(program, SET_ROLES + below(program, ROLES));
        break;
    default:
        if (orders > 0) {
            change_byte(program, SET_BYTES + below(program, orders * ORDER_BYTES));
        }
        break;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct program program = {.bytes = data, .size = size, .room = max_size, .random = seed};
    if (size < SET_BYTES || below(&program, 8) == 0) {
        return LLVMFuzzerMutate == NULL ? size : LLVMFuzzerMutate(data, size, max_size);
    }
    for (uint32_t left = 1 + below(&program, CHANGES_MOST); left > 0; left--) {
        change(&program);
    }
    return program.size;
}
