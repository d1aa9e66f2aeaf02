/* What a backend implements, and what io.c gives it. Only the files of this folder include this.
 *
 * io.c has checked the laws on the caller's side before it calls a backend, and checks the
 * backend's completions on their way out. A backend therefore only does the work: it finds in
 * struct io_sock what is in flight, and hands each completion to the array that reap was given
 * through io_complete.
 */
#ifndef BERTH_IO_BACKEND_H
#define BERTH_IO_BACKEND_H

#include <sys/socket.h>

#include "base/row.h"
#include "io/io.h"

/* What is in flight on a socket: bits, one an operation. */
#define SOCK_OPEN      0x01u
#define SOCK_CONNECT   0x02u
#define SOCK_RECEIVE   0x04u
#define SOCK_SEND      0x08u
#define SOCK_ONCE      0x10u /* the receive in flight is for one lease */
#define SOCK_IN_FLIGHT (SOCK_CONNECT | SOCK_RECEIVE | SOCK_SEND)

/* A socket as io knows it; zeroed at open. */
struct io_sock {
    int fd; /* the descriptor; in the simulation, the number of a pipe's end */
    uint8_t flags;
    uint8_t backend_flags;
    uint16_t generation;    /* of this place in the table, for the kernel's user data */
    struct row_link link;   /* while open, the backend's own; `next` is the free list's */
    uint64_t token_receive; /* also the connect's: they never overlap */
    uint64_t token_send;
};

struct io_ops {
    const char *name;
    int (*listen)(void *world, const struct berth_address *address, int backlog,
                  struct io_listener *out);
    void (*listener_close)(void *world, struct io_listener *listener);
    void (*listener_halt)(void *world, struct io_listener *listener);
    int (*listener_resume)(void *world, struct io_listener *listener);
    /* Allocates its own struct, whose first member is a struct io, with calloc. The table of
     * sockets and the leases in `base` are made by io.c before this is called on it. */
    size_t struct_bytes;
    size_t sock_bytes; /* that the backend has for each socket, beside io.socks */
    size_t (*reserves)(const struct io_config *config); /* address space of its own; NULL: none */
    uint32_t receives_part; /* a reap gives one in so many of receive_count receives; 0: all */
    int (*open)(struct io *io);
    void (*close)(struct io *io);
    void (*accept)(struct io *io, uint32_t accept);
    void (*cancel_accepts)(struct io *io);
    /* Opens a place in the table too, with io_sock_open; returns it, or a negative errno. */
    int (*connect)(struct io *io, const struct berth_address *remote,
                   const struct berth_address *local);
    void (*receive)(struct io *io, uint32_t sock);
    void (*send)(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count);
    void (*cancel)(struct io *io, uint32_t sock, enum io_op op);
    void (*shutdown)(struct io *io, uint32_t sock, enum io_shutdown how);
    void (*sock_close)(struct io *io, uint32_t sock, bool reset);
    bool (*name_of)(struct io *io, uint32_t sock, bool peer, struct berth_address *out);
    void (*lease_return)(struct io *io, uint16_t lease);
    void (*flush)(struct io *io); /* NULL: each start has handed over what it started */
    void (*reap)(struct io *io, uint64_t deadline_ns);
    void (*wake)(struct io *io);
};

struct io_backend {
    struct io_ops ops;
};

/* The part of an io that every backend shares. */
struct io {
    const struct io_ops *ops;
    struct io_config config;
    struct io_listener listeners[IO_LISTENERS_MAX]; /* a copy of the caller's */
    uint64_t now_ns;
    uint64_t random[4]; /* xoshiro256++; seeded by the backend's open */
    struct io_stats stats;

    struct io_sock *socks; /* socks_max of them */
    uint32_t socks_free;   /* head of the free list, or SOCK_NONE */
    uint32_t socks_open;

    uint64_t accept_tokens[IO_ACCEPTS_MAX];
    uint8_t accepts_busy; /* a bit for each accept in flight */
    bool sends_late;      /* io_sends_may_be_late */

    uint8_t *lease_out; /* one byte a buffer: 1 while lent */
    uint32_t leases_out;

    struct io_completion *out; /* where the running reap puts completions */
    uint32_t out_count;
    uint32_t out_max;
};

#define SOCK_NONE UINT32_MAX

/* Takes a free place in the table for a descriptor; SOCK_NONE if there is none (the backend then
 * closes the descriptor and completes with -ENFILE). */
uint32_t io_sock_open(struct io *io, int fd);
void io_sock_free(struct io *io, uint32_t sock);

/* Whether the running reap's array has room. */
static inline bool io_room(const struct io *io)
{
    return io->out_count < io->out_max;
}

/* Until when to wait with a send that may be late. */
static inline uint64_t io_late_ns(const struct io *io, uint64_t deadline_ns)
{
    uint64_t late_ns = io->now_ns + IO_LATE_NS;
    return deadline_ns < late_ns ? deadline_ns : late_ns;
}

/* Hand a completion to the running reap; io_room must hold. They keep flags, leases and statistics
 * right and assert laws 1, 7 and 10. */
void io_complete_accept(struct io *io, uint32_t accept, int32_t result, uint8_t listener);
void io_complete_connect(struct io *io, uint32_t sock, int32_t result);
void io_complete_send(struct io *io, uint32_t sock, int32_t result);
/* A receive with bytes: `lease` is the buffer's number, they begin at its start. */
void io_complete_bytes(struct io *io, uint32_t sock, uint16_t lease, uint32_t bytes, bool more);
/* A receive that ends without bytes: 0 or a negative errno. */
void io_complete_receive_end(struct io *io, uint32_t sock, int32_t result);

/* One in so many of the receive buffers, rounded up. */
static inline uint32_t io_leases_part(const struct io_config *config, uint32_t part)
{
    return (config->receive_count + part - 1) / part;
}

static inline uint8_t *io_lease_data(const struct io *io, uint16_t lease)
{
    return io->config.receive_base + (size_t)lease * io->config.receive_bytes;
}

/* Sets io->now_ns from CLOCK_MONOTONIC, never back. */
void io_clock_read(struct io *io);
/* Seeds io->random from one number. */
void io_random_seed(struct io *io, uint64_t seed);

/* Shared by the backends of real sockets (socket.c). */
int socket_listen(void *world, const struct berth_address *address, int backlog,
                  struct io_listener *out);
void socket_listener_close(void *world, struct io_listener *listener);
void socket_listener_halt(void *world, struct io_listener *listener);
int socket_listener_resume(void *world, struct io_listener *listener);
/* A socket ready for connect, bound to `local` if that is not NULL; or a negative errno of
 * io_connect's list. Writes the remote address for connect(2). */
int socket_for_connect(const struct berth_address *remote, const struct berth_address *local,
                       struct sockaddr_storage *name, socklen_t *name_bytes);
/* What every accepted and connected socket gets: TCP_NODELAY. */
void socket_prepare(int fd);
/* io_config's send_timeout_ms and system_..._bytes for a socket; accepted ones inherit them. */
void socket_limit(int fd, const struct io_config *config);
void socket_shutdown(struct io *io, uint32_t sock, enum io_shutdown how);
void socket_close(int fd, bool reset);
bool socket_name_of(struct io *io, uint32_t sock, bool peer, struct berth_address *out);
/* The error of a finished connect (SO_ERROR), 0 or a negative errno. */
int socket_connect_result(int fd);

#endif
