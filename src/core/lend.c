/* Lending: large pieces of received messages, sent from where they were received.
 *
 * While a callback looks at messages, their bytes lie in the lease of the receive that brought
 * them. Who echoes or relays them would copy them into the queue only to have the system copy them
 * from there. So a piece of at least lend_bytes that lies in the lease is queued as a reference,
 * and the lease goes back when the last reference to it has been sent or dropped.
 *
 * A slow receiver thus holds receive buffers, which all connections of the worker share: half of
 * them may be lent at once, and what comes beyond is copied. The worker owns the nodes and the
 * account of uses, a chain a reference until it gives it back. O(1), and no byte is touched.
 */
#include "base/assert.h"
#include "core/core.h"

struct lent {
    struct slab_ref ref;
    struct worker *worker;
    uint32_t lease;
};

void lend_init(struct worker *worker)
{
    nodes_init(&worker->lents, &worker->pool, sizeof(struct lent));
}

void lend_fini(struct worker *worker)
{
    BERTH_ASSERT(worker->leases_lent == 0);
    nodes_fini(&worker->lents);
}

/* Callbacks look at what a receive brought from here on, until lend_end. */
void lend_begin(struct worker *worker, const struct io_completion *done)
{
    worker->lease_data = done->data;
    worker->lease_bytes = (uint32_t)done->result;
    worker->lease = done->lease;
}

/* The lease goes back, now or when nothing refers to it any more. */
void lend_end(struct worker *worker)
{
    worker->lease_bytes = 0;
    if (BERTH_LIKELY(worker->lease_uses[worker->lease] == 0)) {
        io_lease_return(worker->io, worker->lease);
    } else {
        worker->leases_lent++;
    }
}

/* Whether these bytes may be lent to the chain that a message is queued in. */
static bool may_lend(const struct worker *worker, const struct chain *chain,
                     const struct berth_conn *conn, const struct berth_piece *piece)
{
    uintptr_t at = (uintptr_t)piece->data - (uintptr_t)worker->lease_data;
    enum berth_framing_kind kind = conn->speaker->protocol.framing.kind;
    return worker->lease_bytes > 0 && at < worker->lease_bytes && chain == &conn->out &&
           (kind == BERTH_FRAMING_LENGTH || kind == BERTH_FRAMING_VARINT) && /* all in front */
           worker->leases_lent < worker->server->config.receive_buffers / 2;
}

/* A reference to a piece of what was received, for lend_queue or lend_drop; NULL if its bytes have
 * to be copied. */
struct lent *lend_take(const struct berth_conn *conn, const struct chain *chain,
                       const struct berth_piece *piece)
{
    struct worker *worker = conn->worker;
    if (piece->size < worker->server->lend_bytes || !may_lend(worker, chain, conn, piece)) {
        return NULL;
    }
    struct lent *lent = nodes_take(&worker->lents);
    if (lent != NULL) {
        lent->worker = worker;
        lent->lease = worker->lease;
    }
    return lent;
}

void lend_drop(struct lent *lent)
{
    nodes_give(&lent->worker->lents, lent);
}

static void given_back(struct slab_ref *ref)
{
    struct lent *lent = LIST_ENTRY(ref, struct lent, ref);
    struct worker *worker = lent->worker;
    uint32_t lease = lent->lease;
    lend_drop(lent);
    BERTH_ASSERT(worker->lease_uses[lease] > 0);
    worker->lease_uses[lease]--;
    if (worker->lease_uses[lease] == 0 && (worker->lease_bytes == 0 || worker->lease != lease)) {
        worker->leases_lent--;
        io_lease_return(worker->io, (uint16_t)lease);
    }
}

/* Queues the piece behind what is queued. */
void lend_queue(struct berth_conn *conn, struct lent *lent, const struct berth_piece *piece)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT(worker->lease_bytes > 0 && lent->lease == worker->lease);
    worker->lease_uses[lent->lease]++;
    chain_refer(&conn->out, &worker->pool, &lent->ref, piece->data, (uint32_t)piece->size,
                given_back);
    STAT_ADD(worker, messages_in_place, 1);
}
