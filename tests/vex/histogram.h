/* Times, counted in buckets: each is at most a sixteenth wider than its beginning, so a percentile
 * is right to 6 %. The smallest and the largest are exact. O(1) an entry.
 */
#ifndef BERTH_TESTS_VEX_HISTOGRAM_H
#define BERTH_TESTS_VEX_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB     16u /* buckets for each doubling */
#define HISTOGRAM_BUCKETS (64u * HISTOGRAM_SUB)

struct histogram {
    uint64_t count;
    uint64_t least;
    uint64_t most;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* What so many in a thousand do not exceed; 0 if there are none. */
uint64_t histogram_at(const struct histogram *histogram, unsigned thousandths);

#endif
