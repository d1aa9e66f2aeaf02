/* Actors of the simulated world: ends of connections that a test polls.
 *
 * Operations: connect, write, read, shut down, reset, close, vanish, and a look at the state. A
 * peer is the client's end of a connection in sim_world.c and has no memory of its own; its number
 * is that end's and is the caller's until sim_peer_close. Each result goes into the world's trace.
 * Each call is O(1) but for the bytes it moves.
 */
#include "io/sim.h"

#include <errno.h>

#include "base/assert.h"
#include "io/sim_world.h"

static const struct sim_end *end_at(const struct sim_world *world, sim_peer peer)
{
    BERTH_ASSERT(peer / 2 < world->conns_count);
    const struct sim_end *end = &world->ends[peer];
    BERTH_ASSERT((end->flags & END_OPEN) != 0 && end->owner == NULL);
    return end;
}

sim_peer sim_peer_connect(struct sim_world *world, const struct berth_address *address)
{
    BERTH_ASSERT(address->family == BERTH_IPV4 || address->family == BERTH_IPV6);
    sim_peer peer = sim_connect(world, address, NULL);
    sim_fold(world, peer);
    return peer;
}

uint16_t sim_peer_port(const struct sim_world *world, sim_peer peer)
{
    return end_at(world, peer)->address.port;
}

uint32_t sim_peer_state(const struct sim_world *world, sim_peer peer)
{
    const struct sim_end *end = end_at(world, peer);
    bool refused = (end->flags & END_ANSWERED) != 0 && end->connect_error == ECONNREFUSED;
    bool eof = end->in.fin && end->in.read == end->in.arrived;
    return ((end->flags & END_CONNECTED) != 0 ? SIM_PEER_CONNECTED : 0) |
           (refused ? SIM_PEER_REFUSED : 0) | (eof ? SIM_PEER_EOF : 0) |
           ((end->flags & END_RESET) != 0 ? SIM_PEER_RESET : 0) |
           ((end->flags & END_SHUT_SEND) != 0 ? SIM_PEER_SHUT : 0);
}

static int32_t write_some(struct sim_world *world, sim_peer peer, const void *bytes, uint32_t count)
{
    const struct sim_end *end = end_at(world, peer);
    if ((end->flags & (END_RESET | END_SHUT_SEND)) != 0 ||
        (end->flags & (END_ANSWERED | END_CONNECTED)) == END_ANSWERED) {
        return -EPIPE;
    }
    uint32_t space = sim_end_space(world, peer);
    if ((end->flags & END_CONNECTED) == 0 || space == 0 || count == 0) {
        return 0;
    }
    uint32_t size = count < space ? count : space;
    if (sim_chance(world, world->options.short_send)) {
        size = 1 + (uint32_t)sim_below(world, size);
    }
    sim_end_put(world, peer, bytes, size);
    sim_end_sent(world, peer);
    if (sim_chance(world, world->options.half_close)) {
        sim_end_shutdown(world, peer, IO_SHUTDOWN_SEND);
    }
    return (int32_t)size;
}

int32_t sim_peer_write(struct sim_world *world, sim_peer peer, const void *bytes, uint32_t count)
{
    int32_t result = write_some(world, peer, bytes, count);
    sim_fold(world, (uint32_t)result);
    return result;
}

int32_t sim_peer_read(struct sim_world *world, sim_peer peer, void *bytes, uint32_t max)
{
    const struct sim_end *end = end_at(world, peer);
    uint64_t there = end->in.arrived - end->in.read;
    uint32_t count = there < max ? (uint32_t)there : max;
    if (count > 0) {
        count = sim_end_read(world, peer, bytes, count);
        sim_fold_bytes(world, bytes, count);
    }
    return (int32_t)count;
}

void sim_peer_shutdown(struct sim_world *world, sim_peer peer, enum io_shutdown how)
{
    (void)end_at(world, peer);
    sim_end_shutdown(world, peer, how);
}

void sim_peer_reset(struct sim_world *world, sim_peer peer)
{
    (void)end_at(world, peer);
    sim_end_reset(world, peer);
}

void sim_peer_close(struct sim_world *world, sim_peer peer)
{
    (void)end_at(world, peer);
    sim_end_close(world, peer, false);
}

void sim_peer_vanish(struct sim_world *world, sim_peer peer)
{
    (void)end_at(world, peer);
    sim_end_vanish(world, peer);
}
