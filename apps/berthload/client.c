/* The connections of a run on Berth's engine: reserving what they need, opening them, stopping
 * them, summing up. The client owns the server object, the message plan, the links (one per
 * connection that is open at once), the tallies and paces (one per worker) and the ring of
 * timestamps of all links; all of it is reserved, and the messages are built, before the start.
 * What a connection does is in link.c. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "complain.h"
#include "link.h"
#include "record.h"

/* The library's defaults of what may wait on a connection, kept where they are enough. */
#define SEND_HIGH_LEAST (256u * 1024u)
/* The most that the library lets wait on a connection: sizes stay in 31 bits. */
#define SEND_MOST ((UINT32_C(1) << 31) - 1)

/* The library's pool of a worker, and what of it may fill with messages before more is asked for.
 */
#define POOL_BASE   (UINT64_C(256) * 1024 * 1024)
#define POOL_SHARE  (POOL_BASE / 2)
#define POOL_MOST   (UINT64_C(64) * 1024 * 1024 * 1024)
#define POOL_A_LINK (UINT64_C(16) * 1024)

/* What a connection may still have to say when the run is cut short. */
#define STOP_TIMEOUT_MS 1000u

static bool no_memory(struct berth_error *why)
{
    *why = (struct berth_error){.code = BERTH_E_MEMORY, .setting = "connections"};
    snprintf(why->text, sizeof why->text, "there is no memory for so many connections");
    return false;
}

/* Memory that one worker's connections may need for what waits to be sent; 0: the default is
 * enough. It is reserved, and becomes real only if the server leaves it waiting. */
static uint64_t pool_bytes(const struct client *client, uint64_t outstanding)
{
    uint64_t links = (client->options->at_once + client->workers - 1) / client->workers;
    if (outstanding * links < POOL_SHARE) {
        return 0;
    }
    /* Twice: what waits is not packed to the last byte. */
    uint64_t bytes = POOL_BASE + links * (POOL_A_LINK + 2 * outstanding);
    return bytes < POOL_MOST ? bytes : POOL_MOST;
}

/* The connection is always read, however much waits to be sent: a server that stops reading until
 * its replies are taken, and a client that stops reading until its messages are, would wait for
 * each other for ever. So all that a pipeline holds is below the mark where reading pauses. */
static void configure(struct client *client, struct berth_config *config)
{
    const struct options *options = client->options;
    uint32_t outstanding = options->frame_bytes * options->pipeline; /* checked: at most 1.5 GiB */
    berth_config_init(config);
    config->backend = options->backend;
    config->workers = client->workers;
    config->worker_descriptors = options->worker_descriptors;
    config->connections_max = 1; /* none is accepted */
    config->connects_max = options->at_once;
    config->stop_timeout_ms = STOP_TIMEOUT_MS;
    config->on_event = client->book != NULL ? link_on_event : record_event;
    config->event_context = client;
    config->receive_idle_timeout_ms = 0; /* how long to wait for a server is its tester's choice */
    if (options->buffer_bytes != 0) {
        config->receive_bytes = options->buffer_bytes;
        config->send_bytes = options->buffer_bytes;
    }
    if (outstanding > SEND_HIGH_LEAST) {
        config->send_high_bytes = outstanding;
        config->send_low_bytes = outstanding / 2;
        if (config->send_max_bytes < 2 * outstanding) {
            config->send_max_bytes = outstanding < SEND_MOST / 2 ? 2 * outstanding : SEND_MOST;
        }
    }
    config->pool_bytes = pool_bytes(client, outstanding);
}

static bool reserve(struct client *client, struct berth_error *why)
{
    const struct options *options = client->options;
    size_t links = options->at_once;
    size_t stamps = links * options->pipeline;
    client->tallies = aligned_alloc(TALLY_ALIGNMENT, client->workers * sizeof *client->tallies);
    client->paces = aligned_alloc(PACE_ALIGNMENT, client->workers * sizeof *client->paces);
    client->links = aligned_alloc(TALLY_ALIGNMENT, links * sizeof *client->links);
    client->stamps = calloc(stamps, sizeof *client->stamps);
    if (client->book != NULL) {
        client->accounts = calloc(links, sizeof *client->accounts);
        if (client->accounts == NULL) {
            return no_memory(why);
        }
    }
    if (client->tallies == NULL || client->paces == NULL || client->links == NULL ||
        client->stamps == NULL) {
        return no_memory(why);
    }
    memset(client->tallies, 0, client->workers * sizeof *client->tallies);
    return true;
}

static bool build(struct client *client, struct berth_error *why)
{
    const struct options *options = client->options;
    if (client->book != NULL) {
        return message_plan_make_marked(&client->plan, options->size_min, options->size_max,
                                        client->book->run, client->book->client) ||
               no_memory(why);
    }
    if (options->sized) {
        return message_plan_make(&client->plan, options->size_min, options->size_max,
                                 options->avoid) ||
               no_memory(why);
    }
    message_plan_make_texts(&client->plan, options->growing ? MESSAGE_GROWING : MESSAGE_TEXTS,
                            options->shared);
    uint64_t begin = clock_now_ns();
    if (options->held &&
        !message_plan_hold(&client->plan, options->connections, options->messages)) {
        complain("no memory was given for the messages, so each is built when it is sent");
    }
    client->build_ns = clock_now_ns() - begin;
    return true;
}

/* The first connections, as many as may be open at once; each lets another begin when it ends. */
static bool connect_first(struct client *client, struct berth_error *why)
{
    const struct options *options = client->options;
    uint32_t workers = client->workers < options->at_once ? client->workers : options->at_once;
    for (uint32_t i = 0; i < workers; i++) {
        pace_start(&client->paces[i], i, workers, options->connections, options->connect_delay_ns);
    }
    uint32_t worker = 0;
    for (uint32_t i = 0; i < options->at_once; i++) {
        int code = link_begin(&client->links[i], client, i, worker);
        worker = worker + 1 < workers ? worker + 1 : 0;
        if (code != BERTH_OK) {
            *why = (struct berth_error){.code = code, .setting = "connect"};
            snprintf(why->text, sizeof why->text, "connection %u cannot be opened: %s", i + 1,
                     berth_err_text(code));
            return false;
        }
    }
    return true;
}

bool client_make(struct client *client, const struct options *options,
                 const struct addresses *addresses, struct berth_error *why)
{
    struct berth_config config;
    client->options = options;
    client->addresses = addresses;
    client->workers = options->workers;
    client->protocol = (struct berth_protocol){
        .framing = options->framing,
        .context = client,
        .on_open = link_on_open,
        .on_messages = link_on_messages,
        .on_drained = link_on_drained,
        .on_close = link_on_close,
        .on_connect_failed = link_on_connect_failed,
    };
    atomic_init(&client->unfinished, options->connections);
    atomic_init(&client->unended, options->at_once);
    stage_begin(client);
    if (!reserve(client, why) || !build(client, why)) {
        return false;
    }
    configure(client, &config);
    if (berth_server_create(&client->server, &config, why) != BERTH_OK) {
        return false;
    }
    record_watch(client);
    return connect_first(client, why);
}

bool client_start(struct client *client, struct berth_error *why)
{
    uint64_t duration = client->options->duration_ns;
    bool later = client->options->idle > 0; /* it is counted from a later stage on: stage.c */
    client->started_ns = clock_now_ns();
    client->deadline_ns = duration == 0 || later ? UINT64_MAX : client->started_ns + duration;
    return berth_server_start(client->server, why) == BERTH_OK;
}

void client_halt(struct client *client, enum cause cause)
{
    unsigned none = CAUSE_NONE;
    if (atomic_compare_exchange_strong(&client->halt, &none, cause)) {
        record_halt(client, cause);
    }
}

void client_sum(struct client *client, struct tally *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < client->workers; i++) {
        tally_merge(out, &client->tallies[i]);
    }
    /* What was still connecting when the run was cut has come to no end of its own. */
    if (atomic_load(&client->halt) != CAUSE_CLOSE) {
        out->failed = client->options->connections - out->made - out->unbegun;
    }
    struct moment now = {clock_now_ns(), clock_cpu_ns()};
    if (!atomic_load(&client->begun)) {
        client->begin = now;
    }
    if (client->end.wall_ns < client->begin.wall_ns) {
        client->end = now;
    }
}

void client_free(struct client *client)
{
    berth_server_destroy(client->server);
    message_plan_free(&client->plan);
    free(client->stamps);
    free(client->accounts);
    free(client->links);
    free(client->paces);
    free(client->tallies);
}
