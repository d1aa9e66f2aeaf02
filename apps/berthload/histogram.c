/* A log-linear histogram, after HdrHistogram: values below 2^7 have a bucket each; above, every
 * power of two is cut into 2^7 equal steps. Operations: add, merge, percentile, mean. One is 58
 * KiB, of which a run touches a few pages; it belongs to one worker until the run is over, so
 * nothing here is atomic. Adding is O(1), a count of leading zeros and an increment; the other
 * operations are O(buckets). */
#include "histogram.h"

uint32_t histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (uint32_t)value;
    }
    /* The leading one and the STEP_BITS below it survive the shift. */
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return shift * HISTOGRAM_STEPS + (uint32_t)(value >> shift);
}

uint64_t histogram_bucket_top(uint32_t bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS) {
        return bucket;
    }
    uint32_t shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS;
    return (step << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times)
{
    if (histogram->count == 0 || value < histogram->least) {
        histogram->least = value;
    }
    if (value > histogram->most) {
        histogram->most = value;
    }
    histogram->count += times;
    histogram->sum += value * times;
    histogram->buckets[histogram_bucket(value)] += times;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->least < into->least) {
        into->least = from->least;
    }
    if (from->most > into->most) {
        into->most = from->most;
    }
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    if (histogram->count == 0) {
        return 0;
    }
    /* How many values must be covered, rounded up; the median of one value is that value. The
     * small number takes off what 99.9 / 100 is above its real value. */
    double exact = (double)histogram->count * percent / 100.0 - 1e-9;
    uint64_t wanted = exact < 0 ? 0 : (uint64_t)exact;
    wanted += (double)wanted < exact ? 1 : 0;
    wanted = wanted == 0 ? 1 : wanted;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted) {
            uint64_t top = histogram_bucket_top(i);
            return top < histogram->most ? top : histogram->most;
        }
    }
    return histogram->most;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0.0 : (double)histogram->sum / (double)histogram->count;
}
