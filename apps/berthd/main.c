/* berthd: a server of the seed's protocol, on Berth's public headers alone.
 *
 * main reads the options, prepares the server, says where it listens and what it may cost, and
 * waits for a signal; the library's workers do the rest. Exit status: 0 after an orderly end, 1
 * when it could not serve, 2 when an option was refused.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <berth/berth.h>

#include "common/streams.h"

#include "book.h"
#include "dump.h"
#include "handler.h"
#include "log.h"
#include "options.h"
#include "serve.h"
#include "serving.h"
#include "show.h"
#include "watch.h"

#define EXIT_REFUSED 2

/* Names the setting behind what the library refused. */
static int report(const struct options *options, const struct berth_error *error)
{
    char source[OPTIONS_WHY_BYTES];
    if (options_source_of(options, error->setting, source, sizeof source) != NULL) {
        fprintf(stderr, "berthd: %s: %s\n", source, error->text);
    } else {
        fprintf(stderr, "berthd: %s\n", error->text);
    }
    return error->code == BERTH_E_INVALID ? EXIT_REFUSED : EXIT_FAILURE;
}

/* Raises the limit of descriptors as far as the process may, and says so if that is too little: for
 * all workers together, or for each if they have tables of their own. */
static void raise_descriptor_limit(const struct options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    bool each = options->worker_descriptors && options->worker_connections > 0 &&
                options->worker_connections < options->max_connections;
    uint32_t wanted = each ? options->worker_connections : options->max_connections;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < wanted) {
        log_line("--%s %u is more than the %llu descriptors this %s may have; "
                 "clients beyond them wait",
                 each ? "worker-connections" : "max-connections", wanted,
                 (unsigned long long)limit.rlim_cur,
                 options->worker_descriptors ? "worker" : "process");
    }
}

static void configure(const struct options *options, struct berth_config *config)
{
    berth_config_init(config);
    config->backend = options->backend;
    config->workers = options->workers;
    config->connections_max = options->max_connections;
    config->worker_connections_max = options->worker_connections;
    config->worker_descriptors = options->worker_descriptors;
    config->first_message_timeout_ms = options->timeouts_ms[TIMEOUT_FIRST_MESSAGE];
    config->message_timeout_ms = options->timeouts_ms[TIMEOUT_MESSAGE];
    config->receive_idle_timeout_ms = options->timeouts_ms[TIMEOUT_RECEIVE_IDLE];
    config->send_idle_timeout_ms = options->timeouts_ms[TIMEOUT_SEND_IDLE];
    config->send_progress_timeout_ms = options->timeouts_ms[TIMEOUT_SEND_PROGRESS];
    config->on_log = log_library;
    config->on_event = options->ledger != NULL ? book_event : watch_event;
    config->recorder_records = DUMP_RECORDS;
    config->conn_space_bytes = sizeof(struct session);
    if (options->ledger != NULL) {
        config->conn_space_bytes += (uint32_t)book_space_bytes();
    }
    if (options->buffer_size > 0) {
        config->receive_bytes = options->buffer_size;
        config->send_bytes = options->buffer_size;
    }
    if (options->receive_buffers > 0) {
        config->receive_buffers = options->receive_buffers;
    }
    config->send_high_bytes = options->send_high_bytes;
    config->send_low_bytes = options->send_low_bytes;
    config->send_max_bytes = options->send_max_bytes;
    config->system_send_bytes = options->system_send_bytes;
    config->system_receive_bytes = options->system_receive_bytes;
    config->pool_bytes = options->pool_bytes;
    config->linger_timeout_ms = options->linger_ms;
    config->stop_timeout_ms = options->stop_timeout_ms;
    config->window_messages = options->window;
    config->window_bytes = options->window_bytes;
}

static int listen_all(struct berth_server *server, const struct options *options,
                      const struct berth_protocol *protocol, struct berth_error *error)
{
    for (uint32_t i = 0; i < options->listens_count; i++) {
        struct berth_listen_options listen = {
            .address = options->listens[i],
            .protocol = protocol,
            .backlog = (int)options->backlog,
        };
        struct berth_address bound;
        int result = berth_listen(server, &listen, &bound, error);
        if (result != BERTH_OK) {
            return result;
        }
        char text[BERTH_ADDRESS_TEXT_BYTES];
        log_flush();
        printf("listening on %s\n", berth_address_format(&bound, text, sizeof text));
        watch_line(ENTRY_FLOW, EVENT_LISTENING, text);
    }
    return BERTH_OK;
}

/* Prepares a server and serves until the end; what stands behind its connections is there. */
static int run_server(const struct options *options, struct berth_server *server,
                      struct berth_protocol *protocol, const sigset_t *signals)
{
    struct serving *serving = protocol->context;
    struct berth_error error;
    log_flush(); /* what the library said about its backend comes first */
    show_settings(options);
    show_plan(server, serving, options->max_connections);
    if (!watch_begin(&options->watch, server)) {
        return EXIT_REFUSED;
    }
    if (watch_path() != NULL) {
        printf("log file %s\n", watch_path());
    }
    if (!serve_begin(server, options, serving, signals)) {
        fprintf(stderr, "berthd: no descriptor to wait for signals, or no memory\n");
        watch_end();
        return EXIT_FAILURE;
    }
    int status = EXIT_FAILURE;
    struct answering *answering = handler_begin(serving, options, protocol);
    if (serving->book != NULL) {
        book_stand_between(serving->book, protocol);
    }
    if (answering == NULL) {
        fprintf(stderr, "berthd: --handler: the system has no memory or no threads for it\n");
    } else if (listen_all(server, options, protocol, &error) != BERTH_OK ||
               berth_server_start(server, &error) != BERTH_OK) {
        status = report(options, &error);
    } else {
        serve();
        status = EXIT_SUCCESS;
    }
    handler_end(answering);
    serve_end();
    if (status == EXIT_SUCCESS) {
        show_end(server, serving);
    }
    watch_end();
    return status;
}

static int run(const struct options *options, struct serving *serving, const sigset_t *signals)
{
    struct berth_protocol protocol;
    struct berth_config config;
    struct berth_server *server = NULL;
    struct berth_error error;
    serving_protocol(serving, &options->framing, &protocol);
    configure(options, &config);
    config.event_context = serving;
    if (berth_server_create(&server, &config, &error) != BERTH_OK) {
        return report(options, &error);
    }
    int status = EXIT_REFUSED;
    if (options->ledger == NULL || (serving->book = book_open(options, server)) != NULL) {
        status = run_server(options, server, &protocol, signals);
    }
    if (!book_close(serving->book, server, status == EXIT_SUCCESS)) {
        status = EXIT_FAILURE;
    }
    berth_server_destroy(server);
    return status;
}

int main(int argc, char **argv)
{
    static struct options options; /* too large for comfort on a stack */
    streams_settle();
    switch (options_read(argc, argv, &options)) {
    case OPTIONS_DONE:
        return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    case OPTIONS_REFUSED:
        return EXIT_REFUSED;
    case OPTIONS_RUN:
        break;
    }
    /* Blocked before any thread starts, so that only sigwait sees them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads our lines through a pipe waits for them */
    if (!log_begin()) {
        fprintf(stderr, "berthd: no thread for the log\n");
        return EXIT_FAILURE;
    }
    raise_descriptor_limit(&options);
    struct serving serving;
    int status = EXIT_FAILURE;
    if (serving_init(&serving, &options)) {
        status = run(&options, &serving, &signals);
        serving_fini(&serving);
    } else {
        fprintf(stderr, "berthd: --keep-data: no memory to keep %u messages of %llu bytes\n",
                options.keep_data, (unsigned long long)options.keep_data_bytes);
    }
    log_end();
    return status;
}
