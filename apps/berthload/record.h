/* What a run writes to its log. */
#ifndef BERTHLOAD_RECORD_H
#define BERTHLOAD_RECORD_H

#include <berth/berth.h>

#include "common/journal.h"
#include "link.h"
#include "results.h"

/* Whether a connection's messages are to be recorded: because they are watched, or because it is
 * the one of
 * --flow. */
static inline bool record_wants_messages(const struct link *link)
{
    return link->ring != NULL && (link->followed || journal_wants(link->ring, ENTRY_FLOW) ||
                                  journal_wants(link->ring, ENTRY_DATA));
}

/* Opens the log that the options ask for, if they do: *journal is NULL if not. false: it cannot be
 * opened, and it has been said. */
bool record_open(const struct options *options, struct journal **journal);

/* Writes the summary to the log and ends it. false: not all of it could be written, and it has been
 * said. NULL is allowed, for both. */
bool record_close(struct journal *journal, const struct options *options,
                  const struct results *results);

/* What the library is to call record_event for, as things are watched now; and tells it so. */
void record_watch(const struct client *client);

/* The library's events (berth_config.on_event; context is the client): the flow. */
void record_event(void *context, struct berth_conn *conn, const struct berth_record *record);

/* The run is stopped before its end. On the main thread. */
void record_halt(const struct client *client, enum cause cause);

/* A connection was made, or has ended: for those who watch connections. On its worker. `open` and
 * `finished` count the others. */
void record_connected(const struct link *link, uint32_t open);
void record_closed(const struct link *link, enum berth_reason reason, uint32_t open,
                   uint32_t finished);

/* `count` replies came, of which the first `right` were verified; the verifier expects the one
 * behind those. On its worker; only if record_wants_messages. */
void record_replies(const struct link *link, const struct berth_message *replies, size_t count,
                    size_t right, uint64_t now_ns);

/* Something is not right: a line on the standard error, as complain has it, and one in the log,
 * whatever is watched. `format` goes on after "connection N". */
void record_complaint(const struct link *link, enum entry_event event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
