/* How often each latency occurred. */
#ifndef BERTHLOAD_HISTOGRAM_H
#define BERTHLOAD_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is cut into 2^7 equal steps, so a bucket is at most 1/128 = 0.8 % of its
 * values wide: below the 1 % that the report promises. */
#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_STEPS     (1u << HISTOGRAM_STEP_BITS)

/* Any 64-bit value has its bucket; the largest is 584 years of nanoseconds. */
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_STEP_BITS + 1u) * HISTOGRAM_STEPS)

/* Zero it and it is empty. */
struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t most;
    uint64_t least; /* meaningless while count is 0 */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Which bucket a value is in, and the largest value that is in a bucket. */
uint32_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_top(uint32_t bucket);

/* Counts a value `times` times. */
void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times);

/* Adds all that `from` counted. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that `percent` per cent of all counted ones do not exceed: at most 0.8 % too large,
 * never too small. 0 when nothing was counted. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

double histogram_mean(const struct histogram *histogram);

#endif
