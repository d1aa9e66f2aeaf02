/* A world simulated from one seed: the third backend, for tests only.
 *
 * A struct sim_world holds a virtual clock, listeners, and connections, which are two bounded byte
 * pipes each. Any number of ios (io_backend_sim, with io_config.world set to the world) and of
 * actors live in it, all on one thread. Whatever a network, a kernel and a scheduler may do within
 * the laws of io.h, the world does at the rates of struct sim_options, in an order drawn from the
 * seed; the same seed and the same calls give the same run, on every compiler.
 *
 * THE STEPPING LOOP. A test calls io_reap on each io in turn, in any order, and lets its actors act
 * between the turns:
 *
 *     do {
 *         for each io:    the turn: io_reap, act on the completions
 *         for each actor: read, write, shut down, reset
 *     } while (work is left && !sim_world_idle(world));
 *
 * Virtual time moves only inside io_reap: an io that has nothing due jumps the clock to the next
 * event of anything in the world, to its own deadline, or to the deadline of another io, whichever
 * is first, and returns, possibly with nothing, so that whoever is due then gets the next turn.
 * It first lets others whose events are already due have their turn, but not for ever: an io that
 * is not stepped for SIM_PATIENCE turns counts as frozen, and time passes without it. A reap with
 * nothing due that does not wait costs a microsecond, so that polling ends too.
 *
 * WHAT A CONNECTION DOES is what TCP on Linux does, as measured (research: kernel facts):
 *   bytes arrive after a delay, in order; a FIN comes behind them; a reset may overtake them, and
 *     what it overtook is lost, but what had arrived can still be received, and then -ECONNRESET;
 *   closing with bytes unread, or with `reset`, sends a reset; closing otherwise sends a FIN;
 *   bytes that arrive at an end that was closed or shut down both ways are answered by a reset;
 *   a client that reset before it was accepted is accepted all the same, and has no name;
 *   a connect is refused if nothing listens there or if the backlog is full; closing a listener
 *     resets those that wait in it;
 *   a peer that vanished says nothing more: what is sent to it stays on its way, and after
 *     SIM_GIVE_UP_NS the sender's system gives up with -ETIMEDOUT.
 *
 * ACTORS use the sim_peer calls below: a peer is an end of a connection that is polled, not
 * completed. Between it and the io, the same delays, splits and faults apply.
 *
 * A returned lease is overwritten at once, and the bytes of a send are read only when it completes,
 * so a caller that touches either too early or too late shows it in the bytes.
 *
 * Memory comes from malloc as connections are made, and running out of it is asserted: a world is
 * a test's, and small.
 */
#ifndef BERTH_IO_SIM_H
#define BERTH_IO_SIM_H

#include "io/io.h"

/* A rate is a probability in units of 1 / SIM_RATE_ONE; 0 turns its fault off. */
#define SIM_RATE_ONE (1u << 20)

/* What is used where the options say 0. A delay of 20 us is loopback's; a pipe of 64 KiB is small
 * enough to fill in a test and larger than one receive. */
#define SIM_DELAY_MEAN_NS 20000
#define SIM_PIPE_BYTES    65536

/* No backlog is larger, as the system's somaxconn. */
#define SIM_BACKLOG_MAX 4096

/* How many turns of the others an io may miss before time passes without it. */
#define SIM_PATIENCE 16

/* For so long bytes are sent again to a peer that does not acknowledge them: 15 attempts, as the
 * system has it by default (tcp_retries2). */
#define SIM_GIVE_UP_NS UINT64_C(924600000000)

/* The world's faults. All zero is a kind world: delays of the default mean and nothing else. A
 * rate of SIM_RATE_ONE for `no_buffer` or `accept_error` leaves no way forward. */
struct sim_options {
    uint64_t start_ns;      /* the clock's first moment; 0: a second */
    uint64_t delay_mean_ns; /* of each step of each operation; exponential, at least 1 ns */
    uint32_t pipe_bytes;    /* the most bytes on their way in one direction */

    uint32_t long_delay;   /* a delay is up to SIM_LONG times as long */
    uint32_t split;        /* a receive, or a peer's read, gets 1 to n of the n bytes there */
    uint32_t short_send;   /* a send, or a peer's write, is taken in part though space is left */
    uint32_t no_buffer;    /* a receive ends with -ENOBUFS though a buffer is free */
    uint32_t drop_more;    /* a receive with bytes ends its operation (law 9) */
    uint32_t cancel_loses; /* a cancelled operation that can end naturally does (law 3) */
    uint32_t accept_error; /* an accept that could succeed ends with a listed error */
    uint32_t reset;        /* bytes arrive, and with them the end of the connection for both ends */
    uint32_t half_close;   /* a peer's write is its last: a FIN follows (actors only) */
    uint32_t spurious;     /* a reap returns at once with nothing; not twice in a row */

    /* What a system in trouble does. Network errors break the connection for both ends. */
    uint32_t
        connect_error; /* a connect of an io fails with a listed error, at its start or later */
    uint32_t receive_error; /* a receive that could bring bytes ends with a listed error */
    uint32_t send_error;    /* the same for a send */
    uint32_t queue_entries; /* completions that an io holds between two reaps; what comes beyond
                             * them ends multishot receives (law 9). 0: any number */
    uint32_t descriptors;   /* sockets of all ios together; then -EMFILE. 0: any number */
    uint32_t memory_bytes;  /* on their way in all connections; beyond it accepts and sends end with
                             * -ENOBUFS. 0: any number */
};

/* The most by which a long delay exceeds an ordinary one. */
#define SIM_LONG 1000

/* Swarm: options drawn from a seed. Each fault is off with probability 1/2, and otherwise has a
 * rate between 1/8192 and 1/2 (the two that end a connection: at most 1/64); delays and the size of
 * the pipes vary over some orders of magnitude. */
struct sim_options sim_options_swarm(uint64_t seed);

/* Adds the troubles of a system, drawn in the same way; budgets are small enough to be met by a
 * dozen connections. */
void sim_options_trouble(struct sim_options *options, uint64_t seed);

/* ------------------------------------------------------------------------------------ the world */

struct sim_world;

/* Makes a world; `options` may be NULL for a kind one and is copied. Never fails. */
struct sim_world *sim_world_create(uint64_t seed, const struct sim_options *options);

/* Ends a world and everything in it. Its ios must have been closed. */
void sim_world_destroy(struct sim_world *world);

/* Sets other faults from here on; what is under way keeps the delay that it has. */
void sim_world_options(struct sim_world *world, const struct sim_options *options);

/* Virtual nanoseconds. The first is not 0. */
uint64_t sim_world_now(const struct sim_world *world);

/* 64 bits of the world's own generator, for the choices of actors and of the stepping loop. */
uint64_t sim_world_random(struct sim_world *world);

/* Everything that happened so far, folded into 64 bits: each completion with its time and its
 * bytes, and the result of each call of an actor. */
uint64_t sim_world_hash(const struct sim_world *world);

/* Whether nothing will ever happen by itself: no event is due now or later, and every io's last
 * reap waited for ever and in vain (an io that was given something has a turn to come; a frozen one
 * does not count). Only an actor or a wake can set the world in motion then. */
bool sim_world_idle(const struct sim_world *world);

/* The next reap of this io gives nothing, as one that a signal ended, unless the last one did. */
void sim_interrupt(struct io *io);

/* Makes some io_reap return when virtual time reaches at_ns, so that an actor can act then. */
void sim_world_alarm(struct sim_world *world, uint64_t at_ns);

/* Connections of which at least one end is not closed yet; 0 at the end of a test that is right. */
uint32_t sim_world_connections(const struct sim_world *world);

/* Completions that the ios of this world have given out so far. */
uint64_t sim_world_completions(const struct sim_world *world);

/* ---------------------------------------------------------------------------------------- peers */

/* An actor's end of a connection: a number, valid until sim_peer_close. */
typedef uint32_t sim_peer;

#define SIM_PEER_CONNECTED 0x01u /* the connect succeeded */
#define SIM_PEER_REFUSED   0x02u /* it did not; nothing else will happen */
#define SIM_PEER_EOF       0x04u /* the end of the stream came, and all bytes before it were read */
#define SIM_PEER_RESET     0x08u /* a reset came, or this end sent one; bytes may still be unread */
#define SIM_PEER_SHUT      0x10u /* this end sends no more, by its own will or by half_close */

/* Starts to connect to a listener's address. */
sim_peer sim_peer_connect(struct sim_world *world, const struct berth_address *address);

/* The bits above. */
uint32_t sim_peer_state(const struct sim_world *world, sim_peer peer);

/* The port that it connects from: how the other end knows it. */
uint16_t sim_peer_port(const struct sim_world *world, sim_peer peer);

/* Writes as many of the bytes as the pipe has space for. Returns how many: 0 if there is no space
 * or the peer is not connected yet; -EPIPE if it sends no more, or was refused or reset. */
int32_t sim_peer_write(struct sim_world *world, sim_peer peer, const void *bytes, uint32_t count);

/* Reads bytes that arrived. Returns how many; 0 if there are none (sim_peer_state tells why). */
int32_t sim_peer_read(struct sim_world *world, sim_peer peer, void *bytes, uint32_t max);

/* Ends the sending direction, or both, as io_shutdown does. */
void sim_peer_shutdown(struct sim_world *world, sim_peer peer, enum io_shutdown how);

/* Sends a reset. The peer stays valid until it is closed. */
void sim_peer_reset(struct sim_world *world, sim_peer peer);

/* Closes the end, as close(2) does: a FIN, or a reset if bytes were left unread. */
void sim_peer_close(struct sim_world *world, sim_peer peer);

/* The peer is gone without a word, as if its cable had been pulled. Ends the use of the number, as
 * sim_peer_close does. */
void sim_peer_vanish(struct sim_world *world, sim_peer peer);

#endif
