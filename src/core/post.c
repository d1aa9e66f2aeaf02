/* Posts: memory for what other threads send, a pool of its own under a lock.
 *
 * A worker's pool belongs to its thread, so bytes that come from elsewhere lie here until the last
 * worker has sent them. Any thread takes, any thread gives back; the lock is held for the few steps
 * of the pool, never while bytes are copied. post_bytes bounds it: who sends faster than the
 * workers can pass on is told so (BERTH_E_WOULD_EXCEED), and told again when some of it is free,
 * not before: else everybody who was refused would try again all the time. Nothing on the way from
 * a received message to its reply comes by here. O(1), or O(orders) when pieces are split or
 * merged.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "core/core.h"

/* Who was refused is told when half is free, or so much of it more than then: those who read slowly
 * may hold more than half for long. */
#define ROOM_PART 8

int post_create(struct post *post, uint64_t bytes)
{
    post->bytes = (size_t)bytes / POOL_PIECE * POOL_PIECE;
    size_t account = pool_account_bytes(post->bytes);
    post->block = memory_reserve(post->bytes + account);
    if (post->block == NULL) {
        return BERTH_E_MEMORY;
    }
    memory_name(post->block, post->bytes + account, "berth: posts");
    post->piece_most = POOL_PIECE;
    while (post->piece_most <= post->bytes / 2) {
        post->piece_most *= 2;
    }
    pool_init(&post->pool, post->block, post->bytes, post->block + post->bytes);
    pthread_mutex_init(&post->lock, NULL);
    return BERTH_OK;
}

void post_destroy(struct post *post)
{
    pthread_mutex_destroy(&post->lock);
    memory_release(post->block, post->bytes + pool_account_bytes(post->bytes));
}

void *post_take(struct post *post, size_t bytes)
{
    size_t got;
    pthread_mutex_lock(&post->lock);
    void *taken = pool_take(&post->pool, bytes, &got);
    if (taken == NULL && post->pool.used > 0) { /* else nobody would give any back, and say so */
        atomic_store(&post->full, true);
        post->full_used = post->pool.used;
    }
    pthread_mutex_unlock(&post->lock);
    return taken;
}

void post_give(struct post *post, void *taken)
{
    pthread_mutex_lock(&post->lock);
    pool_give(&post->pool, taken);
    size_t used = post->pool.used;
    bool room = atomic_load(&post->full) &&
                (used <= post->bytes / 2 || used + post->bytes / ROOM_PART <= post->full_used);
    if (room) {
        atomic_store(&post->full, false);
        atomic_fetch_add(&post->rounds, 1);
    }
    pthread_mutex_unlock(&post->lock);
    if (BERTH_UNLIKELY(room)) {
        struct berth_server *server = LIST_ENTRY(post, struct berth_server, post);
        for (uint32_t i = 0; i < server->config.workers; i++) {
            worker_wake(&server->workers[i]);
        }
    }
}
