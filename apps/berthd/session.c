/* Sessions: a connection's id and account, from its first event to its on_close.
 *
 * A session lies in its connection's space and belongs to that one's worker. The counter of ids is
 * shared by all workers. An id costs one addition, once a connection.
 */
#include "session.h"

#include <stdatomic.h>

static _Atomic uint64_t next_id;

void session_begin(uint64_t first_id)
{
    atomic_store_explicit(&next_id, first_id, memory_order_relaxed);
}

struct session *session_of(struct berth_conn *conn)
{
    struct session *session = berth_conn_space(conn);
    if (session->id == 0) {
        session->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
        session->opened_ns = berth_conn_now_ns(conn);
    }
    return session;
}

void session_ask_addresses(struct berth_conn *conn, struct session *session)
{
    if (session->peer.family == BERTH_FAMILY_NONE && !berth_conn_peer(conn, &session->peer)) {
        session->peer.family = BERTH_FAMILY_NONE;
    }
    if (session->local.family == BERTH_FAMILY_NONE && !berth_conn_local(conn, &session->local)) {
        session->local.family = BERTH_FAMILY_NONE;
    }
}
