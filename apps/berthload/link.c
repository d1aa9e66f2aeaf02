/* One connection of a run, from the first attempt to its end: it keeps --pipeline messages on
 * their way, and holds every reply against what it must be. When it has ended, the link makes the
 * next connection of its worker, until none is left. With a ledger a wrong reply does not end its
 * connection: its account (account.c) says what it was, and it goes on. All of it runs on the
 * connection's worker; a link belongs to the client and writes its worker's tally. Per batch of
 * replies it reads the clock once and updates the tally once; per message it costs a comparison, a
 * count in the histogram, and the writing of the next message straight into the send queue. */
#include "link.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "record.h"

/* Between rounds through several addresses; the same as the library between attempts at one. */
#define RETRY_FIRST_MS 10u
#define RETRY_MOST_MS  1000u

/* Room for the library's sentence on how a connection ended. */
#define WHY_BYTES 200

/* ---- connecting ---- */

/* Where a connection comes from: the addresses take turns. */
static struct berth_address source_of(const struct options *options, uint32_t number)
{
    uint32_t address = options->source + (number - 1) % options->sources;
    struct berth_address local = {.family = BERTH_IPV4};
    for (size_t i = 0; i < 4; i++) {
        local.bytes[i] = (uint8_t)(address >> (24 - 8 * i));
    }
    return local;
}

/* With one address the library does all attempts. With several, each of its attempts is one
 * address in its turn, so that a dead first address does not keep the others from being tried. */
static int connect_now(struct link *link)
{
    struct client *client = link->client;
    const struct options *options = client->options;
    uint32_t count = (uint32_t)client->addresses->count;
    uint32_t round = link->tries / count;
    struct berth_connect_options connect = {
        .address = client->addresses->list[link->tries % count],
        .protocol = &client->protocol,
        .user = link,
        .worker = link->worker,
        .timeout_ms = (uint32_t)((options->connect_timeout_ns + NS_PER_MS - 1) / NS_PER_MS),
        .attempts = count == 1 ? options->retries + 1 : 1,
        .retry_ms = RETRY_FIRST_MS,
        .retry_max_ms = RETRY_MOST_MS,
    };
    if (options->sources > 0) {
        connect.local = source_of(options, link->number);
    }
    if (link->tries == 0) {
        uint64_t wait_ms = link->wait_ns / NS_PER_MS;
        connect.delay_ms = wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
    } else if (round > 0 && link->tries % count == 0) {
        uint32_t doublings = round - 1 < 31 ? round - 1 : 31;
        uint64_t wait_ms = (uint64_t)RETRY_FIRST_MS << doublings;
        connect.delay_ms = wait_ms < RETRY_MOST_MS ? (uint32_t)wait_ms : RETRY_MOST_MS;
    }
    return berth_connect(client->server, &connect);
}

/* Takes the next connection of its worker; `now_ns` is since the start. false: none is left. */
static bool take_next(struct link *link, uint64_t now_ns)
{
    struct client *client = link->client;
    const struct options *options = client->options;
    uint64_t wait_ns = 0;
    uint32_t number = pace_take(&client->paces[link->worker], now_ns, &wait_ns);
    if (number == 0) {
        return false;
    }
    *link = (struct link){
        .client = client,
        .tally = link->tally,
        .account = link->account,
        .stamps = link->stamps,
        .number = number,
        .worker = link->worker,
        .wait_ns = wait_ns,
        .unsent = options->messages != 0 ? options->messages : UINT64_MAX,
        .verifier = {.plan = &client->plan, .with_id = options->with_id},
        .ring = journal_ring(client->journal, link->worker),
        .followed = number == options->flow,
    };
    message_cursor_start(&client->plan, &link->next, number);
    message_cursor_start(&client->plan, &link->verifier.expected, number);
    if (link->account != NULL) {
        account_begin(link->account, number);
    }
    return true;
}

int link_begin(struct link *link, struct client *client, uint32_t place, uint32_t worker)
{
    *link = (struct link){
        .client = client,
        .tally = &client->tallies[worker],
        .stamps = client->stamps + (size_t)place * client->options->pipeline,
        .account = client->accounts != NULL ? &client->accounts[place] : NULL,
        .worker = worker,
    };
    if (link->account != NULL) {
        *link->account = (struct account){.ledger = client->book->ledger,
                                          .totals = &link->tally->account,
                                          .plan = &client->plan,
                                          .worker = (uint16_t)worker};
    }
    return take_next(link, 0) ? connect_now(link) : BERTH_E_STATE;
}

/* ---- the ends of things ---- */

/* So many connections have nothing more to do with messages. The last one ends the time that
 * counts. */
static void count_finished(struct client *client, uint32_t count)
{
    if (atomic_fetch_sub(&client->unfinished, count) == count) {
        client->end = (struct moment){clock_now_ns(), clock_cpu_ns()};
    }
}

/* Its first message is answered, or never will be. */
static void hear(struct link *link)
{
    if (!link->heard) {
        link->heard = true;
        atomic_fetch_sub(&link->client->unheard, 1);
    }
}

/* Whether it is one of those that say one thing and then nothing more. */
static bool is_idle(const struct link *link)
{
    const struct options *options = link->client->options;
    return link->number > options->connections - options->idle;
}

/* Whether it is to stay as it is, for others or for good (stage.c). */
static bool waits(const struct link *link)
{
    switch (atomic_load(&link->client->stage)) {
    case STAGE_OPENING:
        return true;
    case STAGE_FIRST:
        return link->heard;
    case STAGE_ACTIVE:
        return is_idle(link);
    default:
        return false;
    }
}

static void finish(struct link *link)
{
    if (!link->finished) {
        link->finished = true;
        hear(link);
        if (link->opened) {
            atomic_fetch_sub(&link->client->asking, 1);
        }
        count_finished(link->client, 1);
    }
}

/* Connections whose messages will not be sent, for the ledger; 0: several, that have no number. */
static void not_made(struct link *link, uint32_t number, uint32_t connections,
                     enum account_reason reason)
{
    if (link->account != NULL) {
        account_not_made(link->account, number, connections * link->client->options->messages,
                         reason);
    }
}

/* The connection is over: the next one of this worker begins, unless the run is being stopped. The
 * last link without one ends the run. */
static void end(struct link *link)
{
    struct client *client = link->client;
    int code = BERTH_OK;
    finish(link);
    if (atomic_load(&client->halt) == CAUSE_NONE &&
        take_next(link, clock_now_ns() - client->started_ns)) {
        code = connect_now(link);
        if (code == BERTH_OK) {
            return;
        }
        finish(link);
        not_made(link, link->number, 1, ACCOUNT_CUT);
        if (code != BERTH_E_STATE) { /* that is the run being stopped */
            record_complaint(link, EVENT_CONNECT_FAILED, " could not be begun: %s",
                             berth_err_text(code));
        }
    }
    uint32_t dropped = pace_drop(&client->paces[link->worker]);
    if (dropped > 0) {
        link->tally->unbegun += dropped;
        atomic_fetch_sub(&client->unheard, dropped);
        count_finished(client, dropped);
        not_made(link, 0, dropped, ACCOUNT_UNBEGUN);
    }
    if (atomic_fetch_sub(&client->unended, 1) == 1) {
        berth_server_stop(client->server);
    }
}

static bool may_send(const struct link *link, uint64_t now)
{
    const struct client *client = link->client;
    unsigned stage = atomic_load(&client->stage);
    bool ended = stage == STAGE_FIRST ? link->sent > 0 : now >= client->deadline_ns;
    return link->unsent > 0 && !ended && stage != STAGE_OVER &&
           atomic_load_explicit(&client->halt, memory_order_relaxed) == CAUSE_NONE;
}

/* A reason of the connection's own to end before its time. The first one stays. */
static void give_up(struct link *link, struct berth_conn *conn, enum cause cause)
{
    if (link->cause == CAUSE_NONE) {
        link->cause = cause;
    }
    finish(link);
    berth_close(conn);
}

/* ---- sending ---- */

static void send_failed(struct link *link, struct berth_conn *conn, int err)
{
    if (err == BERTH_E_WOULD_EXCEED) {
        link->blocked = true; /* on_drained goes on */
    } else if (err != BERTH_E_CLOSED) {
        record_complaint(link, EVENT_NOTE, ", message %" PRIu64 ": could not be sent: %s",
                         link->next.index, berth_err_text(err));
        give_up(link, conn, CAUSE_SEND);
    }
}

/* Sends until the pipeline is full, nothing is left to send or the queue takes no more. */
static void fill(struct link *link, struct berth_conn *conn, uint64_t now)
{
    const struct message_plan *plan = &link->client->plan;
    const uint32_t pipeline = link->client->options->pipeline;
    const uint32_t most = atomic_load(&link->client->stage) == STAGE_FIRST ? 1 : pipeline;
    uint64_t count = 0;
    uint64_t bytes = 0;
    if (!may_send(link, now)) {
        return;
    }
    link->filling = true;
    link->next.time_ns = now;
    while (link->outstanding < most && link->unsent > 0) {
        int err = BERTH_OK;
        uint32_t size = message_size(plan, &link->next);
        uint8_t *room = berth_send_space(conn, size, &err);
        if (room == NULL) {
            send_failed(link, conn, err);
            break;
        }
        message_write(plan, &link->next, size, room);
        message_cursor_next(&link->next);
        link->stamps[link->stamp_in] = now;
        link->stamp_in = link->stamp_in + 1 < pipeline ? link->stamp_in + 1 : 0;
        link->outstanding++;
        link->unsent--;
        count++;
        bytes += size;
    }
    link->filling = false;
    link->sent += count;
    link->sent_bytes += bytes;
    tally_add(&link->tally->sent, count);
    tally_add(&link->tally->sent_bytes, bytes);
}

/* Fills the pipeline; or, when all has been sent and answered, begins to close. */
static void go_on(struct link *link, struct berth_conn *conn, uint64_t now)
{
    if (link->finished || waits(link)) {
        return;
    }
    if (!link->blocked) {
        fill(link, conn, now);
    }
    if (link->outstanding == 0 && !may_send(link, now)) {
        finish(link);
        berth_close(conn);
    }
}

/* ---- receiving ---- */

static void wrong_reply(struct link *link, struct berth_conn *conn, enum reply_verdict verdict,
                        const struct berth_message *reply)
{
    char text[REPLY_TEXT_BYTES];
    link->tally->wrong++;
    record_complaint(
        link, EVENT_WRONG, ", message %" PRIu64 ": wrong reply: %s", link->verifier.expected.index,
        verifier_describe(&link->verifier, verdict, reply->data, reply->size, text, sizeof text));
    give_up(link, conn, CAUSE_WRONG);
}

/* Takes the latencies of `count` replies off the ring. Messages that left together have the same
 * stamp and are counted together. */
static void take_latencies(struct link *link, uint64_t count, uint64_t now)
{
    const uint32_t pipeline = link->client->options->pipeline;
    uint32_t at = link->stamp_out;
    uint64_t alike = 0;
    uint64_t stamp = link->stamps[at];
    for (uint64_t i = 0; i < count; i++) {
        if (link->stamps[at] != stamp) {
            histogram_add(&link->tally->latency, now - stamp, alike);
            stamp = link->stamps[at];
            alike = 0;
        }
        alike++;
        at = at + 1 < pipeline ? at + 1 : 0;
    }
    if (alike > 0) {
        histogram_add(&link->tally->latency, now - stamp, alike);
    }
    link->stamp_out = at;
}

/* What is queued as a frame and was not a right reply has its stamps taken without a latency. */
static void drop_stamps(struct link *link, uint32_t count)
{
    link->stamp_out = (link->stamp_out + count) % link->client->options->pipeline;
}

static uint64_t frame_bytes(const struct link *link, const struct berth_message *reply)
{
    return (uint64_t)reply->size + reply->header_bytes +
           link->client->options->framing.delimiter_bytes;
}

/* Right replies in a row, and the verdict on the one behind them. */
struct right_replies {
    size_t count;
    uint64_t bytes;
    uint64_t headers; /* of these, in front */
    enum reply_verdict verdict;
};

/* Verifies replies as long as they are right. */
static struct right_replies verify(struct link *link, const struct berth_message *replies,
                                   size_t count)
{
    const uint32_t pipeline = link->client->options->pipeline;
    struct right_replies right = {.verdict = REPLY_RIGHT};
    uint32_t stamp = link->stamp_out;
    while (right.count < count) {
        const struct berth_message *reply = &replies[right.count];
        if (link->account != NULL) { /* its mark has the time in it */
            link->verifier.expected.time_ns = link->stamps[stamp];
            stamp = stamp + 1 < pipeline ? stamp + 1 : 0;
        }
        right.verdict = right.count == link->outstanding
                            ? REPLY_UNASKED
                            : verifier_check(&link->verifier, reply->data, reply->size);
        if (right.verdict != REPLY_RIGHT) {
            break;
        }
        right.bytes += reply->size;
        right.headers += reply->header_bytes;
        right.count++;
    }
    return right;
}

/* With --idle: many come at once, which is not what the run is about. */
static void first_answered(struct link *link, uint64_t count, uint64_t bytes)
{
    drop_stamps(link, (uint32_t)count);
    link->tally->firsts += count;
    link->tally->first_sent_bytes += link->sent_bytes;
    link->tally->first_right_bytes += bytes;
    hear(link);
}

static void count_right(struct link *link, const struct right_replies *right, uint64_t now)
{
    uint64_t wire = right->bytes + right->headers +
                    right->count * link->client->options->framing.delimiter_bytes;
    if (link->client->options->idle > 0 && !link->heard && right->count > 0) {
        first_answered(link, right->count, right->bytes);
    } else {
        take_latencies(link, right->count, now);
    }
    link->outstanding -= (uint32_t)right->count;
    tally_add(&link->tally->right, right->count);
    tally_add(&link->tally->right_bytes, right->bytes);
    link->tally->right_frame_bytes += wire;
    if (link->account != NULL) {
        account_right(link->account, link->verifier.expected.index - 1, right->count, right->bytes,
                      wire);
    }
}

/* With a ledger: a reply that is not the next right one. false: the connection ends. */
static bool odd_reply(struct link *link, struct berth_conn *conn, enum reply_verdict verdict,
                      const struct berth_message *reply, uint64_t now)
{
    const struct account_reply odd = {.verdict = verdict,
                                      .message = reply,
                                      .outstanding = link->outstanding,
                                      .wire = frame_bytes(link, reply)};
    struct account_step step = account_odd(link->account, &link->verifier, &odd);
    if (step.unasked) {
        wrong_reply(link, conn, REPLY_UNASKED, reply);
        return false;
    }
    bool first = link->client->options->idle > 0 && !link->heard;
    bool timed = step.answered && step.settled > 0 && !first;
    drop_stamps(link, step.settled - (timed ? 1 : 0));
    take_latencies(link, timed ? 1 : 0, now);
    link->outstanding -= step.settled;
    link->tally->wrong += step.wrong ? 1 : 0;
    if (first && link->outstanding == 0) {
        hear(link);
    }
    if (step.answered) {
        tally_add(&link->tally->right, 1);
        tally_add(&link->tally->right_bytes, reply->size);
        link->tally->right_frame_bytes += odd.wire;
    }
    return true;
}

void link_on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    struct link *link = berth_conn_user(conn);
    uint64_t now = clock_now_ns();
    size_t at = 0;
    if (link->finished) {
        return; /* it is closing; nothing is expected any more */
    }
    while (at < count) {
        struct right_replies right = verify(link, messages + at, count - at);
        count_right(link, &right, now);
        if (record_wants_messages(link)) {
            record_replies(link, messages + at,
                           right.count + (right.verdict == REPLY_RIGHT ? 0 : 1), right.count, now);
        }
        at += right.count;
        if (right.verdict == REPLY_RIGHT) {
            break;
        }
        if (link->account == NULL) {
            wrong_reply(link, conn, right.verdict, &messages[at]);
            return;
        }
        if (!odd_reply(link, conn, right.verdict, &messages[at], now)) {
            return;
        }
        at++;
    }
    go_on(link, conn, now);
}

/* ---- the other callbacks ---- */

void link_on_open(struct berth_conn *conn)
{
    struct link *link = berth_conn_user(conn);
    struct client *client = link->client;
    uint32_t attempts = link->tries + berth_conn_connect_attempts(conn);
    link->tally->made++;
    link->tally->retries += (attempts - 1) / (uint32_t)client->addresses->count;
    link->opened = true;
    if (link->account != NULL) {
        link->account->opened_ns = clock_now_ns();
    }
    atomic_fetch_add(&client->asking, 1);
    uint32_t open = atomic_fetch_add(&client->open, 1) + 1;
    uint32_t most = atomic_load(&client->most);
    while (open > most && !atomic_compare_exchange_weak(&client->most, &most, open)) {
    }
    if (client->options->idle == 0 && !atomic_exchange(&client->begun, true)) {
        client->begin = (struct moment){clock_now_ns(), clock_cpu_ns()};
    }
    record_connected(link, open);
    go_on(link, conn, clock_now_ns());
}

/* The idle ones have nothing more to do with messages once they were heard, and stay until all is
 * over. */
void link_visit(struct berth_conn *conn, void *context)
{
    struct link *link = berth_conn_user(conn);
    unsigned stage = atomic_load(&link->client->stage);
    (void)context;
    if (stage == STAGE_ACTIVE && is_idle(link)) {
        finish(link);
    } else if (stage == STAGE_OVER && link->finished) {
        berth_close(conn);
    } else {
        go_on(link, conn, clock_now_ns());
    }
}

void link_on_drained(struct berth_conn *conn)
{
    struct link *link = berth_conn_user(conn);
    link->blocked = false;
    go_on(link, conn, clock_now_ns());
}

/* Why messages of a connection that has ended are unanswered, or were not sent. CAUSE_NONE: none
 * is. */
static uint32_t cause_of_end(const struct link *link, enum berth_reason reason)
{
    uint32_t halt = atomic_load(&link->client->halt);
    bool unsent = link->client->options->messages != 0 && link->unsent > 0;
    if (link->cause != CAUSE_NONE) {
        return link->cause;
    }
    if (link->outstanding == 0 && !unsent) {
        return CAUSE_NONE;
    }
    return halt != CAUSE_NONE ? halt : (uint32_t)reason;
}

static void close_account(struct link *link, enum berth_reason reason)
{
    const struct account_end end = {
        .sent = link->sent,
        .sent_bytes = link->sent_bytes,
        .unanswered = link->outstanding,
        .unsent = link->client->options->messages != 0 ? link->unsent : 0,
        .reason = cause_of_end(link, reason),
        .closed = reason,
        .now_ns = clock_now_ns(),
    };
    account_close(link->account, &link->verifier, &end);
}

void link_on_close(struct berth_conn *conn, enum berth_reason reason)
{
    struct link *link = berth_conn_user(conn);
    struct client *client = link->client;
    uint64_t unanswered = link->outstanding;
    uint32_t cause = cause_of_end(link, reason);
    uint32_t open = atomic_fetch_sub(&client->open, 1) - 1;
    if (is_idle(link) && reason != BERTH_REASON_LOCAL && reason != BERTH_REASON_STOP) {
        link->tally->idle_lost++;
        cause = reason;
    }
    /* Who closes the run has decided that no more are to be sent. */
    if (cause != CAUSE_NONE && (cause != CAUSE_CLOSE || unanswered > 0)) {
        link->tally->lost[cause].connections++;
        link->tally->lost[cause].messages += unanswered;
        if (cause <= CAUSE_LIBRARY_LAST) {
            char why[WHY_BYTES];
            record_complaint(link, EVENT_CLOSED,
                             " ended with %" PRIu64 " of %" PRIu64 " messages unanswered: %s",
                             unanswered, link->sent, berth_conn_why(conn, why, sizeof why));
        }
    }
    if (link->account != NULL) {
        close_account(link, reason);
    }
    uint32_t over = atomic_fetch_add(&client->over, 1) + 1;
    record_closed(link, reason, open, over);
    end(link);
}

void link_on_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    const struct link *link = conn != NULL ? berth_conn_user(conn) : NULL;
    if (link != NULL && record->event == BERTH_EVENT_RECEIVED) {
        link->account->received_wire += record->value;
    }
    record_event(context, conn, record);
}

void link_on_connect_failed(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    struct link *link = user;
    struct client *client = link->client;
    uint64_t addresses = client->addresses->count;
    (void)server;
    link->tries += attempts;
    if (addresses > 1 && link->tries < addresses * ((uint64_t)client->options->retries + 1) &&
        atomic_load(&client->halt) == CAUSE_NONE && connect_now(link) == BERTH_OK) {
        return;
    }
    uint32_t rounds = (uint32_t)((link->tries + addresses - 1) / addresses);
    link->tally->failed++;
    atomic_fetch_add(&client->over, 1);
    link->tally->retries += rounds > 0 ? rounds - 1 : 0;
    not_made(link, link->number, 1, ACCOUNT_NOT_MADE);
    record_complaint(link, EVENT_GIVEN_UP, " could not be made, after %" PRIu32 " attempt%s: %s",
                     link->tries, link->tries == 1 ? "" : "s", strerror(system));
    end(link);
}
