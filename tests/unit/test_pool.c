/* The pool: pieces never overlap, keep their bytes, and come together again; its account stays
 * whole whatever the order of takes and gives, also when it is short and in sizes that are no power
 * of two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "buf/pool.h"

#define PIECES_MAX 400

struct held {
    uint8_t *bytes;
    size_t size; /* as the pool said */
    uint8_t mark;
};

struct bench {
    struct pool pool;
    uint8_t *base;
    uint8_t *account;
    struct held held[PIECES_MAX];
    unsigned count;
    size_t out; /* bytes */
};

static void bench_open(struct bench *bench, size_t bytes)
{
    memset(bench, 0, sizeof *bench);
    bench->base = malloc(bytes);
    bench->account = calloc(1, pool_account_bytes(bytes));
    assert_true(bench->base != NULL && bench->account != NULL);
    pool_init(&bench->pool, bench->base, bytes, bench->account);
    pool_validate(&bench->pool);
}

static void bench_close(struct bench *bench)
{
    assert_int_equal(bench->pool.used, 0);
    free(bench->base);
    free(bench->account);
}

static bool take(struct bench *bench, size_t wanted)
{
    size_t size = 0;
    bool can = pool_can(&bench->pool, wanted);
    uint8_t *bytes = pool_take(&bench->pool, wanted, &size);
    assert_int_equal(bytes != NULL, can);
    if (bytes == NULL) {
        return false;
    }
    assert_true(size >= wanted && size >= POOL_PIECE && (size & (size - 1)) == 0);
    assert_true(wanted <= POOL_PIECE || size < 2 * wanted);
    assert_true(bytes >= bench->base && bytes + size <= bench->base + bench->pool.bytes);
    assert_int_equal((size_t)(bytes - bench->base) % size, 0);
    assert_true(bench->count < PIECES_MAX);
    uint8_t mark = (uint8_t)rand();
    memset(bytes, mark, size);
    bench->held[bench->count++] = (struct held){bytes, size, mark};
    bench->out += size;
    assert_int_equal(bench->pool.used, bench->out);
    return true;
}

/* Gives a piece back, whose bytes nobody else has written to. */
static void give(struct bench *bench, unsigned index)
{
    struct held held = bench->held[index];
    for (size_t i = 0; i < held.size; i++) {
        assert_int_equal(held.bytes[i], held.mark);
    }
    pool_give(&bench->pool, held.bytes);
    bench->held[index] = bench->held[--bench->count];
    bench->out -= held.size;
    assert_int_equal(bench->pool.used, bench->out);
}

static void give_all(struct bench *bench)
{
    while (bench->count > 0) {
        give(bench, (unsigned)rand() % bench->count);
    }
    pool_validate(&bench->pool);
}

static size_t draw_size(size_t pool_bytes)
{
    switch (rand() % 6) {
    case 0:
        return 1 + (size_t)rand() % pool_bytes;
    case 1:
        return POOL_PIECE << rand() % 6;
    case 2:
        return (POOL_PIECE << rand() % 6) + 1;
    default:
        return 1 + (size_t)rand() % (4 * POOL_PIECE);
    }
}

/* 1 to some hundred smallest pieces: powers of two are a few of them only. */
static void random_takes_and_gives(void **state)
{
    (void)state;
    static struct bench bench;
    for (unsigned seed = 1; seed <= 120; seed++) {
        size_t bytes = POOL_PIECE * (1 + (seed * 37) % 300);
        srand(seed);
        bench_open(&bench, bytes);
        for (unsigned step = 0; step < 600; step++) {
            bool full = bench.count == PIECES_MAX;
            if (!full && rand() % 100 < (step / 100 % 2 == 0 ? 65 : 35)) {
                (void)take(&bench, draw_size(bytes));
            } else if (bench.count > 0) {
                give(&bench, (unsigned)rand() % bench.count);
            }
            if (step % 50 == 0) {
                pool_validate(&bench.pool);
            }
        }
        give_all(&bench);
        bench_close(&bench);
    }
}

/* The whole of it in smallest pieces, and then, when they are back, in the largest again. */
static void pieces_come_together_again(void **state)
{
    (void)state;
    static struct bench bench;
    static const size_t counts[] = {1, 2, 3, 64, 65, 100, 255, 256, 300};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        size_t bytes = counts[c] * POOL_PIECE;
        size_t largest = POOL_PIECE;
        bench_open(&bench, bytes);
        while (largest * 2 <= bytes) {
            largest *= 2;
        }
        for (unsigned round = 0; round < 3; round++) {
            for (size_t i = 0; i < counts[c]; i++) {
                assert_true(take(&bench, 1 + (size_t)rand() % POOL_PIECE));
            }
            assert_false(take(&bench, 1)); /* that was all */
            assert_int_equal(bench.out, bytes);
            give_all(&bench);
            assert_true(take(&bench, largest)); /* what was kept ready is merged */
            assert_false(take(&bench, largest * 2));
            give_all(&bench);
        }
        assert_int_equal(bench.pool.used_most, bytes);
        bench_close(&bench);
    }
}

static void a_shortage_merges_what_is_ready(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench, 256 * POOL_PIECE);
    for (unsigned i = 0; i < 256; i++) {
        assert_true(take(&bench, POOL_PIECE));
    }
    /* Every other one is given back: half is free, and nothing larger than a piece fits. */
    for (unsigned i = 0; i < bench.count;) {
        bool odd = ((size_t)(bench.held[i].bytes - bench.base) / POOL_PIECE) % 2 == 1;
        if (odd) {
            give(&bench, i);
        } else {
            i++;
        }
    }
    assert_int_equal(bench.count, 128);
    assert_false(take(&bench, POOL_PIECE + 1));
    assert_true(take(&bench, POOL_PIECE));
    give_all(&bench);
    assert_true(take(&bench, 256 * POOL_PIECE));
    give_all(&bench);
    bench_close(&bench);
}

static void what_no_pool_can_hold_is_refused(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench, 8 * POOL_PIECE);
    assert_false(take(&bench, ((size_t)1 << POOL_LARGEST_LOG2) + 1));
    assert_false(take(&bench, (size_t)1 << POOL_LARGEST_LOG2));
    assert_true(take(&bench, 8 * POOL_PIECE));
    assert_false(take(&bench, 1));
    give_all(&bench);
    bench_close(&bench);
}

/* Up to the largest size there is, and no further: two of them stay two. */
static void the_largest_pieces_come_together(void **state)
{
    (void)state;
    struct pool pool;
    size_t largest = (size_t)1 << POOL_LARGEST_LOG2;
    size_t got = 0;
    uint8_t *base = memory_reserve(2 * largest);
    uint8_t *account = memory_reserve(pool_account_bytes(2 * largest));
    assert_true(base != NULL && account != NULL);
    pool_init(&pool, base, 2 * largest, account);
    void *small[2];
    small[0] = pool_take(&pool, 1, &got);
    void *other = pool_take(&pool, largest, &got);
    assert_true(small[0] != NULL && other != NULL);
    assert_false(pool_can(&pool, largest));
    small[1] = pool_take(&pool, 1, &got);
    pool_give(&pool, small[0]);
    assert_false(pool_can(&pool, largest));
    pool_give(&pool, small[1]);
    assert_true(pool_can(&pool, largest)); /* what was split 22 times is one again */
    pool_give(&pool, other);
    for (int i = 0; i < 2; i++) {
        assert_non_null(pool_take(&pool, largest, &got));
        assert_int_equal(got, largest);
    }
    assert_int_equal(pool.used, 2 * largest);
    memory_release(base, 2 * largest);
    memory_release(account, pool_account_bytes(2 * largest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_takes_and_gives),
        cmocka_unit_test(pieces_come_together_again),
        cmocka_unit_test(a_shortage_merges_what_is_ready),
        cmocka_unit_test(what_no_pool_can_hold_is_refused),
        cmocka_unit_test(the_largest_pieces_come_together),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
