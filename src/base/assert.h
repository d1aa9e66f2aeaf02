/* Assertions that stay on in release builds: a programmer's mistake stops the program where it was
 * made. Operating errors are never asserted; they are values (berth/error.h). */
#ifndef BERTH_BASE_ASSERT_H
#define BERTH_BASE_ASSERT_H

#include <stdbool.h>

/* Prints "file:line: function: assertion failed: text" to stderr and aborts. */
_Noreturn void berth__assert_failed(const char *text, const char *file, int line,
                                    const char *function);

#ifdef BERTH_COVERAGE

/* ./dev coverage counts the branches of the program, of which an assert is none. Macros without
 * parameters leave what follows them in brackets at its own place, where it is counted. */
void berth__assert_holds(bool holds);
#define BERTH_LIKELY
#define BERTH_UNLIKELY
#define BERTH_ASSERT berth__assert_holds

#else

#define BERTH_LIKELY(x)   __builtin_expect(!!(x), 1)
#define BERTH_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define BERTH_ASSERT(x)                                                                            \
    (BERTH_LIKELY(x) ? (void)0 : berth__assert_failed(#x, __FILE__, __LINE__, __func__))

#endif

/* A function that is seldom called, kept out of those that call it, so that they stay short. */
#define BERTH_COLD __attribute__((cold, noinline))

/* A place that cannot be reached. */
#define BERTH_UNREACHABLE() berth__assert_failed("unreachable", __FILE__, __LINE__, __func__)

#endif
