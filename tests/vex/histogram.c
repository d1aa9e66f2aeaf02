/* Buckets: the place of the highest bit, and the four bits below it. All state is the caller's. */
#include "histogram.h"

#define SUB_BITS 4

static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB) {
        return (unsigned)value;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    unsigned sub = (unsigned)(value >> (top - SUB_BITS)) & (HISTOGRAM_SUB - 1);
    return (top - SUB_BITS + 1) * HISTOGRAM_SUB + sub;
}

/* The largest value that falls into it. */
static uint64_t end_of(unsigned bucket)
{
    if (bucket < HISTOGRAM_SUB) {
        return bucket;
    }
    unsigned shift = bucket / HISTOGRAM_SUB - 1;
    return ((uint64_t)(HISTOGRAM_SUB + bucket % HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->least) {
        histogram->least = value;
    }
    if (value > histogram->most) {
        histogram->most = value;
    }
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
}

uint64_t histogram_at(const struct histogram *histogram, unsigned thousandths)
{
    uint64_t wanted = (histogram->count * thousandths + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t end = end_of(i);
            return end < histogram->most ? end : histogram->most;
        }
    }
    return 0;
}
