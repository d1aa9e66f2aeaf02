/* The flight recorder's ring: the newest records, whole, whoever copies and whenever. */
#include "core/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"

#define SIZE_MOST 64

static _Alignas(64) uint64_t room[SIZE_MOST * RECORD_WORDS];

static void empty(struct recorder *recorder, uint32_t size)
{
    memset(room, 0, sizeof room);
    recorder_init(recorder, room, size);
}

/* Record number n: every word says so, so that a torn one shows. */
static struct berth_record numbered(uint64_t n)
{
    return (struct berth_record){.time_ns = n,
                                 .conn = ~n,
                                 .event = (uint16_t)(n * 3),
                                 .worker = (uint16_t)(n * 5),
                                 .count = (uint32_t)(n * 7),
                                 .value = n * 11};
}

static bool is_whole(const struct berth_record *record)
{
    struct berth_record expected = numbered(record->time_ns);
    return memcmp(record, &expected, sizeof expected) == 0;
}

static void put_many(struct recorder *recorder, uint64_t first, uint64_t end)
{
    for (uint64_t n = first; n < end; n++) {
        struct berth_record record = numbered(n);
        recorder_put(recorder, &record);
    }
}

/* The copy must be the records `first` to `end` - 1. */
static void expect(const struct recorder *recorder, size_t max, uint64_t first, uint64_t end)
{
    struct berth_record got[SIZE_MOST];
    assert_int_equal(recorder_copy(recorder, got, max), end - first);
    for (uint64_t n = first; n < end; n++) {
        assert_int_equal(got[n - first].time_ns, n);
        assert_true(is_whole(&got[n - first]));
    }
}

static void the_newest_are_kept_in_order(void **state)
{
    (void)state;
    struct recorder recorder;
    empty(&recorder, 16);
    expect(&recorder, SIZE_MOST, 0, 0);
    put_many(&recorder, 0, 5);
    expect(&recorder, SIZE_MOST, 0, 5);
    expect(&recorder, 5, 0, 5);
    expect(&recorder, 2, 3, 5);
    expect(&recorder, 0, 5, 5);
    put_many(&recorder, 5, 15);
    expect(&recorder, SIZE_MOST, 0, 15);
    put_many(&recorder, 15, 100); /* over its end, many times */
    expect(&recorder, SIZE_MOST, 85, 100);
    expect(&recorder, 15, 85, 100);
    expect(&recorder, 4, 96, 100);
}

struct writing {
    struct recorder recorder;
    _Atomic bool over;
};

static void *write_on(void *argument)
{
    struct writing *writing = argument;
    put_many(&writing->recorder, 0, 200000);
    atomic_store(&writing->over, true);
    return NULL;
}

/* Whatever is copied while another thread writes is whole, and without a gap. */
static void a_copy_while_it_is_written_holds_whole_records(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 64};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct writing writing = {.over = false};
        pthread_t thread;
        uint64_t newest = 0;
        empty(&writing.recorder, sizes[s]);
        assert_int_equal(thread_start(&thread, "writer", write_on, &writing), 0);
        bool over = false;
        while (!over) {
            struct berth_record got[SIZE_MOST];
            over = atomic_load(&writing.over);
            size_t count = recorder_copy(&writing.recorder, got, SIZE_MOST);
            for (size_t i = 0; i < count; i++) {
                if (!is_whole(&got[i]) || got[i].time_ns != got[0].time_ns + i) {
                    pthread_join(thread, NULL);
                    fail_msg("record %zu of %zu is torn: time %llu, value %llu, the first's time "
                             "%llu",
                             i, count, (unsigned long long)got[i].time_ns,
                             (unsigned long long)got[i].value, (unsigned long long)got[0].time_ns);
                }
            }
            if (count > 0) {
                assert_true(got[count - 1].time_ns >= newest);
                newest = got[count - 1].time_ns;
            }
        }
        pthread_join(thread, NULL);
        assert_int_equal(newest, 199999);
    }
}

static void every_event_has_a_name_of_its_own(void **state)
{
    (void)state;
    static const char *const names[] = {
#define NAME_OF(constant, number, name, watch, text) name,
        BERTH_EVENTS(NAME_OF)
#undef NAME_OF
    };
    size_t count = sizeof names / sizeof names[0];
    for (uint32_t number = 1; number <= count; number++) { /* numbered without a gap */
        const char *name = berth_event_name(number);
        assert_non_null(name);
        assert_string_equal(name, names[number - 1]);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        assert_non_null(berth_event_text(number));
        for (uint32_t other = 1; other < number; other++) {
            assert_string_not_equal(name, berth_event_name(other));
        }
    }
    assert_null(berth_event_name(0));
    assert_null(berth_event_name((uint32_t)count + 1));
    assert_null(berth_event_text(UINT32_MAX));
    assert_string_equal(berth_pause_name(BERTH_PAUSE_QUEUE), "queue");
    assert_null(berth_pause_name(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept_in_order),
        cmocka_unit_test(a_copy_while_it_is_written_holds_whole_records),
        cmocka_unit_test(every_event_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
