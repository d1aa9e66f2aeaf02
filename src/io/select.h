/* Which backend serves: the one asked for, or the best that this kernel really runs. */
#ifndef BERTH_IO_SELECT_H
#define BERTH_IO_SELECT_H

#include "io/io.h"

enum io_choice { IO_CHOOSE_AUTO, IO_CHOOSE_URING, IO_CHOOSE_EPOLL };

/* Chooses a backend. AUTO: uring when each feature it uses passes a self-test on the running
 * kernel, a small exchange over loopback through io.h itself; otherwise epoll. Writes one line that
 * says which and why, without a newline, to `why`. NULL if the backend asked for by name does not
 * work here; `why` then says what failed. Takes a few milliseconds; any thread, before start. */
const struct io_backend *io_select(enum io_choice choice, char *why, size_t why_bytes);

#endif
