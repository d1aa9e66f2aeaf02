/* Watching: the library's events, and berthd's own, made into lines of the log (common/journal.h).
 *
 * A worker puts each line into its own ring of the journal, which never waits; another thread
 * writes. All other threads share one ring more, under a lock. There is no journal until somebody
 * asks for one: an option, the console, SIGUSR1. With everything off the library calls nothing
 * here, and a handler asks watch_wants_data once a batch.
 *
 * What is shown is what the seed shows: flow, each event of the library; connections, who came and
 * went and how many are there; data, each message with its header's bytes; threads, which thread
 * entered which callback, and each thread when it is first seen.
 */
#include "watch.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/journal.h"
#include "common/words.h"
#include "dump.h"
#include "session.h"

#define NS_PER_S UINT64_C(1000000000)

/* At the end, for whoever reads the log to read on: a server that is told to end should. */
#define PATIENCE_MS 1000

_Atomic bool watch__data;

static struct {
    _Atomic(struct journal *) journal;
    struct berth_server *server;
    struct watch_options options;
    uint32_t workers;
    uint64_t start_ns;
    pthread_mutex_t opening;
    pthread_mutex_t lock; /* of the ring that all but workers share */
    _Atomic uint32_t threads_seen;
} the_watch = {.opening = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct journal *journal_now(void)
{
    return atomic_load_explicit(&the_watch.journal, memory_order_acquire);
}

/* -------------------------------------------------------------------------------- the four modes
 */

static void show_flow(struct journal_ring *ring, struct berth_conn *conn,
                      const struct berth_record *record)
{
    struct session *session = conn == NULL ? NULL : session_of(conn);
    struct entry *entry = journal_entry(ring, ENTRY_FLOW, words_event(record->event),
                                        session == NULL ? 0 : session->id, now_ns());
    bool an_end = record->event == BERTH_EVENT_OPENED || record->event == BERTH_EVENT_CLOSED;
    if (session != NULL && an_end) {
        session_ask_addresses(conn, session); /* by them the client's log finds this connection */
        entry->peer = session->peer;
        entry->local = session->local;
    }
    words_figures(entry, record);
    journal_done(ring);
}

/* Counted by the library; one that is just ending is among them. */
static uint64_t clients_open(void)
{
    struct berth_stats stats;
    berth_server_stats(the_watch.server, &stats);
    return stats.connections_open;
}

static void show_connection(struct journal_ring *ring, struct berth_conn *conn,
                            const struct berth_record *record)
{
    bool ends = record->event == BERTH_EVENT_CLOSED;
    if (!ends && record->event != BERTH_EVENT_ACCEPTED) {
        return;
    }
    struct session *session = session_of(conn);
    session_ask_addresses(conn, session);
    struct entry *entry =
        journal_entry(ring, ENTRY_CONNECTIONS, words_event(record->event), session->id, now_ns());
    entry->peer = session->peer;
    entry->local = session->local;
    if (ends) {
        entry_number(entry, KEY_MESSAGES, session->messages);
        entry_number(entry, KEY_OPEN, clients_open() - 1);
        words_figures(entry, record);
    } else {
        words_figures(entry, record);
        entry_number(entry, KEY_SLOT, words_slot(record->conn));
        entry_number(entry, KEY_GENERATION, words_generation(record->conn));
        entry_number(entry, KEY_OPEN, clients_open());
    }
    journal_done(ring);
}

/* The threads that this process has now. */
static uint64_t threads_alive(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *each; (each = readdir(folder)) != NULL;) {
        count += each->d_name[0] != '.' ? 1 : 0;
    }
    closedir(folder);
    return count;
}

static uint64_t thread_id(void)
{
    static _Thread_local uint64_t id;
    if (id == 0) {
        id = (uint64_t)syscall(SYS_gettid);
    }
    return id;
}

static void show_thread(struct journal_ring *ring, struct berth_conn *conn,
                        const struct berth_record *record)
{
    static _Thread_local bool seen;
    static const char *const callbacks[] = {
        [BERTH_CALLBACK_OPEN] = "on_open",
        [BERTH_CALLBACK_MESSAGES] = "on_messages",
        [BERTH_CALLBACK_DRAINED] = "on_drained",
        [BERTH_CALLBACK_CLOSE] = "on_close",
    };
    if (!seen) {
        seen = true;
        uint32_t used =
            atomic_fetch_add_explicit(&the_watch.threads_seen, 1, memory_order_relaxed) + 1;
        struct entry *entry = journal_entry(ring, ENTRY_THREADS, EVENT_NEW_THREAD, 0, now_ns());
        entry_number(entry, KEY_THREAD, thread_id());
        entry_number(entry, KEY_COUNT, used);
        entry_number(entry, KEY_THREADS, threads_alive());
        journal_done(ring);
    }
    struct entry *entry =
        journal_entry(ring, ENTRY_THREADS, EVENT_THREAD, session_of(conn)->id, now_ns());
    const char *callback = callbacks[record->value];
    entry_number(entry, KEY_THREAD, thread_id());
    entry_number(entry, KEY_SLOT, words_slot(record->conn));
    entry_number(entry, KEY_GENERATION, words_generation(record->conn));
    entry_text(entry, callback, strlen(callback));
    journal_done(ring);
}

/* An accept that failed is said whatever is watched, as in the seed. */
static void show_error(struct journal_ring *ring, const struct berth_record *record)
{
    struct entry *entry = journal_entry(ring, ENTRY_ERROR, EVENT_ACCEPT_FAILED, 0, now_ns());
    words_figures(entry, record);
    journal_done(ring);
}

void watch_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    static const uint8_t watch_of[] = {
#define WATCH_OF(constant, number, name, watch, text) [constant] = (watch),
        BERTH_EVENTS(WATCH_OF)
#undef WATCH_OF
    };
    (void)context;
    struct journal_ring *ring = journal_ring(journal_now(), record->worker);
    uint8_t watch = watch_of[record->event];
    if ((watch & BERTH_WATCH_FLOW) != 0 && journal_wants(ring, ENTRY_FLOW)) {
        show_flow(ring, conn, record);
    }
    if ((watch & BERTH_WATCH_CONNECTIONS) != 0 && journal_wants(ring, ENTRY_CONNECTIONS)) {
        show_connection(ring, conn, record);
    }
    if ((watch & BERTH_WATCH_THREADS) != 0 && journal_wants(ring, ENTRY_THREADS)) {
        show_thread(ring, conn, record);
    }
    if (record->event == BERTH_EVENT_ACCEPT_FAILED && ring != NULL) {
        show_error(ring, record);
    }
}

/* -------------------------------------------------------------------------------------- messages
 */

static void show_header(struct journal_ring *ring, uint64_t session,
                        const struct berth_message *message, uint64_t at_ns)
{
    if (message->header_bytes == 0) {
        return; /* the framing has none */
    }
    struct entry *entry = journal_entry(ring, ENTRY_DATA, EVENT_HEADER, session, at_ns);
    words_header(entry, message);
    journal_done(ring);
}

static void show_message(struct journal_ring *ring, uint64_t session,
                         const struct berth_message *message, const uint32_t *id)
{
    uint64_t at_ns = now_ns();
    show_header(ring, session, message, at_ns);
    struct entry *entry = journal_entry(ring, ENTRY_DATA, EVENT_MESSAGE, session, at_ns);
    if (id != NULL) {
        entry_number(entry, KEY_ID, *id);
    }
    entry_number(entry, KEY_BYTES, message->size);
    entry_text(entry, message->data, message->size);
    journal_done(ring);
}

void watch_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count,
                    uint32_t first_id, bool has_ids)
{
    struct journal_ring *ring = journal_ring(journal_now(), berth_conn_worker(conn));
    if (!journal_wants(ring, ENTRY_DATA)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t id = first_id + (uint32_t)i; /* wraps */
        show_message(ring, session_of(conn)->id, &messages[i], has_ids ? &id : NULL);
    }
}

/* ----------------------------------------------------------------------------- lines of our own
 */

void watch_line(enum entry_mode mode, enum entry_event event, const char *text)
{
    struct journal_ring *ring = journal_ring(journal_now(), the_watch.workers);
    if (!journal_wants(ring, mode)) {
        return;
    }
    size_t left = strlen(text);
    pthread_mutex_lock(&the_watch.lock);
    do { /* a long sentence goes on in the next line */
        size_t bytes = left < ENTRY_TEXT_BYTES ? left : ENTRY_TEXT_BYTES;
        struct entry *entry = journal_entry(ring, mode, event, 0, now_ns());
        entry_text(entry, text, bytes);
        journal_done(ring);
        text += bytes;
        left -= bytes;
    } while (left > 0);
    pthread_mutex_unlock(&the_watch.lock);
}

/* ------------------------------------------------------------------------------- what is watched
 */

/* The library's bits for what is shown. With a log, connections are always asked for: a failed
 * accept is said whatever is watched. */
static uint32_t mask_of(unsigned modes)
{
    static const struct {
        enum entry_mode mode;
        uint32_t watch;
    } masks[] = {
        {ENTRY_FLOW, BERTH_WATCH_FLOW},
        {ENTRY_CONNECTIONS, BERTH_WATCH_CONNECTIONS},
        {ENTRY_THREADS, BERTH_WATCH_THREADS},
    };
    uint32_t mask = BERTH_WATCH_CONNECTIONS | the_watch.options.always;
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        mask |= (modes & ENTRY_MODE_BIT(masks[i].mode)) != 0 ? masks[i].watch : 0;
    }
    return mask;
}

static void apply(struct journal *journal, unsigned modes)
{
    for (unsigned mode = 0; mode < ENTRY_MODES_COUNT; mode++) {
        if ((ENTRY_MODE_BIT(mode) & WATCH_MODES) != 0) {
            (void)journal_switch(journal, (enum entry_mode)mode,
                                 (modes & ENTRY_MODE_BIT(mode)) != 0);
        }
    }
    atomic_store_explicit(&watch__data, (modes & ENTRY_MODE_BIT(ENTRY_DATA)) != 0,
                          memory_order_relaxed);
    berth_server_watch(the_watch.server, mask_of(modes));
}

static struct journal *open_journal(void)
{
    char why[JOURNAL_WHY_BYTES];
    const struct journal_options options = {
        .program = "berthd",
        .version = BERTH_VERSION,
        .path = the_watch.options.path,
        .json = the_watch.options.json,
        .workers = the_watch.workers,
        .start_ns = the_watch.start_ns,
        .patience_ms = PATIENCE_MS,
    };
    struct journal *journal = journal_open(&options, why);
    if (journal == NULL) {
        fprintf(stderr, "berthd: --log: %s\n", why);
    }
    return journal;
}

/* The journal, opened if it is not yet. NULL, with a line on stderr, if it cannot
 * be. */
static struct journal *open_now(void)
{
    pthread_mutex_lock(&the_watch.opening);
    struct journal *journal = journal_now();
    if (journal == NULL) {
        journal = open_journal();
        atomic_store_explicit(&the_watch.journal, journal, memory_order_release);
    }
    pthread_mutex_unlock(&the_watch.opening);
    return journal;
}

bool watch_begin(const struct watch_options *options, struct berth_server *server)
{
    struct berth_plan plan;
    berth_plan(server, 0, &plan);
    the_watch.options = *options;
    the_watch.server = server;
    the_watch.workers = plan.workers;
    the_watch.start_ns = now_ns();
    berth_server_watch(server, options->always);
    return (options->path == NULL && options->modes == 0) || watch_set(options->modes);
}

const char *watch_path(void)
{
    const struct journal *journal = journal_now();
    return journal == NULL ? NULL : journal_path(journal);
}

bool watch_set(unsigned modes)
{
    struct journal *journal = open_now();
    if (journal != NULL) {
        apply(journal, modes);
    }
    return journal != NULL;
}

unsigned watch_get(void)
{
    const struct journal *journal = journal_now();
    return journal == NULL ? 0 : journal_modes(journal) & WATCH_MODES;
}

void watch_dump(void)
{
    struct journal *journal = open_now();
    if (journal != NULL) {
        struct dump_target to = {.ring = journal_ring(journal, the_watch.workers),
                                 .lock = &the_watch.lock,
                                 .now_ns = now_ns()};
        dump_recorders(the_watch.server, the_watch.workers, &to);
    }
}

void watch_end(void)
{
    struct journal *journal = atomic_exchange(&the_watch.journal, NULL);
    atomic_store_explicit(&watch__data, false, memory_order_relaxed);
    struct journal_end end = journal_close(journal);
    if (end.error != 0) {
        fprintf(stderr, "berthd: the log could not be written: %s\n", strerror(end.error));
    }
    if (end.lost > 0) {
        fprintf(stderr, "berthd: %llu lines of the log were lost\n", (unsigned long long)end.lost);
    }
}
