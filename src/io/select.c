/* Choosing a backend, and what of the kernel it may use.
 *
 * The self-test (trial.c) is run with every feature. If it fails and a feature that the ring can do
 * without may be the reason, it is run again without that one, and so on, until it passes or nobody
 * is left to blame; then the choice falls on epoll. A feature that is given up stays given up: it
 * has not been seen to work.
 *
 * Each run takes milliseconds, and there are six at most. A kernel that forgets operations costs a
 * second a run; it is not given more of them than PATIENCE_NS.
 */
#include "io/select.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/assert.h"
#include "io/trial.h"

/* Who starts a server waits for this. */
#define PATIENCE_NS UINT64_C(2000000000)
#define SECOND_NS   UINT64_C(1000000000)

/* Why a feature is off: a negative errno, or one of these. */
#define TURNED_OFF   1
#define WRONG_RESULT 0

struct search {
    uint32_t off;
    int reasons[IO_FEATURES_COUNT];
    struct trial_result trial;
};

const char *io_feature_name(enum io_feature feature)
{
    switch (feature) {
#define IO_FEATURE_CASE(id, name, needed, since)                                                   \
    case IO_FEATURE_##id:                                                                          \
        return name;
        IO_FEATURES(IO_FEATURE_CASE)
#undef IO_FEATURE_CASE
    }
    BERTH_UNREACHABLE();
}

/* Adds to the line; what does not fit is cut off. */
__attribute__((format(printf, 2, 3))) static void say(struct io_selection *out, const char *format,
                                                      ...)
{
    size_t used = strlen(out->why);
    va_list list;
    va_start(list, format);
    (void)vsnprintf(out->why + used, sizeof out->why - used, format, list);
    va_end(list);
}

static void say_reason(struct io_selection *out, int reason)
{
    char text[64];
    say(out, ": %s",
        reason == TURNED_OFF     ? "turned off"
        : reason == WRONG_RESULT ? "wrong result"
                                 : strerror_r(-reason, text, sizeof text));
}

/* "a, b: why; c: why": neighbours with one reason share it. */
static void say_features(struct io_selection *out, const struct search *search)
{
    say(out, search->off == 0 ? "every feature" : "without ");
    for (uint32_t rest = search->off; rest != 0; rest &= rest - 1) {
        uint32_t place = (uint32_t)__builtin_ctz(rest);
        uint32_t others = rest & (rest - 1);
        bool shared =
            others != 0 && search->reasons[__builtin_ctz(others)] == search->reasons[place];
        say(out, "%s", io_feature_name(1u << place));
        if (!shared) {
            say_reason(out, search->reasons[place]);
        }
        say(out, shared ? ", " : others != 0 ? "; " : "");
    }
}

/* Uring does not work here. */
static void refuse(struct io_selection *out, enum io_choice choice, const char *failure, int reason)
{
    bool automatic = choice == IO_CHOOSE_AUTO;
    *out = (struct io_selection){.backend = automatic ? &io_backend_epoll : NULL};
    say(out, "backend %s: %s", automatic ? "epoll" : "uring", failure);
    say_reason(out, reason);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* A feature goes with those that are built on it. */
static void give_up(struct search *search, uint32_t features, int reason)
{
    if ((features & IO_FEATURE_SINGLE_ISSUER) != 0) {
        features |= IO_FEATURE_DEFER_TASKRUN;
    }
    for (uint32_t rest = features & ~search->off; rest != 0; rest &= rest - 1) {
        search->reasons[__builtin_ctz(rest)] = reason;
    }
    search->off |= features;
}

/* Whether the trial passes without some of the features. `off` then has those, and the trial's
 * failure is the last one. */
static bool find_features(struct search *search)
{
    uint64_t until_ns = clock_ns() + PATIENCE_NS;
    do {
        trial_run(search->off, &search->trial);
        if (search->trial.failure == NULL) {
            return true;
        }
        uint32_t suspects = search->trial.suspects & ~(search->off | IO_FEATURES_NEEDED);
        if (suspects == 0) {
            return false;
        }
        give_up(search, 1u << (31 - __builtin_clz(suspects)), search->trial.error); /* the last */
    } while (clock_ns() < until_ns); /* at most once for each feature */
    return false;
}

void io_select(enum io_choice choice, uint32_t features_off, struct io_selection *out)
{
    BERTH_ASSERT((features_off & ~IO_FEATURES_ALL) == 0);
    *out = (struct io_selection){.backend = &io_backend_epoll};
    if (choice == IO_CHOOSE_EPOLL) {
        say(out, "backend epoll: asked for");
        return;
    }
    uint32_t needed = features_off & IO_FEATURES_NEEDED;
    if (needed != 0) {
        refuse(out, choice, io_feature_name(needed & -needed), TURNED_OFF);
        return;
    }
    struct search search = {.off = 0};
    give_up(&search, features_off, TURNED_OFF);
    if (!find_features(&search)) {
        refuse(out, choice, search.trial.failure, search.trial.error);
        return;
    }
    struct utsname name;
    out->backend = &io_backend_uring;
    out->features_off = search.off;
    say(out, "backend uring: kernel %s passed the self-test (",
        uname(&name) == 0 ? name.release : "?");
    say_features(out, &search);
    say(out, ")");
}

void io_select_for(enum io_choice choice, uint32_t workers, uint32_t receive_count,
                   struct io_selection *out)
{
    if (out->backend != &io_backend_uring) {
        return;
    }
    struct trial_result result = {.features_off = out->features_off};
    trial_rings(workers, receive_count, &result);
    if (result.failure != NULL) {
        refuse(out, choice, result.failure, result.error);
        say(out, " (a ring for each of %u workers)", workers);
    }
}
