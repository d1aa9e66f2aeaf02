/* Every cut of a few messages into up to three receives, for every framing, on a real backend.
 *
 * A blocking client sends a piece, waits until the server's counters say that it was received, and
 * sends the next; then it reads the replies and compares them with what its own encoder makes of
 * the same messages. A server serves all the cuts of a framing; each cut is a connection, which the
 * client ends with a reset so that no port stays in TIME_WAIT. Waits are bounded and yield.
 *
 * The thirteen cases that the article counts are below by name, for its own framing.
 */
#include "conform/help_split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "sim/help_codec.h"

#define STREAM_MOST  24 /* bytes of the exhaustive streams: 325 cuts each */
#define WAIT_SECONDS 10
#define ROOM         256
#define SKIPPED      77

static enum berth_backend split_backend;

/* A server of one framing, and where it listens. */
struct split_server {
    struct berth_protocol protocol;
    struct berth_server *server;
    struct sockaddr_in address;
};

struct split_stream {
    uint8_t bytes[ROOM];
    size_t size;
    uint32_t messages;
};

static void split_echo(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)berth_reply(conn, &messages[i], messages[i].data, messages[i].size);
    }
}

static void split_open(struct split_server *s, const struct berth_framing *framing)
{
    struct berth_config config;
    struct berth_error error = {.text = ""};
    struct berth_address bound;
    berth_config_init(&config);
    config.backend = split_backend;
    config.workers = 1;
    s->protocol = (struct berth_protocol){.framing = *framing, .on_messages = split_echo};
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &s->protocol};
    if (berth_server_create(&s->server, &config, &error) != BERTH_OK ||
        berth_listen(s->server, &listen, &bound, &error) != BERTH_OK ||
        berth_server_start(s->server, &error) != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    s->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(bound.port)};
    s->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void split_close(struct split_server *s)
{
    berth_server_stop(s->server);
    assert_true(berth_server_wait(s->server, WAIT_SECONDS * 1000));
    berth_server_destroy(s->server);
}

/* ---------------------------------------------------------------------------------- the client */

static int split_connect(const struct split_server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct timeval limit = {.tv_sec = WAIT_SECONDS};
    struct linger reset = {.l_onoff = 1};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&s->address;
    assert_int_equal(connect(fd, to, sizeof s->address), 0);
    return fd;
}

static uint64_t split_bytes_in(const struct split_server *s)
{
    struct berth_stats stats;
    berth_server_stats(s->server, &stats);
    return stats.bytes_in;
}

static uint64_t split_receives(const struct split_server *s)
{
    struct berth_stats stats;
    berth_server_stats(s->server, &stats);
    return stats.receives;
}

static uint64_t split_messages(const struct split_server *s)
{
    struct berth_stats stats;
    berth_server_stats(s->server, &stats);
    return stats.messages_in;
}

static uint64_t split_accepted(const struct split_server *s)
{
    struct berth_stats stats;
    berth_server_stats(s->server, &stats);
    return stats.accepted;
}

/* Waits until a counter has come to a value. */
static void split_wait(const struct split_server *s,
                       uint64_t (*counter)(const struct split_server *), uint64_t value)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (time_t start = now.tv_sec; counter(s) < value; clock_gettime(CLOCK_MONOTONIC, &now)) {
        assert_true(now.tv_sec - start < WAIT_SECONDS);
        sched_yield();
    }
}

/* Sends a piece and waits until the server has received it, in one receive. */
static void split_send(const struct split_server *s, int fd, const uint8_t *bytes, size_t count)
{
    if (count == 0) {
        return;
    }
    uint64_t received = split_bytes_in(s);
    uint64_t receives = split_receives(s);
    assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
    split_wait(s, split_bytes_in, received + count);
    split_wait(s, split_receives, receives + 1);
    assert_int_equal(split_receives(s), receives + 1);
}

/* Reads as many bytes as the stream has, and compares: an echo says the same again. */
static void split_expect(int fd, const struct split_stream *stream)
{
    uint8_t got[ROOM];
    size_t count = 0;
    while (count < stream->size) {
        ssize_t more = recv(fd, got + count, stream->size - count, 0);
        if (more < 0 && errno == EINTR) {
            continue; /* by a ring that the creation of the server closed on this thread */
        }
        assert_true(more > 0);
        count += (size_t)more;
    }
    assert_memory_equal(got, stream->bytes, count);
    assert_int_equal(recv(fd, got, 1, MSG_DONTWAIT), -1); /* and no more */
}

/* --------------------------------------------------------------------------------- every cut */

static void split_say(struct split_stream *stream, const struct berth_framing *framing,
                      uint32_t size)
{
    uint8_t message[64];
    uint8_t frame[sizeof message + CODEC_EXTRA];
    for (uint32_t i = 0; i < size; i++) {
        message[i] = (uint8_t)(i * 37 + stream->messages * 101 + 5);
    }
    codec_clean(framing, message, size);
    size_t bytes = codec_encode(framing, message, size, frame);
    if (stream->size + bytes <= STREAM_MOST) {
        memcpy(stream->bytes + stream->size, frame, bytes);
        stream->size += bytes;
        stream->messages++;
    }
}

static void split_every_way(const struct codec *codec)
{
    static const uint32_t sizes[] = {3, 0, 2};
    struct split_server s;
    struct split_stream stream = {.size = 0};
    const struct berth_framing *framing = &codec->framing;
    uint32_t least = codec_least(framing);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bool fixed = framing->kind == BERTH_FRAMING_FIXED;
        split_say(&stream, framing, fixed || sizes[i] < least ? least : sizes[i]);
    }
    assert_true(stream.messages >= 2);
    split_open(&s, framing);
    for (size_t first = 0; first <= stream.size; first++) {
        for (size_t second = first; second <= stream.size; second++) {
            int fd = split_connect(&s);
            split_send(&s, fd, stream.bytes, first);
            split_send(&s, fd, stream.bytes + first, second - first);
            split_send(&s, fd, stream.bytes + second, stream.size - second);
            split_expect(fd, &stream);
            close(fd);
        }
    }
    size_t cuts = (stream.size + 1) * (stream.size + 2) / 2;
    assert_int_equal(split_accepted(&s), cuts);
    assert_int_equal(split_messages(&s), cuts * stream.messages);
    split_close(&s);
}

static void split_every_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < CODECS; i++) {
        split_every_way(&codecs[i]);
    }
}

/* ------------------------------------------------------------------------------ the seed's cases
 */

#define SEED_MESSAGE "0123456789"
#define SEED_FRAME   "\x0a\0\0\0" SEED_MESSAGE
#define SEED_WHOLE   14

/* One receive: its bytes, and how many messages the program has seen after it. */
struct split_receive {
    size_t bytes;
    uint32_t messages;
};

static void split_seed_case(const struct split_receive *receives, size_t count)
{
    const struct berth_framing framing = berth_framing_seed(10);
    struct split_server s;
    struct split_stream stream = {.bytes = SEED_FRAME SEED_FRAME SEED_FRAME,
                                  .size = 3 * SEED_WHOLE};
    size_t at = 0;
    split_open(&s, &framing);
    int fd = split_connect(&s);
    for (size_t i = 0; i < count; i++) {
        split_send(&s, fd, stream.bytes + at, receives[i].bytes);
        at += receives[i].bytes;
        split_wait(&s, split_messages, receives[i].messages);
        assert_int_equal(split_messages(&s), receives[i].messages);
    }
    split_send(&s, fd, stream.bytes + at, stream.size - at);
    split_expect(fd, &stream);
    close(fd);
    split_close(&s);
}

#define SEED_CASE(name, ...)                                                                       \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        static const struct split_receive receives[] = {__VA_ARGS__};                              \
        split_seed_case(receives, sizeof receives / sizeof receives[0]);                           \
    }

/* clang-format off: a case a line */
SEED_CASE(seed_split_01_first_receive_is_less_than_the_prefix, {3, 0})
SEED_CASE(seed_split_02_another_part_of_the_prefix, {1, 0}, {2, 0})
SEED_CASE(seed_split_03_rest_of_the_prefix_and_no_more, {1, 0}, {3, 0})
SEED_CASE(seed_split_04_rest_of_the_prefix_and_part_of_the_message, {2, 0}, {6, 0})
SEED_CASE(seed_split_05_rest_of_the_prefix_and_all_of_the_message, {2, 0}, {12, 1})
SEED_CASE(seed_split_06_exactly_the_prefix, {4, 0})
SEED_CASE(seed_split_07_after_the_prefix_part_of_the_message, {4, 0}, {7, 0})
SEED_CASE(seed_split_08_after_the_prefix_all_of_the_message, {4, 0}, {10, 1})
SEED_CASE(seed_split_09_the_prefix_and_part_of_the_message, {9, 0})
SEED_CASE(seed_split_10_another_part_of_the_message, {9, 0}, {4, 0})
SEED_CASE(seed_split_11_all_the_rest_of_the_message, {9, 0}, {5, 1})
SEED_CASE(seed_split_12_the_prefix_and_all_of_the_message, {14, 1})
SEED_CASE(seed_split_13_the_common_case, {14, 1}, {14, 2}, {14, 3})
/* Two that the article leaves out on purpose, since its clients wait for each answer. */
SEED_CASE(seed_split_beyond_a_message_and_part_of_the_next, {16, 1}, {2, 1})
SEED_CASE(seed_split_beyond_many_messages_at_once, {42, 3})
/* clang-format on */

static bool split_works(void)
{
    struct berth_config config;
    struct berth_server *server;
    struct berth_error error = {.text = ""};
    berth_config_init(&config);
    config.backend = split_backend;
    config.workers = 1;
    int result = berth_server_create(&server, &config, &error);
    if (result == BERTH_E_UNSUPPORTED) {
        printf("skipped: %s\n", error.text);
        return false;
    }
    assert_int_equal(result, BERTH_OK);
    berth_server_destroy(server);
    return true;
}

int split_run(enum berth_backend backend)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_split_01_first_receive_is_less_than_the_prefix),
        cmocka_unit_test(seed_split_02_another_part_of_the_prefix),
        cmocka_unit_test(seed_split_03_rest_of_the_prefix_and_no_more),
        cmocka_unit_test(seed_split_04_rest_of_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_05_rest_of_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_06_exactly_the_prefix),
        cmocka_unit_test(seed_split_07_after_the_prefix_part_of_the_message),
        cmocka_unit_test(seed_split_08_after_the_prefix_all_of_the_message),
        cmocka_unit_test(seed_split_09_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_10_another_part_of_the_message),
        cmocka_unit_test(seed_split_11_all_the_rest_of_the_message),
        cmocka_unit_test(seed_split_12_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_13_the_common_case),
        cmocka_unit_test(seed_split_beyond_a_message_and_part_of_the_next),
        cmocka_unit_test(seed_split_beyond_many_messages_at_once),
        cmocka_unit_test(split_every_framing),
    };
    split_backend = backend;
    if (!split_works()) {
        return SKIPPED;
    }
    const char *name = backend == BERTH_BACKEND_URING ? "split, uring" : "split, epoll";
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
