/* Delivering: from a worker's share of a payload into the chains of its receivers.
 *
 * A payload is a letter like any other; a turn hands out so many of those that came, and the rest
 * waits for the next. For each receiver a node refers the connection's chain to
 * the payload's bytes in its framing; the node goes back when they are sent or dropped. A receiver
 * that is slow, or for whom there is no node, is dealt with as the policy says; what is to wait for
 * it waits in its membership: one payload at most, queued when a send's completion leaves the queue
 * short enough, or, if it was a node that was missing, at the end of a turn that has one.
 *
 * The worker owns nodes and memberships; a share lives as long as they refer to it. O(members on
 * this worker), for a broadcast O(slots in use), per payload; nothing is copied.
 */
#include "base/assert.h"
#include "core/group.h"

/* ----------------------------------------------------------------------------- one into one queue
 */

static void delivery_gone(struct slab_ref *ref)
{
    struct delivery *delivery = LIST_ENTRY(ref, struct delivery, ref);
    struct share *share = delivery->share;
    nodes_give(&share->worker->deliveries, delivery);
    share_drop(share);
}

/* Whether the queue is short enough: for one that was slow, the low mark counts. */
static bool has_room(const struct berth_conn *conn, const struct member *member, uint32_t size)
{
    const struct berth_config *config = &conn->worker->server->config;
    bool slow = member != NULL && member->slow;
    uint32_t most = slow ? config->send_low_bytes : config->send_high_bytes;
    return conn->out.bytes <= most && size <= config->send_max_bytes - conn->out.bytes;
}

/* Queues the share's payload. false: there is no node. */
static bool queue(struct berth_conn *conn, struct share *share)
{
    struct worker *worker = conn->worker;
    struct delivery *delivery = nodes_take(&worker->deliveries);
    if (delivery == NULL) {
        return false;
    }
    const struct payload *payload = share->payload;
    uint8_t framing = conn->speaker->framing;
    delivery->share = share;
    share->references++;
    chain_refer(&conn->out, &worker->pool, &delivery->ref, payload_bytes(payload, framing),
                payload->encodings[framing].size, delivery_gone);
    worker->messages_out++;
    STAT_ADD(worker, group_deliveries, 1);
    WATCH(worker, conn, QUEUED, 1, payload->encodings[framing].size);
    attend(conn);
    return true;
}

/* Not slow any more. A membership that only noted slowness in broadcasts ends with it. */
static void recover(struct member *member)
{
    member->slow = false;
    if (member->group == NULL) {
        member_end(member);
    }
}

/* ------------------------------------------------------------------------------------ the slow */

static void wait_for_node(struct member *member)
{
    if (!link_is_in(&member->in_starved)) {
        list_push(&member->conn->worker->starved, &member->in_starved);
    }
}

/* Queues what waits for a member, if there is room by now. */
static void deliver_waiting(struct member *member)
{
    struct berth_conn *conn = member->conn;
    struct share *share = member->waits;
    if (!has_room(conn, member, share->payload->encodings[conn->speaker->framing].size)) {
        return; /* something is queued, and its completion comes back here */
    }
    if (!queue(conn, share)) {
        wait_for_node(member);
        return;
    }
    if (link_is_in(&member->in_starved)) {
        list_remove(&conn->worker->starved, &member->in_starved);
    }
    member->waits = NULL;
    share_drop(share);
    recover(member);
}

static void keep_latest(struct member *member, struct share *share)
{
    if (member->waits != NULL) {
        STAT_ADD(member->conn->worker, group_replaced, 1);
        share_drop(member->waits);
    }
    share->references++;
    member->waits = share;
    deliver_waiting(member); /* not, unless only a node was missing; then it is noted */
}

/* A payload came for a connection that cannot take it now. */
static void slow_down(struct berth_conn *conn, struct member *member, struct share *share)
{
    struct worker *worker = conn->worker;
    if (share->payload->slow == BERTH_SLOW_CLOSE) {
        STAT_ADD(worker, group_closed, 1);
        close_now(conn, BERTH_REASON_SLOW, 0, true);
        return;
    }
    if (member == NULL) {
        member = member_make(conn, NULL);
    }
    if (member != NULL) {
        member->slow = true;
    }
    if (member != NULL && share->payload->slow == BERTH_SLOW_LATEST) {
        keep_latest(member, share);
    } else {
        STAT_ADD(worker, group_skipped, 1);
    }
}

/* -------------------------------------------------------------------------------------- offering
 */

/* member is NULL for a broadcast to a connection that was not slow. */
static void offer(struct berth_conn *conn, struct member *member, struct share *share)
{
    static const struct encoding none = {.unfit = true};
    uint8_t framing = conn->speaker->framing;
    const struct encoding *encoding =
        framing == FRAMING_NONE ? &none : &share->payload->encodings[framing];
    BERTH_ASSERT(conn->state == CONN_OPEN);
    if ((conn->flags & CF_CLOSE) != 0) {
        return;
    }
    if (encoding->size == 0) {
        STAT_ADD(conn->worker, group_unfit, encoding->unfit ? 1 : 0);
        return; /* else it came while the payload was on its way */
    }
    bool waits = member != NULL && member->waits != NULL; /* what waits comes first */
    if (waits || !has_room(conn, member, encoding->size) || !queue(conn, share)) {
        slow_down(conn, member, share);
    } else if (member != NULL) {
        recover(member);
    }
}

/* Offers made in one turn, before the share that exceeds it: some hundred microseconds. A flood of
 * payloads must not keep the worker from its other work. */
#define OFFERS_PER_TURN 4096

static void deliver_to_group(struct worker *worker, struct share *share)
{
    const struct payload *payload = share->payload;
    struct list *members = &payload->group->parts[worker->index].members;
    struct link *next;
    for (struct link *link = members->ring.next; link != &members->ring; link = next) {
        struct member *member = LIST_ENTRY(link, struct member, in_part);
        next = link->next; /* a member that is closed leaves */
        if (payload->number >= member->joined) {
            offer(member->conn, member, share);
        }
    }
}

static void deliver_to_all(struct worker *worker, struct share *share)
{
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state == CONN_OPEN) {
            offer(conn, conn->members == NULL ? NULL : member_find(conn, NULL), share);
        }
    }
}

/* Hands the oldest share out. Returns how many were looked at for it. */
static uint32_t deliver_first(struct worker *worker)
{
    struct share *share = LIST_ENTRY(worker->shares_first, struct share, mail);
    const struct payload *payload = share->payload;
    worker->shares_first = share->mail.next;
    uint32_t looked = payload->group == NULL ? worker->slots_high
                                             : payload->group->parts[worker->index].members.count;
    if (share == payload->shares) { /* one worker counts for all */
        STAT_ADD(worker, group_encodings, payload->encodings_count);
    }
    share->references++; /* ours, while it is handed out */
    if (payload->group != NULL) {
        deliver_to_group(worker, share);
    } else {
        deliver_to_all(worker, share);
    }
    share_drop(share);
    return looked + 1; /* an empty group is looked at too */
}

/* A payload has come. It is handed out behind those that came before it. */
void deliver_mail(struct worker *worker, struct mail *mail)
{
    BERTH_ASSERT(LIST_ENTRY(mail, struct share, mail)->worker == worker);
    mail->next = NULL;
    if (worker->shares_first == NULL) {
        worker->shares_first = mail;
    } else {
        worker->shares_last->next = mail;
    }
    worker->shares_last = mail;
}

/* What one turn hands out. */
void deliver_turn(struct worker *worker)
{
    uint32_t offers = 0;
    while (worker->shares_first != NULL && offers < OFFERS_PER_TURN) {
        offers += deliver_first(worker);
    }
}

/* Hands out all there is. */
void deliver_all(struct worker *worker)
{
    while (worker->shares_first != NULL) {
        (void)deliver_first(worker);
    }
}

/* A send was completed: payloads that waited for that may go now. */
void deliver_drained(struct berth_conn *conn)
{
    struct member *next;
    for (struct member *member = conn->members; member != NULL; member = next) {
        next = member->next; /* it may end */
        if (member->waits != NULL) {
            deliver_waiting(member);
        }
    }
}

/* The end of a turn: nodes may have come back for those that waited for one. */
void deliver_starved(struct worker *worker)
{
    for (uint32_t left = worker->starved.count; left > 0 && nodes_can(&worker->deliveries);
         left--) {
        deliver_waiting(LIST_ENTRY(list_take(&worker->starved), struct member, in_starved));
    }
}
