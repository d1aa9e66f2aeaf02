/* Resets that the kernel does not tell.
 *
 * A multishot receive that is woken reads until the socket has no bytes left, and waits for the
 * next wake-up. When bytes and a reset arrive before its work runs, one run reads the bytes and
 * takes both wake-ups for them: nothing tells of the reset any more (Linux 6.18; an end of stream
 * is not lost, the kernel looks for that). The connection would stay open until a deadline.
 *
 * So sockets that brought bytes are noted, once each, and after LOOK_NS all of them are asked with
 * one poll. It shows a reset without taking it away. The receive of such a socket is cancelled and,
 * when that has come back, started again: then it finds the reset. The caller of io.h sees none of
 * this.
 *
 * It costs 60 ns for each socket in LOOK_NS in which it received, and one system call for all; a
 * worker that falls idle wakes once more.
 */
#include "io/uring.h"

#include "base/assert.h"

/* How late a reset may be told. */
#define LOOK_NS UINT64_C(100000000)

/* The sockets that were noted and still receive, as poll takes them. */
static uint32_t take_heard(struct uring *u, uint32_t *socks)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < u->heard_count; i++) {
        struct io_sock *s = &u->io.socks[u->heard[i].sock];
        if (s->generation != u->heard[i].generation) {
            continue; /* it was closed */
        }
        s->backend_flags &= (uint8_t)~URING_HEARD;
        if ((s->flags & SOCK_RECEIVE) != 0) {
            socks[count] = u->heard[i].sock;
            u->polls[count++] = (struct pollfd){.fd = s->fd};
        }
    }
    u->heard_count = 0;
    return count;
}

static void look(struct uring *u)
{
    uint32_t socks[URING_HEARD_MAX];
    uint32_t count = take_heard(u, socks);
    if (count == 0 || poll(u->polls, count, 0) <= 0) {
        return; /* a signal: what is lost here is noted again, or met by a deadline */
    }
    for (uint32_t i = 0; i < count; i++) {
        bool rests = (u->io.socks[socks[i]].backend_flags & URING_RESTS) != 0; /* the poll tells */
        if ((u->polls[i].revents & (POLLERR | POLLHUP)) != 0 && !rests) {
            (void)uring_nudge(u, socks[i]);
        }
    }
}

void uring_heard(struct uring *u, uint32_t sock)
{
    struct io_sock *s = &u->io.socks[sock];
    if ((s->backend_flags & URING_HEARD) != 0) {
        return;
    }
    if (u->heard_count == URING_HEARD_MAX) {
        look(u);
    }
    s->backend_flags |= URING_HEARD;
    if (u->heard_count == 0) {
        u->heard_due_ns = u->io.now_ns + LOOK_NS;
    }
    u->heard[u->heard_count++] = (struct uring_heard){.sock = sock, .generation = s->generation};
}

uint64_t uring_look(struct uring *u, uint64_t deadline_ns)
{
    if (u->heard_count == 0) {
        return deadline_ns;
    }
    if (u->io.now_ns >= u->heard_due_ns) {
        look(u);
        return deadline_ns;
    }
    return deadline_ns < u->heard_due_ns ? deadline_ns : u->heard_due_ns;
}
