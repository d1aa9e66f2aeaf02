/* Sends on io_uring, and how their ends are found out without an event each.
 *
 * The event of a send ends the wait for the next message: who answers one message after the other
 * would enter the kernel twice for each. So a send is first tried in a form that is done when the
 * enter returns: it does not wait for the socket (MSG_DONTWAIT), all or less is all the same to it
 * (MSG_WAITALL), and if all was taken there is no event (IOSQE_CQE_SKIP_SUCCESS). These sends stand
 * in `quick`, in the order in which the kernel takes them; those that it has taken, and of which no
 * event says otherwise, are done. One that the socket had no room for is started again in the form
 * that waits, with its first span: that may be short, which is legal (law 6).
 *
 * Sends of many bytes often find no room, and take the form that waits at once. O(1) a send, and a
 * look at each event of a turn.
 */
#include "io/uring.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

/* More is not tried. A socket that is not congested has room for this. */
#define QUICK_BYTES (16u * 1024)

static uint64_t send_code(const struct uring *u, uint32_t sock)
{
    return uring_code(URING_SEND, 0, u->io.socks[sock].generation, sock);
}

/* Without a record the first span alone goes out. */
static struct io_uring_sqe *prepare(struct uring *u, uint32_t sock, const struct io_span *spans,
                                    uint32_t count, int flags)
{
    int fd = u->io.socks[sock].fd;
    struct uring_record *record = count > 1 ? uring_record(u) : NULL;
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (record == NULL) {
        io_uring_prep_send(sqe, fd, spans[0].data, spans[0].size, flags);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            record->pieces[i].iov_base = (void *)(uintptr_t)spans[i].data;
            record->pieces[i].iov_len = spans[i].size;
        }
        record->message = (struct msghdr){.msg_iov = record->pieces, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, fd, &record->message, (unsigned)flags);
    }
    sqe->user_data = send_code(u, sock);
    return sqe;
}

static uint64_t bytes_of(const struct io_span *spans, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += spans[i].size;
    }
    return bytes;
}

void uring_send(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count)
{
    struct uring *u = uring_of(io);
    struct io_sock *s = &io->socks[sock];
    s->backend_flags &= (uint8_t)~URING_CANCELLING_SEND;
    uint64_t bytes = bytes_of(spans, count);
    bool quick = (io->config.features_off & IO_FEATURE_QUICK_SEND) == 0 && bytes <= QUICK_BYTES &&
                 u->quick_count < URING_QUICK_MAX;
    if (!quick) {
        (void)prepare(u, sock, spans, count, MSG_NOSIGNAL);
        return;
    }
    struct io_uring_sqe *sqe =
        prepare(u, sock, spans, count, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    bool whole = count == 1 || sqe->opcode == IORING_OP_SENDMSG;
    s->backend_flags |= URING_QUICK;
    u->quick[u->quick_count++] = (struct uring_quick){
        .first = spans[0],
        .sock = sock,
        .bytes = whole ? (uint32_t)bytes : spans[0].size,
        .started = u->started,
    };
}

/* An event of a send that stands in `quick`: not all was taken. True if the send goes on. */
static bool refused(struct uring *u, uint32_t sock, int32_t result)
{
    struct io_sock *s = &u->io.socks[sock];
    uint32_t at = 0;
    while (u->quick[at].sock != sock) { /* it is there, with URING_QUICK */
        at++;
    }
    u->quick[at].sock = SOCK_NONE;
    s->backend_flags &= (uint8_t)~URING_QUICK;
    if (result != -EAGAIN) {
        return false;
    }
    bool cancelled = (s->backend_flags & URING_CANCELLING_SEND) != 0;
    (void)prepare(u, sock, &u->quick[at].first, 1, MSG_NOSIGNAL);
    if (cancelled) {
        uring_cancel_code(u, send_code(u, sock));
    }
    return true;
}

static bool is_quick(const struct uring *u, uint64_t code)
{
    return uring_code_kind(code) == URING_SEND && uring_matches(&u->io, code, SOCK_SEND) &&
           (u->io.socks[uring_code_place(code)].backend_flags & URING_QUICK) != 0;
}

/* Looks for sends that did not take all, before anything else is made of the events. */
static void find_refused(struct uring *u)
{
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (BERTH_UNLIKELY(is_quick(u, cqe->user_data)) &&
            refused(u, uring_code_place(cqe->user_data), cqe->res)) {
            cqe->user_data = uring_code(URING_CANCEL, 0, 0, 0); /* nothing is to be made of it */
        }
    }
}

void uring_sends_take(struct uring *u)
{
    if (u->quick_count == 0) {
        return;
    }
    if (BERTH_UNLIKELY(io_uring_cq_has_overflow(&u->ring))) {
        u->quick_left = true; /* some events are not in the queue yet */
        return;
    }
    find_refused(u);
    uint32_t taken = u->started - u->spilled - io_uring_sq_ready(&u->ring);
    uint32_t at = 0;
    while (at < u->quick_count && io_room(&u->io)) {
        const struct uring_quick *quick = &u->quick[at];
        if ((int32_t)(taken - quick->started) < 0) {
            break;
        }
        at++;
        if (quick->sock != SOCK_NONE) {
            u->io.socks[quick->sock].backend_flags &= (uint8_t)~URING_QUICK;
            io_complete_send(&u->io, quick->sock, (int32_t)quick->bytes);
        }
    }
    u->quick_count -= at;
    memmove(u->quick, u->quick + at, u->quick_count * sizeof *u->quick);
    u->quick_left = u->quick_count > 0;
}

void uring_send_event(struct uring *u, const struct io_uring_cqe *cqe)
{
    uint32_t sock = uring_code_place(cqe->user_data);
    if (!uring_matches(&u->io, cqe->user_data, SOCK_SEND)) {
        u->io.stats.stale++;
    } else if (!is_quick(u, cqe->user_data) || !refused(u, sock, cqe->res)) {
        io_complete_send(&u->io, sock, cqe->res != 0 ? cqe->res : -EIO);
    }
}
