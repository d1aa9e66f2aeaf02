/* A kernel without memory for new requests still tells what has come: law 8 on a ring whose every
 * enter that submits is refused. A seccomp filter does it, in a child, for the filter stays.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform/help_rig.h"
#include "io/backend.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

static bool refuse_enters_that_submit(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* The exit status says which step failed; what the rig holds goes with the process. */
static int look_while_refused(void)
{
    struct rig rig;
    struct rig_bytes got = {0};
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    rig_quiet(&rig);
    if (!refuse_enters_that_submit()) {
        return SKIPPED;
    }
    (void)rig_receive(&rig, pair.client, &got); /* so that there is something to refuse */
    if (send(rig.ios[0]->socks[pair.client.sock].fd, "here", 4, MSG_NOSIGNAL) != 4) {
        return 1;
    }
    if (rig_look(&rig) + rig_look(&rig) == 0) {
        return 2;
    }
    return got.size == 4 && rig_op(&rig, receive)->finals == 0 ? EXIT_SUCCESS : 3;
}

static void what_has_come_is_told_while_nothing_new_is_taken(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(look_while_refused());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        skip(); /* no seccomp filters here */
    }
    assert_int_equal(WEXITSTATUS(status), EXIT_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_come_is_told_while_nothing_new_is_taken),
    };
    rig_backend = &io_backend_uring;
    if (!rig_opens()) {
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("uring, refused", tests, NULL, NULL);
}
