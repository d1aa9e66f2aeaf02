/* The end of a broken program: one line on stderr, then abort, so that a core holds the state. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void berth__assert_failed(const char *text, const char *file, int line,
                                    const char *function)
{
    fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, function, text);
    abort();
}
