/* A queue of kept messages between the workers and whoever answers. */
#ifndef BERTHD_WAITING_H
#define BERTHD_WAITING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

/* Linked through kept->next, first in, first out. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* on the monotonic clock */
    struct berth_kept *first;
    struct berth_kept **last; /* where the next one is linked */
    bool ended;
};

/* Some messages, linked; what a worker gathers in one callback. */
struct kept_list {
    struct berth_kept *first;
    struct berth_kept **last;
};

/* false if the system refuses. */
bool waiting_init(struct waiting *waiting);
void waiting_fini(struct waiting *waiting);

static inline void kept_list_init(struct kept_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static inline void kept_list_add(struct kept_list *list, struct berth_kept *kept)
{
    kept->next = NULL;
    *list->last = kept;
    list->last = &kept->next;
}

/* Puts a list at the end; wakes as many takers as it has messages. Any thread. */
void waiting_put(struct waiting *waiting, const struct kept_list *list);

/* Takes at most `most` messages from the front, linked; waits for the first one. NULL: it has
 * ended. Any thread. */
struct berth_kept *waiting_take(struct waiting *waiting, uint32_t most);

/* Takes the first message once it is due: not before the time `due(message)`, in ns of the
 * monotonic clock. Messages must be due in the order in which they were put. NULL: it has ended. */
struct berth_kept *waiting_take_due(struct waiting *waiting,
                                    uint64_t (*due)(const struct berth_kept *kept));

/* What is left, without waiting. */
struct berth_kept *waiting_take_all(struct waiting *waiting);

/* Lets every taker return NULL. */
void waiting_end(struct waiting *waiting);

#endif
