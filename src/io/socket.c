/* Real sockets: what epoll.c and uring.c do in the same way. Opening listeners and outgoing
 * sockets, closing, naming. Each call is a few system calls and keeps no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/backend.h"

int io_wake_open(void)
{
    /* It blocks: a ring waits on it by poll, and would give up on one that does not. */
    int wake = eventfd(0, EFD_CLOEXEC);
    if (wake == 0) { /* a program without a standard input; 0 is no wake (io_config) */
        wake = fcntl(0, F_DUPFD_CLOEXEC, 1);
        close(0);
    }
    return wake < 0 ? -errno : wake;
}

void io_wake_close(int wake)
{
    close(wake);
}

static socklen_t to_system(const struct berth_address *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (address->family == BERTH_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->bytes, sizeof in->sin_addr);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out; /* BERTH_ANY's bytes are zeros: [::] */
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    in6->sin6_scope_id = address->scope;
    memcpy(&in6->sin6_addr, address->bytes, sizeof in6->sin6_addr);
    return sizeof *in6;
}

static bool from_system(const struct sockaddr_storage *name, struct berth_address *out)
{
    *out = (struct berth_address){.family = BERTH_FAMILY_NONE};
    if (name->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)name;
        out->family = BERTH_IPV4;
        out->port = ntohs(in->sin_port);
        memcpy(out->bytes, &in->sin_addr, sizeof in->sin_addr);
        return true;
    }
    if (name->ss_family != AF_INET6) {
        return false;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)name;
    out->port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* an IPv4 client of a dual-stack listener */
        out->family = BERTH_IPV4;
        memcpy(out->bytes, in6->sin6_addr.s6_addr + 12, 4);
        return true;
    }
    out->family = BERTH_IPV6;
    out->scope = in6->sin6_scope_id;
    memcpy(out->bytes, &in6->sin6_addr, sizeof in6->sin6_addr);
    return true;
}

/* The system's own ceiling for a backlog; listen(2) applies it without a word. Read in one piece:
 * without memory for a buffer a stream reads byte by byte, and this file gives its first byte only.
 */
static int backlog_limit(void)
{
    char text[16] = "";
    int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return SOMAXCONN;
    }
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    long limit = count > 0 ? strtol(text, NULL, 10) : 0;
    return limit > 0 && limit <= INT_MAX ? (int)limit : SOMAXCONN;
}

/* Binds and listens; -1 with errno set if any step fails. */
static int open_listener(const struct berth_address *address, bool both_families, int backlog)
{
    struct sockaddr_storage name;
    socklen_t bytes = to_system(address, &name);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    socket_prepare(fd); /* accepted sockets inherit it (Linux; verified), from the first one on */
    int on = 1;
    int v6_only = both_families ? 0 : 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (name.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) < 0) ||
        bind(fd, (struct sockaddr *)&name, bytes) < 0 || listen(fd, backlog) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int socket_listen(void *world, const struct berth_address *address, int backlog,
                  struct io_listener *out)
{
    (void)world;
    bool any = address->family == BERTH_ANY;
    struct berth_address bound = *address;
    int limit = backlog_limit();
    int clipped = backlog > limit ? limit : backlog;
    int fd = open_listener(&bound, any, clipped);
    if (fd < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        bound.family = BERTH_IPV4; /* a system without IPv6: 0.0.0.0 is every address it has */
        fd = open_listener(&bound, false, clipped);
    }
    if (fd < 0) {
        return -errno;
    }
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &bytes) == 0) {
        struct berth_address real;
        if (from_system(&name, &real)) {
            bound.port = real.port;
        }
    }
    *out = (struct io_listener){.id = fd, .address = bound, .backlog = clipped};
    return 0;
}

void socket_listener_close(void *world, struct io_listener *listener)
{
    (void)world;
    close(listener->id);
    listener->id = -1;
}

/* A listening socket that is shut down refuses clients, and may listen again (Linux). */
void socket_listener_halt(void *world, struct io_listener *listener)
{
    (void)world;
    shutdown(listener->id, SHUT_RD);
}

int socket_listener_resume(void *world, struct io_listener *listener)
{
    (void)world;
    struct sockaddr_storage name;
    socklen_t bytes = to_system(&listener->address, &name);
    /* A port that the system chose was given up by the shutdown; any other is bound still. */
    if (bind(listener->id, (struct sockaddr *)&name, bytes) < 0 && errno != EINVAL) {
        return -errno;
    }
    return listen(listener->id, listener->backlog) < 0 ? -errno : 0;
}

int socket_for_connect(const struct berth_address *remote, const struct berth_address *local,
                       struct sockaddr_storage *name, socklen_t *name_bytes)
{
    *name_bytes = to_system(remote, name);
    int fd = socket(name->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    socket_prepare(fd);
    if (local != NULL) {
        int on = 1; /* choose the port at connect, when the whole four-tuple is known */
        struct sockaddr_storage from;
        socklen_t bytes = to_system(local, &from);
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&from, bytes) < 0) {
            int error = errno;
            close(fd);
            return -error;
        }
    }
    return fd;
}

void socket_prepare(int fd)
{
    int on = 1; /* a reply must not wait for the peer's delayed acknowledgement of the last */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* None of these fails on a socket of TCP; what is too large for the system is clipped. */
void socket_limit(int fd, const struct io_config *config)
{
    /* Without it the system tries for a quarter of an hour, and a worker whose replies fit into the
     * socket's buffer has nothing of its own that waits. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &config->send_timeout_ms,
                     sizeof config->send_timeout_ms);
    if (config->system_send_bytes > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &config->system_send_bytes,
                         sizeof config->system_send_bytes);
    }
    if (config->system_receive_bytes > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &config->system_receive_bytes,
                         sizeof config->system_receive_bytes);
    }
}

void socket_shutdown(struct io *io, uint32_t sock, enum io_shutdown how)
{
    /* ENOTCONN: the peer has gone already; the next receive or send says so. */
    (void)shutdown(io->socks[sock].fd, how == IO_SHUTDOWN_SEND ? SHUT_WR : SHUT_RDWR);
}

void socket_close(int fd, bool reset)
{
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(fd);
}

bool socket_name_of(struct io *io, uint32_t sock, bool peer, struct berth_address *out)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof name;
    int fd = io->socks[sock].fd;
    int result = peer ? getpeername(fd, (struct sockaddr *)&name, &bytes)
                      : getsockname(fd, (struct sockaddr *)&name, &bytes);
    return result == 0 && from_system(&name, out);
}

int socket_connect_result(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0) {
        return -errno;
    }
    return -error;
}
