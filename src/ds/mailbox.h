/* A mailbox: many threads put, one takes. No locks, no memory of its own. */
#ifndef BERTH_DS_MAILBOX_H
#define BERTH_DS_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what is sent; in at most one mailbox at a time. */
struct mail {
    struct mail *next;
    uint32_t kind; /* the owner's: which struct this is embedded in */
};

/* Zeroed is empty and open. */
struct mailbox {
    _Atomic(struct mail *) top;
};

/* Puts one in. false when the mailbox is closed; then it is still the caller's. Any thread. */
bool mailbox_put(struct mailbox *box, struct mail *mail);

/* Takes all out, linked through next in the order in which they were put in; NULL if there are
 * none. The one taker. O(letters). */
struct mail *mailbox_take(struct mailbox *box);

/* Closes it for ever and takes out what is left; NULL if it was closed before. The one taker. */
struct mail *mailbox_close(struct mailbox *box);

static inline bool mailbox_is_empty(struct mailbox *box)
{
    return atomic_load(&box->top) == NULL;
}

#endif
