/* The peers of help_errors.c: clients that ask until they have every answer, and come again when
 * they are cut off, and a listener that echoes. All on one io of the plain backend.
 *
 * A peer's place in the table is its tokens' slot, and its connection's serial their generation. A
 * connection is joined before its socket is closed (law 5), so a token is never stale.
 */
#include "conform/help_errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS      64
#define BUFFER_BYTES 256
#define BATCH        64

/* A peer that cannot even start is a broken test. */
#define PEERS_MUST(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int peers_open(struct peers *peers, const struct io_backend *backend, void *world)
{
    const struct berth_address loopback = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    *peers = (struct peers){.buffers = calloc(BUFFERS, BUFFER_BYTES)};
    PEERS_MUST(peers->buffers != NULL);
    int result = io_listen(backend, world, &loopback, PEERS_MAX, &peers->listener);
    PEERS_MUST(result == 0);
    struct io_config config = {.world = world,
                               .socks_max = 2 * PEERS_MAX,
                               .listeners = &peers->listener,
                               .listeners_count = 1,
                               .receive_base = peers->buffers,
                               .receive_bytes = BUFFER_BYTES,
                               .receive_count = BUFFERS};
    result = io_open(backend, &config, &peers->io);
    if (result < 0) {
        io_listener_close(backend, world, &peers->listener);
        free(peers->buffers);
        return result;
    }
    io_accept(peers->io, io_token(IO_ACCEPT, 0, 0));
    peers->accepting = true;
    return 0;
}

void peers_close(struct peers *peers, const struct io_backend *backend, void *world)
{
    io_close_all(peers->io);
    io_listener_close(backend, world, &peers->listener);
    free(peers->buffers);
}

static uint64_t token_of(const struct peers *peers, const struct peer *peer, enum io_op op)
{
    return io_token(op, peer->serial, (uint32_t)(peer - peers->all));
}

static bool in_flight(const struct peers *peers, const struct peer *peer)
{
    return io_in_flight(peers->io, peer->sock, IO_CONNECT) ||
           io_in_flight(peers->io, peer->sock, IO_RECEIVE) ||
           io_in_flight(peers->io, peer->sock, IO_SEND);
}

/* ------------------------------------------------------------------------------------ questions */

/* The question of this number of a client, as a frame. */
static uint32_t question(uint32_t client, uint32_t number, uint8_t *frame)
{
    uint32_t size = 1 + (client * 7 + number * 5) % PEERS_MESSAGE_MAX;
    memcpy(frame, (const uint8_t[]){(uint8_t)size, 0, 0, 0}, 4);
    for (uint32_t i = 0; i < size; i++) {
        frame[4 + i] = (uint8_t)(client * 31 + number * 17 + i);
    }
    return 4 + size;
}

static void send_rest(struct peers *peers, struct peer *peer)
{
    struct io_span span = {.data = peer->out + peer->out_sent,
                           .size = peer->out_count - peer->out_sent};
    io_send(peers->io, peer->sock, &span, 1, token_of(peers, peer, IO_SEND));
}

static void ask_next(struct peers *peers, struct peer *peer)
{
    uint32_t client = (uint32_t)(peer - peers->all);
    peer->out_count = question(client, peer->answered, peer->out);
    peer->out_sent = 0;
    peer->in_count = 0;
    peer->asked_here++;
    send_rest(peers, peer);
}

static void come(struct peers *peers, struct peer *peer)
{
    peer->serial++;
    peer->asked_here = 0;
    int sock = io_connect(peers->io, &peers->server, NULL, token_of(peers, peer, IO_CONNECT));
    PEERS_MUST(sock >= 0);
    peer->sock = sock;
    peer->state = PEER_CONNECTING;
}

/* Says goodbye in order, and waits for the server to do the same. */
static void leave(struct peers *peers, struct peer *peer)
{
    peer->state = PEER_LEAVING;
    io_shutdown(peers->io, peer->sock, IO_SHUTDOWN_SEND);
}

/* The connection is over. */
static void over(struct peers *peers, struct peer *peer)
{
    if (peer->asks && (peer->state == PEER_CONNECTING || peer->state == PEER_TALKING) &&
        peer->answered < PEERS_QUESTIONS) {
        peers->losses++;
    }
    peer->state = PEER_OVER;
    io_shutdown(peers->io, peer->sock, IO_SHUTDOWN_BOTH);
}

/* The whole answer to the last question is here. */
static void answered(struct peers *peers, struct peer *peer)
{
    peers->wrong += memcmp(peer->in, peer->out, peer->out_count) != 0 ? 1 : 0;
    peer->answered++;
    if (peer->answered == PEERS_QUESTIONS) {
        return; /* it stays, and is there when the server stops */
    }
    if (peer->asked_here == PEERS_A_TIME) {
        leave(peers, peer);
    } else {
        ask_next(peers, peer);
    }
}

/* ---------------------------------------------------------------------------------- completions */

static struct peer *free_peer(struct peers *peers)
{
    for (uint32_t i = PEERS_CLIENTS; i < PEERS_MAX; i++) {
        if (peers->all[i].state == PEER_FREE) {
            return &peers->all[i];
        }
    }
    return NULL;
}

static void accepted(struct peers *peers, int32_t result)
{
    peers->accepting = false;
    if (result >= 0) {
        struct peer *peer = free_peer(peers);
        PEERS_MUST(peer != NULL);
        *peer = (struct peer){.state = PEER_TALKING, .sock = result, .serial = peer->serial + 1};
        io_receive(peers->io, peer->sock, token_of(peers, peer, IO_RECEIVE));
    }
    if (result != -ECANCELED) {
        io_accept(peers->io, io_token(IO_ACCEPT, 0, 0));
        peers->accepting = true;
    }
}

static void received(struct peers *peers, struct peer *peer, const struct io_completion *done)
{
    uint32_t count = (uint32_t)done->result;
    PEERS_MUST(peer->in_count + count <= sizeof peer->in);
    memcpy(peer->in + peer->in_count, done->data, count);
    peer->in_count += count;
    io_lease_return(peers->io, done->lease);
    if (peer->state != PEER_TALKING) {
        return;
    }
    if (peer->asks) {
        if (peer->in_count == peer->out_count) {
            answered(peers, peer);
        }
    } else if (peer->in_count >= 4 && peer->in_count == 4u + peer->in[0]) {
        memcpy(peer->out, peer->in, peer->in_count); /* an echo, of one frame at a time */
        peer->out_count = peer->in_count;
        peer->out_sent = 0;
        peer->in_count = 0;
        send_rest(peers, peer);
    }
}

static void completed(struct peers *peers, const struct io_completion *done)
{
    if (io_token_op(done->token) == IO_ACCEPT) {
        accepted(peers, done->result);
        return;
    }
    struct peer *peer = &peers->all[io_token_slot(done->token)];
    PEERS_MUST(io_token_generation(done->token) == (peer->serial & IO_GENERATION_MASK));
    bool fails = done->result < 0;
    switch (io_token_op(done->token)) {
    case IO_CONNECT:
        if (!fails) {
            peer->state = PEER_TALKING;
            io_receive(peers->io, peer->sock, token_of(peers, peer, IO_RECEIVE));
            ask_next(peers, peer);
        }
        break;
    case IO_SEND:
        peer->out_sent += fails ? 0 : (uint32_t)done->result;
        if (!fails && peer->state == PEER_TALKING && peer->out_sent < peer->out_count) {
            send_rest(peers, peer);
        }
        break;
    case IO_RECEIVE:
        if (done->result > 0) {
            received(peers, peer, done);
        }
        fails = done->result <= 0;
        if (!fails && (done->flags & IO_MORE) == 0) { /* law 9 */
            io_receive(peers->io, peer->sock, token_of(peers, peer, IO_RECEIVE));
        }
        break;
    case IO_ACCEPT:
        break;
    }
    if (fails && peer->state != PEER_OVER) {
        over(peers, peer);
    }
}

uint32_t peers_turn(struct peers *peers, uint64_t deadline_ns)
{
    struct io_completion batch[BATCH];
    uint32_t count = io_reap(peers->io, batch, BATCH, deadline_ns);
    for (uint32_t i = 0; i < count; i++) {
        completed(peers, &batch[i]);
    }
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &peers->all[i];
        if (peer->state == PEER_OVER && !in_flight(peers, peer)) {
            io_close(peers->io, peer->sock, false);
            peer->state = PEER_FREE;
            if (peer->asks && peers->asking && peer->answered < PEERS_QUESTIONS) {
                come(peers, peer);
            }
        }
    }
    return count;
}

/* ------------------------------------------------------------------------------- begin and end */

void peers_ask(struct peers *peers, const struct berth_address *server)
{
    peers->server = *server;
    peers->asking = true;
    for (uint32_t i = 0; i < PEERS_CLIENTS; i++) {
        peers->all[i].asks = true;
        come(peers, &peers->all[i]);
    }
}

bool peers_answered(const struct peers *peers)
{
    for (uint32_t i = 0; i < PEERS_CLIENTS; i++) {
        if (peers->all[i].answered < PEERS_QUESTIONS) {
            return false;
        }
    }
    return true;
}

void peers_end(struct peers *peers)
{
    peers->asking = false;
    io_cancel_accepts(peers->io);
}

bool peers_gone(const struct peers *peers)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        if (peers->all[i].state != PEER_FREE) {
            return false;
        }
    }
    return !peers->accepting;
}
