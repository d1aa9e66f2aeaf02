/* The peer that Berth is measured against: a server of the seed's protocol, written as tightly as
 * raw epoll allows and with nothing that a library must have: no limits, no deadlines, no log, one
 * framing, one thread.
 *
 *   peer_epoll [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a receive are answered by one send.
 *
 * Edge-triggered, with one epoll_ctl in a connection's life. It costs 1 to 2 % less a message than
 * level-triggered here, and it spares the second epoll_ctl when a send is short.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "peer.h"

enum {
    EVENTS_MAX = 512,
    CONNS_MAX = 65536, /* by descriptor */
};

struct conn {
    int fd;
    struct part part;
    struct unsent unsent;
};

static struct conn conns[CONNS_MAX];
static uint8_t received[RECEIVE_MAX];
static uint8_t replies[REPLIES_MAX];
static uint32_t next_id = FIRST_ID;

static void end(struct conn *conn)
{
    close(conn->fd); /* which takes it out of the epoll set */
    frames_fini(&conn->part);
    free(conn->unsent.bytes);
    memset(conn, 0, sizeof *conn);
}

/* Receives and answers until there is no more. Fewer bytes than asked for mean that the socket is
 * empty, and that the next edge is still to come; but an end that is announced already is not. */
static void serve(struct conn *conn, bool ending)
{
    int sent = conn->unsent.bytes ? send_rest(conn->fd, &conn->unsent) : 1;
    while (sent > 0) {
        ssize_t got = recv(conn->fd, received, sizeof received, 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        uint8_t *to = NULL;
        if (got > 0) {
            to = frames_answer(&conn->part, received, received + got, replies, &next_id);
        }
        if (!to) {
            end(conn);
            return;
        }
        sent = 1;
        if (to > replies) {
            sent = send_replies(conn->fd, &conn->unsent, replies, (size_t)(to - replies));
        }
        if (sent > 0 && (size_t)got < sizeof received && !ending) {
            return;
        }
    }
    if (sent < 0) {
        end(conn);
    }
}

static void accept_all(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= CONNS_MAX) {
            fail("too many connections");
        }
        conns[fd].fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = &conns[fd]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
            fail("epoll_ctl");
        }
    }
    if (errno != EAGAIN && errno != ECONNABORTED) {
        fail("accept4");
    }
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN, .data.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0])) {
        fail("epoll");
    }
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn) {
                serve(conn, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
            } else {
                accept_all(listener, epoll);
            }
        }
    }
}
