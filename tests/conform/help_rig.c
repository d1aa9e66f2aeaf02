/* The rig: open, close, the book of operations, and the turns. help_rig.h says how tests use it.
 *
 * The rig owns the ios, their listeners and buffers, and the world if the backend is the simulated
 * one. An operation's number in the book is its token's slot, so finding it is one index; its
 * generation is made from the number, so that a token with another number's generation is noticed.
 */
#include "conform/help_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

/* The longest that a test may wait for one condition: without a completion, and in turns. A busy
 * machine may keep us from a turn for seconds, and then all is there at once. */
#define WAIT_NS    UINT64_C(4000000000)
#define WAIT_TURNS 2000000

/* A real turn without completions waits at most so long: with one io every event of the test wakes
 * it; with two, the other's events do not. */
#define TURN_NS        50000000
#define TURN_NS_OF_TWO 1000000

/* So long without anything is quiet, and so many turns, as one may be in vain and the process may
 * have had no CPU in it. Loopback delivers within microseconds. */
#define QUIET_NS    30000000
#define QUIET_TURNS 10

#define CHILD_FAILED 3

/* Receive buffers beyond this come from the system, not from malloc, which may touch them. */
#define LARGE_BLOCK_BYTES ((size_t)64 << 20)

const struct io_backend *rig_backend;
uint32_t rig_features_off;
uint32_t rig_rest_ms;
const struct io_backend *rig_inner;
struct fault_plan rig_plan;
uint64_t rig_seed;
uint32_t rig_batch = RIG_BATCH_MAX;
bool rig_in_child;

bool rig_simulated(void)
{
    return (rig_inner != NULL ? rig_inner : rig_backend) == &io_backend_sim;
}

bool rig_may_spin(void)
{
    return rig_simulated() || rig_plan.spurious > 0;
}

bool rig_byte_by_byte(void)
{
    return rig_plan.receive_most == 1 || rig_plan.send_most == 1;
}

uint32_t rig_bytes_count(uint32_t count)
{
    return rig_byte_by_byte() ? count / 200 : count;
}

_Noreturn void rig_fail(const struct rig *rig, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "backend %s%s%s, seed %llu, %llu completions so far: %s\n",
            io_backend_name(rig_backend), rig_inner != NULL ? " around " : "",
            rig_inner != NULL ? io_backend_name(rig_inner) : "", (unsigned long long)rig_seed,
            (unsigned long long)rig->completions, text);
    if (rig_in_child) {
        _exit(CHILD_FAILED);
    }
    fail();
    abort(); /* fail() does not return, but does not say so */
}

/* ------------------------------------------------------------------------------- open and close */

static void *must(void *memory)
{
    if (memory == NULL) {
        perror("malloc");
        abort();
    }
    return memory;
}

static void set_defaults(struct rig_setup *setup)
{
    setup->ios = setup->ios == 0 ? 1 : setup->ios;
    setup->listeners = setup->listeners == 0 ? 1 : setup->listeners;
    setup->backlog = setup->backlog == 0 ? 128 : setup->backlog;
    setup->socks_max = setup->socks_max == 0 ? 64 : setup->socks_max;
    setup->receive_bytes = setup->receive_bytes == 0 ? 4096 : setup->receive_bytes;
    setup->receive_count = setup->receive_count == 0 ? 8 : setup->receive_count;
    setup->batch = setup->batch == 0 ? rig_batch : setup->batch;
}

/* A block of receive buffers, aligned as the library's is. A large one is reserved as the library
 * does it, and in small pages, so that only what is used becomes memory. */
static uint8_t *open_block(size_t bytes)
{
    if (bytes <= LARGE_BLOCK_BYTES) {
        return must(aligned_alloc(4096, (bytes + 4095) / 4096 * 4096));
    }
    uint8_t *block = must(memory_reserve(bytes));
    (void)madvise(block, bytes, MADV_NOHUGEPAGE);
    return block;
}

static void close_block(uint8_t *block, size_t bytes)
{
    if (bytes <= LARGE_BLOCK_BYTES) {
        free(block);
    } else {
        memory_release(block, bytes);
    }
}

static size_t block_bytes(const struct rig *rig)
{
    return (size_t)rig->setup.receive_count * rig->setup.receive_bytes;
}

static int open_io(struct rig *rig, uint32_t i)
{
    const struct rig_setup *setup = &rig->setup;
    rig->buffers[i] = open_block(block_bytes(rig));
    struct io_config config = {
        .world = rig_world(rig),
        .socks_max = setup->socks_max,
        .listeners = rig->listeners,
        .listeners_count = setup->listeners,
        .receive_base = rig->buffers[i],
        .receive_bytes = setup->receive_bytes,
        .receive_count = setup->receive_count,
        .features_off = rig_features_off,
        .rest_ms = rig_rest_ms,
    };
    return io_open(rig_backend, &config, &rig->ios[i]);
}

void *rig_world(struct rig *rig)
{
    return rig_inner != NULL ? (void *)&rig->decorator : rig->world;
}

static void make_world(struct rig *rig)
{
    if (rig_inner != NULL) {
        rig->decorator.inner = rig_inner;
        rig->decorator.seed = rig_seed;
        rig->decorator.plan = rig_plan;
    }
    if (!rig_simulated()) {
        return;
    }
    if (rig_seed != 0) {
        /* The faults that end a connection are the tests' own business. */
        rig->faults = sim_options_swarm(rig_seed);
        rig->faults.reset = 0;
        rig->faults.half_close = 0;
        rig->faults.accept_error = 0;
    }
    rig->world = sim_world_create(rig_seed, &rig->faults);
    rig->decorator.world = rig->world;
}

void rig_open(struct rig *rig, const struct rig_setup *setup)
{
    memset(rig, 0, sizeof *rig);
    rig->setup = *setup;
    set_defaults(&rig->setup);
    make_world(rig);
    rig->held = must(calloc((size_t)rig->setup.ios * rig->setup.receive_count, sizeof *rig->held));
    struct berth_address address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    if (setup->any) {
        address = (struct berth_address){.family = BERTH_ANY};
    }
    for (uint32_t i = 0; i < rig->setup.listeners; i++) {
        int result = io_listen(rig_backend, rig_world(rig), &address, rig->setup.backlog,
                               &rig->listeners[i]);
        if (result != 0) {
            rig_fail(rig, "io_listen: %d", result);
        }
    }
    for (uint32_t i = 0; i < rig->setup.ios; i++) {
        int result = open_io(rig, i);
        if (result != 0) {
            rig_fail(rig, "io_open: %d", result);
        }
        /* Time costs nothing there. */
        io_sends_may_be_late(rig->ios[i], rig_simulated() && rig_seed % 2 == 1);
    }
}

bool rig_opens(void)
{
    struct rig rig = {.setup = {.ios = 1}};
    set_defaults(&rig.setup);
    rig.setup.listeners = 0;
    make_world(&rig);
    int result = open_io(&rig, 0);
    if (result == 0) {
        io_close_all(rig.ios[0]);
    } else {
        fprintf(stderr, "io_open of %s: %s\n", io_backend_name(rig_backend), strerror(-result));
    }
    if (rig.world != NULL) {
        sim_world_destroy(rig.world);
    }
    close_block(rig.buffers[0], block_bytes(&rig));
    return result == 0;
}

void rig_faults(struct rig *rig, const struct sim_options *more)
{
    if (rig_inner != NULL) { /* its own errors of accept are a plan's, with a schedule */
        struct fault_plan *plan = &rig->decorator.plan;
        plan->drop_more |= more->drop_more;
        plan->cancel_late |= more->cancel_loses;
        plan->short_send |= more->short_send;
        plan->split |= more->split;
    }
    if (rig->world == NULL) {
        return;
    }
    struct sim_options *faults = &rig->faults;
    faults->drop_more |= more->drop_more;
    faults->cancel_loses |= more->cancel_loses;
    faults->short_send |= more->short_send;
    faults->no_buffer |= more->no_buffer;
    faults->split |= more->split;
    faults->accept_error |= more->accept_error;
    sim_world_options(rig->world, faults);
}

void rig_close(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->setup.ios; i++) {
        io_cancel_accepts(rig->ios[i]);
    }
    RIG_UNTIL(rig, rig->flying == 0);
    rig_return_held(rig);
    for (uint32_t i = 0; i < rig->setup.ios; i++) {
        assert_int_equal(io_leases_free(rig->ios[i]), rig->setup.receive_count);
        io_close_all(rig->ios[i]);
        close_block(rig->buffers[i], block_bytes(rig));
    }
    for (uint32_t i = 0; i < rig->setup.listeners; i++) {
        if (rig->listeners[i].id >= 0) {
            io_listener_close(rig_backend, rig_world(rig), &rig->listeners[i]);
        }
    }
    if (rig->world != NULL) {
        sim_world_destroy(rig->world);
    }
    free(rig->held);
    free(rig->ops);
}

/* ----------------------------------------------------------------------------------- operations */

struct rig_op *rig_op(struct rig *rig, uint32_t op)
{
    return &rig->ops[op];
}

static uint32_t generation_of(uint32_t op)
{
    return (op * 2654435761u >> 7) & IO_GENERATION_MASK;
}

static uint32_t note(struct rig *rig, enum io_op kind, struct rig_end end, struct rig_bytes *into)
{
    if (rig->ops_count == rig->ops_room) {
        rig->ops_room = rig->ops_room == 0 ? 64 : rig->ops_room * 2;
        rig->ops = must(realloc(rig->ops, rig->ops_room * sizeof *rig->ops));
    }
    rig->ops[rig->ops_count] =
        (struct rig_op){.kind = kind, .end = end, .flying = true, .into = into};
    rig->flying++;
    return rig->ops_count++;
}

static uint64_t token_of(const struct rig *rig, uint32_t op)
{
    return io_token(rig->ops[op].kind, generation_of(op), op);
}

uint32_t rig_accept(struct rig *rig, uint32_t io)
{
    uint32_t op = note(rig, IO_ACCEPT, (struct rig_end){.io = io, .sock = -1}, NULL);
    io_accept(rig->ios[io], token_of(rig, op));
    return op;
}

uint32_t rig_connect(struct rig *rig, uint32_t io, const struct berth_address *to)
{
    return rig_connect_from(rig, io, to, NULL);
}

uint32_t rig_connect_from(struct rig *rig, uint32_t io, const struct berth_address *to,
                          const struct berth_address *from)
{
    uint32_t op = note(rig, IO_CONNECT, (struct rig_end){.io = io, .sock = -1}, NULL);
    int sock = io_connect(rig->ios[io], to, from, token_of(rig, op));
    if (sock < 0) {
        rig_fail(rig, "io_connect: %d", sock);
    }
    rig->ops[op].end.sock = sock;
    return op;
}

uint32_t rig_receive(struct rig *rig, struct rig_end end, struct rig_bytes *into)
{
    uint32_t op = note(rig, IO_RECEIVE, end, into);
    io_receive(rig->ios[end.io], end.sock, token_of(rig, op));
    return op;
}

uint32_t rig_send_spans(struct rig *rig, struct rig_end end, const struct io_span *spans,
                        uint32_t count)
{
    uint32_t op = note(rig, IO_SEND, end, NULL);
    io_send(rig->ios[end.io], end.sock, spans, count, token_of(rig, op));
    return op;
}

uint32_t rig_send(struct rig *rig, struct rig_end end, const void *bytes, uint32_t count)
{
    struct io_span span = {.data = bytes, .size = count};
    return rig_send_spans(rig, end, &span, 1);
}

void rig_return_held(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->held_count; i++) {
        io_lease_return(rig->ios[rig->held[i].io], rig->held[i].lease);
    }
    rig->held_count = 0;
}

/* --------------------------------------------------------------------- completions and the laws */

static bool in_list(int32_t result, const int *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (result == -list[i]) {
            return true;
        }
    }
    return false;
}

/* Law 10: the lists of io.h, again. */
static bool is_listed(enum io_op kind, int32_t result)
{
    static const int accepts[] = {EMFILE, ENFILE, ENOBUFS,   ENOMEM, ECONNABORTED,
                                  EPROTO, EPERM,  ECANCELED, EIO};
    static const int connects[] = {ECONNREFUSED,  ETIMEDOUT,  EHOSTUNREACH, ENETUNREACH, ECONNRESET,
                                   EADDRNOTAVAIL, EADDRINUSE, EACCES,       EPERM,       ENOBUFS,
                                   ENOMEM,        ECANCELED,  EIO};
    static const int receives[] = {ENOBUFS,     ECONNRESET, ETIMEDOUT, EPIPE, EHOSTUNREACH,
                                   ENETUNREACH, ENOMEM,     ECANCELED, EIO};
    static const int sends[] = {EPIPE,   ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH,
                                ENOBUFS, ENOMEM,     ECANCELED, EIO};
    switch (kind) {
    case IO_ACCEPT:
        return result >= 0 || in_list(result, accepts, sizeof accepts / sizeof *accepts);
    case IO_CONNECT:
        return result == 0 || in_list(result, connects, sizeof connects / sizeof *connects);
    case IO_RECEIVE:
        return result >= 0 || in_list(result, receives, sizeof receives / sizeof *receives);
    case IO_SEND:
        return result > 0 || in_list(result, sends, sizeof sends / sizeof *sends);
    }
    return false;
}

static void append(struct rig_bytes *into, const uint8_t *bytes, uint32_t count)
{
    if (into->size + count > into->room) {
        into->room = (into->size + count) * 2;
        into->bytes = must(realloc(into->bytes, into->room));
    }
    memcpy(into->bytes + into->size, bytes, count);
    into->size += count;
}

static void take_lease(struct rig *rig, uint32_t io, const struct rig_op *op,
                       const struct io_completion *completion)
{
    const uint8_t *base = rig->buffers[io];
    size_t at = (size_t)(completion->data - base);
    uint32_t size = (uint32_t)completion->result;
    if (completion->lease >= rig->setup.receive_count || size > rig->setup.receive_bytes ||
        at != (size_t)completion->lease * rig->setup.receive_bytes) {
        rig_fail(rig, "lease %u: %u bytes at %zu of the block", completion->lease, size, at);
    }
    for (uint32_t i = 0; i < rig->held_count; i++) {
        if (rig->held[i].io == io && rig->held[i].lease == completion->lease) {
            rig_fail(rig, "law 7: lease %u was lent while it was held", completion->lease);
        }
    }
    if (op->into != NULL) {
        append(op->into, completion->data, size);
    }
    if (!rig->hold) {
        io_lease_return(rig->ios[io], completion->lease);
        return;
    }
    if (rig->held_count == rig->setup.ios * rig->setup.receive_count) {
        rig_fail(rig, "more leases held than the rig has places for");
    }
    rig->held[rig->held_count++] = (struct rig_held){
        .io = io, .lease = completion->lease, .data = completion->data, .size = size};
}

static void take(struct rig *rig, uint32_t io, const struct io_completion *completion)
{
    uint32_t number = io_token_slot(completion->token);
    struct rig_op *op = number < rig->ops_count ? &rig->ops[number] : NULL;
    if (op == NULL || io_token_op(completion->token) != op->kind || op->end.io != io ||
        io_token_generation(completion->token) != generation_of(number)) {
        rig_fail(rig, "law 12: no operation has the token %llx",
                 (unsigned long long)completion->token);
    }
    bool more = (completion->flags & IO_MORE) != 0;
    bool lease = (completion->flags & IO_LEASE) != 0;
    if (!op->flying) {
        rig_fail(rig, "law 1: operation %u (kind %d) completed again with %d", number, op->kind,
                 completion->result);
    }
    if (!is_listed(op->kind, completion->result)) {
        rig_fail(rig, "law 10: %d is no result of kind %d", completion->result, op->kind);
    }
    if (lease != (op->kind == IO_RECEIVE && completion->result > 0) || (more && !lease)) {
        rig_fail(rig, "flags %u with result %d of kind %d", completion->flags, completion->result,
                 op->kind);
    }
    op->result = completion->result;
    op->listener = completion->listener;
    op->pieces += more ? 1 : 0;
    if (!more) {
        op->flying = false;
        op->finals++;
        rig->flying--;
    }
    if (op->kind == IO_ACCEPT && completion->result >= 0) {
        op->end.sock = completion->result;
    }
    if (lease) {
        take_lease(rig, io, op, completion);
    }
}

/* ---------------------------------------------------------------------------------------- turns */

static uint32_t reap_once(struct rig *rig, uint32_t i, uint64_t deadline_ns)
{
    uint32_t count = io_reap(rig->ios[i], rig->batch, rig->setup.batch, deadline_ns);
    if (count > rig->setup.batch) {
        rig_fail(rig, "io_reap gave %u completions, of %u", count, rig->setup.batch);
    }
    for (uint32_t k = 0; k < count; k++) {
        rig->completions++;
        take(rig, i, &rig->batch[k]);
    }
    return count;
}

uint32_t rig_turn(struct rig *rig)
{
    uint32_t count = 0;
    uint64_t wait_ns = rig->setup.ios == 1 ? TURN_NS : TURN_NS_OF_TWO;
    for (uint32_t i = 0; i < rig->setup.ios; i++) {
        count += reap_once(rig, i, io_now(rig->ios[i]) + wait_ns);
    }
    if (count > 0 || rig->waits_turns == 0) { /* the time at the wait's beginning is a turn old */
        rig->waits_since_ns = io_now(rig->ios[0]);
    }
    rig->waits_turns++;
    bool late = rig->world == NULL && io_now(rig->ios[0]) - rig->waits_since_ns > WAIT_NS;
    if (late || rig->waits_turns > WAIT_TURNS) {
        rig_fail(rig, "waited in vain until %s", rig->waits_for);
    }
    return count;
}

void rig_wait_begin(struct rig *rig, const char *condition)
{
    rig->waits_for = condition;
    rig->waits_turns = 0;
}

void rig_once(struct rig *rig)
{
    rig_wait_begin(rig, "one turn is over");
    (void)rig_turn(rig);
}

uint32_t rig_look(struct rig *rig)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->setup.ios; i++) {
        count += reap_once(rig, i, 0);
    }
    return count;
}

/* Whether nothing more will happen by itself, after so many turns that brought nothing. */
static bool is_quiet(const struct rig *rig, uint64_t since_ns, uint32_t empty)
{
    if (rig->world != NULL) {
        return empty > 0 && sim_world_idle(rig->world);
    }
    return empty >= QUIET_TURNS && io_now(rig->ios[0]) >= since_ns + QUIET_NS;
}

bool rig_quiet_unless(struct rig *rig, uint32_t op)
{
    uint64_t since_ns = io_now(rig->ios[0]);
    uint32_t empty = 0;
    rig_wait_begin(rig, "nothing more happens");
    do {
        uint32_t count = 0;
        for (uint32_t i = 0; i < rig->setup.ios; i++) {
            uint64_t until_ns = since_ns + QUIET_NS;
            uint64_t wait_ns = until_ns > io_now(rig->ios[i]) ? until_ns : 0;
            count += reap_once(rig, i, rig->world == NULL ? wait_ns : IO_FOREVER);
        }
        empty = count == 0 ? empty + 1 : 0;
        since_ns = count == 0 ? since_ns : io_now(rig->ios[0]);
        if (++rig->waits_turns > WAIT_TURNS) {
            rig_fail(rig, "it never became quiet");
        }
        if (op != RIG_NONE && rig_op(rig, op)->finals == 1) {
            return false;
        }
    } while (!is_quiet(rig, since_ns, empty));
    return true;
}

void rig_quiet(struct rig *rig)
{
    (void)rig_quiet_unless(rig, RIG_NONE);
}
