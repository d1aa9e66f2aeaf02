/* What peer_uring asks of its ring, one function each: they fill the next free submission, which
 * leaves with the others of the turn. A completion names its kind and the connection's slot, which
 * is its direct descriptor.
 */
#ifndef BENCH_PEERS_SUBMIT_H
#define BENCH_PEERS_SUBMIT_H

#include <liburing.h>
#include <stdint.h>
#include <sys/socket.h>

#include "blocks.h"

enum kind { ACCEPT, RECEIVE, SEND, OTHER };

static inline struct io_uring_sqe *next_entry(struct ring *ring)
{
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&ring->uring))) {
        io_uring_submit(&ring->uring);
    }
    return entry;
}

/* Behind the preparation of a submission, which writes its flags. */
static inline void mark(struct io_uring_sqe *entry, enum kind kind, uint32_t slot, unsigned flags)
{
    entry->flags |= (uint8_t)flags;
    entry->user_data = (uint64_t)kind << 32 | slot;
}

/* Stays armed. The listener is an ordinary descriptor, and has the place of the slot. */
static inline void submit_accept(struct ring *ring, int listener)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_multishot_accept_direct(entry, listener, NULL, NULL, 0);
    mark(entry, ACCEPT, (uint32_t)listener, 0);
}

/* Stays armed, until it finds no buffer. */
static inline void submit_receive(struct ring *ring, uint32_t slot)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_recv_multishot(entry, (int)slot, NULL, 0, 0);
    mark(entry, RECEIVE, slot, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
}

static inline void submit_cancel(struct ring *ring, uint32_t slot)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_cancel64(entry, (uint64_t)RECEIVE << 32 | slot, 0);
    mark(entry, OTHER, slot, 0);
}

/* Lends the block until the completion. */
static inline void submit_send(struct ring *ring, uint32_t slot, const struct block *block)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_send(entry, (int)slot, block->bytes + block->from, block->to - block->from,
                       MSG_NOSIGNAL | MSG_WAITALL);
    mark(entry, SEND, slot, IOSQE_FIXED_FILE);
}

static inline void submit_close(struct ring *ring, uint32_t slot)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_close_direct(entry, slot);
    mark(entry, OTHER, slot, IOSQE_CQE_SKIP_SUCCESS);
}

#endif
