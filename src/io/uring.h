/* What the files of the io_uring backend share: the ring, its queues, and the codes by which a
 * kernel event is matched with what started it. Only uring*.c and trial.c include this.
 */
#ifndef BERTH_IO_URING_H
#define BERTH_IO_URING_H

#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>

#include "io/backend.h"
#include "io/feature.h"

/* Operations that one turn hands over at once. A turn that starts more submits in between, which
 * costs one more system call per this many operations; each place costs 64 bytes of the kernel. */
#define URING_SQ_ENTRIES 512
/* Events that the kernel holds before it must allocate for more of them: 64 KiB of memory. */
#define URING_CQ_ENTRIES 4096
/* Sends of several spans, and connects, that wait for one submission. When they are used up, the
 * next one submits early. */
#define URING_RECORDS 64
#define URING_NAMES   64

/* The kernel has at most one receive buffer in so many. */
#define URING_RING_PART 2u

/* Sends of one turn that may do without an event; those beyond have one. */
#define URING_QUICK_MAX IO_LATE_SENDS

/* Sockets that are asked at once whether they were reset: 8 KiB each of two tables. */
#define URING_HEARD_MAX 1024

/* io_sock.backend_flags. A cancel has been wished for and is not known to have missed: */
#define URING_CANCELLING_RECEIVE 0x01u /* or the connect: they never overlap */
#define URING_CANCELLING_SEND    0x02u
#define URING_NUDGED             0x04u /* the same, of the receive, by uring_nudge */
#define URING_HEARD              0x08u /* it is in uring.heard */
#define URING_QUIET              0x10u /* nothing was received since uring_rest.c came by */
#define URING_REST               0x20u /* the receive is to be a poll when it starts again */
#define URING_RESTS              0x40u /* it is one */
#define URING_QUICK              0x80u /* the send stands in uring.quick */

/* What an event belongs to. */
enum uring_kind {
    URING_ACCEPT = 1,
    URING_CONNECT,
    URING_RECEIVE,
    URING_POLL, /* in place of a receive */
    URING_SEND,
    URING_CANCEL,   /* the target's kind is in the code too */
    URING_WAKE,     /* the read of the eventfd */
    URING_LISTENER, /* a poll of a listening socket */
    URING_TIMER,
};

/* The user data of an operation, so that an event that comes late is known as stale: kind 8 bits,
 * a cancel's target kind 8, generation 16, place 32. */
static inline uint64_t uring_code(enum uring_kind kind, enum uring_kind target, uint16_t generation,
                                  uint32_t place)
{
    return (uint64_t)kind << 56 | (uint64_t)target << 48 | (uint64_t)generation << 32 | place;
}

static inline enum uring_kind uring_code_kind(uint64_t code)
{
    return (enum uring_kind)(code >> 56);
}

static inline enum uring_kind uring_code_target(uint64_t code)
{
    return (enum uring_kind)(code >> 48 & 0xff);
}

static inline uint16_t uring_code_generation(uint64_t code)
{
    return (uint16_t)(code >> 32);
}

static inline uint32_t uring_code_place(uint64_t code)
{
    return (uint32_t)code;
}

/* A send of several spans, as sendmsg takes it. */
struct uring_record {
    struct msghdr message;
    struct iovec pieces[IO_SPANS_MAX];
};

struct uring_quick {
    struct io_span first;
    uint32_t sock; /* SOCK_NONE: it is dealt with */
    uint32_t bytes;
    uint32_t started; /* uring.started, with it */
};

struct uring_heard {
    uint32_t sock;
    uint16_t generation;
};

struct uring {
    struct io io;
    struct io_uring ring;
    uint8_t receive_once; /* SOCK_ONCE where no receive is a multishot, else 0 */
    int ring_fd_error;    /* why the ring's descriptor could not be registered, or 0 */

    /* The buffer ring: buffers given back, of which the last few are not yet published. */
    struct io_uring_buf_ring *buffers;
    size_t buffers_bytes;
    int buffers_mask;
    int buffers_added;
    uint32_t ring_count;    /* buffers that the kernel has */
    uint32_t ring_most;     /* as many as it is to have */
    uint32_t receive_bytes; /* of a receive, on average */
    uint16_t *spares;       /* a stack of the other buffers that nobody holds */
    uint32_t spares_count;

    /* Operations for which the submission queue had no place, in order (queue, below). */
    struct io_uring_sqe *spill;
    size_t spill_bytes;
    uint32_t spill_max;
    uint32_t spill_first;
    uint32_t spilled;

    uint32_t started; /* operations, modulo 2^32: those that the kernel has taken come first */
    struct uring_quick quick[URING_QUICK_MAX]; /* sends without an event of their own, in order */
    uint32_t quick_count;
    bool quick_left;   /* some are there from before the last reap */
    bool events_first; /* they left no room for events: next time these have their turn */

    /* Needed until the kernel has consumed the operation, not until it completes
     * (IORING_FEAT_SUBMIT_STABLE), so all come back at once when the queue is empty. */
    struct uring_record *records;
    struct sockaddr_storage *names;
    uint32_t records_used;
    uint32_t names_used;

    int wake_fd;
    bool wake_armed;        /* the read is in flight */
    atomic_bool wake_asked; /* the eventfd has been written and its read not yet seen */
    uint64_t wake_count;    /* where the read puts the eventfd's count */

    uint16_t accept_generation[IO_ACCEPTS_MAX];
    uint8_t accepts_cancelled; /* bits as in io.accepts_busy: a cancel was wished for */
    bool accepts_first;        /* the last turn's array was full before they had their turn */
    uint8_t listener_next;     /* whose turn it is */
    uint64_t listeners_armed;  /* bits: a poll is in flight */
    uint64_t listeners_ready;  /* bits: somebody may wait there */

    struct uring_heard heard[URING_HEARD_MAX]; /* sockets to look at, heard_due_ns at the latest */
    struct pollfd polls[URING_HEARD_MAX];
    uint32_t heard_count;
    uint64_t heard_due_ns;

    uint32_t rest_hand;   /* uring_rest.c: the socket that it looks at next */
    uint32_t rest_high;   /* sockets from here on were never received from */
    bool rest_met;        /* this time round it met a receive that is none at rest */
    uint64_t rest_due_ns; /* of its next step; IO_FOREVER: it stands */

    uint64_t timer_ns; /* uring_timer.c: when it fires; IO_FOREVER: it is not armed */
    struct __kernel_timespec timer_left; /* needed until the kernel has consumed the operation */
};

/* --- the queue (uring_queue.c) */

/* The step at which an open failed, and the features without which it may succeed. */
struct uring_fault {
    const char *step;
    uint32_t suspects;
};

/* Makes the ring, the buffer ring and the eventfd, or nothing; 0, or a negative errno and where it
 * came from. */
int uring_queue_open(struct uring *u, struct uring_fault *fault);
/* Ends what is in flight for the ring itself, then the ring. */
void uring_queue_close(struct uring *u);
/* The address space that an open takes, beside the queues themselves. */
size_t uring_reserves(const struct io_config *config);

/* A place for one operation. Never fails: what the kernel does not take yet waits in order. */
struct io_uring_sqe *uring_sqe(struct uring *u);

/* Hands over what has a place in the submission queue. */
void uring_flush(struct uring *u);

/* A record or a name for the operation started next. NULL if the kernel takes nothing now. */
struct uring_record *uring_record(struct uring *u);
struct sockaddr_storage *uring_name(struct uring *u);

/* A receive has brought so many bytes, in a buffer of the kernel's. */
static inline void uring_buffer_taken(struct uring *u, uint32_t bytes)
{
    u->ring_count--;
    u->receive_bytes = u->receive_bytes - u->receive_bytes / 16 + bytes / 16;
}

/* A buffer that nobody holds any more: to the kernel, from the next enter on, or to the spares. */
void uring_buffer_give(struct uring *u, uint16_t lease);

/* Wishes that the operation with this code ended. */
void uring_cancel_code(struct uring *u, uint64_t code);

/* Enters the kernel once: submits everything, and waits for an event until the deadline. */
void uring_enter(struct uring *u, uint64_t deadline_ns);

/* --- the backend (uring.c) */

/* Opens `count` rings and closes them again, to see whether so many can be had, and if not, why:
 * 0, or the first one's negative errno and where it came from. */
int uring_open_many(const struct io_config *config, uint32_t count, struct uring_fault *fault);
/* Why the ring's descriptor could not be registered: a negative errno, or 0. */
int uring_ring_fd_error(const struct io *io);

/* Ends a multishot receive, to start it again; false if that, or a cancel, is on its way. */
bool uring_nudge(struct uring *u, uint32_t sock);

/* Whether a code is of what is in flight on its socket now. */
static inline bool uring_matches(const struct io *io, uint64_t code, uint8_t flag)
{
    uint32_t sock = uring_code_place(code);
    return BERTH_LIKELY(sock < io->config.socks_max) &&
           BERTH_LIKELY(io->socks[sock].generation == uring_code_generation(code)) &&
           BERTH_LIKELY((io->socks[sock].flags & flag) != 0);
}

static inline struct uring *uring_of(struct io *io)
{
    return (struct uring *)io;
}

/* --- sends (uring_send.c) */

void uring_send(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count);
void uring_send_event(struct uring *u, const struct io_uring_cqe *cqe);
/* Before the wait: until when to wait, with sends that are done when the enter returns. */
static inline uint64_t uring_sends_wait(const struct uring *u, uint64_t deadline_ns)
{
    if (u->quick_count == 0) {
        return deadline_ns;
    }
    return u->io.sends_late && !u->quick_left ? io_late_ns(&u->io, deadline_ns) : 0;
}
/* After it, before the events are taken: completes those that are done. */
void uring_sends_take(struct uring *u);

/* --- sockets at rest (uring_rest.c) */

/* A multishot receive has been started. */
void uring_rest_begin(struct uring *u, uint32_t sock);
/* Before the wait: moves the hand, if it is time to. Returns until when to wait. */
uint64_t uring_rest(struct uring *u, uint64_t deadline_ns);

/* --- deadlines (uring_timer.c) */

/* Before the wait: sees to it that there is an event at that time, or earlier. */
void uring_timer(struct uring *u, uint64_t deadline_ns);
/* It has fired. */
void uring_timer_event(struct uring *u);

/* --- resets that the kernel does not tell (uring_look.c) */

/* A receive that goes on has brought bytes. */
void uring_heard(struct uring *u, uint32_t sock);
/* Before the wait: looks, if it is time to. Returns until when to wait. */
uint64_t uring_look(struct uring *u, uint64_t deadline_ns);

/* --- accepts (uring_accept.c) */

void uring_accept(struct io *io, uint32_t accept);
void uring_cancel_accepts(struct io *io);
/* An accept's event; false if it is stale. */
bool uring_accept_event(struct uring *u, uint64_t code, int32_t result);
/* Whether the accept with this code is in flight with a cancel wished for. */
bool uring_accept_cancelling(const struct uring *u, uint64_t code);
/* A listener's poll has fired or ended. */
void uring_listener_event(struct uring *u, uint32_t listener, int32_t result);
/* Before the wait: arms what accepts in flight need. Returns false if there is something to do
 * already, so that the turn must not wait. */
bool uring_accepts_arm(struct uring *u);
/* After it: completes accepts from listeners that are ready, as far as there is room. */
void uring_accepts_take(struct uring *u);

#endif
