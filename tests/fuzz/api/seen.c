/* The model of connections: what the callbacks showed. A connection begins with the first event or
 * callback that names it, is live until on_close, and must come and go exactly once, for a reason
 * that something in the play explains. O(connections) each.
 */
#include <string.h>

#include "core/core.h"
#include "fuzz/api/play.h"

#define BIT_OF(number) (UINT64_C(1) << (number))

struct seen *seen_of(struct play *play, const struct berth_conn *conn)
{
    for (uint32_t i = 0; i < play->seen_count; i++) {
        if (play->seen[i].conn == conn && !play->seen[i].closed) {
            return &play->seen[i];
        }
    }
    return NULL;
}

struct seen *seen_of_handle(struct play *play, berth_handle handle)
{
    for (uint32_t i = 0; i < play->seen_count; i++) {
        if (play->seen[i].handle == handle) {
            return &play->seen[i];
        }
    }
    return NULL;
}

/* Between the moments at which its handle begins and ceases to name it. */
bool seen_is_live(const struct seen *seen)
{
    return !seen->over;
}

uint64_t seen_live(const struct play *play)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < play->seen_count; i++) {
        live |= play->seen[i].opened && !play->seen[i].over ? BIT_OF(i) : 0;
    }
    return live;
}

struct seen *seen_choose(struct play *play, uint32_t worker, uint8_t choice)
{
    struct seen *found[PLAY_SEEN];
    uint32_t count = 0;
    for (uint32_t i = 0; i < play->seen_count; i++) {
        struct seen *seen = &play->seen[i];
        if (seen->opened && !seen->closed && (worker == NOBODY || seen->worker == worker)) {
            found[count++] = seen;
        }
    }
    return count == 0 ? NULL : found[choice % count];
}

const struct berth_framing *seen_framing(const struct play *play, const struct seen *seen)
{
    return &play->protocols[seen->protocol].framing;
}

/* A payload that was sent before the worker's last turn but one has been queued. */
void seen_unsure(struct play *play, const struct seen *seen, uint32_t group)
{
    for (uint32_t i = 0; i < play->payloads_count; i++) {
        struct payload *payload = &play->payloads[i];
        bool meant = group == PLAY_GROUPS || payload->group == group;
        if (meant && payload->turns[seen->worker] + 2 > play->turns[seen->worker]) {
            payload->sure &= ~BIT_OF(seen->number);
        }
    }
}

void seen_expect(const struct play *play, const struct seen *seen, struct expect *expect)
{
    if (seen->over || seen->asked || seen->begun) {
        expect->must |= ERROR_BIT(BERTH_E_CLOSED);
    } else if (!play->sharp || seen->may_close) {
        expect->may |= ERROR_BIT(BERTH_E_CLOSED);
    }
}

/* --------------------------------------------------------------------------------- the beginning
 */

struct seen *seen_begin(struct play *play, struct berth_conn *conn)
{
    berth_handle handle = berth_conn_handle(conn);
    const struct berth_protocol *protocol = berth_conn_context(conn);
    if (handle == 0 || seen_of_handle(play, handle) != NULL) {
        play_failed(play, "the handle %llx is not new", (unsigned long long)handle);
    }
    FUZZ_CHECK(seen_of(play, conn) == NULL);
    FUZZ_CHECK(play->seen_count < PLAY_SEEN); /* there are no more lives and outgoing ones */
    struct seen *seen = &play->seen[play->seen_count];
    *seen = (struct seen){.conn = conn, .handle = handle, .number = play->seen_count};
    play->seen_count++;
    seen->worker = berth_conn_worker(conn);
    seen->protocol = (uint8_t)(protocol - play->protocols);
    seen->outgoing = seen->protocol == PLAY_PROTOCOLS - 1;
    seen->life = NOBODY;
    seen->partner = NOBODY;
    FUZZ_CHECK(seen->worker == play->inside);
    return seen;
}

/* Who is at the other end, by the port from which it connected. */
static void find_peer(struct play *play, struct seen *seen)
{
    struct berth_address address;
    bool known = seen->outgoing ? berth_conn_local(seen->conn, &address)
                                : berth_conn_peer(seen->conn, &address);
    if (!known) {
        return; /* it was gone before it was accepted */
    }
    seen->port = address.port;
    for (uint32_t i = 0; i < play->lives_count && !seen->outgoing; i++) {
        struct life *life = &play->lives[i];
        if (life->port == seen->port) {
            FUZZ_CHECK(life->seen == NOBODY && life->protocol == seen->protocol);
            life->seen = seen->number;
            seen->life = i;
        }
    }
    for (uint32_t i = 0; i < seen->number; i++) {
        struct seen *other = &play->seen[i];
        if (other->outgoing != seen->outgoing && other->port == seen->port) {
            FUZZ_CHECK(other->partner == NOBODY);
            other->partner = seen->number;
            seen->partner = i;
        }
    }
}

static void check_space(const struct play *play, const struct seen *seen)
{
    const uint8_t *space = berth_conn_space(seen->conn);
    for (uint32_t i = 0; i < play->config.conn_space_bytes; i++) {
        FUZZ_CHECK(space[i] == 0);
    }
}

static void check_places(const struct play *play)
{
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < play->seen_count; i++) {
        const struct seen *seen = &play->seen[i];
        accepted += seen->opened && !seen->closed && !seen->outgoing ? 1 : 0;
    }
    if (accepted > play->config.connections_max) {
        play_failed(play, "%u connections are open, and connections_max is %u", accepted,
                    play->config.connections_max);
    }
}

void seen_opened(struct play *play, struct seen *seen)
{
    FUZZ_CHECK(!seen->opened && !seen->over && !seen->begun);
    seen->opened = true;
    seen->opened_ns = berth_conn_now_ns(seen->conn);
    find_peer(play, seen);
    check_space(play, seen);
    check_places(play);
    play->progress++;
    TELL(play, "connection %u is open: %s %u, port %u", seen->number,
         seen->outgoing ? "outgoing" : "accepted at address", seen->outgoing ? 0 : seen->protocol,
         seen->port);
}

/* --------------------------------------------------------------------------------------- the end
 */

void seen_over(struct play *play, struct seen *seen)
{
    FUZZ_CHECK(!seen->over && seen->opened);
    seen->over = true;
    if (seen->outgoing) { /* its place is free, also for on_close itself */
        play->outgoing_open--;
    }
}

/* All that the other end said was handed over, and nothing that it did not say. */
static void check_told_all(struct play *play, const struct seen *seen, bool truncated)
{
    if (seen->partner != NOBODY) {
        FUZZ_CHECK(!truncated);
        voice_complete(play, &play->seen[seen->partner]);
        return;
    }
    if (seen->life == NOBODY) {
        return;
    }
    const struct life *life = &play->lives[seen->life];
    if (life->wild_from != NOBODY) {
        return;
    }
    uint32_t whole = 0;
    while (whole < life->said_count && life->said[whole].end <= life->written) {
        whole++;
    }
    bool in_part = life->written > (whole == 0 ? 0 : life->said[whole - 1].end);
    if (seen->told_count != whole || in_part != truncated) {
        play_failed(play, "connection %u ended by its peer, who said %u messages%s; %u were told",
                    seen->number, whole, in_part ? " and a part" : "", seen->told_count);
    }
}

static bool may_be_reset(const struct play *play, const struct seen *seen)
{
    return seen->life == NOBODY || play->lives[seen->life].parted || play->options.reset != 0 ||
           play->trouble;
}

static bool may_be_refused(const struct play *play, const struct seen *seen)
{
    if (seen->life != NOBODY) {
        return play->lives[seen->life].wild_from != NOBODY;
    }
    return true; /* a partner may send more than this end takes */
}

static bool deadline_was(const struct seen *seen, uint32_t timeout_ms, uint64_t from_ns)
{
    return timeout_ms != 0 &&
           berth_conn_now_ns(seen->conn) - from_ns >= timeout_ms * UINT64_C(1000000);
}

static bool has_cause(const struct play *play, const struct seen *seen, enum berth_reason reason)
{
    const struct berth_config *c = &play->config;
    const struct life *life = seen->life == NOBODY ? NULL : &play->lives[seen->life];
    switch (reason) {
    case BERTH_REASON_PEER:
    case BERTH_REASON_TRUNCATED:
        return life == NULL || life->shut;
    case BERTH_REASON_RESET:
        return may_be_reset(play, seen);
    case BERTH_REASON_REFUSED:
        return may_be_refused(play, seen);
    case BERTH_REASON_LOCAL:
        return seen->asked || seen->may_close;
    case BERTH_REASON_STOP:
        return play->stops > 0;
    case BERTH_REASON_DEADLINE:
    case BERTH_REASON_MEMORY:
        return true;
    case BERTH_REASON_SYSTEM:
        return play->trouble;
    case BERTH_REASON_FIRST_MESSAGE:
        return seen->told_count == 0 && !seen->outgoing &&
               deadline_was(seen, c->first_message_timeout_ms, seen->opened_ns);
    case BERTH_REASON_MESSAGE_SLOW:
        return deadline_was(seen, c->message_timeout_ms, seen->opened_ns);
    case BERTH_REASON_RECEIVE_IDLE:
        return deadline_was(seen, c->receive_idle_timeout_ms, seen->opened_ns);
    case BERTH_REASON_SEND_IDLE:
        return deadline_was(seen, c->send_idle_timeout_ms, seen->opened_ns);
    case BERTH_REASON_SEND_STALLED:
        return play->trouble || (life != NULL && life->vanished) ||
               deadline_was(seen, c->send_progress_timeout_ms, seen->opened_ns);
    case BERTH_REASON_SLOW:
        for (uint32_t i = 0; i < play->payloads_count; i++) {
            const struct payload *payload = &play->payloads[i];
            if (payload->slow == BERTH_SLOW_CLOSE &&
                (payload->group == PLAY_GROUPS || (payload->members & BIT_OF(seen->number)) != 0)) {
                return true;
            }
        }
        return false;
    }
    return false;
}

static void leave_all(struct play *play, const struct seen *seen)
{
    for (uint32_t i = 0; i < PLAY_GROUPS; i++) {
        play->groups[i].members &= ~BIT_OF(seen->number);
    }
    for (uint32_t i = 0; i < play->looks_count; i++) {
        play->looks[i].must &= ~BIT_OF(seen->number);
    }
}

void seen_closed(struct play *play, struct seen *seen, enum berth_reason reason)
{
    char why[200] = "";
    FUZZ_CHECK(seen->opened && !seen->closed);
    if (!seen->over) {
        seen_over(play, seen); /* it was not watched */
    }
    FUZZ_CHECK(berth_conn_why(seen->conn, why, sizeof why) == why);
    FUZZ_CHECK(strlen(why) > 5);
    TELL(play, "connection %u closes: %s", seen->number, why);
    if (!has_cause(play, seen, reason)) {
        play_failed(play, "connection %u closed without cause: %s", seen->number, why);
    }
    if (reason == BERTH_REASON_PEER || reason == BERTH_REASON_TRUNCATED) {
        check_told_all(play, seen, reason == BERTH_REASON_TRUNCATED);
    }
    leave_all(play, seen);
    play->progress++;
}
