/* The stage: draws a run from a seed, steps the server's workers and the peers in an order of the
 * seed's, and checks the account at the end.
 *
 * One step of the stage steps some of the workers once and lets every peer act. A run in which
 * nothing can happen any more before everybody is through is a failure, as is one that does not
 * end. All functions run on the test's thread; a run costs O(bytes said and heard).
 */
#include "sim/help_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/help_late.h"

#define DAY_MS       (24u * 3600 * 1000)
#define STEPS_MAX    4000000
#define IDLE_MAX     100000 /* steps without progress: nobody is that lazy, no world that slow */
#define ALARM_NS     20000  /* how soon a peer that rests acts again, as quick as the world */
#define DOZE_MAX     200    /* reaps: some wait for the workers' patience to end */
#define POOL_BYTES   (1u << 20)
#define MESSAGE_MOST 1500

/* --------------------------------------------------------------------------- what it says of it */

void stage_note(const struct stage *stage, const char *format, ...)
{
    if (!stage->trace) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%12llu ns step %6llu  ", (unsigned long long)sim_world_now(stage->world),
            (unsigned long long)stage->steps);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void print_run(const struct stage *stage)
{
    static const char *const kinds[] = {"calm", "endings", "stopped"};
    const struct berth_config *c = &stage->config;
    fprintf(stderr,
            "seed %llu, %s, framing %s, %u workers, %u connections, %u peers, backlog %d;\n"
            "receive %u x %u, send %u, high %u, low %u, turn %u bytes, %u messages\n",
            (unsigned long long)stage->seed, kinds[stage->kind], stage->framing_name, c->workers,
            c->connections_max, stage->peers_count, stage->backlog, c->receive_buffers,
            c->receive_bytes, c->send_bytes, c->send_high_bytes, c->send_low_bytes, c->turn_bytes,
            c->turn_messages);
    const struct sim_options *o = &stage->options;
    fprintf(stderr,
            "delay %llu ns, pipe %u; of 2^20: long %u split %u short %u nobuf %u more %u loses %u\n"
            "accept %u reset %u half %u spurious %u; step %llu, %llu ns\n",
            (unsigned long long)o->delay_mean_ns, o->pipe_bytes, o->long_delay, o->split,
            o->short_send, o->no_buffer, o->drop_more, o->cancel_loses, o->accept_error, o->reset,
            o->half_close, o->spurious, (unsigned long long)stage->steps,
            (unsigned long long)sim_world_now(stage->world));
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        const struct peer *p = &stage->peers[i];
        fprintf(stderr, "peer %u: state %d leaves %d wrote %u of %u got %u of %u%s\n", i, p->state,
                p->leaves, p->written, p->says_bytes, p->got, p->hears_bytes,
                p->shut ? ", shut" : "");
    }
    for (uint32_t w = 0; stage->server != NULL && w < c->workers; w++) {
        const struct worker *worker = &stage->server->workers[w];
        fprintf(stderr, "worker %u: phase %d, %u slots, %u accepts\n", w, worker->phase,
                worker->slots.used, worker->accepts_in_flight);
        for (uint32_t slot = 0; worker->io != NULL && slot < worker->slots_high; slot++) {
            const struct berth_conn *conn = &worker->conns[slot];
            if (conn->state != CONN_FREE) {
                fprintf(stderr, "  slot %u: state %u flags %x in %u out %u%s%s\n", slot,
                        conn->state, conn->flags, input_bytes(conn), conn->out.bytes,
                        conn->sock >= 0 && io_in_flight(worker->io, conn->sock, IO_RECEIVE)
                            ? ", receives"
                            : "",
                        conn->sock >= 0 && io_in_flight(worker->io, conn->sock, IO_SEND) ? ", sends"
                                                                                         : "");
            }
        }
    }
}

_Noreturn void stage_fail(const struct stage *stage, const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_run(stage);
    fail_msg("%s (to repeat: sim_%s --seed %llu --trace)", text,
             stage->late != NULL ? "late" : "echo", (unsigned long long)stage->seed);
    abort();
}

/* ---------------------------------------------------------------------------------- the handler */

uint32_t stage_reply(const struct stage *stage, const uint8_t *message, uint32_t size)
{
    uint32_t rule = size == 0 ? 0 : message[0] % 8;
    return rule == 6 ? 0 : rule == 7 && stage->late == NULL ? 2 : 1;
}

static struct visit *visit_of(struct berth_conn *conn)
{
    struct stage *stage = berth_conn_context(conn);
    struct visit *visit = berth_conn_user(conn);
    if (visit == NULL || visit->opens != 1 || visit->closes != 0 ||
        visit->handle != berth_conn_handle(conn)) {
        stage_fail(stage, "a callback came for a connection that was not open");
    }
    stage->progress++;
    return visit;
}

static void on_open(struct berth_conn *conn)
{
    struct stage *stage = berth_conn_context(conn);
    if (stage->visits_count == STAGE_VISITS_MAX || berth_conn_user(conn) != NULL) {
        stage_fail(stage, "%u connections, or one that is not new", stage->visits_count);
    }
    struct visit *visit = &stage->visits[stage->visits_count];
    *visit = (struct visit){.handle = berth_conn_handle(conn), .opens = 1};
    stage_note(stage, "visit %u opens on worker %u", stage->visits_count, berth_conn_worker(conn));
    berth_conn_set_user(conn, visit);
    assert_ptr_equal(berth_conn_find(conn, visit->handle), conn);
    const struct visit *other = &stage->visits[dice_below(&stage->dice, ++stage->visits_count)];
    if (other->closes != 0) {
        assert_null(berth_conn_find(conn, other->handle));
    }
    (void)visit_of(conn);
    if (stage->late != NULL) {
        late_opened(stage, visit, conn);
    }
}

static void answer(struct berth_conn *conn, const struct berth_message *message)
{
    struct stage *stage = berth_conn_context(conn);
    uint32_t count = stage_reply(stage, message->data, message->size);
    int result = BERTH_OK;
    if (count == 2) {
        result = berth_send(conn, message->data, message->size);
    }
    if (count >= 1 && result == BERTH_OK && message->size % 3 == 1) {
        void *space = berth_reply_space(conn, message, message->size, &result);
        if (space != NULL) {
            memcpy(space, message->data, message->size);
            result = BERTH_OK;
        }
    } else if (count >= 1 && result == BERTH_OK) {
        result = berth_reply(conn, message, message->data, message->size);
    }
    if (result != BERTH_OK) {
        stage_fail(stage, "a message of %u bytes was not answered: %s", message->size,
                   berth_err_name(result));
    }
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct stage *stage = berth_conn_context(conn);
    struct visit *visit = visit_of(conn);
    visit->messages++;
    stage->messages++;
    if (stage->late != NULL) {
        late_message(stage, visit, conn, message);
    } else {
        answer(conn, message);
    }
}

static void on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        on_message(conn, &messages[i]);
    }
}

static void on_drained(struct berth_conn *conn)
{
    struct stage *stage = berth_conn_context(conn);
    if (stage->late == NULL || !late_drained(stage, visit_of(conn))) {
        stage_fail(stage, "on_drained, though nothing was refused");
    }
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    struct stage *stage = berth_conn_context(conn);
    struct visit *visit = visit_of(conn);
    char why[200] = "";
    visit->closes++;
    visit->reason = reason;
    stage_note(stage, "visit %u closes after %u messages: %s", (unsigned)(visit - stage->visits),
               visit->messages, berth_conn_why(conn, why, sizeof why));
    assert_int_equal(berth_send(conn, "", 0), BERTH_E_CLOSED);
    assert_null(berth_conn_find(conn, visit->handle));
    berth_close(conn);
    if (stage->late != NULL) {
        late_closed(stage, visit);
    }
}

/* --------------------------------------------------------------------------------------- drawing
 */

static void draw_options(struct stage *stage)
{
    stage->options = (struct sim_options){0};
    if (stage->seed % 4 != 0) {
        stage->options = sim_options_swarm(dice_roll(&stage->dice));
    }
    if (stage->kind != STAGE_ENDINGS) {
        stage->options.reset = 0;
        stage->options.half_close = 0;
        stage->options.accept_error = 0;
    }
}

static void draw_config(struct stage *stage)
{
    struct dice *dice = &stage->dice;
    struct berth_config *c = &stage->config;
    berth_config_init(c);
    c->workers = dice_between(dice, 1, STAGE_WORKERS_MAX);
    c->connections_max = dice_between(dice, 1, stage->peers_count + 2);
    c->receive_bytes =
        dice_one_in(dice, 4) ? dice_between(dice, 65, 4096) : dice_between(dice, 1, 64);
    c->receive_buffers = 2u << dice_below(dice, 2);
    c->send_bytes = dice_one_in(dice, 2) ? dice_between(dice, 1, 64) : 65536;
    c->send_high_bytes =
        dice_one_in(dice, 3) ? dice_between(dice, 1, 16) : dice_between(dice, 1, 2000);
    c->send_low_bytes = dice_below(dice, c->send_high_bytes + 1);
    c->turn_bytes = dice_one_in(dice, 2) ? dice_between(dice, 1, 200) : 262144;
    c->turn_messages = dice_one_in(dice, 2) ? dice_between(dice, 1, 4) : 4096;
    c->accept_pause_ms = dice_between(dice, 1, 50);
    c->pool_bytes = POOL_BYTES;
    /* Virtual seconds pass quickly in a slow world: nobody is to be cut for taking long. */
    /* Where nobody does anything time runs on to the next timer: see test_deadlines.c */
    c->first_message_timeout_ms = 0;
    c->message_timeout_ms = 0;
    c->receive_idle_timeout_ms = 0;
    c->send_progress_timeout_ms = 0;
    c->linger_timeout_ms = DAY_MS;
    c->stop_timeout_ms = DAY_MS;
    stage->backlog = dice_one_in(dice, 3) ? (int)dice_between(dice, 1, 3) : STAGE_PEERS_MAX;
}

static void draw_protocol(struct stage *stage)
{
    struct dice *dice = &stage->dice;
    const struct codec *codec = &codecs[dice_below(dice, CODECS)];
    uint32_t most = dice_one_in(dice, 2) ? 64 : MESSAGE_MOST;
    stage->framing_name = codec->name;
    stage->one_by_one = dice_one_in(dice, 3);
    stage->protocol = (struct berth_protocol){
        .framing = codec->framing,
        .context = stage,
        .on_open = on_open,
        .on_drained = on_drained,
        .on_close = on_close,
    };
    if (stage->one_by_one) {
        stage->protocol.on_message = on_message;
    } else {
        stage->protocol.on_messages = on_messages;
    }
    if (codec->framing.kind != BERTH_FRAMING_FIXED && codec->framing.message_bytes_max > most) {
        stage->protocol.framing.message_bytes_max = most;
    }
}

void stage_draw(struct stage *stage, uint64_t seed, enum stage_kind kind, struct late *late)
{
    memset(stage, 0, sizeof *stage);
    stage->late = late;
    stage->seed = seed;
    stage->kind = kind;
    stage->dice.state = seed * 3 + kind;
    stage->peers_count = dice_between(&stage->dice, 1, STAGE_PEERS_MAX);
    draw_options(stage);
    draw_config(stage);
    draw_protocol(stage);
    uint32_t stayers = 0;
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        struct peer *peer = &stage->peers[i];
        peer_draw(stage, peer);
        /* One place must be left for those who come and go. */
        if (peer->leaves == LEAVES_NOT && ++stayers >= stage->config.connections_max) {
            peer->leaves = LEAVES_LAST;
        }
    }
    stage->dozes = dice_one_in(&stage->dice, 2);
    stage->stop_at_step = UINT64_MAX;
    stage->cut_at_step = UINT64_MAX;
    if (kind == STAGE_STOPPED) {
        static const uint32_t before[] = {60, 200, 4000};
        stage->stop_at_step = dice_below(&stage->dice, before[dice_below(&stage->dice, 3)]);
        uint32_t soon = dice_one_in(&stage->dice, 2) ? 5 : 100;
        stage->cut_at_step = dice_one_in(&stage->dice, 2)
                                 ? stage->stop_at_step + 1 + dice_below(&stage->dice, soon)
                                 : UINT64_MAX;
    }
    if (late != NULL) {
        late_draw(stage);
    }
}

/* ---------------------------------------------------------------------------------- open to close
 */

void stage_open(struct stage *stage)
{
    struct berth_error error = {.text = ""};
    stage->world = sim_world_create(stage->seed, &stage->options);
    stage->visits = calloc(STAGE_VISITS_MAX, sizeof *stage->visits);
    assert_non_null(stage->visits);
    if (server_create_in(&stage->server, &stage->config, &io_backend_sim, stage->world, &error) !=
        BERTH_OK) {
        stage_fail(stage, "create: %s", error.text);
    }
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}},
        .protocol = &stage->protocol,
        .backlog = stage->backlog,
    };
    if (berth_listen(stage->server, &listen, &stage->address, &error) != BERTH_OK) {
        stage_fail(stage, "listen: %s", error.text);
    }
    assert_int_equal(server_start_stepped(stage->server), 0);
    struct io_config config = {.world = stage->world,
                               .socks_max = 1,
                               .receive_base = stage->clock_buffers,
                               .receive_bytes = 1,
                               .receive_count = 2};
    assert_int_equal(io_open(&io_backend_sim, &config, &stage->clock), 0);
    stage->workers_left = stage->config.workers;
}

static void step_worker(struct stage *stage, uint32_t index)
{
    struct worker *worker = &stage->server->workers[index];
    struct io_stats before;
    struct io_stats after;
    io_stats(worker->io, &before);
    bool goes_on = worker_turn(worker, true);
    io_stats(worker->io, &after);
    stage->progress += after.completions - before.completions;
    if (stage->late != NULL) {
        late_check_worker(stage, worker);
    }
    if (stage->steps % 16 == 0 || !goes_on) {
        pool_validate(&worker->pool);
        wheel_validate(&worker->wheel);
    }
    if (!goes_on) {
        stage_note(stage, "worker %u has ended", index);
        worker_close(worker);
        stage->ended[index] = true;
        stage->workers_left--;
        stage->progress++;
    }
}

/* Lets every peer act. As long as some may have more to do, time must not run far: a deadline that
 * passes because nobody stepped the peers is the stage's mistake and not the server's. */
static void step_peers(struct stage *stage)
{
    uint64_t before = stage->progress;
    bool resting = false;
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        struct peer *peer = &stage->peers[i];
        if (dice_one_in(&stage->dice, peer->lazy)) {
            peer_act(stage, peer);
        } else {
            resting = true;
        }
    }
    uint64_t now_ns = sim_world_now(stage->world);
    if ((resting || stage->progress != before) && stage->alarm_ns <= now_ns) {
        uint64_t most =
            stage->options.delay_mean_ns > ALARM_NS ? stage->options.delay_mean_ns : ALARM_NS;
        stage->alarm_ns = now_ns + 1 + dice_below(&stage->dice, (uint32_t)most);
        sim_world_alarm(stage->world, stage->alarm_ns);
    }
}

/* Lets time pass while no worker is stepped, as if the system ran others: what falls due meanwhile
 * then comes to a worker in one turn. */
static void doze(struct stage *stage)
{
    uint64_t most =
        stage->options.delay_mean_ns > ALARM_NS ? stage->options.delay_mean_ns : ALARM_NS;
    uint64_t until_ns =
        sim_world_now(stage->world) + 1 + dice_below(&stage->dice, 8 * (uint32_t)most);
    sim_world_alarm(stage->world, until_ns);
    for (uint32_t i = 0; i < DOZE_MAX && sim_world_now(stage->world) < until_ns; i++) {
        struct io_completion none;
        assert_int_equal(io_reap(stage->clock, &none, 1, IO_FOREVER), 0);
    }
}

/* Whether nobody has anything more to say or to hear before the server stops. */
static bool all_through(const struct stage *stage)
{
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        const struct peer *p = &stage->peers[i];
        bool stays = p->state == PEER_TALKING && p->leaves == LEAVES_NOT && !p->shut &&
                     p->written == p->says_bytes && p->got == p->hears_bytes;
        if (p->state != PEER_OVER && !stays) {
            return false;
        }
    }
    return true;
}

static void maybe_stop(struct stage *stage)
{
    bool wanted = stage->stops == 0 ? stage->steps >= stage->stop_at_step || all_through(stage)
                                    : stage->stops == 1 && stage->steps >= stage->cut_at_step;
    if (wanted) {
        stage_note(stage, "stop");
        berth_server_stop(stage->server);
        stage->stop_ns = stage->stops == 0 ? sim_world_now(stage->world) : stage->stop_ns;
        stage->stops++;
        stage->progress++;
    }
}

void stage_play(struct stage *stage)
{
    uint64_t seen = 0;
    uint32_t idle = 0;
    while (stage->workers_left > 0) {
        stage->steps++;
        maybe_stop(stage);
        uint32_t index = dice_below(&stage->dice, stage->config.workers);
        while (stage->ended[index]) {
            index = (index + 1) % stage->config.workers;
        }
        step_worker(stage, index);
        if (stage->dozes && dice_one_in(&stage->dice, 6)) {
            doze(stage);
        }
        step_peers(stage);
        if (stage->late != NULL) {
            late_act(stage);
        }
        idle = stage->progress == seen ? idle + 1 : 0;
        seen = stage->progress;
        if (idle > IDLE_MAX || stage->steps > STEPS_MAX) {
            stage_fail(stage, idle > IDLE_MAX ? "nothing happens any more" : "it does not end");
        }
    }
}

static void check_account(struct stage *stage)
{
    struct berth_stats stats;
    berth_server_stats(stage->server, &stats);
    assert_int_equal(stats.connections_open, 0);
    assert_int_equal(stats.accepted, stage->visits_count);
    assert_int_equal(stats.closed, stage->visits_count);
    if (stage->late == NULL) { /* else some of a batch may come behind its program's close */
        assert_int_equal(stats.messages_in, stage->messages);
    }
    assert_int_equal(stats.refused, 0);
    assert_true(stats.connections_most <= stage->config.connections_max);
    assert_int_equal(atomic_load(&stage->server->permits), stage->config.connections_max);
    uint64_t stop_ns = sim_world_now(stage->world) - stage->stop_ns;
    if (stop_ns >= DAY_MS * NS_PER_MS) {
        stage_fail(stage, "the stop ended only by its deadline");
    }
    for (uint32_t w = 0; w < stage->config.workers; w++) {
        uint64_t kept = stage->late != NULL ? late_kept_on(stage, w) : 0;
        assert_int_equal(stage->server->workers[w].pool.used, kept);
        assert_int_equal(stage->server->workers[w].pool.chains, 0);
        assert_int_equal(stage->server->workers[w].slots.used, 0);
    }
    for (uint32_t i = 0; i < stage->visits_count; i++) {
        const struct visit *visit = &stage->visits[i];
        bool orderly = visit->reason == BERTH_REASON_PEER || visit->reason == BERTH_REASON_STOP;
        assert_int_equal(visit->opens, 1);
        if (visit->closes != 1 || (!orderly && stage->kind != STAGE_ENDINGS)) {
            stage_fail(stage, "visit %u closed %u times: %s", i, visit->closes,
                       berth_reason_text(visit->reason));
        }
    }
}

/* Those who still waited when the server ended are reset by the end of its listener. */
static void dismiss_peers(struct stage *stage)
{
    struct io_completion none;
    for (uint32_t step = 0; stage->peers_over < stage->peers_count; step++) {
        uint64_t second_ns = sim_world_now(stage->world) + 1000 * NS_PER_MS;
        assert_int_equal(io_reap(stage->clock, &none, 1, second_ns), 0);
        for (uint32_t i = 0; i < stage->peers_count; i++) {
            peer_act(stage, &stage->peers[i]);
        }
        if (step > STEPS_MAX) {
            stage_fail(stage, "a peer does not end after the server has");
        }
    }
    io_close_all(stage->clock);
}

void stage_close(struct stage *stage)
{
    check_account(stage);
    if (stage->late != NULL) {
        late_end(stage);
    }
    berth_server_destroy(stage->server);
    stage->server = NULL;
    dismiss_peers(stage);
    assert_int_equal(sim_world_connections(stage->world), 0);
    stage->hash = sim_world_hash(stage->world);
    sim_world_destroy(stage->world);
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        peer_free(&stage->peers[i]);
    }
    free(stage->visits);
}

uint64_t stage_run(uint64_t seed, enum stage_kind kind, bool trace)
{
    static struct stage stage;
    stage_draw(&stage, seed, kind, NULL);
    stage.trace = trace;
    stage_open(&stage);
    stage_play(&stage);
    stage_close(&stage);
    return stage.hash;
}
