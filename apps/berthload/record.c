/* What a run writes to its log (apps/common/journal.h). Each connection's events go through its
 * worker's ring, so nothing here waits; where a mode is not watched the cost is the look at it.
 * The flow is the library's events, and berthload's own "verified"; the library brings them while
 * somebody watches, and each then has a clock reading of its own, not the turn's.
 * Errors are written whatever is watched, if there is a log file: on the standard error, which is
 * the log when only --watch is given, they stand already. The journal is main's. */
#include "record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "common/little.h"
#include "common/words.h"
#include "complain.h"
#include "report.h"

#define TEXT_BYTES 400

bool record_open(const struct options *options, struct journal **journal)
{
    char why[JOURNAL_WHY_BYTES];
    struct journal_options wanted = {
        .program = "berthload",
        .version = BERTH_VERSION,
        .path = options->log,
        .json = options->log_json,
        .modes = options->watch,
        .workers = options->workers,
    };
    *journal = NULL;
    if (options->log == NULL && options->watch == 0 && options->flow == 0) {
        return true;
    }
    *journal = journal_open(&wanted, why);
    if (*journal == NULL) {
        fprintf(stderr, "berthload: --log: %s\n", why);
    }
    return *journal != NULL;
}

/* The summary, a line of it an entry. */
static void write_summary(struct journal_ring *ring, const struct results *results)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL) {
        return;
    }
    report_write(results, false, memory);
    fclose(memory);
    uint64_t now = clock_now_ns();
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, "\n");
        entry_text(journal_entry(ring, ENTRY_SUMMARY, EVENT_NOTE, 0, now), at, length);
        journal_done(ring);
        at += length + (at[length] == '\n' ? 1 : 0);
    }
    free(text);
}

bool record_close(struct journal *journal, const struct options *options,
                  const struct results *results)
{
    char name[400];
    if (journal == NULL) {
        return true;
    }
    const char *path = journal_path(journal);
    snprintf(name, sizeof name, "%s", path != NULL ? path : "the standard error");
    if (results != NULL && path != NULL) {
        write_summary(journal_ring(journal, options->workers), results);
    }
    struct journal_end end = journal_close(journal);
    if (end.error != 0) {
        fprintf(stderr, "berthload: --log: %s could not be written: %s\n", name,
                strerror(end.error));
    } else if (end.lost > 0) {
        fprintf(stderr, "berthload: --log: %" PRIu64 " lines are missing in %s: %s\n", end.lost,
                name, end.unread ? "nobody read it" : "it could not be written as fast");
    }
    return end.error == 0;
}

/* ---- flow ---- */

void record_watch(const struct client *client)
{
    unsigned modes = client->journal != NULL ? journal_modes(client->journal) : 0;
    bool flow = (modes & ENTRY_MODE_BIT(ENTRY_FLOW)) != 0 || client->options->flow != 0;
    /* With a log, connections always: attempts that fail are written whatever is watched. */
    uint32_t mask = flow ? BERTH_WATCH_FLOW : client->journal != NULL ? BERTH_WATCH_CONNECTIONS : 0;
    /* And with a ledger the bytes that come: link_on_event. */
    berth_server_watch(client->server, mask | (client->book != NULL ? BERTH_WATCH_DATA : 0));
}

/* An attempt that failed, of which more may follow, so that complain has not said it. */
static void write_failure(const struct link *link, const struct berth_record *record)
{
    struct entry *entry = journal_entry(link->ring, ENTRY_ERROR, words_event(record->event),
                                        link->number, clock_now_ns());
    words_figures(entry, record);
    journal_done(link->ring);
}

/* The system forgets addresses when a peer is gone, so they are asked for at the beginning. */
static void learn_addresses(struct link *link, struct berth_conn *conn)
{
    (void)berth_conn_local(conn, &link->local); /* what is not known is not written */
    (void)berth_conn_peer(conn, &link->peer);
}

static void watch_link(struct link *link, struct berth_conn *conn,
                       const struct berth_record *record)
{
    if (record->event == BERTH_EVENT_CONNECT_FAILED && link->client->options->log != NULL) {
        write_failure(link, record);
    }
    if (record->event == BERTH_EVENT_OPENED) {
        learn_addresses(link, conn);
    }
    if (!link->followed && !journal_wants(link->ring, ENTRY_FLOW)) {
        return;
    }
    struct entry *entry = journal_entry(link->ring, ENTRY_FLOW, words_event(record->event),
                                        link->number, clock_now_ns());
    words_figures(entry, record);
    if (record->event == BERTH_EVENT_OPENED || record->event == BERTH_EVENT_CLOSED) {
        entry->local = link->local;
        entry->peer = link->peer;
    } else if (record->event == BERTH_EVENT_CONNECT_STARTED) {
        const struct addresses *addresses = link->client->addresses;
        entry->peer = addresses->list[link->tries % addresses->count];
    } else if (record->event == BERTH_EVENT_QUEUED) {
        /* Of a batch's answers the library tells afterwards, otherwise of each as it is queued. */
        uint64_t next = link->next.index;
        entry_number(entry, KEY_INDEX, link->filling ? next : next - record->count);
    }
    journal_done(link->ring);
}

void record_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    const struct client *client = context;
    struct journal_ring *ring = journal_ring(client->journal, record->worker);
    struct link *link = conn != NULL ? berth_conn_user(conn) : NULL;
    if (ring == NULL) {
        return;
    }
    if (link != NULL) {
        watch_link(link, conn, record);
    } else if (journal_wants(ring, ENTRY_FLOW)) { /* the worker's own */
        words_figures(
            journal_entry(ring, ENTRY_FLOW, words_event(record->event), 0, clock_now_ns()), record);
        journal_done(ring);
    }
}

/* ---- connections ---- */

static struct entry *begin_connection(const struct link *link, enum entry_event event)
{
    struct entry *entry =
        journal_entry(link->ring, ENTRY_CONNECTIONS, event, link->number, clock_now_ns());
    entry->local = link->local;
    entry->peer = link->peer;
    return entry;
}

void record_connected(const struct link *link, uint32_t open)
{
    if (journal_wants(link->ring, ENTRY_CONNECTIONS)) {
        struct entry *entry = begin_connection(link, EVENT_CONNECTED);
        entry_number(entry, KEY_OPEN, open);
        journal_done(link->ring);
    }
}

void record_closed(const struct link *link, enum berth_reason reason, uint32_t open,
                   uint32_t finished)
{
    if (journal_wants(link->ring, ENTRY_CONNECTIONS)) {
        struct entry *entry = begin_connection(link, EVENT_CLOSED);
        entry->reason = berth_reason_text(reason);
        entry_number(entry, KEY_MESSAGES, link->sent);
        entry_number(entry, KEY_OPEN, open);
        entry_number(entry, KEY_FINISHED, finished);
        journal_done(link->ring);
    }
}

/* ---- messages ---- */

/* The transmission id in front of a reply, little-endian; false if there is none. */
static bool read_id(const struct link *link, const struct berth_message *reply, uint32_t *id)
{
    if (!link->verifier.with_id || reply->size < REPLY_ID_BYTES) {
        return false;
    }
    *id = little_get32(reply->data);
    return true;
}

static void write_verified(const struct link *link, const struct berth_message *reply,
                           uint64_t index, uint64_t now_ns)
{
    uint32_t id = 0;
    struct entry *entry =
        journal_entry(link->ring, ENTRY_FLOW, EVENT_VERIFIED, link->number, now_ns);
    entry_number(entry, KEY_INDEX, index);
    if (read_id(link, reply, &id)) {
        entry_number(entry, KEY_ID, id);
    }
    entry_number(entry, KEY_BYTES, reply->size);
    journal_done(link->ring);
}

/* As the seed's client: the prefix, then id and text. */
static void write_data(const struct link *link, const struct berth_message *reply, uint64_t index,
                       uint64_t now_ns)
{
    const uint8_t *bytes = reply->data;
    uint32_t id = 0;
    uint32_t id_bytes = read_id(link, reply, &id) ? REPLY_ID_BYTES : 0;
    struct entry *entry;
    if (reply->header_bytes > 0) {
        entry = journal_entry(link->ring, ENTRY_DATA, EVENT_HEADER, link->number, now_ns);
        words_header(entry, reply);
        journal_done(link->ring);
    }
    entry = journal_entry(link->ring, ENTRY_DATA, EVENT_MESSAGE, link->number, now_ns);
    entry_number(entry, KEY_INDEX, index);
    if (id_bytes > 0) {
        entry_number(entry, KEY_ID, id);
    }
    entry_number(entry, KEY_BYTES, reply->size);
    entry_text(entry, bytes + id_bytes, reply->size - id_bytes);
    journal_done(link->ring);
}

void record_replies(const struct link *link, const struct berth_message *replies, size_t count,
                    size_t right, uint64_t now_ns)
{
    bool flow = link->followed || journal_wants(link->ring, ENTRY_FLOW);
    bool data = journal_wants(link->ring, ENTRY_DATA);
    uint64_t first = link->verifier.expected.index - right;
    for (size_t i = 0; i < count; i++) {
        if (data) {
            write_data(link, &replies[i], first + i, now_ns);
        }
        if (flow && i < right) {
            write_verified(link, &replies[i], first + i, now_ns);
        }
    }
}

/* ---- errors ---- */

void record_complaint(const struct link *link, enum entry_event event, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    complain("connection %" PRIu32 "%s", link->number, text);
    if (link->ring != NULL && link->client->options->log != NULL) {
        const char *sentence = text + strspn(text, ", ");
        struct entry *entry =
            journal_entry(link->ring, ENTRY_ERROR, event, link->number, clock_now_ns());
        entry_text(entry, sentence, strlen(sentence));
        journal_done(link->ring);
    }
}

void record_halt(const struct client *client, enum cause cause)
{
    struct journal_ring *ring = journal_ring(client->journal, client->workers);
    if (ring == NULL || client->options->log == NULL) {
        return;
    }
    /* Who closes the run is content with it. */
    enum entry_mode mode = cause == CAUSE_CLOSE ? ENTRY_SUMMARY : ENTRY_ERROR;
    struct entry *entry = journal_entry(ring, mode, EVENT_STOPPED, 0, clock_now_ns());
    entry->reason = cause_text(cause);
    journal_done(ring);
}
