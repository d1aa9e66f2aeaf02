/* What the peers in C share beside the frames: a listening socket, and the sending of replies on a
 * non-blocking socket with what a short send leaves.
 *
 *   listen_on      on 127.0.0.1, and says where
 *   send_replies   the replies of one receive; what the socket does not take is kept
 *   send_rest      more of what was kept
 *
 * While something is kept, the caller receives nothing: what a connection can make a peer keep is
 * the replies of one receive.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "frames.h"

enum {
    RECEIVE_MAX = 256 << 10,
    REPLIES_MAX = HEADER + MESSAGE_MAX + 2 * RECEIVE_MAX + REPLY_HEADER, /* frames_replies_max */
    BACKLOG = 4096,
};

/* Replies that the socket did not take. */
struct unsent {
    uint8_t *bytes;
    uint32_t from;
    uint32_t to;
};

static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline void *need(void *memory)
{
    if (!memory) {
        fail("memory");
    }
    return memory;
}

/* A listening socket on the port that the arguments name, or on any that is free. */
static inline int listen_on(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    /* What is accepted has it from here: one call less for each. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&address, &bytes)) {
        fail("listen");
    }
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Until all is sent, or the socket takes no more. -1: the connection is broken; 0: some is left. */
static inline int send_rest(int fd, struct unsent *unsent)
{
    while (unsent->from < unsent->to) {
        ssize_t sent =
            send(fd, unsent->bytes + unsent->from, unsent->to - unsent->from, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        unsent->from += (uint32_t)sent;
    }
    free(unsent->bytes);
    *unsent = (struct unsent){0};
    return 1;
}

/* Borrows the replies. As send_rest. */
static inline int send_replies(int fd, struct unsent *unsent, const uint8_t *replies, size_t count)
{
    ssize_t sent = send(fd, replies, count, MSG_NOSIGNAL);
    if (sent == (ssize_t)count) {
        return 1;
    }
    if (sent < 0 && errno != EAGAIN) {
        return -1;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    *unsent = (struct unsent){.bytes = need(malloc(count - done)), .to = (uint32_t)(count - done)};
    memcpy(unsent->bytes, replies + done, count - done);
    return send_rest(fd, unsent); /* until EAGAIN: only then does an edge announce room */
}

#endif
