/* Loads and stores of numbers of a given byte order at any alignment. Each is a move, with or
 * without a byte swap, once compiled. */
#ifndef BERTH_BASE_BYTES_H
#define BERTH_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load16(const void *at, bool big_endian)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return swap ? __builtin_bswap16(value) : value;
}

static inline uint32_t load32(const void *at, bool big_endian)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return swap ? __builtin_bswap32(value) : value;
}

static inline uint64_t load64(const void *at, bool big_endian)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return swap ? __builtin_bswap64(value) : value;
}

static inline void store16(void *at, uint16_t value, bool big_endian)
{
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    value = swap ? __builtin_bswap16(value) : value;
    memcpy(at, &value, sizeof value);
}

static inline void store32(void *at, uint32_t value, bool big_endian)
{
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    value = swap ? __builtin_bswap32(value) : value;
    memcpy(at, &value, sizeof value);
}

static inline void store64(void *at, uint64_t value, bool big_endian)
{
    bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    value = swap ? __builtin_bswap64(value) : value;
    memcpy(at, &value, sizeof value);
}

#endif
