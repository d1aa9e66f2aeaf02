/* The output chain against a plain string of bytes: random appends, reservations and short sends
 * leave the same bytes queued, in order, and nothing in the pool at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "buf/chain.h"

#define POOL_BYTES (256 * POOL_PIECE)
#define SPANS      16
#define QUEUE_MAX  (1u << 20)

struct bench {
    struct pool pool;
    struct chain chain;
    uint8_t *base;
    uint8_t account[POOL_BYTES / POOL_PIECE];
    uint8_t queue[QUEUE_MAX]; /* what is queued: from `gone` to `end` */
    uint32_t gone;
    uint32_t end;
};

static void bench_open(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->base = malloc(POOL_BYTES);
    assert_non_null(bench->base);
    assert_true(pool_account_bytes(POOL_BYTES) <= sizeof bench->account);
    pool_init(&bench->pool, bench->base, POOL_BYTES, bench->account);
}

static void bench_close(struct bench *bench)
{
    chain_clear(&bench->chain, &bench->pool);
    assert_null(bench->chain.first);
    assert_null(bench->chain.last);
    assert_int_equal(bench->chain.bytes, 0);
    assert_int_equal(bench->pool.used, 0);
    assert_int_equal(bench->pool.chains, 0);
    pool_validate(&bench->pool);
    free(bench->base);
}

/* Describes everything queued, however many calls that takes, and compares it. */
static void compare(struct bench *bench)
{
    assert_int_equal(bench->chain.bytes, bench->end - bench->gone);
    for (uint32_t max = 1; max <= SPANS; max += 5) {
        uint32_t limit = 1 + (uint32_t)rand() % (bench->chain.bytes + 10);
        struct chain_span spans[SPANS];
        uint32_t count = chain_spans(&bench->chain, spans, max, limit);
        uint32_t at = bench->gone;
        assert_true(count <= max);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(spans[i].size > 0);
            assert_memory_equal(spans[i].data, bench->queue + at, spans[i].size);
            at += spans[i].size;
        }
        uint32_t shown = at - bench->gone;
        assert_true(shown <= limit && shown <= bench->chain.bytes);
        /* All of it, unless the spans or the limit ended first. */
        assert_true(shown == limit || shown == bench->chain.bytes || count == max);
        assert_true(count > 0 || bench->chain.bytes == 0);
    }
}

static bool append(struct bench *bench, uint32_t bytes)
{
    uint8_t *at = chain_space(&bench->chain, &bench->pool, bytes);
    if (at == NULL) {
        return false;
    }
    assert_true(bench->end + bytes <= QUEUE_MAX);
    for (uint32_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)rand();
    }
    memcpy(bench->queue + bench->end, at, bytes);
    bench->end += bytes;
    return true;
}

/* Bytes that lie elsewhere, and the count of those that are still lent. */
struct lent {
    struct slab_ref ref;
    uint8_t bytes[64];
};

static unsigned lent_count;

static void come_back(struct slab_ref *ref)
{
    assert_true(lent_count > 0);
    lent_count--;
    free(ref);
}

static void refer(struct bench *bench, struct chain *chain, uint32_t bytes)
{
    struct lent *lent = malloc(sizeof *lent);
    assert_non_null(lent);
    for (uint32_t i = 0; i < bytes; i++) {
        lent->bytes[i] = (uint8_t)rand();
    }
    chain_refer(chain, &bench->pool, &lent->ref, lent->bytes, bytes, come_back);
    lent_count++;
    memcpy(bench->queue + bench->end, lent->bytes, bytes);
    bench->end += bytes;
}

/* Another chain's bytes, lent and copied ones, behind those that are there. */
static void join(struct bench *bench)
{
    struct chain other = {0};
    refer(bench, &other, 1 + (uint32_t)rand() % 64);
    uint8_t *at = chain_space(&other, &bench->pool, 3);
    if (at != NULL) {
        memcpy(at, "xyz", 3);
        memcpy(bench->queue + bench->end, "xyz", 3);
        bench->end += 3;
    }
    chain_join(&bench->chain, &other, &bench->pool);
    assert_null(other.first);
    assert_int_equal(other.bytes, 0);
}

static void send(struct bench *bench, uint32_t bytes)
{
    chain_sent(&bench->chain, &bench->pool, bytes);
    bench->gone += bytes;
    if (bench->gone == bench->end) {
        bench->gone = 0;
        bench->end = 0;
    }
}

static void a_chain_is_a_string_of_bytes(void **state)
{
    (void)state;
    static struct bench bench;
    for (unsigned seed = 1; seed <= 150; seed++) {
        srand(seed);
        bench_open(&bench);
        for (unsigned step = 0; step < 400; step++) {
            uint32_t most = rand() % 4 == 0 ? 5000 : 60;
            switch (rand() % 8) {
            case 6:
                refer(&bench, &bench.chain, 1 + (uint32_t)rand() % 64);
                break;
            case 7:
                join(&bench);
                break;
            case 0:
            case 1:
                (void)append(&bench, 1 + (uint32_t)rand() % most);
                break;
            case 2: /* a turn: reserve, append less, as much, or more, and trim */
                if (chain_reserve(&bench.chain, &bench.pool, (uint32_t)rand() % 3000) == 0) {
                    for (int count = rand() % 5; count > 0; count--) {
                        (void)append(&bench, 1 + (uint32_t)rand() % most);
                    }
                    compare(&bench);
                    chain_trim(&bench.chain, &bench.pool);
                }
                break;
            case 3: /* a short send */
                if (bench.chain.bytes > 0) {
                    send(&bench, 1 + (uint32_t)rand() % bench.chain.bytes);
                }
                break;
            case 4:
                send(&bench, rand() % 3 == 0 ? bench.chain.bytes : 0);
                break;
            default:
                chain_trim(&bench.chain, &bench.pool);
                break;
            }
            if (bench.end > QUEUE_MAX - 30000) {
                send(&bench, bench.chain.bytes);
            }
            compare(&bench);
        }
        pool_validate(&bench.pool);
        bench_close(&bench);
        assert_int_equal(lent_count, 0);
    }
}

static void a_reservation_is_one_slab(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 2000), 0);
    assert_int_equal(bench.chain.bytes, 0);
    size_t used = bench.pool.used;
    for (int i = 0; i < 20; i++) {
        assert_true(append(&bench, 100));
    }
    struct chain_span spans[2];
    assert_int_equal(chain_spans(&bench.chain, spans, 2, UINT32_MAX), 1);
    assert_int_equal(spans[0].size, 2000);
    assert_int_equal(bench.pool.used, used);
    chain_trim(&bench.chain, &bench.pool); /* something is in it: nothing happens */
    compare(&bench);
    bench_close(&bench);
}

static void trimming_gives_back_what_was_not_used(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    chain_trim(&bench.chain, &bench.pool);
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 100), 0);
    chain_trim(&bench.chain, &bench.pool);
    assert_int_equal(bench.pool.used, 0);
    assert_true(append(&bench, 400));
    size_t used = bench.pool.used;
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 3000), 0);
    assert_true(bench.pool.used > used);
    chain_trim(&bench.chain, &bench.pool);
    assert_int_equal(bench.pool.used, used);
    compare(&bench);
    /* A reservation that turns out too small is replaced, not kept. */
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 1000), 0);
    assert_true(append(&bench, 20000));
    compare(&bench);
    bench_close(&bench);
}

/* When the pool is out, nothing changes; what is sent makes room again. */
static void a_full_pool_is_told(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    while (append(&bench, 5000)) {
    }
    compare(&bench);
    uint32_t bytes = bench.chain.bytes;
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 5000), -1);
    assert_false(append(&bench, (uint32_t)POOL_BYTES));
    assert_int_equal(bench.chain.bytes, bytes);
    send(&bench, bytes / 2);
    compare(&bench);
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, 5000), 0);
    assert_true(append(&bench, 5000));
    compare(&bench);
    bench_close(&bench);
}

/* chain_can says what chain_reserve would do: within the chains' share, and if the pool has a
 * piece. */
static void what_can_be_reserved_is_known(void **state)
{
    (void)state;
    static struct bench bench;
    size_t got = 0;
    bench_open(&bench);
    assert_true(chain_can(&bench.pool, POOL_SHARE(POOL_BYTES) - SLAB_HEAD));
    assert_false(chain_can(&bench.pool, POOL_SHARE(POOL_BYTES)));
    /* Others have all of it but a piece that is too small, so that the share alone would not do. */
    void *most = pool_take(&bench.pool, POOL_BYTES / 2, &got);
    void *rest = pool_take(&bench.pool, POOL_BYTES / 4, &got);
    void *more = pool_take(&bench.pool, POOL_BYTES / 8, &got);
    assert_true(most != NULL && rest != NULL && more != NULL);
    assert_true(chain_can(&bench.pool, POOL_BYTES / 8 - SLAB_HEAD));
    assert_false(chain_can(&bench.pool, POOL_BYTES / 8));
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, POOL_BYTES / 8), -1);
    pool_give(&bench.pool, most);
    assert_true(chain_can(&bench.pool, POOL_BYTES / 8));
    assert_int_equal(chain_reserve(&bench.chain, &bench.pool, POOL_BYTES / 8), 0);
    pool_give(&bench.pool, rest);
    pool_give(&bench.pool, more);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_a_string_of_bytes),
        cmocka_unit_test(a_reservation_is_one_slab),
        cmocka_unit_test(trimming_gives_back_what_was_not_used),
        cmocka_unit_test(a_full_pool_is_told),
        cmocka_unit_test(what_can_be_reserved_is_known),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
