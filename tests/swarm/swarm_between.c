/* The program between the turns: it lets go of what it kept, resumes what it paused, asks by
 * handle, speaks to many, visits, and stops and starts listening. The result of every call is known
 * from what the callbacks told (swarm_program.c). All on the run's one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "swarm/swarm.h"

/* ----------------------------------------------------------------------------------- letting go */

static uint32_t worker_of(const struct held *held)
{
    return (uint32_t)(held->kept->conn >> 54) - 1;
}

/* Answers or releases the index-th of what is held. */
void program_let_go(struct swarm *swarm, uint32_t index)
{
    struct program *program = &swarm->program;
    struct held held = program->held[index];
    program->held_count--;
    memmove(&program->held[index], &program->held[index + 1],
            (program->held_count - index) * sizeof program->held[0]);
    const struct berth_message *message = &held.kept->message;
    if (content_hash(message->data, message->size) != held.hash) {
        swarm_fail(swarm, "visit %u: the bytes of a kept message changed",
                   visit_number(swarm, held.visit));
    }
    uint32_t worker = worker_of(&held);
    program->after_end[worker] += swarm->ended[worker] ? 1 : 0;
    held.visit->kept--;
    swarm->progress++;
    if (!held.replies) {
        berth_kept_release(held.kept);
        return;
    }
    const void *data = message->data;
    uint32_t size = message->size;
    if (program_one_in(swarm, 2)) {
        memcpy(held.kept->reply, message->data, size);
        data = held.kept->reply;
    }
    bool live = held.visit->closes == 0;
    int result = berth_kept_reply(held.kept, data, size);
    visit_expect(swarm, held.visit, "late reply", result, live ? BERTH_OK : BERTH_E_STALE);
    held.visit->replies += live ? 1 : 0;
}

static void let_some_go(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    bool healed = swarm->phase != PHASE_HOSTILE;
    if (program->held_count == 0 || !(healed || program_one_in(swarm, program->pace))) {
        return;
    }
    for (uint32_t n = healed ? 20 : dice_between(&program->dice, 1, 8); n > 0; n--) {
        if (program->held_count > 0) {
            program_let_go(swarm, program_one_in(swarm, 3)
                                      ? dice_below(&program->dice, program->held_count)
                                  : program->newest_first ? program->held_count - 1
                                                          : 0);
        }
    }
}

/* ------------------------------------------------------------------------------- between turns */

static int live(struct swarm *swarm, const struct visit *visit)
{
    swarm->program.stale += visit->closes == 0 ? 0 : 1;
    return visit->closes == 0 ? BERTH_OK : BERTH_E_STALE;
}

static void push_by_handle(struct swarm *swarm, struct visit *visit)
{
    uint8_t message[PUSH_MOST + 64];
    uint32_t size = content_push(swarm, PUSH_HANDLE, visit->handled, message);
    int result = berth_handle_send(swarm->server, visit->handle, message, size);
    if (result == BERTH_E_WOULD_EXCEED && visit->closes == 0) {
        visit->owed = true;
        return;
    }
    visit_expect(swarm, visit, "send by handle", result, live(swarm, visit));
    visit->handled += result == BERTH_OK ? 1 : 0;
}

static void ask_by_handle(struct swarm *swarm)
{
    struct visit *visit = &swarm->visits[dice_below(&swarm->program.dice, swarm->visits_count)];
    int result;
    if (visit->outgoing) {
        return;
    }
    switch (dice_below(&swarm->program.dice, 8)) {
    case 0:
        if (program_does(swarm, CLASS_CLOSE) && program_one_in(swarm, 20)) {
            result = berth_handle_close(swarm->server, visit->handle);
            visit_expect(swarm, visit, "close by handle", result, live(swarm, visit));
            visit->closing = true;
        }
        break;
    case 1:
        result = berth_handle_pause(swarm->server, visit->handle);
        visit_expect(swarm, visit, "pause by handle", result, live(swarm, visit));
        visit_set_paused(swarm, visit, result == BERTH_OK);
        break;
    case 2:
        result = berth_handle_resume(swarm->server, visit->handle);
        visit_expect(swarm, visit, "resume by handle", result, live(swarm, visit));
        visit_set_paused(swarm, visit, false);
        break;
    default:
        push_by_handle(swarm, visit);
        break;
    }
}

static void resume_some(struct swarm *swarm)
{
    for (uint32_t i = 0; swarm->program.paused > 0 && i < swarm->visits_count; i++) {
        struct visit *visit = &swarm->visits[i];
        if (visit->paused && visit->closes == 0 &&
            (swarm->phase != PHASE_HOSTILE || program_one_in(swarm, 200))) {
            visit_expect(swarm, visit, "resume by handle",
                         berth_handle_resume(swarm->server, visit->handle), BERTH_OK);
            visit_set_paused(swarm, visit, false);
            swarm->progress++;
        }
    }
}

static void speak_to_many(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    uint8_t message[PUSH_MOST + 64];
    bool all = program_one_in(swarm, 3);
    enum push_kind kind = all ? PUSH_BROADCAST : PUSH_GROUP;
    uint32_t *number = all ? &program->broadcast : &program->group_sent;
    uint32_t size = content_push(swarm, kind, *number, message);
    int result = all ? berth_broadcast(swarm->server, message, size, program->slow)
                     : berth_group_send(program->group, message, size);
    if (result != BERTH_OK && result != BERTH_E_WOULD_EXCEED) {
        swarm_fail(swarm, "a send to many returned %s", berth_err_name(result));
    }
    *number += result == BERTH_OK ? 1 : 0;
}

static void visit_each(struct berth_conn *conn, void *context)
{
    struct swarm *swarm = context;
    struct visit *visit = berth_conn_user(conn);
    if (visit == NULL || visit->closes != 0 || visit->visited != 0) {
        swarm_fail(swarm, "a visit came to a connection that was closed or seen");
    }
    visit->visited++;
}

static void visit_done(void *context)
{
    struct swarm *swarm = context;
    struct program *program = &swarm->program;
    for (uint32_t i = 0; i < swarm->visits_count; i++) {
        struct visit *visit = &swarm->visits[i];
        if (i < program->visit_limit && visit->closes == 0 && visit->visited != 1) {
            swarm_fail(swarm, "visit %u is open, and was seen %u times", i, visit->visited);
        }
        visit->visited = 0;
    }
    program->visiting = false;
    program->visits_done++;
}

static void visit_all(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    program->visiting = true;
    program->visit_limit = swarm->visits_count;
    int result = berth_visit(swarm->server, visit_each, visit_done, swarm);
    if (result == BERTH_OK) {
        program->visits_begun++;
        return;
    }
    int expected = swarm->workers_left > 0 ? BERTH_E_WOULD_EXCEED : BERTH_E_STATE;
    if (result != expected) {
        swarm_fail(swarm, "a visit returned %s", berth_err_name(result));
    }
    program->visiting = false;
}

static void listen_or_not(struct swarm *swarm, bool on)
{
    struct program *program = &swarm->program;
    program->listening = on;
    swarm_note(swarm, "listening: %s", on ? "on" : "off");
    int result = berth_server_listening(swarm->server, on, NULL);
    if (result != BERTH_OK) {
        swarm_fail(swarm, "listening returned %s", berth_err_name(result));
    }
    swarm->progress++;
}

/* While there is something that it is going to do, time does not run to the next deadline. */
static void keep_time(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    bool busy = program->held_count > 0 || program->paused > 0 ||
                (!program->listening && swarm->stops == 0);
    uint64_t now_ns = sim_world_now(swarm->world);
    if (busy && program->alarm_ns <= now_ns) {
        program->alarm_ns = now_ns + 1 + dice_roll(&program->dice) % program->nap_ns;
        sim_world_alarm(swarm->world, program->alarm_ns);
    }
}

void program_act(struct swarm *swarm)
{
    keep_time(swarm);
    let_some_go(swarm);
    resume_some(swarm);
    if (swarm->phase != PHASE_HOSTILE || swarm->visits_count == 0) {
        return;
    }
    if (program_does(swarm, CLASS_HANDLE) && program_one_in(swarm, 6)) {
        ask_by_handle(swarm);
    }
    if (program_does(swarm, CLASS_GROUP) && program_one_in(swarm, 12)) {
        speak_to_many(swarm);
    }
    if (program_does(swarm, CLASS_VISIT) && !swarm->program.visiting &&
        program_one_in(swarm, 100)) {
        visit_all(swarm);
    }
    if (program_does(swarm, CLASS_LISTEN) && swarm->stops == 0 && program_one_in(swarm, 300)) {
        listen_or_not(swarm, !swarm->program.listening);
    }
}

void program_heal(struct swarm *swarm)
{
    if (!swarm->program.listening && swarm->stops == 0) {
        listen_or_not(swarm, true);
    }
    swarm->program.listening = true;
}

bool program_done(const struct swarm *swarm)
{
    const struct program *program = &swarm->program;
    return program->held_count == 0 && !program->visiting &&
           program->out_opened + program->out_failed == program->out_asked;
}

/* --------------------------------------------------------------------------------------- the end
 */

uint64_t program_kept_on(const struct swarm *swarm, uint32_t worker)
{
    uint64_t count = swarm->program.after_end[worker];
    for (uint32_t i = 0; i < swarm->program.held_count; i++) {
        count += worker_of(&swarm->program.held[i]) == worker ? 1 : 0;
    }
    const struct worker *of = &swarm->server->workers[worker];
    if ((count == 0) != (of->kept_bytes == 0)) {
        swarm_fail(swarm, "worker %u keeps %llu bytes for %llu messages", worker,
                   (unsigned long long)of->kept_bytes, (unsigned long long)count);
    }
    return of->kept_bytes;
}

void program_end(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    while (program->held_count > 0) {
        program_let_go(swarm, dice_below(&program->dice, program->held_count));
    }
    if (program->visits_done != program->visits_begun) {
        swarm_fail(swarm, "%llu of %llu visits are done", (unsigned long long)program->visits_done,
                   (unsigned long long)program->visits_begun);
    }
    if (swarm->server->post.pool.used != 0) {
        swarm_fail(swarm, "%zu bytes of the posts are out", swarm->server->post.pool.used);
    }
}
