/* berthload: sends messages to a server that answers each with itself, verifies every byte of
 * every reply, and reports rate and latency. Built on nothing but Berth's public headers.
 *
 * One load is closed: a connection has --pipeline messages on their way and sends the next when
 * one is answered. So a slow server is asked less, and the latencies are those of what it was
 * asked. This file owns what lives for the whole run: options, client, results. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/journal.h"
#include "common/streams.h"

#include "book.h"
#include "client.h"
#include "clock.h"
#include "commands.h"
#include "console.h"
#include "json.h"
#include "limits.h"
#include "lines.h"
#include "options.h"
#include "preface.h"
#include "probe.h"
#include "record.h"
#include "report.h"
#include "resolve.h"
#include "results.h"
#include "run.h"
#include "talk.h"

/* Exit statuses; 0 is a run in which all was right. */
#define EXIT_NOT_RIGHT 1
#define EXIT_USAGE     2

/* Which option sets a field of the library's configuration, for its errors. */
static const char *option_of(const char *setting)
{
    static const struct {
        const char *setting;
        const char *option;
    } names[] = {
        {"backend", "--backend"},           {"workers", "--workers"},
        {"connects_max", "--connections"},  {"connections", "--connections"},
        {"receive_bytes", "--buffer-size"}, {"send_bytes", "--buffer-size"},
        {"send_high_bytes", "--pipeline"},  {"send_max_bytes", "--pipeline"},
        {"pool_bytes", "--pipeline"},       {"connect", "--connect"},
    };
    for (size_t i = 0; setting != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(setting, names[i].setting) == 0) {
            return names[i].option;
        }
    }
    return NULL;
}

static int say_failure(const struct berth_error *why)
{
    const char *option = option_of(why->setting);
    fprintf(stderr, "berthload: %s%s%s\n", option != NULL ? option : "", option != NULL ? ": " : "",
            why->text);
    return EXIT_NOT_RIGHT;
}

/* More connections than a process may have descriptors: each worker then has a table of its own,
 * and there are as many workers as that takes. false: not with so many workers as were asked for.
 */
static bool fit_descriptors(struct options *options, bool workers_given)
{
    uint64_t granted = limits_raise_descriptors();
    uint64_t needed = limits_descriptors_needed(options->at_once, options->workers);
    if (needed <= granted) {
        return true;
    }
    uint32_t workers = limits_workers_needed(options->at_once, granted);
    if (workers == 0 || (workers_given && workers > options->workers)) {
        const char *advice =
            options->at_once < options->connections ? "" : "; --at-once keeps fewer open";
        if (workers != 0) {
            advice = "; more --workers have as many each";
        }
        fprintf(stderr,
                "berthload: --%s: %" PRIu32 " need %" PRIu64
                " descriptors, and this process may have %" PRIu64 " (ulimit -Hn)%s\n",
                options->at_once < options->connections ? "at-once" : "connections",
                options->at_once, needed, granted, advice);
        return false;
    }
    options->workers = workers_given ? options->workers : workers;
    options->worker_descriptors = true;
    return true;
}

/* Workers and descriptors: what is settled by the machine. */
static bool fit_machine(struct options *options)
{
    bool workers_given = options->workers != 0;
    if (!workers_given) {
        options->workers = limits_cpus();
        if (options->workers > options->at_once) {
            options->workers = options->at_once;
        }
    }
    if (!fit_descriptors(options, workers_given)) {
        return false;
    }
    preface_settle(options, limits_memory_available(), stderr);
    return true;
}

/* What can be reached from an IPv4 address. false: nothing. */
static bool keep_ipv4(struct addresses *addresses)
{
    size_t kept = 0;
    for (size_t i = 0; i < addresses->count; i++) {
        if (addresses->list[i].family == BERTH_IPV4) {
            addresses->list[kept++] = addresses->list[i];
        }
    }
    addresses->count = kept;
    return kept > 0;
}

/* --test-connection: whether the run may begin. */
static bool test_connection(const struct options *options, const struct addresses *addresses)
{
    char advice[PROBE_ADVICE_BYTES];
    int system = options->test_connection ? probe(addresses, options->connect_timeout_ns) : 0;
    if (system != 0) {
        fprintf(stderr, "berthload: --test-connection: %s\n",
                probe_advice(system, options->connect, options->connect_timeout_ns, advice,
                             sizeof advice));
    }
    return system == 0;
}

static uint64_t time_ns(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * NS_PER_US;
}

/* A reply too many may come when its connection is closing already, and the library drops it
 * unseen; but it counts its bytes. Only where all went well is the difference that and nothing
 * else. */
static uint64_t surplus(const struct results *results)
{
    const struct tally *tally = &results->tally;
    bool well = tally->wrong == 0 && tally->failed == 0 &&
                tally_read(&tally->right) == tally_read(&tally->sent);
    return well && results->stats.bytes_in > tally->right_frame_bytes
               ? results->stats.bytes_in - tally->right_frame_bytes
               : 0;
}

static void collect(struct client *client, struct results *results)
{
    const struct options *options = client->options;
    struct rusage usage;
    results->elapsed_ns = clock_now_ns() - client->started_ns;
    results->options = options;
    client_sum(client, &results->tally);
    berth_plan(client->server, 0, &results->plan);
    berth_server_stats(client->server, &results->stats);
    results->planned = options->messages != 0 ? options->messages * options->connections
                                              : tally_read(&results->tally.sent);
    results->stopped = options->duration_ns != 0 && atomic_load(&client->halt) == CAUSE_STOP;
    results->closed = atomic_load(&client->halt) == CAUSE_CLOSE;
    if (results->closed) {
        results->planned = tally_read(&results->tally.sent);
    }
    results->surplus_bytes = surplus(results);
    results->build_ns = client->build_ns;
    results->held = client->plan.texts != NULL ? preface_held(options) : 0;
    results->most = atomic_load(&client->most);
    results->opening_ns = client->opening_ns;
    results->first_ns = client->first_ns;
    results->traffic_ns = client->end.wall_ns - client->begin.wall_ns;
    if (results->traffic_ns > 0) {
        results->busy = (double)(client->end.cpu_ns - client->begin.cpu_ns) /
                        ((double)results->traffic_ns * results->plan.workers);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        results->user_ns = time_ns(&usage.ru_utime);
        results->system_ns = time_ns(&usage.ru_stime);
    }
}

/* The summary and the JSON. When the JSON has the standard output, people read the other one. */
static int tell(const struct results *results, FILE *json)
{
    FILE *out = json == stdout ? stderr : stdout;
    int status = results_right(results) ? EXIT_SUCCESS : EXIT_NOT_RIGHT;
    if (json != NULL && (!json_write(results, json) || (json != stdout && fclose(json) != 0))) {
        fprintf(stderr, "berthload: --json: %s could not be written: %s\n", results->options->json,
                strerror(errno));
        status = EXIT_NOT_RIGHT;
    }
    report_write(results, results->options->quiet, out);
    if (fflush(out) != 0 || ferror(out)) {
        fprintf(stderr, "berthload: the summary could not be written: %s\n", strerror(errno));
        status = EXIT_NOT_RIGHT;
    }
    return status;
}

/* From the message that all is built to the last connection's end. */
static bool begin(struct client *client, FILE *json, struct berth_error *why)
{
    run_catch_signals(); /* before this there was nothing to sum up */
    FILE *out = json == stdout ? stderr : stdout;
    const char *log = client->journal != NULL ? journal_path(client->journal) : NULL;
    if (log != NULL && strcmp(log, client->options->log) != 0 && !client->options->quiet) {
        fprintf(out, "%-13s%s\n", "log", log); /* a new file in the folder */
    }
    if (!client->options->quiet) {
        preface_write(client, out);
    }
    return run_client(client, why);
}

/* Who gives commands: a person at a terminal, or whoever was said to. */
static struct console *open_console(const struct options *options, struct lines *lines)
{
    struct console *console = NULL;
    if (options->console || isatty(lines->file)) {
        console = console_open(lines);
        if (console == NULL) {
            fprintf(stderr, "berthload: there is no thread for commands\n");
        }
    }
    return console;
}

/* The run, and what is said afterwards. */
static int run_to_end(struct client *client, struct book *book, FILE *json, struct results *results)
{
    const struct options *options = client->options;
    struct berth_error why = {0};
    if (!begin(client, json, &why)) {
        return say_failure(&why);
    }
    collect(client, results);
    results->unaccounted = !book_close(book, options, &results->tally);
    int status = tell(results, json);
    if (options->bell) {
        fputc('\a', stderr); /* a terminal's bell; where there is none, nobody hears it */
    }
    unsigned halt = atomic_load(&client->halt);
    bool ended =
        halt == CAUSE_STOP || halt == CAUSE_CLOSE || halt == CAUSE_SIGNAL; /* by a person */
    if (options->asked && client->console != NULL && !ended) {
        commands_stay(client->console, results);
    }
    return status;
}

static int run(const struct options *options, FILE *json, struct lines *lines)
{
    struct addresses addresses;
    struct berth_error error = {0};
    struct journal *journal = NULL;
    const char *why = NULL;
    if (!resolve(options->host, options->port, &addresses, &why)) {
        fprintf(stderr, "berthload: --connect: %s: %s\n", options->host, why);
        return EXIT_NOT_RIGHT;
    }
    if (options->sources > 0 && !keep_ipv4(&addresses)) {
        fprintf(stderr, "berthload: --source: %s has no IPv4 address\n", options->host);
        return EXIT_NOT_RIGHT;
    }
    if (!test_connection(options, &addresses)) {
        return EXIT_NOT_RIGHT;
    }
    if (!record_open(options, &journal)) {
        return EXIT_USAGE;
    }
    struct book book;
    if (!book_open(&book, options)) {
        (void)record_close(journal, options, NULL); /* it has said what it can */
        return EXIT_USAGE;
    }
    struct client *client = calloc(1, sizeof *client);
    struct results *results = aligned_alloc(TALLY_ALIGNMENT, sizeof *results);
    int status = EXIT_NOT_RIGHT;
    if (results != NULL) {
        memset(results, 0, sizeof *results); /* also where the other is missing: it is looked at */
    }
    if (client == NULL || results == NULL) {
        fprintf(stderr, "berthload: there is no memory\n");
    } else {
        client->journal = journal;
        client->book = book.ledger != NULL ? &book : NULL;
        if (!client_make(client, options, &addresses, &error)) {
            status = say_failure(&error);
        } else {
            client->console = open_console(options, lines);
            status = run_to_end(client, &book, json, results);
            console_close(client->console);
        }
    }
    book_leave(&book);
    if (client != NULL) {
        client_free(client);
    }
    bool collected = results != NULL && results->options != NULL;
    if (!record_close(journal, options, collected ? results : NULL)) {
        status = EXIT_NOT_RIGHT;
    }
    free(client);
    free(results);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    char why[OPTIONS_WHY_BYTES];
    struct talk talk;
    struct lines lines;
    FILE *json = NULL;
    streams_settle(); /* a closed output shows as an error when it is written */
    lines_init(&lines, STDIN_FILENO);
    switch (options_read(argc, argv, &options, why)) {
    case OPTIONS_HELP:
        fputs(options_help(), stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_NOT_RIGHT;
    case OPTIONS_VERSION:
        puts("berthload " BERTH_VERSION);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_NOT_RIGHT;
    case OPTIONS_BAD:
        fprintf(stderr, "berthload: %s\nberthload --help shows the options\n", why);
        return EXIT_USAGE;
    case OPTIONS_ASK:
        if (!isatty(STDIN_FILENO)) {
            fprintf(stderr, "berthload: %s\nberthload --help shows the options\n", why);
            return EXIT_USAGE;
        }
        if (!talk_ask(&talk, &lines, &options, fit_machine)) {
            return EXIT_USAGE;
        }
        break;
    case OPTIONS_RUN:
        if (!fit_machine(&options)) {
            return EXIT_USAGE;
        }
        break;
    }
    if (options.json != NULL) {
        /* Before the run: it would be a pity to lose the results of an hour to a typing error. */
        json = strcmp(options.json, "-") == 0 ? stdout : fopen(options.json, "w");
        if (json == NULL) {
            fprintf(stderr, "berthload: --json: %s: %s\n", options.json, strerror(errno));
            return EXIT_USAGE;
        }
    }
    return run(&options, json, &lines);
}
