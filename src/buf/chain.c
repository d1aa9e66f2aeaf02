/* The output chain: room at the end, spans from the front, and short sends in between.
 *
 * Slabs are pieces of the pool with a head of 24 bytes; the chain owns them from chain_grow until
 * all their bytes are sent. The size of a slab follows the need, so that one turn's replies of one
 * connection mostly lie in one slab and leave as one span. How far the first slab is sent is the
 * only place where a short send lives. Bytes of somebody else's are queued as a slab_ref, which is
 * given back through its own function.
 *
 * chain_space is O(1); chain_sent and chain_spans are O(slabs touched).
 */
#include "buf/chain.h"

#include "base/assert.h"

static bool within_share(const struct pool *pool, size_t bytes)
{
    return pool->chains + bytes <= POOL_SHARE(pool->bytes);
}

bool chain_can(struct pool *pool, uint32_t bytes)
{
    return within_share(pool, bytes + SLAB_HEAD) && pool_can(pool, bytes + SLAB_HEAD);
}

static void slab_give(struct chain *chain, struct pool *pool, struct slab *slab)
{
    if (slab->outside) {
        struct slab_ref *ref = (struct slab_ref *)(void *)slab;
        ref->give(ref);
        return;
    }
    chain->held -= slab->size + (uint32_t)SLAB_HEAD;
    pool->chains -= slab->size + SLAB_HEAD;
    pool_give(pool, slab);
}

static void append(struct chain *chain, struct slab *slab)
{
    if (chain->last == NULL) {
        chain->first = slab;
    } else {
        chain->last->next = slab;
    }
    chain->last = slab;
}

struct slab *chain_grow(struct chain *chain, struct pool *pool, uint32_t bytes)
{
    if (chain->last != NULL && chain->last->used == 0) {
        chain_trim(chain, pool); /* a reservation that turned out too small */
    }
    size_t got = 0;
    size_t need = bytes < SLAB_SMALLEST ? SLAB_SMALLEST : bytes;
    struct slab *slab =
        within_share(pool, need + SLAB_HEAD) ? pool_take(pool, need + SLAB_HEAD, &got) : NULL;
    if (slab == NULL) {
        return NULL;
    }
    pool->chains += got;
    chain->held += (uint32_t)got;
    *slab = (struct slab){.size = (uint32_t)(got - SLAB_HEAD)};
    append(chain, slab);
    return slab;
}

void chain_refer(struct chain *chain, struct pool *pool, struct slab_ref *ref, const uint8_t *data,
                 uint32_t size, void (*give)(struct slab_ref *ref))
{
    BERTH_ASSERT(size > 0);
    chain_trim(chain, pool);
    *ref = (struct slab_ref){
        .slab = {.size = size, .used = size, .outside = true}, .data = data, .give = give};
    append(chain, &ref->slab);
    chain->bytes += size;
}

void chain_join(struct chain *to, struct chain *from, struct pool *pool)
{
    chain_trim(to, pool);
    if (from->first == NULL) {
        return;
    }
    if (to->last == NULL) {
        to->first = from->first;
    } else {
        to->last->next = from->first;
    }
    to->last = from->last;
    to->bytes += from->bytes;
    to->held += from->held;
    *from = (struct chain){0};
}

int chain_reserve(struct chain *chain, struct pool *pool, uint32_t bytes)
{
    const struct slab *last = chain->last;
    if (last != NULL && last->size - last->used >= bytes) {
        return 0;
    }
    return chain_grow(chain, pool, bytes) == NULL ? -1 : 0;
}

uint32_t chain_spans(const struct chain *chain, struct chain_span *spans, uint32_t max,
                     uint32_t limit)
{
    uint32_t count = 0;
    for (struct slab *slab = chain->first; slab != NULL && count < max && limit > 0;
         slab = slab->next) {
        uint32_t bytes = slab->used - slab->sent;
        if (bytes == 0) {
            continue; /* the end of a reservation */
        }
        if (bytes > limit) {
            bytes = limit;
        }
        const uint8_t *data =
            slab->outside ? ((struct slab_ref *)(void *)slab)->data : slab_bytes(slab);
        spans[count++] = (struct chain_span){.data = data + slab->sent, .size = bytes};
        limit -= bytes;
    }
    return count;
}

void chain_sent(struct chain *chain, struct pool *pool, uint32_t bytes)
{
    BERTH_ASSERT(bytes <= chain->bytes);
    chain->bytes -= bytes;
    while (chain->first != NULL) {
        struct slab *slab = chain->first;
        uint32_t left = slab->used - slab->sent;
        if (left > bytes) {
            slab->sent += bytes;
            return;
        }
        bytes -= left;
        chain->first = slab->next;
        slab_give(chain, pool, slab);
        if (chain->first == NULL) {
            chain->last = NULL;
        }
        if (bytes == 0) {
            return;
        }
    }
    BERTH_ASSERT(bytes == 0);
}

/* Takes the slab at the end out, if nothing is queued in it. */
static struct slab *take_unused(struct chain *chain)
{
    struct slab *last = chain->last;
    if (last == NULL || last->used > 0) {
        return NULL;
    }
    struct slab *before = NULL;
    for (struct slab *slab = chain->first; slab != last; slab = slab->next) {
        before = slab;
    }
    if (before == NULL) {
        chain->first = NULL;
    } else {
        before->next = NULL;
    }
    chain->last = before;
    return last;
}

void chain_pass(struct chain *from, struct chain *to)
{
    struct slab *slab = take_unused(from);
    if (slab != NULL) {
        from->held -= slab->size + (uint32_t)SLAB_HEAD;
        to->held += slab->size + (uint32_t)SLAB_HEAD;
        append(to, slab);
    }
}

void chain_trim(struct chain *chain, struct pool *pool)
{
    struct slab *slab = take_unused(chain);
    if (slab != NULL) {
        slab_give(chain, pool, slab);
    }
}

void chain_clear(struct chain *chain, struct pool *pool)
{
    while (chain->first != NULL) {
        struct slab *slab = chain->first;
        chain->first = slab->next;
        slab_give(chain, pool, slab);
    }
    *chain = (struct chain){0};
}
