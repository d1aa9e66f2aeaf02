/* Addresses: numbers, never names.
 *
 * Looking a name up can block for seconds, so the library does not do it; a program resolves
 * (getaddrinfo) before it starts, and hands addresses over.
 */
#ifndef BERTH_ADDRESS_H
#define BERTH_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum berth_family {
    BERTH_FAMILY_NONE = 0,
    BERTH_IPV4 = 4,
    BERTH_IPV6 = 6,
    BERTH_ANY = 46, /* for listening only: every address of both families on one socket */
};

/* An IP address and a port. IPv4 uses the first 4 bytes, in network order. */
struct berth_address {
    uint8_t family; /* enum berth_family */
    uint16_t port;  /* host order; 0 = let the system choose (listening only) */
    uint32_t scope; /* IPv6 scope id, 0 if none */
    uint8_t bytes[16];
};

/* Bytes that the text of any address fits in, its end included. */
#define BERTH_ADDRESS_TEXT_BYTES 80

/* Reads "127.0.0.1:4444", "[::1]:4444", "*:4444" or ":4444" (both: BERTH_ANY).
 * Pure; any thread. BERTH_E_INVALID if the text is anything else; *out is then untouched. */
int berth_address_parse(const char *text, struct berth_address *out);

/* Writes the text of an address, in the form that berth_address_parse reads, cut at `bytes`.
 * Returns `out`. Pure; any thread. */
const char *berth_address_format(const struct berth_address *address, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
