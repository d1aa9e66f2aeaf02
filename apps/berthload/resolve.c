/* Names to addresses with the system's resolver, once, before anything starts: the library takes
 * numbers only. The order is the resolver's (RFC 6724, /etc/gai.conf). Blocks as long as the
 * resolver does; owns nothing afterwards. */
#include "resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* false for a family that is neither. memcpy: the memory's type is the resolver's secret. */
static bool convert(const struct addrinfo *from, struct berth_address *out)
{
    memset(out, 0, sizeof *out);
    if (from->ai_family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, from->ai_addr, sizeof ipv4);
        out->family = BERTH_IPV4;
        out->port = ntohs(ipv4.sin_port);
        memcpy(out->bytes, &ipv4.sin_addr, sizeof ipv4.sin_addr);
        return true;
    }
    if (from->ai_family == AF_INET6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, from->ai_addr, sizeof ipv6);
        out->family = BERTH_IPV6;
        out->port = ntohs(ipv6.sin6_port);
        out->scope = ipv6.sin6_scope_id;
        memcpy(out->bytes, &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
        return true;
    }
    return false;
}

bool resolve(const char *host, const char *port, struct addresses *out, const char **why)
{
    struct addrinfo hints;
    struct addrinfo *found = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0 && strcmp(host, "localhost") == 0) {
        code = getaddrinfo(NULL, port, &hints, &found); /* RFC 6761, 6.3: known without a file */
    }
    if (code != 0) {
        *why = gai_strerror(code);
        return false;
    }
    out->count = 0;
    for (const struct addrinfo *at = found; at != NULL && out->count < ADDRESSES_MAX;
         at = at->ai_next) {
        if (convert(at, &out->list[out->count])) {
            out->count++;
        }
    }
    freeaddrinfo(found);
    *why = "it has neither an IPv4 nor an IPv6 address";
    return out->count > 0;
}
