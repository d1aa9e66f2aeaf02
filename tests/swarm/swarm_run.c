/* One run: the server, the steps, the healing, the stop, and the account at the end.
 *
 * A step gives one worker a turn and lets every actor and the program act. First the world is
 * hostile and actors come and go; then it heals, and everybody who is honest must be served to the
 * end; then the server stops, and nothing may be left. A run in which nothing can happen any more
 * before that is a failure, and so is one that does not end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/sim_world.h"
#include "swarm/swarm.h"

#define STEPS_MAX        8000000
#define IDLE_MAX         100000 /* steps without progress */
#define ALARM_NS         20000  /* how soon an actor that rests acts again, as quick as the world */
#define RESTS_MAX        200    /* steps without progress: nobody has anything left to do */
#define DOZE_MAX         200    /* reaps: some wait for the workers' patience to end */
#define FREEZE_NS        (40 * NS_PER_MS) /* the shortest deadlines pass in it */
#define DOZE_IN          40               /* steps, of which one dozes */
#define VALIDATE_IN      1000             /* steps */
#define WRAP_TURNS       100
#define WRAP_GENERATIONS 5 /* an even number is left: the slots are free */
#define NEWCOMERS        2
#define HEAL_BASE_NS     (1000 * 1000 * NS_PER_MS) /* beside the deadlines, and SIM_GIVE_UP_NS */
#define HEAL_DELAYS      2000000 /* ... and so many mean delays: many a message goes byte by byte */

/* --------------------------------------------------------------------------- what it says of it */

void swarm_note(const struct swarm *swarm, const char *format, ...)
{
    if (!swarm->trace) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%14llu ns step %6llu  ",
            (unsigned long long)(swarm->world == NULL ? 0 : sim_world_now(swarm->world)),
            (unsigned long long)swarm->steps);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void print_workers(const struct swarm *swarm)
{
    for (uint32_t w = 0; swarm->server != NULL && w < swarm->config.workers; w++) {
        const struct worker *worker = &swarm->server->workers[w];
        fprintf(stderr, "worker %u: phase %d, %u slots, %u accepts%s, pool %zu, kept %llu\n", w,
                worker->phase, worker->slots.used, worker->accepts_in_flight,
                worker->accept_paused ? " paused" : "", worker->pool.used,
                (unsigned long long)worker->kept_bytes);
        for (uint32_t slot = 0; worker->io != NULL && slot < worker->slots_high; slot++) {
            const struct berth_conn *conn = &worker->conns[slot];
            if (conn->state == CONN_FREE) {
                continue;
            }
            bool has = conn->sock >= 0;
            fprintf(stderr, "  slot %u: state %u reason %u flags %x in %u out %u window %u%s%s\n",
                    slot, conn->state, conn->reason, conn->flags, input_bytes(conn),
                    conn->out.bytes, conn->window_count,
                    has && io_in_flight(worker->io, conn->sock, IO_RECEIVE) ? ", receives" : "",
                    has && io_in_flight(worker->io, conn->sock, IO_SEND) ? ", sends" : "");
        }
    }
}

void swarm_print(const struct swarm *swarm)
{
    const struct berth_config *c = &swarm->config;
    const struct sim_options *o = &swarm->options;
    fprintf(stderr,
            "seed %llu, framing %s (most %u), %u workers, %u connections, %u actors of kinds %x, "
            "backlog %d\n"
            "receive %u x %u, send %u, high %u, low %u, turn %u bytes, %u messages, window %u, "
            "%u bytes, pool %llu\n"
            "deadlines: first %u message %u idle %u send idle %u progress %u linger %u ms\n",
            (unsigned long long)swarm->seed, swarm->framing_name,
            swarm->protocol.framing.message_bytes_max, c->workers, c->connections_max,
            swarm->actors_count, swarm->kinds, swarm->backlog, c->receive_buffers, c->receive_bytes,
            c->send_bytes, c->send_high_bytes, c->send_low_bytes, c->turn_bytes, c->turn_messages,
            c->window_messages, c->window_bytes, (unsigned long long)c->pool_bytes,
            c->first_message_timeout_ms, c->message_timeout_ms, c->receive_idle_timeout_ms,
            c->send_idle_timeout_ms, c->send_progress_timeout_ms, c->linger_timeout_ms);
    fprintf(stderr,
            "delay %llu ns, pipe %u; of 2^20: long %u split %u short %u nobuf %u more %u loses %u "
            "accept %u reset %u half %u spurious %u connect %u receive %u send %u; queue %u, "
            "descriptors %u, memory %u\nphase %d, step %llu, %llu ns, hostile for %llu steps\n",
            (unsigned long long)o->delay_mean_ns, o->pipe_bytes, o->long_delay, o->split,
            o->short_send, o->no_buffer, o->drop_more, o->cancel_loses, o->accept_error, o->reset,
            o->half_close, o->spurious, o->connect_error, o->receive_error, o->send_error,
            o->queue_entries, o->descriptors, o->memory_bytes, swarm->phase,
            (unsigned long long)swarm->steps,
            (unsigned long long)(swarm->world == NULL ? 0 : sim_world_now(swarm->world)),
            (unsigned long long)swarm->hostile_steps);
    for (uint32_t i = 0; i < swarm->actors_count; i++) {
        const struct actor *a = &swarm->actors[i];
        fprintf(stderr,
                "actor %u (life %u): kind %d state %d leaves %d said %u of %u, heard %u%s\n", i,
                a->life, a->kind, a->state, a->leaves, a->said, a->messages, a->replies,
                a->shut ? ", shut" : "");
    }
    print_workers(swarm);
}

static void print_classes(uint64_t classes)
{
    const char *between = " --without ";
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
        if ((classes >> class & 1) != 0) {
            fprintf(stderr, "%s%s", between, swarm_class_names[class]);
            between = ",";
        }
    }
}

_Noreturn void swarm_fail(const struct swarm *swarm, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    swarm_print(swarm);
    fprintf(stderr, "FAILED: seed %llu: ", (unsigned long long)swarm->seed);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nto repeat: ./dev sim --seed %llu", (unsigned long long)swarm->seed);
    print_classes(swarm->without);
    fprintf(stderr, " --trace\n");
    exit(1);
}

/* -------------------------------------------------------------------------------------- it opens
 */

/* Counters that wrap in a long life begin shortly before: turns, and the generations of slots, of
 * which a token holds 24 bits. */
static void wrap_counters(struct swarm *swarm)
{
    for (uint32_t w = 0; w < swarm->config.workers; w++) {
        struct worker *worker = &swarm->server->workers[w];
        worker->turn = UINT32_MAX - WRAP_TURNS;
        for (uint32_t slot = 0; slot < worker->slots.count; slot++) {
            slots_entry_of(&worker->slots, slot)->generation =
                IO_GENERATION_MASK - WRAP_GENERATIONS;
        }
    }
}

static void open_server(struct swarm *swarm)
{
    struct berth_error error = {.text = ""};
    program_watch(swarm);
    int result =
        server_create_in(&swarm->server, &swarm->config, &io_backend_sim, swarm->world, &error);
    if (result != BERTH_OK) {
        swarm_fail(swarm, "create: %s", error.text);
    }
    swarm->server->warm_bytes = swarm->warm_bytes;
    swarm->server->lend_bytes = swarm->lend_bytes;
    program_protocols(swarm);
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}},
        .protocol = &swarm->protocol,
        .backlog = swarm->backlog,
    };
    if (berth_listen(swarm->server, &listen, &swarm->address, &error) != BERTH_OK) {
        swarm_fail(swarm, "listen: %s", error.text);
    }
    struct berth_group_options group = {.name = "all", .slow = swarm->program.slow};
    if (berth_group_create(swarm->server, &group, &swarm->program.group, &error) != BERTH_OK) {
        swarm_fail(swarm, "group: %s", error.text);
    }
    berth_server_watch(swarm->server,
                       swarm->seed % 2 == 0 ? BERTH_WATCH_ALL : BERTH_WATCH_CONNECTIONS);
    if (server_start_stepped(swarm->server) != 0) {
        swarm_fail(swarm, "start");
    }
    if (swarm->wraps) {
        wrap_counters(swarm);
    }
    struct io_config config = {.world = swarm->world,
                               .socks_max = 1,
                               .receive_base = swarm->clock_buffers,
                               .receive_bytes = 1,
                               .receive_count = 2};
    if (io_open(&io_backend_sim, &config, &swarm->clock) != 0) {
        swarm_fail(swarm, "the clock");
    }
    swarm->workers_left = swarm->config.workers;
}

static enum actor_kind draw_kind(struct swarm *swarm)
{
    enum actor_kind kind = (enum actor_kind)dice_below(&swarm->dice, 2 * ACTOR_KINDS);
    bool comes = kind < ACTOR_KINDS && (swarm->kinds & 1u << kind) != 0;
    return comes ? kind : ACTOR_HONEST;
}

/* -------------------------------------------------------------------------------------- its steps
 */

static void validate(struct swarm *swarm, uint32_t index)
{
    struct worker *worker = &swarm->server->workers[index];
    pool_validate(&worker->pool);
    wheel_validate(&worker->wheel);
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        const struct berth_conn *conn = &worker->conns[slot];
        if (conn->state == CONN_FREE) {
            continue;
        }
        if (conn->out.bytes > swarm->config.send_max_bytes) {
            swarm_fail(swarm, "%u bytes are queued, and %u may be", conn->out.bytes,
                       swarm->config.send_max_bytes);
        }
        bool empty = conn->out.bytes == 0 && conn->window_last == NULL;
        if (empty && (conn->flags & (CF_BLOCKED_HIGH | CF_BLOCKED_WINDOW)) != 0) {
            swarm_fail(swarm, "slot %u: flags %x, and nothing is queued or kept", slot,
                       conn->flags);
        }
        if (!row_link_is_in(&conn->held) &&
            (conn->flags & (CF_AGAIN | CF_BLOCKED_KEPT | CF_BLOCKED_SPACE)) != 0) {
            swarm_fail(swarm, "slot %u: flags %x, and it stands in no list", slot, conn->flags);
        }
    }
}

static void step_worker(struct swarm *swarm, uint32_t index, bool wait)
{
    struct worker *worker = &swarm->server->workers[index];
    uint64_t before = sim_world_completions(swarm->world);
    bool goes_on = worker_turn(worker, wait);
    swarm->progress += sim_world_completions(swarm->world) - before;
    uint32_t lent = worker->leases_lent;
    if (io_leases_free(worker->io) + lent != swarm->config.receive_buffers ||
        lent > swarm->config.receive_buffers / 2) {
        swarm_fail(swarm, "worker %u holds a lease after its turn", index);
    }
    if (swarm->steps % VALIDATE_IN == 0 || !goes_on) {
        validate(swarm, index);
    }
    if (!goes_on) {
        swarm_note(swarm, "worker %u has ended", index);
        struct io_stats stats;
        io_stats(worker->io, &stats);
        swarm->no_buffer += stats.no_buffer;
        swarm->overflows += stats.overflows;
        worker_close(worker);
        swarm->ended[index] = true;
        swarm->workers_left--;
        swarm->progress++;
    }
}

static uint64_t alarm_most_ns(const struct swarm *swarm)
{
    return swarm->options.delay_mean_ns > ALARM_NS ? swarm->options.delay_mean_ns : ALARM_NS;
}

static void replace(struct swarm *swarm, struct actor *actor)
{
    if (swarm->phase == PHASE_HOSTILE && swarm->stops == 0 && swarm->lives < swarm->lives_most) {
        actor_begin(swarm, actor, draw_kind(swarm));
    }
}

/* As long as some actors may have more to do, time must not run far: a deadline that passes because
 * nobody stepped them is not the server's mistake. */
static void step_actors(struct swarm *swarm)
{
    uint64_t before = swarm->progress;
    bool resting = false;
    for (uint32_t i = 0; i < swarm->actors_count; i++) {
        struct actor *actor = &swarm->actors[i];
        if (actor->state == ACTOR_OVER) {
            replace(swarm, actor);
        } else if (dice_one_in(&swarm->dice, actor->lazy)) {
            actor_act(swarm, actor);
        } else {
            resting = true;
        }
    }
    uint64_t now_ns = sim_world_now(swarm->world);
    resting = resting && swarm->idle < RESTS_MAX;
    if ((resting || swarm->progress != before) && swarm->alarm_ns <= now_ns) {
        swarm->alarm_ns = now_ns + 1 + dice_below(&swarm->dice, (uint32_t)alarm_most_ns(swarm));
        sim_world_alarm(swarm->world, swarm->alarm_ns);
    }
}

static uint32_t shorter(uint32_t a_ms, uint32_t b_ms)
{
    return b_ms == 0 || (a_ms != 0 && a_ms < b_ms) ? a_ms : b_ms;
}

/* In a hostile world some freezes are as long as the shortest deadline that looks at what comes,
 * and, if the peers go on meanwhile, longer. */
static uint64_t freeze_ns(struct swarm *swarm, bool peers_go_on)
{
    const struct berth_config *c = &swarm->config;
    uint32_t most_ms = shorter(c->first_message_timeout_ms,
                               shorter(c->message_timeout_ms, c->receive_idle_timeout_ms));
    bool is_long = peers_go_on || dice_one_in(&swarm->dice, 3);
    if (swarm->phase != PHASE_HOSTILE || most_ms == 0 || !is_long) {
        return 1 + dice_below(&swarm->dice, FREEZE_NS);
    }
    most_ms *= peers_go_on ? 2 : 1; /* of a day at most */
    return dice_below(&swarm->dice, most_ms) * NS_PER_MS + 1 + dice_below(&swarm->dice, NS_PER_MS);
}

/* Lets time pass while no worker is stepped, as if the system ran others: what falls due meanwhile
 * then comes to a worker in one turn. In some freezes the peers go on, and the workers' waits end
 * as those of a process that was stopped do: with a signal, and in vain. They all wake: were one
 * left frozen, the others' waits would carry it past deadlines that its peers, who wait for it,
 * cannot keep. */
static void doze(struct swarm *swarm)
{
    struct io_completion none;
    bool frozen = dice_one_in(&swarm->dice, 5);
    bool stopped = frozen && dice_one_in(&swarm->dice, 2) && swarm->options.spurious > 0;
    uint64_t span_ns = frozen ? freeze_ns(swarm, stopped)
                              : 1 + dice_below(&swarm->dice, (uint32_t)(8 * alarm_most_ns(swarm)));
    uint64_t until_ns = sim_world_now(swarm->world) + span_ns;
    sim_world_alarm(swarm->world, until_ns);
    for (uint32_t i = 0; i < DOZE_MAX && sim_world_now(swarm->world) < until_ns; i++) {
        (void)io_reap(swarm->clock, &none, 1, IO_FOREVER);
        if (stopped) {
            step_actors(swarm);
        }
    }
    for (uint32_t w = 0; w < swarm->config.workers; w++) {
        if (swarm->ended[w]) {
            continue;
        }
        if (stopped) {
            sim_interrupt(swarm->server->workers[w].io);
        }
        step_worker(swarm, w, false);
    }
}

/* ------------------------------------------------------------------------------------- its phases
 */

static void stop(struct swarm *swarm)
{
    swarm_note(swarm, "stop");
    berth_server_stop(swarm->server);
    if (swarm->stops++ == 0) {
        swarm->stopped_ns = sim_world_now(swarm->world);
    }
    swarm->progress++;
}

/* Two who come now join those who are still here. */
static void heal(struct swarm *swarm)
{
    struct sim_options kind = {.delay_mean_ns = swarm->options.delay_mean_ns,
                               .pipe_bytes = swarm->options.pipe_bytes};
    swarm_note(swarm, "the world heals");
    swarm->phase = PHASE_HEALED;
    swarm->healed_ns = sim_world_now(swarm->world);
    sim_world_options(swarm->world, &kind);
    program_heal(swarm);
    for (uint32_t i = 0; i < swarm->actors_count; i++) {
        actor_heal(swarm, &swarm->actors[i]);
    }
    for (uint32_t n = 0; n < NEWCOMERS && swarm->actors_count < SWARM_ACTORS_MAX; n++) {
        struct actor *actor = &swarm->actors[swarm->actors_count++];
        actor_begin(swarm, actor, ACTOR_HONEST);
        actor->leaves = LEAVES_LAST;
        actor->messages = 20;
    }
    swarm->progress++;
}

static bool all_over(const struct swarm *swarm)
{
    for (uint32_t i = 0; i < swarm->actors_count; i++) {
        if (swarm->actors[i].state != ACTOR_OVER) {
            return false;
        }
    }
    for (uint32_t i = 0; i < swarm->visits_count; i++) {
        if (swarm->visits[i].closes == 0) {
            return false;
        }
    }
    return program_done(swarm);
}

/* What honest peers and those who are to be thrown out may take: the longest deadlines, one after
 * the other, the system's own patience with those who vanished, and the world's slowness. */
static uint64_t heal_bound_ns(const struct swarm *swarm)
{
    const struct berth_config *c = &swarm->config;
    uint64_t ms = (uint64_t)c->first_message_timeout_ms + c->message_timeout_ms +
                  c->receive_idle_timeout_ms + c->send_progress_timeout_ms +
                  2 * c->linger_timeout_ms;
    return HEAL_BASE_NS + SIM_GIVE_UP_NS + 4 * ms * NS_PER_MS +
           HEAL_DELAYS * swarm->options.delay_mean_ns;
}

static void next_phase(struct swarm *swarm)
{
    if (swarm->steps >= swarm->stop_at_step && swarm->stops == 0) {
        stop(swarm);
    } else if (swarm->steps >= swarm->cut_at_step && swarm->stops == 1) {
        stop(swarm);
    }
    if (swarm->phase == PHASE_HOSTILE && swarm->steps >= swarm->hostile_steps) {
        heal(swarm);
    }
    if (swarm->phase != PHASE_HEALED || swarm->stops > 0) {
        return;
    }
    if (all_over(swarm)) {
        swarm->phase = PHASE_STOPPING;
        stop(swarm);
    } else if (sim_world_now(swarm->world) - swarm->healed_ns > heal_bound_ns(swarm)) {
        swarm_fail(swarm, "somebody is not served, though the world has healed");
    }
}

/* Any worker, more often one that has something to do. */
static uint32_t choose_worker(struct swarm *swarm)
{
    uint32_t count = swarm->config.workers;
    uint32_t any = dice_below(&swarm->dice, count);
    while (swarm->ended[any]) {
        any = (any + 1) % count;
    }
    if (count == 1 || dice_one_in(&swarm->dice, 8)) {
        return any;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (any + i) % count;
        struct io *io = swarm->ended[index] ? NULL : swarm->server->workers[index].io;
        if (io != NULL && sim_io_has_turn((const struct sim_io *)io)) {
            return index;
        }
    }
    return any;
}

static void run(struct swarm *swarm)
{
    uint64_t seen = 0;
    while (swarm->workers_left > 0) {
        swarm->steps++;
        next_phase(swarm);
        step_worker(swarm, choose_worker(swarm), true);
        if (swarm->dozes && dice_one_in(&swarm->dice, DOZE_IN)) {
            doze(swarm);
        }
        step_actors(swarm);
        program_act(swarm);
        swarm->idle = swarm->progress == seen ? swarm->idle + 1 : 0;
        seen = swarm->progress;
        if (swarm->idle > IDLE_MAX || swarm->steps > STEPS_MAX) {
            swarm_fail(swarm,
                       swarm->idle > IDLE_MAX ? "nothing happens any more" : "it does not end");
        }
    }
}

/* ------------------------------------------------------------------------------------ its account
 */

#define SAME(swarm, left, right)                                                                   \
    do {                                                                                           \
        if ((uint64_t)(left) != (uint64_t)(right)) {                                               \
            swarm_fail(swarm, "%s is %llu, %s is %llu", #left, (unsigned long long)(left), #right, \
                       (unsigned long long)(right));                                               \
        }                                                                                          \
    } while (0)

/* Frames in are messages handed over, replies and unasked messages are frames out, and every
 * connection is opened and closed once. */
static void check_account(struct swarm *swarm)
{
    struct berth_stats stats;
    uint64_t accepted = 0;
    uint64_t messages = 0;
    bool closes = false;
    berth_server_stats(swarm->server, &stats);
    for (uint32_t i = 0; i < swarm->visits_count; i++) {
        const struct visit *visit = &swarm->visits[i];
        SAME(swarm, visit->opens, 1);
        SAME(swarm, visit->closes, 1);
        accepted += visit->outgoing ? 0 : 1;
        messages += visit->outgoing ? 0 : visit->messages;
        closes = closes || visit->closing;
    }
    SAME(swarm, stats.connections_open, 0);
    SAME(swarm, stats.accepted, accepted);
    SAME(swarm, stats.connected, swarm->program.out_opened);
    SAME(swarm, stats.closed, swarm->visits_count);
    if (!closes && swarm->program.out_opened == 0) { /* else a batch's rest may come behind it */
        SAME(swarm, stats.messages_in, messages);
    }
    if (stats.connections_most > swarm->config.connections_max) {
        swarm_fail(swarm, "%llu connections at once", (unsigned long long)stats.connections_most);
    }
    SAME(swarm, atomic_load(&swarm->server->permits), swarm->config.connections_max);
    SAME(swarm, atomic_load(&swarm->server->connects), 0);
    SAME(swarm, swarm->program.out_opened + swarm->program.out_failed, swarm->program.out_asked);
    for (uint32_t w = 0; w < swarm->config.workers; w++) {
        const struct worker *worker = &swarm->server->workers[w];
        SAME(swarm, worker->pool.used, program_kept_on(swarm, w));
        SAME(swarm, worker->pool.chains, 0);
        SAME(swarm, worker->slots.used, 0);
    }
    uint64_t stop_ms = (sim_world_now(swarm->world) - swarm->stopped_ns) / NS_PER_MS;
    if (stop_ms >= swarm->config.stop_timeout_ms && swarm->cut_at_step == UINT64_MAX) {
        swarm_fail(swarm, "the stop ended only by its deadline");
    }
}

/* Those who still waited when the server ended are reset by the end of its listener. */
static void dismiss_actors(struct swarm *swarm)
{
    struct io_completion none;
    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < swarm->actors_count; i++) {
            actor_act(swarm, &swarm->actors[i]);
            left += swarm->actors[i].state == ACTOR_OVER ? 0 : 1;
        }
        if (left == 0) {
            io_close_all(swarm->clock);
            return;
        }
        uint64_t second_ns = sim_world_now(swarm->world) + 1000 * NS_PER_MS;
        (void)io_reap(swarm->clock, &none, 1, second_ns);
    }
    swarm_fail(swarm, "an actor does not end after the server has");
}

static void sum_up(const struct swarm *swarm, struct swarm_sums *sums)
{
    sums->completions += sim_world_completions(swarm->world);
    sums->virtual_ns += sim_world_now(swarm->world) - swarm->options.start_ns;
    sums->clocks += swarm->options.start_ns != 0 ? 1 : 0;
    sums->steps += swarm->steps;
    sums->visits += swarm->visits_count;
    for (uint32_t i = 0; i < swarm->visits_count; i++) {
        const struct visit *visit = &swarm->visits[i];
        sums->messages += visit->messages;
        sums->replies += visit->replies;
        sums->vanished += (visit->deeds & DEED_VANISHED) != 0 ? 1 : 0;
        sums->shut += (visit->deeds & DEED_SHUT) != 0 ? 1 : 0;
        sums->resets += visit->reason == BERTH_REASON_RESET ? 1 : 0;
        sums->reasons[visit->reason]++;
    }
    sums->no_buffer += swarm->no_buffer;
    sums->overflows += swarm->overflows;
    sums->stale += swarm->program.stale;
    sums->wraps += swarm->wraps ? 1 : 0;
    sums->hash = (sums->hash ^ sim_world_hash(swarm->world)) * UINT64_C(0x9e3779b97f4a7c15);
}

void swarm_play(uint64_t seed, uint64_t without, bool trace, struct swarm_sums *sums)
{
    static struct swarm swarm;
    memset(&swarm, 0, sizeof swarm);
    swarm.seed = seed;
    swarm.without = without;
    swarm.trace = trace;
    swarm_draw(&swarm);
    swarm.world = sim_world_create(seed, &swarm.options);
    open_server(&swarm);
    for (uint32_t i = 0; i < swarm.actors_count; i++) {
        actor_begin(&swarm, &swarm.actors[i], draw_kind(&swarm));
    }
    run(&swarm);
    check_account(&swarm);
    program_end(&swarm);
    berth_server_destroy(swarm.server);
    swarm.server = NULL;
    dismiss_actors(&swarm);
    if (sim_world_connections(swarm.world) != 0) {
        swarm_fail(&swarm, "%u connections are left", sim_world_connections(swarm.world));
    }
    sum_up(&swarm, sums);
    sim_world_destroy(swarm.world);
    for (uint32_t i = 0; i < SWARM_ACTORS_MAX; i++) {
        actor_free(&swarm.actors[i]);
    }
}
