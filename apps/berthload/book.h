/* The ledger of a run: --ledger. */
#ifndef BERTHLOAD_BOOK_H
#define BERTHLOAD_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ledger.h"
#include "options.h"
#include "tally.h"

struct book {
    struct ledger *ledger; /* owned; NULL: none */
    uint64_t run;          /* a number by which this run's messages are known */
    uint32_t client;       /* and this process: its id */
};

/* Opens the ledger that the options ask for, if they do, and chooses the run's number. The options
 * must be settled. false: it cannot be opened, and it has been said. */
bool book_open(struct book *book, const struct options *options);

/* Once the workers have ended: writes the end, with the totals, and closes. false: the ledger is
 * not whole, and it has been said. */
bool book_close(struct book *book, const struct options *options, const struct tally *tally);

/* Closes what book_close has not closed, as there was no run: such a ledger has no end. */
void book_leave(struct book *book);

#endif
