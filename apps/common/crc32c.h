/* CRC-32C (Castagnoli), as iSCSI and SCTP have it. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `count` bytes, which it borrows. Any thread. */
uint32_t crc32c(const void *bytes, size_t count);

/* The same without the processor's instruction for it. */
uint32_t crc32c_by_table(const void *bytes, size_t count);

#endif
