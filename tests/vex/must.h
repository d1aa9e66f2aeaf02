/* What must be so in vex itself, or it says where it is not, and stops: a test tool that goes on
 * after that proves nothing. (It shares no code with src/, also not its assert.) */
#ifndef BERTH_TESTS_VEX_MUST_H
#define BERTH_TESTS_VEX_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))

static inline _Noreturn void must_failed(const char *text, const char *file, int line)
{
    fprintf(stderr, "vex: %s:%d: not so: %s\n", file, line, text);
    abort();
}

#endif
