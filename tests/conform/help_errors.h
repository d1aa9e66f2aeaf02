/* F11: the whole server under every listed error of every operation, on one backend
 * (help_errors.c), with peers that speak io.h themselves (help_errors_peers.c).
 */
#ifndef BERTH_TESTS_CONFORM_HELP_ERRORS_H
#define BERTH_TESTS_CONFORM_HELP_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "io/sim.h"

/* Runs every cell on a backend: a server on the fault-injecting backend around it, and peers on it.
 * Writes the row for F11. Returns the program's exit status. */
int errors_run(const struct io_backend *inner);

/* ------------------------------------------------------------------------------------ the peers */

/* Each client asks so many questions, on a new connection after every few, so that there are enough
 * of every operation for one in seven to fail several times. */
#define PEERS_CLIENTS   6
#define PEERS_QUESTIONS 20
#define PEERS_A_TIME    4

/* Frames: four bytes of length, little endian, and up to so many bytes. */
#define PEERS_MESSAGE_MAX 40
#define PEERS_FRAME_MAX   (4 + PEERS_MESSAGE_MAX)

/* Connections that the peers hold at most: the clients' and those they take. */
#define PEERS_MAX 32

enum peer_state {
    PEER_FREE = 0,
    PEER_CONNECTING,
    PEER_TALKING,
    PEER_LEAVING, /* it has said all, and waits for the server's end */
    PEER_OVER,    /* what is in flight is awaited, then it is closed */
};

struct peer {
    enum peer_state state;
    bool asks; /* a client; else it echoes */
    int sock;
    uint32_t serial; /* of the connection, for its tokens */
    uint8_t in[PEERS_FRAME_MAX];
    uint32_t in_count;
    uint8_t out[PEERS_FRAME_MAX];
    uint32_t out_count;
    uint32_t out_sent;
    uint32_t asked_here; /* on this connection */
    uint32_t answered;   /* of all its questions */
};

struct peers {
    struct io *io;
    struct io_listener listener; /* where they echo */
    struct berth_address server; /* where they ask */
    uint8_t *buffers;
    struct peer all[PEERS_MAX]; /* the clients first */
    bool asking;                /* the clients come (again) */
    bool accepting;
    uint32_t losses; /* connections of clients that ended before their answers */
    uint32_t wrong;  /* answers that were not what was asked */
};

/* Opens the peers' io, and a listener. 0 or a negative errno. */
int peers_open(struct peers *peers, const struct io_backend *backend, void *world);
/* Everything must be closed (peers_gone). */
void peers_close(struct peers *peers, const struct io_backend *backend, void *world);
/* Lets the clients come, to the server's address. */
void peers_ask(struct peers *peers, const struct berth_address *server);
/* Whether every question was answered. */
bool peers_answered(const struct peers *peers);
/* One reap and what follows from it. Waits at most until deadline_ns. Returns the completions. */
uint32_t peers_turn(struct peers *peers, uint64_t deadline_ns);
/* No more connections are taken; those that are there leave when the server does. */
void peers_end(struct peers *peers);
bool peers_gone(const struct peers *peers);

#endif
