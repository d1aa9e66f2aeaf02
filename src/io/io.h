/* The completion contract: the one door between Berth and the outside.
 *
 * Everything above this header works in turns. In a turn it reaps completions, acts on them by
 * starting operations, and reaps again. No other part of a worker makes a system call, reads a
 * clock or asks for a random number, so whatever stands behind this header decides in what world
 * the whole library lives: io_uring (uring.c), epoll (epoll.c), or a world simulated from one seed
 * (sim.c); fault.c makes any of them misbehave within these laws. io.c stands in front of all of
 * them: it keeps the table of sockets and asserts the laws.
 *
 * One struct io belongs to one worker and is used on that worker's thread only, from io_open on;
 * io_wake alone may be called on any thread and in a signal handler.
 *
 * THE TWELVE LAWS
 *
 *  1  Every started operation gets exactly one completion without IO_MORE, and nothing after it.
 *  2  Completions come only out of io_reap, as plain data in an array. Nothing ever calls back,
 *     and nothing completes inside a start.
 *  3  Cancel is a wish: the target still completes, with -ECANCELED or with its natural result.
 *  4  At most one receive and one send are in flight per socket. (Two sends interleave bytes.)
 *  5  A socket is closed only when nothing is in flight on it: shut down, join, close. (A close
 *     under an armed multishot receive sends no FIN, and data keeps coming.)
 *  6  Any receive or send may be short. A receive of 0 is the end of the stream.
 *  7  A lease on received bytes belongs to the caller from its completion until it is returned,
 *     once.
 *  8  Bytes of a socket arrive in order, across leases and re-arms.
 *  9  IO_MORE absent with a positive result is legal (a full completion queue ends a multishot):
 *     take the bytes, then start again.
 * 10  Errors come only from the operation's list below; anything else arrives as -EIO.
 * 11  Time comes from io_now: it never goes back and is constant within a turn. So does
 *     randomness, from io_random.
 * 12  A token is operation, generation and slot. The caller looks the slot up by generation and
 *     drops, and counts, what is stale; it never follows it.
 *
 * THE OPERATIONS AND THEIR RESULTS
 *
 *  accept   >= 0: the new socket; `listener` says at which listening socket it came.
 *           -EMFILE -ENFILE -ENOBUFS -ENOMEM   nothing was taken: pause, then start again
 *           -ECONNABORTED -EPROTO -EPERM       that one client is gone: start again
 *           -ECANCELED                         cancelled
 *           -EIO                               anything else; treat like -EMFILE
 *  connect  0: connected. Else the attempt has failed: close the socket; another may be tried.
 *           -ECONNREFUSED -ETIMEDOUT -EHOSTUNREACH -ENETUNREACH -ECONNRESET -EADDRNOTAVAIL
 *           -EADDRINUSE -EACCES -EPERM -ENOBUFS -ENOMEM -ECANCELED -EIO
 *  receive  > 0 with IO_LEASE: that many bytes at `data`;  0: end of stream
 *           -ENOBUFS            no receive buffer was free: wait for one, then start again
 *           -ECANCELED          cancelled; nothing is lost
 *           -ECONNRESET -EPIPE  the peer has reset the connection: it is over
 *           -ETIMEDOUT -EHOSTUNREACH -ENETUNREACH
 *                               the peer acknowledges nothing any more: it is over
 *           -ENOMEM -EIO        the system cannot go on with it: end it
 *           A receive goes on (IO_MORE) until it ends by one of these, by law 9, or by a cancel.
 *  send     > 0: that many bytes were taken by the system
 *           -ECANCELED          cancelled; none were taken, and they may be sent again
 *           -EPIPE -ECONNRESET  the peer is gone: it is over
 *           -ETIMEDOUT -EHOSTUNREACH -ENETUNREACH
 *                               the peer acknowledges nothing any more: it is over
 *           -ENOBUFS -ENOMEM -EIO
 *                               the system cannot go on with it: end it
 */
#ifndef BERTH_IO_IO_H
#define BERTH_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/address.h>

/* ------------------------------------------------------------------------------- tokens, law 12 */

enum io_op {
    IO_ACCEPT = 1,
    IO_CONNECT = 2,
    IO_RECEIVE = 3,
    IO_SEND = 4,
};

#define IO_GENERATION_BITS 24
#define IO_GENERATION_MASK ((1u << IO_GENERATION_BITS) - 1)

static inline uint64_t io_token(enum io_op op, uint32_t generation, uint32_t slot)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & IO_GENERATION_MASK) << 32 | slot;
}

static inline enum io_op io_token_op(uint64_t token)
{
    return (enum io_op)(token >> 56);
}

static inline uint32_t io_token_generation(uint64_t token)
{
    return (uint32_t)(token >> 32) & IO_GENERATION_MASK;
}

static inline uint32_t io_token_slot(uint64_t token)
{
    return (uint32_t)token;
}

/* -------------------------------------------------------------------------------- plain data */

#define IO_MORE  0x01u /* the operation goes on; more completions of it will come */
#define IO_LEASE 0x02u /* `data` and `lease` are set; return the lease */

struct io_completion {
    uint64_t token;
    uint8_t *data;    /* receive: the bytes, lent until io_lease_return(lease) */
    int32_t result;   /* a count, a socket, or a negative errno of the list above */
    uint16_t lease;   /* receive: the lease's number */
    uint8_t listener; /* accept: index of the listening socket */
    uint8_t flags;    /* IO_MORE | IO_LEASE */
};

/* A piece of memory to send. */
struct io_span {
    const uint8_t *data;
    uint32_t size;
};

/* The most spans that one send takes; more are the next send's. 16 slabs of 16 KiB are a quarter
 * of a MiB, which is what a socket takes at once. */
#define IO_SPANS_MAX 16

/* The most listening sockets of one server: `listener` is a byte, and each costs every worker an
 * armed wait. */
#define IO_LISTENERS_MAX 64

/* How late a send may be that nobody waits for. */
#define IO_LATE_NS UINT64_C(100000000)

/* With more sends than this in a turn nobody should ask for that: the turn that their ends take is
 * the time in which the next messages gather, and larger batches are worth more than turns. */
#define IO_LATE_SENDS 4

/* The most accepts in flight per io. */
#define IO_ACCEPTS_MAX 8

/* An io_reap with this deadline waits until something happens. */
#define IO_FOREVER UINT64_MAX

enum io_shutdown { IO_SHUTDOWN_SEND, IO_SHUTDOWN_BOTH };

struct io;
struct io_backend;

/* A listening socket. It belongs to the server, not to one worker: each worker's io is told of all
 * of them at io_open, and all accept from the same queue. */
struct io_listener {
    int id;                       /* a descriptor; in the simulation, a number of its own */
    struct berth_address address; /* as bound: the real port */
    int backlog;                  /* as the system clipped it */
};

struct io_config {
    int wake; /* from io_wake_open, in a table of descriptors of this thread's own; takes that one.
                 0: io opens one */
    void *world;                         /* sim: a struct sim_world; fault: a struct fault_setup */
    uint32_t socks_max;                  /* sockets open at once, without listeners */
    const struct io_listener *listeners; /* borrowed until io_close_all */
    uint32_t listeners_count;            /* at most IO_LISTENERS_MAX */
    uint8_t *receive_base;               /* receive_count buffers of receive_bytes each, lent */
    uint32_t receive_bytes;              /* the most bytes of one receive */
    uint32_t receive_count;              /* a power of two, at most 32768 */
    uint32_t rest_ms;                    /* uring: a receive that waits for so long in vain becomes
                                            a smaller one; 0: a minute */
    uint32_t features_off;               /* uring: bits of io/feature.h that it does without */
    uint32_t send_timeout_ms;   /* a connection whose peer's system acknowledges nothing of what was
                                   sent for so long fails; 0: the system's own time. Not for clients
                                   that connected before io_open, and not in the simulation */
    uint32_t system_send_bytes; /* SO_SNDBUF and SO_RCVBUF; 0: the system's own. As above */
    uint32_t system_receive_bytes;
};

/* What an io takes of memory. */
struct io_memory {
    size_t reserved;   /* address space, for socks_max and receive_count of its config */
    size_t sock_bytes; /* of that, what a socket touches */
    uint32_t receives; /* the most that one reap gives */
};

/* What a worker's io saw; never reset. */
struct io_stats {
    uint64_t enters;      /* calls that wait for events or submit operations */
    uint64_t completions; /* given out by io_reap */
    uint64_t receives;    /* receive completions with bytes */
    uint64_t no_buffer;   /* receives that ended with -ENOBUFS */
    uint64_t stale;       /* kernel events that belonged to no operation any more */
    uint64_t overflows;   /* completion queue overflows that the kernel reported */
};

/* ------------------------------------------------------------------------ backends and listeners
 */

/* The backends. io_backend_sim is linked always and chosen only by tests. */
extern const struct io_backend io_backend_uring;
extern const struct io_backend io_backend_epoll;
extern const struct io_backend io_backend_sim;

const char *io_backend_name(const struct io_backend *backend);

/* Opens a listening socket on `address`, with reuse of a port in TIME_WAIT, and starts to listen:
 * clients queue from here on. BERTH_ANY opens one IPv6 socket that serves both families, or an
 * IPv4 one where the system has no IPv6; any other IPv6 address is IPv6 only. `world` as in
 * io_config. Returns 0 or a negative errno. */
int io_listen(const struct io_backend *backend, void *world, const struct berth_address *address,
              int backlog, struct io_listener *out);

/* Closes a listening socket. Every io that was told of it must have been closed, or have no accept
 * in flight and start none. Clients that wait in its queue are reset. */
void io_listener_close(const struct io_backend *backend, void *world, struct io_listener *listener);

/* Stops listening and keeps the place: clients that come are refused, those that wait in the queue
 * are reset. As for close, no io may have an accept in flight, or start one. */
void io_listener_halt(const struct io_backend *backend, void *world, struct io_listener *listener);

/* Listens again where it did. 0 or a negative errno. */
int io_listener_resume(const struct io_backend *backend, void *world, struct io_listener *listener);

struct io_memory io_memory_of(const struct io_backend *backend, const struct io_config *config);

/* ------------------------------------------------------------------------------ a worker's io */

/* What io_wake writes to, to be opened before threads take tables of descriptors of their own, so
 * that all of them have it under one number. Above 0, or a negative errno. */
int io_wake_open(void);
void io_wake_close(int wake);

/* Opens an io on the calling thread, which becomes its only one. Returns 0 or a negative errno. */
int io_open(const struct io_backend *backend, const struct io_config *config, struct io **out);

/* Ends the io. Every socket must be closed and every lease returned (asserted). Accepts must have
 * been cancelled and joined. */
void io_close_all(struct io *io);

/* Accepts one connection, at whichever listening socket one comes first; who waits in the queue
 * when it starts is taken, whoever was woken for them. At most IO_ACCEPTS_MAX in flight, and no
 * more than there are free places in the table of sockets: a client that finds none may be closed
 * (-ENFILE). The new socket does not block, is closed on exec, and has TCP_NODELAY set. */
void io_accept(struct io *io, uint64_t token);

/* Opens a socket and starts to connect it; `local` may be NULL. Returns the socket, on which the
 * connect is then in flight, or a negative errno with nothing started (-EMFILE -ENFILE -ENOBUFS
 * -ENOMEM -EAFNOSUPPORT -EADDRINUSE -EADDRNOTAVAIL -EACCES -EPERM -EIO). */
int io_connect(struct io *io, const struct berth_address *remote, const struct berth_address *local,
               uint64_t token);

/* Receives until it ends or is cancelled, each piece into a lease. */
void io_receive(struct io *io, int sock, uint64_t token);

/* The same for one lease: its completion with bytes is the last. For when buffers are short, so
 * that each of those that wait for one gets one. */
void io_receive_once(struct io *io, int sock, uint64_t token);

/* Sends the spans in order, once. Borrows the spans' array during the call and their bytes until
 * the completion. count is 1 to IO_SPANS_MAX, and each span has at least one byte. */
void io_send(struct io *io, int sock, const struct io_span *spans, uint32_t count, uint64_t token);

/* While they may, the next reap need not return for sends that were started since the last one and
 * took all their bytes: they come with what it returns for, IO_LATE_NS later at most. So nobody is
 * woken twice for a message and its answer. A send that is short, fails or has to wait for the
 * socket is told as ever. */
void io_sends_may_be_late(struct io *io, bool may);

/* Wishes that the operation on this socket ended (law 3). Nothing happens if none is in flight. */
void io_cancel(struct io *io, int sock, enum io_op op);

/* Wishes that all accepts ended. */
void io_cancel_accepts(struct io *io);

/* Ends one or both directions, at once. Errors are not errors: the peer may be gone. */
void io_shutdown(struct io *io, int sock, enum io_shutdown how);

/* Closes a socket on which nothing is in flight (law 5). `reset` sends a reset instead of a FIN. */
void io_close(struct io *io, int sock, bool reset);

/* Whether an operation is in flight on the socket. */
bool io_in_flight(const struct io *io, int sock, enum io_op op);

/* The peer's address. false if the system does not know it any more: a client that reset before it
 * was accepted is normal. */
bool io_peer(struct io *io, int sock, struct berth_address *out);
bool io_local(struct io *io, int sock, struct berth_address *out);

/* Returns a lease (law 7). */
void io_lease_return(struct io *io, uint16_t lease);

/* How many receive buffers nobody holds. */
uint32_t io_leases_free(const struct io *io);

/* Hands what was started to the system now, not with the next reap: for sends of so many bytes that
 * they would be out of the cache by then. Nothing completes in it (law 2). */
void io_flush(struct io *io);

/* Hands everything started since the last turn to the system, and waits until something completes,
 * somebody wakes, or io_now reaches deadline_ns (0: does not wait). Fills at most max (>= 1)
 * completions and returns how many; 0 is normal at any time. Of two in a row that do not wait, one
 * at least gives something if anything that a receive in flight waits for was there before them.
 * Sets io_now. */
uint32_t io_reap(struct io *io, struct io_completion *out, uint32_t max, uint64_t deadline_ns);

/* Makes the current or the next io_reap return. Any thread; async-signal-safe. */
void io_wake(struct io *io);

/* Nanoseconds of a monotonic clock, as of the last io_reap (or io_open). */
uint64_t io_now(const struct io *io);

/* 64 random bits; for spreading, not for secrets. */
uint64_t io_random(struct io *io);

void io_stats(const struct io *io, struct io_stats *out);

#endif
