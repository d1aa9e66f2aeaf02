/* The peer that Berth is measured against: a server of the seed's protocol, written as tightly as
 * raw epoll allows and with nothing that a library must have: no limits, no deadlines, no log, one
 * framing, one thread.
 *
 *   peer_epoll [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * Request: a 4-byte little-endian length L, L bytes. Reply: the length 4 + L, a 4-byte id that
 * counts from 10001 over the whole server, the same L bytes. All frames of a receive are answered
 * by one send.
 *
 * Edge-triggered, with one epoll_ctl in a connection's life. It costs 1 to 2 % less a message than
 * level-triggered here, and it spares the second epoll_ctl when a send is short.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEADER = 4,
    REPLY_HEADER = 8,
    MESSAGE_MAX = 1 << 20,
    RECEIVE_MAX = 256 << 10,
    REPLIES_MAX = 2 * RECEIVE_MAX + REPLY_HEADER + MESSAGE_MAX, /* a frame of 4 bytes makes 8 */
    EVENTS_MAX = 512,
    CONNS_MAX = 65536, /* by descriptor */
};

struct conn {
    int fd;
    uint32_t part_bytes; /* of a frame that has not come whole */
    uint32_t part_room;
    uint32_t unsent_from; /* replies that the socket did not take */
    uint32_t unsent_to;
    uint8_t *part;
    uint8_t *unsent;
};

static struct conn conns[CONNS_MAX];
static uint8_t received[RECEIVE_MAX];
static uint8_t replies[REPLIES_MAX];
static uint32_t last_id = 10000;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint32_t load32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void store32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static uint8_t *add_reply(uint8_t *to, const uint8_t *message, uint32_t bytes)
{
    store32(to, bytes + 4);
    store32(to + 4, ++last_id);
    memcpy(to + REPLY_HEADER, message, bytes);
    return to + REPLY_HEADER + bytes;
}

/* Keeps the first bytes of a frame until the others come. */
static void keep_part(struct conn *conn, const uint8_t *bytes, size_t count)
{
    uint32_t want = conn->part_bytes + (uint32_t)count;
    if (want > conn->part_room) {
        conn->part_room = want < 4096 ? 4096 : want * 2;
        conn->part = realloc(conn->part, conn->part_room);
        if (!conn->part) {
            fail("realloc");
        }
    }
    memcpy(conn->part + conn->part_bytes, bytes, count);
    conn->part_bytes = want;
}

/* Adds to the kept part what it lacks of `want` bytes; whether it has them now. */
static bool fill_part(struct conn *conn, uint32_t want, const uint8_t **at, const uint8_t *end)
{
    size_t lacks = want - conn->part_bytes;
    size_t there = (size_t)(end - *at);
    size_t take = lacks < there ? lacks : there;
    keep_part(conn, *at, take);
    *at += take;
    return take == lacks;
}

/* Answers every whole frame of what was received. The end of the replies, or NULL for a length
 * that no frame can have. */
static uint8_t *answer(struct conn *conn, const uint8_t *at, const uint8_t *end)
{
    uint8_t *to = replies;
    if (conn->part_bytes > 0) {
        if (conn->part_bytes < HEADER && !fill_part(conn, HEADER, &at, end)) {
            return to;
        }
        uint32_t bytes = load32(conn->part);
        if (bytes > MESSAGE_MAX) {
            return NULL;
        }
        if (!fill_part(conn, HEADER + bytes, &at, end)) {
            return to;
        }
        to = add_reply(to, conn->part + HEADER, bytes);
        conn->part_bytes = 0;
    }
    while (end - at >= HEADER) {
        uint32_t bytes = load32(at);
        if (bytes > MESSAGE_MAX) {
            return NULL;
        }
        if (end - at - HEADER < (ptrdiff_t)bytes) {
            break;
        }
        to = add_reply(to, at + HEADER, bytes);
        at += HEADER + bytes;
    }
    if (at < end) {
        keep_part(conn, at, (size_t)(end - at));
    }
    return to;
}

static void end(struct conn *conn)
{
    close(conn->fd); /* which takes it out of the epoll set */
    free(conn->part);
    free(conn->unsent);
    memset(conn, 0, sizeof *conn);
}

/* Sends what an earlier short send left. -1: the connection is broken; 0: some is still left. */
static int send_rest(struct conn *conn)
{
    while (conn->unsent_from < conn->unsent_to) {
        ssize_t sent = send(conn->fd, conn->unsent + conn->unsent_from,
                            conn->unsent_to - conn->unsent_from, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        conn->unsent_from += (uint32_t)sent;
    }
    free(conn->unsent);
    conn->unsent = NULL;
    conn->unsent_from = conn->unsent_to = 0;
    return 1;
}

/* Sends the replies of one receive; what the socket does not take is kept. As send_rest. */
static int send_replies(struct conn *conn, size_t bytes)
{
    ssize_t sent = send(conn->fd, replies, bytes, MSG_NOSIGNAL);
    if (sent == (ssize_t)bytes) {
        return 1;
    }
    if (sent < 0 && errno != EAGAIN) {
        return -1;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    conn->unsent = malloc(bytes - done);
    if (!conn->unsent) {
        fail("malloc");
    }
    memcpy(conn->unsent, replies + done, bytes - done);
    conn->unsent_to = (uint32_t)(bytes - done);
    return send_rest(conn); /* until EAGAIN: only then does an edge announce that there is room */
}

/* Receives and answers until there is no more. Fewer bytes than asked for mean that the socket is
 * empty, and that the next edge is still to come; but an end that is announced already is not. */
static void serve(struct conn *conn, bool ending)
{
    int sent = conn->unsent ? send_rest(conn) : 1;
    while (sent > 0) {
        ssize_t got = recv(conn->fd, received, sizeof received, 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        uint8_t *to = got > 0 ? answer(conn, received, received + got) : NULL;
        if (!to) {
            end(conn);
            return;
        }
        sent = to > replies ? send_replies(conn, (size_t)(to - replies)) : 1;
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
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
            fail("epoll_ctl");
        }
    }
    if (errno != EAGAIN && errno != ECONNABORTED) {
        fail("accept4");
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &bytes)) {
        fail("listen");
    }
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
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
