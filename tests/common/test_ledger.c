/* The ledger's file: the bytes that docs/LEDGER.md says, pages in one piece whoever puts them, and
 * no end where a record is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/ledger.h"
#include "common/little.h"

#define THREADS    4
#define PAGES_EACH 2000
#define PAGE       5

static char path[64];
static char why[LEDGER_WHY_BYTES];

/* A file that was read, record by record. */
static struct {
    uint8_t *bytes;
    size_t count;
} file;

static const uint8_t *record(size_t at)
{
    assert_true(at < file.count);
    return file.bytes + at * LEDGER_RECORD_BYTES;
}

static void forget_file(void)
{
    free(file.bytes);
    file.bytes = NULL;
    file.count = 0;
}

/* Each record in its place, with its CRC. */
static void read_file(void)
{
    struct stat is;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &is), 0);
    assert_int_equal(is.st_size % LEDGER_RECORD_BYTES, 0);
    forget_file();
    file.bytes = malloc((size_t)is.st_size + 1);
    assert_non_null(file.bytes);
    assert_int_equal(fread(file.bytes, 1, (size_t)is.st_size, in), is.st_size);
    fclose(in);
    file.count = (size_t)is.st_size / LEDGER_RECORD_BYTES;
    for (size_t i = 0; i < file.count; i++) {
        assert_int_equal(little_get32(record(i) + 56), i);
        assert_int_equal(little_get32(record(i) + 60), crc32c(record(i), 60));
    }
}

static struct ledger *open_with(const char *line)
{
    static struct ledger_text text;
    text.length = 0;
    ledger_say(&text, "%s", line);
    struct ledger *ledger = ledger_open(path, &text, why);
    if (ledger == NULL) {
        fail_msg("not opened: %s", why);
    }
    return ledger;
}

static const struct ledger_page no_totals = {.count = 0};

static void a_record_is_what_the_page_says(void **state)
{
    static const uint8_t expected[56] = {
        15, 3, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde, 1, 0, 0, 0, 2, 0, 0,
        0,  0, 0,    0,    0x80, 3,    0,    0,    0,    0,    0,    0,    0, 4, 0, 0, 0, 0, 0,
        0,  0, 5,    0,    0,    0,    0,    0,    0,    0,    6,    0,    0, 0, 0, 0, 0, 0};
    (void)state;
    struct ledger *ledger = open_with("a b\n");
    const struct ledger_record put = {
        .kind = LEDGER_UNKNOWN,
        .reason = 3,
        .worker = 0x1234,
        .client = 0x12345678,
        .connection = 0xdeadbeef,
        .life = 1,
        .first = UINT64_C(0x8000000000000002),
        .last = 3,
        .count = 4,
        .bytes = 5,
        .wire = 6,
    };
    ledger_put(ledger, &put, 1);
    assert_true(ledger_close(ledger, &no_totals, why));
    read_file();
    assert_int_equal(file.count, 4);
    assert_int_equal(record(0)[0], LEDGER_HEADER);
    assert_int_equal(little_get64(record(0) + 16), 1); /* the format */
    assert_int_equal(little_get64(record(0) + 32), 1); /* texts */
    assert_int_equal(record(1)[0], LEDGER_TEXT);
    assert_memory_equal(record(1) + 16, "a b\n\0", 5);
    assert_memory_equal(record(2), expected, sizeof expected);
    assert_int_equal(record(3)[0], LEDGER_END);
    assert_int_equal(little_get64(record(3) + 32), 3);
}

/* Texts come back whole, also where they fill their records. */
static void a_text_of_any_length(void **state)
{
    static const size_t lengths[] = {0, 1, 39, 40, 41, 79, 80, 81, 120, 199};
    char line[200];
    (void)state;
    for (size_t which = 0; which < sizeof lengths / sizeof lengths[0]; which++) {
        size_t length = lengths[which];
        memset(line, 'x', length);
        line[length] = '\0';
        assert_true(ledger_close(open_with(line), &no_totals, why));
        read_file();
        size_t texts = (length + 39) / 40;
        assert_int_equal(file.count, texts + 2);
        for (size_t i = 0; i < length; i++) {
            assert_int_equal(record(1 + i / 40)[16 + i % 40], 'x');
        }
    }
}

static void a_text_is_cut_between_lines(void **state)
{
    static struct ledger_text text;
    (void)state;
    text.length = 0;
    for (unsigned i = 0; i < LEDGER_TEXT_BYTES_MAX; i++) {
        ledger_say(&text, "line %5u\n", i);
    }
    assert_int_equal(text.length % 11, 0);
    assert_in_range(text.length, LEDGER_TEXT_BYTES_MAX - 11, LEDGER_TEXT_BYTES_MAX);
    assert_int_equal(text.bytes[text.length - 1], '\n');
}

static void *put_pages(void *argument)
{
    struct ledger *ledger = argument;
    static _Atomic uint32_t threads;
    uint32_t thread = ++threads;
    for (uint32_t i = 0; i < PAGES_EACH; i++) {
        struct ledger_page page = {.key = {.client = thread, .connection = i}, .count = 0};
        for (unsigned line = 0; line < PAGE; line++) {
            ledger_line(&page, LEDGER_SENT, line)->count = line;
        }
        ledger_put(ledger, page.records, page.count);
    }
    return NULL;
}

/* Whoever puts: what is put together stands together, in the order of its thread, and all of it. */
static void pages_stay_whole(void **state)
{
    pthread_t threads[THREADS];
    uint32_t next[THREADS + 1] = {0};
    struct ledger_page totals = {.count = 0};
    (void)state;
    struct ledger *ledger = open_with("");
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_pages, ledger), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ledger_count(&totals, LEDGER_SENT | LEDGER_TOTAL, 0, 0);
    ledger_count(&totals, LEDGER_SENT | LEDGER_TOTAL, 0, 77);
    assert_false(ledger_failed(ledger));
    assert_true(ledger_close(ledger, &totals, why));
    read_file();
    assert_int_equal(file.count, 1 + THREADS * PAGES_EACH * PAGE + 2);
    for (size_t i = 1; i + 2 < file.count; i++) {
        size_t line = (i - 1) % PAGE;
        uint32_t thread = little_get32(record(i) + 4);
        assert_in_range(thread, 1, THREADS);
        assert_int_equal(record(i)[1], line);
        assert_int_equal(little_get32(record(i) + 8), next[thread]);
        next[thread] += line + 1 == PAGE ? 1 : 0;
    }
    assert_int_equal(record(file.count - 2)[0], LEDGER_SENT | LEDGER_TOTAL);
    assert_int_equal(little_get64(record(file.count - 2) + 32), 77);
    assert_int_equal(little_get64(record(file.count - 1) + 32), file.count - 1);
}

static void without_totals_there_is_no_end(void **state)
{
    (void)state;
    assert_true(ledger_close(open_with("a"), NULL, why));
    read_file();
    assert_int_equal(file.count, 2);
    assert_true(ledger_close(NULL, NULL, why));
}

static void refuses(const char *name, const char *because)
{
    static const struct ledger_text text = {.length = 0};
    assert_null(ledger_open(name, &text, why));
    if (strstr(why, name) == NULL || strstr(why, because) == NULL) {
        fail_msg("%s: refused with: %s", name, why);
    }
}

/* A fifo too: nobody may ever read it. */
static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    refuses("/dev/full", "No space");
    refuses("/nowhere/at/all", "No such file");
    refuses("/", "directory");
    (void)unlink(path);
    assert_int_equal(mkfifo(path, S_IRUSR | S_IWUSR), 0);
    refuses(path, "No such device");
    assert_int_equal(unlink(path), 0);
}

/* As on a disk that fills in the middle of a run. */
static void a_file_that_cannot_grow_gets_no_end(void **state)
{
    const struct rlimit small = {.rlim_cur = 100 * LEDGER_RECORD_BYTES + 10,
                                 .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    struct ledger_record line = {.kind = LEDGER_SENT};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct ledger *ledger = open_with("");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 200; i++) {
        ledger_put(ledger, &line, 1);
    }
    bool whole = ledger_close(ledger, &no_totals, why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(whole);
    assert_non_null(strstr(why, "File too large"));
    assert_int_equal(truncate(path, 100 * LEDGER_RECORD_BYTES), 0); /* the torn one */
    read_file();
    assert_int_not_equal(record(file.count - 1)[0], LEDGER_END);
}

/* More than may wait at once: nothing more is taken, and the end is not written. */
static void a_slow_disk_is_told(void **state)
{
    const size_t count = (1u << 20) + 1000;
    (void)state;
    struct ledger_record *lines = calloc(count, sizeof *lines);
    assert_non_null(lines);
    struct ledger *ledger = open_with("");
    ledger_put(ledger, lines, count); /* in one go: the writer cannot take any meanwhile */
    assert_true(ledger_failed(ledger));
    assert_false(ledger_close(ledger, &no_totals, why));
    assert_non_null(strstr(why, " lacks 1000 records"));
    read_file();
    assert_int_equal(file.count, count - 1000 + 1);
    free(lines);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "ledger-%ld", (long)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    forget_file();
    (void)unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_what_the_page_says),
        cmocka_unit_test(a_text_of_any_length),
        cmocka_unit_test(a_text_is_cut_between_lines),
        cmocka_unit_test(pages_stay_whole),
        cmocka_unit_test(without_totals_there_is_no_end),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(a_file_that_cannot_grow_gets_no_end),
        cmocka_unit_test(a_slow_disk_is_told),
    };
    return cmocka_run_group_tests_name("ledger", tests, set_up, tear_down);
}
