/* Watching: the counters of all workers added up, and the plan of what the server costs.
 *
 * Each worker writes its own counters; this reads them from any thread, each one whole. The plan is
 * known from create on. O(workers).
 */
#include <string.h>

#include "base/memory.h"
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

static struct berth_cost cost(uint64_t reserved, uint64_t resident)
{
    return (struct berth_cost){reserved, resident < reserved ? resident : reserved};
}

static struct berth_cost sum(const struct berth_plan *plan)
{
    const struct berth_cost *parts[] = {&plan->slots, &plan->spaces, &plan->receive,
                                        &plan->pool,  &plan->post,   &plan->other};
    struct berth_cost all = {0};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        all.reserved += parts[i]->reserved;
        all.resident += parts[i]->resident;
    }
    return all;
}

void berth_plan(const struct berth_server *server, uint32_t connections, struct berth_plan *out)
{
    const struct berth_config *config = &server->config;
    const struct layout *layout = &server->layout;
    const struct io_config sockets = {.socks_max = layout->slots,
                                      .receive_count = config->receive_buffers};
    const struct io_memory io = io_memory_of(server->backend, &sockets);
    uint64_t workers = config->workers;
    /* What a worker touches that serves small messages: a page of each receive buffer that a turn
     * uses, and a piece of the pool for the replies. */
    uint64_t touched = workers * io.receives;
    uint64_t post = memory_pages(server->post.bytes + pool_account_bytes(server->post.bytes));
    uint64_t table = layout->spaces_at - layout->conns_at + io.reserved;
    uint64_t records = layout->receive_at - layout->refusals_at;
    *out = (struct berth_plan){
        .backend = io_backend_name(server->backend),
        .workers = config->workers,
        .connections_per_worker = layout->slots,
        .slots = cost(workers * table, connections * (sizeof(struct berth_conn) + io.sock_bytes)),
        .spaces = cost(workers * (layout->plans_at - layout->spaces_at),
                       connections * (uint64_t)layout->space_stride),
        .receive = cost(workers * (layout->account_at - layout->receive_at), touched * MEMORY_PAGE),
        .pool = cost(workers * (layout->bytes - layout->account_at), touched * POOL_PIECE),
        .post = cost(post, MEMORY_PAGE),
        /* The workers themselves are from the heap: not reserved, and in use. */
        .other = {.reserved = workers * (layout->receive_at - layout->plans_at) + MEMORY_PAGE,
                  .resident = workers * (records + sizeof(struct worker)) + MEMORY_PAGE},
    };
    out->all = sum(out);
}
