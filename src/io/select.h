/* Which backend serves: the one asked for, or the best that this kernel really runs. */
#ifndef BERTH_IO_SELECT_H
#define BERTH_IO_SELECT_H

#include "io/feature.h"
#include "io/io.h"

enum io_choice { IO_CHOOSE_AUTO, IO_CHOOSE_URING, IO_CHOOSE_EPOLL };

/* One line of log holds it. */
#define IO_WHY_BYTES 200

struct io_selection {
    const struct io_backend *backend; /* NULL: the one asked for by name does not work here */
    uint32_t features_off;            /* for io_config */
    char why[IO_WHY_BYTES];           /* which, and why: one line, without a newline */
};

/* Chooses a backend. AUTO: uring when what it needs passes a self-test on the running kernel, a
 * small exchange over loopback through io.h itself; otherwise epoll. The features in `features_off`
 * (io/feature.h) are not tried and not used, as on a kernel that lacks them; 0 on all but tests.
 * Takes a few milliseconds; any thread, before start. */
void io_select(enum io_choice choice, uint32_t features_off, struct io_selection *out);

/* Looks at a choice of uring again for a server with so many workers, each with receive_count
 * buffers: their rings need memory that the system may count (RLIMIT_MEMLOCK), and descriptors. If
 * they cannot be had, the choice becomes what it is without io_uring. 0.2 ms a worker. */
void io_select_for(enum io_choice choice, uint32_t workers, uint32_t receive_count,
                   struct io_selection *out);

#endif
