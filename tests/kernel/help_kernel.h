/* What the tests of kernel facts share: raw sockets on loopback and a ring, no code of Berth.
 *
 * A fact is something the kernel does that the engine rests on and that its manual does not promise
 * (research/reliability.md, section 2, K1 to K18). Each test fails when a kernel does otherwise:
 * the code that rests on the fact, named in the test's comment, must then be looked at again.
 */
#ifndef BERTH_TESTS_KERNEL_HELP_KERNEL_H
#define BERTH_TESTS_KERNEL_HELP_KERNEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <liburing.h>

/* CTest's code for a test that was skipped. */
#define KERNEL_SKIPPED 77

/* How long a test waits for what must happen, and for what must not. */
#define KERNEL_MUST_MS     2000
#define KERNEL_MUST_NOT_MS 60
#define KERNEL_LONG_MS     500 /* where "never" is the point */

struct kernel_pair {
    int client;
    int server;
};

bool kernel_has_uring(void);

/* A ring of `entries`, its completion queue as large; asserts that it opens. */
void kernel_ring(struct io_uring *ring, unsigned entries, unsigned flags);

int kernel_listen(int backlog);   /* on 127.0.0.1, a port of the system's choice */
int kernel_connect(int listener); /* blocking; asserts that it connects */
int kernel_accept(int listener);
struct kernel_pair kernel_pair(void);
void kernel_close_pair(struct kernel_pair pair);
void kernel_reset(int fd); /* closes with a reset */

/* Whether the descriptor becomes readable within so many ms. */
bool kernel_readable(int fd, int ms);

/* Submits what is queued and takes one completion. Returns false after `ms` without one. */
bool kernel_take(struct io_uring *ring, int ms, struct io_uring_cqe *out);

/* A ring of `count` (a power of two) receive buffers of `bytes` each; `given` of them in it. */
struct kernel_buffers {
    struct io_uring_buf_ring *ring;
    uint8_t *memory;
    unsigned count;
    unsigned bytes;
};
void kernel_buffers_open(struct io_uring *ring, struct kernel_buffers *buffers, unsigned count,
                         unsigned bytes, unsigned given);
void kernel_buffer_give(struct kernel_buffers *buffers, unsigned short number);
void kernel_buffers_close(struct io_uring *ring, struct kernel_buffers *buffers);
/* Gives back the buffer that a completion used, if it used one. */
void kernel_buffer_back(struct kernel_buffers *buffers, const struct io_uring_cqe *cqe);

/* Starts a multishot receive into those buffers. */
void kernel_receive(struct io_uring *ring, int fd, uint64_t user_data);

#endif
