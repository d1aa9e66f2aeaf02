/* The ring of peer_uring, and its memory.
 *
 *   ring_open       the ring, its table of direct descriptors, its receive buffers
 *   ring_refill     the released receive buffers are the kernel's again
 *   ring_wait       submits, and makes completions ready
 *   block_take      a block for replies, from the last ones used (they are in the cache)
 *   block_grow      one with more room, and what was in the other
 *   block_release   gives it back; a receive buffer with the next ring_refill
 *
 * A receive buffer is a block too, so that a reply can leave from where its request came in: there
 * is room for the larger header in front of what is received.
 */
#ifndef BENCH_PEERS_BLOCKS_H
#define BENCH_PEERS_BLOCKS_H

#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "frames.h"
#include "peer.h"

enum {
    ENTRIES = 4096,
    COMPLETIONS = 4 * ENTRIES,
    CONNS_MAX = 65536,
    BUFFERS = 64,                    /* a small pool stays in the cache; a power of 2 */
    BUFFER_BYTES = 72 << 10,         /* a message of 64 KiB fits with its header */
    REPLIES_ROOM = 2 * BUFFER_BYTES, /* the least room of a block for replies */
    NOT_A_BUFFER = -1,
};

struct block {
    struct block *next; /* of those that are free */
    uint32_t room;
    uint32_t from; /* what is not sent yet of the replies in it */
    uint32_t to;
    int32_t buffer; /* its number, if it is a receive buffer */
    uint8_t bytes[];
};

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    struct block *blocks[BUFFERS];
    struct block *spare;
    uint32_t taken;    /* buffers that the kernel does not have */
    uint32_t returned; /* and of those, the ones that it gets next */
};

static inline struct block *block_new(uint32_t room, int32_t buffer)
{
    struct block *block = need(malloc(sizeof *block + room));
    *block = (struct block){.room = room, .buffer = buffer};
    return block;
}

static inline struct block *block_take(struct ring *ring, uint32_t room)
{
    struct block *block = ring->spare;
    if (block) {
        ring->spare = block->next;
    }
    if (!block || block->room < room) {
        free(block);
        block = block_new(room > REPLIES_ROOM ? room : (uint32_t)REPLIES_ROOM, NOT_A_BUFFER);
    }
    block->from = block->to = 0;
    return block;
}

static inline void block_release(struct ring *ring, struct block *block)
{
    if (!block) {
        return;
    }
    if (block->buffer == NOT_A_BUFFER) {
        block->next = ring->spare;
        ring->spare = block;
        return;
    }
    block->from = block->to = 0;
    io_uring_buf_ring_add(ring->buffers, block->bytes + HEADER, BUFFER_BYTES,
                          (unsigned short)block->buffer, io_uring_buf_ring_mask(BUFFERS),
                          (int)ring->returned++);
}

/* A block that begins with what is in `old`, which it takes, and has room for `more` behind it. */
static inline struct block *block_grow(struct ring *ring, struct block *old, uint32_t more)
{
    if (old && old->buffer == NOT_A_BUFFER && old->room - old->to >= more) {
        return old;
    }
    struct block *block = block_take(ring, old ? old->to * 2 + more : more);
    if (old) {
        memcpy(block->bytes, old->bytes, old->to);
        block->to = old->to;
        block_release(ring, old);
    }
    return block;
}

/* The buffers that connections hold. */
static inline uint32_t ring_held(const struct ring *ring)
{
    return ring->taken - ring->returned;
}

/* Once a turn: the kernel takes buffers only while it is asked for completions. */
static inline void ring_refill(struct ring *ring)
{
    io_uring_buf_ring_advance(ring->buffers, (int)ring->returned);
    ring->taken -= ring->returned;
    ring->returned = 0;
}

static inline void check(int result, const char *what)
{
    if (result < 0) {
        errno = -result;
        fail(what);
    }
}

static inline void ring_open(struct ring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SUBMIT_ALL,
        .cq_entries = COMPLETIONS,
    };
    check(io_uring_queue_init_params(ENTRIES, &ring->uring, &params), "io_uring");
    check(io_uring_register_ring_fd(&ring->uring), "register ring");
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        fail("getrlimit");
    }
    rlim_t slots = limit.rlim_cur < CONNS_MAX ? limit.rlim_cur : CONNS_MAX;
    check(io_uring_register_files_sparse(&ring->uring, (unsigned)slots), "register files");
    if (posix_memalign((void **)&ring->buffers, 4096, BUFFERS * sizeof(struct io_uring_buf))) {
        fail("memory");
    }
    io_uring_buf_ring_init(ring->buffers);
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)ring->buffers,
                                            .ring_entries = BUFFERS};
    check(io_uring_register_buf_ring(&ring->uring, &registration, 0), "register buffers");
    for (int32_t i = 0; i < BUFFERS; i++) {
        ring->blocks[i] = block_new(HEADER + BUFFER_BYTES, i);
        block_release(ring, ring->blocks[i]);
    }
    ring->taken = BUFFERS;
    ring_refill(ring);
}

/* Submits, and makes completions ready: at least one, or those that are there. Nothing must be
 * waited for while connections that found no buffer are left over, as they have data. */
static inline void ring_wait(struct ring *ring, bool for_one)
{
    int result = for_one ? io_uring_submit_and_wait(&ring->uring, 1)
                         : io_uring_submit_and_get_events(&ring->uring);
    check(result == -EINTR || result == -EBUSY ? 0 : result, "io_uring_enter");
}

#endif
