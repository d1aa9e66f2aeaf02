/* Runs a program on a kernel that refuses system calls:
 *
 *     refuse RULE... -- PROGRAM [ARGUMENT...]
 *
 *     io_uring_setup=EPERM         always
 *     io_uring_register:22=EINVAL  always, if the call's second argument is 22
 *     io_uring_enter=EBUSY/3       one in three
 *     --tally FILE                 writes "NAME refused REFUSED of CALLS" for each rule of the last
 *                                  kind, once the program and all its children are gone
 *
 * The rules are a seccomp filter, so the program and whatever it starts are the real ones, and no
 * system-wide setting is touched. What is refused always, the kernel refuses by itself. For the
 * rest it asks a supervisor, a process with the filter's listener, that counts the calls and
 * refuses some or lets them go on. The program is executed in the place of this one, so it has its
 * process id, and its exit status is what it would be.
 *
 * Exits with 2 for arguments that make no sense, with 77 where filters cannot be had.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define USAGE   2
#define SKIPPED 77

#define RULES_MAX 8
/* Of the filter: two to begin with, four for each rule, one to end. */
#define STEPS_MAX (3 + 4 * RULES_MAX)

#define ANY_ARGUMENT UINT32_MAX

struct named {
    const char *name;
    int number;
};

static const struct named calls[] = {
    {"io_uring_setup", SYS_io_uring_setup},
    {"io_uring_enter", SYS_io_uring_enter},
    {"io_uring_register", SYS_io_uring_register},
    {"epoll_pwait", SYS_epoll_pwait},
#ifdef SYS_epoll_wait
    {"epoll_wait", SYS_epoll_wait}, /* newer architectures have epoll_pwait only */
#endif
    {NULL, 0},
};

static const struct named errors[] = {
    {"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"ENOMEM", ENOMEM}, {"EINVAL", EINVAL},
    {"EBUSY", EBUSY},   {"EAGAIN", EAGAIN}, {"EINTR", EINTR},   {"EACCES", EACCES},
    {"EMFILE", EMFILE}, {NULL, 0},
};

struct rule {
    const struct named *call;
    const struct named *error;
    uint32_t argument; /* the second, or ANY_ARGUMENT */
    uint64_t every;    /* 1: always */
    uint64_t seen;
    uint64_t refused;
};

struct job {
    struct rule rules[RULES_MAX];
    uint32_t count;
    bool asks; /* some rule needs the supervisor */
    const char *tally;
    char **program;
};

/* ---------------------------------------------------------------------------------- what to do */

static _Noreturn void usage(const char *what, const char *word)
{
    fprintf(stderr, "refuse: %s: %s\n", what, word);
    exit(USAGE);
}

static const struct named *find(const struct named *names, const char *text, size_t bytes)
{
    for (; names->name != NULL; names++) {
        if (strlen(names->name) == bytes && memcmp(names->name, text, bytes) == 0) {
            return names;
        }
    }
    return NULL;
}

static uint32_t number(const char *text, const char *ends, const char *word)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || errno != 0 || value >= UINT32_MAX || strchr(ends, *end) == NULL) {
        usage("no number", word);
    }
    return (uint32_t)value;
}

/* CALL[:ARGUMENT]=ERROR[/EVERY] */
static struct rule rule_of(const char *word)
{
    struct rule rule = {.argument = ANY_ARGUMENT, .every = 1};
    size_t name = strcspn(word, ":=");
    const char *equals = strchr(word, '=');
    rule.call = find(calls, word, name);
    if (rule.call == NULL || equals == NULL) {
        usage("no call that can be refused", word);
    }
    if (word[name] == ':') {
        rule.argument = number(word + name + 1, "=", word);
    }
    const char *error = equals + 1;
    size_t bytes = strcspn(error, "/");
    rule.error = find(errors, error, bytes);
    if (rule.error == NULL) {
        usage("no error", word);
    }
    if (error[bytes] == '/') {
        rule.every = number(error + bytes + 1, "", word);
    }
    if (rule.every == 0) {
        usage("every 0th call", word);
    }
    return rule;
}

static void read_arguments(struct job *job, char **words)
{
    for (; *words != NULL && strcmp(*words, "--") != 0; words++) {
        if (strcmp(*words, "--tally") == 0 && words[1] != NULL) {
            job->tally = *++words;
            continue;
        }
        if (job->count == RULES_MAX) {
            usage("too many rules", *words);
        }
        job->rules[job->count] = rule_of(*words);
        job->asks = job->asks || job->rules[job->count].every > 1;
        job->count++;
    }
    if (*words == NULL || words[1] == NULL) {
        usage("no program", "refuse RULE... -- PROGRAM [ARGUMENT...]");
    }
    job->program = words + 1;
}

/* ---------------------------------------------------------------------------------- the filter */

static uint32_t argument_at(void)
{
    return (uint32_t)offsetof(struct seccomp_data, args[1]); /* its low half: little-endian */
}

static void add(struct sock_fprog *program, struct sock_filter step)
{
    program->filter[program->len++] = step;
}

/* The first rule that fits decides. Returns the filter's listener, -1 if it needs none, or exits.
 */
static int install(const struct job *job)
{
    struct sock_filter steps[STEPS_MAX];
    struct sock_fprog program = {.len = 0, .filter = steps};
    add(&program,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (uint32_t i = 0; i < job->count; i++) {
        const struct rule *rule = &job->rules[i];
        bool any = rule->argument == ANY_ARGUMENT;
        uint32_t verdict = rule->every > 1 ? SECCOMP_RET_USER_NOTIF
                                           : SECCOMP_RET_ERRNO | (uint32_t)rule->error->number;
        add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                   (uint32_t)rule->call->number, 0, any ? 1 : 4));
        if (!any) {
            add(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_at()));
            add(&program,
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->argument, 0, 1));
        }
        add(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
        if (!any) {
            add(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                       offsetof(struct seccomp_data, nr)));
        }
    }
    add(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    unsigned flags = job->asks ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
    long listener = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        (listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program)) < 0) {
        perror("refuse: a seccomp filter");
        exit(SKIPPED);
    }
    return job->asks ? (int)listener : -1;
}

/* ------------------------------------------------------------------------------ the supervisor */

/* Whether this call is the one in so many. Of each group one is, not always the same: a regular
 * order can fall in step with a program, of which one call would be refused for ever. */
static bool is_the_one(const struct rule *rule)
{
    uint64_t mixed = rule->seen / rule->every + UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return rule->seen % rule->every == (mixed >> 33) % rule->every;
}

static void decide(struct job *job, const struct seccomp_notif *asked,
                   struct seccomp_notif_resp *answer)
{
    *answer =
        (struct seccomp_notif_resp){.id = asked->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    for (uint32_t i = 0; i < job->count; i++) {
        struct rule *rule = &job->rules[i];
        if (rule->call->number != asked->data.nr ||
            (rule->argument != ANY_ARGUMENT && rule->argument != (uint32_t)asked->data.args[1])) {
            continue;
        }
        if (is_the_one(rule)) {
            rule->refused++;
            answer->flags = 0;
            answer->error = -rule->error->number;
        }
        rule->seen++;
        return;
    }
}

static void write_tally(const struct job *job)
{
    FILE *out = job->tally == NULL ? NULL : fopen(job->tally, "we");
    for (uint32_t i = 0; out != NULL && i < job->count; i++) {
        const struct rule *rule = &job->rules[i];
        if (rule->every > 1) {
            fprintf(out, "%s refused %llu of %llu\n", rule->call->name,
                    (unsigned long long)rule->refused, (unsigned long long)rule->seen);
        }
    }
    if (out != NULL) {
        (void)fclose(out);
    }
}

/* Answers until nobody with the filter is left. */
static _Noreturn void supervise(struct job *job, int listener)
{
    struct seccomp_notif asked;
    struct seccomp_notif_resp answer;
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    while (poll(&wait, 1, -1) >= 0 || errno == EINTR) {
        if ((wait.revents & POLLIN) != 0) {
            memset(&asked, 0, sizeof asked); /* the kernel insists */
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0) {
                decide(job, &asked, &answer);
                /* ENOENT: a signal has taken the call back. It will be made again. */
                (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
            }
        } else if ((wait.revents & (POLLHUP | POLLERR)) != 0) {
            break;
        }
    }
    write_tally(job);
    _exit(EXIT_SUCCESS);
}

static int receive_descriptor(int from)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message) != NULL) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    }
    return fd;
}

static bool send_descriptor(int to, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof fd)}};
    char byte = 0;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(to, &message, MSG_NOSIGNAL) == 1;
}

/* A grandchild, so that it is nobody's child but the system's, and holds nothing of the program's:
 * whoever reads the program's output sees its end. Returns the end of a pair to send the listener
 * through. */
static int start_supervisor(struct job *job)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        perror("refuse: socketpair");
        exit(EXIT_FAILURE);
    }
    pid_t child = fork();
    if (child == 0) {
        if (fork() != 0) {
            _exit(EXIT_SUCCESS);
        }
        (void)setsid(); /* a terminal's signals are the program's */
        if (dup2(ends[1], 0) < 0 || close_range(1, UINT32_MAX, 0) < 0) {
            _exit(EXIT_FAILURE);
        }
        int listener = receive_descriptor(0);
        if (listener < 0) {
            _exit(EXIT_FAILURE);
        }
        supervise(job, listener);
    }
    if (child < 0 || waitpid(child, NULL, 0) != child) {
        perror("refuse: a supervisor");
        exit(EXIT_FAILURE);
    }
    close(ends[1]);
    return ends[0];
}

int main(int count, char **words)
{
    struct job job = {.count = 0};
    (void)count;
    read_arguments(&job, words + 1);
    int supervisor = job.asks ? start_supervisor(&job) : -1;
    int listener = install(&job);
    if (job.asks && !send_descriptor(supervisor, listener)) {
        perror("refuse: the filter's listener");
        return EXIT_FAILURE;
    }
    if (job.asks) {
        close(listener); /* else the filter would never be without a listener */
        close(supervisor);
    }
    execvp(job.program[0], job.program);
    perror(job.program[0]);
    return EXIT_FAILURE;
}
