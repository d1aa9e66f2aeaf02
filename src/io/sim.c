/* The simulated backend: an io whose kernel is a struct sim_world (sim.h says what that is).
 *
 * Operations: those of io.h. Starting one makes no completion, it only looks whether the operation
 * could go on now, and if so puts an event into this io's own heap, due after a random delay;
 * whenever the network changes something at an end (sim_end_changed), the same look is taken again.
 * An event that falls due is acted on inside io_reap, against the state of that moment, so an
 * operation whose chance has gone in the meantime simply waits on. A cancel is an event like the
 * others, with the serial of the operation that it is meant for.
 *
 * The io owns its heap and its stack of free receive buffers; sockets are ends of the world, under
 * the number that struct io_sock calls fd. Starting costs O(log events), a completion that and its
 * bytes; a reap that finds nothing due also looks at every other io of the world.
 */
#include "io/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "io/sim_world.h"

/* What a reap costs that has nothing to give and does not wait: about one empty system call. It
 * makes time pass for those who poll. */
#define POLL_NS 1000

/* What a returned lease is overwritten with: no test sends long runs of it. */
#define RETURNED_BYTE 0xdb

static struct sim_io *self(struct io *io)
{
    return (struct sim_io *)io;
}

static struct sim_end *end_of(struct io *io, uint32_t sock)
{
    return &self(io)->world->ends[io->socks[sock].fd];
}

/* Puts an event into an io's own heap. */
static void post_after(struct sim_io *sim, enum sim_event_kind kind, uint32_t index, uint64_t value,
                       uint64_t delay_ns)
{
    struct sim_world *world = sim->world;
    bool at_end = kind != SIM_ACCEPT && kind != SIM_CANCEL_ACCEPT;
    struct sim_event event = {.due_ns = world->now_ns + delay_ns,
                              .value = value,
                              .index = index,
                              .generation = at_end ? world->ends[index].generation : 0,
                              .kind = kind};
    sim_post(world, &sim->heap, &event);
}

/* The same, due after a delay of its own. */
static void post(struct sim_io *sim, enum sim_event_kind kind, uint32_t index, uint64_t value)
{
    post_after(sim, kind, index, value, sim_delay(sim->world));
}

/* --------------------------------------------------------------------------------------- errors */

/* The lists of io.h, without what the world gives on other grounds (resets, refusals, cancels). */
int sim_draw_error(struct sim_world *world, enum io_op op)
{
    static const int accept[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, EIO};
    static const int connect[] = {ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE,
                                  EACCES,    EPERM,        ENOBUFS,     ENOMEM,        EIO};
    static const int receive[] = {ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOMEM, EIO};
    static const int send[] = {ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOBUFS, ENOMEM, EIO};
#define DRAW(errors) (errors)[sim_below(world, sizeof(errors) / sizeof(errors)[0])]
    switch (op) {
    case IO_ACCEPT:
        return DRAW(accept);
    case IO_CONNECT:
        return DRAW(connect);
    case IO_RECEIVE:
        return DRAW(receive);
    case IO_SEND:
        return DRAW(send);
    }
#undef DRAW
    BERTH_UNREACHABLE();
}

bool sim_error_breaks(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH;
}

/* ------------------------------------------------------------------------- what could go on now */

static void look(struct sim_io *sim, uint32_t at, bool can, uint32_t mark, enum sim_event_kind kind)
{
    struct sim_end *end = &sim->world->ends[at];
    if (can && (end->flags & mark) == 0) {
        end->flags |= mark;
        post(sim, kind, at, 0);
    }
}

static bool writable(const struct sim_world *world, uint32_t at)
{
    uint32_t flags = world->ends[at].flags;
    return (flags & (END_RESET | END_SHUT_SEND)) != 0 || (flags & END_CONNECTED) == 0 ||
           sim_end_space(world, at) > 0;
}

void sim_end_changed(struct sim_world *world, uint32_t at)
{
    struct sim_end *end = &world->ends[at];
    struct sim_io *sim = end->owner;
    if (sim == NULL) {
        return; /* an actor's: it polls */
    }
    uint32_t flying = sim->io.socks[end->sock].flags;
    bool connect = (flying & SOCK_CONNECT) != 0 && (end->flags & END_ANSWERED) != 0;
    bool receive = (flying & SOCK_RECEIVE) != 0 && sim_end_readable(end);
    bool send = (flying & SOCK_SEND) != 0 && writable(world, at);
    look(sim, at, connect, END_CONNECT_DUE, SIM_CONNECTED);
    look(sim, at, receive, END_RECEIVE_DUE, SIM_READABLE);
    look(sim, at, send, END_SEND_DUE, SIM_WRITABLE);
}

/* The index of a listener of this io at which somebody waits, searched from a random one on so
 * that none is favoured; SIM_NONE if nobody waits. */
static uint32_t waiting_at(struct sim_io *sim)
{
    uint32_t count = sim->io.config.listeners_count;
    uint32_t first = (uint32_t)sim_below(sim->world, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (first + i) % count;
        if (sim->world->listeners[sim->io.listeners[index].id].waiting > 0) {
            return index;
        }
    }
    return SIM_NONE;
}

void sim_accepts_changed(struct sim_io *sim)
{
    if (sim->io.accepts_busy == 0 || waiting_at(sim) == SIM_NONE) {
        return;
    }
    for (uint32_t i = 0; i < IO_ACCEPTS_MAX; i++) {
        uint32_t bit = 1u << i;
        if ((sim->io.accepts_busy & bit) != 0 && (sim->accepts_due & bit) == 0) {
            sim->accepts_due |= (uint8_t)bit;
            post(sim, SIM_ACCEPT, i, 0);
        }
    }
}

/* ----------------------------------------------------------------------------------- completing */

/* Folds the completion just given into the world's trace. */
static void traced(struct sim_io *sim)
{
    struct sim_world *world = sim->world;
    const struct io_completion *last = &sim->io.out[sim->io.out_count - 1];
    world->completions++;
    sim_fold(world, sim->number);
    sim_fold(world, world->now_ns);
    sim_fold(world, last->token);
    sim_fold(world, (uint32_t)last->result);
    sim_fold(world, (uint64_t)last->lease << 16 | (uint64_t)last->listener << 8 | last->flags);
    if ((last->flags & IO_LEASE) != 0) {
        sim_fold_bytes(world, last->data, (uint32_t)last->result);
    }
}

static void finish_accept(struct sim_io *sim, uint32_t accept, int32_t result, uint8_t listener)
{
    io_complete_accept(&sim->io, accept, result, listener);
    traced(sim);
}

static void finish_connect(struct sim_io *sim, uint32_t at, int error)
{
    io_complete_connect(&sim->io, sim->world->ends[at].sock, -error);
    traced(sim);
}

static void finish_receive(struct sim_io *sim, uint32_t at, int error)
{
    io_complete_receive_end(&sim->io, sim->world->ends[at].sock, -error);
    traced(sim);
}

static void finish_send(struct sim_io *sim, uint32_t at, int32_t result)
{
    io_complete_send(&sim->io, sim->world->ends[at].sock, result);
    traced(sim);
}

/* Any free buffer, not the last or the next one: nobody may rely on an order. */
static uint16_t take_lease(struct sim_io *sim)
{
    uint32_t place = (uint32_t)sim_below(sim->world, sim->leases_count);
    uint16_t lease = sim->leases_free[place];
    sim->leases_free[place] = sim->leases_free[--sim->leases_count];
    return lease;
}

static void receive_bytes(struct sim_io *sim, uint32_t at, bool last)
{
    struct sim_world *world = sim->world;
    struct sim_end *end = &world->ends[at];
    if (sim->leases_count == 0 || sim_chance(world, world->options.no_buffer)) {
        finish_receive(sim, at, ENOBUFS);
        return;
    }
    uint64_t there = end->in.arrived - end->in.read;
    uint32_t most = sim->io.config.receive_bytes;
    uint16_t lease = take_lease(sim);
    uint32_t got = sim_end_read(world, at, io_lease_data(&sim->io, lease),
                                there < most ? (uint32_t)there : most);
    bool more = !last && !sim->overflown && !sim_chance(world, world->options.drop_more);
    io_complete_bytes(&sim->io, end->sock, lease, got, more);
    traced(sim);
    sim_end_changed(world, at); /* more may be there */
}

static void fail_receive(struct sim_io *sim, uint32_t at)
{
    int error = sim_draw_error(sim->world, IO_RECEIVE);
    finish_receive(sim, at, error);
    if (sim_error_breaks(error)) {
        sim_end_reset(sim->world, at);
    }
}

/* One step of the receive in flight; false if there is none to make. `last`: let it end here. */
static bool try_receive(struct sim_io *sim, uint32_t at, bool last)
{
    struct sim_end *end = &sim->world->ends[at];
    if ((sim->io.socks[end->sock].flags & SOCK_RECEIVE) == 0 || !sim_end_readable(end)) {
        return false;
    }
    if (end->in.arrived > end->in.read &&
        sim_chance(sim->world, sim->world->options.receive_error)) {
        fail_receive(sim, at);
    } else if (end->in.arrived > end->in.read) {
        receive_bytes(sim, at, last);
    } else if (end->in.fin) {
        finish_receive(sim, at, 0);
    } else if ((end->flags & (END_ANSWERED | END_CONNECTED)) == END_ANSWERED) {
        finish_receive(sim, at, EIO); /* it was never connected: no listed error says so */
    } else {
        finish_receive(sim, at, sim_end_error(end));
    }
    return true;
}

static uint64_t spans_bytes(const struct sim_end *end)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < end->spans_count; i++) {
        bytes += end->spans[i].size;
    }
    return bytes;
}

static uint32_t put_spans(struct sim_io *sim, uint32_t at, uint32_t most)
{
    const struct sim_end *end = &sim->world->ends[at];
    uint32_t put = 0;
    for (uint32_t i = 0; i < end->spans_count && put < most; i++) {
        const struct io_span *span = &end->spans[i];
        uint32_t size = span->size < most - put ? span->size : most - put;
        sim_end_put(sim->world, at, span->data, size);
        put += size;
    }
    return put;
}

static void fail_send(struct sim_io *sim, uint32_t at)
{
    int error = sim_memory_is_out(sim->world) ? ENOBUFS : sim_draw_error(sim->world, IO_SEND);
    finish_send(sim, at, -error);
    if (sim_error_breaks(error)) {
        sim_end_reset(sim->world, at);
    }
}

/* A send that took all: told now, or with what the reap will return for. */
static void send_done(struct sim_io *sim, uint32_t at)
{
    struct sim_world *world = sim->world;
    bool next_reap = world->ends[at].send_turn + 1 == sim->turn;
    if (!sim->io.sends_late || !next_reap || sim_chance(world, SIM_RATE_ONE / 4)) {
        finish_send(sim, at, (int32_t)spans_bytes(&world->ends[at]));
        return;
    }
    world->ends[at].flags |= END_SEND_LATE;
    if (sim->late_count == 0) {
        sim->late_ns = world->now_ns + IO_LATE_NS;
        sim->deadline_ns = sim->late_ns < sim->deadline_ns ? sim->late_ns : sim->deadline_ns;
    }
    sim->late[sim->late_count++] = at;
}

static void finish_late(struct sim_io *sim)
{
    uint32_t told = 0;
    while (told < sim->late_count && io_room(&sim->io)) {
        struct sim_end *end = &sim->world->ends[sim->late[told]];
        end->flags &= ~END_SEND_LATE;
        finish_send(sim, sim->late[told++], (int32_t)spans_bytes(end));
    }
    sim->late_count -= told;
    memmove(sim->late, sim->late + told, sim->late_count * sizeof *sim->late);
}

/* The send in flight, if it can end; false if not. */
static bool try_send(struct sim_io *sim, uint32_t at)
{
    struct sim_world *world = sim->world;
    struct sim_end *end = &world->ends[at];
    if ((sim->io.socks[end->sock].flags & SOCK_SEND) == 0 || !writable(world, at) ||
        (end->flags & END_SEND_LATE) != 0) {
        return false;
    }
    if ((end->flags & (END_RESET | END_SHUT_SEND)) != 0 || (end->flags & END_CONNECTED) == 0) {
        int error = sim_end_error(end);
        finish_send(sim, at, error != 0 ? -error : -EPIPE);
        return true;
    }
    if (sim_memory_is_out(world) || sim_chance(world, world->options.send_error)) {
        fail_send(sim, at);
        return true;
    }
    uint32_t most = sim_end_space(world, at);
    if (sim_chance(world, world->options.short_send)) {
        most = 1 + (uint32_t)sim_below(world, most);
    }
    uint32_t put = put_spans(sim, at, most);
    sim_end_sent(world, at);
    if (put == spans_bytes(end)) {
        send_done(sim, at);
    } else {
        finish_send(sim, at, (int32_t)put);
    }
    return true;
}

static bool try_connect(struct sim_io *sim, uint32_t at)
{
    struct sim_end *end = &sim->world->ends[at];
    if ((sim->io.socks[end->sock].flags & SOCK_CONNECT) == 0 || (end->flags & END_ANSWERED) == 0) {
        return false;
    }
    finish_connect(sim, at, end->connect_error);
    return true;
}

/* Takes an accept's client from the queue and makes it a socket. */
static void accept_first(struct sim_io *sim, uint32_t accept, uint32_t index)
{
    struct sim_world *world = sim->world;
    uint32_t at = sim_listener_take(&world->listeners[sim->io.listeners[index].id]);
    uint32_t sock = io_sock_open(&sim->io, (int)at);
    world->ends[at].owner = sim;
    world->ends[at].sock = sock;
    world->socks++;
    finish_accept(sim, accept, (int32_t)sock, (uint8_t)index);
}

/* Some errors cost the client its connection. */
static void fail_accept(struct sim_io *sim, uint32_t accept, uint32_t index)
{
    struct sim_world *world = sim->world;
    int error = sim_draw_error(world, IO_ACCEPT);
    if (error == ECONNABORTED || error == EPROTO || error == EPERM) {
        sim_end_close(world, sim_listener_take(&world->listeners[sim->io.listeners[index].id]),
                      true);
    }
    finish_accept(sim, accept, -error, 0);
}

static bool try_accept(struct sim_io *sim, uint32_t accept)
{
    uint32_t index = SIM_NONE;
    if ((sim->io.accepts_busy & (1u << accept)) != 0) {
        index = waiting_at(sim);
    }
    if (index == SIM_NONE) {
        return false; /* another accept was quicker */
    }
    if (sim->io.socks_open == sim->io.config.socks_max) {
        finish_accept(sim, accept, -ENFILE, 0); /* the client stays in the queue */
    } else if (sim_descriptors_are_out(sim->world)) {
        finish_accept(sim, accept, -EMFILE, 0);
    } else if (sim_memory_is_out(sim->world)) {
        finish_accept(sim, accept, -ENOBUFS, 0);
    } else if (sim_chance(sim->world, sim->world->options.accept_error)) {
        fail_accept(sim, accept, index);
    } else {
        accept_first(sim, accept, index);
    }
    return true;
}

/* A cancel that arrives: unless the operation can end naturally, and is let to, it ends here. */
static void cancelled(struct sim_io *sim, const struct sim_event *event)
{
    struct sim_world *world = sim->world;
    const struct sim_end *end = &world->ends[event->index];
    uint32_t flying = sim->io.socks[end->sock].flags;
    bool loses = sim_chance(world, world->options.cancel_loses);
    if (event->kind == SIM_CANCEL_CONNECT) {
        bool meant = (flying & SOCK_CONNECT) != 0 && end->receive_serial == event->value;
        if (meant && !(loses && try_connect(sim, event->index))) {
            finish_connect(sim, event->index, ECANCELED);
        }
    } else if (event->kind == SIM_CANCEL_RECEIVE) {
        bool meant = (flying & SOCK_RECEIVE) != 0 && end->receive_serial == event->value;
        if (meant && !(loses && try_receive(sim, event->index, true))) {
            finish_receive(sim, event->index, ECANCELED);
        }
    } else {
        bool meant = (flying & SOCK_SEND) != 0 && end->send_serial == event->value;
        if (meant && (end->flags & END_SEND_LATE) != 0) {
            sim->late_ns = world->now_ns; /* it is done already: law 3 */
        } else if (meant && !(loses && try_send(sim, event->index))) {
            finish_send(sim, event->index, -ECANCELED);
        }
    }
}

static void cancelled_accept(struct sim_io *sim, const struct sim_event *event)
{
    struct sim_world *world = sim->world;
    bool meant = (sim->io.accepts_busy & (1u << event->index)) != 0 &&
                 sim->accept_serials[event->index] == event->value;
    bool loses = sim_chance(world, world->options.cancel_loses);
    if (meant && !(loses && try_accept(sim, event->index))) {
        finish_accept(sim, event->index, -ECANCELED, 0);
    }
}

static void act(struct sim_io *sim, const struct sim_event *event)
{
    if (event->kind == SIM_ACCEPT) {
        sim->accepts_due &= (uint8_t) ~(1u << event->index);
        (void)try_accept(sim, event->index);
        return;
    }
    if (event->kind == SIM_CANCEL_ACCEPT) {
        cancelled_accept(sim, event);
        return;
    }
    struct sim_end *end = &sim->world->ends[event->index];
    if (end->generation != event->generation || end->owner != sim) {
        return; /* closed since */
    }
    switch (event->kind) {
    case SIM_CONNECTED:
        end->flags &= ~END_CONNECT_DUE;
        (void)try_connect(sim, event->index);
        break;
    case SIM_READABLE:
        end->flags &= ~END_RECEIVE_DUE;
        (void)try_receive(sim, event->index, false);
        break;
    case SIM_WRITABLE:
        end->flags &= ~END_SEND_DUE;
        (void)try_send(sim, event->index);
        break;
    default:
        cancelled(sim, event);
        break;
    }
}

/* ------------------------------------------------------------------------------- open and close */

static int open_io(struct io *io)
{
    struct sim_io *sim = self(io);
    struct sim_world *world = io->config.world;
    BERTH_ASSERT(world != NULL);
    sim->leases_free = calloc(io->config.receive_count, sizeof *sim->leases_free);
    BERTH_ASSERT(sim->leases_free != NULL);
    sim->late = calloc(io->config.socks_max, sizeof *sim->late);
    BERTH_ASSERT(sim->late != NULL);
    sim->leases_count = io->config.receive_count;
    for (uint32_t i = 0; i < sim->leases_count; i++) {
        sim->leases_free[i] = (uint16_t)i;
    }
    sim->world = world;
    sim->number = world->ios_count++;
    world->ios = sim_grow(world->ios, &world->ios_room, world->ios_count, sizeof(struct sim_io *));
    world->ios[sim->number] = sim;
    io_random_seed(io, sim_world_random(world));
    io->now_ns = world->now_ns;
    return 0;
}

static void close_io(struct io *io)
{
    struct sim_io *sim = self(io);
    sim->world->ios[sim->number] = NULL;
    free(sim->heap.events);
    free(sim->leases_free);
    free(sim->late);
}

/* --------------------------------------------------------------------------------------- starts */

static void start_accept(struct io *io, uint32_t accept)
{
    struct sim_io *sim = self(io);
    sim->accept_serials[accept] = ++sim->accept_serial;
    sim_accepts_changed(sim);
}

static void cancel_accepts(struct io *io)
{
    struct sim_io *sim = self(io);
    for (uint32_t i = 0; i < IO_ACCEPTS_MAX; i++) {
        if ((io->accepts_busy & (1u << i)) != 0) {
            post(sim, SIM_CANCEL_ACCEPT, i, sim->accept_serials[i]);
        }
    }
}

static int start_connect(struct io *io, const struct berth_address *remote,
                         const struct berth_address *local)
{
    struct sim_io *sim = self(io);
    if (remote->family != BERTH_IPV4 && remote->family != BERTH_IPV6) {
        return -EAFNOSUPPORT;
    }
    if (io->socks_open == io->config.socks_max) {
        return -ENFILE;
    }
    if (sim_descriptors_are_out(sim->world)) {
        return -EMFILE;
    }
    if (sim_chance(sim->world, sim->world->options.connect_error)) {
        static const int errors[] = {EMFILE,     ENFILE,        ENOBUFS, ENOMEM,
                                     EADDRINUSE, EADDRNOTAVAIL, EACCES,  EPERM};
        return -errors[sim_below(sim->world, sizeof errors / sizeof errors[0])];
    }
    uint32_t at = sim_connect(sim->world, remote, local);
    sim->world->socks++;
    uint32_t sock = io_sock_open(io, (int)at);
    struct sim_end *end = &sim->world->ends[at];
    end->owner = sim;
    end->sock = sock;
    end->receive_serial = ++end->serial;
    return (int)sock;
}

/* Bytes that are there already come with the next reap, as from a system. */
static void start_receive(struct io *io, uint32_t sock)
{
    struct sim_end *end = end_of(io, sock);
    end->receive_serial = ++end->serial;
    if (sim_end_readable(end) && (end->flags & END_RECEIVE_DUE) == 0) {
        end->flags |= END_RECEIVE_DUE;
        post_after(self(io), SIM_READABLE, (uint32_t)io->socks[sock].fd, 0, 0);
    }
}

static void start_send(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count)
{
    struct sim_end *end = end_of(io, sock);
    memcpy(end->spans, spans, count * sizeof *spans);
    end->spans_count = count;
    end->send_turn = self(io)->turn;
    end->send_serial = ++end->serial;
    sim_end_changed(self(io)->world, (uint32_t)io->socks[sock].fd);
}

static void cancel(struct io *io, uint32_t sock, enum io_op op)
{
    const struct sim_end *end = end_of(io, sock);
    uint32_t at = (uint32_t)io->socks[sock].fd;
    if (op == IO_SEND) {
        post(self(io), SIM_CANCEL_SEND, at, end->send_serial);
    } else {
        post(self(io), op == IO_CONNECT ? SIM_CANCEL_CONNECT : SIM_CANCEL_RECEIVE, at,
             end->receive_serial);
    }
}

static void shut_down(struct io *io, uint32_t sock, enum io_shutdown how)
{
    sim_end_shutdown(self(io)->world, (uint32_t)io->socks[sock].fd, how);
}

static void close_sock(struct io *io, uint32_t sock, bool reset)
{
    self(io)->world->socks--;
    sim_end_close(self(io)->world, (uint32_t)io->socks[sock].fd, reset);
}

static bool name_of(struct io *io, uint32_t sock, bool peer, struct berth_address *out)
{
    const struct sim_world *world = self(io)->world;
    uint32_t at = (uint32_t)io->socks[sock].fd;
    bool known = (world->ends[at].flags & (END_CONNECTED | END_RESET)) == END_CONNECTED;
    *out = world->ends[peer ? at ^ 1 : at].address;
    return !peer || known;
}

static void return_lease(struct io *io, uint16_t lease)
{
    struct sim_io *sim = self(io);
    memset(io_lease_data(io, lease), RETURNED_BYTE, io->config.receive_bytes);
    sim->leases_free[sim->leases_count++] = lease;
}

static void wake(struct io *io)
{
    self(io)->woken = true;
}

/* ----------------------------------------------------------------------------------------- reap */

static void act_on_due(struct sim_io *sim)
{
    struct sim_event event;
    uint32_t entries = sim->world->options.queue_entries;
    while (io_room(&sim->io) && sim_pop_due(&sim->heap, sim->world->now_ns, &event)) {
        if (entries != 0 && sim->io.out_count >= entries && !sim->overflown) {
            sim->overflown = true;
            sim->io.stats.overflows++;
        }
        act(sim, &event);
    }
}

static bool is_due(const struct sim_io *sim)
{
    uint64_t now_ns = sim->world->now_ns;
    return !sim->waits || sim->woken || sim_next_ns(&sim->heap) <= now_ns ||
           sim->deadline_ns <= now_ns;
}

bool sim_io_has_turn(const struct sim_io *sim)
{
    return sim->missed < SIM_PATIENCE && is_due(sim);
}

/* Whether another io should have its turn before time goes on. */
static bool must_wait_for_others(struct sim_io *sim)
{
    bool must = false;
    for (uint32_t i = 0; i < sim->world->ios_count; i++) {
        struct sim_io *other = sim->world->ios[i];
        if (other != NULL && other != sim && sim_io_has_turn(other)) {
            other->missed++;
            must = true;
        }
    }
    return must;
}

/* The next moment at which anything happens, at most limit_ns. Those who are late are passed by. */
static uint64_t next_moment(const struct sim_io *sim, uint64_t limit_ns)
{
    const struct sim_world *world = sim->world;
    uint64_t next = sim_next_ns(&world->heap);
    uint64_t own = sim_next_ns(&sim->heap);
    next = own < next ? own : next;
    next = limit_ns < next ? limit_ns : next;
    for (uint32_t i = 0; i < world->ios_count; i++) {
        const struct sim_io *other = world->ios[i];
        if (other == NULL || other == sim || is_due(other)) {
            continue;
        }
        uint64_t theirs = sim_next_ns(&other->heap);
        theirs = other->deadline_ns < theirs ? other->deadline_ns : theirs;
        next = theirs < next ? theirs : next;
    }
    return next;
}

static void wait_for_more(struct sim_io *sim)
{
    if (must_wait_for_others(sim)) {
        return;
    }
    uint64_t next = next_moment(sim, sim->deadline_ns);
    if (next == IO_FOREVER) {
        return; /* nothing will ever happen by itself: sim_world_idle */
    }
    sim_advance(sim->world, next);
    act_on_due(sim);
}

/* Until when a reap with this deadline may wait. One that does not wait gets the turn's time for
 * nothing if time has passed since its last, and otherwise pays for it. */
static uint64_t wait_limit(const struct io *io, uint64_t now_ns, uint64_t deadline_ns)
{
    if (deadline_ns > now_ns) {
        return deadline_ns;
    }
    return io->now_ns < now_ns ? now_ns : now_ns + POLL_NS;
}

void sim_interrupt(struct io *io)
{
    self(io)->interrupted = true;
}

static void reap(struct io *io, uint64_t deadline_ns)
{
    struct sim_io *sim = self(io);
    struct sim_world *world = sim->world;
    io->stats.enters++;
    sim->turn++;
    sim->missed = 0;
    if (sim->late_count > 0 && (!io->sends_late || !sim->waits)) {
        sim->late_ns = world->now_ns; /* from before a reap that gave nothing */
    }
    sim->waits = false;
    sim->overflown = false;
    sim->deadline_ns = wait_limit(io, world->now_ns, deadline_ns);
    /* Not twice in a row: who looks twice has seen what there is (io.h). */
    bool in_vain = sim_chance(world, world->options.spurious) || sim->interrupted;
    sim->spurious = in_vain && !sim->spurious;
    sim->interrupted = false;
    if (!sim->spurious) {
        if (sim->late_count > 0 && sim->late_ns < sim->deadline_ns) {
            sim->deadline_ns = sim->late_ns;
        }
        act_on_due(sim);
        if (io->out_count == 0 && !sim->woken && sim->deadline_ns > world->now_ns) {
            wait_for_more(sim);
            sim->waits = io->out_count == 0 && sim->deadline_ns > world->now_ns;
        }
        if (!sim->waits) {
            finish_late(sim);
        }
        sim->woken = false;
    }
    io->now_ns = world->now_ns;
}

const struct io_backend io_backend_sim = {
    .ops =
        {
            .name = "sim",
            .listen = sim_listen,
            .listener_close = sim_listener_close,
            .listener_halt = sim_listener_halt,
            .listener_resume = sim_listener_resume,
            .struct_bytes = sizeof(struct sim_io),
            .open = open_io,
            .close = close_io,
            .accept = start_accept,
            .cancel_accepts = cancel_accepts,
            .connect = start_connect,
            .receive = start_receive,
            .send = start_send,
            .cancel = cancel,
            .shutdown = shut_down,
            .sock_close = close_sock,
            .name_of = name_of,
            .lease_return = return_lease,
            .reap = reap,
            .wake = wake,
        },
};
