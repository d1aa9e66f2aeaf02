/* The end of a broken program: one line on stderr, then abort, so that a core holds the state. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef BERTH_COVERAGE
/* Of the compiler's library: what was counted so far, which abort would lose. */
int __llvm_profile_write_file(void);

void berth__assert_holds(bool holds)
{
    if (!holds) {
        berth__assert_failed("(./dev coverage does not say)", "?", 0, "?");
    }
}
#endif

_Noreturn void berth__assert_failed(const char *text, const char *file, int line,
                                    const char *function)
{
    fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, function, text);
#ifdef BERTH_COVERAGE
    (void)__llvm_profile_write_file();
#endif
    abort();
}
