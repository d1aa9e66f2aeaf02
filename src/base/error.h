/* Filling a struct berth_error in one line. */
#ifndef BERTH_BASE_ERROR_H
#define BERTH_BASE_ERROR_H

#include <berth/error.h>

/* Fills *error (which may be NULL) and returns `code`, so that a caller can write
 * `return error_set(error, BERTH_E_INVALID, 0, "workers", "...")`. `setting` is static text or
 * NULL; `system` is an errno or 0, and its text is appended. */
int error_set(struct berth_error *error, int code, int system, const char *setting,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
