/* The simulated network: a clock, a heap of events, listeners, and connections as two byte pipes.
 *
 * Operations: draw randomness, post an event, advance the clock over what is due, listen, connect,
 * read and write at an end, shut down, reset, close. Everything that takes time is an event; the
 * handlers below are the network's side of TCP, as sim.h describes it. What the ios and the actors
 * make of it is in sim.c and sim_peer.c, which are told through sim_end_changed.
 *
 * The world owns all memory here and names everything by number, never by address, so that a run
 * is the same wherever malloc puts it. An event costs O(log events), reads and writes O(bytes), a
 * connect that arrives O(listeners + ios).
 */
#include "io/sim_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* The clock's start: not 0, so that a time that was never set is seen to be wrong. */
#define START_NS UINT64_C(1000000000)

/* Ports that the world chooses itself, as the system's ephemeral ones. */
#define PORT_FIRST 32768

/* Growing arrays start at this many places. */
#define ROOM_FIRST 16

/* ------------------------------------------------------------------------- randomness and trace */

static uint64_t splitmix(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_world_random(struct sim_world *world)
{
    return splitmix(&world->random);
}

/* The remainder favours small numbers by less than limit / 2^64, which no test can see. */
uint64_t sim_below(struct sim_world *world, uint64_t limit)
{
    BERTH_ASSERT(limit >= 1);
    return splitmix(&world->random) % limit;
}

/* Draws nothing for a fault that is off: turning one off leaves the others' draws alone. */
bool sim_chance(struct sim_world *world, uint32_t rate)
{
    return rate != 0 && sim_below(world, SIM_RATE_ONE) < rate;
}

/* Exponential, in integers: -log2 of a uniform number is the count of its leading zeros and a
 * fraction, here interpolated; times ln 2 it has the mean 1. */
uint64_t sim_delay(struct sim_world *world)
{
    const uint64_t ln2 = 45426; /* times 65536 */
    uint64_t draw = splitmix(&world->random) | 1;
    uint32_t zeros = (uint32_t)__builtin_clzll(draw);
    uint64_t fraction = (draw << zeros) >> 47 & 0xffff;
    uint64_t log2 = ((uint64_t)zeros << 16) + (0xffff - fraction);
    uint64_t delay = world->options.delay_mean_ns * (log2 * ln2 >> 16) >> 16;
    if (sim_chance(world, world->options.long_delay)) {
        delay *= 1 + sim_below(world, SIM_LONG);
    }
    return delay + 1;
}

void sim_fold(struct sim_world *world, uint64_t value)
{
    uint64_t mixed = (world->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    world->hash = mixed ^ (mixed >> 29);
}

void sim_fold_bytes(struct sim_world *world, const uint8_t *bytes, uint32_t count)
{
    uint32_t i = 0;
    for (; count - i >= 8; i += 8) {
        sim_fold(world, load64(bytes + i, false));
    }
    for (; i < count; i++) {
        sim_fold(world, bytes[i]);
    }
}

/* -------------------------------------------------------------------------------------- options */

/* Off with probability 1/2, else 1/2 or less by a power of two, at most `shift_max` halvings. */
static uint32_t swarm_rate(uint64_t *state, uint32_t shift_min, uint32_t shift_max)
{
    uint64_t draw = splitmix(state);
    if ((draw & 1) == 0) {
        return 0;
    }
    return SIM_RATE_ONE >> (shift_min + (uint32_t)((draw >> 8) % (shift_max - shift_min + 1)));
}

struct sim_options sim_options_swarm(uint64_t seed)
{
    /* Another generator than the world's, so that the two may be given the same seed. */
    uint64_t state = ~seed;
    struct sim_options options = {.delay_mean_ns = UINT64_C(1000) << splitmix(&state) % 11};
    options.pipe_bytes = 1u << (7 + splitmix(&state) % 11);
    options.long_delay = swarm_rate(&state, 3, 13);
    options.split = swarm_rate(&state, 1, 13);
    options.short_send = swarm_rate(&state, 1, 13);
    options.no_buffer = swarm_rate(&state, 1, 13);
    options.drop_more = swarm_rate(&state, 1, 13);
    options.cancel_loses = swarm_rate(&state, 1, 13);
    options.accept_error = swarm_rate(&state, 1, 13);
    options.reset = swarm_rate(&state, 6, 13);
    options.half_close = swarm_rate(&state, 6, 13);
    options.spurious = swarm_rate(&state, 1, 13);
    return options;
}

/* The draws are independent of those above: another constant. */
void sim_options_trouble(struct sim_options *options, uint64_t seed)
{
    uint64_t state = seed ^ UINT64_C(0x7f4a7c15f39cc060);
    options->connect_error = swarm_rate(&state, 1, 10);
    options->receive_error = swarm_rate(&state, 6, 13);
    options->send_error = swarm_rate(&state, 6, 13);
    uint64_t draw = splitmix(&state);
    options->queue_entries = (draw & 1) != 0 ? 1u << ((draw >> 8) % 6) : 0;
    options->descriptors = (draw & 2) != 0 ? 1 + (uint32_t)((draw >> 16) % 12) : 0;
    options->memory_bytes = (draw & 4) != 0 ? 1024u << ((draw >> 24) % 8) : 0;
}

void sim_world_options(struct sim_world *world, const struct sim_options *options)
{
    world->options = options != NULL ? *options : (struct sim_options){0};
    if (world->options.delay_mean_ns == 0) {
        world->options.delay_mean_ns = SIM_DELAY_MEAN_NS;
    }
    if (world->options.pipe_bytes == 0) {
        world->options.pipe_bytes = SIM_PIPE_BYTES;
    }
}

/* ----------------------------------------------------------------------------------- the events */

void *sim_grow(void *array, uint32_t *room, uint32_t count, size_t item)
{
    if (count <= *room) {
        return array;
    }
    *room = *room == 0 ? ROOM_FIRST : *room * 2;
    BERTH_ASSERT(count <= *room); /* arrays grow by one or two places */
    void *grown = realloc(array, *room * item);
    BERTH_ASSERT(grown != NULL);
    return grown;
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->tie < b->tie;
}

void sim_post(struct sim_world *world, struct sim_heap *heap, const struct sim_event *event)
{
    BERTH_ASSERT(event->due_ns >= world->now_ns); /* and acted on in a reap only: law 2 */
    heap->count++;
    heap->events = sim_grow(heap->events, &heap->room, heap->count, sizeof *heap->events);
    struct sim_event placed = *event;
    placed.tie = splitmix(&world->random);
    uint32_t at = heap->count - 1;
    while (at > 0 && earlier(&placed, &heap->events[(at - 1) / 2])) {
        heap->events[at] = heap->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->events[at] = placed;
}

bool sim_pop_due(struct sim_heap *heap, uint64_t now_ns, struct sim_event *out)
{
    if (sim_next_ns(heap) > now_ns) {
        return false;
    }
    *out = heap->events[0];
    heap->count--;
    struct sim_event last = heap->events[heap->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child + 1 < heap->count && earlier(&heap->events[child + 1], &heap->events[child])) {
            child++;
        }
        if (child >= heap->count || !earlier(&heap->events[child], &last)) {
            break;
        }
        heap->events[at] = heap->events[child];
        at = child;
    }
    heap->events[at] = last;
    return true;
}

uint64_t sim_next_ns(const struct sim_heap *heap)
{
    return heap->count == 0 ? IO_FOREVER : heap->events[0].due_ns;
}

/* Posts an event of the network, at an end. */
static void post_at(struct sim_world *world, uint32_t end, enum sim_event_kind kind,
                    uint64_t due_ns, uint64_t value)
{
    struct sim_event event = {.due_ns = due_ns,
                              .value = value,
                              .index = end,
                              .generation = world->ends[end].generation,
                              .kind = kind};
    sim_post(world, &world->heap, &event);
}

/* When something sent now arrives at an end: behind all that was sent before. */
static uint64_t arrival_ns(struct sim_world *world, uint32_t end)
{
    struct sim_pipe *in = &world->ends[end].in;
    uint64_t due_ns = world->now_ns + sim_delay(world);
    in->last_due_ns = due_ns > in->last_due_ns ? due_ns : in->last_due_ns + 1;
    return in->last_due_ns;
}

/* A reset waits for nothing that was sent before it. */
static void send_rst(struct sim_world *world, uint32_t to)
{
    if ((world->ends[to].flags & END_OPEN) != 0) {
        post_at(world, to, SIM_RST, world->now_ns + sim_delay(world), 0);
    }
}

static void send_fin(struct sim_world *world, uint32_t from)
{
    struct sim_end *end = &world->ends[from];
    if ((end->flags & END_SHUT_SEND) == 0) {
        end->flags |= END_SHUT_SEND;
        post_at(world, from ^ 1, SIM_FIN, arrival_ns(world, from ^ 1), 0);
    }
}

/* ------------------------------------------------------------------------------------ listeners */

static bool same_host(const struct berth_address *a, const struct berth_address *b)
{
    return a->family == b->family && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The listener that a connect to this address reaches, or one that is in the way of listening on
 * it; SIM_NONE if there is none. */
static uint32_t find_listener(const struct sim_world *world, const struct berth_address *address)
{
    for (uint32_t i = 0; i < world->listeners_count; i++) {
        const struct sim_listener *listener = &world->listeners[i];
        if (listener->open && listener->address.port == address->port &&
            (listener->address.family == BERTH_ANY || address->family == BERTH_ANY ||
             same_host(&listener->address, address))) {
            return i;
        }
    }
    return SIM_NONE;
}

static uint16_t choose_port(struct sim_world *world)
{
    uint16_t port = world->next_port;
    world->next_port = port == UINT16_MAX ? PORT_FIRST : (uint16_t)(port + 1);
    return port;
}

int sim_listen(void *world_of, const struct berth_address *address, int backlog,
               struct io_listener *out)
{
    struct sim_world *world = world_of;
    struct berth_address bound = *address;
    while (bound.port == 0 || (address->port == 0 && find_listener(world, &bound) != SIM_NONE)) {
        bound.port = choose_port(world);
    }
    if (find_listener(world, &bound) != SIM_NONE) {
        return -EADDRINUSE;
    }
    uint32_t clipped = backlog > SIM_BACKLOG_MAX ? SIM_BACKLOG_MAX : (uint32_t)backlog;
    uint32_t number = world->listeners_count++;
    world->listeners = sim_grow(world->listeners, &world->listeners_room, world->listeners_count,
                                sizeof *world->listeners);
    struct sim_listener *listener = &world->listeners[number];
    *listener = (struct sim_listener){.address = bound, .open = true, .backlog = clipped};
    listener->queue = calloc(clipped, sizeof *listener->queue);
    BERTH_ASSERT(listener->queue != NULL);
    *out = (struct io_listener){.id = (int)number, .address = bound, .backlog = (int)clipped};
    return 0;
}

uint32_t sim_listener_take(struct sim_listener *listener)
{
    BERTH_ASSERT(listener->waiting > 0);
    uint32_t end = listener->queue[listener->first];
    listener->first = (listener->first + 1) % listener->backlog;
    listener->waiting--;
    return end;
}

void sim_listener_halt(void *world_of, struct io_listener *halting)
{
    struct sim_world *world = world_of;
    struct sim_listener *listener = &world->listeners[halting->id];
    listener->halted = true;
    while (listener->waiting > 0) {
        sim_end_close(world, sim_listener_take(listener), true);
    }
}

int sim_listener_resume(void *world_of, struct io_listener *halted)
{
    const struct sim_world *world = world_of;
    world->listeners[halted->id].halted = false;
    return 0;
}

void sim_listener_close(void *world_of, struct io_listener *closing)
{
    struct sim_world *world = world_of;
    BERTH_ASSERT(closing->id >= 0 && (uint32_t)closing->id < world->listeners_count);
    struct sim_listener *listener = &world->listeners[closing->id];
    BERTH_ASSERT(listener->open);
    listener->open = false;
    while (listener->waiting > 0) {
        sim_end_close(world, sim_listener_take(listener), true);
    }
    free(listener->queue);
    listener->queue = NULL;
    closing->id = -1;
}

/* ------------------------------------------------------------------------ connections, and ends */

static uint32_t open_connection(struct sim_world *world)
{
    uint32_t conn = world->conns_free;
    if (conn != SIM_NONE) {
        world->conns_free = world->ends[2 * conn].next_free;
    } else {
        conn = world->conns_count++;
        world->ends = sim_grow(world->ends, &world->ends_room, 2 * conn + 2, sizeof *world->ends);
        world->ends[2 * conn] = (struct sim_end){0};
        world->ends[2 * conn + 1] = (struct sim_end){0};
    }
    world->conns_open++;
    return 2 * conn;
}

/* Once neither end is open, nobody can see what still arrives. */
static void release_if_over(struct sim_world *world, uint32_t end)
{
    uint32_t client = end & ~1u;
    if (((world->ends[client].flags | world->ends[client + 1].flags) & END_OPEN) != 0) {
        return;
    }
    for (uint32_t i = client; i <= client + 1; i++) {
        world->bytes -= world->ends[i].in.written - world->ends[i].in.read;
        free(world->ends[i].in.bytes);
        world->ends[i] = (struct sim_end){.generation = world->ends[i].generation + 1};
    }
    world->ends[client].next_free = world->conns_free;
    world->conns_free = client / 2;
    world->conns_open--;
}

uint32_t sim_connect(struct sim_world *world, const struct berth_address *remote,
                     const struct berth_address *local)
{
    uint32_t client = open_connection(world);
    struct sim_end *end = &world->ends[client];
    end->flags = END_OPEN;
    if (local != NULL) {
        end->address = *local;
    } else if (remote->family == BERTH_IPV4) {
        end->address = (struct berth_address){.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    } else {
        end->address = (struct berth_address){.family = BERTH_IPV6, .bytes = {[15] = 1}};
    }
    if (end->address.port == 0) {
        end->address.port = choose_port(world);
    }
    world->ends[client + 1].address = *remote;
    post_at(world, client, SIM_SYN, world->now_ns + sim_delay(world), 0);
    return client;
}

bool sim_end_readable(const struct sim_end *end)
{
    bool failed = (end->flags & (END_ANSWERED | END_CONNECTED)) == END_ANSWERED;
    return end->in.arrived > end->in.read || end->in.fin || failed ||
           (end->flags & (END_RESET | END_SHUT_READ)) != 0;
}

uint32_t sim_end_space(const struct sim_world *world, uint32_t end)
{
    const struct sim_pipe *pipe = &world->ends[end ^ 1].in;
    uint32_t size = pipe->bytes == NULL ? world->options.pipe_bytes : pipe->size;
    return size - (uint32_t)(pipe->written - pipe->read);
}

void sim_end_put(struct sim_world *world, uint32_t end, const uint8_t *from, uint32_t count)
{
    BERTH_ASSERT(count <= sim_end_space(world, end));
    struct sim_pipe *pipe = &world->ends[end ^ 1].in;
    if (pipe->bytes == NULL) {
        pipe->size = world->options.pipe_bytes;
        pipe->bytes = malloc(pipe->size);
        BERTH_ASSERT(pipe->bytes != NULL);
    }
    uint32_t at = (uint32_t)(pipe->written % pipe->size);
    uint32_t straight = count < pipe->size - at ? count : pipe->size - at;
    memcpy(pipe->bytes + at, from, straight);
    memcpy(pipe->bytes, from + straight, count - straight);
    pipe->written += count;
    world->bytes += count;
    if ((world->ends[end ^ 1].flags & END_VANISHED) != 0 && pipe->written == count + pipe->read) {
        post_at(world, end, SIM_GIVE_UP, world->now_ns + SIM_GIVE_UP_NS, 0);
    }
}

void sim_end_sent(struct sim_world *world, uint32_t end)
{
    post_at(world, end ^ 1, SIM_BYTES, arrival_ns(world, end ^ 1), world->ends[end ^ 1].in.written);
}

uint32_t sim_end_read(struct sim_world *world, uint32_t end, uint8_t *to, uint32_t count)
{
    struct sim_pipe *pipe = &world->ends[end].in;
    BERTH_ASSERT(count >= 1 && count <= pipe->arrived - pipe->read);
    if (sim_chance(world, world->options.split)) {
        count = 1 + (uint32_t)sim_below(world, count);
    }
    uint32_t at = (uint32_t)(pipe->read % pipe->size);
    uint32_t straight = count < pipe->size - at ? count : pipe->size - at;
    memcpy(to, pipe->bytes + at, straight);
    memcpy(to + straight, pipe->bytes, count - straight);
    pipe->read += count;
    world->bytes -= count;
    sim_end_changed(world, end ^ 1); /* its sends have space again */
    return count;
}

/* A reset behind a FIN is EPIPE, as Linux has it: the stream had ended well. */
int sim_end_error(struct sim_end *end)
{
    if ((end->flags & END_ERROR) == 0) {
        return 0;
    }
    end->flags &= ~END_ERROR;
    return end->error != 0 ? end->error : end->in.fin ? EPIPE : ECONNRESET;
}

void sim_end_shutdown(struct sim_world *world, uint32_t end, enum io_shutdown how)
{
    if ((world->ends[end].flags & (END_CONNECTED | END_RESET)) != END_CONNECTED) {
        return; /* what was reset has nothing more to say */
    }
    send_fin(world, end);
    if (how == IO_SHUTDOWN_BOTH) {
        world->ends[end].flags |= END_SHUT_READ;
    }
    sim_end_changed(world, end);
}

void sim_end_reset(struct sim_world *world, uint32_t end)
{
    if ((world->ends[end].flags & END_RESET) == 0) {
        world->ends[end].flags |= END_RESET | END_SHUT_SEND;
        send_rst(world, end ^ 1);
    }
}

void sim_end_close(struct sim_world *world, uint32_t end, bool reset)
{
    struct sim_end *e = &world->ends[end];
    BERTH_ASSERT((e->flags & END_OPEN) != 0);
    if ((e->flags & END_RESET) != 0 || (world->ends[end ^ 1].flags & END_OPEN) == 0) {
        /* nobody is left to be told */
    } else if (reset || e->in.arrived > e->in.read) {
        send_rst(world, end ^ 1);
    } else {
        send_fin(world, end);
    }
    e->flags = (e->flags & ~END_OPEN) | END_SHUT_SEND;
    e->owner = NULL;
    release_if_over(world, end);
}

void sim_end_vanish(struct sim_world *world, uint32_t end)
{
    struct sim_end *e = &world->ends[end];
    BERTH_ASSERT((e->flags & END_OPEN) != 0);
    e->flags = (e->flags & ~END_OPEN) | END_SHUT_SEND | END_VANISHED;
    if (e->in.written > e->in.read) {
        post_at(world, end ^ 1, SIM_GIVE_UP, world->now_ns + SIM_GIVE_UP_NS, 0);
    }
    release_if_over(world, end);
}

/* --------------------------------------------------------------------------- what the events do */

static void on_syn(struct sim_world *world, uint32_t client)
{
    uint32_t server = client + 1;
    uint32_t number = find_listener(world, &world->ends[server].address);
    struct sim_listener *listener = number == SIM_NONE ? NULL : &world->listeners[number];
    bool refused = listener == NULL || listener->halted || listener->waiting == listener->backlog;
    int error = refused ? ECONNREFUSED : 0;
    if (world->ends[client].owner != NULL && sim_chance(world, world->options.connect_error)) {
        error = sim_draw_error(world, IO_CONNECT);
    }
    post_at(world, client, SIM_ANSWER, arrival_ns(world, client), (uint64_t)error);
    if (error != 0) {
        return;
    }
    BERTH_ASSERT(listener != NULL);
    world->ends[server].flags = END_OPEN | END_ANSWERED | END_CONNECTED;
    listener->queue[(listener->first + listener->waiting) % listener->backlog] = server;
    listener->waiting++;
    for (uint32_t i = 0; i < world->ios_count; i++) {
        if (world->ios[i] != NULL) {
            sim_accepts_changed(world->ios[i]);
        }
    }
}

static void on_answer(struct sim_end *end, int error)
{
    if ((end->flags & END_ANSWERED) == 0) {
        end->flags |= END_ANSWERED | (error == 0 ? END_CONNECTED : 0);
        end->connect_error = error;
    }
}

static void on_rst(struct sim_end *end)
{
    on_answer(end, ECONNRESET);
    if ((end->flags & END_RESET) == 0) {
        end->flags |= END_RESET | END_ERROR;
    }
}

/* What was sent is not acknowledged. */
static void on_give_up(struct sim_end *end)
{
    if ((end->flags & END_RESET) == 0) {
        end->flags |= END_RESET | END_ERROR;
        end->error = ETIMEDOUT;
    }
}

static void on_bytes(struct sim_world *world, uint32_t at, uint64_t up_to)
{
    struct sim_end *end = &world->ends[at];
    if ((end->flags & (END_RESET | END_VANISHED)) != 0) {
        return; /* overtaken by a reset, or nobody is there: lost */
    }
    if ((end->flags & END_OPEN) == 0 || (end->flags & END_SHUT_READ) != 0) {
        on_rst(end); /* nobody will ever read them, and the sender must know */
        send_rst(world, at ^ 1);
        return;
    }
    end->in.arrived = up_to;
    if (sim_chance(world, world->options.reset)) {
        send_rst(world, at);
        send_rst(world, at ^ 1);
    }
}

static void happen(struct sim_world *world, const struct sim_event *event)
{
    if (event->kind == SIM_ALARM) {
        return;
    }
    struct sim_end *end = &world->ends[event->index];
    if (end->generation != event->generation) {
        return; /* both ends are closed */
    }
    switch (event->kind) {
    case SIM_SYN:
        on_syn(world, event->index);
        break;
    case SIM_ANSWER:
        on_answer(end, (int)event->value);
        break;
    case SIM_BYTES:
        on_bytes(world, event->index, event->value);
        break;
    case SIM_FIN:
        end->in.fin = end->in.fin || (end->flags & END_RESET) == 0;
        break;
    case SIM_RST:
        on_rst(end);
        break;
    case SIM_GIVE_UP:
        on_give_up(end);
        break;
    default:
        BERTH_UNREACHABLE(); /* an io's event in the world's heap */
    }
    sim_end_changed(world, event->index);
}

void sim_advance(struct sim_world *world, uint64_t at_ns)
{
    struct sim_event event;
    BERTH_ASSERT(at_ns >= world->now_ns);
    world->now_ns = at_ns;
    while (sim_pop_due(&world->heap, at_ns, &event)) {
        happen(world, &event);
    }
}

/* ------------------------------------------------------------------------------------ the world */

struct sim_world *sim_world_create(uint64_t seed, const struct sim_options *options)
{
    struct sim_world *world = calloc(1, sizeof *world);
    BERTH_ASSERT(world != NULL);
    world->random = seed;
    world->now_ns = options != NULL && options->start_ns != 0 ? options->start_ns : START_NS;
    world->conns_free = SIM_NONE;
    world->next_port = PORT_FIRST;
    sim_world_options(world, options);
    return world;
}

void sim_world_destroy(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->ios_count; i++) {
        BERTH_ASSERT(world->ios[i] == NULL);
    }
    for (uint32_t i = 0; i < world->listeners_count; i++) {
        free(world->listeners[i].queue);
    }
    for (uint32_t i = 0; i < 2 * world->conns_count; i++) {
        free(world->ends[i].in.bytes);
    }
    free(world->ios);
    free(world->listeners);
    free(world->ends);
    free(world->heap.events);
    free(world);
}

uint64_t sim_world_now(const struct sim_world *world)
{
    return world->now_ns;
}

uint64_t sim_world_hash(const struct sim_world *world)
{
    return world->hash;
}

uint32_t sim_world_connections(const struct sim_world *world)
{
    return world->conns_open;
}

uint64_t sim_world_completions(const struct sim_world *world)
{
    return world->completions;
}

bool sim_world_idle(const struct sim_world *world)
{
    if (world->heap.count != 0) {
        return false;
    }
    for (uint32_t i = 0; i < world->ios_count; i++) {
        const struct sim_io *sim = world->ios[i];
        if (sim == NULL || sim->missed >= SIM_PATIENCE) {
            continue;
        }
        if (sim_io_has_turn(sim) || sim->heap.count != 0 || sim->deadline_ns != IO_FOREVER) {
            return false;
        }
    }
    return true;
}

void sim_world_alarm(struct sim_world *world, uint64_t at_ns)
{
    uint64_t due_ns = at_ns > world->now_ns ? at_ns : world->now_ns + 1;
    sim_post(world, &world->heap, &(struct sim_event){.due_ns = due_ns, .kind = SIM_ALARM});
}
