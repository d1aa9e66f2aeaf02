/* The fault-injecting backend: a decorator around any other, for tests only.
 *
 * io_backend_fault opens an io of another backend behind itself and uses it through io.h, so the
 * laws are asserted on both sides. In between it does what a kernel, a network and a peer may do
 * within those laws, as its plan says (fault_plan.h): pieces of any size, receives that end with
 * bytes, cancels that come too late, turns in vain, and every listed error on every operation. The
 * caller above cannot tell it from a backend that had a bad day.
 *
 * To use it, give io_backend_fault where a backend is asked for, and where a world is asked for
 * (io_config.world, the listeners' functions) a struct fault_setup. One setup may serve any number
 * of ios, on their own threads.
 */
#ifndef BERTH_IO_FAULT_H
#define BERTH_IO_FAULT_H

#include "io/fault_plan.h"
#include "io/io.h"

/* Fill in the first four; the rest begins as zeros. It must outlive its ios. The plan may be
 * changed while no io of the setup is being called. */
struct fault_setup {
    const struct io_backend *inner;
    void *world; /* of the inner backend */
    uint64_t seed;
    struct fault_plan plan;

    struct fault_counts counts; /* what was done so far */
    _Atomic uint32_t ios;       /* opened so far */
};

extern const struct io_backend io_backend_fault;

/* The io behind this one, and the number there of one of its sockets; -1 if there is none. */
struct io *fault_inner(struct io *io);
int fault_inner_sock(const struct io *io, int sock);

#endif
