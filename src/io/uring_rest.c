/* Sockets at rest: a receive that waits in vain costs less as a poll.
 *
 * A multishot receive that is armed holds 536 bytes more of the kernel's than a poll does. So a
 * hand goes round over the table of sockets, once in rest_ms, as a clock's: where it comes by for
 * the second time and nothing was received meanwhile, the receive is cancelled and a poll started
 * in its place. When that fires, the receive is started again, and finds what there is. The caller
 * of io.h sees none of this.
 *
 * The hand moves over STEP sockets at a time, so that a million of them do not come to rest at
 * once, and stands still when it has gone round without meeting a receive: an idle worker sleeps.
 * O(STEP) a step; a rest costs three operations, and the first bytes after it one more turn.
 */
#include "io/uring.h"

#define STEP      256u
#define NS_PER_MS UINT64_C(1000000)

/* For so long a socket is received from in vain before it rests, or up to twice as long. */
#define REST_MS 60000u

static uint64_t step_ns(const struct uring *u)
{
    uint64_t round_ns = NS_PER_MS * (u->io.config.rest_ms > 0 ? u->io.config.rest_ms : REST_MS);
    return u->rest_high <= STEP ? round_ns : round_ns * STEP / u->rest_high;
}

void uring_rest_begin(struct uring *u, uint32_t sock)
{
    u->rest_high = sock >= u->rest_high ? sock + 1 : u->rest_high;
    u->rest_met = true;
    if (u->rest_due_ns == IO_FOREVER) {
        u->rest_due_ns = u->io.now_ns + step_ns(u);
    }
}

static void look_at(struct uring *u, uint32_t sock)
{
    struct io_sock *s = &u->io.socks[sock];
    bool receives = (s->flags & (SOCK_RECEIVE | SOCK_ONCE)) == SOCK_RECEIVE;
    if (!receives || (s->backend_flags & URING_RESTS) != 0) {
        return;
    }
    u->rest_met = true;
    if ((s->backend_flags & URING_QUIET) == 0) {
        s->backend_flags |= URING_QUIET;
    } else if (uring_nudge(u, sock)) {
        s->backend_flags |= URING_REST;
    }
}

static void step(struct uring *u)
{
    for (uint32_t i = 0; i < STEP && u->rest_hand < u->rest_high; i++) {
        look_at(u, u->rest_hand++);
    }
    u->rest_due_ns = u->io.now_ns + step_ns(u);
    if (u->rest_hand == u->rest_high) {
        u->rest_hand = 0;
        u->rest_due_ns = u->rest_met ? u->rest_due_ns : IO_FOREVER;
        u->rest_met = false;
    }
}

uint64_t uring_rest(struct uring *u, uint64_t deadline_ns)
{
    if (u->io.now_ns >= u->rest_due_ns) {
        step(u);
    }
    return deadline_ns < u->rest_due_ns ? deadline_ns : u->rest_due_ns;
}
