/* The server object: what the owner's thread does with it, from create to destroy.
 *
 * It owns the workers, their memory, the listening sockets and the copies of the protocols. Before
 * start and after wait only the owner's thread touches it; in between the workers read it, and
 * share only the counters that are atomic. berth_server_stop alone may come from anywhere, a signal
 * handler too: it raises a counter and wakes the workers. Nothing here is on the data path.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/memory.h"
#include "core/core.h"
#include "io/select.h"

#define BACKLOG_DEFAULT      4096
#define LOG_LINES_PER_SECOND 5
#define NS_PER_S             UINT64_C(1000000000)

/* A frame is assembled by doubling: its piece, and the one it is copied from, and a reply. */
#define POOL_FRAMES_MIN 4

/* ---------------------------------------------------------------------------------------- logging
 */

/* A line for the program's log, unless there were too many this second. now_ns 0: always. */
void server_log(struct berth_server *server, uint64_t now_ns, const char *format, ...)
{
    if (server->config.on_log == NULL) {
        return;
    }
    if (now_ns != 0) {
        uint64_t second = now_ns / NS_PER_S;
        if (atomic_exchange_explicit(&server->log_second, second, memory_order_relaxed) != second) {
            atomic_store_explicit(&server->log_count, 0, memory_order_relaxed);
        }
        if (atomic_fetch_add_explicit(&server->log_count, 1, memory_order_relaxed) >=
            LOG_LINES_PER_SECOND) {
            return;
        }
    }
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    server->config.on_log(server->config.log_context, text);
}

/* --------------------------------------------------------------------------------------- speakers
 */

static enum fast_header fast_header_of(const struct berth_framing *f)
{
    bool plain = f->kind == BERTH_FRAMING_LENGTH && f->length_bytes == 4 && f->length_offset == 0 &&
                 f->length_adjust == 0 && !f->length_counts_itself && !f->refuse_empty;
    return !plain ? FAST_NONE : f->length_big_endian ? FAST_BIG_32 : FAST_LITTLE_32;
}

/* The server's copy of a protocol that was checked, made the first time. NULL if memory is out. Any
 * thread of the server. */
const struct speaker *speaker_of(struct berth_server *server, const struct berth_protocol *protocol)
{
    pthread_mutex_lock(&server->lock);
    struct speaker *speaker = server->speakers;
    while (speaker != NULL && speaker->given != protocol) {
        speaker = speaker->next;
    }
    if (speaker == NULL) {
        BERTH_ASSERT(berth_framing_check(&protocol->framing, NULL) == BERTH_OK);
        speaker = calloc(1, sizeof *speaker);
        if (speaker != NULL) {
            speaker->given = protocol;
            speaker->protocol = *protocol;
            speaker->fast = fast_header_of(&protocol->framing);
            speaker->framing = framing_number(server, &speaker->protocol.framing);
            speaker->next = server->speakers;
            server->speakers = speaker;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return speaker;
}

/* ----------------------------------------------------------------------------------------- create
 */

/* Replies of a turn that are sent before it is over (decision 0010): they and the messages that
 * they answer are still in the second-level cache, which has 1 MiB or more. */
#define WARM_BYTES (64u * 1024)

static int create_workers(struct berth_server *server, struct berth_error *error)
{
    uint32_t count = server->config.workers;
    server->workers = calloc(count, sizeof *server->workers);
    if (server->workers == NULL) {
        return error_set(error, BERTH_E_MEMORY, 0, "workers", "no memory for %u workers", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (worker_create(&server->workers[i], server, i) != BERTH_OK) {
            while (i > 0) {
                worker_destroy(&server->workers[--i]);
            }
            free(server->workers);
            return error_set(error, BERTH_E_MEMORY, 0, NULL,
                             "%zu bytes of address space for each of %u workers were refused",
                             server->layout.bytes, count);
        }
    }
    return BERTH_OK;
}

static int reserve_here(struct berth_server *server, struct berth_error *error)
{
    server->here = memory_reserve(sizeof *server->here);
    if (server->here == NULL) {
        return error_set(error, BERTH_E_MEMORY, 0, NULL, "no memory for the server");
    }
    memory_name(server->here, sizeof *server->here, "berth: process");
    memory_wipe_on_fork(server->here, sizeof *server->here);
    return BERTH_OK;
}

int server_create_in(struct berth_server **out, const struct berth_config *config,
                     const struct io_backend *backend, void *world, struct berth_error *error)
{
    struct berth_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return error_set(error, BERTH_E_MEMORY, 0, NULL, "no memory for the server");
    }
    server->config = *config;
    server->backend = backend;
    server->world = world;
    server->warm_bytes = WARM_BYTES;
    server->lend_bytes = BERTH_IN_PLACE_BYTES;
    int result = config_resolve(&server->config, error);
    if (result == BERTH_OK) {
        layout_plan(&server->config, &server->layout);
    }
    if (result == BERTH_OK && post_create(&server->post, server->config.post_bytes) != BERTH_OK) {
        result = error_set(error, BERTH_E_MEMORY, 0, "post_bytes",
                           "%llu bytes of address space were refused",
                           (unsigned long long)server->config.post_bytes);
    }
    if (result == BERTH_OK) {
        result = reserve_here(server, error);
        result = result == BERTH_OK ? create_workers(server, error) : result;
        if (result != BERTH_OK) {
            post_destroy(&server->post);
        }
    }
    if (result != BERTH_OK) {
        memory_release(server->here, sizeof *server->here);
        free(server);
        return result;
    }
    atomic_store(&server->permits, server->config.connections_max);
    pthread_mutex_init(&server->lock, NULL);
    latch_init(&server->opened);
    latch_init(&server->go);
    latch_init(&server->ended);
    *out = server;
    return BERTH_OK;
}

static enum io_choice choice_of(enum berth_backend backend)
{
    return backend == BERTH_BACKEND_URING   ? IO_CHOOSE_URING
           : backend == BERTH_BACKEND_EPOLL ? IO_CHOOSE_EPOLL
                                            : IO_CHOOSE_AUTO;
}

int berth_server_create(struct berth_server **out, const struct berth_config *config,
                        struct berth_error *error)
{
    BERTH_ASSERT(out != NULL && config != NULL);
    struct berth_config resolved = *config;
    int result = config_resolve(&resolved, error);
    if (result != BERTH_OK) {
        return result;
    }
    struct io_selection selection;
    enum io_choice choice = choice_of(config->backend);
    io_select(choice, 0, &selection);
    io_select_for(choice, resolved.workers, resolved.receive_buffers, &selection);
    if (selection.backend == NULL) {
        return error_set(error, BERTH_E_UNSUPPORTED, 0, "backend", "%s", selection.why);
    }
    result = server_create_in(out, &resolved, selection.backend, NULL, error);
    if (result == BERTH_OK) {
        (*out)->features_off = selection.features_off;
        server_log(*out, 0, "%s", selection.why);
    }
    return result;
}

/* ----------------------------------------------------------------------------------------- listen
 */

/* Whether the pool can hold what messages of this size need. */
static int check_memory(const struct berth_server *server, const struct berth_framing *framing,
                        struct berth_error *error)
{
    size_t frame =
        (size_t)framing->message_bytes_max + BERTH_HEADER_BYTES_MAX + sizeof(struct input);
    size_t piece = POOL_PIECE;
    while (piece < frame) {
        piece *= 2;
    }
    if (piece * POOL_FRAMES_MIN > server->layout.pool_bytes) {
        return error_set(error, BERTH_E_INVALID, 0, "pool_bytes",
                         "pool_bytes is %zu; messages of %u bytes need at least %zu",
                         server->layout.pool_bytes, framing->message_bytes_max,
                         piece * POOL_FRAMES_MIN);
    }
    return BERTH_OK;
}

int server_check_protocol(const struct berth_server *server, const struct berth_protocol *protocol,
                          struct berth_error *error)
{
    if (protocol == NULL) {
        return error_set(error, BERTH_E_INVALID, 0, "protocol", "protocol is missing");
    }
    if (protocol->on_messages != NULL && protocol->on_message != NULL) {
        return error_set(error, BERTH_E_INVALID, 0, "on_message",
                         "on_messages and on_message are both set; set one");
    }
    int result = berth_framing_check(&protocol->framing, error);
    return result != BERTH_OK ? result : check_memory(server, &protocol->framing, error);
}

static int check_listen(struct berth_server *server, const struct berth_listen_options *options,
                        struct berth_error *error)
{
    if (server->state != SERVER_CREATED) {
        return error_set(error, BERTH_E_STATE, 0, NULL, "listening begins before start");
    }
    if (server->listeners_count == IO_LISTENERS_MAX) {
        return error_set(error, BERTH_E_INVALID, 0, "address",
                         "a server listens on at most %u addresses", IO_LISTENERS_MAX);
    }
    uint8_t family = options->address.family;
    if (family != BERTH_IPV4 && family != BERTH_IPV6 && family != BERTH_ANY) {
        return error_set(error, BERTH_E_INVALID, 0, "address", "the address has no family");
    }
    if (options->backlog < 0) {
        return error_set(error, BERTH_E_INVALID, 0, "backlog", "backlog is %d; it must be above 0",
                         options->backlog);
    }
    return server_check_protocol(server, options->protocol, error);
}

int berth_listen(struct berth_server *server, const struct berth_listen_options *options,
                 struct berth_address *bound, struct berth_error *error)
{
    int result = check_listen(server, options, error);
    if (result != BERTH_OK) {
        return result;
    }
    const struct speaker *speaker = speaker_of(server, options->protocol);
    if (speaker == NULL) {
        return error_set(error, BERTH_E_MEMORY, 0, NULL, "no memory for the protocol");
    }
    int backlog = options->backlog == 0 ? BACKLOG_DEFAULT : options->backlog;
    struct io_listener *listener = &server->listeners[server->listeners_count];
    result = io_listen(server->backend, server->world, &options->address, backlog, listener);
    if (result < 0) {
        char text[BERTH_ADDRESS_TEXT_BYTES];
        berth_address_format(&options->address, text, sizeof text);
        return error_set(error, BERTH_E_SYSTEM, -result, "address", "cannot listen on %s", text);
    }
    if (listener->backlog < backlog) {
        server_log(server, 0, "backlog %d is clipped to the system's limit of %d", backlog,
                   listener->backlog);
    }
    server->listener_speakers[server->listeners_count++] = speaker;
    if (bound != NULL) {
        *bound = listener->address;
    }
    return BERTH_OK;
}

/* ------------------------------------------------------------------------------------ start and
 * stop */

/* Wake-ups that are in the tables of all workers. 0 or a negative errno. */
static int open_wakes(struct berth_server *server)
{
    if (!server->config.worker_descriptors) {
        return 0;
    }
    for (uint32_t i = 0; i < server->config.workers; i++) {
        int wake = io_wake_open();
        if (wake < 0) {
            return wake;
        }
        server->workers[i].wake_id = wake;
    }
    return 0;
}

static void close_wakes(struct berth_server *server)
{
    for (uint32_t i = 0; i < server->config.workers; i++) {
        if (server->workers[i].wake_id > 0) {
            io_wake_close(server->workers[i].wake_id);
            server->workers[i].wake_id = 0;
        }
    }
}

/* Returns how many workers' threads run. */
static uint32_t start_threads(struct berth_server *server)
{
    char name[sizeof "berth-" + 10];
    for (uint32_t i = 0; i < server->config.workers; i++) {
        struct worker *worker = &server->workers[i];
        snprintf(name, sizeof name, "berth-%u", i);
        int result = thread_start(&worker->thread, name, worker_run, worker);
        if (result != 0) {
            atomic_store(&server->start_result, -result);
            return i;
        }
        worker->thread_runs = true;
    }
    return server->config.workers;
}

int berth_server_start(struct berth_server *server, struct berth_error *error)
{
    if (server->state != SERVER_CREATED) {
        return error_set(error, BERTH_E_STATE, 0, NULL, "the server was started before");
    }
    int wakes = open_wakes(server);
    if (wakes < 0) {
        close_wakes(server);
        return error_set(error, BERTH_E_SYSTEM, -wakes, "worker_descriptors",
                         "no descriptors to wake %u workers", server->config.workers);
    }
    *server->here = true; /* a program may have become a daemon since create */
    server->state = SERVER_RUNNING;
    server->threads = start_threads(server);
    latch_wait(&server->opened, server->threads, -1);
    int result = atomic_load(&server->start_result);
    latch_add(&server->go);
    if (result == 0) {
        return BERTH_OK;
    }
    uint32_t threads = server->threads;
    berth_server_wait(server, -1);
    int code = result == -ENOMEM ? BERTH_E_MEMORY : BERTH_E_SYSTEM;
    if (threads < server->config.workers) {
        return error_set(error, code, -result, "workers", "no thread for worker %u of %u",
                         threads + 1, server->config.workers);
    }
    return error_set(error, code, -result, NULL, "the %s backend of a worker did not open",
                     io_backend_name(server->backend));
}

int server_start_stepped(struct berth_server *server)
{
    *server->here = true;
    server->state = SERVER_RUNNING;
    server->stepped = true;
    for (uint32_t i = 0; i < server->config.workers; i++) {
        int result = worker_open(&server->workers[i]);
        if (result < 0) {
            return result;
        }
        admit_fill(&server->workers[i]);
    }
    return 0;
}

void berth_server_stop(struct berth_server *server)
{
    uint32_t before = atomic_load(&server->stop);
    while (before < 2 && !atomic_compare_exchange_weak(&server->stop, &before, before + 1)) {
    }
    for (uint32_t i = 0; i < server->config.workers; i++) {
        worker_wake(&server->workers[i]);
    }
}

bool berth_server_wait(struct berth_server *server, int64_t timeout_ms)
{
    if (server->state != SERVER_RUNNING) {
        return true;
    }
    if (!latch_wait(&server->ended, server->threads, timeout_ms)) {
        return false;
    }
    for (uint32_t i = 0; i < server->threads; i++) {
        pthread_join(server->workers[i].thread, NULL);
        server->workers[i].thread_runs = false;
    }
    close_wakes(server);
    server->state = SERVER_ENDED;
    return true;
}

/* ---------------------------------------------------------------------------------------- destroy
 */

static void destroy_workers(struct berth_server *server)
{
    for (uint32_t i = 0; i < server->config.workers; i++) {
        struct worker *worker = &server->workers[i];
        BERTH_ASSERT(!worker->thread_runs);
        BERTH_ASSERT(worker->io == NULL);
        remote_end(worker); /* what waited for a start that never came, or failed */
        worker_destroy(worker);
    }
}

void berth_server_destroy(struct berth_server *server)
{
    if (server == NULL) {
        return;
    }
    destroy_workers(server);
    for (uint32_t i = 0; i < server->listeners_count; i++) {
        io_listener_close(server->backend, server->world, &server->listeners[i]);
    }
    while (server->speakers != NULL) {
        struct speaker *speaker = server->speakers;
        server->speakers = speaker->next;
        free(speaker);
    }
    groups_destroy(server);
    latch_fini(&server->opened);
    latch_fini(&server->go);
    latch_fini(&server->ended);
    pthread_mutex_destroy(&server->lock);
    post_destroy(&server->post);
    memory_release(server->here, sizeof *server->here);
    free(server->workers);
    free(server);
}
