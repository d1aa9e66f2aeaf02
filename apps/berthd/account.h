/* What became of each message of a connection: its part of the ledger. */
#ifndef BERTHD_ACCOUNT_H
#define BERTHD_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

#include "common/ledger.h"
#include "common/mark.h"

/* Reasons in the ledger: the library's for ends under their own numbers, then these. */
#define ACCOUNT_REASONS(X)                                                                         \
    X(ACCOUNT_DAMAGED, 64, "not every bit is as it was: the CRC says so")                          \
    X(ACCOUNT_FOREIGN, 65, "it is another connection's message")                                   \
    X(ACCOUNT_NOT_ASKED, 66, "--reply leaves its reply out")                                       \
    X(ACCOUNT_RELEASED, 67, "the handler let it go without a reply")                               \
    X(ACCOUNT_UNTRACED, 68, "there was no memory to follow its reply")

enum account_reason {
#define ACCOUNT_REASON_ENUM(name, value, text) name = (value),
    ACCOUNT_REASONS(ACCOUNT_REASON_ENUM)
#undef ACCOUNT_REASON_ENUM
        ACCOUNT_REASONS_END
};

struct account_amount {
    uint64_t count; /* of messages */
    uint64_t bytes; /* of these */
    uint64_t wire;  /* and with their frames; of replies this alone is counted */
};

/* Frames of one size in a row. */
struct account_run {
    uint32_t frame_bytes;
    uint32_t count;
    bool refusals;
};

/* The frames that are queued, or will be, in the order in which they leave. */
#define ACCOUNT_RUNS 8 /* within the account; with replies of one size one is enough */

struct account_frames {
    struct account_run *runs; /* NULL: those below */
    uint32_t room;
    uint32_t first;
    uint32_t count;
    struct account_run own[ACCOUNT_RUNS];
};

/* Lies in the connection's space, behind the session; zeroed when it is opened. */
struct account {
    uint64_t run;      /* whose messages these are, from the first mark on */
    uint64_t next;     /* the sequence expected; 0: no mark has come */
    uint64_t sequence; /* the first one that came */
    uint32_t client;
    uint32_t connection;

    struct account_amount received;
    struct account_amount dispatched;
    struct account_amount damaged; /* rejected */
    struct account_amount foreign;
    uint64_t asked; /* of those dispatched, which are to be answered */
    struct account_amount made;
    uint64_t released;
    struct account_amount out;
    struct account_amount refusals;
    struct account_amount refusals_out;
    uint64_t part; /* bytes of a frame that was handed over in part */

    uint64_t ids; /* of replies asked for */
    uint64_t ids_sum;
    uint32_t first_id;
    uint32_t last_id;

    struct account_frames frames;
    bool untraced;
    uint64_t exceptions[LEDGER_EXCEPTIONS];
    uint64_t singles[LEDGER_EXCEPTIONS];
};

/* Of the connections of a worker. */
struct account_sums {
    uint64_t connections;
    struct account_amount received;
    struct account_amount dispatched;
    struct account_amount rejected[ACCOUNT_REASONS_END];
    struct account_amount made;
    uint64_t unreplied[ACCOUNT_REASONS_END];
    struct account_amount out;
    struct account_amount dropped[ACCOUNT_REASONS_END]; /* bytes: the parts */
    struct account_amount refusals;
    struct account_amount refusals_out;
    uint64_t ids;
    uint64_t ids_sum;
    uint64_t exceptions[LEDGER_EXCEPTIONS];
    uint64_t singles[LEDGER_EXCEPTIONS];
};

/* What a message is, by its mark. */
struct account_look {
    enum account_reason reject; /* 0: to be dispatched */
    enum ledger_kind exception; /* 0: none */
    uint64_t sequence;          /* that it names; 0: none can be believed */
    uint64_t expected;
};

/* Counts a message that was received. Borrows it; costs a CRC of it. Pure, as all that follow. */
struct account_look account_receive(struct account *account, const struct berth_message *message,
                                    uint32_t delimiter_bytes);

/* Counts a message that was given to the handler, and whether it is to be answered. */
void account_dispatch(struct account *account, const struct berth_message *message,
                      uint32_t delimiter_bytes, bool asked);

/* A reply's frame of so many bytes will leave behind all before it: `made` already, or when its
 * message was kept and account_answered comes; for a message of transmission id `id`. Without
 * memory to follow it the account is untraced, and says so. O(1). */
void account_reply(struct account *account, uint32_t frame_bytes, uint32_t id, bool made);
void account_answered(struct account *account, uint64_t count, uint64_t wire);
void account_released(struct account *account, uint64_t count);

/* A refusal was made. */
void account_refuse(struct account *account, uint32_t frame_bytes);

/* The system took bytes of what is queued. O(runs of frames). */
void account_sent(struct account *account, uint64_t bytes);

/* Whether a mark came on it, whole or damaged: what has ended has lines of its own then. */
bool account_is_marked(const struct account *account);

/* The connection has ended: its lines. The page's key is filled in but for what the account knows.
 */
void account_lines(const struct account *account, enum berth_reason reason,
                   struct ledger_page *page);

/* Adds it to the sums of its worker. */
void account_add(struct account_sums *sums, const struct account *account,
                 enum berth_reason reason);
void account_sums_merge(struct account_sums *into, const struct account_sums *from);
void account_sums_lines(const struct account_sums *sums, struct ledger_page *page);

/* Frees what it holds. */
void account_fini(struct account *account);

const char *account_reason_text(uint32_t reason);

#endif
