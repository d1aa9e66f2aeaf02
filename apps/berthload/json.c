/* The results for programs: all options in force and all results as one JSON object, made with
 * cJSON and written in one piece. Numbers are numbers, times are in nanoseconds (of CPU: seconds),
 * sizes in bytes. The tree of values lives for the length of json_write. */
#include "json.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "number.h"

/* cJSON returns NULL where memory is short, and takes NULL everywhere; a missing part is found by
 * its parent. `failed` is what is left of it at the end. */
struct part {
    cJSON *object;
    bool *failed;
};

static void put_number(struct part part, const char *name, double value)
{
    *part.failed |= cJSON_AddNumberToObject(part.object, name, value) == NULL;
}

static void put_count(struct part part, const char *name, uint64_t value)
{
    put_number(part, name, (double)value);
}

static void put_text(struct part part, const char *name, const char *value)
{
    *part.failed |= cJSON_AddStringToObject(part.object, name, value) == NULL;
}

static void put_flag(struct part part, const char *name, bool value)
{
    *part.failed |= cJSON_AddBoolToObject(part.object, name, value) == NULL;
}

static struct part put_part(struct part part, const char *name)
{
    struct part child = {cJSON_AddObjectToObject(part.object, name), part.failed};
    *part.failed |= child.object == NULL;
    return child;
}

static void put_options(struct part part, const struct options *options)
{
    char modes[ENTRY_MODES_TEXT_BYTES];
    put_text(part, "connect", options->connect);
    put_count(part, "connections", options->connections);
    put_count(part, "messages", options->messages);
    put_number(part, "duration_s", (double)options->duration_ns / (double)NS_PER_S);
    put_count(part, "at_once", options->at_once);
    put_text(part, "content",
             options->ledger != NULL ? "marked"
             : options->sized        ? "pattern"
                                     : "text");
    put_flag(part, "long", options->shared);
    put_flag(part, "growing", options->growing);
    put_count(part, "size_min", options->sized ? options->size_min : 0);
    put_count(part, "size_max", options->message_bytes);
    put_count(part, "idle", options->idle);
    put_count(part, "pipeline", options->pipeline);
    put_count(part, "workers", options->workers);
    put_flag(part, "worker_descriptors", options->worker_descriptors);
    put_text(part, "backend", options_backend_name(options->backend));
    put_count(part, "buffer_size", options->buffer_bytes);
    put_text(part, "frame", options->frame);
    put_count(part, "max_message", options->message_max);
    put_text(part, "reply", options->with_id ? "id" : "bare");
    put_count(part, "connect_rate", options->connect_rate);
    put_number(part, "connect_delay_ms", (double)options->connect_delay_ns / (double)NS_PER_MS);
    put_count(part, "sources", options->sources);
    if (options->retries == RETRIES_ALWAYS) {
        put_text(part, "retry", "always");
    } else {
        put_count(part, "retry", options->retries);
    }
    put_flag(part, "test_connection", options->test_connection);
    put_number(part, "connect_timeout_s", (double)options->connect_timeout_ns / (double)NS_PER_S);
    put_number(part, "answer_timeout_s", (double)options->answer_timeout_ns / (double)NS_PER_S);
    put_number(part, "timeout_s", (double)options->timeout_ns / (double)NS_PER_S);
    put_text(part, "watch", entry_modes_write(options->watch, modes));
    put_count(part, "flow", options->flow);
    put_text(part, "log", options->log != NULL ? options->log : "");
    put_text(part, "ledger", options->ledger != NULL ? options->ledger : "");
    put_text(part, "log_format", options->log_json ? "json" : "text");
    put_flag(part, "console", options->console);
    put_flag(part, "bell", options->bell);
    put_flag(part, "quiet", options->quiet);
}

static void put_results(struct part part, const struct results *results)
{
    const struct tally *tally = &results->tally;
    uint64_t sent = tally_read(&tally->sent);
    uint64_t right = tally_read(&tally->right);
    put_text(part, "backend", results->plan.backend);
    put_count(part, "connections_made", tally->made);
    put_count(part, "connections_failed", tally->failed);
    put_count(part, "connections_unbegun", tally->unbegun);
    put_count(part, "connections_most", results->most);
    put_count(part, "connect_retries", tally->retries);
    put_count(part, "messages_planned", results->planned);
    put_count(part, "messages_sent", sent);
    put_count(part, "messages_answered", right);
    put_count(part, "messages_unanswered", sent - right);
    put_count(part, "messages_aborted", results_aborted(results));
    put_number(part, "percent_sent", results_percent(results));
    put_number(part, "ms_per_message", results_ms_per_message(results));
    put_count(part, "messages_held", results->held);
    put_count(part, "build_ns", results->build_ns);
    put_count(part, "wrong_replies", tally->wrong);
    put_count(part, "surplus_bytes", results->surplus_bytes);
    put_count(part, "sent_bytes", tally_read(&tally->sent_bytes));
    put_count(part, "answered_bytes", tally_read(&tally->right_bytes));
    put_number(part, "messages_per_s", results_rate(results, right - tally->firsts));
    put_number(part, "sent_bytes_per_s",
               results_rate(results, tally_read(&tally->sent_bytes) - tally->first_sent_bytes));
    put_number(part, "answered_bytes_per_s",
               results_rate(results, tally_read(&tally->right_bytes) - tally->first_right_bytes));
    put_count(part, "elapsed_ns", results->elapsed_ns);
    put_count(part, "opening_ns", results->opening_ns);
    put_count(part, "first_answers_ns", results->first_ns);
    put_count(part, "first_answers", results->tally.firsts);
    put_count(part, "idle_lost", results->tally.idle_lost);
    put_count(part, "traffic_ns", results->traffic_ns);
    put_number(part, "cpu_user_s", (double)results->user_ns / (double)NS_PER_S);
    put_number(part, "cpu_system_s", (double)results->system_ns / (double)NS_PER_S);
    put_number(part, "busy", results->busy);
    put_flag(part, "client_bound", results_client_bound(results));
}

/* With --ledger only. */
static void put_ledger(struct part part, const struct results *results)
{
    const struct account_totals *account = &results->tally.account;
    put_flag(part, "whole", !results->unaccounted);
    put_count(part, "refused", account_refused(account));
    put_count(part, "skipped", account->unknown[ACCOUNT_SKIPPED]);
    put_count(part, "duplicated", account_exceptions(account, LEDGER_DUPLICATED));
    put_count(part, "reordered", account_exceptions(account, LEDGER_REORDERED));
    put_count(part, "corrupted", account_exceptions(account, LEDGER_CORRUPTED));
    put_count(part, "unasked", account_exceptions(account, LEDGER_UNASKED));
    put_count(part, "late", account_exceptions(account, LEDGER_LATE));
    put_count(part, "late_bytes", account->late_bytes);
}

/* Which connections ended early and why. Only what occurred. */
static void put_losses(struct part part, const struct tally *tally)
{
    for (uint32_t i = 0; i < CAUSES; i++) {
        if (tally->lost[i].connections > 0) {
            struct part loss = put_part(part, cause_text(i));
            put_count(loss, "connections", tally->lost[i].connections);
            put_count(loss, "messages", tally->lost[i].messages);
        }
    }
}

/* The histogram in powers of two: [the largest latency of the step, how many]. */
static void put_steps(struct part part, const struct histogram *latency)
{
    cJSON *steps = cJSON_AddArrayToObject(part.object, "histogram");
    *part.failed |= steps == NULL;
    for (uint32_t first = 0; first < HISTOGRAM_BUCKETS; first += HISTOGRAM_STEPS) {
        uint64_t count = 0;
        for (uint32_t i = first; i < first + HISTOGRAM_STEPS; i++) {
            count += latency->buckets[i];
        }
        if (count == 0) {
            continue;
        }
        double pair[] = {(double)histogram_bucket_top(first + HISTOGRAM_STEPS - 1), (double)count};
        cJSON *step = cJSON_CreateDoubleArray(pair, 2);
        if (step == NULL || !cJSON_AddItemToArray(steps, step)) {
            cJSON_Delete(step);
            *part.failed = true;
        }
    }
}

static void put_latency(struct part part, const struct histogram *latency)
{
    static const struct {
        const char *name;
        double percent;
    } percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}};
    put_count(part, "count", latency->count);
    put_count(part, "min", latency->count > 0 ? latency->least : 0);
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++) {
        put_count(part, percentiles[i].name, histogram_percentile(latency, percentiles[i].percent));
    }
    put_count(part, "max", latency->most);
    put_number(part, "mean", histogram_mean(latency));
    put_steps(part, latency);
}

static void put_stats(struct part part, const struct berth_stats *stats)
{
    put_count(part, "connections_open", stats->connections_open);
    put_count(part, "connections_most", stats->connections_most);
#define PUT_STAT(name, text) put_count(part, #name, stats->name);
    BERTH_STATS(PUT_STAT)
#undef PUT_STAT
}

bool json_write(const struct results *results, FILE *out)
{
    char verdict[VERDICT_BYTES];
    bool failed = false;
    struct part root = {cJSON_CreateObject(), &failed};
    put_text(root, "program", "berthload");
    put_text(root, "version", BERTH_VERSION);
    put_flag(root, "right", results_right(results));
    put_text(root, "verdict", results_verdict(results, verdict));
    put_options(put_part(root, "options"), results->options);
    put_results(put_part(root, "results"), results);
    put_losses(put_part(root, "lost"), &results->tally);
    if (results->options->ledger != NULL) {
        put_ledger(put_part(root, "ledger"), results);
    }
    put_latency(put_part(root, "latency_ns"), &results->tally.latency);
    put_stats(put_part(root, "stats"), &results->stats);
    char *text = failed ? NULL : cJSON_Print(root.object);
    bool written = text != NULL && fprintf(out, "%s\n", text) > 0 && fflush(out) == 0;
    cJSON_free(text);
    cJSON_Delete(root.object);
    return written;
}
