/* Addresses as text and back.
 *
 * berth_address_parse and berth_address_format, inverse to each other. Nothing is resolved: no
 * host names, no interface names, no service names, so nothing here can block. Both are pure; the
 * C library's inet_pton and inet_ntop know the numbers' own grammar. O(length of the text).
 */
#include <berth/address.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <berth/error.h>

#include "base/assert.h"

#define DECIMAL_DIGITS_MAX 10 /* as many as UINT32_MAX has */

/* Reads a decimal number, all of `bytes`, without sign or leading zeros. */
static bool read_decimal(const char *text, size_t bytes, uint32_t most, uint32_t *number)
{
    if (bytes == 0 || bytes > DECIMAL_DIGITS_MAX || (text[0] == '0' && bytes > 1)) {
        return false;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    *number = (uint32_t)sum;
    return sum <= most;
}

/* inet_pton over `bytes` of text, which it wants to end in a zero. */
static bool read_host(int family, const char *text, size_t bytes, uint8_t *out)
{
    char host[INET6_ADDRSTRLEN];
    if (bytes >= sizeof host) {
        return false;
    }
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    return inet_pton(family, host, out) == 1;
}

/* What stands between the brackets: an IPv6 address and perhaps %scope. Scope 0 means "none", so
 * it is written by leaving it out. */
static bool read_ipv6(const char *text, size_t bytes, struct berth_address *address)
{
    const char *percent = memchr(text, '%', bytes);
    size_t host_bytes = percent != NULL ? (size_t)(percent - text) : bytes;
    if (percent != NULL) {
        if (!read_decimal(percent + 1, bytes - host_bytes - 1, UINT32_MAX, &address->scope) ||
            address->scope == 0) {
            return false;
        }
    }
    address->family = BERTH_IPV6;
    return read_host(AF_INET6, text, host_bytes, address->bytes);
}

int berth_address_parse(const char *text, struct berth_address *out)
{
    BERTH_ASSERT(text != NULL);
    BERTH_ASSERT(out != NULL);
    struct berth_address address = {.family = BERTH_FAMILY_NONE};
    const char *colon = strrchr(text, ':');
    uint32_t port;
    if (colon == NULL || !read_decimal(colon + 1, strlen(colon + 1), UINT16_MAX, &port)) {
        return BERTH_E_INVALID;
    }
    address.port = (uint16_t)port;
    size_t host_bytes = (size_t)(colon - text);
    if (host_bytes == 0 || (host_bytes == 1 && text[0] == '*')) {
        address.family = BERTH_ANY;
    } else if (text[0] == '[' && host_bytes >= 2 && text[host_bytes - 1] == ']') {
        if (!read_ipv6(text + 1, host_bytes - 2, &address)) {
            return BERTH_E_INVALID;
        }
    } else {
        address.family = BERTH_IPV4;
        if (!read_host(AF_INET, text, host_bytes, address.bytes)) {
            return BERTH_E_INVALID;
        }
    }
    *out = address;
    return BERTH_OK;
}

const char *berth_address_format(const struct berth_address *address, char *out, size_t bytes)
{
    BERTH_ASSERT(address != NULL);
    char host[INET6_ADDRSTRLEN];
    switch ((enum berth_family)address->family) {
    case BERTH_IPV4:
        inet_ntop(AF_INET, address->bytes, host, sizeof host);
        snprintf(out, bytes, "%s:%u", host, address->port);
        return out;
    case BERTH_IPV6:
        inet_ntop(AF_INET6, address->bytes, host, sizeof host);
        if (address->scope != 0) {
            snprintf(out, bytes, "[%s%%%u]:%u", host, address->scope, address->port);
        } else {
            snprintf(out, bytes, "[%s]:%u", host, address->port);
        }
        return out;
    case BERTH_ANY:
        snprintf(out, bytes, "*:%u", address->port);
        return out;
    case BERTH_FAMILY_NONE:
        break;
    }
    snprintf(out, bytes, "no address");
    return out;
}
