/* What vex has of randomness: numbers that are functions of a seed and of what they are for, so
 * that nothing depends on the order in which the network brings things. O(1), no state.
 */
#ifndef BERTH_TESTS_VEX_RANDOM_H
#define BERTH_TESTS_VEX_RANDOM_H

#include <stdint.h>

#include "script.h"

/* The finish of splitmix64: every bit of the result depends on every bit of both. */
static inline uint64_t random_mix(uint64_t key, uint64_t what)
{
    uint64_t z = key + what * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x632be59bd9b4e019);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number of the range. What the remainder favours is one part in 2^64 by the range's width. */
static inline uint64_t random_within(struct range range, uint64_t number)
{
    uint64_t width = range.high - range.low + 1; /* 0: all there are */
    return width == 0 ? number : range.low + number % width;
}

#endif
