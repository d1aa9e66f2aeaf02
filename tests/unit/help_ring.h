/* A socket on an io_uring of its own, with a plain one at its other end (help_ring.c). */
#ifndef BERTH_TESTS_UNIT_HELP_RING_H
#define BERTH_TESTS_UNIT_HELP_RING_H

#include "io/uring.h"

#define RING_LATE_NS UINT64_C(1000000000) /* ten times as long as it may take */

#define RING_ACCEPT  io_token(IO_ACCEPT, 1, 1)
#define RING_RECEIVE io_token(IO_RECEIVE, 1, 2)

struct ring_rig {
    struct io_listener listener;
    struct io *io;
    uint8_t *buffers;
    int client; /* a plain socket */
    int sock;   /* its other end, of io */
};

/* CTest's code for a test that was skipped. */
#define RING_SKIPPED 77

/* Whether there is io_uring; says why not. */
bool ring_rig_opens(void);
/* With a connection that is received from, and has said hello. rest_ms as in
 * io_config. */
void ring_rig_begin(struct ring_rig *rig, uint32_t rest_ms);
void ring_rig_end(struct ring_rig *rig);
int ring_rig_connect(const struct ring_rig *rig);
int ring_rig_accept(struct ring_rig *rig);
/* The next completion, which must come within patience_ns; false if none came. */
bool ring_rig_take(struct ring_rig *rig, struct io_completion *out, uint64_t patience_ns);
/* The client says it, and it comes whole. */
void ring_rig_expect(struct ring_rig *rig, const char *bytes);

#endif
