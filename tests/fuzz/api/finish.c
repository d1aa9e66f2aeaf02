/* The end of a play. The world becomes kind, the program lets go of all that it holds, the actors
 * say what they had to say and read what is there; then nothing may stand still: queues are empty,
 * every on_drained that was owed has come, every message was told. Then everybody leaves, the
 * server stops, and nothing may be left: no connection, no permit, no place, no byte of a pool but
 * what the program still holds. What is held then is let go of after the end, too late.
 *
 * Each wait is bounded in rounds; a play that does not get quiet in them has failed.
 */
#include <string.h>

#include "core/core.h"
#include "fuzz/api/play.h"
#include "io/sim_world.h" /* what is on its way */

#define ROUNDS_MOST  40000
#define QUIET_ROUNDS 24

/* Whether nothing is on its way: in the network, or to a worker. */
static bool is_still(const struct sim_world *world)
{
    uint32_t events = world->heap.count;
    for (uint32_t i = 0; i < world->ios_count; i++) {
        events += world->ios[i] == NULL ? 0 : world->ios[i]->heap.count;
    }
    return events == 0;
}

/* Rounds until nothing moves. */
static void until_quiet(struct play *play, const char *when)
{
    uint32_t quiet = 0;
    for (uint32_t round = 0; quiet < QUIET_ROUNDS && play->workers_left > 0; round++) {
        uint64_t before = play->progress;
        stage_round(play);
        quiet = play->progress == before && is_still(play->world) ? quiet + 1 : 0;
        if (quiet > 0 && sim_world_idle(play->world)) {
            return;
        }
        if (round == ROUNDS_MOST) {
            play_failed(play, "it does not get quiet %s", when);
        }
    }
}

/* Lets go of all but `left`: some are answered as they would have been, some released. */
static void let_go(struct play *play, uint32_t left)
{
    while (play->held_count > left) {
        const struct held *held = &play->held[play->held_count - 1];
        uint32_t room = held->kept->reply_bytes;
        uint32_t size = room < held->size ? room : held->size;
        bool answers = (held->number & 1) == 0 && (size > 0 || play->empty == VOICE_REPLY) &&
                       framing_errors(seen_framing(play, held->seen), play->message, 0) == 0;
        uint32_t index = play->held_count - 1;
        if (!answers || !held_let_go(play, index, size)) {
            FUZZ_CHECK(held_let_go(play, index, NOBODY));
        }
    }
}

static void become_honest(struct play *play)
{
    struct sim_options kind = {.pipe_bytes = play->options.pipe_bytes};
    TELL(play, "everybody becomes honest");
    sim_world_options(play->world, &kind);
    for (uint32_t i = 0; i < play->lives_count; i++) {
        play->lives[i].reads = true;
        play->lives[i].may_say = play->lives[i].says_bytes;
    }
    let_go(play, 0);
    for (uint32_t i = 0; i < play->seen_count; i++) {
        struct seen *seen = &play->seen[i];
        if (seen->opened && !seen->closed && play->workers_left > 0) {
            resume_by_handle(play, seen);
        }
    }
}

/* ------------------------------------------------------------------------------- nothing stands
 * still
 */

/* What has nobody to drain it: those that were connected elsewhere, and pairs of the server's own,
 * who may wait for each other (berth.h, send_high_bytes). */
static bool may_stand_still(const struct seen *seen)
{
    return seen->life == NOBODY;
}

struct survey {
    struct play *play;
    bool stuck; /* somebody who may stand still does */
    bool done;
};

static void survey_queue(struct berth_conn *conn, void *context)
{
    struct survey *survey = context;
    struct play *play = survey->play;
    const struct seen *seen = seen_of(play, conn);
    uint32_t queued = berth_conn_queued_bytes(conn);
    if (queued == 0) {
        return;
    }
    if (!may_stand_still(seen) && !play->lives[seen->life].parted) {
        play_failed(play, "connection %u: %u bytes stand still, and its peer reads", seen->number,
                    queued);
    }
    survey->stuck = true;
}

static void check_told(const struct play *play, const struct seen *seen)
{
    const struct life *life = seen->life == NOBODY ? NULL : &play->lives[seen->life];
    if (life != NULL && !life->parted && life->wild_from == NOBODY &&
        life->written == life->says_bytes && seen->told_count != life->said_count) {
        play_failed(play, "connection %u: %u messages were said, %u were told", seen->number,
                    life->said_count, seen->told_count);
    }
}

static void survey_debts(struct berth_conn *conn, void *context)
{
    const struct survey *survey = context;
    struct play *play = survey->play;
    const struct seen *seen = seen_of(play, conn);
    bool open = berth_conn_find(conn, seen->handle) == conn && !seen->asked && !seen->may_close;
    if (!open) {
        return;
    }
    check_told(play, seen);
    if (!survey->stuck && (seen->owed || seen->owed_by_handle)) {
        play_failed(play, "connection %u: no on_drained came for what was refused%s", seen->number,
                    seen->owed ? "" : " by handle");
    }
}

static void survey_over(void *context)
{
    struct survey *survey = context;
    survey->done = true;
}

static void survey(struct play *play, struct survey *survey,
                   void (*each)(struct berth_conn *conn, void *context))
{
    survey->done = false;
    if (play->workers_left == 0 || play->stops > 0) {
        return;
    }
    if (berth_visit(play->server, each, survey_over, survey) != BERTH_OK) {
        FUZZ_CHECK(survey->stuck); /* they hold the posts */
        return;
    }
    until_quiet(play, "while all are visited");
    FUZZ_CHECK(survey->done);
}

static void check_debts(struct play *play)
{
    struct survey all = {.play = play};
    for (uint32_t i = 0; i < play->seen_count; i++) { /* who may hold the posts */
        all.stuck |= !play->seen[i].closed && may_stand_still(&play->seen[i]);
    }
    survey(play, &all, survey_queue);
    survey(play, &all, survey_debts);
    for (uint32_t i = 0; i < play->looks_count; i++) {
        FUZZ_CHECK(play->looks[i].done || play->looks[i].silent);
    }
}

/* ------------------------------------------------------------------------------------ everybody
 * goes
 */

/* Those whose other end will not close: it is the server's own, or nobody's, or vanished. */
static void close_lonely(struct play *play)
{
    for (uint32_t i = 0; i < play->seen_count; i++) {
        struct seen *seen = &play->seen[i];
        bool lonely = seen->life == NOBODY || play->lives[seen->life].vanished;
        if (seen->opened && !seen->closed && lonely) {
            (void)berth_handle_close(play->server, seen->handle);
            seen->may_close = true;
        }
    }
}

static void leave(struct play *play, struct life *life)
{
    uint32_t state = sim_peer_state(play->world, life->end);
    bool reset = (state & SIM_PEER_RESET) != 0;
    bool over = life->eof || reset;
    if (reset || (over && life->shut)) {
        sim_peer_close(play->world, life->end);
        life->open = false;
        life->parted = true;
        play->progress++;
    } else if (!life->shut && (state & SIM_PEER_CONNECTED) != 0 &&
               (over || life->written == life->says_bytes)) {
        sim_peer_shutdown(play->world, life->end, IO_SHUTDOWN_SEND);
        life->shut = true;
        play->progress++;
    }
}

static void all_leave(struct play *play)
{
    uint32_t open = 1;
    close_lonely(play);
    for (uint32_t round = 0; open > 0 && play->workers_left > 0; round++) {
        stage_round(play);
        open = 0;
        for (uint32_t i = 0; i < play->lives_count; i++) {
            struct life *life = &play->lives[i];
            if (life->open) {
                leave(play, life);
            }
            open += life->open ? 1 : 0;
        }
        if (round % 64 == 63) {
            close_lonely(play); /* those that came since */
        }
        if (round == ROUNDS_MOST) {
            play_failed(play, "%u actors are not let go", open);
        }
    }
}

static void stop(struct play *play)
{
    if (play->stops == 0) {
        TELL(play, "stop");
        play->stops++;
        berth_server_stop(play->server);
    }
    for (uint32_t round = 0; play->workers_left > 0; round++) {
        stage_round(play);
        if (round == ROUNDS_MOST) {
            play_failed(play, "the server does not end");
        }
    }
}

/* ---------------------------------------------------------------------------------- nothing is
 * left
 */

static void check_workers(const struct play *play)
{
    for (uint32_t w = 0; w < play->config.workers; w++) {
        const struct worker *worker = &play->server->workers[w];
        uint32_t held = 0;
        for (uint32_t i = 0; i < play->held_count; i++) {
            held += play->held[i].seen->worker == w ? 1 : 0;
        }
        pool_validate(&worker->pool);
        wheel_validate(&worker->wheel);
        FUZZ_CHECK(worker->pool.used == worker->kept_bytes);
        FUZZ_CHECK(held > 0 || play->let_go_late > 0 || worker->kept_bytes == 0);
        FUZZ_CHECK(held == 0 || worker->kept_bytes > 0);
        FUZZ_CHECK(worker->pool.chains == 0 && worker->slots.used == 0);
        FUZZ_CHECK(worker->plan_slots.used == 0 && worker->accepts_in_flight == 0);
    }
    FUZZ_CHECK(atomic_load(&play->server->permits) == play->config.connections_max);
    FUZZ_CHECK(atomic_load(&play->server->connects) == 0);
    FUZZ_CHECK(play->server->post.pool.used == 0);
}

static void check_counts(struct play *play)
{
    struct berth_stats stats;
    uint64_t told = 0;
    uint64_t promised = 0;
    uint64_t unheard = 0;
    berth_server_stats(play->server, &stats);
    for (uint32_t i = 0; i < play->seen_count; i++) {
        const struct seen *seen = &play->seen[i];
        FUZZ_CHECK(seen->opened && seen->closed);
        told += seen->told_count;
        promised += seen->sends.count + seen->handles.count;
        for (uint32_t m = 0; m < seen->told_count; m++) {
            promised += seen->told[m].state == TOLD_ANSWERED ? 1 : 0;
        }
        bool ended_well = seen->life != NOBODY && play->lives[seen->life].eof;
        unheard += ended_well ? seen->handles.count - seen->handles.heard : 0;
    }
    FUZZ_CHECK(stats.connections_open == 0);
    FUZZ_CHECK(stats.closed == play->seen_count);
    FUZZ_CHECK(stats.accepted + stats.connected == play->seen_count);
    FUZZ_CHECK(stats.messages_in >= told);
    FUZZ_CHECK(stats.messages_out <= promised + stats.group_deliveries);
    if (unheard > stats.sends_dropped) {
        play_failed(play, "%llu sends by handle were lost on the way to peers that read to the end",
                    (unsigned long long)(unheard - stats.sends_dropped));
    }
    for (uint32_t i = 0; i < play->outgoing_count; i++) {
        FUZZ_CHECK(play->outgoing[i].over);
    }
    FUZZ_CHECK(play->outgoing_open == 0);
    for (uint32_t i = 0; i < play->looks_count; i++) {
        FUZZ_CHECK(play->looks[i].done || play->looks[i].silent);
    }
    for (uint32_t i = 0; i < PLAY_GROUPS; i++) {
        struct berth_group *group = play->groups[i].group;
        FUZZ_CHECK(group == NULL || berth_group_members(group) == 0);
    }
}

/* Calls that come too late get an error value, and nothing else. */
static void too_late(struct play *play)
{
    let_go(play, 0);
    for (uint32_t i = 0; i < play->seen_count; i++) {
        berth_handle handle = play->seen[i].handle;
        FUZZ_CHECK(berth_handle_send(play->server, handle, "x", 1) == BERTH_E_STALE);
        FUZZ_CHECK(berth_handle_resume(play->server, handle) == BERTH_E_STALE);
    }
    FUZZ_CHECK(berth_visit(play->server, each_visited, visit_done, NULL) == BERTH_E_STATE);
    FUZZ_CHECK(berth_server_listening(play->server, true, NULL) == BERTH_E_STATE);
    berth_server_stop(play->server);
}

void finish(struct play *play)
{
    play->calm = true;
    if (play->started) {
        become_honest(play);
        until_quiet(play, "once all are honest");
        check_debts(play);
        all_leave(play);
        stop(play);
        check_workers(play);
        check_counts(play);
        too_late(play);
    }
    stage_close(play);
    for (uint32_t i = 0; i < play->looks_count; i++) { /* a server that never began says so too */
        FUZZ_CHECK(play->looks[i].done || play->looks[i].silent);
    }
}
