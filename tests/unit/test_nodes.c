/* Nodes: apart from each other, given back to the last byte, and a pool that has no more. */
#include "buf/nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POOL_BYTES (64 * NODES_PIECE)
#define NODE       44 /* rounded to 48: 84 a piece */
#define PER_PIECE  84
#define MANY       (PER_PIECE * 5)

static struct pool the_pool;
static struct nodes nodes;
static void *memory;
static void *account;

static int set_up(void **state)
{
    (void)state;
    memory = aligned_alloc(NODES_PIECE, POOL_BYTES);
    account = calloc(1, pool_account_bytes(POOL_BYTES));
    assert_true(memory != NULL && account != NULL);
    pool_init(&the_pool, memory, POOL_BYTES, account);
    nodes_init(&nodes, &the_pool, NODE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nodes_fini(&nodes);
    assert_int_equal(the_pool.used, 0);
    assert_int_equal(the_pool.chains, 0);
    pool_validate(&the_pool);
    free(memory);
    free(account);
    return 0;
}

static void *take(unsigned mark)
{
    uint8_t *node = nodes_take(&nodes);
    assert_non_null(node);
    assert_int_equal((uintptr_t)node % 8, 0);
    memset(node, (int)mark, NODE);
    return node;
}

static void give(void *node, unsigned mark)
{
    const uint8_t *bytes = node;
    for (unsigned i = 0; i < NODE; i++) {
        assert_int_equal(bytes[i], mark); /* nobody else wrote into it */
    }
    nodes_give(&nodes, node);
}

static void no_two_nodes_overlap(void **state)
{
    (void)state;
    void *taken[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        taken[i] = take(i % 251);
    }
    assert_int_equal(nodes.used, MANY);
    assert_int_equal(nodes.pieces, 5);
    assert_int_equal(the_pool.chains, 5 * NODES_PIECE);
    for (unsigned i = 0; i < MANY; i++) {
        unsigned at = i * 37 % MANY; /* 37 and 420 have no common divisor */
        give(taken[at], at % 251);
    }
    assert_int_equal(nodes.used, 0);
    assert_int_equal(nodes.pieces, 1); /* one is kept */
}

static void random_takes_and_gives_keep_every_byte(void **state)
{
    (void)state;
    void *taken[MANY] = {NULL};
    uint32_t random = 1;
    for (unsigned step = 0; step < 200000; step++) {
        random = random * 1664525 + 1013904223;
        unsigned i = (random >> 8) % MANY;
        if (taken[i] == NULL) {
            taken[i] = take(i % 251);
        } else {
            give(taken[i], i % 251);
            taken[i] = NULL;
        }
        if (step % 1000 == 0) {
            pool_validate(&the_pool);
            assert_int_equal(the_pool.used, nodes.pieces * NODES_PIECE);
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        if (taken[i] != NULL) {
            give(taken[i], i % 251);
        }
    }
}

/* A node that goes back and forth at the edge of a piece costs the pool nothing. */
static void the_last_piece_is_kept(void **state)
{
    (void)state;
    void *first = take(1);
    size_t most = the_pool.used;
    for (unsigned i = 0; i < 10; i++) {
        give(first, 1);
        assert_int_equal(the_pool.used, most);
        first = take(1);
    }
    give(first, 1);
}

static void nodes_take_no_more_than_the_share_of_output(void **state)
{
    (void)state;
    void *last = NULL;
    unsigned count = 0;
    for (void **node = nodes_take(&nodes); node != NULL; node = nodes_take(&nodes)) {
        *node = last; /* linked, to find them again */
        last = node;
        count++;
    }
    assert_int_equal(count, 48 * PER_PIECE); /* three quarters of 64 pieces */
    assert_false(nodes_can(&nodes));
    assert_true(pool_can(&the_pool, NODES_PIECE));
    while (last != NULL) {
        void *before = *(void **)last;
        nodes_give(&nodes, last);
        assert_true(nodes_can(&nodes));
        last = before;
    }
}

static void an_empty_pool_gives_no_node(void **state)
{
    (void)state;
    size_t got;
    void *node = take(3);
    void *pieces[64];
    unsigned count = 0;
    while (count < 64 && (pieces[count] = pool_take(&the_pool, NODES_PIECE, &got)) != NULL) {
        count++;
    }
    void *rest[PER_PIECE];
    for (unsigned i = 1; i < PER_PIECE; i++) {
        assert_true(nodes_can(&nodes));
        rest[i] = take(i);
    }
    assert_false(nodes_can(&nodes));
    assert_null(nodes_take(&nodes));
    give(node, 3);
    assert_true(nodes_can(&nodes));
    for (unsigned i = 1; i < PER_PIECE; i++) {
        give(rest[i], i);
    }
    while (count > 0) {
        pool_give(&the_pool, pieces[--count]);
    }
}

#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_POOL(no_two_nodes_overlap),
        WITH_POOL(random_takes_and_gives_keep_every_byte),
        WITH_POOL(the_last_piece_is_kept),
        WITH_POOL(nodes_take_no_more_than_the_share_of_output),
        WITH_POOL(an_empty_pool_gives_no_node),
    };
    return cmocka_run_group_tests_name("unit.nodes", tests, NULL, NULL);
}
