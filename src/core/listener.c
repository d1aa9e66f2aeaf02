/* Accepted connections: what each outcome of an accept leads to.
 *
 * Success opens a slot with the permit that the accept held. A client that went away meanwhile
 * costs nothing but the accept, which is started again. A system without descriptors or memory
 * makes accepting pause (admit.c). A cancelled accept gives its permit back. O(1) each.
 */
#include <errno.h>

#include "base/assert.h"
#include "core/core.h"

static void opened(struct worker *worker, int32_t sock, uint8_t listener, uint32_t accept)
{
    struct berth_server *server = worker->server;
    struct berth_conn *conn = conn_take(worker, server->listener_speakers[listener]);
    conn->sock = sock;
    conn->flags = CF_PERMIT;
    STAT_ADD(worker, accepted, 1);
    worker->accepted++;
    uint64_t now = atomic_fetch_add_explicit(&server->accepted_open, 1, memory_order_relaxed) + 1;
    uint64_t most = atomic_load_explicit(&server->accepted_most, memory_order_relaxed);
    while (now > most &&
           !atomic_compare_exchange_weak_explicit(&server->accepted_most, &most, now,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    conn_opened(conn, admit_number(worker, accept));
}

void listener_completed(struct worker *worker, const struct io_completion *done)
{
    BERTH_ASSERT(worker->accepts_in_flight > 0);
    uint32_t accept = io_token_slot(done->token);
    worker->accepts_in_flight--;
    worker->accepts_busy &= ~(1u << accept);
    if (done->result >= 0) {
        opened(worker, done->result, done->listener, accept);
        admit_fill(worker);
        admit_pass_on(worker);
        return;
    }
    worker->permits++;
    if (done->result != -ECANCELED) {
        RECORD(worker, NULL, ACCEPT_FAILED, admit_number(worker, accept), -done->result);
    }
    switch (-done->result) {
    case ECANCELED:
        break;
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
        STAT_ADD(worker, accept_errors, 1);
        break;
    default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM, EIO: nothing was taken */
        STAT_ADD(worker, accept_errors, 1);
        admit_pause(worker, -done->result);
        break;
    }
    admit_fill(worker);
    admit_pass_on(worker);
}
