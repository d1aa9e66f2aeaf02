/* Watching: the counters of all workers added up, and the plan of what the server costs.
 *
 * Each worker writes its own counters; this reads them from any thread, each one whole. The plan is
 * known from create on. O(workers).
 */
#include <string.h>

#include "core/core.h"

void berth_server_stats(const struct berth_server *server, struct berth_stats *out)
{
    memset(out, 0, sizeof *out);
    out->connections_open = atomic_load_explicit(&server->open, memory_order_relaxed);
    out->connections_most = atomic_load_explicit(&server->accepted_most, memory_order_relaxed);
    for (uint32_t i = 0; i < server->config.workers; i++) {
        const struct worker_stats *stats = &server->workers[i].stats;
#define STATS_ADD(name, text) out->name += atomic_load_explicit(&stats->name, memory_order_relaxed);
        BERTH_STATS(STATS_ADD)
#undef STATS_ADD
    }
}

void berth_plan(const struct berth_server *server, struct berth_plan *out)
{
    const struct layout *layout = &server->layout;
    uint32_t workers = server->config.workers;
    uint64_t slots = (uint64_t)layout->slots * sizeof(struct berth_conn);
    uint64_t spaces = (uint64_t)layout->slots * layout->space_stride;
    uint64_t post = server->post.bytes + pool_account_bytes(server->post.bytes);
    uint64_t receive = (uint64_t)server->config.receive_buffers * server->config.receive_bytes;
    *out = (struct berth_plan){
        .backend = io_backend_name(server->backend),
        .workers = workers,
        .connections_per_worker = layout->slots,
        .slots_bytes = slots,
        .receive_bytes = receive,
        .spaces_bytes = spaces,
        .pool_bytes = layout->pool_bytes,
        .other_bytes =
            layout->bytes - slots - receive - spaces - layout->pool_bytes + sizeof(struct worker),
        .post_bytes = post,
        .reserved_bytes = workers * (layout->bytes + sizeof(struct worker)) + post,
    };
}
