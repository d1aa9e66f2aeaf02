/* What the server calls. Each callback is held against the model first, then its script is played:
 * the next orders of the role, with the connection that it is about. Whatever a script does, what
 * the engine still owes for this call is looked at when it returns (messages without an answer are
 * done). O(bytes) for a message, else O(connections).
 */
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "fuzz/api/play.h"

#define SCRIPT_MOST 8

static struct play *play_of(const struct berth_conn *conn)
{
    return berth_conn_server(conn)->config.event_context;
}

static void play_script(struct play *play, enum role role, struct seen *own)
{
    struct order orders[SCRIPT_MOST];
    if (play->calm) {
        return;
    }
    uint32_t count = tape_script(&play->tape, role, orders, SCRIPT_MOST);
    for (uint32_t i = 0; i < count && play->actions_left > 0; i++) {
        play->actions_left--;
        order_obey(play, &orders[i], own);
    }
}

/* Callbacks of one worker never overlap, and are on the worker's turn. */
static struct seen *entered(struct play *play, struct berth_conn *conn)
{
    struct seen *seen = seen_of(play, conn);
    FUZZ_CHECK(play->inside == berth_conn_worker(conn));
    FUZZ_CHECK(play->batch.seen == NULL);
    FUZZ_CHECK(play->events_deep == 0);
    if (seen == NULL || !seen->opened || seen->closed) {
        play_failed(play, "a callback for a connection that is not open");
    }
    return seen;
}

static void on_open(struct berth_conn *conn)
{
    struct play *play = play_of(conn);
    FUZZ_CHECK(play->inside == berth_conn_worker(conn) && play->batch.seen == NULL);
    struct seen *seen = seen_of(play, conn);
    if (seen == NULL) {
        seen = seen_begin(play, conn);
    }
    if (seen->opened || seen->over) {
        play_failed(play, "connection %u: on_open, though it was open before", seen->number);
    }
    struct outgoing *out = berth_conn_user(conn);
    if (seen->outgoing) {
        FUZZ_CHECK(out >= play->outgoing && out < play->outgoing + play->outgoing_count);
        FUZZ_CHECK(!out->over && out->seen == NOBODY);
        FUZZ_CHECK(berth_conn_connect_attempts(conn) >= 1);
        out->seen = seen->number;
    } else {
        FUZZ_CHECK(out == NULL);
    }
    seen_opened(play, seen);
    berth_conn_set_user(conn, seen);
    play_script(play, ROLE_OPEN, seen);
}

/* ---------------------------------------------------------------------------------------- messages
 */

static void told_add(struct seen *seen)
{
    if (seen->told_count == seen->told_room) {
        seen->told_room = seen->told_room == 0 ? 16 : 2 * seen->told_room;
        seen->told = realloc(seen->told, seen->told_room * sizeof seen->told[0]);
        FUZZ_CHECK(seen->told != NULL);
    }
    seen->told[seen->told_count++] = (struct told){.state = TOLD_OPEN};
}

/* It is the next that the other end said. */
static void check_message(struct play *play, struct seen *seen, const struct berth_message *message)
{
    uint32_t number = seen->told_count;
    const struct berth_framing *framing = seen_framing(play, seen);
    FUZZ_CHECK(message->size <= framing->message_bytes_max);
    FUZZ_CHECK(message->size > 0 || !framing->refuse_empty);
    if (seen->partner != NOBODY) {
        voice_heard(play, &play->seen[seen->partner], message->data, message->size);
        return;
    }
    if (seen->life == NOBODY) {
        FUZZ_CHECK(!seen->outgoing); /* nobody speaks elsewhere */
        return;
    }
    const struct life *life = &play->lives[seen->life];
    if (number >= life->wild_from) {
        return;
    }
    if (number >= life->said_count || life->said[number].end > life->written) {
        play_failed(play, "connection %u: message %u was never said", seen->number, number);
    }
    struct line line = {VOICE_ACTOR, seen->life, number, life->said[number].size};
    if (!line_is(&line, message->data, message->size)) {
        play_failed(play, "connection %u: message %u is not what was said", seen->number, number);
    }
}

/* From the first message without an answer on, no more than the window may be on their way; what
 * has ended without a reply is not. */
static void check_window(const struct play *play, const struct seen *seen, size_t count)
{
    uint32_t away = 0;
    for (uint32_t i = seen->told_heard; i < seen->told_count; i++) {
        enum told_state state = seen->told[i].state;
        away += state == TOLD_KEPT || (away > 0 && state == TOLD_ANSWERED) ? 1 : 0;
    }
    if (away > 0 && away + count > play->config.window_messages) {
        play_failed(play, "connection %u: %u messages are on their way, %zu come, the window is %u",
                    seen->number, away, count, play->config.window_messages);
    }
}

static void batch_begin(struct play *play, struct seen *seen, const struct berth_message *messages,
                        size_t count)
{
    FUZZ_CHECK(count >= 1);
    if (seen->over || seen->begun || seen->asked) {
        play_failed(play, "connection %u: a message, though it closes", seen->number);
    }
    if (seen->paused && play->stops == 0) {
        play_failed(play, "connection %u: a message, though it is paused", seen->number);
    }
    play->batch = (struct batch){.seen = seen,
                                 .messages = messages,
                                 .count = (uint32_t)count,
                                 .first = seen->told_count,
                                 .roomy = !seen->kept_ever};
    check_window(play, seen, count);
    for (size_t i = 0; i < count; i++) {
        check_message(play, seen, &messages[i]);
        told_add(seen);
    }
    play->progress++;
    TELL(play, "connection %u: %zu messages, the first of %u bytes", seen->number, count,
         messages[0].size);
}

/* What was neither answered nor kept is done. */
static void batch_end(struct play *play)
{
    struct batch *batch = &play->batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct told *told = &batch->seen->told[batch->first + i];
        told->state = told->state == TOLD_OPEN ? TOLD_DONE : told->state;
    }
    *batch = (struct batch){.seen = NULL};
}

static void on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct play *play = play_of(conn);
    struct seen *seen = entered(play, conn);
    batch_begin(play, seen, messages, count);
    play_script(play, ROLE_MESSAGE, seen);
    batch_end(play);
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    on_messages(conn, message, 1);
}

static void on_drained(struct berth_conn *conn)
{
    struct play *play = play_of(conn);
    struct seen *seen = entered(play, conn);
    if (!seen->owed && !seen->owed_by_handle && !seen->may_drain) {
        play_failed(play, "connection %u: on_drained, though nothing was refused", seen->number);
    }
    if (seen->asked || seen->begun) {
        play_failed(play, "connection %u: on_drained, though it closes", seen->number);
    }
    FUZZ_CHECK(berth_conn_queued_bytes(conn) <= play->config.send_low_bytes);
    TELL(play, "connection %u: drained", seen->number);
    seen->owed = false;
    /* The worker may not have known yet that a send by handle was refused: then another follows. */
    seen->may_drain = seen->owed_by_handle && play->turns[seen->worker] < seen->owed_turn + 2;
    seen->owed_by_handle = false;
    play->progress++;
    play_script(play, ROLE_DRAINED, seen);
}

/* Nothing can be done with it any more. */
static void check_end(struct play *play, struct seen *seen)
{
    FUZZ_CHECK(berth_send(seen->conn, "x", 1) == BERTH_E_CLOSED);
    FUZZ_CHECK(berth_conn_find(seen->conn, seen->handle) == NULL);
    FUZZ_CHECK(berth_handle_close(play->server, seen->handle) == BERTH_E_STALE);
    berth_close(seen->conn);
    berth_resume(seen->conn);
    for (uint32_t i = 0; i < PLAY_GROUPS; i++) {
        struct berth_group *group = play->groups[i].group;
        if (group != NULL) {
            FUZZ_CHECK(berth_group_join(group, seen->conn) == BERTH_E_CLOSED);
            berth_group_leave(group, seen->conn);
        }
    }
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    struct play *play = play_of(conn);
    struct seen *seen = entered(play, conn);
    FUZZ_CHECK(berth_conn_user(conn) == seen);
    seen_closed(play, seen, reason);
    if (seen->outgoing) {
        for (uint32_t i = 0; i < play->outgoing_count; i++) {
            play->outgoing[i].over |= play->outgoing[i].seen == seen->number;
        }
    }
    check_end(play, seen);
    play_script(play, ROLE_CLOSE, seen);
    seen->closed = true;
    seen->conn = NULL;
}

static void on_connect_failed(struct berth_server *server, void *user, int system,
                              uint32_t attempts)
{
    struct play *play = server->config.event_context;
    struct outgoing *out = user;
    FUZZ_CHECK(play->inside != NOBODY && play->batch.seen == NULL && play->events_deep == 0);
    FUZZ_CHECK(out >= play->outgoing && out < play->outgoing + play->outgoing_count);
    FUZZ_CHECK(!out->over && out->seen == NOBODY);
    FUZZ_CHECK(system > 0 && (attempts >= 1 || play->stops > 0));
    out->over = true;
    play->outgoing_open--;
    play->connects_failed++;
    play->progress++;
    TELL(play, "outgoing %u failed: errno %d after %u attempts", (unsigned)(out - play->outgoing),
         system, attempts);
    play_script(play, ROLE_FAILED, NULL);
}

/* ------------------------------------------------------------------------------------------ visits
 */

void each_visited(struct berth_conn *conn, void *context)
{
    struct look *look = context;
    struct play *play = look->play;
    struct seen *seen = entered(play, conn);
    uint64_t bit = UINT64_C(1) << seen->number;
    if (look->done || (look->visited & bit) != 0) {
        play_failed(play, "connection %u is visited twice, or after the end", seen->number);
    }
    look->visited |= bit;
    play_script(play, ROLE_EACH, seen);
}

void visit_done(void *context)
{
    struct look *look = context;
    struct play *play = look->play;
    if (look->done || (look->must & ~look->visited) != 0) {
        play_failed(play, "a visit is done %s", look->done ? "twice" : "and was not everywhere");
    }
    look->done = true;
    play->progress++;
    TELL(play, "visit %u is done", (unsigned)(look - play->looks));
    play_script(play, ROLE_DONE, NULL);
}

/* ------------------------------------------------------------------------------------------ events
 */

/* The script of what may come inside another call, whose message is not to be touched. */
static void play_inside_call(struct play *play, enum role role)
{
    if (play->events_deep == 0) {
        play->events_deep++;
        play->message = play->rooms[1];
        play_script(play, role, NULL);
        play->message = play->rooms[0];
        play->events_deep--;
    }
}

/* A connection's events come in order, and none after the last. */
static void check_event(struct play *play, struct berth_conn *conn,
                        const struct berth_record *record)
{
    struct seen *seen = seen_of_handle(play, record->conn);
    FUZZ_CHECK(record->conn == berth_conn_handle(conn));
    bool first = record->event == BERTH_EVENT_ACCEPTED || record->event == BERTH_EVENT_CONNECTED;
    if (first) {
        FUZZ_CHECK(seen == NULL);
        (void)seen_begin(play, conn);
        return;
    }
    if (seen == NULL) {
        FUZZ_CHECK(!play->sharp || (record->event >= BERTH_EVENT_CONNECT_STARTED &&
                                    record->event <= BERTH_EVENT_GIVEN_UP));
        return;
    }
    if (seen->closed || (seen->over && record->event != BERTH_EVENT_THREAD)) {
        play_failed(play, "connection %u: the event %s, though it has ended", seen->number,
                    berth_event_name(record->event));
    }
    if (record->event == BERTH_EVENT_CLOSING) {
        FUZZ_CHECK(!seen->begun);
        seen->begun = true;
        seen_unsure(play, seen, PLAY_GROUPS);
    } else if (record->event == BERTH_EVENT_CLOSED) {
        FUZZ_CHECK(seen->begun || !play->sharp);
        seen_over(play, seen);
    } else if (record->event == BERTH_EVENT_THREAD && record->value == BERTH_CALLBACK_CLOSE) {
        if (!seen->over) {
            seen_over(play, seen); /* what it says is the same; CLOSED was not watched */
        }
    } else if (record->event == BERTH_EVENT_DELIVERED || record->event == BERTH_EVENT_DRAINED) {
        FUZZ_CHECK(!seen->begun);
    }
}

static void on_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    struct play *play = context;
    FUZZ_CHECK(play->inside == record->worker);
    FUZZ_CHECK(berth_event_name(record->event) != NULL && berth_event_text(record->event) != NULL);
    FUZZ_CHECK((conn == NULL) == (record->conn == 0));
    if (conn != NULL) {
        check_event(play, conn, record);
    }
    play_inside_call(play, ROLE_EVENT);
}

static void on_log(void *context, const char *text)
{
    struct play *play = context;
    FUZZ_CHECK(text[0] != '\0' && strchr(text, '\n') == NULL);
    TELL(play, "log: %s", text);
    play_inside_call(play, ROLE_LOG);
}

void callbacks_set(struct play *play)
{
    play->config.on_event = on_event;
    play->config.event_context = play;
    play->config.on_log = on_log;
    play->config.log_context = play;
    for (uint32_t i = 0; i < PLAY_PROTOCOLS; i++) {
        struct berth_protocol *protocol = &play->protocols[i];
        protocol->context = protocol;
        protocol->on_open = on_open;
        protocol->on_messages = on_messages;
        protocol->on_message = on_message;
        protocol->on_drained = on_drained;
        protocol->on_close = on_close;
        protocol->on_connect_failed = on_connect_failed;
    }
}
