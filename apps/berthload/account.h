/* What became of each message of a connection: its part of the ledger. */
#ifndef BERTHLOAD_ACCOUNT_H
#define BERTHLOAD_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

#include "common/ledger.h"
#include "common/mark.h"
#include "verify.h"

/* Reasons in the ledger: the causes of tally.h under their own numbers, then these. */
#define ACCOUNT_REASONS(X)                                                                         \
    X(ACCOUNT_SKIPPED, 64, "a later message was answered, and it was not")                         \
    X(ACCOUNT_SPOILT, 65, "its reply was corrupted")                                               \
    X(ACCOUNT_NOT_MADE, 66, "the connection could not be made")                                    \
    X(ACCOUNT_UNBEGUN, 67, "the run ended before the connection began")                            \
    X(ACCOUNT_CUT, 68, "the run ended while the connection was being made")                        \
    X(ACCOUNT_DAMAGED, 69, "not every bit is as it was: the CRC says so")                          \
    X(ACCOUNT_FOREIGN, 70, "it answers another connection's message")                              \
    X(ACCOUNT_BYTES, 71, "other bytes than were sent, and a CRC that fits them")                   \
    X(ACCOUNT_ID, 72, "its transmission id does not come after the one before")

enum account_reason {
#define ACCOUNT_REASON_ENUM(name, value, text) name = (value),
    ACCOUNT_REASONS(ACCOUNT_REASON_ENUM)
#undef ACCOUNT_REASON_ENUM
        ACCOUNT_REASONS_END
};

/* Ranges of skipped messages that are kept open, so that an answer that comes late is known for
 * what it is. A server that reorders does so among neighbours; with more, the oldest is given up,
 * and an answer to it counts as a duplicate. */
#define ACCOUNT_GAPS 16

struct account_range {
    uint64_t first;
    uint64_t last;
    uint64_t count; /* of messages: others may be between them */
};

/* Sums over all connections of a worker. */
struct account_totals {
    uint64_t scheduled;
    uint64_t refused[MARK_REFUSALS_END];
    uint64_t unknown[ACCOUNT_REASONS_END];
    uint64_t not_sent[ACCOUNT_REASONS_END];
    uint64_t exceptions[LEDGER_EXCEPTIONS];
    uint64_t singles[LEDGER_EXCEPTIONS]; /* of these, those that have a record */
    uint64_t ids;
    uint64_t late_bytes;
};

/* Belongs to its link, and is used again for the next connection. */
struct account {
    struct ledger *ledger; /* lent; and so are the two below */
    struct account_totals *totals;
    const struct message_plan *plan;
    uint16_t worker;
    uint32_t connection;
    uint64_t opened_ns;

    struct account_range answered;
    uint64_t answered_bytes; /* of right replies, with their ids */
    uint64_t answered_wire;  /* and with their frames */
    struct account_range refused[MARK_REFUSALS_END];
    struct account_range spoilt;

    struct account_range gaps[ACCOUNT_GAPS]; /* in order */
    uint32_t gaps_count;
    struct account_range given_up; /* gaps of which nothing is known any more */

    uint64_t received_wire; /* all bytes that came, as the library tells of them */
    uint64_t seen_wire;     /* of these, in frames that were handed over */
    uint64_t exceptions[LEDGER_EXCEPTIONS];
    uint64_t singles[LEDGER_EXCEPTIONS];
};

/* Begins anew with connection `connection`; the lent parts stay. */
void account_begin(struct account *account, uint32_t connection);

/* `count` replies were right, the last of them that of message `last`; bytes and wire are theirs.
 * O(1). */
void account_right(struct account *account, uint64_t last, uint64_t count, uint64_t bytes,
                   uint64_t wire);

/* A reply that was not the next right one. */
struct account_reply {
    enum reply_verdict verdict; /* the verifier's, which has not moved on */
    const struct berth_message *message;
    uint32_t outstanding; /* messages from the expected one on that are sent and not settled */
    uint64_t wire;        /* bytes of its frame */
};

/* What it came to. */
struct account_step {
    uint32_t settled; /* messages, from the expected one on, that nothing is waited for any more */
    bool answered;    /* rightly, though out of turn: the last of these, or an earlier one */
    bool wrong;
    bool unasked; /* it answers nothing that was sent: the connection has no order left */
};

/* Finds out what it is, writes that down, and moves the verifier on by what is settled. O(gaps), a
 * CRC and a comparison. */
struct account_step account_odd(struct account *account, struct verifier *verifier,
                                const struct account_reply *reply);

/* How a connection ended. */
struct account_end {
    uint64_t sent;
    uint64_t sent_bytes;
    uint64_t unanswered; /* of these, the last so many */
    uint64_t unsent;     /* of those planned */
    uint32_t reason;     /* for the last two: an enum cause, or 0 if both are 0 */
    uint32_t closed;     /* the library's reason */
    uint64_t now_ns;
};

/* Puts its lines into the ledger. */
void account_close(struct account *account, const struct verifier *verifier,
                   const struct account_end *end);

/* Messages that will not be sent, of a connection that was never made; connection 0: of several. */
void account_not_made(struct account *account, uint32_t connection, uint64_t messages,
                      enum account_reason reason);

void account_totals_merge(struct account_totals *into, const struct account_totals *from);

/* All refused, for whatever reason; all exceptions of a kind. */
uint64_t account_refused(const struct account_totals *totals);
uint64_t account_exceptions(const struct account_totals *totals, enum ledger_kind kind);

const char *account_reason_text(uint32_t reason);

#endif
