/* The front of every backend: the table of sockets, the account of leases, and the laws of io.h.
 *
 * Each call checks the caller's side of the laws, notes what is now in flight, and passes on to
 * the backend; each completion passes through the io_complete functions here, which check the
 * backend's side. So no backend can break a law quietly, and none has to check any.
 *
 * A socket is a place in a table, taken last in first out, so that few places stay warm. The table,
 * the lease bytes and the struct itself are made at open and freed at close; nothing is allocated
 * between. Every call is O(1) but the reap, which is O(completions).
 */
#include "io/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/memory.h"

#define SECOND_NS UINT64_C(1000000000)

const char *io_backend_name(const struct io_backend *backend)
{
    return backend->ops.name;
}

int io_listen(const struct io_backend *backend, void *world, const struct berth_address *address,
              int backlog, struct io_listener *out)
{
    BERTH_ASSERT(backlog >= 1);
    return backend->ops.listen(world, address, backlog, out);
}

void io_listener_close(const struct io_backend *backend, void *world, struct io_listener *listener)
{
    backend->ops.listener_close(world, listener);
}

void io_listener_halt(const struct io_backend *backend, void *world, struct io_listener *listener)
{
    backend->ops.listener_halt(world, listener);
}

int io_listener_resume(const struct io_backend *backend, void *world, struct io_listener *listener)
{
    return backend->ops.listener_resume(world, listener);
}

/* ------------------------------------------------------------------------------ open and close */

static size_t socks_bytes(const struct io_config *config)
{
    return config->socks_max * sizeof(struct io_sock);
}

static void free_parts(struct io *io)
{
    memory_release(io->socks, socks_bytes(&io->config));
    free(io->lease_out);
    free(io);
}

static void check_config(const struct io_config *config)
{
    BERTH_ASSERT(config->socks_max >= 1 && config->socks_max <= INT32_MAX);
    BERTH_ASSERT(config->listeners_count <= IO_LISTENERS_MAX);
    BERTH_ASSERT(config->receive_bytes >= 1);
    BERTH_ASSERT(config->receive_count >= 1 && config->receive_count <= 32768);
    BERTH_ASSERT((config->receive_count & (config->receive_count - 1)) == 0);
}

struct io_memory io_memory_of(const struct io_backend *backend, const struct io_config *config)
{
    size_t more = backend->ops.reserves != NULL ? backend->ops.reserves(config) : 0;
    uint32_t part = backend->ops.receives_part > 0 ? backend->ops.receives_part : 1;
    return (struct io_memory){.reserved = memory_pages(socks_bytes(config)) + more,
                              .sock_bytes = sizeof(struct io_sock) + backend->ops.sock_bytes,
                              .receives = io_leases_part(config, part)};
}

int io_open(const struct io_backend *backend, const struct io_config *config, struct io **out)
{
    check_config(config);
    struct io *io = calloc(1, backend->ops.struct_bytes);
    if (io == NULL) {
        return -ENOMEM;
    }
    io->ops = &backend->ops;
    io->config = *config;
    for (uint32_t i = 0; i < config->listeners_count; i++) {
        io->listeners[i] = config->listeners[i];
    }
    io->config.listeners = io->listeners;
    io->socks = memory_reserve(socks_bytes(config));
    io->lease_out = calloc(config->receive_count, 1);
    if (io->socks == NULL || io->lease_out == NULL) {
        free_parts(io);
        return -ENOMEM;
    }
    memory_name(io->socks, socks_bytes(config), "berth: sockets");
    /* Places are handed out in rising order first; a fresh table stays untouched where it is not
     * used. free list: `next` of an untouched place is 0, which reads as "the one after me". */
    io->socks_free = 0;
    int result = io->ops->open(io);
    if (result < 0) {
        free_parts(io);
        return result;
    }
    *out = io;
    return 0;
}

void io_close_all(struct io *io)
{
    BERTH_ASSERT(io->socks_open == 0);
    BERTH_ASSERT(io->leases_out == 0);
    BERTH_ASSERT(io->accepts_busy == 0);
    io->ops->close(io);
    free_parts(io);
}

/* ------------------------------------------------------------------------- the table of sockets */

/* In a free place, `next` holds the next free place's number + 1, except that 0, as it was at
 * first, means the place just behind. */
uint32_t io_sock_open(struct io *io, int fd)
{
    uint32_t sock = io->socks_free;
    if (sock >= io->config.socks_max) {
        return SOCK_NONE;
    }
    struct io_sock *s = &io->socks[sock];
    BERTH_ASSERT(s->flags == 0);
    io->socks_free = s->link.next == 0 ? sock + 1 : s->link.next - 1;
    uint16_t generation = (uint16_t)(s->generation + 1);
    *s = (struct io_sock){.fd = fd, .flags = SOCK_OPEN, .generation = generation};
    io->socks_open++;
    return sock;
}

void io_sock_free(struct io *io, uint32_t sock)
{
    struct io_sock *s = &io->socks[sock];
    BERTH_ASSERT((s->flags & SOCK_IN_FLIGHT) == 0);
    s->flags = 0;
    s->fd = -1;
    s->link.next = io->socks_free + 1;
    io->socks_free = sock;
    io->socks_open--;
}

static struct io_sock *sock_at(const struct io *io, int sock)
{
    BERTH_ASSERT(sock >= 0 && (uint32_t)sock < io->config.socks_max);
    struct io_sock *s = &io->socks[sock];
    BERTH_ASSERT((s->flags & SOCK_OPEN) != 0);
    return s;
}

static uint8_t flag_of(enum io_op op)
{
    switch (op) {
    case IO_CONNECT:
        return SOCK_CONNECT;
    case IO_RECEIVE:
        return SOCK_RECEIVE;
    case IO_SEND:
        return SOCK_SEND;
    case IO_ACCEPT:
        BERTH_UNREACHABLE();
    }
    BERTH_UNREACHABLE();
}

/* Law 10: what is not in the operation's list becomes -EIO. The lists of io.h, merged: an error
 * that belongs to another operation cannot be told apart here and is harmless. */
static int32_t listed(int32_t result)
{
    switch (-result) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case EACCES:
    case ECANCELED:
    case ECONNREFUSED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ECONNRESET:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EPIPE:
        return result;
    default:
        return result < 0 ? -EIO : result;
    }
}

/* ------------------------------------------------------------------------------------- starts */

void io_accept(struct io *io, uint64_t token)
{
    BERTH_ASSERT(io->config.listeners_count > 0);
    BERTH_ASSERT(io_token_op(token) == IO_ACCEPT);
    for (uint32_t i = 0; i < IO_ACCEPTS_MAX; i++) {
        if ((io->accepts_busy & (1u << i)) == 0) {
            io->accepts_busy |= (uint8_t)(1u << i);
            io->accept_tokens[i] = token;
            io->ops->accept(io, i);
            return;
        }
    }
    BERTH_UNREACHABLE(); /* more than IO_ACCEPTS_MAX in flight */
}

void io_cancel_accepts(struct io *io)
{
    if (io->accepts_busy != 0) {
        io->ops->cancel_accepts(io);
    }
}

int io_connect(struct io *io, const struct berth_address *remote, const struct berth_address *local,
               uint64_t token)
{
    BERTH_ASSERT(io_token_op(token) == IO_CONNECT);
    /* The backend opens the place and starts; it can complete only in a reap, so the token is
     * in time here. */
    int sock = io->ops->connect(io, remote, local);
    if (sock >= 0) {
        struct io_sock *s = sock_at(io, sock);
        s->flags |= SOCK_CONNECT;
        s->token_receive = token;
        return sock;
    }
    return sock == -EAFNOSUPPORT ? sock : listed(sock); /* which only a start may say */
}

static void receive(struct io *io, int sock, uint64_t token, uint8_t once)
{
    struct io_sock *s = sock_at(io, sock);
    BERTH_ASSERT(io_token_op(token) == IO_RECEIVE);
    BERTH_ASSERT((s->flags & (SOCK_RECEIVE | SOCK_CONNECT)) == 0); /* law 4 */
    s->flags = (uint8_t)((s->flags & ~SOCK_ONCE) | SOCK_RECEIVE | once);
    s->token_receive = token;
    io->ops->receive(io, (uint32_t)sock);
}

void io_receive(struct io *io, int sock, uint64_t token)
{
    receive(io, sock, token, 0);
}

void io_receive_once(struct io *io, int sock, uint64_t token)
{
    receive(io, sock, token, SOCK_ONCE);
}

void io_send(struct io *io, int sock, const struct io_span *spans, uint32_t count, uint64_t token)
{
    struct io_sock *s = sock_at(io, sock);
    BERTH_ASSERT(io_token_op(token) == IO_SEND);
    BERTH_ASSERT((s->flags & (SOCK_SEND | SOCK_CONNECT)) == 0); /* law 4 */
    BERTH_ASSERT(count >= 1 && count <= IO_SPANS_MAX);
    BERTH_ASSERT(spans[0].size > 0 && spans[count - 1].size > 0);
    s->flags |= SOCK_SEND;
    s->token_send = token;
    io->ops->send(io, (uint32_t)sock, spans, count);
}

void io_sends_may_be_late(struct io *io, bool may)
{
    io->sends_late = may;
}

void io_cancel(struct io *io, int sock, enum io_op op)
{
    if (io_in_flight(io, sock, op)) {
        io->ops->cancel(io, (uint32_t)sock, op);
    }
}

bool io_in_flight(const struct io *io, int sock, enum io_op op)
{
    return (sock_at(io, sock)->flags & flag_of(op)) != 0;
}

void io_shutdown(struct io *io, int sock, enum io_shutdown how)
{
    (void)sock_at(io, sock);
    io->ops->shutdown(io, (uint32_t)sock, how);
}

void io_close(struct io *io, int sock, bool reset)
{
    BERTH_ASSERT((sock_at(io, sock)->flags & SOCK_IN_FLIGHT) == 0); /* law 5 */
    io->ops->sock_close(io, (uint32_t)sock, reset);
    io_sock_free(io, (uint32_t)sock);
}

bool io_peer(struct io *io, int sock, struct berth_address *out)
{
    (void)sock_at(io, sock);
    return io->ops->name_of(io, (uint32_t)sock, true, out);
}

bool io_local(struct io *io, int sock, struct berth_address *out)
{
    (void)sock_at(io, sock);
    return io->ops->name_of(io, (uint32_t)sock, false, out);
}

/* -------------------------------------------------------------------------------------- leases */

void io_lease_return(struct io *io, uint16_t lease)
{
    BERTH_ASSERT(lease < io->config.receive_count);
    BERTH_ASSERT(io->lease_out[lease] == 1); /* law 7 */
    io->lease_out[lease] = 0;
    io->leases_out--;
    io->ops->lease_return(io, lease);
}

uint32_t io_leases_free(const struct io *io)
{
    return io->config.receive_count - io->leases_out;
}

/* ----------------------------------------------------------------------------- reap and its time
 */

void io_flush(struct io *io)
{
    if (io->ops->flush != NULL) {
        io->ops->flush(io);
    }
}

uint32_t io_reap(struct io *io, struct io_completion *out, uint32_t max, uint64_t deadline_ns)
{
    BERTH_ASSERT(max >= 1);
    io->out = out;
    io->out_count = 0;
    io->out_max = max;
    uint64_t before = io->now_ns;
    io->ops->reap(io, deadline_ns);
    BERTH_ASSERT(io->now_ns >= before); /* law 11 */
    io->out = NULL;
    io->stats.completions += io->out_count;
    return io->out_count;
}

void io_wake(struct io *io)
{
    io->ops->wake(io);
}

uint64_t io_now(const struct io *io)
{
    return io->now_ns;
}

void io_clock_read(struct io *io)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
    if (ns > io->now_ns) {
        io->now_ns = ns;
    }
}

void io_stats(const struct io *io, struct io_stats *out)
{
    *out = io->stats;
}

/* ---------------------------------------------------------------------------------- randomness */

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t io_random(struct io *io)
{
    uint64_t *s = io->random; /* xoshiro256++ */
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

void io_random_seed(struct io *io, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64, which never leaves all four at zero */
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        io->random[i] = z ^ (z >> 31);
    }
}

/* ------------------------------------------------------------- completions on their way out */

static struct io_completion *next_out(struct io *io)
{
    BERTH_ASSERT(io->out != NULL); /* law 2: only inside a reap */
    BERTH_ASSERT(io->out_count < io->out_max);
    return &io->out[io->out_count++];
}

/* An error of the client's network, not of ours: that one client is gone. */
static int32_t accept_result(int32_t result)
{
    switch (-result) {
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ECONNRESET:
    case ETIMEDOUT:
        return -ECONNABORTED;
    default:
        return listed(result);
    }
}

void io_complete_accept(struct io *io, uint32_t accept, int32_t result, uint8_t listener)
{
    BERTH_ASSERT((io->accepts_busy & (1u << accept)) != 0); /* law 1 */
    io->accepts_busy &= (uint8_t) ~(1u << accept);
    *next_out(io) = (struct io_completion){
        .token = io->accept_tokens[accept], .result = accept_result(result), .listener = listener};
}

void io_complete_connect(struct io *io, uint32_t sock, int32_t result)
{
    struct io_sock *s = sock_at(io, (int)sock);
    BERTH_ASSERT((s->flags & SOCK_CONNECT) != 0);
    BERTH_ASSERT(result <= 0);
    s->flags &= (uint8_t)~SOCK_CONNECT;
    *next_out(io) = (struct io_completion){.token = s->token_receive, .result = listed(result)};
}

void io_complete_send(struct io *io, uint32_t sock, int32_t result)
{
    struct io_sock *s = sock_at(io, (int)sock);
    BERTH_ASSERT((s->flags & SOCK_SEND) != 0);
    BERTH_ASSERT(result != 0);
    s->flags &= (uint8_t)~SOCK_SEND;
    *next_out(io) = (struct io_completion){.token = s->token_send, .result = listed(result)};
}

void io_complete_bytes(struct io *io, uint32_t sock, uint16_t lease, uint32_t bytes, bool more)
{
    struct io_sock *s = sock_at(io, (int)sock);
    BERTH_ASSERT((s->flags & SOCK_RECEIVE) != 0);
    BERTH_ASSERT(bytes >= 1 && bytes <= io->config.receive_bytes);
    BERTH_ASSERT(io->lease_out[lease] == 0); /* law 7 */
    io->lease_out[lease] = 1;
    io->leases_out++;
    io->stats.receives++;
    more = more && (s->flags & SOCK_ONCE) == 0;
    if (!more) {
        s->flags &= (uint8_t)~SOCK_RECEIVE;
    }
    *next_out(io) = (struct io_completion){
        .token = s->token_receive,
        .data = io_lease_data(io, lease),
        .result = (int32_t)bytes,
        .lease = lease,
        .flags = (uint8_t)(IO_LEASE | (more ? IO_MORE : 0)),
    };
}

void io_complete_receive_end(struct io *io, uint32_t sock, int32_t result)
{
    struct io_sock *s = sock_at(io, (int)sock);
    BERTH_ASSERT((s->flags & SOCK_RECEIVE) != 0);
    BERTH_ASSERT(result <= 0);
    s->flags &= (uint8_t)~SOCK_RECEIVE;
    if (result == -ENOBUFS) {
        io->stats.no_buffer++;
    }
    *next_out(io) = (struct io_completion){.token = s->token_receive, .result = listed(result)};
}
