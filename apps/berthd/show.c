/* berthd's start and end, in words: settings, memory plan, kept messages, summary.
 *
 * Reads what it is given and prints; owns nothing. Each line is whole when its event has happened.
 */
#include "show.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "settings.h"
#include "watch.h"

#define COLUMNS      96
#define PIECE_BYTES  400
#define NUMBER_BYTES 32

/* Five numbers of at most 20 digits, and the words between. */
#define SUMMARY_BYTES 256

/* What became of a setting that was left to the program; "" if nothing did. */
static void resolved(const struct options *o, const char *name, char *out, size_t bytes)
{
    const struct {
        const char *name;
        unsigned long long value;
    } known[] = {
        {"max-message", o->max_message},   {"pool", o->pool_bytes},
        {"send-high", o->send_high_bytes}, {"send-low", o->send_low_bytes},
        {"send-max", o->send_max_bytes},
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0 && known[i].value > 0) {
            snprintf(out, bytes, " = %llu", known[i].value);
        }
    }
}

/* Pieces, with commas between, in lines that fit a screen. */
struct paragraph {
    size_t column;
};

static void say(struct paragraph *paragraph, const char *name, const char *text, const char *more)
{
    char piece[PIECE_BYTES];
    int bytes = snprintf(piece, sizeof piece, " %s %s%s", name, text, more);
    if (paragraph->column == 0) {
        paragraph->column = (size_t)printf("settings:%s", piece);
    } else if (paragraph->column + 1 + (size_t)bytes > COLUMNS) {
        paragraph->column = (size_t)printf(",\n         %s", piece) - 2;
    } else {
        paragraph->column += (size_t)printf(",%s", piece);
    }
}

void show_settings(const struct options *options)
{
    char machine[256];
    if (gethostname(machine, sizeof machine) != 0) {
        snprintf(machine, sizeof machine, "unknown");
    }
    machine[sizeof machine - 1] = '\0';
    printf("berthd " BERTH_VERSION " on %s\n", machine);
    struct paragraph paragraph = {0};
    for (size_t i = 0; i < settings_count; i++) {
        const char *text = options->given[i].text;
        char more[NUMBER_BYTES] = "";
        if (strcmp(text, "auto") == 0) {
            resolved(options, settings[i].name, more, sizeof more);
        }
        for (uint32_t j = 0; settings[i].repeats && j < options->listens_count; j++) {
            say(&paragraph, settings[i].name, options->listens_given[j].text, "");
        }
        if (!settings[i].repeats) {
            say(&paragraph, settings[i].name, text, more);
        }
    }
    putchar('\n');
}

static unsigned long long kib(uint64_t bytes)
{
    return (unsigned long long)bytes >> 10;
}

static void show_cost(const char *what, const struct berth_cost *cost)
{
    printf("    %-36s %12llu %12llu\n", what, kib(cost->reserved), kib(cost->resident));
}

void show_plan(const struct berth_server *server, const struct serving *serving,
               uint32_t connections)
{
    struct berth_plan plan;
    char idle[NUMBER_BYTES];
    berth_plan(server, connections, &plan);
    snprintf(idle, sizeof idle, "%u idle", connections);
    printf("memory plan: %u workers on %s, each %u connections\n", plan.workers, plan.backend,
           plan.connections_per_worker);
    printf("    %-36s %12s %12s\n", "KiB", "reserved", idle);
    show_cost("connections", &plan.slots);
    show_cost("their sessions", &plan.spaces);
    show_cost("receive buffers", &plan.receive);
    show_cost("replies, kept messages, parts", &plan.pool);
    show_cost("for other threads", &plan.post);
    show_cost("records and the workers", &plan.other);
    show_cost("in all, used as needed", &plan.all);
    if (serving->received != NULL) {
        printf("memory plan: messages for the end listing %llu KiB on top, used as needed\n",
               kib(received_cost(serving->received)));
    }
}

static void show_received(const struct serving *serving, const struct berth_stats *stats)
{
    uint64_t messages = atomic_load(&serving->messages);
    uint64_t missing = received_missing(serving->received, messages);
    printf("messages received, in order of arrival (client address: port, transmission id, "
           "text):\n");
    received_print(serving->received, messages, stdout);
    if (missing > 0) {
        printf("%llu more messages were not kept: --keep-data or --keep-data-bytes was reached\n",
               (unsigned long long)missing);
    }
    printf("highest number of simultaneous connections: %llu\n",
           (unsigned long long)stats->connections_most);
    printf("transmissions received: %llu\n", (unsigned long long)messages);
}

void show_end(const struct berth_server *server, const struct serving *serving)
{
    struct berth_stats stats;
    berth_server_stats(server, &stats);
    if (serving->received != NULL) {
        show_received(serving, &stats);
    }
    char text[SUMMARY_BYTES];
    snprintf(text, sizeof text,
             "%llu connections served, at most %llu at once, %llu messages, %llu bytes received, "
             "%llu bytes sent",
             (unsigned long long)stats.accepted, (unsigned long long)stats.connections_most,
             (unsigned long long)stats.messages_in, (unsigned long long)stats.bytes_in,
             (unsigned long long)stats.bytes_out);
    puts(text);
    watch_line(ENTRY_SUMMARY, EVENT_STOPPED, text);
}
