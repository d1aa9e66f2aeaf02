/* The block's memory for queued replies and for messages that came in parts: power-of-two pieces
 * out of one reservation. */
#ifndef BERTH_BUF_POOL_H
#define BERTH_BUF_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The smallest piece. Smaller ones would cost more in accounts than they save. */
#define POOL_PIECE_LOG2 9
#define POOL_PIECE      ((size_t)1 << POOL_PIECE_LOG2)

/* The largest piece: 2 GiB, for a message of the largest size with its header. */
#define POOL_LARGEST_LOG2 31
#define POOL_ORDERS       (POOL_LARGEST_LOG2 - POOL_PIECE_LOG2 + 1)

/* Freed pieces of one order that are kept ready instead of being merged: a turn's worth of sends
 * for the common orders, few for the big ones. */
#define POOL_READY_SMALL      256
#define POOL_READY_BIG        4
#define POOL_READY_BIG_ORDERS 8 /* orders from here on (128 KiB) are big */

struct pool_piece {
    struct pool_piece *next;
    struct pool_piece **link; /* free list only */
};

struct pool {
    uint8_t *base; /* borrowed */
    size_t bytes;
    uint8_t *orders; /* per smallest piece: the order of the piece that begins there, +1, and
                        a bit when it is free for merging; 0 inside a piece */
    struct pool_piece *free[POOL_ORDERS];
    struct pool_piece *ready[POOL_ORDERS];
    uint16_t ready_count[POOL_ORDERS];
    size_t used;   /* bytes of pieces that are out */
    size_t chains; /* of these, for output chains: kept by chain.c and nodes.c */
    size_t used_most;
    uint32_t gives; /* how often a piece was given back */
};

/* Output chains together, and all else together, take no more than this part of a pool each, so
 * that neither can leave the other without a piece. */
#define POOL_SHARE(bytes) ((bytes) / 4 * 3)

/* How many bytes of account a pool of this size needs. */
size_t pool_account_bytes(size_t bytes);

/* Makes a pool of `bytes` (a multiple of POOL_PIECE) at `base`, with a zeroed account; borrows both
 * until the pool is forgotten. Touches a page for each large piece it is made of. */
void pool_init(struct pool *pool, void *base, size_t bytes, void *zeroed_account);

/* A piece of at least `bytes`, or NULL when none is left. *got is its real size. O(1) when one is
 * ready, else O(orders). */
void *pool_take(struct pool *pool, size_t bytes, size_t *got);

/* Gives a piece back. O(1), or O(orders) when it is merged. */
void pool_give(struct pool *pool, void *taken);

/* Whether pool_take would succeed. May merge what is kept ready. */
bool pool_can(struct pool *pool, size_t bytes);

/* Asserts that the account is whole: every byte is in exactly one piece. O(bytes / POOL_PIECE). */
void pool_validate(const struct pool *pool);

#endif
