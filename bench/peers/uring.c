/* A peer on raw io_uring: a server of the seed's protocol as fast as was found. Linux 6.1.
 *
 *   peer_uring [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * What made it fast, by weight: one send for all that a connection has to say in a turn; receive
 * buffers into which a whole message of 64 KiB fits; completions made ready only when asked for
 * (DEFER_TASKRUN, SINGLE_ISSUER); receives and the accept that stay armed; receives that found no
 * buffer wait, and a turn arms as many again as half of the free buffers; direct descriptors. A
 * long message, whole and alone in a buffer, is sent from there while half of the buffers are left.
 *
 * A connection has one unfinished send at most, so that a short one cannot change the order. What
 * is answered meanwhile is gathered; beyond PAUSE_BYTES its receive is cancelled until that is out.
 * A slot is closed when neither a receive nor a send is in flight on it.
 */
#include "blocks.h"
#include "frames.h"
#include "peer.h"
#include "submit.h"

enum { PAUSE_BYTES = 256 << 10, IN_PLACE_MIN = 4096 };

struct conn {
    struct part part;
    struct block *gathered; /* replies of this turn, or those that wait for the send */
    struct block *sending;
    bool armed, cancelled, ended, parked, touched;
};

static struct ring ring;
static struct conn conns[CONNS_MAX]; /* by direct descriptor, as are the lists of them: */
static uint32_t touched[CONNS_MAX], touched_count;
static uint32_t parked[CONNS_MAX], parked_first, parked_count;
static uint32_t next_id = FIRST_ID;

static void arm_receive(uint32_t slot)
{
    submit_receive(&ring, slot);
    conns[slot].armed = true;
    conns[slot].cancelled = false;
}

static void end(uint32_t slot)
{
    submit_close(&ring, slot);
    frames_fini(&conns[slot].part);
    conns[slot] = (struct conn){0};
}

/* Starts what a connection can do next. */
static void settle(uint32_t slot)
{
    struct conn *conn = &conns[slot];
    if (!conn->sending && conn->gathered) {
        conn->sending = conn->gathered;
        conn->gathered = NULL;
        submit_send(&ring, slot, conn->sending);
    }
    bool full = conn->gathered && conn->gathered->to > PAUSE_BYTES;
    if (conn->armed && !conn->cancelled && (full || conn->ended)) {
        submit_cancel(&ring, slot);
        conn->cancelled = true;
    }
    if (conn->armed || conn->parked) {
        return;
    }
    if (!conn->ended && !conn->gathered) {
        arm_receive(slot);
    } else if (conn->ended && !conn->sending) {
        end(slot);
    }
}

static void answer(struct conn *conn, struct block *from, uint32_t got)
{
    struct part *part = &conn->part;
    const uint8_t *bytes = from->bytes + HEADER;
    bool whole = got >= IN_PLACE_MIN && part->count == 0 && load32(bytes) == got - HEADER;
    if (whole && !conn->gathered && !conn->sending && ring_held(&ring) <= BUFFERS / 2) {
        store32(from->bytes, got);
        store32(from->bytes + 4, next_id++);
        from->to = HEADER + got;
        conn->gathered = from;
        return;
    }
    conn->gathered = block_grow(&ring, conn->gathered, frames_replies_max(part->count, got));
    struct block *block = conn->gathered;
    uint8_t *to = frames_answer(part, bytes, bytes + got, block->bytes + block->to, &next_id);
    block_release(&ring, from);
    if (to) {
        block->to = (uint32_t)(to - block->bytes);
    }
    conn->ended = !to;
    if (block->to == 0) {
        conn->gathered = NULL;
        block_release(&ring, block);
    }
}

static void received(uint32_t slot, int result, unsigned flags)
{
    struct conn *conn = &conns[slot];
    conn->armed = flags & IORING_CQE_F_MORE;
    if (flags & IORING_CQE_F_BUFFER) {
        struct block *block = ring.blocks[flags >> IORING_CQE_BUFFER_SHIFT];
        ring.taken++;
        if (result > 0 && !conn->ended) {
            answer(conn, block, (uint32_t)result);
        } else {
            block_release(&ring, block);
        }
    }
    if (result == -ENOBUFS) {
        parked[(parked_first + parked_count++) % CONNS_MAX] = slot;
        conn->parked = true;
    } else if (result <= 0 && result != -ECANCELED) {
        conn->ended = true;
    }
}

static void sent(uint32_t slot, int result)
{
    struct conn *conn = &conns[slot];
    struct block *block = conn->sending;
    block->from += result > 0 ? (uint32_t)result : 0;
    if (result > 0 && block->from < block->to) {
        submit_send(&ring, slot, block);
        return;
    }
    block_release(&ring, block);
    conn->sending = NULL;
    if (result < 0) { /* the peer has gone: what else was to go there goes nowhere */
        block_release(&ring, conn->gathered);
        conn->gathered = NULL;
        conn->ended = true;
    }
}

static void accepted(int listener, int result, unsigned flags)
{
    if (result != -ECONNABORTED) {
        check(result, "accept");
        arm_receive((uint32_t)result);
    }
    if (!(flags & IORING_CQE_F_MORE)) {
        submit_accept(&ring, listener);
    }
}

static void complete(const struct io_uring_cqe *cqe)
{
    uint32_t slot = (uint32_t)cqe->user_data;
    enum kind kind = (enum kind)(cqe->user_data >> 32);
    if (kind == ACCEPT) {
        accepted((int)slot, cqe->res, cqe->flags);
    } else if (kind == RECEIVE) {
        received(slot, cqe->res, cqe->flags);
    } else if (kind == SEND) {
        sent(slot, cqe->res);
    }
    if ((kind == RECEIVE || kind == SEND) && !conns[slot].touched) {
        conns[slot].touched = true;
        touched[touched_count++] = slot;
    }
}

static void turn(void)
{
    ring_wait(&ring, parked_count == 0);
    unsigned head, count = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring.uring, head, cqe)
    {
        complete(cqe);
        count++;
    }
    io_uring_cq_advance(&ring.uring, count);
    for (uint32_t i = 0; i < touched_count; i++) {
        conns[touched[i]].touched = false;
        settle(touched[i]);
    }
    touched_count = 0;
    ring_refill(&ring);
    /* Those that found no buffer, the one that waits longest first. */
    for (uint32_t left = (BUFFERS - ring_held(&ring)) / 2; left > 0 && parked_count > 0; left--) {
        uint32_t slot = parked[parked_first++ % CONNS_MAX];
        parked_count--;
        conns[slot].parked = false;
        settle(slot);
    }
}

int main(int argc, char **argv)
{
    ring_open(&ring);
    submit_accept(&ring, listen_on(argc, argv));
    for (;;) {
        turn();
    }
}
