/* The ledger of a run: its header, which says what was asked for and what the numbers in it mean,
 * and its end, the totals. They come from the run's tally and plan, not from the lines of the
 * connections, so that a line that is missing shows. The lines in between are account.c's. Costs
 * nothing while messages run. */
#include "book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "number.h"

static void say_settings(struct ledger_text *text, const struct book *book,
                         const struct options *options)
{
    ledger_say(text, "program berthload\nversion " BERTH_VERSION "\n");
    ledger_say(text, "run %" PRIu64 "\nclient %" PRIu32 "\n", book->run, book->client);
    ledger_say(text, "started %lld\n", (long long)time(NULL));
    ledger_say(text, "connect %s\nframe %s\n", options->connect, options->frame);
    ledger_say(text, "reply %s\n", options->with_id ? "id" : "bare");
    ledger_say(text, "connections %" PRIu32 "\nat_once %" PRIu32 "\n", options->connections,
               options->at_once);
    ledger_say(text, "messages %" PRIu64 "\nduration_ms %" PRIu64 "\n", options->messages,
               options->duration_ns / NS_PER_MS);
    ledger_say(text, "size_min %" PRIu32 "\nsize_max %" PRIu32 "\n", options->size_min,
               options->size_max);
    ledger_say(text, "pipeline %" PRIu32 "\nworkers %" PRIu32 "\nbackend %s\n", options->pipeline,
               options->workers, options_backend_name(options->backend));
}

static void say_reasons(struct ledger_text *text)
{
    for (uint32_t i = 1; i < CAUSES; i++) {
        ledger_say(text, "reason %" PRIu32 " %s\n", i, cause_text(i));
    }
    for (uint32_t i = ACCOUNT_SKIPPED; i < ACCOUNT_REASONS_END; i++) {
        ledger_say(text, "reason %" PRIu32 " %s\n", i, account_reason_text(i));
    }
    for (uint32_t i = 1; i < MARK_REFUSALS_END; i++) {
        ledger_say(text, "refusal %" PRIu32 " %s\n", i, mark_refusal_text(i));
    }
}

bool book_open(struct book *book, const struct options *options)
{
    struct ledger_text text = {.length = 0};
    char why[LEDGER_WHY_BYTES];
    *book = (struct book){.client = (uint32_t)getpid()};
    if (options->ledger == NULL) {
        return true;
    }
    if (getentropy(&book->run, sizeof book->run) != 0) { /* no system that we know */
        book->run = (uint64_t)time(NULL) << 32 | book->client;
    }
    say_settings(&text, book, options);
    say_reasons(&text);
    book->ledger = ledger_open(options->ledger, &text, why);
    if (book->ledger == NULL) {
        fprintf(stderr, "berthload: --ledger: %s\n", why);
    }
    return book->ledger != NULL;
}

/* ---- the end ---- */

static void put_sums(struct ledger_page *page, const struct options *options,
                     const struct tally *tally)
{
    uint64_t sent = tally_read(&tally->sent);
    uint64_t planned = options->messages != 0 ? options->messages * options->connections : sent;
    ledger_line(page, LEDGER_SCHEDULED | LEDGER_TOTAL, 0)->count = planned;
    struct ledger_record *record = ledger_line(page, LEDGER_SENT | LEDGER_TOTAL, 0);
    record->count = sent;
    record->bytes = tally_read(&tally->sent_bytes);
    record = ledger_line(page, LEDGER_ANSWERED | LEDGER_TOTAL, 0);
    record->count = tally_read(&tally->right);
    record->bytes = tally_read(&tally->right_bytes);
    record->wire = tally->right_frame_bytes;
    if (options->with_id) {
        record = ledger_line(page, LEDGER_IDS | LEDGER_TOTAL, 0);
        record->count = tally_read(&tally->right);
        record->bytes = tally->account.ids;
    }
}

static void put_reasons(struct ledger_page *page, const struct account_totals *totals)
{
    for (unsigned i = 0; i < MARK_REFUSALS_END; i++) {
        ledger_count(page, LEDGER_REFUSED | LEDGER_TOTAL, i, totals->refused[i]);
    }
    for (unsigned i = 0; i < ACCOUNT_REASONS_END; i++) {
        ledger_count(page, LEDGER_UNKNOWN | LEDGER_TOTAL, i, totals->unknown[i]);
        ledger_count(page, LEDGER_NOT_SENT | LEDGER_TOTAL, i, totals->not_sent[i]);
    }
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        if (totals->exceptions[i] > 0) {
            struct ledger_record *record =
                ledger_line(page, LEDGER_COUNTED | LEDGER_TOTAL, LEDGER_EXCEPTIONS_FIRST + i);
            record->count = totals->exceptions[i];
            record->bytes = totals->singles[i];
        }
    }
}

/* What was still connecting when the run was cut has come to no end of its own. */
static void put_cut(struct book *book, const struct options *options, struct account_totals *totals)
{
    uint64_t planned = options->messages * options->connections;
    if (options->messages != 0 && planned > totals->scheduled) {
        struct account nobody = {
            .ledger = book->ledger,
            .totals = totals,
            .plan = &(const struct message_plan){.client = book->client},
        };
        account_not_made(&nobody, 0, planned - totals->scheduled, ACCOUNT_CUT);
    }
}

bool book_close(struct book *book, const struct options *options, const struct tally *tally)
{
    char why[LEDGER_WHY_BYTES];
    struct ledger_page page = {.key = {.client = book->client}, .count = 0};
    struct account_totals totals = tally->account;
    if (book->ledger == NULL) {
        return true;
    }
    put_cut(book, options, &totals);
    put_sums(&page, options, tally);
    put_reasons(&page, &totals);
    bool whole = ledger_close(book->ledger, &page, why);
    book->ledger = NULL;
    if (!whole) {
        fprintf(stderr, "berthload: --ledger: %s\n", why);
    }
    return whole;
}

void book_leave(struct book *book)
{
    char why[LEDGER_WHY_BYTES];
    (void)ledger_close(book->ledger, NULL, why); /* nobody will ask what is missing in it */
    book->ledger = NULL;
}
