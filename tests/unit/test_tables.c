/* Workers with tables of descriptors of their own, on both backends: what a callback opens is in no
 * other table, answers and wake-ups go across tables, and a start that cannot have them says so.
 * Waits are bounded; nothing sleeps and no port is fixed.
 */
#include "unit/help_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "refuse.h"

#define HIGH_NUMBER 200 /* a descriptor that nobody else takes */
#define CLIENTS     8

/* Bits of what a start in a child came to. */
#define START_REFUSED  1
#define START_BY_ERROR 2
#define START_NAMED    4

static struct {
    _Atomic uint32_t opens;
    _Atomic uint32_t closes;
    _Atomic berth_handle handles[CLIENTS];
    _Atomic uint32_t workers; /* bits of those that opened connections */
    _Atomic int opened;       /* by a callback */
} seen;

static void on_open(struct berth_conn *conn)
{
    int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HIGH_NUMBER);
    atomic_store(&seen.opened, copy);
    atomic_fetch_or(&seen.workers, 1u << berth_conn_worker(conn));
    uint32_t place = atomic_fetch_add(&seen.opens, 1);
    atomic_store(&seen.handles[place], berth_conn_handle(conn));
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    (void)reason;
    atomic_fetch_add(&seen.closes, 1);
}

static const struct berth_protocol quiet = {
    .framing = {.kind = BERTH_FRAMING_LENGTH, .length_bytes = 4, .message_bytes_max = 100},
    .on_open = on_open,
    .on_close = on_close,
};

static struct berth_config tables(uint32_t workers)
{
    struct berth_config config;
    live_settings(&config);
    memset(&seen, 0, sizeof seen);
    config.workers = workers;
    config.worker_descriptors = true;
    return config;
}

static void what_a_callback_opens_is_its_workers(void **state)
{
    (void)state;
    struct berth_config config = tables(1);
    struct berth_server *server = live_create(&config);
    struct berth_address bound = live_listen_on(server, &quiet);
    live_start(server);
    int fd = live_client(&bound);
    LIVE_UNTIL(atomic_load(&seen.handles[0]) != 0);
    assert_true(atomic_load(&seen.opened) >= HIGH_NUMBER);
    assert_int_equal(fcntl(atomic_load(&seen.opened), F_GETFD), -1);
    close(fd);
    live_end(server);
    assert_int_equal(atomic_load(&seen.closes), 1);
}

/* With a share each, no worker can take all; each is woken by a thread with another table. */
static void other_threads_reach_every_worker(void **state)
{
    (void)state;
    struct berth_config config = tables(2);
    config.connections_max = CLIENTS;
    config.worker_connections_max = CLIENTS / 2;
    struct berth_server *server = live_create(&config);
    struct berth_address bound = live_listen_on(server, &quiet);
    int fds[CLIENTS];
    live_start(server);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        fds[i] = live_client(&bound);
    }
    LIVE_UNTIL(atomic_load(&seen.opens) == CLIENTS);
    assert_int_equal(atomic_load(&seen.workers), 3);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        LIVE_UNTIL(atomic_load(&seen.handles[i]) != 0);
        assert_int_equal(berth_handle_send(server, atomic_load(&seen.handles[i]), "hey", 3),
                         BERTH_OK);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        live_hear(fds[i], "\3\0\0\0hey", 7);
        close(fds[i]);
    }
    LIVE_UNTIL(atomic_load(&seen.closes) == CLIENTS);
    live_end(server);
}

/* One after the other in one process leaves nothing open. */
static void descriptors_go_with_the_server(void **state)
{
    (void)state;
    int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    close(before);
    for (int i = 0; i < 3; i++) {
        struct berth_config config = tables(3);
        struct berth_server *server = live_create(&config);
        (void)live_listen_on(server, &quiet);
        live_start(server);
        live_end(server);
    }
    int after = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    close(after);
    assert_int_equal(after, before);
}

struct refusal {
    long call;
    int error;
};

static int start_refused(void *argument)
{
    const struct refusal *refusal = argument;
    struct berth_config config = tables(2);
    struct berth_server *server = NULL;
    struct berth_error error = {.text = ""};
    if (berth_server_create(&server, &config, &error) != BERTH_OK) {
        return 0;
    }
    refuse_call(refusal->call, refusal->error);
    int result = berth_server_start(server, &error);
    berth_server_destroy(server);
    bool named = error.setting != NULL && strcmp(error.setting, "worker_descriptors") == 0;
    return (result == BERTH_E_SYSTEM ? START_REFUSED : 0) |
           (error.system == refusal->error ? START_BY_ERROR : 0) | (named ? START_NAMED : 0);
}

static void a_start_without_them_says_so(void **state)
{
    (void)state;
    struct refusal none_to_wake = {SYS_eventfd2, EMFILE};
    struct refusal no_table = {SYS_unshare, EPERM};
    assert_int_equal(refuse_in_child(start_refused, &none_to_wake),
                     START_REFUSED | START_BY_ERROR | START_NAMED);
    assert_int_equal(refuse_in_child(start_refused, &no_table), START_REFUSED | START_BY_ERROR);
}

struct reach {
    struct berth_server *other;
    _Atomic bool reached;
};

static void stop_the_other(struct berth_conn *conn)
{
    struct reach *reach = berth_conn_context(conn);
    berth_server_stop(reach->other);
    atomic_store(&reach->reached, true);
}

/* 1 if a callback of one server may wake another server's worker. */
static int wake_another(void *argument)
{
    const bool *own = argument;
    struct reach reach = {0};
    const struct berth_protocol reaches = {
        .framing = quiet.framing, .context = &reach, .on_open = stop_the_other};
    struct berth_config config = tables(1);
    config.worker_descriptors = *own;
    struct berth_server *server = live_create(&config);
    struct berth_address bound = live_listen_on(server, &reaches);
    reach.other = live_create(&config);
    live_start(reach.other);
    live_start(server);
    int fd = live_client(&bound);
    LIVE_UNTIL(atomic_load(&reach.reached));
    close(fd);
    live_end(server);
    live_end(reach.other);
    return 1;
}

/* The number of the wake-up could be a client's there. */
static void a_worker_with_a_table_wakes_no_other_server(void **state)
{
    (void)state;
    bool own = false;
    assert_int_equal(refuse_in_child(wake_another, &own), 1);
    own = true;
    assert_int_equal(refuse_in_child(wake_another, &own), -1);
}

/* A program may run without its standard input: then 0 is a descriptor as any other. */
static int wake_without_input(void *argument)
{
    (void)argument;
    struct berth_config config = tables(2);
    struct berth_server *server = NULL;
    close(STDIN_FILENO);
    if (berth_server_create(&server, &config, NULL) != BERTH_OK ||
        berth_server_start(server, NULL) != BERTH_OK) {
        return 0;
    }
    bool taken = fcntl(STDIN_FILENO, F_GETFD) >= 0;
    berth_server_stop(server);
    bool ended = berth_server_wait(server, LIVE_WAIT_MS);
    berth_server_destroy(server);
    return ended && !taken ? 1 : 0;
}

static void a_wake_up_is_never_the_standard_input(void **state)
{
    (void)state;
    assert_int_equal(refuse_in_child(wake_without_input, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(what_a_callback_opens_is_its_workers),
        LIVE_ON_BOTH(other_threads_reach_every_worker),
        LIVE_ON_BOTH(descriptors_go_with_the_server),
        LIVE_ON_BOTH(a_start_without_them_says_so),
        LIVE_ON_BOTH(a_worker_with_a_table_wakes_no_other_server),
        LIVE_ON_BOTH(a_wake_up_is_never_the_standard_input),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
