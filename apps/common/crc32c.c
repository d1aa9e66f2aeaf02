/* CRC-32C. The processor's own instruction where it has one (x86-64 with SSE 4.2, which is every
 * one of the last fifteen years), otherwise tables, eight bytes a step. Of a message of 64 bytes,
 * measured: 10 to 30 ns with the instruction, 50 to 60 ns with the tables; of 1,000 bytes 200 and
 * 970 ns. The tables are made once, when they are first needed, and shared by all threads. Nothing
 * else is kept, and nothing can fail. */
#include "common/crc32c.h"

#include <pthread.h>
#include <string.h>

#include "common/little.h"

/* x^32 + x^28 + x^27 + ... of RFC 3720, bits reversed. */
#define POLYNOMIAL UINT32_C(0x82f63b78)

#define STEP 8 /* bytes looked up at once */

/* ---- tables ---- */

static uint32_t tables[STEP][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        }
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int step = 1; step < STEP; step++) {
            uint32_t before = tables[step - 1][i];
            tables[step][i] = before >> 8 ^ tables[0][before & 255];
        }
    }
}

uint32_t crc32c_by_table(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;
    pthread_once(&tables_made, make_tables);
    for (; count >= STEP; count -= STEP, at += STEP) {
        uint32_t low = little_get32(at) ^ crc;
        uint32_t high = little_get32(at + 4);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
              tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; count > 0; count--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 255];
    }
    return ~crc;
}

/* ---- the instruction ---- */

/* Attribute and builtins are extensions that gcc and clang share; C has no word for them, and the
 * difference is a factor of 2 to 5 for each message of a run (above). */
#if defined(__x86_64__) && defined(__GNUC__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(const uint8_t *at, size_t count)
{
    uint64_t crc = UINT32_MAX;
    for (; count >= sizeof crc; count -= sizeof crc, at += sizeof crc) {
        uint64_t eight;
        memcpy(&eight, at, sizeof eight);
        crc = __builtin_ia32_crc32di(crc, eight);
    }
    uint32_t rest = (uint32_t)crc;
    for (; count > 0; count--) {
        rest = __builtin_ia32_crc32qi(rest, *at++);
    }
    return ~rest;
}

uint32_t crc32c(const void *bytes, size_t count)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(bytes, count)
                                            : crc32c_by_table(bytes, count);
}

#else

uint32_t crc32c(const void *bytes, size_t count)
{
    return crc32c_by_table(bytes, count);
}

#endif
