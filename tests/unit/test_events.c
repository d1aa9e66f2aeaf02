/* Watching on real sockets, each test on both backends: copies of the flight recorder and changes
 * of the mask from other threads while workers run, and what a watcher may ask a connection.
 */
#include "unit/help_server.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE 64
#define RECORDS 64
#define ROUNDS  300

static _Atomic uint64_t told;
static struct berth_address seen_peer;
static struct berth_address seen_local;
static char ends[200];

static void only_echo(struct berth_conn *conn, const struct berth_message *message)
{
    (void)berth_reply(conn, message, message->data, message->size);
}

static const struct berth_protocol echoes = {
    .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 4}, .on_message = only_echo};

static void count_told(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    (void)conn;
    (void)record;
    atomic_fetch_add_explicit(&told, 1, memory_order_relaxed);
}

static void a_recorder_is_read_while_its_worker_writes(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.workers = 2;
    config.recorder_records = RECORDS;
    config.on_event = count_told;
    atomic_store(&told, 0);
    struct berth_server *server = live_create(&config);
    struct berth_address bound = live_listen_on(server, &echoes);
    struct berth_record records[RECORDS];
    assert_int_equal(berth_server_recorder(server, 1, records, RECORDS), 0);
    live_start(server);
    int clients[2] = {live_client(&bound), live_client(&bound)};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        berth_server_watch(server, round % 3 == 0 ? BERTH_WATCH_ALL : 0);
        live_tell(clients[round % 2], "abcd", 4);
        for (uint32_t worker = 0; worker < 2; worker++) {
            size_t count = berth_server_recorder(server, worker, records, RECORDS);
            for (size_t i = 0; i < count; i++) {
                assert_non_null(berth_event_name(records[i].event));
                assert_int_equal(records[i].worker, worker);
                assert_true(i == 0 || records[i].time_ns >= records[i - 1].time_ns);
            }
        }
        live_hear(clients[round % 2], "abcd", 4);
    }
    assert_true(atomic_load(&told) > 0);
    close(clients[0]);
    close(clients[1]);
    berth_server_stop(server);
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    size_t count = berth_server_recorder(server, 0, records, RECORDS); /* it outlives the worker */
    assert_true(count > 0);
    berth_server_destroy(server);
}

static void look(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    if (record->event == BERTH_EVENT_OPENED) {
        (void)berth_conn_peer(conn, &seen_peer);
        (void)berth_conn_local(conn, &seen_local);
    }
    if (conn != NULL) {
        size_t length = strlen(ends);
        snprintf(ends + length, sizeof ends - length, "%s ", berth_event_name(record->event));
    }
}

static void a_watcher_may_ask_for_both_addresses(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.on_event = look;
    ends[0] = '\0';
    struct berth_server *server = live_create(&config);
    berth_server_watch(server, BERTH_WATCH_CONNECTIONS); /* may come before the start */
    struct berth_address bound = live_listen_on(server, &echoes);
    live_start(server);
    int client = live_client(&bound);
    live_tell(client, "abcd", 4);
    live_hear(client, "abcd", 4);
    close(client);
    live_end(server);
    assert_string_equal(ends, "accepted opened closing closed ");
    assert_int_equal(seen_local.port, bound.port);
    assert_int_equal(seen_peer.family, BERTH_IPV4);
    assert_true(seen_peer.port != 0 && seen_peer.port != bound.port);
}

/* Attempts that fail and what follows them are events too. */
static void attempts_to_connect_are_events(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    struct berth_server *taken = live_create(&config);
    struct berth_address nobody = live_listen_on(taken, &echoes);
    berth_server_destroy(taken); /* nobody listens there now */
    config.connects_max = 1;
    struct berth_server *server = live_create(&config);
    struct berth_connect_options options = {
        .address = nobody, .protocol = &echoes, .attempts = 2, .retry_ms = 1};
    assert_int_equal(berth_connect(server, &options), BERTH_OK);
    live_start(server);
    LIVE_UNTIL(live_stats_of(server).connect_failures == 1);
    berth_server_stop(server);
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    struct berth_record records[RECORDS];
    size_t count = berth_server_recorder(server, 0, records, RECORDS);
    static const struct {
        uint16_t event;
        uint32_t count;
        uint64_t value;
    } expected[] = {
        {BERTH_EVENT_CONNECT_STARTED, 1, 0},
        {BERTH_EVENT_CONNECT_FAILED, 1, ECONNREFUSED},
        {BERTH_EVENT_RETRY, 1, 1},
        {BERTH_EVENT_CONNECT_STARTED, 2, 0},
        {BERTH_EVENT_CONNECT_FAILED, 2, ECONNREFUSED},
        {BERTH_EVENT_GIVEN_UP, 2, ECONNREFUSED},
        {BERTH_EVENT_STOPPING, 0, 1},
    };
    assert_int_equal(count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(berth_event_name(records[i].event),
                            berth_event_name(expected[i].event));
        assert_int_equal(records[i].count, expected[i].count);
        assert_int_equal(records[i].value, expected[i].value);
    }
    berth_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(a_recorder_is_read_while_its_worker_writes),
        LIVE_ON_BOTH(a_watcher_may_ask_for_both_addresses),
        LIVE_ON_BOTH(attempts_to_connect_are_events),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
