/* The system calls of vex that are about one socket. Nothing is kept here. */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "must.h"

#define BACKLOG 4096

/* Room for an address as text, with its brackets and port. */
#define ADDRESS_BYTES (INET6_ADDRSTRLEN + 16)

/* --------------------------------------------------------------------------------------- addresses
 */

/* Host and service, without the brackets of an IPv6 address. */
static bool split(const char *text, bool port, char *host, const char **service)
{
    size_t bytes = strlen(text);
    const char *colon = port ? strrchr(text, ':') : text + bytes;
    if (colon == NULL || bytes >= ADDRESS_BYTES) {
        return false;
    }
    size_t length = (size_t)(colon - text);
    bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (!brackets && port && memchr(text, ':', length) != NULL) {
        return false; /* an IPv6 address of which nobody knows where the port begins */
    }
    memcpy(host, text + (brackets ? 1 : 0), length - (brackets ? 2 : 0));
    host[length - (brackets ? 2 : 0)] = '\0';
    *service = port ? colon + 1 : "0";
    return host[0] != '\0' && **service != '\0';
}

bool sockets_parse(const char *text, bool port, struct place *out)
{
    char host[ADDRESS_BYTES];
    const char *service = NULL;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (!split(text, port, host, &service) || getaddrinfo(host, service, &hints, &found) != 0) {
        return false;
    }
    *out = (struct place){.bytes = found->ai_addrlen};
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

const char *sockets_text(const struct place *place, char *out, size_t bytes)
{
    char host[ADDRESS_BYTES];
    char service[16];
    if (getnameinfo((const struct sockaddr *)&place->address, place->bytes, host, sizeof host,
                    service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, bytes, "?");
        return out;
    }
    bool six = place->address.ss_family == AF_INET6;
    snprintf(out, bytes, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", service);
    return out;
}

/* ----------------------------------------------------------------------------------------- sockets
 */

static int switch_on(int fd, int level, int option)
{
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof one) == 0 ? 0 : -errno;
}

static int close_with(int fd, int error)
{
    close(fd);
    return error;
}

void sockets_send_at_once(int fd)
{
    (void)switch_on(fd, IPPROTO_TCP, TCP_NODELAY); /* fails only when the connection is gone */
}

static int set_bytes(int fd, int option, int bytes)
{
    bool fails = bytes > 0 && setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) != 0;
    return fails ? -errno : 0;
}

int sockets_set_buffers(int fd, const struct sockets_buffers *buffers)
{
    int result = set_bytes(fd, SO_SNDBUF, buffers->send_bytes);
    return result == 0 ? set_bytes(fd, SO_RCVBUF, buffers->receive_bytes) : result;
}

static int set_source(int fd, const struct sockets_connect *options)
{
    if (options->from == NULL) {
        return 0;
    }
    /* The port is chosen by connect, which knows where to: one source address then has all ports
     * for every destination. */
    int result = switch_on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    if (result == 0 &&
        bind(fd, (const struct sockaddr *)&options->from->address, options->from->bytes) != 0) {
        result = -errno;
    }
    return result;
}

int sockets_connect(const struct sockets_connect *options)
{
    const struct sockaddr *to = (const struct sockaddr *)&options->to->address;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    sockets_send_at_once(fd);
    int result = sockets_set_buffers(fd, &options->buffers);
    if (result == 0) {
        result = set_source(fd, options);
    }
    if (result == 0 && connect(fd, to, options->to->bytes) != 0 && errno != EINPROGRESS) {
        result = -errno;
    }
    return result == 0 ? fd : close_with(fd, result);
}

int sockets_listen(const struct place *at, struct place *bound)
{
    const struct sockaddr *address = (const struct sockaddr *)&at->address;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    bound->bytes = sizeof bound->address;
    if (switch_on(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || bind(fd, address, at->bytes) != 0 ||
        listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound->address, &bound->bytes) != 0) {
        return close_with(fd, -errno);
    }
    return fd;
}

int sockets_error(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0);
    return error;
}

void sockets_reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(fd);
}

int sockets_vanish(int fd)
{
    int result = switch_on(fd, IPPROTO_TCP, TCP_REPAIR);
    if (result == 0) {
        close(fd);
    }
    return result;
}

uint64_t sockets_descriptors(void)
{
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    return limit.rlim_cur;
}
