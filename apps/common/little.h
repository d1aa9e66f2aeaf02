/* Numbers as bytes, least significant first, whatever this machine is. Compilers make one move of
 * each. */
#ifndef COMMON_LITTLE_H
#define COMMON_LITTLE_H

#include <stdint.h>

static inline void little_put32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
}

static inline void little_put64(uint8_t *out, uint64_t value)
{
    little_put32(out, (uint32_t)value);
    little_put32(out + 4, (uint32_t)(value >> 32));
}

static inline uint32_t little_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t little_get64(const uint8_t *bytes)
{
    return (uint64_t)little_get32(bytes) | (uint64_t)little_get32(bytes + 4) << 32;
}

#endif
