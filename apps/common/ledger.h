/* A ledger: the file in which a program accounts for every message. docs/LEDGER.md says what
 * stands in it and what must add up. */
#ifndef COMMON_LEDGER_H
#define COMMON_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a record in the file. */
#define LEDGER_RECORD_BYTES 64

/* Room for a sentence on what went wrong. */
#define LEDGER_WHY_BYTES 400

/* Exceptions of one connection that stand in the file one by one; further ones are counted. Enough
 * to see what is wrong, and a broken peer cannot fill the disk. */
#define LEDGER_SINGLES_MOST 1000

/* What a record is about. */
enum ledger_kind {
    /* the file */
    LEDGER_HEADER = 1, /* first: the format's number; count: TEXTs that follow */
    LEDGER_TEXT = 2,   /* lines "word value": settings, and what numbers mean */
    LEDGER_END = 4,    /* count: records before it */

    /* one connection: this, then its lines. first: run; last, count: opened and ended, monotonic
     * ns; bytes: id; wire: how many lines; reason: why it ended, in the library's words */
    LEDGER_CONNECTION = 3,

    /* lines of a client */
    LEDGER_SCHEDULED = 10,
    LEDGER_SENT = 11,
    LEDGER_NOT_SENT = 12, /* with a reason */
    LEDGER_ANSWERED = 13, /* rightly */
    LEDGER_REFUSED = 14,  /* with a reason: mark.h's */
    LEDGER_UNKNOWN = 15,  /* with a reason */
    LEDGER_IDS = 16,      /* transmission ids; bytes: their sum */

    /* lines of a server */
    LEDGER_RECEIVED = 20,
    LEDGER_DISPATCHED = 21,
    LEDGER_REJECTED = 22,  /* with a reason */
    LEDGER_MADE = 23,      /* replies */
    LEDGER_UNREPLIED = 24, /* with a reason */
    LEDGER_OUT = 25,       /* replies handed to the system whole */
    LEDGER_DROPPED = 26,   /* with a reason; bytes: handed over of a frame in part */
    LEDGER_REFUSALS = 27,
    LEDGER_REFUSALS_OUT = 28,
    LEDGER_PLAIN = 29,   /* total only: connections without marks; last: bytes handed over */
    LEDGER_LIBRARY = 30, /* total only: a counter of the library's, which the reason names */

    /* exceptions: first: the sequence; last: what was expected */
    LEDGER_DUPLICATED = 40,
    LEDGER_REORDERED = 41,
    LEDGER_CORRUPTED = 42, /* with a reason */
    LEDGER_UNASKED = 43,
    LEDGER_LATE = 44,
    LEDGER_GAP = 45,
    LEDGER_FOREIGN = 46,
    LEDGER_EXCEPTIONS_END,

    /* a line: exceptions of the kind that the reason names; bytes: those that stand by themselves
     */
    LEDGER_COUNTED = 50,

    LEDGER_TOTAL = 128, /* added to a line's kind: the sum over all connections */
};

#define LEDGER_EXCEPTIONS_FIRST LEDGER_DUPLICATED
#define LEDGER_EXCEPTIONS       (LEDGER_EXCEPTIONS_END - LEDGER_EXCEPTIONS_FIRST)

/* The library's counters: reasons of LEDGER_LIBRARY. */
enum ledger_library {
    LEDGER_MESSAGES_IN = 1,
    LEDGER_MESSAGES_OUT,
    LEDGER_BYTES_IN,
    LEDGER_BYTES_OUT,
    LEDGER_ACCEPTED,
    LEDGER_CLOSED,
};

struct ledger_record {
    uint8_t kind;
    uint8_t reason; /* 0: none */
    uint16_t worker;
    uint32_t client;
    uint32_t connection; /* the client's number of it; 0: not known, or of the whole file */
    uint32_t life;       /* at a server the low bits of the session's id; at a client 1 */
    uint64_t first;      /* sequences, first and last included; between them may be others */
    uint64_t last;
    uint64_t count; /* of messages */
    uint64_t bytes; /* of these */
    uint64_t wire;  /* the same with their frames */
};

/* Records that belong together: of one connection, or of a file's end. They go to the file in one
 * piece. */
#define LEDGER_PAGE_RECORDS 96

struct ledger_page {
    struct ledger_record key; /* what all have in common */
    size_t count;
    struct ledger_record records[LEDGER_PAGE_RECORDS];
};

/* A record more, filled from page->key. A full page, which no caller can fill, aborts. */
struct ledger_record *ledger_line(struct ledger_page *page, unsigned kind, unsigned reason);

/* The same, unless it counts nothing. */
void ledger_count(struct ledger_page *page, unsigned kind, unsigned reason, uint64_t count);

/* What stands in the header: lines "word value", for people and for whoever checks. */
#define LEDGER_TEXT_BYTES_MAX 16384

struct ledger_text {
    size_t length;
    char bytes[LEDGER_TEXT_BYTES_MAX];
};

/* Adds to it; what does not fit is left out whole. */
void ledger_say(struct ledger_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct ledger;

/* Opens and empties the file, writes its header, and starts the thread that writes. NULL, with a
 * sentence in `why` (LEDGER_WHY_BYTES), if that cannot be. Borrows. */
struct ledger *ledger_open(const char *path, const struct ledger_text *text, char *why);

/* Adds records, in a row. Never waits for the file. Any thread. */
void ledger_put(struct ledger *ledger, const struct ledger_record *records, size_t count);

/* Whether a record could not be written. Any thread. */
bool ledger_failed(struct ledger *ledger);

/* Writes what waits and, if nothing is missing, the totals and the end; frees it. NULL as totals:
 * this ledger gets no end. false, with a sentence in `why` (LEDGER_WHY_BYTES), if a record is
 * missing. NULL is allowed. */
bool ledger_close(struct ledger *ledger, const struct ledger_page *totals, char *why);

#endif
