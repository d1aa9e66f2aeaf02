/* Threads: a thin cover of pthreads with what every worker needs (a name for debuggers, no
 * signals), and latches, on which one thread waits for others, with a deadline on the monotonic
 * clock. Used at start and end only.
 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "base/assert.h"

#define MS_PER_S  1000
#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits the mask */
    int result = pthread_create(out, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0) {
        (void)pthread_setname_np(*out, name); /* a longer name than 15 bytes is not set: no harm */
    }
    return result;
}

int thread_own_descriptors(void)
{
    return unshare(CLONE_FILES) < 0 ? -errno : 0;
}

void latch_init(struct latch *latch)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&latch->lock, NULL);
    pthread_cond_init(&latch->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    latch->count = 0;
}

void latch_fini(struct latch *latch)
{
    pthread_cond_destroy(&latch->changed);
    pthread_mutex_destroy(&latch->lock);
}

void latch_add(struct latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    latch->count++;
    pthread_cond_broadcast(&latch->changed);
    pthread_mutex_unlock(&latch->lock);
}

static struct timespec time_in(int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % MS_PER_S * NS_PER_MS;
    until.tv_sec += (time_t)(ms / MS_PER_S + ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    return until;
}

bool latch_wait(struct latch *latch, uint32_t wanted, int64_t timeout_ms)
{
    struct timespec until = time_in(timeout_ms < 0 ? 0 : timeout_ms);
    pthread_mutex_lock(&latch->lock);
    int result = 0;
    while (latch->count < wanted && result != ETIMEDOUT) {
        result = timeout_ms < 0 ? pthread_cond_wait(&latch->changed, &latch->lock)
                                : pthread_cond_timedwait(&latch->changed, &latch->lock, &until);
    }
    bool reached = latch->count >= wanted;
    pthread_mutex_unlock(&latch->lock);
    return reached;
}

uint32_t thread_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1; /* more of them than a set has room for */
    }
    BERTH_ASSERT(CPU_COUNT(&set) >= 1);
    return (uint32_t)CPU_COUNT(&set);
}
