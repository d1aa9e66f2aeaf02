/* The configuration: what the defaults are, that each field's bounds are held and named, and that a
 * worker's block has room for everything without overlap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/thread.h"
#include "core/core.h"

#define MIB (UINT64_C(1) << 20)

static void defaults(void **state)
{
    (void)state;
    struct berth_config c;
    memset(&c, 0xff, sizeof c);
    berth_config_init(&c);
    assert_int_equal(c.struct_bytes, sizeof c);
    assert_int_equal(c.backend, BERTH_BACKEND_AUTO);
    assert_int_equal(c.workers, 0);
    assert_int_equal(c.connections_max, 1000);
    assert_int_equal(c.worker_connections_max, 0);
    assert_int_equal(c.connects_max, 0);
    assert_false(c.worker_descriptors);
    assert_int_equal(c.receive_bytes, 270336);
    assert_int_equal(c.receive_buffers, 16);
    assert_int_equal(c.send_bytes, 256 * 1024);
    assert_int_equal(c.send_high_bytes, 256 * 1024);
    assert_int_equal(c.send_low_bytes, 64 * 1024);
    assert_int_equal(c.send_max_bytes, 4 * MIB);
    assert_int_equal(c.system_send_bytes, 0);
    assert_int_equal(c.system_receive_bytes, 0);
    assert_int_equal(c.turn_bytes, 256 * 1024);
    assert_int_equal(c.turn_messages, 4096);
    assert_int_equal(c.first_message_timeout_ms, 30000);
    assert_int_equal(c.message_timeout_ms, 30000);
    assert_int_equal(c.receive_idle_timeout_ms, 600000);
    assert_int_equal(c.send_idle_timeout_ms, 0);
    assert_int_equal(c.send_progress_timeout_ms, 30000);
    assert_int_equal(c.linger_timeout_ms, 2000);
    assert_int_equal(c.stop_timeout_ms, 5000);
    assert_int_equal(c.accept_pause_ms, 50);
    assert_int_equal(c.recorder_records, 4096);
    assert_null(c.on_event);
    assert_null(c.on_log);
    assert_int_equal(config_resolve(&c, NULL), BERTH_OK);
    assert_int_equal(c.workers, thread_cpus()); /* each 0 is a number now */
    assert_int_equal(c.pool_bytes, 256 * MIB + 1000 * 4096);
    assert_int_equal(c.worker_connections_max, 1000);
    c.connections_max = 4000000;
    c.worker_connections_max = 0;
    c.pool_bytes = 0;
    assert_int_equal(config_resolve(&c, NULL), BERTH_OK);
    assert_int_equal(c.pool_bytes, 4096 * MIB); /* and no more */
}

#define U32(name) offsetof(struct berth_config, name), sizeof(uint32_t), #name
#define U64(name) offsetof(struct berth_config, name), sizeof(uint64_t), #name

/* A field's bounds, with all others at their default. */
static const struct {
    size_t offset;
    size_t bytes;
    const char *name;
    uint64_t least;
    uint64_t most;
    bool zero; /* 0 is below `least` and means: choose */
} bounds[] = {
    {U32(workers), 1, 1023, true},
    {U32(connections_max), 1, 4000000, false},
    {U32(connects_max), 0, 4000000, false},
    {U32(receive_bytes), 1, MIB, false},
    {U32(receive_buffers), 2, 32768, false},
    {U32(send_bytes), 1, 1024 * MIB, false},
    {U32(send_high_bytes), 65536, 4 * MIB, false}, /* between low and max */
    {U32(send_low_bytes), 0, 256 * 1024, false},
    {U32(send_max_bytes), 256 * 1024, 2048 * MIB - 1, false},
    {U32(system_send_bytes), 0, 1024 * MIB, false},
    {U32(system_receive_bytes), 0, 1024 * MIB, false},
    {U32(turn_bytes), 1, UINT32_MAX / 2, false},
    {U32(turn_messages), 1, UINT32_MAX / 2, false},
    {U32(first_message_timeout_ms), 0, 24 * 3600 * 1000, false},
    {U32(message_timeout_ms), 0, 24 * 3600 * 1000, false},
    {U32(receive_idle_timeout_ms), 0, 24 * 3600 * 1000, false},
    {U32(send_idle_timeout_ms), 0, 24 * 3600 * 1000, false},
    {U32(send_progress_timeout_ms), 0, 24 * 3600 * 1000, false},
    {U32(linger_timeout_ms), 1, 24 * 3600 * 1000, false},
    {U32(stop_timeout_ms), 1, 24 * 3600 * 1000, false},
    {U32(accept_pause_ms), 1, 24 * 3600 * 1000, false},
    {U32(recorder_records), 16, 1 << 20, false},
    {U64(pool_bytes), 1 * MIB, 1024 * 1024 * MIB, true},
};

static int resolve_with(size_t index, uint64_t value, struct berth_error *error)
{
    struct berth_config c;
    uint32_t value32 = (uint32_t)value;
    berth_config_init(&c);
    memcpy((char *)&c + bounds[index].offset,
           bounds[index].bytes == sizeof value32 ? (const void *)&value32 : (const void *)&value,
           bounds[index].bytes);
    *error = (struct berth_error){.text = ""};
    return config_resolve(&c, error);
}

static void refused(size_t index, uint64_t value)
{
    struct berth_error error;
    if (resolve_with(index, value, &error) != BERTH_E_INVALID) {
        fail_msg("%s = %llu is not refused", bounds[index].name, (unsigned long long)value);
    }
    assert_int_equal(error.code, BERTH_E_INVALID);
    assert_int_equal(error.system, 0);
    /* send_high_bytes is the bound of its neighbours: they may be the ones named. */
    assert_true(
        strcmp(error.setting, bounds[index].name) == 0 ||
        (strncmp(error.setting, "send_", 5) == 0 && strncmp(bounds[index].name, "send_", 5) == 0));
    assert_non_null(strstr(error.text, error.setting));
}

static void each_bound_is_held_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct berth_error error;
        uint64_t values[] = {bounds[i].least, bounds[i].most};
        for (size_t v = 0; v < 2; v++) {
            if (resolve_with(i, values[v], &error) != BERTH_OK) {
                fail_msg("%s = %llu: %s", bounds[i].name, (unsigned long long)values[v],
                         error.text);
            }
        }
        refused(i, bounds[i].most + 1);
        if (bounds[i].least > 0 && !(bounds[i].zero && bounds[i].least == 1)) {
            refused(i, bounds[i].least - 1);
        }
        if (bounds[i].zero) {
            assert_int_equal(resolve_with(i, 0, &error), BERTH_OK);
        }
    }
}

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    struct berth_config c;
    struct berth_error error;
    berth_config_init(&c);
    c.struct_bytes--;
    assert_int_equal(config_resolve(&c, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "struct_bytes");
    for (uint32_t buffers = 2; buffers <= 64; buffers++) {
        berth_config_init(&c);
        c.receive_buffers = buffers;
        bool power = (buffers & (buffers - 1)) == 0;
        assert_int_equal(config_resolve(&c, &error), power ? BERTH_OK : BERTH_E_INVALID);
        assert_true(power || strcmp(error.setting, "receive_buffers") == 0);
        berth_config_init(&c);
        c.recorder_records = 16 * buffers;
        assert_int_equal(config_resolve(&c, &error), power ? BERTH_OK : BERTH_E_INVALID);
        assert_true(power || strcmp(error.setting, "recorder_records") == 0);
    }
    berth_config_init(&c);
    c.connections_max = 4000000;
    c.connects_max = 4000000;
    assert_int_equal(config_resolve(&c, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "connects_max");
    berth_config_init(&c);
    c.workers = 3;
    c.connections_max = 100;
    c.worker_connections_max = 33;
    assert_int_equal(config_resolve(&c, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "worker_connections_max");
    berth_config_init(&c);
    c.backend = (enum berth_backend)7;
    assert_int_equal(config_resolve(&c, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "backend");
    assert_int_equal(config_resolve(&c, NULL), BERTH_E_INVALID); /* nobody need be told */
}

static void layout_of(uint32_t connections, uint32_t connects, uint64_t pool)
{
    struct berth_config c;
    struct layout l;
    berth_config_init(&c);
    c.connections_max = connections;
    c.connects_max = connects;
    c.pool_bytes = pool;
    assert_int_equal(config_resolve(&c, NULL), BERTH_OK);
    layout_plan(&c, &l);
    size_t plans = connects; /* at least: core may keep a few to spare */
    assert_true(l.slots >= connections + connects);
    assert_true(l.pool_bytes <= c.pool_bytes && l.pool_bytes + 4096 > c.pool_bytes);
    /* The parts, in order; each begins at a page and ends before the next. */
    const size_t begins[] = {l.conns_at,    l.plans_at,    l.plan_entries_at,
                             l.refusals_at, l.recorder_at, l.receive_at,
                             l.account_at,  l.pool_at,     l.bytes};
    const size_t sizes[] = {l.slots * sizeof(struct berth_conn),
                            plans * sizeof(struct plan),
                            plans * sizeof(struct slots_entry),
                            REFUSALS_KEPT * sizeof(struct refusal),
                            (size_t)c.recorder_records * sizeof(struct berth_record),
                            (size_t)c.receive_bytes * c.receive_buffers,
                            pool_account_bytes(l.pool_bytes),
                            l.pool_bytes};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(begins[i] % 4096, 0);
        assert_true(begins[i] + sizes[i] <= begins[i + 1]);
    }
}

static void the_parts_of_a_block_do_not_overlap(void **state)
{
    (void)state;
    layout_of(1, 0, MIB);
    layout_of(1, 1, MIB + 12345);
    layout_of(1000, 0, 0);
    layout_of(77, 1234, 3 * MIB + 1);
    layout_of(4000000, 100000, 0);
}

/* Everything as large as it may be: still less than a process has addresses for. */
/* A worker has slots for what it may take, and no more. */
static void a_worker_may_take_less_than_all(void **state)
{
    (void)state;
    struct berth_config c;
    struct layout l;
    const struct {
        uint32_t given, slots;
    } shares[] = {{0, 100}, {34, 34}, {99, 99}, {100, 100}, {4000001, 100}};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        berth_config_init(&c);
        c.workers = 3;
        c.connections_max = 100;
        c.worker_connections_max = shares[i].given;
        assert_int_equal(config_resolve(&c, NULL), BERTH_OK);
        layout_plan(&c, &l);
        assert_int_equal(l.slots, shares[i].slots);
    }
}

static void the_largest_block_has_addresses(void **state)
{
    (void)state;
    struct berth_config c;
    struct layout l;
    struct berth_error error = {.text = ""};
    berth_config_init(&c);
    c.workers = 1;
    c.connections_max = 4000000;
    c.connects_max = SLOTS_MAX - SPARE_PLANS - c.connections_max;
    c.pool_bytes = 1024 * 1024 * MIB; /* 1 TiB */
    c.receive_buffers = 32768;
    c.receive_bytes = (uint32_t)MIB;
    c.conn_space_bytes = (uint32_t)MIB;
    c.recorder_records = 1u << 20;
    assert_int_equal(config_resolve(&c, &error), BERTH_OK);
    layout_plan(&c, &l);
    assert_true(l.bytes > (size_t)5 << 40);
    assert_true(l.bytes < (size_t)6 << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(each_bound_is_held_and_named),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(the_parts_of_a_block_do_not_overlap),
        cmocka_unit_test(a_worker_may_take_less_than_all),
        cmocka_unit_test(the_largest_block_has_addresses),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
