/* The choice of a backend in the programs of bin/variants, which are the real berthd and berthload
 * but for this: the linker puts __wrap_io_select in the place of io_select, and the same for
 * io_select_for.
 *
 * BERTH_TEST_FEATURES_OFF="multishot_receive,defer_taskrun" makes them serve as on a kernel without
 * these, "all" as on one without any. A name that is none ends the program: a test that turned off
 * nothing would prove nothing. The library itself reads no environment. BERTH_TEST_FAULTS puts
 * faults around what was chosen: faults.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/select.h"
#include "variants/faults.h"

#define VARIABLE "BERTH_TEST_FEATURES_OFF"

void __real_io_select(enum io_choice choice, uint32_t features_off, struct io_selection *out);
void __wrap_io_select(enum io_choice choice, uint32_t features_off, struct io_selection *out);
void __real_io_select_for(enum io_choice choice, uint32_t workers, uint32_t receive_count,
                          struct io_selection *out);
void __wrap_io_select_for(enum io_choice choice, uint32_t workers, uint32_t receive_count,
                          struct io_selection *out);

/* The bits of the name of `bytes` characters. */
static uint32_t bits_of(const char *name, size_t bytes)
{
    if (bytes == strlen("all") && memcmp(name, "all", bytes) == 0) {
        return IO_FEATURES_ALL;
    }
    for (uint32_t i = 0; i < IO_FEATURES_COUNT; i++) {
        const char *known = io_feature_name(1u << i);
        if (bytes == strlen(known) && memcmp(name, known, bytes) == 0) {
            return 1u << i;
        }
    }
    fprintf(stderr, VARIABLE ": no feature is called %.*s\n", (int)bytes, name);
    exit(EXIT_FAILURE);
}

static uint32_t turned_off(void)
{
    uint32_t off = 0;
    const char *rest = getenv(VARIABLE);
    while (rest != NULL && *rest != '\0') {
        size_t bytes = strcspn(rest, ",");
        off |= bits_of(rest, bytes);
        rest += bytes + (rest[bytes] == ',' ? 1 : 0);
    }
    return off;
}

void __wrap_io_select(enum io_choice choice, uint32_t features_off, struct io_selection *out)
{
    __real_io_select(choice, features_off | turned_off(), out);
    out->backend = faults_around(out->backend);
}

void __wrap_io_select_for(enum io_choice choice, uint32_t workers, uint32_t receive_count,
                          struct io_selection *out)
{
    out->backend = faults_behind(out->backend);
    __real_io_select_for(choice, workers, receive_count, out);
    out->backend = faults_around(out->backend);
}
