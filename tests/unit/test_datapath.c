/* On the data path nothing is allocated and no lock is taken; and what turns, receives and sends a
 * message costs is bounded. The linker puts the functions below between Berth and the C library
 * (tests/CMakeLists.txt), and they count what the worker's thread asks for, from the first message
 * on until the last.
 */
#include "unit/help_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 200
#define WARM   20 /* rounds before the count: pieces of the pool, the kernel's own */

static _Thread_local bool counted; /* on the worker's thread, while it counts */
static atomic_bool counting;
static atomic_uint allocations;
static atomic_uint locks;

static void count(atomic_uint *what)
{
    if (counted && atomic_load(&counting)) {
        atomic_fetch_add(what, 1);
    }
}

/* A function that Berth calls, and what it counts as. */
#define BETWEEN(type, name, typed, plain, what)                                                    \
    type __real_##name typed;                                                                      \
    type __wrap_##name typed;                                                                      \
    type __wrap_##name typed                                                                       \
    {                                                                                              \
        count(&(what));                                                                            \
        return __real_##name plain;                                                                \
    }

BETWEEN(void *, malloc, (size_t bytes), (bytes), allocations)
BETWEEN(void *, calloc, (size_t number, size_t bytes), (number, bytes), allocations)
BETWEEN(void *, realloc, (void *at, size_t bytes), (at, bytes), allocations)
BETWEEN(void, free, (void *at), (at), allocations)
BETWEEN(void *, mmap, (void *at, size_t bytes, int how, int kind, int fd, off_t from),
        (at, bytes, how, kind, fd, from), allocations)
BETWEEN(int, pthread_mutex_lock, (pthread_mutex_t * lock), (lock), locks)
BETWEEN(int, pthread_mutex_trylock, (pthread_mutex_t * lock), (lock), locks)
BETWEEN(int, pthread_cond_wait, (pthread_cond_t * of, pthread_mutex_t *lock), (of, lock), locks)
BETWEEN(int, pthread_cond_signal, (pthread_cond_t * of), (of), locks)

static void echo(struct berth_conn *conn, const struct berth_message *messages, size_t number)
{
    counted = true; /* this is the worker's thread */
    for (size_t i = 0; i < number; i++) {
        const struct berth_message *message = &messages[i];
        if (message->size == 1) {             /* a program that does it is seen */
            void *volatile seen = malloc(16); /* the compiler would leave it out */
            free(seen);
        }
        if (berth_reply(conn, message, message->data, message->size) != BERTH_OK) {
            berth_close(conn); /* which the client sees */
            return;
        }
    }
}

struct load {
    uint32_t size;
    uint32_t pipeline;
};

static void hear(int fd, const uint8_t *expected, uint8_t *room, size_t bytes)
{
    assert_int_equal(recv(fd, room, bytes, MSG_WAITALL), bytes);
    assert_memory_equal(room, expected, bytes);
}

static void rounds(int fd, const struct load *load, uint32_t number)
{
    size_t bytes = (size_t)(4 + load->size) * load->pipeline;
    uint8_t *block = calloc(2, bytes); /* what is said, and room for what is heard */
    assert_non_null(block);
    for (uint32_t i = 0; i < load->pipeline; i++) {
        memcpy(block + (size_t)(4 + load->size) * i, &load->size, sizeof load->size);
    }
    for (uint32_t i = 0; i < number; i++) {
        live_tell(fd, block, bytes);
        hear(fd, block, block + bytes, bytes);
    }
    free(block);
}

static void serve(const struct load *load, struct berth_stats *stats)
{
    const struct berth_protocol protocol = {.framing = berth_framing_seed(1 << 20),
                                            .on_messages = echo};
    struct berth_config config;
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    struct berth_address bound = live_listen_on(server, &protocol);
    live_start(server);
    int fd = live_client(&bound);
    rounds(fd, load, WARM);
    struct berth_stats before = live_stats_of(server);
    atomic_store(&allocations, 0);
    atomic_store(&locks, 0);
    atomic_store(&counting, true);
    rounds(fd, load, ROUNDS);
    atomic_store(&counting, false);
    *stats = live_stats_of(server);
    stats->bytes_copied_in -= before.bytes_copied_in;
    close(fd);
    live_end(server);
}

static void nothing_is_allocated_or_locked(void **state)
{
    (void)state;
    static const struct load loads[] = {{25, 1}, {25, 16}, {25, 256}, {1024, 16}, {65536, 1}};
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        struct berth_stats stats;
        serve(&loads[i], &stats);
        assert_int_equal(atomic_load(&allocations), 0);
        assert_int_equal(atomic_load(&locks), 0);
    }
}

/* A message that comes whole with one receive is not copied on its way in. */
static void whole_frames_are_not_copied(void **state)
{
    (void)state;
    static const struct load load = {25, 16};
    struct berth_stats stats;
    serve(&load, &stats);
    assert_int_equal(stats.bytes_copied_in, 0);
    /* One client, which waits for its answers: at most one receive and one send for each pipeline
     * that it says, and one turn, as the end of a send comes with the next receive. Some more are
     * for the connection, and where the client was away for longer than IO_LATE_NS. */
    assert_true(stats.receives <= WARM + ROUNDS);
    assert_true(stats.sends <= WARM + ROUNDS);
    assert_true(stats.turns <= (WARM + ROUNDS) * 5 / 4);
    assert_true(stats.enters <= stats.turns);
}

static void what_is_allocated_is_counted(void **state)
{
    (void)state;
    static const struct load load = {1, 1};
    struct berth_stats stats;
    serve(&load, &stats);
    assert_int_equal(atomic_load(&allocations), 2 * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(nothing_is_allocated_or_locked),
        LIVE_ON_BOTH(whole_frames_are_not_copied),
        LIVE_ON_BOTH(what_is_allocated_is_counted),
    };
    return cmocka_run_group_tests_name("data path", tests, NULL, NULL);
}
