/* Lines on the standard error about what goes wrong during a run, from any worker. A server that
 * is wrong once is wrong a million times, so only the first lines are printed and the others are
 * counted. A progress line on a terminal is wiped off first. stdio's lock keeps lines whole. */
#include "complain.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#define LINES_MAX  8
#define LINE_BYTES 500

/* Back to the first column, and erase to the end of the line (ECMA-48). */
#define WIPE "\r\033[K"

static _Atomic uint64_t lines;
static atomic_bool status_shown;

void complain(const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    if (atomic_fetch_add(&lines, 1) >= LINES_MAX) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%sberthload: %s\n", atomic_load(&status_shown) ? WIPE : "", text);
}

uint64_t complain_unsaid(void)
{
    uint64_t all = atomic_load(&lines);
    return all > LINES_MAX ? all - LINES_MAX : 0;
}

void complain_status(const char *text)
{
    atomic_store(&status_shown, *text != '\0');
    fprintf(stderr, "%s%s", WIPE, text);
    fflush(stderr);
}
