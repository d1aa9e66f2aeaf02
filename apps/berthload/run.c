/* A run as the main thread sees it: it starts the workers, looks at the counters a few times a
 * second, stops what takes too long, obeys signals and shows the progress. The workers end by
 * themselves when the last connection is over, so nothing here is in their way. Owns nothing;
 * costs a few microseconds a second. */
#include "run.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "complain.h"
#include "progress.h"

/* How often the counters are looked at, and so the precision of the limits. */
#define LOOK_MS 50

/* What is on its way when a signal comes has this long to be answered. */
#define SIGNAL_GRACE_NS (5 * NS_PER_S)

/* What the main thread remembers between two looks. */
struct watch {
    uint64_t events;       /* connections made and messages answered */
    uint64_t events_at_ns; /* when their number last changed, or no connection was asking */
    uint64_t signal_at_ns; /* when the first signal was seen; 0: none */
    unsigned stops;        /* how often the library was told to stop */
    unsigned commands;     /* to stop or to close: each counts like a signal */
};

static atomic_uint signals; /* received */

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

void run_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Signals are the main thread's: the workers inherit a mask that holds them off. */
static bool start_shielded(struct client *client, struct berth_error *why)
{
    sigset_t shield;
    sigset_t before;
    sigemptyset(&shield);
    sigaddset(&shield, SIGINT);
    sigaddset(&shield, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &shield, &before);
    bool started = client_start(client, why);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* The first time the library ends things in order, the second time it cuts them. */
static void stop(struct client *client, struct watch *watch, unsigned times)
{
    for (; watch->stops < times; watch->stops++) {
        berth_server_stop(client->server);
    }
}

static void obey_signals(struct client *client, struct watch *watch, uint64_t now)
{
    unsigned count = atomic_load(&signals) + watch->commands;
    if (count == 0) {
        return;
    }
    client_halt(client, CAUSE_SIGNAL);
    if (watch->signal_at_ns == 0) {
        watch->signal_at_ns = now;
    }
    if (count > 1) {
        stop(client, watch, 2);
    } else if (now - watch->signal_at_ns > SIGNAL_GRACE_NS) {
        stop(client, watch, 1);
    }
}

/* A limit was passed. */
static void cut(struct client *client, struct watch *watch, enum cause cause)
{
    if (watch->stops == 0) {
        complain("the run is stopped: %s", cause_text(cause));
    }
    client_halt(client, cause);
    stop(client, watch, 2);
}

static void obey_limits(struct client *client, struct watch *watch, uint64_t now)
{
    const struct options *options = client->options;
    if (now - client->started_ns > options->timeout_ns) {
        cut(client, watch, CAUSE_TIMEOUT);
    } else if (now - watch->events_at_ns > options->answer_timeout_ns) {
        cut(client, watch, CAUSE_SILENCE);
    }
    /* When nothing more may be sent, nobody waits for connections that are not there yet. */
    bool over = now >= client->deadline_ns || atomic_load(&client->halt) != CAUSE_NONE;
    if (over && atomic_load(&client->open) == 0) {
        stop(client, watch, 1);
    }
}

static void obey_commands(struct client *client, struct watch *watch, struct progress *progress)
{
    enum command command;
    char line[LINE_BYTES_MAX];
    while (client->console != NULL && console_next(client->console, 0, &command, line)) {
        progress_stop(progress); /* it comes again */
        enum cause cause = commands_obey(client, command, line);
        if (cause != CAUSE_NONE) {
            client_halt(client, cause);
            watch->commands++;
        }
    }
}

static void look(struct client *client, struct watch *watch, struct progress *progress)
{
    uint64_t now = clock_now_ns();
    uint64_t right = 0;
    for (uint32_t i = 0; i < client->workers; i++) {
        right += tally_read(&client->tallies[i].right);
    }
    uint64_t events = right + atomic_load(&client->most);
    /* Where nobody waits for an answer, none can be late. */
    bool asked = atomic_load(&client->asking) > 0 && atomic_load(&client->stage) != STAGE_OPENING;
    if (events != watch->events || !asked) {
        watch->events = events;
        watch->events_at_ns = now;
    }
    if (client->book != NULL && ledger_failed(client->book->ledger)) {
        cut(client, watch, CAUSE_LEDGER); /* a run that is not accounted for is not worth its end */
    }
    stage_look(client, now);
    obey_commands(client, watch, progress);
    obey_signals(client, watch, now);
    obey_limits(client, watch, now);
    progress_show(progress, now, atomic_load(&client->open), right);
}

bool run_interrupted(void)
{
    return atomic_load(&signals) > 0;
}

bool run_client(struct client *client, struct berth_error *why)
{
    struct progress progress;
    struct watch watch = {0};
    if (!start_shielded(client, why)) {
        return false;
    }
    watch.events_at_ns = client->started_ns;
    progress_start(&progress, client->started_ns, !client->options->quiet && isatty(STDERR_FILENO));
    while (!berth_server_wait(client->server, LOOK_MS)) {
        look(client, &watch, &progress);
    }
    progress_stop(&progress);
    return true;
}
