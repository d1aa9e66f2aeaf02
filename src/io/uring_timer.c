/* Deadlines of waits: a timer that stays armed.
 *
 * A wait with a timeout of its own sets a timer of the system and takes it back, each time; where
 * one message is answered after the other that is most of what a turn costs beyond the kernel's
 * own. Deadlines mostly get later, so here a timer in the ring is armed for one, left alone when
 * the next wait's is later, and moved only when it is earlier. If it fires for a deadline that was
 * put off meanwhile, that turn is empty, and the next wait arms it for the new one.
 *
 * O(1), and no system call of its own.
 */
#include "io/uring.h"

#define SECOND_NS UINT64_C(1000000000)

void uring_timer(struct uring *u, uint64_t deadline_ns)
{
    if (BERTH_LIKELY(deadline_ns >= u->timer_ns)) {
        return; /* IO_FOREVER, or it fires early enough */
    }
    /* Relative: absolute ones know nothing of time namespaces. */
    io_clock_read(&u->io); /* the turn took time; do not sleep it again */
    uint64_t left_ns = deadline_ns > u->io.now_ns ? deadline_ns - u->io.now_ns : 0;
    u->timer_left = (struct __kernel_timespec){.tv_sec = (long long)(left_ns / SECOND_NS),
                                               .tv_nsec = (long long)(left_ns % SECOND_NS)};
    uint64_t code = uring_code(URING_TIMER, 0, 0, 0);
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (u->timer_ns == IO_FOREVER) {
        io_uring_prep_timeout(sqe, &u->timer_left, 0, 0);
        sqe->user_data = code;
    } else {
        io_uring_prep_timeout_update(sqe, &u->timer_left, code, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = uring_code(URING_CANCEL, URING_TIMER, 0, 0); /* too late: it fires now */
    }
    u->timer_ns = deadline_ns;
}

void uring_timer_event(struct uring *u)
{
    u->timer_ns = IO_FOREVER;
}
