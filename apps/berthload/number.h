/* Numbers, as people type and read them. */
#ifndef BERTHLOAD_NUMBER_H
#define BERTHLOAD_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* Room for any number with its separators, and for any span of time in words. */
#define NUMBER_TEXT_BYTES 32

/* A whole number between least and most: digits only, no sign, no blank. */
bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out);

/* "N" or "MIN-MAX", each as above, MIN not above MAX. */
bool number_read_range(const char *text, uint64_t least, uint64_t most, uint64_t *low,
                       uint64_t *high);

/* A span of time: "2", "2s", "0.25", "250ms". More than 0, at most most_ns. */
bool number_read_time(const char *text, uint64_t most_ns, uint64_t *ns);

/* Milliseconds: "2", "0.25". From 0 to most_ns; what is below a nanosecond is refused. */
bool number_read_ms(const char *text, uint64_t most_ns, uint64_t *ns);

/* 1234567 as "1,234,567". Both return `out`, which has NUMBER_TEXT_BYTES. */
const char *number_write(uint64_t value, char *out);

/* A span of time with the unit that suits it and three figures or more: "87.2 us", "1.53 s". */
const char *number_write_time(uint64_t ns, char *out);

/* A span of time as a clock counts it: "1:02:03.4567890", hours and seven decimals. */
const char *number_write_clock(uint64_t ns, char *out);

/* Bytes with the unit that suits them: "75 bytes", "18.9 MB", in millions. */
const char *number_write_bytes(uint64_t bytes, char *out);

#endif
