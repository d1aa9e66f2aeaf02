/* The program on top of the server: what it does in its callbacks and between the turns, and its
 * books about every connection.
 *
 * It knows each actor by its port, and so every message that is handed to it beforehand. What it
 * does is drawn: it answers at once, in place or by copy, or keeps messages and answers or releases
 * them later, sends unasked, pauses, closes, joins and leaves a group, sends to it and to
 * everybody, asks by handle, visits, stops listening for a while, and makes connections to itself.
 * The result of every call is known from what the callbacks told. All on the run's one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "swarm/swarm.h"

#define OUT_MESSAGES 6 /* of an outgoing connection */

static struct swarm *swarm_of(const struct berth_conn *conn)
{
    return berth_conn_context(conn);
}

unsigned visit_number(const struct swarm *swarm, const struct visit *visit)
{
    return (unsigned)(visit - swarm->visits);
}

bool program_does(const struct swarm *swarm, enum swarm_class class)
{
    return (swarm->program.classes >> class & 1) != 0 && swarm->phase == PHASE_HOSTILE;
}

bool program_one_in(struct swarm *swarm, uint32_t count)
{
    return dice_one_in(&swarm->program.dice, count);
}

uint64_t content_hash(const uint8_t *bytes, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct visit *visit_of(struct berth_conn *conn)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = berth_conn_user(conn);
    if (visit == NULL || visit->opens != 1 || visit->closes != 0 ||
        visit->handle != berth_conn_handle(conn)) {
        swarm_fail(swarm, "a callback came for a connection that was not open");
    }
    swarm->progress++;
    return visit;
}

void visit_set_paused(struct swarm *swarm, struct visit *visit, bool paused)
{
    swarm->program.paused += paused && !visit->paused ? 1 : 0;
    swarm->program.paused -= !paused && visit->paused ? 1 : 0;
    visit->paused = paused;
}

void visit_expect(const struct swarm *swarm, const struct visit *visit, const char *what,
                  int result, int expected)
{
    if (result != expected) {
        swarm_fail(swarm, "visit %u: %s returned %s, not %s", visit_number(swarm, visit), what,
                   berth_err_name(result), berth_err_name(expected));
    }
}

/* ------------------------------------------------------------------------------------- it opens */

static struct visit *new_visit(struct swarm *swarm, struct berth_conn *conn)
{
    if (swarm->visits_count == SWARM_VISITS_MAX) {
        swarm_fail(swarm, "%u connections", swarm->visits_count);
    }
    struct visit *visit = &swarm->visits[swarm->visits_count++];
    *visit = (struct visit){
        .handle = berth_conn_handle(conn),
        .life = NO_LIFE,
        .worker = berth_conn_worker(conn),
        .opens = 1,
        .opened_ns = berth_conn_now_ns(conn),
    };
    berth_conn_set_user(conn, visit);
    const struct visit *other =
        &swarm->visits[dice_below(&swarm->program.dice, swarm->visits_count)];
    if (other->closes != 0 && berth_conn_find(conn, other->handle) != NULL) {
        swarm_fail(swarm, "a handle finds a connection that has ended");
    }
    return visit;
}

static void maybe_connect(struct swarm *swarm)
{
    struct program *program = &swarm->program;
    if (!program_does(swarm, CLASS_OUTGOING) || program->out_asked == program->out_wanted ||
        !program_one_in(swarm, 8)) {
        return;
    }
    struct berth_connect_options options = {
        .address = swarm->address,
        .protocol = &swarm->client,
        .user = swarm,
        .attempts = 1 + dice_below(&program->dice, 6),
        .delay_ms = dice_below(&program->dice, 3),
        .timeout_ms = dice_between(&program->dice, 1, 200),
    };
    int result = berth_connect(swarm->server, &options);
    if (result == BERTH_OK) {
        program->out_asked++;
    } else if (result != BERTH_E_FULL && !(result == BERTH_E_STATE && swarm->stops > 0)) {
        swarm_fail(swarm, "connect returned %s", berth_err_name(result));
    }
}

static void opened(struct berth_conn *conn)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = new_visit(swarm, conn);
    struct berth_address peer;
    if (berth_conn_peer(conn, &peer)) {
        visit->actor = actor_of_port(swarm, peer.port);
    }
    if (visit->actor != NULL) {
        visit->life = visit->actor->life;
        visit->deeds = visit->actor->deeds; /* so far, while it waited */
        visit->actor->visit = visit;
    }
    swarm_note(swarm, "visit %u (life %d) opens on worker %u", visit_number(swarm, visit),
               (int)visit->life, visit->worker);
    if (program_does(swarm, CLASS_PAUSE) && program_one_in(swarm, 10)) {
        berth_pause(conn);
        visit_set_paused(swarm, visit, true);
    }
    if (program_does(swarm, CLASS_CLOSE) && program_one_in(swarm, 60)) {
        berth_close(conn);
        visit->closing = true;
    }
    maybe_connect(swarm);
    (void)visit_of(conn);
}

/* ------------------------------------------------------------------------------- messages come */

static void push(struct swarm *swarm, struct visit *visit, struct berth_conn *conn)
{
    uint8_t message[PUSH_MOST + 64];
    uint32_t size = content_push(swarm, PUSH_CALLBACK, visit->pushes, message);
    int result = berth_send(conn, message, size);
    visit->pushed = true;
    if (result == BERTH_E_WOULD_EXCEED) {
        visit->owed = true;
        return;
    }
    visit_expect(swarm, visit, "send", result, visit->closing ? BERTH_E_CLOSED : BERTH_OK);
    visit->pushes += result == BERTH_OK ? 1 : 0;
}

static int reply_by(struct berth_conn *conn, const struct berth_message *message, bool in_place)
{
    int result = BERTH_OK;
    if (!in_place) {
        size_t front = message->size % 3;
        const struct berth_piece pieces[] = {{message->data, front},
                                             {message->data + front, message->size - front}};
        return berth_reply_pieces(conn, message, pieces, 2);
    }
    void *space = berth_reply_space(conn, message, message->size, &result);
    if (space != NULL) {
        memcpy(space, message->data, message->size);
        result = BERTH_OK;
    }
    return result;
}

/* Room for a reply of the message's size is there when it is handed over; only the program itself
 * can have used it up, by what it has sent in the same callback. */
static void reply(struct swarm *swarm, struct visit *visit, struct berth_conn *conn,
                  const struct berth_message *message)
{
    int result = reply_by(conn, message, message->size % 2 == 1);
    if (result == BERTH_E_WOULD_EXCEED && visit->pushed) {
        visit->owed = true;
        berth_close(conn);
        visit->closing = true;
        return;
    }
    visit_expect(swarm, visit, "reply", result, visit->closing ? BERTH_E_CLOSED : BERTH_OK);
    visit->replies += result == BERTH_OK ? 1 : 0;
}

/* false if there is no memory for it. */
static bool keep(struct swarm *swarm, struct visit *visit, struct berth_conn *conn,
                 const struct berth_message *message)
{
    struct program *program = &swarm->program;
    int err = BERTH_OK;
    bool replies = content_class_of(message->data, message->size) != CONTENT_LATE_NOTHING;
    uint32_t room =
        message->size + (program_one_in(swarm, 2) ? 0 : dice_below(&program->dice, 300));
    struct berth_kept *kept = berth_keep(conn, message, room, &err);
    if (kept == NULL) {
        bool exceeded = err == BERTH_E_WOULD_EXCEED && !visit->closing;
        visit->owed = visit->owed || exceeded;
        if (!exceeded) {
            visit_expect(swarm, visit, "keep", err, BERTH_E_CLOSED);
        }
        return !exceeded;
    }
    if (program->held_count == SWARM_HELD_MAX || visit->closing || kept->conn != visit->handle ||
        kept->message.size != message->size) {
        swarm_fail(swarm, "visit %u: a message was kept wrongly", visit_number(swarm, visit));
    }
    program->held[program->held_count++] = (struct held){
        .kept = kept,
        .visit = visit,
        .hash = content_hash(kept->message.data, kept->message.size),
        .replies = replies,
    };
    visit->kept++;
    return true;
}

static void join_or_leave(struct swarm *swarm, struct visit *visit, struct berth_conn *conn)
{
    struct berth_group *group = swarm->program.group;
    if (group == NULL || !program_does(swarm, CLASS_GROUP)) {
        return;
    }
    if (visit->member) {
        berth_group_leave(group, conn);
        visit->member = false;
        return;
    }
    int result = berth_group_join(group, conn);
    if (result != BERTH_E_MEMORY) {
        visit_expect(swarm, visit, "join", result, visit->closing ? BERTH_E_CLOSED : BERTH_OK);
    }
    visit->member = result == BERTH_OK;
}

/* Every byte of what is handed over is known, and nothing comes twice or out of order. */
static void check_message(struct swarm *swarm, const struct visit *visit,
                          const struct berth_message *message)
{
    static uint8_t expected[1u << 16];
    if (visit->life == NO_LIFE) {
        return;
    }
    uint32_t size = content_write(swarm, visit->life, visit->messages, expected);
    if (size != message->size || memcmp(expected, message->data, size) != 0) {
        swarm_fail(swarm, "visit %u: message %u is wrong: %u bytes instead of %u",
                   visit_number(swarm, visit), visit->messages, message->size, size);
    }
    if (visit->actor != NULL && visit->messages >= visit->actor->said) {
        swarm_fail(swarm, "visit %u: message %u came before it was said whole",
                   visit_number(swarm, visit), visit->messages);
    }
}

static void answer(struct swarm *swarm, struct visit *visit, struct berth_conn *conn,
                   const struct berth_message *message)
{
    enum content_class class = content_class_of(message->data, message->size);
    bool late = class == CONTENT_LATE || class == CONTENT_LATE_NOTHING;
    if (late && program_does(swarm, CLASS_KEEP) && keep(swarm, visit, conn, message)) {
        return;
    }
    if (class == CONTENT_PUSH && program_does(swarm, CLASS_PUSH)) {
        push(swarm, visit, conn);
    }
    if (content_replies(class)) {
        reply(swarm, visit, conn, message);
    }
    if (class == CONTENT_JOIN) {
        join_or_leave(swarm, visit, conn);
    }
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = visit_of(conn);
    check_message(swarm, visit, message);
    visit->messages++;
    if (program_does(swarm, CLASS_CLOSE) && program_one_in(swarm, 1000)) {
        berth_close(conn);
        visit->closing = true;
    }
    if (program_does(swarm, CLASS_PAUSE) && program_one_in(swarm, 60)) {
        berth_pause(conn);
        visit_set_paused(swarm, visit, !visit->closing);
    }
    answer(swarm, visit, conn, message);
    if (swarm->one_by_one) {
        visit->pushed = false;
    }
    maybe_connect(swarm);
}

static void on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct visit *visit = visit_of(conn);
    if (count == 0) {
        swarm_fail(swarm_of(conn), "a batch without messages");
    }
    for (size_t i = 0; i < count; i++) {
        on_message(conn, &messages[i]);
    }
    visit->pushed = false;
}

static void on_drained(struct berth_conn *conn)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = visit_of(conn);
    if (!visit->owed) {
        swarm_fail(swarm, "visit %u: on_drained, though nothing was refused",
                   visit_number(swarm, visit));
    }
    visit->owed = false;
    if (program_does(swarm, CLASS_PUSH) && program_one_in(swarm, 2)) {
        push(swarm, visit, conn);
    }
    visit->pushed = false;
}

/* ------------------------------------------------------------------------------------- it closes
 */

/* A deadline must have passed, as far as the peer can tell: it knows when it began what was not
 * ended, and what it wrote arrived later than that. */
static bool deadline_was_missed(const struct swarm *swarm, const struct visit *visit,
                                enum berth_reason reason, uint64_t now_ns)
{
    const struct berth_config *config = &swarm->config;
    const struct actor *actor = visit->actor;
    uint64_t since_ns;
    uint32_t timeout_ms;
    switch (reason) {
    case BERTH_REASON_FIRST_MESSAGE:
        since_ns = visit->opened_ns;
        timeout_ms = config->first_message_timeout_ms;
        if (visit->messages > 0) {
            return false;
        }
        break;
    case BERTH_REASON_MESSAGE_SLOW:
        timeout_ms = config->message_timeout_ms;
        since_ns = visit->opened_ns;
        if (actor != NULL && actor->begun > visit->messages &&
            actor->begun - visit->messages < SWARM_BEGAN) {
            since_ns = actor->began_ns[visit->messages % SWARM_BEGAN];
        }
        break;
    case BERTH_REASON_RECEIVE_IDLE:
        timeout_ms = config->receive_idle_timeout_ms;
        since_ns = visit->opened_ns;
        if (actor != NULL && actor->heard_ns > since_ns) {
            since_ns = actor->heard_ns;
        }
        break;
    case BERTH_REASON_SEND_IDLE:
        timeout_ms = config->send_idle_timeout_ms;
        since_ns = visit->opened_ns;
        break;
    default:
        timeout_ms = config->send_progress_timeout_ms;
        since_ns = visit->opened_ns;
        break;
    }
    return timeout_ms > 0 && now_ns - since_ns >= timeout_ms * NS_PER_MS;
}

/* The deadline is looked at when it passes: until the connection has ended its peer may go on. */
static void watched(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    struct swarm *swarm = context;
    struct visit *visit = conn == NULL ? NULL : berth_conn_user(conn);
    if (record->event != BERTH_EVENT_DEADLINE || visit == NULL) {
        return;
    }
    enum berth_reason reason = (enum berth_reason)record->value;
    if (visit->outgoing || reason < BERTH_REASON_FIRST_MESSAGE) {
        return; /* a client's, or the linger deadline */
    }
    if (visit->missed == 0 && !deadline_was_missed(swarm, visit, reason, record->time_ns)) {
        swarm_fail(swarm, "visit %u (life %d): a deadline was not missed: %s",
                   visit_number(swarm, visit), (int)visit->life, berth_reason_text(reason));
    }
    visit->missed = reason;
}

/* Whether somebody gave this reason. */
static bool reason_is_right(const struct swarm *swarm, const struct visit *visit)
{
    const struct sim_options *o = &swarm->options;
    bool known = visit->life != NO_LIFE;
    bool broken = o->receive_error != 0 || o->send_error != 0;
    switch (visit->reason) {
    case BERTH_REASON_PEER:
    case BERTH_REASON_TRUNCATED:
        return !known || (visit->deeds & (DEED_SHUT | DEED_CLOSED)) != 0 || o->half_close != 0;
    case BERTH_REASON_RESET:
        return !known || visit->deeds != 0 || o->reset != 0 || broken;
    case BERTH_REASON_REFUSED:
        return known ? (visit->deeds & DEED_LIED) != 0 : (swarm->kinds & 1u << ACTOR_LIAR) != 0;
    case BERTH_REASON_LOCAL:
        return visit->closing;
    case BERTH_REASON_STOP:
        return swarm->stops > 0;
    case BERTH_REASON_DEADLINE:
        return !known || visit->deeds != 0 || visit->closing || swarm->stops > 0;
    case BERTH_REASON_MEMORY:
        return swarm_has(swarm, CLASS_TIGHT) && swarm->config.pool_bytes <= 1u << 20;
    case BERTH_REASON_SYSTEM:
        return broken || o->memory_bytes != 0 || !known || (visit->deeds & DEED_VANISHED) != 0;
    case BERTH_REASON_FIRST_MESSAGE:
    case BERTH_REASON_MESSAGE_SLOW:
    case BERTH_REASON_RECEIVE_IDLE:
    case BERTH_REASON_SEND_IDLE:
        return visit->missed == visit->reason;
    case BERTH_REASON_SEND_STALLED: /* by the worker's clock, or the system gave up */
        return visit->missed == visit->reason || broken || (visit->deeds & DEED_VANISHED) != 0 ||
               !known;
    case BERTH_REASON_SLOW:
        return (swarm->program.classes >> CLASS_GROUP & 1) != 0;
    }
    return false;
}

static void closed(struct berth_conn *conn, enum berth_reason reason)
{
    struct swarm *swarm = swarm_of(conn);
    struct program *program = &swarm->program;
    struct visit *visit = visit_of(conn);
    char why[200] = "";
    visit->closes++;
    visit->reason = reason;
    visit->owed = false;
    visit_set_paused(swarm, visit, false);
    swarm_note(swarm, "visit %u closes after %u messages, %u replies: %s",
               visit_number(swarm, visit), visit->messages, visit->replies,
               berth_conn_why(conn, why, sizeof why));
    if (!reason_is_right(swarm, visit)) {
        swarm_fail(swarm, "visit %u (life %d) closed, deeds %x, and nobody gave the reason: %s",
                   visit_number(swarm, visit), (int)visit->life, visit->deeds, why);
    }
    visit_expect(swarm, visit, "send in on_close", berth_send(conn, "", 0), BERTH_E_CLOSED);
    if (berth_conn_find(conn, visit->handle) != NULL) {
        swarm_fail(swarm, "a handle finds its connection inside on_close");
    }
    berth_close(conn);
    for (uint32_t i = 0; i < program->held_count && program_one_in(swarm, 3); i++) {
        if (program->held[i].visit == visit) {
            program_let_go(swarm, i); /* too late already */
            return;
        }
    }
}

/* -------------------------------------------------------------------------- outgoing connections
 */

/* Closes it when nothing that it said will be answered any more. */
static void client_may_end(struct swarm *swarm, struct visit *visit, struct berth_conn *conn)
{
    uint32_t next = visit->messages;
    while (next < visit->pushes && !content_replies(content_class(swarm, visit->life, next))) {
        next++;
    }
    if (next == visit->pushes) {
        berth_close(conn);
        visit->closing = true;
    }
}

static void client_opened(struct berth_conn *conn)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = new_visit(swarm, conn);
    uint8_t message[1u << 16];
    visit->outgoing = true;
    visit->life = swarm->lives++ * ACTOR_KINDS;
    swarm->program.out_opened++;
    while (visit->pushes < OUT_MESSAGES) {
        uint32_t size = content_write(swarm, visit->life, visit->pushes, message);
        int result = berth_send(conn, message, size);
        if (result == BERTH_E_WOULD_EXCEED) {
            break; /* so many large ones do not fit, and need not */
        }
        visit_expect(swarm, visit, "send of a client", result, BERTH_OK);
        visit->pushes++;
    }
    client_may_end(swarm, visit, conn);
}

static void client_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct swarm *swarm = swarm_of(conn);
    struct visit *visit = visit_of(conn);
    uint8_t expected[1u << 16];
    if (content_class_of(message->data, message->size) != CONTENT_NOTHING) {
        while (visit->messages < visit->pushes &&
               !content_replies(content_class(swarm, visit->life, visit->messages))) {
            visit->messages++;
        }
        uint32_t size = content_write(swarm, visit->life, visit->messages, expected);
        if (visit->messages >= visit->pushes || size != message->size ||
            memcmp(expected, message->data, size) != 0) {
            swarm_fail(swarm, "visit %u: an outgoing connection's reply %u is wrong",
                       visit_number(swarm, visit), visit->messages);
        }
        visit->messages++;
    }
    client_may_end(swarm, visit, conn);
}

static void client_closed(struct berth_conn *conn, enum berth_reason reason)
{
    struct visit *visit = visit_of(conn);
    visit->closes++;
    visit->reason = reason;
    visit->owed = false;
}

static void client_failed(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    struct swarm *swarm = user;
    (void)server;
    swarm->program.out_failed++;
    swarm->progress++;
    if (system == 0 || attempts > 6) {
        swarm_fail(swarm, "a connect failed with errno %d after %u attempts", system, attempts);
    }
}

void program_watch(struct swarm *swarm)
{
    swarm->config.on_event = watched;
    swarm->config.event_context = swarm;
}

void program_protocols(struct swarm *swarm)
{
    swarm->client = swarm->protocol;
    swarm->client.context = swarm;
    swarm->client.on_open = client_opened;
    swarm->client.on_message = client_message;
    swarm->client.on_close = client_closed;
    swarm->client.on_connect_failed = client_failed;
    swarm->protocol.context = swarm;
    swarm->protocol.on_open = opened;
    swarm->protocol.on_drained = on_drained;
    swarm->protocol.on_close = closed;
    if (swarm->one_by_one) {
        swarm->protocol.on_message = on_message;
    } else {
        swarm->protocol.on_messages = on_messages;
    }
}
