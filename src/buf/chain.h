/* An output chain: bytes queued to be sent, in slabs of the pool. */
#ifndef BERTH_BUF_CHAIN_H
#define BERTH_BUF_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "buf/pool.h"

/* The head of a slab; its bytes follow. */
struct slab {
    struct slab *next;
    uint32_t size; /* bytes that it can hold */
    uint32_t used; /* bytes queued in it */
    uint32_t sent; /* of these, gone */
    bool outside;  /* this is a slab_ref: its bytes lie elsewhere */
};

/* Bytes of somebody else's, queued without a copy. `give` is called once, when all are sent or
 * dropped; until then the bytes and this are lent to the chain. */
struct slab_ref {
    struct slab slab;
    const uint8_t *data;
    void (*give)(struct slab_ref *ref);
};

#define SLAB_HEAD sizeof(struct slab)

/* A slab is at least this big, so that a few small replies need one only: the smallest piece. */
#define SLAB_SMALLEST (POOL_PIECE - SLAB_HEAD)

/* Zeroed is empty. */
struct chain {
    struct slab *first;
    struct slab *last;
    uint32_t bytes; /* queued and not sent */
    uint32_t held;  /* of the pool: its slabs */
};

/* A piece of the chain to send. */
struct chain_span {
    const uint8_t *data;
    uint32_t size;
};

/* Of a slab that is no slab_ref. */
static inline uint8_t *slab_bytes(struct slab *slab)
{
    return (uint8_t *)slab + SLAB_HEAD;
}

/* Makes sure that the next chain_space calls up to `bytes` in all need no new slab. 0, or -1 when
 * the pool has none. */
int chain_reserve(struct chain *chain, struct pool *pool, uint32_t bytes);

/* Whether a chain could get a slab for `bytes` now. */
bool chain_can(struct pool *pool, uint32_t bytes);

/* A new slab for at least `bytes` at the end. NULL when the pool has none. */
struct slab *chain_grow(struct chain *chain, struct pool *pool, uint32_t bytes);

/* Room for exactly `bytes` (> 0) contiguous bytes at the end, counted as queued. NULL when the pool
 * has none. O(1). */
static inline uint8_t *chain_space(struct chain *chain, struct pool *pool, uint32_t bytes)
{
    struct slab *slab = chain->last;
    if (slab == NULL || slab->size - slab->used < bytes) {
        slab = chain_grow(chain, pool, bytes);
        if (slab == NULL) {
            return NULL;
        }
    }
    uint8_t *at = slab_bytes(slab) + slab->used;
    slab->used += bytes;
    chain->bytes += bytes;
    return at;
}

/* Takes the last `bytes` back, which the last chain_space gave, or a part of them. O(1). */
static inline void chain_unspace(struct chain *chain, uint32_t bytes)
{
    BERTH_ASSERT(!chain->last->outside && chain->last->used - chain->last->sent >= bytes);
    chain->last->used -= bytes;
    chain->bytes -= bytes;
}

/* Queues `size` (> 0) bytes that lie elsewhere, behind what is queued. Fills `ref`. O(1). */
void chain_refer(struct chain *chain, struct pool *pool, struct slab_ref *ref, const uint8_t *data,
                 uint32_t size, void (*give)(struct slab_ref *ref));

/* Moves everything that `from` holds behind what `to` holds. O(1), beside a trim. */
void chain_join(struct chain *to, struct chain *from, struct pool *pool);

/* Describes what is queued from the front: at most `max` spans and `limit` bytes. Returns how many
 * spans. They stay valid until chain_sent or chain_clear. */
uint32_t chain_spans(const struct chain *chain, struct chain_span *spans, uint32_t max,
                     uint32_t limit);

/* The first `bytes` (at most chain->bytes) are gone; slabs that are empty go back to the pool. */
void chain_sent(struct chain *chain, struct pool *pool, uint32_t bytes);

/* Passes what was reserved at the end of `from` and not used on to the end of `to`. */
void chain_pass(struct chain *from, struct chain *to);

/* Gives back a slab at the end in which nothing is queued. */
void chain_trim(struct chain *chain, struct pool *pool);

/* Drops everything. */
void chain_clear(struct chain *chain, struct pool *pool);

#endif
