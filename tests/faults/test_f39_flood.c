/* F39: a handler that sends without end. The call says when no more may wait, memory stays within
 * what the configuration allows, on_drained says when there is room again, and all that was taken
 * arrives, in order: a gigabyte in the full form.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults/row.h"
#include "unit/help_server.h"

#define BLOCK_BYTES 65536u
#define HEADER      4u
#define ORDINARY    1024u  /* blocks: 64 MiB */
#define FULL        16384u /* 1 GiB */
#define QUEUE_MAX   (2u << 20)

/* Beside the queue: the slab that each block's end is in, and what a thread needs. */
#define GROWTH_MAX (QUEUE_MAX * 2 + (8u << 20))

static struct {
    uint32_t all;
    _Atomic uint32_t taken;    /* blocks that berth_send took */
    _Atomic uint32_t refusals; /* times that it said BERTH_E_WOULD_EXCEED */
    _Atomic uint32_t wrong;    /* times that it said anything else */
    _Atomic uint32_t drains;
    _Atomic uint32_t most; /* the most that waited */
    uint8_t block[BLOCK_BYTES];
} world;

static void flood(struct berth_conn *conn)
{
    while (world.taken < world.all) {
        uint32_t number = world.taken;
        memcpy(world.block, &number, sizeof number);
        int result = berth_send(conn, world.block, sizeof world.block);
        if (result != BERTH_OK) {
            atomic_fetch_add(result == BERTH_E_WOULD_EXCEED ? &world.refusals : &world.wrong, 1);
            return;
        }
        atomic_fetch_add(&world.taken, 1);
        uint32_t waits = berth_conn_queued_bytes(conn);
        if (waits > world.most) {
            world.most = waits;
        }
    }
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    (void)message;
    flood(conn);
}

static void on_drained(struct berth_conn *conn)
{
    atomic_fetch_add(&world.drains, 1);
    flood(conn);
}

static const struct berth_protocol protocol = {
    .framing = {.kind = BERTH_FRAMING_LENGTH,
                .length_bytes = HEADER,
                .message_bytes_max = BLOCK_BYTES},
    .on_message = on_message,
    .on_drained = on_drained,
};

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    char text[128] = "";
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    char *end = NULL;
    (void)strtoul(text, &end, 10); /* the whole size comes first */
    return strtoul(end, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void hear_all(int fd)
{
    static uint8_t frame[HEADER + BLOCK_BYTES];
    for (uint32_t i = 0; i < world.all; i++) {
        assert_int_equal(recv(fd, frame, sizeof frame, MSG_WAITALL), sizeof frame);
        uint32_t number;
        memcpy(&number, frame + HEADER, sizeof number);
        assert_int_equal(number, i);
        assert_memory_equal(frame + HEADER + sizeof number, world.block + sizeof number,
                            BLOCK_BYTES - sizeof number);
    }
}

static void a_handler_that_floods_is_told(void **state)
{
    (void)state;
    const char *form = getenv("BERTH_FULL");
    fault_begin("F39", live_backend == BERTH_BACKEND_EPOLL ? "epoll" : "uring", "kernel");
    memset(&world, 0, sizeof world);
    world.all = form != NULL && strcmp(form, "1") == 0 ? FULL : ORDINARY;
    for (uint32_t i = 0; i < BLOCK_BYTES; i++) {
        world.block[i] = (uint8_t)(i * 7 + i / 256);
    }
    struct berth_config config;
    live_settings(&config);
    config.send_max_bytes = QUEUE_MAX;
    struct berth_server *server = live_create(&config);
    struct berth_address at = live_listen_on(server, &protocol);
    live_start(server);
    int fd = live_client(&at);
    size_t before = resident_bytes();
    live_tell(fd, "\1\0\0\0x", HEADER + 1);
    LIVE_UNTIL(world.refusals > 0); /* the client reads nothing yet */
    assert_true(world.taken < world.all);
    assert_true(world.most <= QUEUE_MAX);
    hear_all(fd);
    size_t after = resident_bytes();
    assert_int_equal(world.wrong, 0);
    assert_int_equal(world.drains, world.refusals);
    assert_true(world.most <= QUEUE_MAX);
    assert_true(after < before + GROWTH_MAX);
    close(fd);
    live_end(server);
    fault_met("a handler sent %u MiB: refused %u times at %u KiB of the %u that may wait, told %u "
              "times that there was room; all arrived",
              world.all * (BLOCK_BYTES >> 10) >> 10, world.refusals, world.most >> 10,
              QUEUE_MAX >> 10, world.drains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(a_handler_that_floods_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
