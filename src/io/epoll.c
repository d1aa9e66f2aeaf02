/* The epoll backend: readiness turned into the completions of io.h.
 *
 * Every socket is registered once, edge-triggered, for everything; after that only receives, sends
 * and waits reach the kernel. What is known of a socket (it is readable, it was cancelled) is kept
 * as flags. One that is still readable after its receive, or was cancelled, stands in the work
 * list, which a reap visits before it asks for more: one receive per socket and visit, then to the
 * end of the list, so that a busy socket cannot starve the others. A reap ends early once it has
 * received so much that the answers would be sent from a cold cache.
 *
 * A send is tried when it is started, and its result waits in `done` for the next reap (law 2). If
 * the socket is full, the first span is remembered and sent when the socket drains: that is a short
 * send, which is legal, and needs no copy of the spans.
 *
 * Waits have no timeout: a timer stays armed for the nearest deadline.
 *
 * Listening sockets are level-triggered and exclusive, and registered only while an accept is in
 * flight: one arrival wakes one worker, and a full server is not woken at all.
 *
 * Receive buffers are a stack, so that the warmest is used first. Each operation is O(1); a reap
 * costs at most one wait, and one system call for each receive and each accept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "io/backend.h"

/* Events fetched by one wait. More are fetched by the next: the kernel keeps them. */
#define EVENTS_MAX 256

/* A reap gives no more once it has received so much: the bytes, and the answers to them, should
 * still be in the cache when the answers are sent. More is waiting, and the next reap need not ask.
 */
#define REAP_BYTES (16u * 1024)

#define NS_PER_S UINT64_C(1000000000)

/* io_sock.backend_flags */
#define EP_READABLE     0x01u /* a receive is worth trying */
#define EP_HUNG_UP      0x02u /* the end of the stream is near: a short receive is not the last */
#define EP_SEND_WAITS   0x04u /* the socket was full; `span` is what to send when it drains */
#define EP_SEND_DONE    0x08u /* `send_result` is to be handed out; stands in `done` */
#define EP_CONNECT_DONE 0x10u /* `send_result` is the connect's */
#define EP_CANCEL       0x20u /* the receive or connect was cancelled */
#define EP_CANCEL_SEND  0x40u /* the send was cancelled while it waited */

/* What stands in an event's data for the timer, a listener and the wake-up; sockets have their
 * number and generation there, which stays below. */
#define DATA_TIMER    (UINT64_C(1) << 61)
#define DATA_LISTENER (UINT64_C(1) << 62)
#define DATA_WAKE     (UINT64_C(1) << 63)

struct ep_sock {
    const uint8_t *span;
    uint32_t span_size;
    int32_t send_result;
};

/* What core's connection leaves of 256 bytes. */
_Static_assert(sizeof(struct io_sock) + sizeof(struct ep_sock) <= 48, "io and epoll a connection");

struct epoll_io {
    struct io io;
    int epoll;
    int wake;
    int timer;
    uint64_t timer_ns;    /* when it fires; IO_FOREVER: it is not armed */
    struct ep_sock *more; /* socks_max, beside io.socks */
    struct row work;
    uint32_t *done; /* behind `more`: sockets whose send is done, in order; each at most once */
    uint32_t done_count;
    bool done_soon;    /* one of them took less than all, or failed: it must not be late */
    uint16_t *buffers; /* the stack of free receive buffers */
    uint32_t buffers_count;
    struct epoll_event events[EVENTS_MAX];
    uint32_t events_next; /* events fetched and not looked at for want of room */
    uint32_t events_count;
    bool listening; /* the listeners are registered */
    bool cancel_accepts;
    uint32_t reaped_bytes; /* received by this reap */
    bool listen_failed;    /* the listeners could not be registered: accepts fail */
    bool dry;              /* the caller held every receive buffer when this reap began */
    bool skipped_wait;     /* the last reap had enough to say without waiting */
};

static struct epoll_io *self(struct io *io)
{
    return (struct epoll_io *)io;
}

static bool may_go_on(const struct epoll_io *ep)
{
    return io_room(&ep->io) && ep->reaped_bytes < REAP_BYTES;
}

/* --------------------------------------------------------------------------------- the work list
 */

static void work_add(struct epoll_io *ep, uint32_t sock)
{
    if (!row_link_is_in(&ep->io.socks[sock].link)) {
        row_push(&ep->work, sock);
    }
}

static void work_remove(struct epoll_io *ep, uint32_t sock)
{
    if (row_link_is_in(&ep->io.socks[sock].link)) {
        row_remove(&ep->work, sock);
    }
}

/* ------------------------------------------------------------------------------ open and close */

/* The timer is edge-triggered: it need not be read. */
static int add_own(struct epoll_io *ep)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = DATA_WAKE};
    struct epoll_event timer = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA_TIMER};
    return epoll_ctl(ep->epoll, EPOLL_CTL_ADD, ep->wake, &wake) < 0 ||
                   epoll_ctl(ep->epoll, EPOLL_CTL_ADD, ep->timer, &timer) < 0
               ? -errno
               : 0;
}

/* None of them after an earlier failure, which it returns. */
static int open_files(struct epoll_io *ep, int result)
{
    ep->epoll = ep->timer = ep->wake = -1;
    ep->timer_ns = IO_FOREVER;
    if (result == 0) {
        ep->wake = ep->io.config.wake > 0 ? ep->io.config.wake : io_wake_open();
        result = ep->wake < 0 ? ep->wake : 0;
    }
    if (result == 0) {
        ep->epoll = epoll_create1(EPOLL_CLOEXEC);
        result = ep->epoll < 0 ? -errno : 0;
    }
    if (result == 0) {
        ep->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        result = ep->timer < 0 ? -errno : 0;
    }
    return result == 0 ? add_own(ep) : result;
}

static size_t ep_reserves(const struct io_config *config)
{
    return memory_pages(config->socks_max * (sizeof(struct ep_sock) + sizeof(uint32_t)));
}

static void free_parts(struct epoll_io *ep)
{
    memory_release(ep->more, ep_reserves(&ep->io.config));
    free(ep->buffers);
    if (ep->wake >= 0) {
        close(ep->wake);
    }
    if (ep->timer >= 0) {
        close(ep->timer);
    }
    if (ep->epoll >= 0) {
        close(ep->epoll);
    }
}

static int ep_open(struct io *io)
{
    struct epoll_io *ep = self(io);
    row_init(&ep->work, &io->socks->link, sizeof *io->socks);
    ep->more = memory_reserve(ep_reserves(&io->config));
    ep->buffers = malloc(io->config.receive_count * sizeof *ep->buffers);
    int result = ep->more != NULL && ep->buffers != NULL ? 0 : -ENOMEM;
    result = open_files(ep, result);
    if (result < 0) {
        free_parts(ep);
        return result;
    }
    memory_name(ep->more, ep_reserves(&io->config), "berth: sockets, epoll");
    ep->done = (uint32_t *)(void *)(ep->more + io->config.socks_max);
    for (uint32_t i = 0; i < io->config.receive_count; i++) { /* number 0 on top */
        ep->buffers[i] = (uint16_t)(io->config.receive_count - 1 - i);
    }
    ep->buffers_count = io->config.receive_count;
    for (uint32_t i = 0; i < io->config.listeners_count; i++) {
        socket_limit(io->listeners[i].id, &io->config);
    }
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0) {
        seed = (uint64_t)getpid(); /* early boot; this randomness only spreads */
    }
    io_random_seed(io, seed);
    io_clock_read(io);
    return 0;
}

static void ep_close(struct io *io)
{
    free_parts(self(io));
}

/* Registers a socket, once for its life. -1 with errno set if the kernel has no room. */
static int watch(struct epoll_io *ep, uint32_t sock)
{
    struct io_sock *s = &ep->io.socks[sock];
    struct epoll_event event = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)s->generation << 32 | sock};
    return epoll_ctl(ep->epoll, EPOLL_CTL_ADD, s->fd, &event);
}

/* ------------------------------------------------------------------------------------- accepts */

static void listeners_watch(struct epoll_io *ep)
{
    for (uint32_t i = 0; i < ep->io.config.listeners_count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
                                    .data.u64 = DATA_LISTENER | i};
        if (epoll_ctl(ep->epoll, EPOLL_CTL_ADD, ep->io.listeners[i].id, &event) < 0) {
            ep->listen_failed = true;
        }
    }
    ep->listening = true;
}

static void listeners_forget(struct epoll_io *ep)
{
    for (uint32_t i = 0; i < ep->io.config.listeners_count; i++) {
        (void)epoll_ctl(ep->epoll, EPOLL_CTL_DEL, ep->io.listeners[i].id, NULL);
    }
    ep->listening = false;
}

static void ep_accept(struct io *io, uint32_t accept)
{
    (void)accept;
    struct epoll_io *ep = self(io);
    if (!ep->listening) {
        listeners_watch(ep);
    }
}

static void ep_cancel_accepts(struct io *io)
{
    self(io)->cancel_accepts = true;
}

static uint32_t first_accept(const struct io *io)
{
    return (uint32_t)__builtin_ctz(io->accepts_busy);
}

/* Makes an accepted descriptor a socket. Returns its number, or a negative errno. */
static int32_t adopt(struct epoll_io *ep, int fd)
{
    uint32_t sock = io_sock_open(&ep->io, fd);
    if (sock == SOCK_NONE) {
        close(fd);
        return -ENFILE;
    }
    if (watch(ep, sock) < 0) {
        io_sock_free(&ep->io, sock);
        close(fd);
        return -ENOMEM;
    }
    return (int32_t)sock;
}

static void accept_some(struct epoll_io *ep, uint8_t listener)
{
    struct io *io = &ep->io;
    while (io->accepts_busy != 0 && io_room(io)) {
        int fd = accept4(io->listeners[listener].id, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EINTR) {
            continue;
        }
        if (fd < 0 && errno == EAGAIN) {
            return;
        }
        int32_t result = fd < 0 ? -errno : adopt(ep, fd);
        io_complete_accept(io, first_accept(io), result, listener);
        if (result < 0) {
            return;
        }
    }
}

static void finish_cancelled_accepts(struct epoll_io *ep)
{
    struct io *io = &ep->io;
    while (ep->cancel_accepts && io->accepts_busy != 0 && io_room(io)) {
        io_complete_accept(io, first_accept(io), -ECANCELED, 0);
    }
    if (ep->cancel_accepts && io->accepts_busy == 0) {
        ep->cancel_accepts = false;
        listeners_forget(ep); /* the next accept has to look at the queue */
    }
    while (ep->listen_failed && io->accepts_busy != 0 && io_room(io)) {
        io_complete_accept(io, first_accept(io), -ENOMEM, 0);
    }
    if (ep->listen_failed && io->accepts_busy == 0) {
        ep->listen_failed = false;
        listeners_forget(ep); /* the next accept tries again */
    }
}

/* ------------------------------------------------------------------------------ connect and close
 */

static int ep_connect(struct io *io, const struct berth_address *remote,
                      const struct berth_address *local)
{
    struct epoll_io *ep = self(io);
    struct sockaddr_storage name;
    socklen_t bytes;
    int fd = socket_for_connect(remote, local, &name, &bytes);
    if (fd < 0) {
        return fd;
    }
    uint32_t sock = io_sock_open(io, fd);
    if (sock == SOCK_NONE) {
        close(fd);
        return -ENFILE;
    }
    socket_limit(fd, &io->config);
    int result = connect(fd, (struct sockaddr *)&name, bytes) < 0 ? -errno : 0;
    int watched = watch(ep, sock) < 0 ? -errno : 0;
    if (result != -EINPROGRESS || watched < 0) {
        ep->more[sock].send_result = watched < 0 ? watched : result;
        io->socks[sock].backend_flags |= EP_CONNECT_DONE;
        work_add(ep, sock);
    }
    return (int)sock;
}

static void ep_sock_close(struct io *io, uint32_t sock, bool reset)
{
    work_remove(self(io), sock);
    socket_close(io->socks[sock].fd, reset);
}

/* ------------------------------------------------------------------------------ receive and send
 */

static void ep_receive(struct io *io, uint32_t sock)
{
    if ((io->socks[sock].backend_flags & (EP_READABLE | EP_HUNG_UP)) != 0) {
        work_add(self(io), sock);
    }
}

static void ep_cancel(struct io *io, uint32_t sock, enum io_op op)
{
    struct io_sock *s = &io->socks[sock];
    if (op == IO_SEND) {
        if ((s->backend_flags & EP_SEND_WAITS) == 0) {
            return; /* it is done already: law 3 */
        }
        s->backend_flags |= EP_CANCEL_SEND;
    } else {
        s->backend_flags |= EP_CANCEL;
    }
    work_add(self(io), sock);
}

static int32_t send_spans(int fd, const struct io_span *spans, uint32_t count)
{
    struct iovec parts[IO_SPANS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        parts[i] =
            (struct iovec){.iov_base = (void *)(uintptr_t)spans[i].data, .iov_len = spans[i].size};
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do {
        sent = count == 1 ? send(fd, spans[0].data, spans[0].size, MSG_NOSIGNAL | MSG_DONTWAIT)
                          : sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (int32_t)sent;
}

static bool took_all(const struct io_span *spans, uint32_t count, int32_t result)
{
    int64_t left = result;
    for (uint32_t i = 0; i < count; i++) {
        left -= spans[i].size;
    }
    return left == 0;
}

static void try_send(struct epoll_io *ep, uint32_t sock, const struct io_span *spans,
                     uint32_t count)
{
    struct io_sock *s = &ep->io.socks[sock];
    struct ep_sock *more = &ep->more[sock];
    int32_t result = send_spans(s->fd, spans, count);
    if (result == -EAGAIN) {
        more->span = spans[0].data;
        more->span_size = spans[0].size;
        s->backend_flags |= EP_SEND_WAITS;
        return;
    }
    more->send_result = result;
    s->backend_flags |= EP_SEND_DONE;
    ep->done[ep->done_count++] = sock;
    ep->done_soon |= !took_all(spans, count, result);
}

static void ep_send(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count)
{
    try_send(self(io), sock, spans, count);
}

static void ep_lease_return(struct io *io, uint16_t lease)
{
    struct epoll_io *ep = self(io);
    ep->buffers[ep->buffers_count++] = lease;
}

/* One receive. Afterwards the flags say whether another is worth trying. */
static void receive_once(struct epoll_io *ep, uint32_t sock)
{
    struct io *io = &ep->io;
    struct io_sock *s = &io->socks[sock];
    if (ep->buffers_count == 0) {
        if (ep->dry) {
            io_complete_receive_end(io, sock, -ENOBUFS);
        } /* else this reap gave them out: the caller will return some before the next */
        return;
    }
    uint16_t lease = ep->buffers[ep->buffers_count - 1];
    ssize_t got;
    do {
        got = recv(s->fd, io_lease_data(io, lease), io->config.receive_bytes, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        ep->buffers_count--;
        ep->reaped_bytes += (uint32_t)got;
        if ((uint32_t)got < io->config.receive_bytes) {
            s->backend_flags &= (uint8_t)~EP_READABLE; /* drained; more is a new edge */
        }
        io_complete_bytes(io, sock, lease, (uint32_t)got, true);
    } else if (got < 0 && errno == EAGAIN) {
        s->backend_flags &= (uint8_t) ~(EP_READABLE | EP_HUNG_UP);
    } else {
        io_complete_receive_end(io, sock, got == 0 ? 0 : -errno);
    }
}

/* ----------------------------------------------------------------------------------------- reap */

static void visit_receive(struct epoll_io *ep, uint32_t sock)
{
    struct io_sock *s = &ep->io.socks[sock];
    if ((s->flags & SOCK_RECEIVE) == 0) {
        return;
    }
    if ((s->backend_flags & EP_CANCEL) != 0) {
        s->backend_flags &= (uint8_t)~EP_CANCEL;
        io_complete_receive_end(&ep->io, sock, -ECANCELED);
        return;
    }
    if ((s->backend_flags & (EP_READABLE | EP_HUNG_UP)) != 0) {
        receive_once(ep, sock);
    }
    if ((s->flags & SOCK_RECEIVE) != 0 && (s->backend_flags & (EP_READABLE | EP_HUNG_UP)) != 0) {
        work_add(ep, sock);
    }
}

static void visit_connect(struct epoll_io *ep, uint32_t sock)
{
    struct io_sock *s = &ep->io.socks[sock];
    if ((s->flags & SOCK_CONNECT) == 0) {
        return;
    }
    if ((s->backend_flags & EP_CONNECT_DONE) != 0) {
        s->backend_flags &= (uint8_t) ~(EP_CONNECT_DONE | EP_CANCEL);
        io_complete_connect(&ep->io, sock, ep->more[sock].send_result);
    } else if ((s->backend_flags & EP_CANCEL) != 0) {
        s->backend_flags &= (uint8_t)~EP_CANCEL;
        io_complete_connect(&ep->io, sock, -ECANCELED);
    }
}

/* Hands out the sends that are done. */
static void finish_sends(struct epoll_io *ep)
{
    struct io *io = &ep->io;
    uint32_t room = io->out_max - io->out_count;
    uint32_t count = ep->done_count < room ? ep->done_count : room;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sock = ep->done[i];
        io->socks[sock].backend_flags &= (uint8_t) ~(EP_SEND_DONE | EP_CANCEL_SEND);
        io_complete_send(io, sock, ep->more[sock].send_result);
    }
    ep->done_count -= count;
    memmove(ep->done, ep->done + count, ep->done_count * sizeof *ep->done);
    ep->done_soon = ep->done_count > 0;
}

static void visit_cancelled_send(struct epoll_io *ep, uint32_t sock)
{
    struct io_sock *s = &ep->io.socks[sock];
    if ((s->backend_flags & (EP_CANCEL_SEND | EP_SEND_WAITS)) == (EP_CANCEL_SEND | EP_SEND_WAITS)) {
        s->backend_flags &= (uint8_t) ~(EP_SEND_WAITS | EP_CANCEL_SEND);
        io_complete_send(&ep->io, sock, -ECANCELED);
    }
}

/* Looks once at every socket that stood in the work list on entry. A visit gives at most two
 * completions, a cancelled send and one of receive and connect. */
static void visit_work(struct epoll_io *ep)
{
    struct io *io = &ep->io;
    for (uint32_t left = ep->work.count; left > 0 && may_go_on(ep); left--) {
        if (ep->buffers_count == 0 && !ep->dry) {
            return; /* those that got none stay in front of those that got one */
        }
        uint32_t sock = row_take(&ep->work);
        visit_cancelled_send(ep, sock);
        if (!io_room(io)) {
            work_add(ep, sock); /* the rest is for the next reap */
            return;
        }
        visit_connect(ep, sock);
        visit_receive(ep, sock);
    }
}

/* Something happened to a socket; there is room for one completion. */
static void sock_event(struct epoll_io *ep, uint32_t sock, uint32_t events)
{
    struct io_sock *s = &ep->io.socks[sock];
    /* Before the end of the stream, and before urgent data, a receive is short though more is
     * there. */
    if ((events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        s->backend_flags |= EP_READABLE | EP_HUNG_UP;
    } else if ((events & EPOLLIN) != 0) {
        s->backend_flags |= EP_READABLE;
    }
    if ((s->flags & SOCK_CONNECT) != 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 &&
        (s->backend_flags & EP_CONNECT_DONE) == 0) {
        ep->more[sock].send_result = socket_connect_result(s->fd);
        s->backend_flags |= EP_CONNECT_DONE;
    }
    if ((s->backend_flags & EP_SEND_WAITS) != 0 &&
        (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        struct io_span span = {.data = ep->more[sock].span, .size = ep->more[sock].span_size};
        s->backend_flags &= (uint8_t)~EP_SEND_WAITS;
        try_send(ep, sock, &span, 1);
        ep->done_soon = true;
    }
    visit_connect(ep, sock);
    visit_receive(ep, sock);
}

static void wake_event(struct epoll_io *ep)
{
    uint64_t count;
    (void)!read(ep->wake, &count, sizeof count); /* EAGAIN: another read was quicker */
}

static void handle_events(struct epoll_io *ep)
{
    struct io *io = &ep->io;
    while (ep->events_next < ep->events_count && may_go_on(ep)) {
        const struct epoll_event *event = &ep->events[ep->events_next++];
        uint64_t data = event->data.u64;
        if (data == DATA_TIMER) {
            ep->timer_ns = IO_FOREVER;
        } else if (data == DATA_WAKE) {
            wake_event(ep);
        } else if ((data & DATA_LISTENER) != 0) {
            accept_some(ep, (uint8_t)data);
        } else {
            uint32_t sock = (uint32_t)data;
            const struct io_sock *s = &io->socks[sock];
            if ((s->flags & SOCK_OPEN) != 0 && s->generation == (uint16_t)(data >> 32)) {
                sock_event(ep, sock, event->events);
            } else {
                io->stats.stale++;
            }
        }
    }
}

/* A wait with a timeout of its own would set a timer of the system and take it back, each time. So
 * one stays armed, is left alone while deadlines get later, and is moved when one is earlier. It
 * fires once in vain at most. False if the deadline has passed. */
static bool timer_arm(struct epoll_io *ep, uint64_t deadline_ns)
{
    struct io *io = &ep->io;
    if (deadline_ns >= ep->timer_ns) {
        return true;
    }
    io_clock_read(io); /* the turn took time; do not sleep it again */
    if (deadline_ns <= io->now_ns) {
        return false;
    }
    uint64_t left = deadline_ns - io->now_ns;
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)}};
    int result = timerfd_settime(ep->timer, 0, &at, NULL);
    BERTH_ASSERT(result == 0);
    ep->timer_ns = deadline_ns;
    return true;
}

static void wait_for_events(struct epoll_io *ep, uint64_t deadline_ns)
{
    struct io *io = &ep->io;
    if (ep->listening && io->accepts_busy == 0) {
        listeners_forget(ep);
    }
    int timeout = deadline_ns != 0 && timer_arm(ep, deadline_ns) ? -1 : 0;
    io->stats.enters++;
    int count = epoll_wait(ep->epoll, ep->events, EVENTS_MAX, timeout);
    ep->events_next = 0;
    ep->events_count = count < 0 ? 0 : (uint32_t)count; /* EINTR: an empty turn is normal */
}

/* Whether sends that are done are no reason to return. */
static bool sends_late(const struct epoll_io *ep)
{
    return ep->io.sends_late && !ep->done_soon;
}

/* What is known already. */
static void give_known(struct epoll_io *ep)
{
    finish_sends(ep);
    visit_work(ep);
    handle_events(ep);
}

/* What is known already comes first, and if it is anything there is no need to wait. But not twice
 * in a row, or sends that finish at once and sockets that stay readable would keep new events from
 * being seen: the next reap looks at the kernel's first. */
static void ep_reap(struct io *io, uint64_t deadline_ns)
{
    struct epoll_io *ep = self(io);
    ep->dry = ep->buffers_count == 0;
    ep->reaped_bytes = 0;
    finish_cancelled_accepts(ep);
    bool late = sends_late(ep);
    bool known = ep->work.count > 0 || ep->events_next < ep->events_count;
    if (!ep->skipped_wait && (known || !late)) {
        give_known(ep);
        if (io->out_count > 0) {
            ep->skipped_wait = true;
            io_clock_read(io);
            return;
        }
    }
    ep->skipped_wait = false;
    if (ep->events_next == ep->events_count) {
        bool waits = io->out_count == 0 && ep->work.count == 0 && (late || ep->done_count == 0);
        uint64_t until_ns = ep->done_count > 0 ? io_late_ns(io, deadline_ns) : deadline_ns;
        wait_for_events(ep, waits ? until_ns : 0);
    }
    io_clock_read(io);
    bool many = ep->done_count > io->out_max / 2; /* the events must have their turn, too */
    if (!many) {
        finish_sends(ep); /* first, as what they give back is warm */
    }
    handle_events(ep);
    finish_sends(ep);
    visit_work(ep);
}

static void ep_wake(struct io *io)
{
    uint64_t one = 1;
    (void)!write(self(io)->wake, &one, sizeof one); /* EAGAIN: it is awake already */
}

const struct io_backend io_backend_epoll = {
    .ops =
        {
            .name = "epoll",
            .listen = socket_listen,
            .listener_close = socket_listener_close,
            .listener_halt = socket_listener_halt,
            .listener_resume = socket_listener_resume,
            .struct_bytes = sizeof(struct epoll_io),
            .sock_bytes = sizeof(struct ep_sock),
            .reserves = ep_reserves,
            .open = ep_open,
            .close = ep_close,
            .accept = ep_accept,
            .cancel_accepts = ep_cancel_accepts,
            .connect = ep_connect,
            .receive = ep_receive,
            .send = ep_send,
            .cancel = ep_cancel,
            .shutdown = socket_shutdown,
            .sock_close = ep_sock_close,
            .name_of = socket_name_of,
            .lease_return = ep_lease_return,
            .reap = ep_reap,
            .wake = ep_wake,
        },
};
