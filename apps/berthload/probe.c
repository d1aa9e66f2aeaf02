/* Whether somebody listens there: a connection is made and dropped before a run, as the seed's
 * client does, and when it fails, what to look at is said in plain words. The server sees a client
 * that comes, sends nothing and leaves. Blocks as long as it is allowed to; owns nothing
 * afterwards. */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "number.h"

/* An address in the system's form: its size. */
static socklen_t convert(const struct berth_address *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (from->family == BERTH_IPV4) {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(from->port)};
        memcpy(&ipv4.sin_addr, from->bytes, sizeof ipv4.sin_addr);
        memcpy(out, &ipv4, sizeof ipv4);
        return sizeof ipv4;
    }
    struct sockaddr_in6 ipv6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(from->port), .sin6_scope_id = from->scope};
    memcpy(&ipv6.sin6_addr, from->bytes, sizeof ipv6.sin6_addr);
    memcpy(out, &ipv6, sizeof ipv6);
    return sizeof ipv6;
}

/* Waits until the attempt under way has come to an end: 0 or an errno. */
static int await(int sock, uint64_t deadline_ns)
{
    struct pollfd wait = {.fd = sock, .events = POLLOUT};
    for (;;) { /* ends at the deadline */
        uint64_t now = clock_now_ns();
        if (now >= deadline_ns) {
            return ETIMEDOUT;
        }
        int count = poll(&wait, 1, (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS));
        if (count > 0) {
            int error = 0;
            socklen_t bytes = sizeof error;
            return getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 ? error : errno;
        }
        if (count < 0 && errno != EINTR) {
            return errno;
        }
    }
}

static int try_one(const struct berth_address *address, uint64_t timeout_ns)
{
    struct sockaddr_storage to;
    socklen_t bytes = convert(address, &to);
    int result = 0;
    int sock = socket(to.ss_family, SOCK_STREAM, 0);
    if (sock < 0) {
        return errno;
    }
    if (fcntl(sock, F_SETFL, O_NONBLOCK) != 0 ||
        connect(sock, (const struct sockaddr *)&to, bytes) != 0) {
        result = errno == EINPROGRESS ? await(sock, clock_now_ns() + timeout_ns) : errno;
    }
    close(sock);
    return result;
}

int probe(const struct addresses *addresses, uint64_t timeout_ns)
{
    int result = EINVAL;
    for (size_t i = 0; i < addresses->count && result != 0; i++) {
        result = try_one(&addresses->list[i], timeout_ns);
    }
    return result;
}

const char *probe_advice(int system, const char *where, uint64_t timeout_ns, char *out,
                         size_t bytes)
{
    char time[NUMBER_TEXT_BYTES];
    switch (system) {
    case 0:
        snprintf(out, bytes, "the test connection to %s was made", where);
        break;
    case ECONNREFUSED:
        snprintf(out, bytes,
                 "the test connection to %s was refused: the machine is there, and nobody listens "
                 "on that port.\n"
                 "  Is the server running? It says the address and port that it listens on.\n"
                 "  Is that the same port?\n"
                 "  Does it listen on this address? On 127.0.0.1 only its own machine reaches it.\n"
                 "  A firewall may refuse in its place.",
                 where);
        break;
    case ETIMEDOUT:
        snprintf(out, bytes,
                 "the test connection to %s timed out: nothing answered within %s.\n"
                 "  Is the address right, and that machine switched on?\n"
                 "  Does a firewall, on it or on the way, drop what is for this port?\n"
                 "  A server whose queue of waiting connections is full looks the same.",
                 where, number_write_time(timeout_ns, time));
        break;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        snprintf(out, bytes,
                 "the test connection to %s found no way there: the %s is unreachable.\n"
                 "  Is the address right?\n"
                 "  Is this machine's network up, and is there a route (ip route get ADDRESS)?\n"
                 "  An IPv6 address needs IPv6 on both machines.",
                 where, system == ENETUNREACH || system == ENETDOWN ? "network" : "machine");
        break;
    case EACCES:
    case EPERM:
        snprintf(out, bytes,
                 "the test connection to %s was forbidden by this machine.\n"
                 "  Does its own firewall, or a rule for this process, block it?",
                 where);
        break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        snprintf(out, bytes,
                 "the test connection to %s was not tried: %s.\n"
                 "  It is this machine, or this process, that has no more (ulimit -n).",
                 where, strerror(system));
        break;
    default:
        snprintf(out, bytes,
                 "the test connection to %s failed: %s.\n"
                 "  Is the server running, and are address and port right?",
                 where, strerror(system));
        break;
    }
    return out;
}
