/* Errors, as values.
 *
 * Every function of Berth that can fail returns an int: 0 is success, a negative number one of the
 * list below. A programmer's mistake (a null pointer, a call on the wrong thread) is not in the
 * list: it stops the program with an assertion, in release builds too.
 */
#ifndef BERTH_ERROR_H
#define BERTH_ERROR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, value, what it says to a person */
#define BERTH_ERRORS(X)                                                                            \
    X(BERTH_OK, 0, "success")                                                                      \
    X(BERTH_E_INVALID, -1, "a setting or an argument makes no sense")                              \
    X(BERTH_E_MEMORY, -2, "memory could not be reserved")                                          \
    X(BERTH_E_SYSTEM, -3, "a system call failed")                                                  \
    X(BERTH_E_UNSUPPORTED, -4, "this system does not offer what was asked for")                    \
    X(BERTH_E_STATE, -5, "the call is not allowed now")                                            \
    X(BERTH_E_CLOSED, -6, "the connection is closing and takes no more")                           \
    X(BERTH_E_WOULD_EXCEED, -7, "it would exceed the limit of what may wait to be sent")           \
    X(BERTH_E_TOO_LARGE, -8, "the message is larger than the framing allows")                      \
    X(BERTH_E_FRAME, -9, "the bytes are not a frame of this framing")                              \
    X(BERTH_E_FULL, -10, "no connection slot is free")                                             \
    X(BERTH_E_STALE, -11, "the handle names a connection that has ended")

enum berth_err {
#define BERTH_ERROR_ENUM(name, value, text) name = (value),
    BERTH_ERRORS(BERTH_ERROR_ENUM)
#undef BERTH_ERROR_ENUM
};

/* What went wrong, in full, for the calls that prepare a server. The caller owns it; it may be
 * NULL wherever it is a parameter. */
struct berth_error {
    int code;            /* an enum berth_err */
    int system;          /* errno of the failed system call, or 0 */
    const char *setting; /* the name of the field at fault, static text, or NULL */
    char text[200];      /* one sentence for a person, never empty after a failure */
};

/* The name of an error ("BERTH_E_CLOSED") and its one-line text; for a number that is none, a
 * text that says so. Static memory. Any thread. */
const char *berth_err_name(int err);
const char *berth_err_text(int err);

#ifdef __cplusplus
}
#endif
#endif
