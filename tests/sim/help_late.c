/* The program that answers late (help_late.h). Everything is on the test's thread, between the
 * turns of the workers or inside their callbacks, so each result is known exactly. O(1) each, but
 * for the order of what is held: O(held).
 */
#include "sim/help_late.h"

#include <stdlib.h>
#include <string.h>

#define PUSH_MOST 1000 /* bytes */

/* The last quiet look is a failure: a turn that waits may come between, the pace of peers too. */
#define QUIET_MOST 3000

static struct late_visit *known(const struct stage *stage, const struct visit *visit)
{
    return &stage->late->visits[visit - stage->visits];
}

static unsigned number_of(const struct stage *stage, const struct visit *visit)
{
    return (unsigned)(visit - stage->visits);
}

static uint64_t hash_of(const uint8_t *bytes, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

bool late_closes(const struct stage *stage)
{
    return stage->kind == STAGE_ENDINGS;
}

bool late_listens(const struct stage *stage)
{
    return stage->late->listens > 0;
}

/* ---------------------------------------------------------------------------------- what is drawn
 */

static void draw_config(struct stage *stage)
{
    struct dice *dice = &stage->late->dice;
    struct berth_config *c = &stage->config;
    c->window_messages = dice_one_in(dice, 2)   ? dice_between(dice, 1, 3)
                         : dice_one_in(dice, 2) ? dice_between(dice, 1, 30)
                                                : 256;
    c->window_bytes = dice_one_in(dice, 3)   ? dice_between(dice, 1, 1000)
                      : dice_one_in(dice, 2) ? dice_between(dice, 1, 100000)
                                             : 1u << 20;
    c->post_bytes = 65536;
    if (stage->late->deaf) {
        c->stop_timeout_ms = dice_between(dice, 1, 100);
    }
}

void late_draw(struct stage *stage)
{
    struct late *late = stage->late;
    struct dice *dice = &late->dice;
    dice->state = stage->seed * UINT64_C(0xd1342543de82ef95) + stage->kind;
    late->order = (enum late_order)dice_below(dice, LATE_ORDERS);
    late->keeps = dice_one_in(dice, 3) ? 16 : dice_between(dice, 1, 15);
    late->pace = dice_one_in(dice, 2) ? 1 : dice_between(dice, 2, 60);
    late->burst = dice_one_in(dice, 2) ? 1 : dice_between(dice, 2, 40);
    late->room = dice_one_in(dice, 3) ? dice_between(dice, 1, 120000) : dice_below(dice, 40);
    late->asks = dice_one_in(dice, 3) ? 0 : dice_between(dice, 1, 20);
    late->pushes = dice_one_in(dice, 2) ? 0 : dice_between(dice, 1, 60);
    late->listens = dice_one_in(dice, 4) ? dice_between(dice, 10, 200) : 0;
    late->nap_ns = dice_one_in(dice, 3) ? 2000 * NS_PER_MS : 20000; /* more than SPACE_PATIENCE */
    late->deaf = stage->kind == STAGE_STOPPED && dice_one_in(dice, 2);
    late->listening = true;
    draw_config(stage);
    for (uint32_t i = 0; i < stage->peers_count; i++) {
        struct peer *peer = &stage->peers[i];
        uint32_t most = stage->protocol.framing.message_bytes_max;
        peer->frame = malloc((most > PUSH_MOST ? most : PUSH_MOST) + CODEC_EXTRA);
        assert_non_null(peer->frame);
        if (peer->leaves == LEAVES_SHUT) {
            peer->leaves = LEAVES_LAST; /* it cannot know that no more will be sent */
        }
    }
}

/* ------------------------------------------------------------------------------- the callbacks */

void late_opened(struct stage *stage, struct visit *visit, struct berth_conn *conn)
{
    struct late *late = stage->late;
    *known(stage, visit) = (struct late_visit){0};
    if (late->asks > 0 && dice_one_in(&late->dice, 10)) {
        berth_pause(conn);
        known(stage, visit)->paused = true;
    }
    if (late_closes(stage) && dice_one_in(&late->dice, 60)) {
        berth_close(conn);
        known(stage, visit)->closing = true;
    }
}

static void reply_now(struct stage *stage, struct visit *visit, struct berth_conn *conn,
                      const struct berth_message *message)
{
    struct late_visit *at = known(stage, visit);
    if (stage_reply(stage, message->data, message->size) == 0) {
        return;
    }
    int result = berth_reply(conn, message, message->data, message->size);
    if (result != (at->closing ? BERTH_E_CLOSED : BERTH_OK)) {
        stage_fail(stage, "visit %u: an answer of %u bytes was refused: %s",
                   number_of(stage, visit), message->size, berth_err_name(result));
    }
}

/* Keeps it. false if there is no memory. */
static bool keep(struct stage *stage, struct visit *visit, struct berth_conn *conn,
                 const struct berth_message *message, bool only_read)
{
    struct late *late = stage->late;
    struct late_visit *at = known(stage, visit);
    int err = BERTH_OK;
    uint32_t room = message->size + (late->room == 0 ? 0 : dice_below(&late->dice, late->room));
    struct berth_kept *kept = berth_keep(conn, message, only_read ? 0 : room, &err);
    if (kept == NULL) {
        int expected = at->closing ? BERTH_E_CLOSED : BERTH_E_WOULD_EXCEED;
        if (err != expected) {
            stage_fail(stage, "visit %u: keep failed: %s", number_of(stage, visit),
                       berth_err_name(err));
        }
        at->owed = at->owed || !at->closing;
        late->keeps_refused += at->closing ? 0 : 1;
        return at->closing;
    }
    assert_true(late->held_count < LATE_HELD_MAX && !at->closing);
    assert_true(kept->conn == visit->handle && kept->message.size == message->size);
    late->held[late->held_count++] = (struct held){
        .kept = kept,
        .visit = visit,
        .hash = hash_of(message->data, message->size),
        .only_read = only_read,
    };
    return true;
}

void late_message(struct stage *stage, struct visit *visit, struct berth_conn *conn,
                  const struct berth_message *message)
{
    struct late *late = stage->late;
    struct late_visit *at = known(stage, visit);
    if (late_closes(stage) && dice_one_in(&late->dice, 60)) {
        berth_close(conn);
        at->closing = true;
    }
    if (late->asks > 0 && dice_one_in(&late->dice, 20)) {
        berth_pause(conn);
        at->paused = !at->closing;
    }
    if (dice_below(&late->dice, 16) >= late->keeps || !keep(stage, visit, conn, message, false)) {
        reply_now(stage, visit, conn, message);
        if (dice_one_in(&late->dice, 8) && !at->closing) {
            (void)keep(stage, visit, conn, message, true);
        }
    }
}

bool late_drained(struct stage *stage, struct visit *visit)
{
    struct late_visit *at = known(stage, visit);
    bool owed = at->owed;
    at->owed = false;
    stage->late->drains++;
    return owed;
}

/* ------------------------------------------------------------------------------- letting go */

static uint32_t choose(struct late *late)
{
    return late->order == LATE_OLDEST   ? 0
           : late->order == LATE_NEWEST ? late->held_count - 1
                                        : dice_below(&late->dice, late->held_count);
}

static uint32_t worker_of(const struct held *held)
{
    return (uint32_t)(held->kept->conn >> 54) - 1;
}

/* Answers or releases the index-th of what is held; `live` as the callbacks have it. */
static void let_go(struct stage *stage, uint32_t index)
{
    struct late *late = stage->late;
    struct held held = late->held[index];
    late->held_count--;
    memmove(&late->held[index], &late->held[index + 1],
            (late->held_count - index) * sizeof late->held[0]);
    const struct berth_message *message = &held.kept->message;
    if (hash_of(message->data, message->size) != held.hash) {
        stage_fail(stage, "visit %u: the bytes of a kept message changed",
                   number_of(stage, held.visit));
    }
    uint32_t worker = worker_of(&held);
    late->after_end[worker] += stage->ended[worker] ? 1 : 0;
    bool answers = stage_reply(stage, message->data, message->size) > 0 && !held.only_read;
    if (!answers) {
        berth_kept_release(held.kept);
        late->released++;
        return;
    }
    const void *data = message->data;
    uint32_t size = message->size;
    if (dice_one_in(&late->dice, 2)) {
        memcpy(held.kept->reply, message->data, size);
        data = held.kept->reply;
    }
    bool live = held.visit->closes == 0;
    int result = berth_kept_reply(held.kept, data, size);
    if (result != (live ? BERTH_OK : BERTH_E_STALE)) {
        stage_fail(stage, "visit %u: a late answer: %s", number_of(stage, held.visit),
                   berth_err_name(result));
    }
    late->answered += live ? 1 : 0;
    late->stale += live ? 0 : 1;
}

/* The connection has ended: inside on_close already its answers come too late. */
void late_closed(struct stage *stage, struct visit *visit)
{
    struct late *late = stage->late;
    for (uint32_t i = 0; i < late->held_count && dice_one_in(&late->dice, 3); i++) {
        if (late->held[i].visit == visit) {
            let_go(stage, i);
            return;
        }
    }
}

/* ------------------------------------------------------------------------ requests by handle */

static void expect(struct stage *stage, const struct visit *visit, const char *what, int result)
{
    if (result != (visit->closes == 0 ? BERTH_OK : BERTH_E_STALE)) {
        stage_fail(stage, "visit %u: %s by handle: %s", number_of(stage, visit), what,
                   berth_err_name(result));
    }
}

/* The number-th message that is sent to a connection by handle. Returns its bytes. */
static uint32_t push_of(const struct stage *stage, uint32_t number, uint8_t *message)
{
    const struct berth_framing *framing = &stage->protocol.framing;
    uint32_t most = framing->message_bytes_max < PUSH_MOST ? framing->message_bytes_max : PUSH_MOST;
    uint32_t size = framing->kind == BERTH_FRAMING_FIXED ? most : 1 + number * 37 % most;
    for (uint32_t i = 0; i < size; i++) {
        message[i] = (uint8_t)(number * 7 + i);
    }
    codec_clean(framing, message, size);
    message[0] = (uint8_t)(6 + 8 * (number % 8)); /* messages like that have no reply */
    uint32_t least = codec_least(framing);
    return size < least ? least : size;
}

static void push(struct stage *stage, struct visit *visit)
{
    struct late *late = stage->late;
    struct late_visit *at = known(stage, visit);
    if (at->pushed >= late->pushes) {
        return;
    }
    uint8_t message[PUSH_MOST + 64] = {0};
    uint32_t size = push_of(stage, at->pushed, message);
    int result = berth_handle_send(stage->server, visit->handle, message, size);
    if (result == BERTH_E_WOULD_EXCEED && visit->closes == 0) {
        at->owed = true;
        late->sends_refused++;
        return;
    }
    expect(stage, visit, "send", result);
    if (result == BERTH_OK) {
        at->pushed++;
        late->pushes_taken++;
    }
}

static void ask(struct stage *stage)
{
    struct late *late = stage->late;
    struct visit *visit = &stage->visits[dice_below(&late->dice, stage->visits_count)];
    struct late_visit *at = known(stage, visit);
    int result;
    switch (dice_below(&late->dice, 8)) {
    case 0:
        if (late_closes(stage) && dice_one_in(&late->dice, 20)) {
            result = berth_handle_close(stage->server, visit->handle);
            expect(stage, visit, "close", result);
        }
        break;
    case 1:
        result = berth_handle_pause(stage->server, visit->handle);
        expect(stage, visit, "pause", result);
        at->paused = result == BERTH_OK;
        break;
    case 2:
    case 3:
        result = berth_handle_resume(stage->server, visit->handle);
        expect(stage, visit, "resume", result);
        at->paused = false;
        break;
    default:
        push(stage, visit);
        break;
    }
}

/* Nobody is left paused for good. */
static void resume_one(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->visits_count; i++) {
        struct late_visit *at = &stage->late->visits[i];
        if (at->paused && dice_one_in(&stage->late->dice, 4)) {
            expect(stage, &stage->visits[i], "resume",
                   berth_handle_resume(stage->server, stage->visits[i].handle));
            at->paused = false;
            return;
        }
    }
}

/* ---------------------------------------------------------------------------------------- visits
 */

static void visit_each(struct berth_conn *conn, void *context)
{
    struct stage *stage = context;
    const struct visit *visit = berth_conn_user(conn);
    struct late_visit *at = known(stage, visit);
    if (visit->closes != 0 || at->visited != 0) {
        stage_fail(stage, "visit %u: visited %u times before, or closed", number_of(stage, visit),
                   at->visited);
    }
    at->visited++;
    if (dice_one_in(&stage->late->dice, 10)) {
        berth_resume(conn);
        at->paused = false;
    }
}

static void visit_done(void *context)
{
    struct stage *stage = context;
    struct late *late = stage->late;
    for (uint32_t i = 0; i < stage->visits_count; i++) {
        if (i < late->visit_limit && stage->visits[i].closes == 0 && late->visits[i].visited != 1) {
            stage_fail(stage, "visit %u: open, and seen %u times", i, late->visits[i].visited);
        }
        late->visits[i].visited = 0;
    }
    late->visiting = false;
    late->visits_done++;
}

static void maybe_visit(struct stage *stage)
{
    struct late *late = stage->late;
    if (late->visiting || !dice_one_in(&late->dice, 10)) {
        return;
    }
    late->visiting = true;
    late->visit_limit = stage->visits_count;
    int result = berth_visit(stage->server, visit_each, visit_done, stage);
    if (result == BERTH_OK) {
        late->visits_begun++;
    } else {
        int expected = stage->workers_left > 0 ? BERTH_E_WOULD_EXCEED : BERTH_E_STATE;
        assert_int_equal(result, expected);
        late->visiting = false;
    }
}

/* ----------------------------------------------------------------------------------- between turns
 */

static void maybe_listen(struct stage *stage)
{
    struct late *late = stage->late;
    if (late->listens == 0 || stage->stops > 0 || !dice_one_in(&late->dice, late->listens)) {
        return;
    }
    late->listening = !late->listening;
    stage_note(stage, "listening: %s", late->listening ? "on" : "off");
    assert_int_equal(berth_server_listening(stage->server, late->listening, NULL), BERTH_OK);
    stage->progress++;
}

/* While there is something that it is going to do, time does not run to the next deadline. */
static void keep_time(struct stage *stage)
{
    struct late *late = stage->late;
    bool busy = late->held_count > 0 || (!late->listening && stage->stops == 0);
    for (uint32_t i = 0; i < stage->visits_count && !busy; i++) {
        busy = late->visits[i].paused && stage->visits[i].closes == 0;
    }
    uint64_t now_ns = sim_world_now(stage->world);
    if (busy && late->alarm_ns <= now_ns) {
        late->alarm_ns = now_ns + 1 + dice_roll(&late->dice) % late->nap_ns;
        sim_world_alarm(stage->world, late->alarm_ns);
    }
}

void late_act(struct stage *stage)
{
    struct late *late = stage->late;
    bool deaf = late->deaf && stage->stops > 0;
    if (!deaf) {
        keep_time(stage);
    }
    if (late->held_count > 0 && !deaf && dice_one_in(&late->dice, late->pace)) {
        for (uint32_t n = dice_between(&late->dice, 1, late->burst); n > 0; n--) {
            if (late->held_count > 0) {
                let_go(stage, choose(late));
                stage->progress++;
            }
        }
    }
    maybe_listen(stage);
    if (late->asks == 0 || stage->visits_count == 0) {
        return;
    }
    if (dice_one_in(&late->dice, late->asks)) {
        ask(stage);
        maybe_visit(stage);
    }
    resume_one(stage);
}

/* Whether an on_drained is overdue: one is owed, and nothing stands in its way. */
static bool overdue(const struct stage *stage, const struct visit *visit,
                    const struct berth_conn *conn)
{
    bool waits = (conn->flags & CF_WAITS_POST) != 0 && atomic_load(&stage->server->post.full);
    return known(stage, visit)->owed && conn->state == CONN_OPEN && conn->out.bytes == 0 &&
           conn->window_last == NULL && (conn->flags & CF_CLOSE) == 0 && !waits;
}

/* A worker after a turn. It must not be about to sleep while somebody who waits could go on: the
 * stage steps it all the same, and would not notice. */
void late_check_worker(struct stage *stage, struct worker *worker)
{
    if (worker->phase == WORKER_ENDED) {
        return;
    }
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        const struct berth_conn *conn = &worker->conns[slot];
        if (conn->state < CONN_OPEN) {
            continue;
        }
        const struct visit *visit = conn->user;
        struct late_visit *at = known(stage, visit);
        at->quiet = overdue(stage, visit, conn) ? at->quiet + 1 : 0;
        if (at->quiet > QUIET_MOST) {
            stage_fail(stage, "visit %u: no on_drained came", number_of(stage, visit));
        }
        if (!row_link_is_in(&conn->held) &&
            (conn->flags & (CF_AGAIN | CF_BLOCKED_KEPT | CF_BLOCKED_SPACE)) != 0) {
            stage_fail(stage, "visit %u: flags %x, and it stands in no list",
                       number_of(stage, visit), conn->flags);
        }
        bool empty = conn->out.bytes == 0 && conn->window_last == NULL;
        if (empty && (conn->flags & (CF_BLOCKED_HIGH | CF_BLOCKED_WINDOW)) != 0) {
            stage_fail(stage, "visit %u: flags %x, and nothing is queued or kept",
                       number_of(stage, visit), conn->flags);
        }
    }
    bool room = worker->kept_bytes + worker->behind_bytes <= worker->pool.bytes / 4;
    bool awake = worker_busy(worker) || !mailbox_is_empty(&worker->mailbox);
    if (worker->kept_full.count > 0 && room && !awake) {
        stage_fail(stage, "worker %u: %u connections wait to keep, there is room, and it sleeps",
                   worker->index, worker->kept_full.count);
    }
}

/* ------------------------------------------------------------------------------------- the peers
 */

/* The frame of the next reply to this peer; 0 bytes: there is none. */
static const uint8_t *next_reply(const struct peer *peer, uint32_t *bytes)
{
    uint32_t message = 0;
    while (message < peer->messages && peer->hear_ends[message] <= peer->got) {
        message++;
    }
    *bytes = message == peer->messages ? 0 : peer->hear_ends[message] - peer->got;
    return peer->hears + peer->got;
}

static bool begins_so(const struct peer *peer, const uint8_t *frame, uint32_t bytes)
{
    return peer->frame_bytes <= bytes && memcmp(peer->frame, frame, peer->frame_bytes) == 0;
}

void late_hear(struct stage *stage, struct peer *peer, const uint8_t *bytes, int32_t count)
{
    struct late *late = stage->late;
    for (int32_t i = 0; i < count; i++) {
        uint8_t message[PUSH_MOST + 64] = {0};
        uint8_t pushed[PUSH_MOST + 64 + CODEC_EXTRA];
        uint32_t size = push_of(stage, peer->pushes, message);
        uint32_t push_bytes =
            (uint32_t)codec_encode(&stage->protocol.framing, message, size, pushed);
        uint32_t reply_bytes;
        const uint8_t *reply = next_reply(peer, &reply_bytes);
        peer->frame[peer->frame_bytes++] = bytes[i];
        bool is_reply = reply_bytes > 0 && begins_so(peer, reply, reply_bytes);
        bool is_push =
            late->pushes_heard < late->pushes_taken && begins_so(peer, pushed, push_bytes);
        if (!is_reply && !is_push) {
            stage_fail(stage, "peer %u: byte %u of a frame is wrong, after %u of %u bytes and %u",
                       (unsigned)(peer - stage->peers), peer->frame_bytes, peer->got,
                       peer->hears_bytes, peer->pushes);
        }
        if (is_push && peer->frame_bytes == push_bytes) {
            peer->pushes++;
            late->pushes_heard++;
            peer->frame_bytes = 0;
        } else if (is_reply && peer->frame_bytes == reply_bytes) {
            peer->got += reply_bytes;
            peer->frame_bytes = 0;
        }
        if (peer->got > peer_owed_bytes(peer)) {
            stage_fail(stage, "peer %u: %u bytes of replies when %u were owed",
                       (unsigned)(peer - stage->peers), peer->got, peer_owed_bytes(peer));
        }
    }
}

/* --------------------------------------------------------------------------------------- the end
 */

uint64_t late_kept_on(const struct stage *stage, uint32_t worker)
{
    uint64_t count = stage->late->after_end[worker];
    for (uint32_t i = 0; i < stage->late->held_count; i++) {
        count += worker_of(&stage->late->held[i]) == worker ? 1 : 0;
    }
    const struct worker *of = &stage->server->workers[worker];
    assert_true((count == 0) == (of->kept_bytes == 0));
    return of->kept_bytes;
}

void late_end(struct stage *stage)
{
    struct late *late = stage->late;
    late->cut_kept += late->held_count;
    while (late->held_count > 0) {
        let_go(stage, choose(late));
    }
    assert_int_equal(late->visits_done, late->visits_begun);
    assert_int_equal(stage->server->post.pool.used, 0);
    if (late->deaf) {
        /* In a slow world a cancel takes its time too. */
        uint64_t delay_ns =
            stage->options.delay_mean_ns > 20000 ? stage->options.delay_mean_ns : 20000;
        uint64_t most_ns = stage->config.stop_timeout_ms * NS_PER_MS + delay_ns * SIM_LONG * 100;
        uint64_t took_ns = sim_world_now(stage->world) - stage->stop_ns;
        if (took_ns > most_ns) {
            stage_fail(stage, "the stop took %llu ns, and its timeout is %u ms",
                       (unsigned long long)took_ns, stage->config.stop_timeout_ms);
        }
    }
    struct berth_stats stats;
    berth_server_stats(stage->server, &stats);
    if (stage->kind == STAGE_CALM &&
        late->pushes_taken != late->pushes_heard + stats.sends_dropped) {
        stage_fail(stage, "%llu sent by handle, %llu heard, %llu dropped",
                   (unsigned long long)late->pushes_taken, (unsigned long long)late->pushes_heard,
                   (unsigned long long)stats.sends_dropped);
    }
}

uint64_t stage_run_late(uint64_t seed, enum stage_kind kind, bool trace, struct late *sums)
{
    static struct stage stage;
    static struct late late;
    memset(&late, 0, sizeof late);
    stage_draw(&stage, seed, kind, &late);
    stage.trace = trace;
    stage_open(&stage);
    stage_play(&stage);
    stage_close(&stage);
    sums->answered += late.answered;
    sums->released += late.released;
    sums->stale += late.stale;
    sums->keeps_refused += late.keeps_refused;
    sums->sends_refused += late.sends_refused;
    sums->drains += late.drains;
    sums->cut_kept += late.cut_kept;
    sums->visits_done += late.visits_done;
    return stage.hash;
}
