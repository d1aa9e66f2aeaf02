/* The pool: take and give pieces of power-of-two size.
 *
 * A buddy system. A piece of order n is POOL_PIECE << n bytes, aligned to its size within the
 * pool; two free neighbours of one order make one of the next. Freed pieces are first kept ready
 * in a stack per order, so that the turn's common sizes are taken and given with two loads and
 * stores and are still in the cache; only a full stack, or a shortage, merges.
 *
 * The pool borrows its memory and writes into free pieces only: two pointers at their start. Pieces
 * belong to who took them until they are given back.
 */
#include "buf/pool.h"

#include "base/assert.h"

#define FREE_BIT 0x80u /* in the account: free for merging (neither out nor kept ready) */

static unsigned order_for(size_t bytes)
{
    unsigned order = 0;
    while (((size_t)POOL_PIECE << order) < bytes) {
        order++;
    }
    return order;
}

static size_t order_bytes(unsigned order)
{
    return (size_t)POOL_PIECE << order;
}

static size_t index_of(const struct pool *pool, const void *piece)
{
    return (size_t)((const uint8_t *)piece - pool->base) >> POOL_PIECE_LOG2;
}

static struct pool_piece *piece_at(const struct pool *pool, size_t index)
{
    return (struct pool_piece *)(void *)(pool->base + (index << POOL_PIECE_LOG2));
}

size_t pool_account_bytes(size_t bytes)
{
    return bytes >> POOL_PIECE_LOG2;
}

/* ------------------------------------------------------------------------------- free for merging
 */

static void free_push(struct pool *pool, struct pool_piece *piece, unsigned order)
{
    piece->next = pool->free[order];
    piece->link = &pool->free[order];
    if (piece->next != NULL) {
        piece->next->link = &piece->next;
    }
    pool->free[order] = piece;
    pool->orders[index_of(pool, piece)] = (uint8_t)((order + 1) | FREE_BIT);
}

static void free_remove(struct pool *pool, struct pool_piece *piece)
{
    *piece->link = piece->next;
    if (piece->next != NULL) {
        piece->next->link = piece->link;
    }
    pool->orders[index_of(pool, piece)] = 0;
}

/* Makes a piece free, merged with its neighbours as far as they are. */
static void merge(struct pool *pool, struct pool_piece *piece, unsigned order)
{
    size_t index = index_of(pool, piece);
    size_t pieces = pool->bytes >> POOL_PIECE_LOG2;
    pool->orders[index] = 0;
    while (order + 1 < POOL_ORDERS) {
        size_t buddy = index ^ ((size_t)1 << order);
        if (buddy + ((size_t)1 << order) > pieces ||
            pool->orders[buddy] != ((order + 1) | FREE_BIT)) {
            break;
        }
        free_remove(pool, piece_at(pool, buddy));
        index &= ~((size_t)1 << order);
        order++;
    }
    free_push(pool, piece_at(pool, index), order);
}

static void merge_ready(struct pool *pool)
{
    for (unsigned order = 0; order < POOL_ORDERS; order++) {
        while (pool->ready[order] != NULL) {
            struct pool_piece *piece = pool->ready[order];
            pool->ready[order] = piece->next;
            merge(pool, piece, order);
        }
        pool->ready_count[order] = 0;
    }
}

/* Takes a free piece of this order, splitting a larger one if need be; NULL if there is none. */
static struct pool_piece *split_off(struct pool *pool, unsigned order)
{
    unsigned from = order;
    while (from < POOL_ORDERS && pool->free[from] == NULL) {
        from++;
    }
    if (from == POOL_ORDERS) {
        return NULL;
    }
    struct pool_piece *piece = pool->free[from];
    free_remove(pool, piece);
    size_t index = index_of(pool, piece);
    while (from > order) {
        from--;
        free_push(pool, piece_at(pool, index + ((size_t)1 << from)), from);
    }
    pool->orders[index] = (uint8_t)(order + 1);
    return piece;
}

/* ---------------------------------------------------------------------------------- the interface
 */

void pool_init(struct pool *pool, void *base, size_t bytes, void *zeroed_account)
{
    BERTH_ASSERT(bytes >= POOL_PIECE && bytes % POOL_PIECE == 0);
    *pool = (struct pool){.base = base, .bytes = bytes, .orders = zeroed_account};
    size_t pieces = bytes >> POOL_PIECE_LOG2;
    size_t index = 0;
    while (index < pieces) { /* the largest aligned pieces that fit, from the front */
        unsigned order = POOL_ORDERS - 1;
        while ((index & (((size_t)1 << order) - 1)) != 0 || index + ((size_t)1 << order) > pieces) {
            order--;
        }
        free_push(pool, piece_at(pool, index), order);
        index += (size_t)1 << order;
    }
}

void *pool_take(struct pool *pool, size_t bytes, size_t *got)
{
    unsigned order = order_for(bytes);
    if (BERTH_UNLIKELY(order >= POOL_ORDERS)) {
        return NULL;
    }
    struct pool_piece *piece = pool->ready[order];
    if (BERTH_LIKELY(piece != NULL)) {
        pool->ready[order] = piece->next;
        pool->ready_count[order]--;
    } else {
        piece = split_off(pool, order);
        if (piece == NULL) {
            merge_ready(pool);
            piece = split_off(pool, order);
        }
        if (piece == NULL) {
            return NULL;
        }
    }
    *got = order_bytes(order);
    pool->used += *got;
    if (pool->used > pool->used_most) {
        pool->used_most = pool->used;
    }
    return piece;
}

void pool_give(struct pool *pool, void *taken)
{
    struct pool_piece *piece = taken;
    size_t index = index_of(pool, piece);
    BERTH_ASSERT(index < pool->bytes >> POOL_PIECE_LOG2);
    BERTH_ASSERT(pool->orders[index] != 0 && (pool->orders[index] & FREE_BIT) == 0);
    unsigned order = pool->orders[index] - 1u;
    pool->used -= order_bytes(order);
    pool->gives++;
    unsigned most = order < POOL_READY_BIG_ORDERS ? POOL_READY_SMALL : POOL_READY_BIG;
    if (pool->ready_count[order] < most) {
        piece->next = pool->ready[order];
        pool->ready[order] = piece;
        pool->ready_count[order]++;
    } else {
        merge(pool, piece, order);
    }
}

bool pool_can(struct pool *pool, size_t bytes)
{
    unsigned order = order_for(bytes);
    if (order >= POOL_ORDERS) {
        return false;
    }
    if (pool->ready[order] != NULL) {
        return true;
    }
    for (int attempt = 0; attempt < 2; attempt++) {
        for (unsigned from = order; from < POOL_ORDERS; from++) {
            if (pool->free[from] != NULL) {
                return true;
            }
        }
        merge_ready(pool);
    }
    return false;
}

void pool_validate(const struct pool *pool)
{
    size_t pieces = pool->bytes >> POOL_PIECE_LOG2;
    size_t used = 0;
    for (size_t index = 0; index < pieces;) {
        BERTH_ASSERT(pool->orders[index] != 0);
        unsigned order = (pool->orders[index] & ~FREE_BIT) - 1u;
        BERTH_ASSERT(order < POOL_ORDERS);
        BERTH_ASSERT((index & (((size_t)1 << order) - 1)) == 0);
        if ((pool->orders[index] & FREE_BIT) == 0) {
            used += order_bytes(order);
        }
        index += (size_t)1 << order;
        BERTH_ASSERT(index <= pieces);
    }
    for (unsigned order = 0; order < POOL_ORDERS; order++) {
        for (const struct pool_piece *piece = pool->ready[order]; piece != NULL;
             piece = piece->next) {
            used -= order_bytes(order); /* ready is not out */
        }
    }
    BERTH_ASSERT(used == pool->used);
}
