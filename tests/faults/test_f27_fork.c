/* F27: a program that forks while its server has clients: from the owner's thread and from inside a
 * callback. A child that runs another program holds nothing of Berth's; one that does not finds
 * that its handles are stale; one that would go on as a worker stops at once, before it sends a
 * byte. The server notices none of them, and its port can be bound again while such a child still
 * lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define CLIENTS    20
#define ROUNDS     10
#define LIST_BYTES 4096

/* What a client asks for; anything else is answered by itself. */
#define ASK_BYTES 5
#define ASK_EXEC  "exec\n" /* answered by how many descriptors another program inherits */
#define ASK_STRAY "stray"  /* a child of fork returns from the callback */

static struct {
    struct berth_server *server;
    _Atomic berth_handle handle; /* of a connection that is open */
    _Atomic int stray_status;    /* how the child that returned ended */
} world;

/* -------------------------------------------------------------------------------- other programs
 */

static void wait_for(pid_t child, int *status)
{
    while (waitpid(child, status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
}

/* How many descriptors a program finds that this one runs: ls lists its own as well. */
static unsigned descriptors_inherited(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        abort();
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("ls", "ls", "/proc/self/fd", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    char list[LIST_BYTES];
    unsigned lines = 0;
    ssize_t got;
    while ((got = read(ends[0], list, sizeof list)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            lines += list[i] == '\n' ? 1 : 0;
        }
    }
    close(ends[0]);
    int status;
    wait_for(child, &status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? lines : 0;
}

/* A program that lives until its input ends, which is *input. */
static pid_t start_cat(int *input)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[0], STDIN_FILENO);
        execlp("cat", "cat", (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    *input = ends[1];
    return child;
}

/* ------------------------------------------------------------------------------------ the server
 */

static void die_quietly(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    alarm(LIVE_WAIT_MS / 1000); /* should it live on */
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
}

/* In the child this returns into the worker's loop, with a reply on its way. */
static void fork_a_stray(void)
{
    pid_t child = fork();
    if (child == 0) {
        die_quietly();
        return;
    }
    int status = 0;
    wait_for(child, &status);
    atomic_store(&world.stray_status, status);
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    atomic_store(&world.handle, berth_conn_handle(conn));
    char answer[ASK_BYTES + 1] = "";
    memcpy(answer, message->data, ASK_BYTES);
    if (memcmp(answer, ASK_EXEC, ASK_BYTES) == 0) {
        snprintf(answer, sizeof answer, "%05u", descriptors_inherited());
    } else if (memcmp(answer, ASK_STRAY, ASK_BYTES) == 0) {
        fork_a_stray();
    }
    assert_int_equal(berth_reply(conn, message, answer, ASK_BYTES), BERTH_OK);
}

static const struct berth_protocol protocol = {
    .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = ASK_BYTES},
    .on_message = on_message,
};

static struct berth_address start_server(const struct berth_address *at)
{
    struct berth_config config;
    live_settings(&config);
    config.workers = 2;
    world.server = live_create(&config);
    struct berth_address bound = {0};
    struct berth_error error = {.text = ""};
    const struct berth_listen_options options = {.address = *at, .protocol = &protocol};
    if (berth_listen(world.server, &options, &bound, &error) != BERTH_OK) {
        fail_msg("listen: %s", error.text);
    }
    live_start(world.server);
    return bound;
}

/* ------------------------------------------------------------------------------ the other child
 */

static void never(struct berth_conn *conn, void *context)
{
    (void)conn;
    (void)context;
    _exit(9);
}

/* Every call by handle, and those for everybody. The number of the first that is wrong, or 0. */
static int call_from_child(void)
{
    struct berth_server *server = world.server;
    berth_handle handle = atomic_load(&world.handle);
    const int results[] = {
        berth_handle_send(server, handle, "child", ASK_BYTES) == BERTH_E_STALE,
        berth_handle_close(server, handle) == BERTH_E_STALE,
        berth_handle_pause(server, handle) == BERTH_E_STALE,
        berth_handle_resume(server, handle) == BERTH_E_STALE,
        berth_visit(server, never, NULL, NULL) == BERTH_E_STATE,
        live_stats_of(server).connections_open == CLIENTS,
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        if (!results[i]) {
            return (int)i + 1;
        }
    }
    /* These have no result that could say it; nobody may notice them. */
    (void)berth_broadcast(server, "child", ASK_BYTES, BERTH_SLOW_CLOSE);
    berth_server_stop(server);
    berth_server_stop(server);
    return 0;
}

static void fork_and_call(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(call_from_child());
    }
    int status;
    wait_for(child, &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* -------------------------------------------------------------------------------------- the test
 */

static void ask(int fd, const char *question, const char *answer)
{
    live_tell(fd, question, ASK_BYTES);
    live_hear(fd, answer, ASK_BYTES);
}

/* By an assertion, or because the ring is not mapped there. */
static bool stopped_itself(int status)
{
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
}

static void ask_all(const int *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        ask(clients[i], "hello", "hello");
    }
}

/* The server runs. */
static void children_disturb_nobody(void)
{
    unsigned without = descriptors_inherited();
    assert_true(without > 0);
    char same[ASK_BYTES + 1];
    snprintf(same, sizeof same, "%05u", without);
    struct berth_address at = start_server(&live_loopback);
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = live_client(&at);
        fcntl(clients[i], F_SETFD, FD_CLOEXEC);
    }
    ask_all(clients);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(descriptors_inherited(), without);
        ask(clients[round], ASK_EXEC, same);
        fork_and_call();
        ask(clients[round], ASK_STRAY, ASK_STRAY); /* once: not the child's, too */
        assert_true(stopped_itself(atomic_load(&world.stray_status)));
        ask_all(clients);
    }
    assert_int_equal(live_stats_of(world.server).connections_open, CLIENTS);
    int input;
    pid_t cat = start_cat(&input);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    live_end(world.server);
    struct berth_address again = start_server(&at); /* the same port */
    assert_int_equal(again.port, at.port);
    int client = live_client(&at);
    ask(client, "hello", "hello");
    close(client);
    live_end(world.server);
    close(input);
    int status;
    wait_for(cat, &status);
}

/* ------------------------------------------------------------------------------------- a daemon
 */

/* Between create and start a program may fork, and go on in the child: that is where the workers
 * then are. */
static void a_daemon_starts(void)
{
    struct berth_config config;
    live_settings(&config);
    world.server = live_create(&config);
    struct berth_address at = live_listen_on(world.server, &protocol);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(LIVE_WAIT_MS / 1000);
        live_start(world.server);
        int client = live_client(&at);
        ask(client, "hello", "hello");
        int closed = berth_handle_close(world.server, atomic_load(&world.handle));
        live_hear_end(client);
        close(client);
        live_end(world.server);
        _exit(closed == BERTH_OK ? 0 : 1);
    }
    int status;
    wait_for(child, &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    live_start(world.server); /* its own copy, once the other is gone */
    int client = live_client(&at);
    ask(client, "hello", "hello");
    close(client);
    live_end(world.server);
}

static void children_hold_nothing_and_disturb_nobody(void **state)
{
    (void)state;
    fault_begin("F27", live_backend == BERTH_BACKEND_EPOLL ? "epoll" : "uring", "kernel");
    children_disturb_nobody();
    a_daemon_starts();
    fault_met(
        "%d programs run from two threads under %d clients inherited 0 descriptors; %d children "
        "had stale handles, %d stopped as workers; the port bound again at once",
        2 * ROUNDS, CLIENTS, ROUNDS, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(children_hold_nothing_and_disturb_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
