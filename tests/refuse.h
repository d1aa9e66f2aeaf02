/* A system that refuses: for tests of what happens when a system call fails that hardly ever does.
 *
 * refuse_call makes one system call fail with one error, for this process and for good, by a
 * seccomp filter; so it is called in a child, which refuse_in_child makes. A child is a copy of one
 * thread: what it runs must not count on others, nor on cmocka; it says with its result what was
 * wrong.
 */
#ifndef BERTH_TESTS_REFUSE_H
#define BERTH_TESTS_REFUSE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that hangs is ended by SIGALRM. */
#define REFUSE_CHILD_SECONDS 20

/* What a child exits with if the system has no filters: the test is then skipped. */
#define REFUSE_NONE 77

/* Lets a filter see every system call from now on. */
static inline void refuse_by(struct sock_filter *code, size_t count)
{
    struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(REFUSE_NONE);
    }
}

/* From now on the call `number` (SYS_...) fails with `error`. Several may be refused. */
static inline void refuse_call(long number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    refuse_by(code, sizeof code / sizeof code[0]);
}

#ifdef BERTH_COVERAGE
int __llvm_profile_write_file(void); /* of the compiler's library: what _exit would lose */
#endif

/* The child's end. Without what a program does at its end: a sanitizer's search for leaks needs
 * calls that may be refused. */
static inline void refuse_exit(int result)
{
#ifdef BERTH_COVERAGE
    (void)__llvm_profile_write_file();
#endif
    _exit(result);
}

/* Runs `run` in a child and returns what it returned (0 to 255), or -1 if it did not end of itself.
 */
static inline int refuse_in_child(int (*run)(void *argument), void *argument)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(REFUSE_CHILD_SECONDS);
        refuse_exit(run(argument));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

#endif
