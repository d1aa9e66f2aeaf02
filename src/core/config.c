/* The configuration: its defaults, what is refused, and what it costs.
 *
 * config_resolve replaces every "0 means choose" by a number and refuses what makes no sense, by
 * the field's name. layout_plan turns the result into the layout of one worker's block of memory,
 * which is reserved once and holds everything a worker ever uses. Both are pure, but for the
 * question how many CPUs there are. O(1).
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/thread.h"
#include "core/core.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

#define CONNECTIONS_DEFAULT 1000
#define CONNECTIONS_MAX     4000000 /* 22 bits of slot, with room for outgoing ones */

/* Four messages of 64 KiB with their headers, and a little: where messages follow each other, each
 * receive ends in the middle of one, which is copied. Measured: 72 KiB cost 1.9 times as much
 * there, on epoll. Not a power of two, or the buffers' beginnings would share their places in the
 * cache. */
#define RECEIVE_BYTES_DEFAULT (264 * 1024)
#define RECEIVE_BYTES_MAX     ((uint32_t)MIB)

/* Few and warm beats many. io_uring fills half of them before a turn. Measured: 64 cost and
 * gain nothing that can be seen, and take four times the memory. */
#define RECEIVE_BUFFERS_DEFAULT 16
#define RECEIVE_BUFFERS_MAX     32768 /* the kernel's limit of one buffer ring */

#define SEND_BYTES_DEFAULT (256 * 1024) /* what a socket takes at once */
#define SEND_BYTES_MAX     ((uint32_t)GIB)
#define SEND_HIGH_DEFAULT  (256 * 1024)
#define SEND_LOW_DEFAULT   (64 * 1024)
#define SEND_MAX_DEFAULT   ((uint32_t)(4 * MIB))
#define SEND_MAX_LIMIT     ((uint32_t)(2 * GIB - 1))

/* The pool: room for a hundred full queues and a few large messages, and a little for everyone. */
#define POOL_BYTES_BASE        (256 * MIB)
#define POOL_BYTES_PER_CONN    (4 * KIB)
#define POOL_BYTES_DEFAULT_MAX (4 * GIB)
#define POOL_BYTES_MIN         MIB /* the replies to a few batches */
#define POOL_BYTES_MAX         (1024 * GIB)

#define TURN_BYTES_DEFAULT                                                                         \
    (256 * 1024) /* a few receives: enough to batch, short enough to wait for */
#define TURN_MESSAGES_DEFAULT 4096

/* The deadlines of open connections; berth.h has the reasons. */
#define FIRST_MESSAGE_DEFAULT_MS 30000
#define MESSAGE_DEFAULT_MS       30000
#define RECEIVE_IDLE_DEFAULT_MS  600000
#define SEND_IDLE_DEFAULT_MS     0
#define SEND_PROGRESS_DEFAULT_MS 30000

#define LINGER_DEFAULT_MS       2000
#define STOP_DEFAULT_MS         5000
#define ACCEPT_PAUSE_DEFAULT_MS 50
/* The last few thousand batches and changes of state of a worker: 128 KiB. */
#define RECORDER_DEFAULT 4096
#define RECORDER_MIN     16
#define RECORDER_MAX     (1u << 20)
#define TIMEOUT_MAX_MS   (24u * 3600 * 1000)

/* A batch: then a batch never has to be cut for the window's sake. */
#define WINDOW_DEFAULT       BATCH_MESSAGES
#define WINDOW_MAX           UINT16_MAX /* what a connection counts them in */
#define WINDOW_BYTES_DEFAULT ((uint32_t)MIB)

#define POST_BYTES_DEFAULT (16 * MIB)
#define POST_BYTES_MIN     (64 * KIB)

/* What the bounds of the settings add up to, and less than the address space of a process: 4 TiB of
 * the program's own bytes, 1 TiB of pool, and little beside. Whether the system gives so much is
 * found when it is reserved. */
#define LAYOUT_MOST ((size_t)1 << 46)

#define SPACE_ALIGN 16 /* as malloc aligns */

void berth_config_init(struct berth_config *config)
{
    memset(config, 0, sizeof *config);
    config->struct_bytes = sizeof *config;
    config->connections_max = CONNECTIONS_DEFAULT;
    config->receive_bytes = RECEIVE_BYTES_DEFAULT;
    config->receive_buffers = RECEIVE_BUFFERS_DEFAULT;
    config->send_bytes = SEND_BYTES_DEFAULT;
    config->send_high_bytes = SEND_HIGH_DEFAULT;
    config->send_low_bytes = SEND_LOW_DEFAULT;
    config->send_max_bytes = SEND_MAX_DEFAULT;
    config->turn_bytes = TURN_BYTES_DEFAULT;
    config->turn_messages = TURN_MESSAGES_DEFAULT;
    config->first_message_timeout_ms = FIRST_MESSAGE_DEFAULT_MS;
    config->message_timeout_ms = MESSAGE_DEFAULT_MS;
    config->receive_idle_timeout_ms = RECEIVE_IDLE_DEFAULT_MS;
    config->send_idle_timeout_ms = SEND_IDLE_DEFAULT_MS;
    config->send_progress_timeout_ms = SEND_PROGRESS_DEFAULT_MS;
    config->linger_timeout_ms = LINGER_DEFAULT_MS;
    config->stop_timeout_ms = STOP_DEFAULT_MS;
    config->accept_pause_ms = ACCEPT_PAUSE_DEFAULT_MS;
    config->window_messages = WINDOW_DEFAULT;
    config->window_bytes = WINDOW_BYTES_DEFAULT;
    config->post_bytes = POST_BYTES_DEFAULT;
    config->recorder_records = RECORDER_DEFAULT;
}

struct bound {
    const char *setting;
    uint64_t value;
    uint64_t least;
    uint64_t most;
};

static int check_bounds(const struct berth_config *c, struct berth_error *error)
{
    const struct bound bounds[] = {
        {"backend", (uint64_t)c->backend, BERTH_BACKEND_AUTO, BERTH_BACKEND_EPOLL},
        {"workers", c->workers, 1, WORKERS_MAX},
        {"connections_max", c->connections_max, 1, CONNECTIONS_MAX},
        {"connects_max", c->connects_max, 0, CONNECTIONS_MAX},
        {"receive_bytes", c->receive_bytes, 1, RECEIVE_BYTES_MAX},
        {"receive_buffers", c->receive_buffers, 2, RECEIVE_BUFFERS_MAX},
        {"send_bytes", c->send_bytes, 1, SEND_BYTES_MAX},
        {"send_high_bytes", c->send_high_bytes, 1, SEND_MAX_LIMIT},
        {"send_low_bytes", c->send_low_bytes, 0, c->send_high_bytes},
        {"send_max_bytes", c->send_max_bytes, c->send_high_bytes, SEND_MAX_LIMIT},
        {"system_send_bytes", c->system_send_bytes, 0, GIB},
        {"system_receive_bytes", c->system_receive_bytes, 0, GIB},
        {"pool_bytes", c->pool_bytes, POOL_BYTES_MIN, POOL_BYTES_MAX},
        {"turn_bytes", c->turn_bytes, 1, UINT32_MAX / 2},
        {"turn_messages", c->turn_messages, 1, UINT32_MAX / 2},
        {"first_message_timeout_ms", c->first_message_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"message_timeout_ms", c->message_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"receive_idle_timeout_ms", c->receive_idle_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"send_idle_timeout_ms", c->send_idle_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"send_progress_timeout_ms", c->send_progress_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"linger_timeout_ms", c->linger_timeout_ms, 1, TIMEOUT_MAX_MS},
        {"stop_timeout_ms", c->stop_timeout_ms, 1, TIMEOUT_MAX_MS},
        {"accept_pause_ms", c->accept_pause_ms, 1, TIMEOUT_MAX_MS},
        {"window_messages", c->window_messages, 1, WINDOW_MAX},
        {"window_bytes", c->window_bytes, 1, SEND_MAX_LIMIT / 2},
        {"post_bytes", c->post_bytes, POST_BYTES_MIN, GIB},
        {"conn_space_bytes", c->conn_space_bytes, 0, MIB},
        {"recorder_records", c->recorder_records, RECORDER_MIN, RECORDER_MAX},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const struct bound *b = &bounds[i];
        if (b->value < b->least || b->value > b->most) {
            return error_set(error, BERTH_E_INVALID, 0, b->setting,
                             "%s is %llu; it must be %llu to %llu", b->setting,
                             (unsigned long long)b->value, (unsigned long long)b->least,
                             (unsigned long long)b->most);
        }
    }
    if ((c->receive_buffers & (c->receive_buffers - 1)) != 0) {
        return error_set(error, BERTH_E_INVALID, 0, "receive_buffers",
                         "receive_buffers is %u; it must be a power of two", c->receive_buffers);
    }
    if ((c->recorder_records & (c->recorder_records - 1)) != 0) {
        return error_set(error, BERTH_E_INVALID, 0, "recorder_records",
                         "recorder_records is %u; it must be a power of two", c->recorder_records);
    }
    uint64_t of_all = (uint64_t)c->worker_connections_max * c->workers;
    if (of_all < c->connections_max) {
        return error_set(error, BERTH_E_INVALID, 0, "worker_connections_max",
                         "connections_max is %u; %u workers of worker_connections_max %u have %llu",
                         c->connections_max, c->workers, c->worker_connections_max,
                         (unsigned long long)of_all);
    }
    uint64_t slots = (uint64_t)c->worker_connections_max + c->connects_max;
    if (slots + SPARE_PLANS > SLOTS_MAX) {
        return error_set(
            error, BERTH_E_INVALID, 0, "connects_max",
            "a worker's connections and connects_max together are %llu; at most %u fit",
            (unsigned long long)slots, SLOTS_MAX);
    }
    return BERTH_OK;
}

int config_resolve(struct berth_config *config, struct berth_error *error)
{
    if (config->struct_bytes != sizeof *config) {
        return error_set(error, BERTH_E_INVALID, 0, "struct_bytes",
                         "the configuration was not filled by berth_config_init");
    }
    if (config->workers == 0) {
        config->workers = thread_cpus() < WORKERS_MAX ? thread_cpus() : WORKERS_MAX;
    }
    if (config->worker_connections_max == 0 ||
        config->worker_connections_max > config->connections_max) {
        config->worker_connections_max = config->connections_max;
    }
    if (config->pool_bytes == 0) {
        uint64_t conns = (uint64_t)config->worker_connections_max + config->connects_max;
        config->pool_bytes = POOL_BYTES_BASE + conns * POOL_BYTES_PER_CONN;
        if (config->pool_bytes > POOL_BYTES_DEFAULT_MAX) {
            config->pool_bytes = POOL_BYTES_DEFAULT_MAX;
        }
    }
    return check_bounds(config, error);
}

static size_t put(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += memory_pages(bytes);
    return here;
}

void layout_plan(const struct berth_config *config, struct layout *out)
{
    size_t at = 0;
    size_t plans = config->connects_max == 0 ? 0 : (size_t)config->connects_max + SPARE_PLANS;
    size_t slots = config->worker_connections_max + plans;
    out->slots = (uint32_t)slots;
    out->pool_bytes = (size_t)(config->pool_bytes / MEMORY_PAGE * MEMORY_PAGE);
    out->conns_at = put(&at, slots * sizeof(struct berth_conn));
    out->space_stride = (config->conn_space_bytes + SPACE_ALIGN - 1) / SPACE_ALIGN * SPACE_ALIGN;
    out->spaces_at = put(&at, slots * out->space_stride);
    out->plans_at = put(&at, plans * sizeof(struct plan));
    out->plan_entries_at = put(&at, plans * sizeof(struct slots_entry));
    out->refusals_at = put(&at, REFUSALS_KEPT * sizeof(struct refusal));
    out->recorder_at = put(&at, (size_t)config->recorder_records * RECORD_WORDS * sizeof(uint64_t));
    out->uses_at = put(&at, config->receive_buffers * sizeof(uint32_t));
    out->receive_at = put(&at, (size_t)config->receive_buffers * config->receive_bytes);
    out->account_at = put(&at, pool_account_bytes(out->pool_bytes));
    /* The pool's pieces are aligned within it; its own start needs a page only. */
    out->pool_at = put(&at, out->pool_bytes);
    out->bytes = at;
    BERTH_ASSERT(at <= LAYOUT_MOST);
}
