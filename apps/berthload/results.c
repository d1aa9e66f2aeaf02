/* What came out of a run, and the verdict on it. Pure; nothing is owned. */
#include "results.h"

#include <stdio.h>

#include "number.h"

/* From here on the client is as likely the bottleneck as the server. */
#define BUSY_BOUND 0.95

/* Shorter traffic says nothing about who was busy: it is all beginning. */
#define BUSY_LEAST_NS (100 * NS_PER_MS)

bool results_right(const struct results *results)
{
    uint64_t right = tally_read(&results->tally.right);
    return !results->stopped && right > 0 && right == tally_read(&results->tally.sent) &&
           right == results->planned && results->tally.wrong == 0 && results->surplus_bytes == 0 &&
           results->tally.failed == 0 && results->tally.idle_lost == 0 && !results->unaccounted &&
           (results->closed || results->tally.made == results->options->connections);
}

const char *results_verdict(const struct results *results, char *out)
{
    char sent[NUMBER_TEXT_BYTES];
    char right[NUMBER_TEXT_BYTES];
    char figure[NUMBER_TEXT_BYTES];
    uint64_t sent_count = tally_read(&results->tally.sent);
    uint64_t right_count = tally_read(&results->tally.right);
    int at = snprintf(out, VERDICT_BYTES, "sent %s messages, %s answered rightly",
                      number_write(sent_count, sent), number_write(right_count, right));
    if (right_count < sent_count) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s not",
                       number_write(sent_count - right_count, figure));
    }
    if (sent_count < results->planned) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s never sent",
                       number_write(results->planned - sent_count, figure));
    }
    if (results->tally.wrong > 0 && right_count == sent_count) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s replies to nothing",
                       number_write(results->tally.wrong, figure));
    }
    if (results->surplus_bytes > 0) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s bytes answer nothing",
                       number_write(results->surplus_bytes, figure));
    }
    if (results->tally.idle_lost > 0) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s idle connections lost",
                       number_write(results->tally.idle_lost, figure));
    }
    if (results->closed) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", closed before more were sent");
    }
    if (results->unaccounted) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", no whole ledger");
    }
    if (results->stopped) {
        at += snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", stopped before its time");
    }
    uint64_t not_made = results->tally.failed + (results->closed ? 0 : results->tally.unbegun);
    if (not_made > 0) {
        char all[NUMBER_TEXT_BYTES];
        snprintf(out + at, (size_t)(VERDICT_BYTES - at), ", %s of %s connections not made",
                 number_write(not_made, figure), number_write(results->options->connections, all));
    }
    return out;
}

uint64_t results_aborted(const struct results *results)
{
    uint64_t right = tally_read(&results->tally.right);
    return results->planned > right ? results->planned - right : 0;
}

double results_percent(const struct results *results)
{
    uint64_t sent = tally_read(&results->tally.sent);
    return results->planned == 0 ? 100.0 : 100.0 * (double)sent / (double)results->planned;
}

double results_ms_per_message(const struct results *results)
{
    uint64_t sent = tally_read(&results->tally.sent);
    return sent == 0 ? 0.0 : (double)results->elapsed_ns / (double)NS_PER_MS / (double)sent;
}

const char *results_ending(const struct results *results, char *out)
{
    char aborted[NUMBER_TEXT_BYTES];
    char planned[NUMBER_TEXT_BYTES];
    if (results_right(results)) {
        snprintf(out, VERDICT_BYTES, "success: every reply was verified");
    } else if (results_aborted(results) > 0) {
        snprintf(out, VERDICT_BYTES, "failure: %s of %s messages were aborted",
                 number_write(results_aborted(results), aborted),
                 number_write(results->planned, planned));
    } else if (results->stopped) {
        snprintf(out, VERDICT_BYTES, "failure: the run was aborted");
    } else {
        snprintf(out, VERDICT_BYTES, "failure: not all was right, see above");
    }
    return out;
}

double results_rate(const struct results *results, uint64_t count)
{
    return results->traffic_ns == 0
               ? 0.0
               : (double)count * (double)NS_PER_S / (double)results->traffic_ns;
}

bool results_client_bound(const struct results *results)
{
    return results->busy >= BUSY_BOUND && results->traffic_ns >= BUSY_LEAST_NS;
}
