/* The program of the rig's server: does what a message's first byte says, and never forgets an
 * answer.
 *
 * An answer that is refused for want of room is owed: it is noted by number and size, and sent when
 * on_drained comes; answers to later messages wait behind it. So a client that lacks an answer, on
 * a connection that lives, has found a lost reply. Messages that are kept stand in a list from
 * which the test's thread takes them. Callbacks run on workers; what the test reads is atomic.
 */
#include "torture/help_rig.h"

#include <string.h>

#include "base/bytes.h"

/* ------------------------------------------------------------------------------------- messages */

static uint8_t pattern(const struct rig_message *message, uint32_t at)
{
    return (uint8_t)(message->who * 31u + message->number * 7u + at * 13u + at / 256u);
}

void rig_fill(uint8_t *bytes, const struct rig_message *message, uint32_t count)
{
    bytes[0] = (uint8_t)message->kind;
    bytes[1] = message->who;
    bytes[2] = (uint8_t)message->number;
    bytes[3] = (uint8_t)(message->number >> 8);
    store32(bytes + 4, message->size, false);
    for (uint32_t i = REPLY_HEAD; i < count; i++) {
        bytes[i] = i == REPLY_HEAD ? message->argument : pattern(message, i);
    }
}

struct rig_message rig_read(const uint8_t *bytes, uint32_t count)
{
    RIG_CHECK(count >= REPLY_HEAD);
    struct rig_message message = {
        .kind = (char)bytes[0],
        .who = bytes[1],
        .number = (uint16_t)(bytes[2] | bytes[3] << 8),
        .size = load32(bytes + 4, false),
    };
    for (uint32_t i = REPLY_HEAD; i < count; i++) {
        if (i == REPLY_HEAD) {
            message.argument = bytes[i];
        } else if (bytes[i] != pattern(&message, i)) {
            rig_fail("byte %u of %u is wrong in message %c %u of %u", i, count, message.kind,
                     message.number, message.who);
        }
    }
    return message;
}

static struct rig_visit *visit_of(struct berth_conn *conn)
{
    struct rig_visit *visit = berth_conn_user(conn);
    RIG_CHECK(visit != NULL && visit->closes == 0);
    RIG_CHECK(visit->handle == berth_conn_handle(conn));
    atomic_fetch_add(&rig.progress, 1);
    return visit;
}

/* Where a worker writes what it sends by copy. */
static _Thread_local uint8_t page[RIG_MESSAGE];

static const uint8_t *write_page(char kind, const struct owed *what)
{
    const struct rig_message message = {
        .kind = kind, .who = what->who, .number = what->number, .size = what->size};
    rig_fill(page, &message, what->size);
    return page;
}

/* -------------------------------------------------------------------------------------- answers */

static void owe(struct rig_visit *visit, const struct owed *what)
{
    RIG_CHECK(visit->owed_first + visit->owed_count < RIG_ASKS);
    if (visit->keeps) {
        visit->disorder = true; /* a message of our own does not wait for those that are kept */
    }
    visit->owed[visit->owed_first + visit->owed_count++] = *what;
}

static void refused(struct rig_visit *visit)
{
    atomic_fetch_add(&visit->refusals, 1);
}

/* `message` is NULL for an answer that was owed. */
static int answer_now(struct berth_conn *conn, const struct berth_message *message,
                      const struct owed *what, bool in_place)
{
    if (message == NULL) {
        return berth_send(conn, write_page('R', what), what->size);
    }
    if (!in_place) {
        return berth_reply(conn, message, write_page('R', what), what->size);
    }
    int err = BERTH_OK;
    void *space = berth_reply_space(conn, message, what->size, &err);
    if (space != NULL) {
        memcpy(space, write_page('R', what), what->size);
    }
    return space == NULL ? err : BERTH_OK;
}

static void answer(struct berth_conn *conn, const struct berth_message *message,
                   const struct rig_message *asked)
{
    struct rig_visit *visit = visit_of(conn);
    const struct owed what = {asked->who, asked->number, asked->size};
    int result = BERTH_E_WOULD_EXCEED;
    if (visit->owed_count == 0) {
        result = answer_now(conn, message, &what, asked->kind == 'i');
        if (result == BERTH_E_WOULD_EXCEED) {
            refused(visit);
        }
    }
    if (result == BERTH_E_WOULD_EXCEED) {
        owe(visit, &what);
    } else if (result != BERTH_OK && result != BERTH_E_CLOSED) {
        rig_fail("an answer of %u bytes: %s", what.size, berth_err_name(result));
    }
}

static void push_on(struct berth_conn *conn, struct rig_visit *visit)
{
    while (visit->pushes_left > 0) {
        const struct owed what = {(uint8_t)visit->client, (uint16_t)visit->pushes,
                                  visit->push_bytes};
        int result = berth_send(conn, write_page('S', &what), what.size);
        if (result == BERTH_E_WOULD_EXCEED) {
            refused(visit);
        }
        if (result != BERTH_OK) {
            return;
        }
        visit->pushes++;
        visit->pushes_left--;
    }
}

static void on_drained(struct berth_conn *conn)
{
    struct rig_visit *visit = visit_of(conn);
    atomic_fetch_add(&visit->drains, 1);
    while (visit->owed_count > 0) {
        int result = answer_now(conn, NULL, &visit->owed[visit->owed_first], false);
        if (result == BERTH_E_WOULD_EXCEED) {
            refused(visit);
        }
        if (result != BERTH_OK) {
            return;
        }
        visit->owed_first++;
        visit->owed_count--;
    }
    push_on(conn, visit);
    if (visit->closes_then) {
        berth_close(conn);
    }
}

/* ----------------------------------------------------------------------------------------- keeping
 */

static int let_go(struct berth_kept *kept)
{
    const struct rig_message asked = rig_read(kept->message.data, kept->message.size);
    if (asked.kind == 'K' || asked.kind == 'x') {
        berth_kept_release(kept);
        return BERTH_OK;
    }
    const struct rig_message reply = {
        .kind = 'R', .who = asked.who, .number = asked.number, .size = asked.size};
    rig_fill(kept->reply, &reply, asked.size);
    return berth_kept_reply(kept, kept->reply, asked.size);
}

static void keep(struct berth_conn *conn, const struct berth_message *message,
                 const struct rig_message *asked)
{
    struct rig_visit *visit = visit_of(conn);
    visit->keeps = true;
    if (visit->owed_count > 0) {
        visit->disorder = true; /* of one batch: its answer may go before those that are owed */
    }
    int err = BERTH_OK;
    struct berth_kept *kept = berth_keep(conn, message, asked->size, &err);
    if (kept == NULL) {
        RIG_CHECK(err == BERTH_E_WOULD_EXCEED || err == BERTH_E_CLOSED);
        if (err == BERTH_E_WOULD_EXCEED) {
            refused(visit);
            if (asked->kind == 'k' || asked->kind == 'n') {
                const struct owed what = {asked->who, asked->number, asked->size};
                owe(visit, &what);
            }
        }
    } else if (asked->kind == 'n' || asked->kind == 'x') {
        RIG_CHECK(let_go(kept) == BERTH_OK);
    } else {
        pthread_mutex_lock(&rig.lock);
        RIG_CHECK(rig.held_count < RIG_HELD);
        rig.held[rig.held_count++] = kept;
        pthread_mutex_unlock(&rig.lock);
    }
}

uint32_t rig_held(void)
{
    pthread_mutex_lock(&rig.lock);
    uint32_t count = rig.held_count;
    pthread_mutex_unlock(&rig.lock);
    return count;
}

struct berth_kept *rig_take_held(void)
{
    struct berth_kept *kept = NULL;
    pthread_mutex_lock(&rig.lock);
    if (rig.held_count > 0) {
        kept = rig.held[0];
        rig.held_count--;
        for (uint32_t i = 0; i < rig.held_count; i++) {
            rig.held[i] = rig.held[i + 1];
        }
    }
    pthread_mutex_unlock(&rig.lock);
    return kept;
}

uint32_t rig_let_go(uint32_t most)
{
    uint32_t gone = 0;
    struct berth_kept *kept;
    while (gone < most && (kept = rig_take_held()) != NULL) {
        int result = RIG_CALL(let_go(kept));
        RIG_CHECK(result == BERTH_OK || result == BERTH_E_STALE);
        gone++;
    }
    return gone;
}

/* The bystander's message was kept before anything failed, with the room for its reply: its answer
 * needs no memory, and comes while there is none. */
void rig_answer_bystander(void)
{
    if (rig.bystander_kept == NULL) {
        return;
    }
    RIG_CHECK(RIG_CALL(let_go(rig.bystander_kept)) == BERTH_OK);
    rig.bystander_kept = NULL;
    for (uint32_t turns = 0; !rig_settled(rig.bystander); turns++) {
        RIG_CHECK(turns < RIG_PATIENCE_TURNS);
        rig_turn();
    }
    RIG_CHECK(!rig.clients[rig.bystander].ended || rig.clients[rig.bystander].leaves);
}

void rig_settle(void)
{
    while (!rig_all_settled()) {
        if (rig_let_go(RIG_HELD) == 0) {
            rig_wait("everybody has his answers", __LINE__);
        }
    }
    rig.stuck = 0;
}

/* ---------------------------------------------------------------------------------- one to many */

/* A call that needs memory of the posts: whether it was refused, as it may only be once. */
static bool went(int result)
{
    if (result == BERTH_OK) {
        return true;
    }
    RIG_CHECK(result == BERTH_E_WOULD_EXCEED && allocations_failed());
    atomic_fetch_add(&rig.refused, 1);
    return false;
}

static bool payload(uint32_t group, uint32_t size, enum berth_slow slow)
{
    uint32_t number = atomic_fetch_add(&rig.payloads[group], 1);
    const struct owed what = {(uint8_t)group, (uint16_t)number, size};
    const uint8_t *bytes = write_page('P', &what);
    return went(group == RIG_ALL ? berth_broadcast(rig.server, bytes, size, slow)
                                 : berth_group_send(rig.groups[group], bytes, size));
}

bool rig_group_send(uint32_t group, uint32_t size)
{
    return RIG_CALL(payload(group, size, BERTH_SLOW_PAUSE));
}

bool rig_broadcast(uint32_t size, enum berth_slow slow)
{
    return RIG_CALL(payload(RIG_ALL, size, slow));
}

static void seen(struct berth_conn *conn, void *context)
{
    (void)context;
    RIG_CHECK(berth_conn_server(conn) == rig.server);
    atomic_fetch_add(&rig.seen, 1);
}

static void visited(void *context)
{
    (void)context;
    atomic_fetch_add(&rig.visited, 1);
    atomic_fetch_add(&rig.progress, 1);
}

static bool visit_everybody(void)
{
    if (!went(berth_visit(rig.server, seen, visited, NULL))) {
        return false;
    }
    atomic_fetch_add(&rig.visits_asked, 1);
    return true;
}

bool rig_visit_all(void)
{
    return RIG_CALL(visit_everybody());
}

static void join(struct berth_conn *conn, uint8_t group)
{
    int result = berth_group_join(rig.groups[group], conn);
    if (result == BERTH_OK) {
        atomic_fetch_or(&visit_of(conn)->groups, 1u << group);
        return;
    }
    RIG_CHECK(result == BERTH_E_MEMORY && allocations_failed());
    atomic_fetch_add(&rig.refused, 1);
}

/* ------------------------------------------------------------------------------------ callbacks */

static void on_open(struct berth_conn *conn)
{
    uint32_t number = atomic_fetch_add(&rig.visits_count, 1);
    RIG_CHECK(number < RIG_VISITS);
    struct rig_visit *visit = &rig.visits[number];
    visit->handle = berth_conn_handle(conn);
    berth_conn_set_user(conn, visit);
    (void)visit_of(conn);
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    struct rig_visit *visit = visit_of(conn);
    char why[200];
    RIG_CHECK(berth_conn_why(conn, why, sizeof why)[0] != '\0');
    visit->reason = reason;
    visit->closes = 1;
}

static void do_more(struct berth_conn *conn, const struct rig_message *asked)
{
    struct rig_visit *visit = visit_of(conn);
    switch (asked->kind) {
    case 'j':
        join(conn, asked->argument);
        break;
    case 'l':
        berth_group_leave(rig.groups[asked->argument], conn);
        break;
    case 'g':
        (void)payload(asked->argument, asked->size, BERTH_SLOW_PAUSE);
        break;
    case 'b':
        (void)payload(RIG_ALL, asked->size, (enum berth_slow)asked->argument);
        break;
    case 'f':
        visit->pushes_left += asked->argument;
        visit->push_bytes = asked->size;
        push_on(conn, visit);
        break;
    case 'p':
        berth_pause(conn);
        break;
    case 'd':
        (void)rig_dial(&rig.addresses[0], 2);
        break;
    case 'v':
        (void)visit_everybody();
        break;
    case 's':
        visit->closes_then = visit->owed_count > 0;
        if (!visit->closes_then) {
            berth_close(conn);
        }
        break;
    default:
        break;
    }
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct rig_visit *visit = visit_of(conn);
    const struct rig_message asked = rig_read(message->data, message->size);
    visit->client = asked.who;
    switch (asked.kind) {
    case 'k':
    case 'K':
    case 'n':
    case 'x':
        keep(conn, message, &asked);
        break;
    case 'q':
        break;
    default:
        answer(conn, message, &asked);
        do_more(conn, &asked);
        break;
    }
}

static void on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        on_message(conn, &messages[i]);
    }
}

/* ------------------------------------------------------------------------- outgoing connections */

static void dial_ask(struct berth_conn *conn)
{
    struct rig_message asked = {.kind = 'e', .who = UINT8_MAX, .number = 1, .size = 100};
    rig_fill(page, &asked, asked.size);
    int result = berth_send(conn, page, asked.size);
    RIG_CHECK(result == BERTH_OK || (result == BERTH_E_WOULD_EXCEED && allocations_failed()));
    atomic_fetch_add(&rig.progress, 1);
}

static void dial_opened(struct berth_conn *conn)
{
    atomic_fetch_add(&rig.dials_opened, 1);
    dial_ask(conn);
}

static void dial_answered(struct berth_conn *conn, const struct berth_message *message)
{
    const struct rig_message reply = rig_read(message->data, message->size);
    RIG_CHECK(reply.kind == 'R' && reply.size == message->size && message->size == 100);
    atomic_fetch_add(&rig.dials_answered, 1);
    berth_close(conn);
}

static void dial_closed(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    RIG_CHECK(reason != 0);
    atomic_fetch_add(&rig.dials_closed, 1);
    atomic_fetch_add(&rig.progress, 1);
}

static void dial_failed(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    RIG_CHECK(server == rig.server && user == &rig && system != 0 && attempts <= 5);
    atomic_fetch_add(&rig.dials_failed, 1);
    atomic_fetch_add(&rig.progress, 1);
}

bool rig_dial(const struct berth_address *to, uint32_t attempts)
{
    struct berth_connect_options options = {.address = *to,
                                            .protocol = &rig.dialer,
                                            .user = &rig,
                                            .worker = 1,
                                            .attempts = attempts,
                                            .retry_ms = 2,
                                            .timeout_ms = 2000};
    int result = RIG_CALL(berth_connect(rig.server, &options));
    if (result == BERTH_OK) {
        atomic_fetch_add(&rig.dials, 1);
        return true;
    }
    RIG_CHECK(result == BERTH_E_MEMORY && allocations_failed());
    atomic_fetch_add(&rig.refused, 1);
    return false;
}

void rig_protocols(void)
{
    rig.protocols[0] = (struct berth_protocol){.framing = berth_framing_seed(RIG_MESSAGE),
                                               .on_open = on_open,
                                               .on_message = on_message,
                                               .on_drained = on_drained,
                                               .on_close = on_close};
    rig.protocols[1] = rig.protocols[0];
    rig.protocols[1].framing.length_big_endian = true;
    rig.protocols[1].on_message = NULL;
    rig.protocols[1].on_messages = on_messages;
    rig.dialer = (struct berth_protocol){.framing = berth_framing_seed(RIG_MESSAGE),
                                         .on_open = dial_opened,
                                         .on_message = dial_answered,
                                         .on_drained = dial_ask,
                                         .on_close = dial_closed,
                                         .on_connect_failed = dial_failed};
}
