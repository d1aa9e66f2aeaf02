/* The deadlines of connections: stamps, one lazy timer, and nobody ended unheard.
 *
 * What happens on a connection is only stamped: a store for each batch received, handed over or
 * sent, in milliseconds that wrap (differences are what counts; each stamp that is looked at is
 * younger than the longest timeout, a day). The timer is moved seldom: to an earlier moment when
 * something begins whose deadline is nearer than what it stands at, and otherwise only when it
 * expires, to the nearest deadline that the stamps then give. So an active connection sets it twice
 * in the shortest timeout, not once a message. Before a connection is open the timer is
 * connect.c's, after close_begin it is close.c's; both expire through here.
 *
 * A process that was stopped and goes on (a signal, a suspended machine) finds deadlines passed and
 * the bytes that would have met them still unread, perhaps more than some turns can bring. So a
 * timer that would end something is put off until everything that had happened by then is known to
 * have been reaped: until two turns in a row that did not wait brought nothing, or, on a worker
 * that is never quiet, until every connection has had a turn. Then the stamps are looked at anew.
 *
 * Stamps, expiry and rearming are O(1).
 */
#include "base/assert.h"
#include "core/core.h"

#define NONE_MS UINT32_MAX

/* One quiet reap could be a signal's doing, or have been spent on events that completed nothing. */
#define QUIET_TURNS 2

/* Turns that a settling worker may take beside one for each connection: a reap brings something of
 * one connection at least, and of twenty as a rule. */
#define SETTLE_TURNS 64

/* The nearest deadline. */
struct due {
    uint32_t left_ms; /* 0: it has passed; NONE_MS: there is none */
    uint32_t over_ms; /* since when, if it has */
    enum berth_reason reason;
};

static const struct berth_config *config_of(const struct berth_conn *conn)
{
    return &conn->worker->server->config;
}

static uint32_t since(const struct berth_conn *conn, uint32_t stamp_ms)
{
    return (uint32_t)conn->worker->now_ms - stamp_ms;
}

/* Stamps and clock are rounded down: a millisecond more, so that none passes early. */
static void consider(struct due *due, uint32_t timeout_ms, uint32_t age_ms,
                     enum berth_reason reason)
{
    if (timeout_ms == 0) {
        return;
    }
    uint32_t left_ms = age_ms > timeout_ms ? 0 : timeout_ms - age_ms + 1;
    if (left_ms < due->left_ms) {
        due->left_ms = left_ms;
        due->over_ms = left_ms > 0 ? 0 : age_ms - timeout_ms - 1;
        due->reason = reason;
    }
}

/* Whether it is us who keep the peer waiting for its turn to speak; a server that stops has read
 * all that it is going to. A share of the turn that was used up (CF_AGAIN) does not count: it is
 * over with the next turn. */
static bool holds_back(const struct berth_conn *conn)
{
    return (conn->flags & (CF_STOP | (CF_BLOCKED & ~CF_AGAIN))) != 0 ||
           row_link_is_in(&conn->parked);
}

/* Whether the peer has reason to be silent: it waits for an answer. */
static bool owes_answer(const struct berth_conn *conn)
{
    return conn->window_last != NULL;
}

static struct due nearest(const struct berth_conn *conn)
{
    const struct berth_config *config = config_of(conn);
    struct due due = {.left_ms = NONE_MS};
    if (conn->out.bytes > 0 && io_in_flight(conn->worker->io, conn->sock, IO_SEND)) {
        consider(&due, config->send_progress_timeout_ms, since(conn, conn->sent_ms),
                 BERTH_REASON_SEND_STALLED);
    }
    if ((conn->flags & CF_INPUT_ENDED) == 0 && !holds_back(conn)) {
        if ((conn->flags & CF_FIRST) != 0) {
            consider(&due, config->first_message_timeout_ms, since(conn, conn->opened_ms),
                     BERTH_REASON_FIRST_MESSAGE);
        }
        if ((conn->flags & CF_PARTIAL) != 0) {
            consider(&due, config->message_timeout_ms, since(conn, conn->message_ms),
                     BERTH_REASON_MESSAGE_SLOW);
        }
        if (!owes_answer(conn)) {
            consider(&due, config->receive_idle_timeout_ms, since(conn, conn->received_ms),
                     BERTH_REASON_RECEIVE_IDLE);
        }
    }
    consider(&due, config->send_idle_timeout_ms, since(conn, conn->sent_ms),
             BERTH_REASON_SEND_IDLE);
    return due;
}

/* Far timers are gathered: late by less than a part in so many, they come in few turns, and the
 * wheel deals those of half a minute and more one time less. */
#define GATHER_PART 256

static uint64_t gathered(uint64_t tick, uint32_t left_ms)
{
    if (left_ms < 2 * GATHER_PART) {
        return tick;
    }
    uint64_t step = UINT64_C(1) << (31 - __builtin_clz(left_ms / GATHER_PART));
    return (tick + step - 1) & ~(step - 1);
}

/* Makes sure that the timer expires in left_ms or before. */
static void expire_within(struct berth_conn *conn, uint32_t left_ms)
{
    struct worker *worker = conn->worker;
    uint64_t tick = gathered(worker->now_ms + left_ms, left_ms);
    if (left_ms != NONE_MS && (!wheel_is_set(&conn->timer) || conn->timer.due_tick > tick)) {
        wheel_set(&worker->wheel, &conn->timer, tick * WHEEL_TICK_NS);
    }
}

_Static_assert(WHEEL_TICK_NS == NS_PER_MS, "a tick is the millisecond that stamps count");

/* ------------------------------------------------------------------------------ what has happened
 */

void deadline_opened(struct berth_conn *conn)
{
    uint32_t now_ms = (uint32_t)conn->worker->now_ms;
    BERTH_ASSERT(!wheel_is_set(&conn->timer));
    conn->opened_ms = now_ms;
    conn->received_ms = now_ms;
    conn->sent_ms = now_ms;
    conn->reading_ms = now_ms;
    conn->flags |= (conn->flags & CF_PERMIT) != 0 ? CF_FIRST : 0;
    expire_within(conn, nearest(conn).left_ms);
}

/* The first byte of a message is here, and its last is not. */
void deadline_message_began(struct berth_conn *conn)
{
    BERTH_ASSERT(conn->state == CONN_OPEN); /* one that closes holds no bytes */
    uint32_t timeout_ms = config_of(conn)->message_timeout_ms;
    conn->flags |= CF_PARTIAL;
    conn->message_ms = (uint32_t)conn->worker->now_ms;
    expire_within(conn, timeout_ms == 0 ? NONE_MS : timeout_ms + 1);
}

/* As old as it was when the reading stopped; what came since is new. */
static uint32_t without_hold(const struct berth_conn *conn, uint32_t stamp_ms)
{
    uint32_t age_ms = conn->reading_ms - stamp_ms;
    return (uint32_t)conn->worker->now_ms - (age_ms <= INT32_MAX ? age_ms : 0);
}

/* Whether we read may have changed. The time in which we did not is taken out of the stamps. */
void deadline_reading(struct berth_conn *conn)
{
    bool held = (conn->flags & CF_HELD) != 0;
    if (BERTH_LIKELY(held == holds_back(conn)) || conn->state != CONN_OPEN) {
        return;
    }
    conn->flags ^= CF_HELD;
    if (held) {
        conn->opened_ms = without_hold(conn, conn->opened_ms);
        conn->message_ms = without_hold(conn, conn->message_ms);
        conn->received_ms = without_hold(conn, conn->received_ms);
        expire_within(conn, nearest(conn).left_ms);
    }
    conn->reading_ms = (uint32_t)conn->worker->now_ms;
}

/* A message that was kept has ended. While any is unanswered the peer may be silent; then its time
 * begins anew. */
void deadline_answered(struct berth_conn *conn)
{
    if (!owes_answer(conn) && conn->state == CONN_OPEN) {
        deadline_received(conn);
        expire_within(conn, nearest(conn).left_ms);
    }
}

void deadline_send_started(struct berth_conn *conn)
{
    deadline_sent(conn);
    uint32_t timeout_ms = config_of(conn)->send_progress_timeout_ms;
    if (conn->state == CONN_OPEN && timeout_ms != 0) {
        expire_within(conn, timeout_ms + 1);
    }
}

/* --------------------------------------------------------------------------------- a timer expired
 */

/* Whether everything that happened before then has been reaped. If not, the timer waits for it. */
static bool heard_all_before(struct berth_conn *conn, uint64_t due_ms)
{
    struct worker *worker = conn->worker;
    if (worker->clear_ms >= due_ms) {
        return true;
    }
    if (worker->settle_turns == 0) {
        worker->settle_turns = 1;
        worker->settle_from_ms = worker->now_ms;
    }
    wheel_defer(&worker->wheel, &conn->timer);
    return false;
}

static void open_timer(struct berth_conn *conn)
{
    struct due due = nearest(conn);
    if (due.left_ms > 0) {
        expire_within(conn, due.left_ms);
        return;
    }
    /* Nothing that came while it was not read, or in the millisecond in which that ended, could be
     * reaped before. */
    uint64_t due_ms = conn->worker->now_ms - due.over_ms;
    uint64_t read_ms = conn->worker->now_ms - since(conn, conn->reading_ms) + 1;
    if (heard_all_before(conn, due_ms > read_ms ? due_ms : read_ms)) {
        close_late(conn, due.reason);
    }
}

void deadline_timer(struct berth_conn *conn)
{
    if (conn->state == CONN_OPEN) {
        open_timer(conn);
    } else if (conn->state == CONN_CONNECTING && conn->sock < 0) {
        connect_timer(conn); /* a wait is over, and nobody is ended */
    } else if (heard_all_before(conn, conn->timer.due_tick)) {
        if (conn->state == CONN_CONNECTING) {
            connect_timer(conn);
        } else {
            close_timer(conn);
        }
    }
}

/* ------------------------------------------------------------------------------------ to hear all
 */

/* A reap is done, and the clock still stands where it stood before. */
void deadline_reaped(struct worker *worker, bool waited, uint32_t completions)
{
    if (waited || completions > 0) {
        worker->quiet_turns = 0;
    } else if (++worker->quiet_turns >= QUIET_TURNS) {
        worker->clear_ms = worker->now_ms;
    }
}

/* The completions of a turn have been acted on: timers that were put off may expire when what they
 * waited for has come. */
void deadline_settle(struct worker *worker)
{
    if (BERTH_LIKELY(worker->settle_turns == 0)) {
        return;
    }
    bool enough = worker->settle_turns++ > worker->slots.used + SETTLE_TURNS;
    if (enough && worker->clear_ms < worker->settle_from_ms) {
        worker->clear_ms = worker->settle_from_ms;
    }
    if (worker->clear_ms >= worker->settle_from_ms) {
        worker->settle_turns = 0;
        wheel_release(&worker->wheel);
    }
}
