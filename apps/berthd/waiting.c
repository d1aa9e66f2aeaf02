/* The queue of kept messages: a list under a lock. A worker holds the lock to link a whole batch, a
 * taker to unlink some; nobody else's work is done under it.
 */
#include "waiting.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

bool waiting_init(struct waiting *waiting)
{
    pthread_condattr_t monotonic;
    waiting->first = NULL;
    waiting->last = &waiting->first;
    waiting->ended = false;
    if (pthread_mutex_init(&waiting->lock, NULL) != 0) {
        return false;
    }
    bool made = pthread_condattr_init(&monotonic) == 0 &&
                pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&waiting->changed, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (!made) {
        pthread_mutex_destroy(&waiting->lock);
    }
    return made;
}

void waiting_fini(struct waiting *waiting)
{
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
}

void waiting_put(struct waiting *waiting, const struct kept_list *list)
{
    if (list->first == NULL) {
        return;
    }
    bool several = list->first->next != NULL;
    pthread_mutex_lock(&waiting->lock);
    *waiting->last = list->first;
    waiting->last = list->last;
    pthread_mutex_unlock(&waiting->lock);
    if (several) {
        pthread_cond_broadcast(&waiting->changed);
    } else {
        pthread_cond_signal(&waiting->changed);
    }
}

/* Unlinks at most `most` from the front. Under the lock. */
static struct berth_kept *unlink_some(struct waiting *waiting, uint64_t most)
{
    struct berth_kept *first = waiting->first;
    struct berth_kept **end = &waiting->first;
    for (uint64_t i = 0; i < most && *end != NULL; i++) {
        end = &(*end)->next;
    }
    struct berth_kept *rest = *end;
    if (first != NULL) {
        *end = NULL;
    }
    waiting->first = rest;
    if (rest == NULL) {
        waiting->last = &waiting->first;
    }
    return first;
}

struct berth_kept *waiting_take(struct waiting *waiting, uint32_t most)
{
    pthread_mutex_lock(&waiting->lock);
    while (waiting->first == NULL && !waiting->ended) {
        pthread_cond_wait(&waiting->changed, &waiting->lock);
    }
    struct berth_kept *taken = waiting->ended ? NULL : unlink_some(waiting, most);
    pthread_mutex_unlock(&waiting->lock);
    return taken;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct berth_kept *waiting_take_due(struct waiting *waiting,
                                    uint64_t (*due)(const struct berth_kept *kept))
{
    struct berth_kept *taken = NULL;
    pthread_mutex_lock(&waiting->lock);
    while (taken == NULL && !waiting->ended) {
        if (waiting->first == NULL) {
            pthread_cond_wait(&waiting->changed, &waiting->lock);
            continue;
        }
        uint64_t at = due(waiting->first);
        if (now_ns() >= at) {
            taken = unlink_some(waiting, 1);
        } else {
            const struct timespec until = {(time_t)(at / NS_PER_S), (long)(at % NS_PER_S)};
            pthread_cond_timedwait(&waiting->changed, &waiting->lock, &until);
        }
    }
    pthread_mutex_unlock(&waiting->lock);
    return taken;
}

struct berth_kept *waiting_take_all(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    struct berth_kept *taken = unlink_some(waiting, UINT64_MAX);
    pthread_mutex_unlock(&waiting->lock);
    return taken;
}

void waiting_end(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    waiting->ended = true;
    pthread_cond_broadcast(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}
