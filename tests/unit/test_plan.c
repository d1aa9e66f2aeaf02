/* The memory plan: what it says is reserved is what was reserved, to the page, on both backends;
 * and where the kernel shows names of mappings, theirs add up to the same.
 */
#include "unit/help_server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define WORKERS 3

static _Atomic size_t reserved;

void *__real_memory_reserve(size_t bytes);
void *__wrap_memory_reserve(size_t bytes);
void __real_memory_release(void *at, size_t bytes);
void __wrap_memory_release(void *at, size_t bytes);

void *__wrap_memory_reserve(size_t bytes)
{
    atomic_fetch_add(&reserved, memory_pages(bytes));
    return __real_memory_reserve(bytes);
}

void __wrap_memory_release(void *at, size_t bytes)
{
    atomic_fetch_sub(&reserved, at != NULL ? memory_pages(bytes) : 0);
    __real_memory_release(at, bytes);
}

/* Of the mappings with a name of ours; 0 where the kernel keeps none. */
static size_t named_bytes(void)
{
    char line[512];
    size_t bytes = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *dash;
        if (strstr(line, "[anon:berth: ") != NULL) {
            unsigned long from = strtoul(line, &dash, 16);
            bytes += strtoul(dash + 1, NULL, 16) - from;
        }
    }
    fclose(maps);
    return bytes;
}

static void what_is_reserved_is_in_the_plan(void **state)
{
    (void)state;
    static const uint32_t spaces[] = {0, 100};
    struct berth_protocol protocol = {.framing = berth_framing_seed(100)};
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
        struct berth_config config;
        struct berth_plan plan;
        live_settings(&config);
        config.workers = WORKERS;
        config.connects_max = 5;
        config.conn_space_bytes = spaces[i];
        struct berth_server *server = live_create(&config);
        live_listen_on(server, &protocol);
        live_start(server);
        berth_plan(server, 10, &plan);
        assert_int_equal(plan.workers, WORKERS);
        assert_int_equal(plan.all.reserved, atomic_load(&reserved));
        assert_int_equal(plan.all.reserved, plan.slots.reserved + plan.spaces.reserved +
                                                plan.receive.reserved + plan.pool.reserved +
                                                plan.post.reserved + plan.other.reserved);
        assert_true(plan.spaces.resident >= 10 * spaces[i]);
        assert_true(plan.all.resident < plan.all.reserved);
        size_t named = named_bytes();
        assert_true(named == 0 || named == plan.all.reserved);
        live_end(server);
        assert_int_equal(atomic_load(&reserved), 0);
    }
}

static void no_more_than_is_reserved_is_resident(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_plan few;
    struct berth_plan many;
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    berth_plan(server, 0, &few);
    berth_plan(server, UINT32_MAX, &many);
    assert_int_equal(few.slots.resident, 0);
    assert_true(many.slots.resident > 0 && many.slots.resident <= many.slots.reserved);
    assert_int_equal(few.pool.resident, many.pool.resident);
    berth_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(what_is_reserved_is_in_the_plan),
        LIVE_ON_BOTH(no_more_than_is_reserved_is_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
