/* The console: takes the input line by line and does what each line says.
 *
 * It never waits for input; whoever reads hands over what came. Answers are whole lines, so that
 * they can be read through a pipe. What ends the server is only noted, for the loop to do.
 */
#include "console.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "watch.h"

#define NS_PER_S 1e9

/* Messages that kept shows. */
#define KEPT_LINES 20

bool console_init(struct console *console, struct berth_server *server,
                  const struct serving *serving)
{
    memset(console, 0, sizeof *console);
    console->server = server;
    console->serving = serving;
    console->listening = true;
    return roster_init(&console->roster);
}

void console_fini(struct console *console)
{
    roster_fini(&console->roster);
}

static void say_connections(const struct console *console)
{
    struct berth_stats stats;
    berth_server_stats(console->server, &stats);
    printf("clients connected now: %" PRIu64 "\n", stats.connections_open);
}

static void say_counters(const struct console *console)
{
    struct berth_stats stats;
    berth_server_stats(console->server, &stats);
#define LINE(name, text) printf("%20" PRIu64 "  %s\n", stats.name, text);
    LINE(connections_open, "connections open")
    LINE(connections_most, "the most at once")
    BERTH_STATS(LINE)
#undef LINE
}

/* The other modes stay as they are. */
static void watch_flow(bool on)
{
    unsigned modes = watch_get();
    unsigned wanted = on ? modes | ENTRY_MODE_BIT(ENTRY_FLOW) : modes & ~ENTRY_MODE_BIT(ENTRY_FLOW);
    if (wanted == modes) {
        printf("the flow is %s already\n", on ? "watched" : "not watched");
    } else if (watch_set(wanted)) {
        printf("the flow is %s\n", on ? "watched from now on" : "no longer watched");
    }
}

static void say_no_answer(void)
{
    puts("the workers have not answered; try again");
}

static void say_list(struct console *console)
{
    struct roster *roster = &console->roster;
    if (!roster_list(roster, console->server)) {
        say_no_answer();
        return;
    }
    printf("%-12s %-24s %10s %12s %14s %10s\n", "session", "peer", "age s", "messages", "bytes",
           "queued");
    for (uint32_t i = 0; i < roster->lines_count; i++) {
        const struct roster_line *line = &roster->lines[i];
        char peer[BERTH_ADDRESS_TEXT_BYTES] = "unknown";
        if (line->session.peer.family != BERTH_FAMILY_NONE) {
            berth_address_format(&line->session.peer, peer, sizeof peer);
        }
        printf("%-12" PRIu64 " %-24s %10.1f %12" PRIu64 " %14" PRIu64 " %10u\n", line->session.id,
               peer, (double)line->age_ns / NS_PER_S, line->session.messages, line->session.bytes,
               line->queued_bytes);
    }
    if (roster->total > roster->lines_count) {
        printf("and %" PRIu64 " more\n", roster->total - roster->lines_count);
    }
    printf("%" PRIu64 " connections\n", roster->total);
}

static void kick(struct console *console, uint64_t id)
{
    if (!roster_kick(&console->roster, console->server, id)) {
        say_no_answer();
    } else if (console->roster.kicked) {
        printf("closing the connection of session %" PRIu64 "\n", id);
    } else {
        printf("no connection has the session id %" PRIu64 "; list shows those there are\n", id);
    }
}

static void say_kept(const struct console *console)
{
    const struct serving *serving = console->serving;
    if (serving->received == NULL) {
        puts("no messages are kept; --keep-data N keeps the first N");
    } else if (received_print_last(serving->received, atomic_load(&serving->messages), KEPT_LINES,
                                   stdout) == 0) {
        puts("no message has been kept so far");
    }
}

static void listen_or_not(struct console *console, bool on)
{
    if (console->listening == on) {
        printf("it is %s already\n", on ? "listening" : "not listening");
        return;
    }
    struct berth_error error;
    if (berth_server_listening(console->server, on, &error) != BERTH_OK) {
        printf("%s: %s\n", on ? "start" : "stop", error.text);
        return;
    }
    console->listening = on;
    puts(on ? "listening again" : "stopped listening: new clients are refused");
}

static void drain(struct console *console)
{
    if (console->listening) {
        listen_or_not(console, false);
    }
    if (!console->listening) {
        console->drain = true;
        puts("draining: it ends when all clients have left, or after --stop-timeout");
    }
}

static void run(struct console *console, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_NOTHING:
        break;
    case COMMAND_CONNECTIONS:
        say_connections(console);
        break;
    case COMMAND_FLOW_ON:
        watch_flow(true);
        break;
    case COMMAND_FLOW_OFF:
        watch_flow(false);
        break;
    case COMMAND_LIST:
        say_list(console);
        break;
    case COMMAND_KICK:
        kick(console, command->id);
        break;
    case COMMAND_STOP:
        listen_or_not(console, false);
        break;
    case COMMAND_START:
        console->drain = false;
        listen_or_not(console, true);
        break;
    case COMMAND_DRAIN:
        drain(console);
        break;
    case COMMAND_STATS:
        say_counters(console);
        break;
    case COMMAND_KEPT:
        say_kept(console);
        break;
    case COMMAND_END:
        console->ends++;
        puts(console->ends == 1 ? "ending" : "ending at once");
        break;
    case COMMAND_HELP:
        fputs(command_help(), stdout);
        break;
    case COMMAND_WRONG:
        puts(command->note);
        break;
    }
}

static void end_of_line(struct console *console)
{
    struct command command;
    size_t kept =
        console->entry_bytes <= COMMAND_BYTES_MAX ? console->entry_bytes : COMMAND_BYTES_MAX + 1;
    command_parse(console->entry, kept, &command);
    console->entry_bytes = 0;
    run(console, &command);
}

void console_take(struct console *console, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            end_of_line(console);
        } else {
            if (console->entry_bytes < sizeof console->entry) {
                console->entry[console->entry_bytes] = bytes[i];
            }
            console->entry_bytes++;
        }
    }
}

void console_input_ended(struct console *console)
{
    if (console->entry_bytes > 0) {
        end_of_line(console);
    }
}
