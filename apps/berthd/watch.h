/* What berthd shows of its work: --watch, --log, SIGUSR1, and the console's T and F. */
#ifndef BERTHD_WATCH_H
#define BERTHD_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "common/entry.h"

/* What --watch takes. */
#define WATCH_MODES                                                                                \
    (ENTRY_MODE_BIT(ENTRY_FLOW) | ENTRY_MODE_BIT(ENTRY_CONNECTIONS) | ENTRY_MODE_BIT(ENTRY_DATA) | \
     ENTRY_MODE_BIT(ENTRY_THREADS))

struct watch_options {
    unsigned modes;   /* ENTRY_MODE_BITs, of WATCH_MODES */
    const char *path; /* a file, or a folder for one; NULL: stderr */
    bool json;
    uint32_t always; /* BERTH_WATCH_ bits that somebody needs whatever is shown */
};

/* The library's on_event: set it before berth_server_create. */
void watch_event(void *context, struct berth_conn *conn, const struct berth_record *record);

/* Once the server is created: opens the log if the options ask for one, and watches what they say.
 * Borrows the server until watch_end, and options->path. false, with a line on stderr that names
 * the option, if the log cannot be opened. Main thread. */
bool watch_begin(const struct watch_options *options, struct berth_server *server);

/* The log's file; NULL: there is none. */
const char *watch_path(void);

/* Watches these modes from now on, and no others. The log is opened if it was not. false if that
 * cannot be; a line on stderr says why. Any thread but workers, until watch_end. */
bool watch_set(unsigned modes);
unsigned watch_get(void);

/* Writes what the flight recorders of all workers hold, by connection. Any thread but workers. */
void watch_dump(void);

/* Writes what waits, says what was lost, closes the log. No worker may run any more. */
void watch_end(void);

/* A line of the program's own: a sentence. Into the log, if there is one. Any thread. */
void watch_line(enum entry_mode mode, enum entry_event event, const char *text);

/* ---- messages, for handlers ---- */

extern _Atomic bool watch__data;

/* Whether messages are to be shown. One load and a branch: ask once a batch. Any thread. */
static inline bool watch_wants_data(void)
{
#ifdef BERTH_WITHOUT_WATCHING /* only to measure what this costs */
    return false;
#else
    return __builtin_expect(atomic_load_explicit(&watch__data, memory_order_relaxed), false);
#endif
}

/* Shows messages that came: each one's header, then its text, and if they have one its transmission
 * id, counted up from first_id. Inside the callback; borrows them. */
void watch_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count,
                    uint32_t first_id, bool has_ids);

#endif
