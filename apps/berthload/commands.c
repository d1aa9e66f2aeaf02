/* What a person's commands do: while a run goes on, and with the questions also after it, when the
 * program stays until Z, as the seed's does. Called on the main thread only; the run's counters
 * are read as they are, and nothing here is in a worker's way. */
#include "commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "common/journal.h"
#include "number.h"
#include "record.h"
#include "report.h"
#include "run.h"

/* How often a signal is looked for after the run. */
#define STAY_LOOK_MS 50

/* What of an unknown command is shown. */
#define SHOWN_BYTES 40

static FILE *stream_of(const struct options *options)
{
    bool taken = options->json != NULL && strcmp(options->json, "-") == 0;
    return taken ? stderr : stdout;
}

static void say_unknown(const char *line, FILE *out)
{
    char shown[SHOWN_BYTES];
    fprintf(out, "\"%s\" is no command\n%s", lines_show(line, shown, sizeof shown), console_help());
}

static void show_status(const struct client *client, FILE *out)
{
    const struct options *options = client->options;
    struct berth_stats stats;
    uint64_t sent = 0;
    char a[NUMBER_TEXT_BYTES];
    char b[NUMBER_TEXT_BYTES];
    berth_server_stats(client->server, &stats);
    for (uint32_t i = 0; i < client->workers; i++) {
        sent += tally_read(&client->tallies[i].sent);
    }
    /* With several addresses each attempt is a connect of its own for the library. */
    uint64_t retries =
        stats.connect_retries + (client->addresses->count > 1 ? stats.connect_failures : 0);
    fprintf(out, "%s messages sent", number_write(sent, a));
    if (options->messages != 0) {
        uint64_t planned = options->messages * options->connections;
        fprintf(out, " (%.2f %% of %s)", 100.0 * (double)sent / (double)planned,
                number_write(planned, b));
    }
    fprintf(out, ", %s connect retries", number_write(retries, a));
    fprintf(out, ", %s connections finished", number_write(atomic_load(&client->over), a));
    fprintf(out, ", %s open\n", number_write(atomic_load(&client->open), a));
}

static void switch_flow(struct client *client, bool on, FILE *out)
{
    struct journal *journal = client->journal;
    if (journal == NULL) {
        fprintf(out, "there is no log to write the flow to (--log)\n");
        return;
    }
    if (!journal_switch(journal, ENTRY_FLOW, on)) {
        fprintf(out, "the flow is %s\n", on ? "being logged already" : "not logged anyway");
        return;
    }
    record_watch(client);
    fprintf(out, "the flow is %s from here on\n", on ? "logged" : "not logged");
    struct journal_ring *ring = journal_ring(journal, client->workers); /* the main thread's */
    journal_entry(ring, ENTRY_FLOW, on ? EVENT_WATCH_ON : EVENT_WATCH_OFF, 0, clock_now_ns());
    journal_done(ring);
}

enum cause commands_obey(struct client *client, enum command command, const char *line)
{
    FILE *out = stream_of(client->options);
    enum cause cause = CAUSE_NONE;
    switch (command) {
    case COMMAND_STATUS:
        show_status(client, out);
        break;
    case COMMAND_FLOW_ON:
    case COMMAND_FLOW_OFF:
        switch_flow(client, command == COMMAND_FLOW_ON, out);
        break;
    case COMMAND_STOP:
        fprintf(out, "stopping; the run is aborted\n");
        cause = CAUSE_STOP;
        break;
    case COMMAND_CLOSE:
        fprintf(out, "closing; the replies on their way are awaited\n");
        cause = CAUSE_CLOSE;
        break;
    case COMMAND_HELP:
        fprintf(out, "%s", console_help());
        break;
    case COMMAND_UNKNOWN:
        say_unknown(line, out);
        break;
    case COMMAND_NOTHING:
        break;
    }
    fflush(out);
    return cause;
}

void commands_stay(struct console *console, const struct results *results)
{
    FILE *out = stream_of(results->options);
    enum command command = COMMAND_NOTHING;
    char line[LINE_BYTES_MAX];
    fprintf(out, "the run is over; C shows the summary again, Z closes\n");
    while (command != COMMAND_CLOSE && !run_interrupted() && !console_ended(console)) {
        fflush(out);
        if (!console_next(console, STAY_LOOK_MS, &command, line)) {
            continue;
        }
        switch (command) {
        case COMMAND_STATUS:
            report_write(results, false, out);
            break;
        case COMMAND_FLOW_ON:
        case COMMAND_FLOW_OFF:
        case COMMAND_STOP:
            fprintf(out, "the run is over already; Z closes\n");
            break;
        case COMMAND_HELP:
            fprintf(out, "%s", console_help());
            break;
        case COMMAND_UNKNOWN:
            say_unknown(line, out);
            break;
        case COMMAND_CLOSE:
        case COMMAND_NOTHING:
            break;
        }
    }
    fflush(out);
}
