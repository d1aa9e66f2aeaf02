/* What a caller of io.h must not do, and that it stops the program where it is done: each mistake
 * is made in a child process, which must die of an assertion.
 *
 * The child opens a rig of its own (a ring belongs to the process that made it: kernel fact K11).
 * Its stderr is closed, so that the expected line does not look like a failure in the log.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform/help_rig.h"

#define SURVIVED 4

/* A child that hangs is stopped after so many seconds, by SIGALRM, which is not the signal wanted.
 */
#define CHILD_SECONDS 4

static void expect_death(void (*mistake)(struct rig *rig, struct rig_pair pair))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(nowhere, STDERR_FILENO);
        alarm(CHILD_SECONDS);
        signal(SIGABRT, SIG_DFL); /* cmocka's own handler would report and go on */
        rig_in_child = true;
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){.receive_count = 8});
        mistake(&rig, rig_pair(&rig, 0, 0));
        _exit(SURVIVED);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        struct rig none = {0};
        rig_fail(&none, "the child ended with status %x, not by SIGABRT", (unsigned)status);
    }
}

static void close_under_receive(struct rig *rig, struct rig_pair pair)
{
    (void)rig_receive(rig, pair.server, NULL);
    io_close(rig->ios[0], pair.server.sock, false);
}

static void two_sends(struct rig *rig, struct rig_pair pair)
{
    (void)rig_send(rig, pair.client, "a", 1);
    (void)rig_send(rig, pair.client, "b", 1);
}

static void two_receives(struct rig *rig, struct rig_pair pair)
{
    (void)rig_receive(rig, pair.client, NULL);
    (void)rig_receive(rig, pair.client, NULL);
}

static void lease_twice(struct rig *rig, struct rig_pair pair)
{
    struct rig_bytes got = {0};
    rig_send_all(rig, pair.client, (const uint8_t *)"x", 1);
    rig->hold = true;
    rig_collect(rig, pair.server, &got, 1);
    io_lease_return(rig->ios[0], rig->held[0].lease);
    io_lease_return(rig->ios[0], rig->held[0].lease);
}

static void closed_socket(struct rig *rig, struct rig_pair pair)
{
    io_close(rig->ios[0], pair.server.sock, false);
    (void)rig_receive(rig, pair.server, NULL);
}

static void nine_accepts(struct rig *rig, struct rig_pair pair)
{
    (void)pair;
    for (int i = 0; i < IO_ACCEPTS_MAX + 1; i++) {
        (void)rig_accept(rig, 0);
    }
}

static void sockets_left_open(struct rig *rig, struct rig_pair pair)
{
    (void)pair;
    io_close_all(rig->ios[0]);
}

static void death_by_law_04_two_sends(void **state)
{
    (void)state;
    expect_death(two_sends);
}

static void death_by_law_04_two_receives(void **state)
{
    (void)state;
    expect_death(two_receives);
}

static void death_by_law_05_close_with_a_receive_in_flight(void **state)
{
    (void)state;
    expect_death(close_under_receive);
}

static void death_by_law_07_lease_returned_twice(void **state)
{
    (void)state;
    expect_death(lease_twice);
}

static void death_by_use_of_a_closed_socket(void **state)
{
    (void)state;
    expect_death(closed_socket);
}

static void death_by_too_many_accepts(void **state)
{
    (void)state;
    expect_death(nine_accepts);
}

static void death_by_closing_all_with_sockets_open(void **state)
{
    (void)state;
    expect_death(sockets_left_open);
}

const struct CMUnitTest rig_tests_deaths[] = {
    cmocka_unit_test(death_by_law_04_two_sends),
    cmocka_unit_test(death_by_law_04_two_receives),
    cmocka_unit_test(death_by_law_05_close_with_a_receive_in_flight),
    cmocka_unit_test(death_by_law_07_lease_returned_twice),
    cmocka_unit_test(death_by_use_of_a_closed_socket),
    cmocka_unit_test(death_by_too_many_accepts),
    cmocka_unit_test(death_by_closing_all_with_sockets_open),
};
const size_t rig_tests_deaths_count = sizeof rig_tests_deaths / sizeof *rig_tests_deaths;
