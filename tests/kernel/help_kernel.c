/* Sockets, rings and buffers for the tests of kernel facts; help_kernel.h says what each does. All
 * assert that they work, so that a fact's test says only what the fact is.
 */
#include "kernel/help_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

bool kernel_has_uring(void)
{
    struct io_uring ring;
    if (io_uring_queue_init(4, &ring, 0) < 0) {
        return false;
    }
    io_uring_queue_exit(&ring);
    return true;
}

void kernel_ring(struct io_uring *ring, unsigned entries, unsigned flags)
{
    struct io_uring_params params = {.flags = flags | IORING_SETUP_CQSIZE, .cq_entries = entries};
    assert_int_equal(io_uring_queue_init_params(entries, ring, &params), 0);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = (in_port_t)port,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int kernel_listen(int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in name = loopback(0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

int kernel_connect(int listener)
{
    struct sockaddr_in name;
    socklen_t bytes = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &bytes), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

int kernel_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

struct kernel_pair kernel_pair(void)
{
    int listener = kernel_listen(4);
    struct kernel_pair pair;
    pair.client = kernel_connect(listener);
    pair.server = kernel_accept(listener);
    close(listener);
    return pair;
}

void kernel_close_pair(struct kernel_pair pair)
{
    close(pair.client);
    close(pair.server);
}

void kernel_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}

bool kernel_readable(int fd, int ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, ms) == 1;
}

bool kernel_take(struct io_uring *ring, int ms, struct io_uring_cqe *out)
{
    struct __kernel_timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000LL};
    struct io_uring_cqe *cqe;
    int submitted = io_uring_submit(ring);
    assert_true(submitted >= 0);
    int result = io_uring_wait_cqe_timeout(ring, &cqe, &wait);
    if (result == -ETIME) {
        return false;
    }
    assert_int_equal(result, 0);
    *out = *cqe;
    io_uring_cqe_seen(ring, cqe);
    return true;
}

/* -------------------------------------------------------------------------------------- buffers */

void kernel_buffers_open(struct io_uring *ring, struct kernel_buffers *buffers, unsigned count,
                         unsigned bytes, unsigned given)
{
    void *shared = mmap(NULL, count * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                        MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    assert_true(shared != MAP_FAILED);
    *buffers = (struct kernel_buffers){.ring = shared, .count = count, .bytes = bytes};
    buffers->memory = calloc(count, bytes);
    assert_non_null(buffers->memory);
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)shared, .ring_entries = count};
    assert_int_equal(io_uring_register_buf_ring(ring, &reg, 0), 0);
    io_uring_buf_ring_init(buffers->ring);
    for (unsigned i = 0; i < given; i++) {
        kernel_buffer_give(buffers, (unsigned short)i);
    }
}

void kernel_buffer_give(struct kernel_buffers *buffers, unsigned short number)
{
    io_uring_buf_ring_add(buffers->ring, buffers->memory + (size_t)number * buffers->bytes,
                          buffers->bytes, number, io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

void kernel_buffer_back(struct kernel_buffers *buffers, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        kernel_buffer_give(buffers, (unsigned short)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
    }
}

void kernel_buffers_close(struct io_uring *ring, struct kernel_buffers *buffers)
{
    io_uring_queue_exit(ring);
    munmap(buffers->ring, buffers->count * sizeof(struct io_uring_buf));
    free(buffers->memory);
}

void kernel_receive(struct io_uring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    assert_non_null(sqe);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->user_data = user_data;
}
