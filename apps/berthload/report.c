/* The summary for people: a table of what was done, how fast and how rightly, whose last line is
 * the verdict. Written once, to a stream that is lent. */
#include "report.h"

#include <inttypes.h>

#include "complain.h"
#include "messages.h"
#include "number.h"

#define BYTES_PER_MB 1e6

/* The first column: what a line is about. */
#define LINE "%-13s"

static void write_setting(const struct results *results, FILE *out)
{
    const struct options *options = results->options;
    char size[2 * NUMBER_TEXT_BYTES];
    snprintf(size, sizeof size, "the text M<i>-C%s%s",
             options->shared ? MESSAGE_SHARED_LABEL : "<c>", options->growing ? ", growing" : "");
    if (options->sized && options->size_min == options->size_max) {
        snprintf(size, sizeof size, "%" PRIu32 " bytes", options->size_min);
    } else if (options->sized) {
        snprintf(size, sizeof size, "%" PRIu32 " to %" PRIu32 " bytes", options->size_min,
                 options->size_max);
    }
    fprintf(out, LINE "%s, frame %s, replies %s\n", "server", options->connect, options->frame,
            options->with_id ? "with an id" : "bare");
    fprintf(out, LINE "%s, pipeline %" PRIu32 ", %" PRIu32 " worker%s on %s\n", "load", size,
            options->pipeline, results->plan.workers, results->plan.workers == 1 ? "" : "s",
            results->plan.backend);
}

static void write_counts(const struct results *results, FILE *out)
{
    const struct tally *tally = &results->tally;
    char a[NUMBER_TEXT_BYTES];
    char b[NUMBER_TEXT_BYTES];
    char c[NUMBER_TEXT_BYTES];
    char d[NUMBER_TEXT_BYTES];
    uint64_t sent = tally_read(&tally->sent);
    uint64_t right = tally_read(&tally->right);
    fprintf(out, LINE "%s made, %s retries, %s failed, %s at most at once", "connections",
            number_write(tally->made, a), number_write(tally->retries, b),
            number_write(tally->failed, c), number_write(results->most, d));
    if (tally->unbegun > 0) {
        fprintf(out, ", %s never begun", number_write(tally->unbegun, a));
    }
    fprintf(out, "\n");
    fprintf(out, LINE "%s sent, %s answered rightly\n", "messages", number_write(sent, a),
            number_write(right, b));
    fprintf(out, LINE "%s messages, %.2f %% of them sent, %s aborted\n", "planned",
            number_write(results->planned, a), results_percent(results),
            number_write(results_aborted(results), b));
    fprintf(out, LINE "%s messages/s, %.2f MB/s out, %.2f MB/s in\n", "rate",
            number_write((uint64_t)(results_rate(results, right - tally->firsts) + 0.5), a),
            results_rate(results, tally_read(&tally->sent_bytes) - tally->first_sent_bytes) /
                BYTES_PER_MB,
            results_rate(results, tally_read(&tally->right_bytes) - tally->first_right_bytes) /
                BYTES_PER_MB);
}

static void write_stages(const struct results *results, FILE *out)
{
    const struct options *options = results->options;
    double opening_s = (double)results->opening_ns / (double)NS_PER_S;
    char a[NUMBER_TEXT_BYTES];
    char b[NUMBER_TEXT_BYTES];
    char c[NUMBER_TEXT_BYTES];
    if (options->idle == 0) {
        return;
    }
    fprintf(
        out, LINE "all open after %.3f s, %s a second; %s first answers in %.3f s\n", "stages",
        opening_s,
        number_write(opening_s > 0 ? (uint64_t)((double)results->tally.made / opening_s) : 0, a),
        number_write(results->tally.firsts, b), (double)results->first_ns / (double)NS_PER_S);
    fprintf(out, LINE "then %s idle, and the others, to which rate and latency refer\n", "",
            number_write(options->idle, c));
}

static void write_latency(const struct results *results, FILE *out)
{
    static const double percents[] = {50, 90, 99, 99.9};
    const struct histogram *latency = &results->tally.latency;
    char text[NUMBER_TEXT_BYTES];
    if (latency->count == 0) {
        return;
    }
    fprintf(out, LINE, "latency");
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        fprintf(out, "p%g %s, ", percents[i],
                number_write_time(histogram_percentile(latency, percents[i]), text));
    }
    fprintf(out, "max %s, ", number_write_time(latency->most, text));
    fprintf(out, "mean %s\n", number_write_time((uint64_t)histogram_mean(latency), text));
}

static void write_errors(const struct results *results, FILE *out)
{
    const struct tally *tally = &results->tally;
    char a[NUMBER_TEXT_BYTES];
    char b[NUMBER_TEXT_BYTES];
    uint64_t unanswered = 0;
    for (uint32_t i = 0; i < CAUSES; i++) {
        unanswered += tally->lost[i].messages;
    }
    unanswered -= unanswered < tally->wrong ? unanswered : tally->wrong;
    fprintf(out, LINE "%s wrong replies, %s messages lost\n", "errors",
            number_write(tally->wrong, a), number_write(unanswered, b));
    for (uint32_t i = 0; i < CAUSES; i++) {
        if (tally->lost[i].connections > 0) {
            fprintf(out, LINE "%s connection%s, %s messages: %s\n", "",
                    number_write(tally->lost[i].connections, a),
                    tally->lost[i].connections == 1 ? "" : "s",
                    number_write(tally->lost[i].messages, b), cause_text(i));
        }
    }
    if (results->surplus_bytes > 0) {
        fprintf(out, LINE "%s bytes came after the last replies\n", "",
                number_write(results->surplus_bytes, a));
    }
    if (complain_unsaid() > 0) {
        fprintf(out, LINE "%s more lines like those above were not printed\n", "",
                number_write(complain_unsaid(), a));
    }
}

/* What berthload found; whether all adds up, with the server's ledger too, tools/ledger says. */
static void write_ledger(const struct results *results, FILE *out)
{
    const struct account_totals *account = &results->tally.account;
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"refused", account_refused(account)},
        {"skipped", account->unknown[ACCOUNT_SKIPPED]},
        {"duplicated", account_exceptions(account, LEDGER_DUPLICATED)},
        {"reordered", account_exceptions(account, LEDGER_REORDERED)},
        {"corrupted", account_exceptions(account, LEDGER_CORRUPTED)},
        {"unasked", account_exceptions(account, LEDGER_UNASKED)},
        {"late", account_exceptions(account, LEDGER_LATE)},
    };
    char text[NUMBER_TEXT_BYTES];
    if (results->options->ledger == NULL) {
        return;
    }
    fprintf(out, LINE, "ledger");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        fprintf(out, "%s%s %s", i == 0 ? "" : ", ", number_write(counts[i].count, text),
                counts[i].name);
    }
    fprintf(out, "\n");
}

static void write_time(const struct results *results, FILE *out)
{
    double second = (double)NS_PER_S;
    char text[NUMBER_TEXT_BYTES];
    fprintf(out, LINE "%.3f s; %.3f s from the first connection to the last answer\n", "elapsed",
            (double)results->elapsed_ns / second, (double)results->traffic_ns / second);
    fprintf(out, LINE "%s, %.4f ms a message\n", "time taken",
            number_write_clock(results->elapsed_ns, text), results_ms_per_message(results));
    fprintf(out, LINE "%.3f s user, %.3f s system; busy %.0f %% of the time\n", "own CPU",
            (double)results->user_ns / second, (double)results->system_ns / second,
            100 * results->busy);
    if (results_client_bound(results)) {
        fprintf(out,
                "note: berthload itself was busy %.0f %% of the time; the server may be faster "
                "than shown\n",
                100 * results->busy);
    }
}

void report_write(const struct results *results, bool brief, FILE *out)
{
    char verdict[VERDICT_BYTES];
    if (!brief) {
        write_setting(results, out);
        write_counts(results, out);
        write_stages(results, out);
        write_latency(results, out);
        write_errors(results, out);
        write_ledger(results, out);
        write_time(results, out);
        fprintf(out, LINE "%s\n", "result", results_ending(results, verdict));
    }
    fprintf(out, "%s\n", results_verdict(results, verdict));
}
