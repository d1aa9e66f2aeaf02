/* Threads and latches: a name and no signals for the thread, and waits that end when they should.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "refuse.h"

struct report {
    struct latch go;
    struct latch done;
    char name[32];
    sigset_t mask;
};

static void *run(void *argument)
{
    struct report *report = argument;
    (void)latch_wait(&report->go, 1, -1);
    pthread_sigmask(SIG_BLOCK, NULL, &report->mask);
    (void)pthread_getname_np(pthread_self(), report->name, sizeof report->name);
    latch_add(&report->done);
    return report;
}

static void a_thread_has_a_name_and_no_signals(void **state)
{
    (void)state;
    struct report report = {.name = ""};
    sigset_t before;
    sigset_t after;
    pthread_t thread;
    void *result = NULL;
    latch_init(&report.go);
    latch_init(&report.done);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(thread_start(&thread, "berth-test", run, &report), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_false(latch_wait(&report.done, 1, 1)); /* it waits for go */
    latch_add(&report.go);
    assert_true(latch_wait(&report.done, 1, 10000));
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &report);
    assert_string_equal(report.name, "berth-test");
    for (int signal = 1; signal < 32; signal++) {
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
        if (signal != SIGKILL && signal != SIGSTOP) {
            assert_int_equal(sigismember(&report.mask, signal), 1);
        }
    }
    latch_fini(&report.go);
    latch_fini(&report.done);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void a_latch_waits_its_time_and_no_less(void **state)
{
    (void)state;
    struct latch latch;
    latch_init(&latch);
    assert_true(latch_wait(&latch, 0, -1));
    assert_false(latch_wait(&latch, 1, 0));
    uint64_t begin_ms = now_ms();
    assert_false(latch_wait(&latch, 1, 30));
    assert_true(now_ms() - begin_ms >= 29);
    latch_add(&latch);
    latch_add(&latch);
    assert_true(latch_wait(&latch, 1, 0));
    assert_true(latch_wait(&latch, 2, -1));
    assert_false(latch_wait(&latch, 3, 0));
    latch_fini(&latch);
}

static void there_is_a_cpu(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(thread_cpus(), CPU_COUNT(&set));
    assert_true(thread_cpus() >= 1);
}

/* A system that has no more threads says so, and the caller's signals are as they were. */
static int start_without_threads(void *argument)
{
    struct report *report = argument;
    sigset_t before;
    sigset_t after;
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    refuse_call(SYS_clone, EAGAIN);
    refuse_call(SYS_clone3, EAGAIN);
    int result = thread_start(&thread, "berth-test", run, report);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int signal = 1; signal < 32; signal++) {
        if (sigismember(&before, signal) != sigismember(&after, signal)) {
            return signal + 100;
        }
    }
    return result;
}

static void a_thread_that_cannot_start_is_told(void **state)
{
    (void)state;
    struct report report = {.name = ""};
    assert_int_equal(refuse_in_child(start_without_threads, &report), EAGAIN);
}

struct tables {
    int before; /* opened before the thread takes a table */
    int result;
    bool there; /* in it */
    int inside; /* opened in it */
};

static void *run_with_a_table(void *argument)
{
    struct tables *tables = argument;
    tables->result = thread_own_descriptors();
    tables->there = fcntl(tables->before, F_GETFD) >= 0;
    tables->inside = fcntl(tables->before, F_DUPFD_CLOEXEC, 100);
    close(tables->before);
    return NULL;
}

/* What it opens and closes is nobody else's, and goes with it. */
static void a_thread_may_have_descriptors_of_its_own(void **state)
{
    (void)state;
    struct tables tables = {.before = open("/dev/null", O_RDONLY | O_CLOEXEC), .inside = -1};
    pthread_t thread;
    assert_true(tables.before >= 0);
    assert_int_equal(thread_start(&thread, "berth-test", run_with_a_table, &tables), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tables.result, 0);
    assert_true(tables.there);
    assert_true(tables.inside >= 100);
    assert_int_equal(fcntl(tables.inside, F_GETFD), -1);
    assert_int_equal(close(tables.before), 0);
}

static int own_without_unshare(void *argument)
{
    (void)argument;
    refuse_call(SYS_unshare, EPERM);
    return -thread_own_descriptors();
}

static void who_gets_no_table_is_told(void **state)
{
    (void)state;
    assert_int_equal(refuse_in_child(own_without_unshare, NULL), EPERM);
}

static int count_without_affinity(void *argument)
{
    (void)argument;
    refuse_call(SYS_sched_getaffinity, EINVAL);
    return (int)thread_cpus();
}

static void a_cpu_is_there_when_the_system_does_not_say(void **state)
{
    (void)state;
    assert_int_equal(refuse_in_child(count_without_affinity, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_has_a_name_and_no_signals),
        cmocka_unit_test(a_latch_waits_its_time_and_no_less),
        cmocka_unit_test(there_is_a_cpu),
        cmocka_unit_test(a_thread_that_cannot_start_is_told),
        cmocka_unit_test(a_thread_may_have_descriptors_of_its_own),
        cmocka_unit_test(who_gets_no_table_is_told),
        cmocka_unit_test(a_cpu_is_there_when_the_system_does_not_say),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
