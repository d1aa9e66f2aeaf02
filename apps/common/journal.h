/* A program's log file: entries go in from any number of threads, lines come out of one. */
#ifndef COMMON_JOURNAL_H
#define COMMON_JOURNAL_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/entry.h"

struct journal;

struct journal_options {
    const char *program;   /* "berthd": in the first line, and in the name of a new file */
    const char *version;   /* in the first line */
    const char *path;      /* a file, or a folder in which to make one; NULL: stderr */
    bool json;             /* each line an object, instead of text in columns */
    unsigned modes;        /* ENTRY_MODE_BITs that are watched from the start */
    uint32_t workers;      /* each has a ring; the program's main thread has one more */
    uint32_t ring_entries; /* a power of two, of 256 bytes each; 0: 65,536. Touched as used */
    uint64_t start_ns;     /* CLOCK_MONOTONIC when t is 0, not in the future; 0: now */
    uint32_t patience_ms;  /* at the end, for somebody to read on; 0: 1,000 */
};

/* Room for a sentence on what went wrong. */
#define JOURNAL_WHY_BYTES 400

/* Opens the file and starts the thread that writes, which takes no signals. NULL, with a sentence
 * in `why` (JOURNAL_WHY_BYTES), if that cannot be. The texts of options are borrowed. Never waits,
 * not even for the other end of a fifo. */
struct journal *journal_open(const struct journal_options *options, char *why);

/* The file that it writes; NULL: stderr. */
const char *journal_path(const struct journal *journal);

/* What became of it. */
struct journal_end {
    uint64_t lines; /* written, the first one aside */
    uint64_t lost;  /* entries that were never written, for whatever reason */
    int error;      /* an errno: from then on nothing was written; 0: none */
    bool unread;    /* nobody took the last lines within patience_ms */
};

/* Writes all that waits, ends the thread and frees everything. The rings' threads must be through
 * with them. NULL is allowed. */
struct journal_end journal_close(struct journal *journal);

/* ---- rings: each is used by one thread only ---- */

#define JOURNAL_CACHE_LINE 64

/* How the writer sleeps while there is nothing to write. */
struct journal_sleep {
    _Atomic bool asleep; /* whoever makes it false posts `woken` */
    sem_t woken;
};

struct journal_ring {
    /* the thread that fills it */
    _Alignas(JOURNAL_CACHE_LINE) _Atomic uint64_t filled;
    uint64_t emptied_seen;
    _Atomic uint64_t lost;
    struct entry *entries;
    const _Atomic unsigned *modes;
    struct journal_sleep *sleep;
    uint64_t start_ns;
    uint32_t count; /* of entries; a power of two */
    uint16_t worker;
    bool in_spare;
    struct entry spare; /* where an entry goes that has no room */
    /* the thread that writes */
    _Alignas(JOURNAL_CACHE_LINE) _Atomic uint64_t emptied;
    uint64_t lost_said;
};

/* The ring of a worker, 0 to workers - 1, or with `workers` that of the main thread. NULL for a
 * journal that is NULL; then journal_wants is always false. */
struct journal_ring *journal_ring(struct journal *journal, uint32_t which);

/* Whether entries of a mode are wanted just now. Errors and summaries always are. */
static inline bool journal_wants(const struct journal_ring *ring, enum entry_mode mode)
{
    return ring != NULL &&
           (atomic_load_explicit(ring->modes, memory_order_relaxed) & ENTRY_MODE_BIT(mode)) != 0;
}

/* Begins an entry of the moment at_ns (CLOCK_MONOTONIC); conn 0: of no connection. Fill it with
 * entry_number, entry_text and its own fields, then end it. Never NULL and never waits: if the
 * ring is full the entry is counted as lost, which the log says. */
struct entry *journal_entry(struct journal_ring *ring, enum entry_mode mode, enum entry_event event,
                            uint64_t conn, uint64_t at_ns);
void journal_done(struct journal_ring *ring);

/* ---- what is watched: any thread ---- */

unsigned journal_modes(const struct journal *journal);

/* Turns a mode on or off. Returns whether it was otherwise before. */
bool journal_switch(struct journal *journal, enum entry_mode mode, bool on);

#endif
