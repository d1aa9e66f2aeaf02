/* The connections of a run. */
#ifndef BERTHLOAD_CLIENT_H
#define BERTHLOAD_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

#include "account.h"
#include "book.h"
#include "messages.h"
#include "options.h"
#include "pace.h"
#include "resolve.h"
#include "stage.h"
#include "tally.h"
#include "verify.h"

struct link;
struct journal;
struct console;

/* Both clocks at one moment. */
struct moment {
    uint64_t wall_ns;
    uint64_t cpu_ns;
};

struct client {
    const struct options *options; /* lent, like addresses */
    const struct addresses *addresses;
    struct journal *journal; /* the log; NULL: none. Lent, like console */
    struct console *console; /* who gives commands; NULL: nobody */
    const struct book *book; /* the ledger; NULL: none. Lent */
    struct berth_protocol protocol;
    struct berth_server *server;
    struct message_plan plan;
    uint32_t workers;
    struct tally *tallies;    /* one per worker */
    struct pace *paces;       /* one per worker */
    struct link *links;       /* one per connection at once; used again by the next one */
    struct account *accounts; /* one per link; NULL: no ledger */
    uint64_t *stamps;         /* when each outstanding message was sent: pipeline per link */
    uint64_t build_ns;        /* what it took to build the texts; not part of the run */
    uint64_t deadline_ns;     /* nothing is sent from here on (--duration); UINT64_MAX: never */
    uint64_t started_ns;

    /* From the first message to the last answer; set once each. */
    atomic_bool begun;
    struct moment begin;
    struct moment end;

    /* With --idle: stage.c. */
    atomic_uint stage;        /* an enum stage */
    _Atomic uint32_t unheard; /* connections whose first message is not answered, nor will be */
    bool visit_due;           /* the connections are to be told of the stage */
    uint64_t opening_ns;      /* what it took until all were open */
    uint64_t first_ns;        /* and then, until each had its first answer */

    atomic_uint halt;            /* an enum cause: stop sending, because of it; CAUSE_NONE: go on */
    _Atomic uint32_t open;       /* connections now */
    _Atomic uint32_t most;       /* and the most at once */
    _Atomic uint32_t asking;     /* connections now that still have to do with messages */
    _Atomic uint32_t unfinished; /* connections that still have to do with messages */
    _Atomic uint32_t over;       /* connections that have ended, or could not be made */
    _Atomic uint32_t unended;    /* links that are not over */
};

/* Reserves everything and opens the connections as far as they can be before the start. On
 * failure `why` says what; the client can then only be freed. Zero *client before, but for
 * journal, console and book. */
bool client_make(struct client *client, const struct options *options,
                 const struct addresses *addresses, struct berth_error *why);

/* Starts the workers. When all connections are over they stop by themselves. */
bool client_start(struct client *client, struct berth_error *why);

/* Stops sending; connections end when what they have sent is answered. The first cause stays. On
 * the main thread. */
void client_halt(struct client *client, enum cause cause);

/* All tallies together, once the workers have ended. What never came to an end is counted as
 * failed here. */
void client_sum(struct client *client, struct tally *out);

void client_free(struct client *client);

#endif
