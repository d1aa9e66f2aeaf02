/* The log's rings and its writer: nothing lost at an end, everything in the order of time, losses
 * counted, and nobody held up by a reader that does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/journal.h"

#define THREADS 3
#define EACH    20000u

static char folder[32]; /* of this process alone, in the one it was started in */
static char path[200];
static char why[JOURNAL_WHY_BYTES];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static const char *file_of(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct journal *open_journal(struct journal_options options)
{
    options.program = "test";
    options.version = "1.2";
    struct journal *journal = journal_open(&options, why);
    if (journal == NULL) {
        fail_msg("not opened: %s", why);
    }
    return journal;
}

static void put(struct journal_ring *ring, uint64_t index)
{
    struct entry *entry = journal_entry(ring, ENTRY_FLOW, EVENT_SENT, 7, now_ns());
    entry_number(entry, KEY_INDEX, index);
    journal_done(ring);
}

struct filler {
    pthread_t thread;
    struct journal_ring *ring;
};

static void *fill(void *argument)
{
    struct filler *filler = argument;
    for (uint64_t i = 1; i <= EACH; i++) {
        put(filler->ring, i);
    }
    return NULL;
}

/* Each thread's entries are all there, in its order; without a loss, as the rings have room. */
static void nothing_is_lost_at_the_end(void **state)
{
    (void)state;
    struct filler fillers[THREADS];
    uint64_t seen[THREADS] = {0};
    uint64_t last = 0;
    unsigned long out_of_order = 0;
    char text[300];
    struct journal *journal =
        open_journal((struct journal_options){.path = file_of("all"), .workers = THREADS});
    for (uint32_t i = 0; i < THREADS; i++) {
        fillers[i].ring = journal_ring(journal, i);
        assert_int_equal(pthread_create(&fillers[i].thread, NULL, fill, &fillers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(fillers[i].thread, NULL);
    }
    struct journal_end end = journal_close(journal);
    assert_int_equal(end.lines, THREADS * EACH);
    assert_int_equal(end.lost, 0);
    assert_int_equal(end.error, 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_memory_equal(text, "# test 1.2 start_monotonic_ns=", 30);
    while (fgets(text, sizeof text, file) != NULL) {
        char *at = text;
        uint64_t t = strtoull(at, &at, 10) * UINT64_C(1000000000);
        t += *at == '.' ? strtoull(at + 1, &at, 10) : 0;
        unsigned long worker = strncmp(at, " w", 2) == 0 ? strtoul(at + 2, &at, 10) : THREADS;
        const char *index = strstr(at, " 7          flow        sent            index=");
        if (worker >= THREADS || index == NULL) {
            fail_msg("a line is %s", text);
        }
        assert_int_equal(strtoul(strchr(index, '=') + 1, NULL, 10), ++seen[worker]);
        out_of_order += t < last ? 1 : 0;
        last = t;
    }
    fclose(file);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(seen[i], EACH);
    }
    /* Within one look of the writer all is sorted; two looks may overlap by an entry. */
    assert_true(out_of_order < EACH / 10);
}

/* Filled faster than it can ever be written: the count of what is there and what is lost is right,
 * and the log says it. */
static void losses_are_counted_and_said(void **state)
{
    (void)state;
    char text[300];
    uint64_t lines = 0;
    uint64_t said = 0;
    struct journal *journal =
        open_journal((struct journal_options){.path = file_of("lost"), .ring_entries = 16});
    for (uint64_t i = 0; i < EACH; i++) {
        put(journal_ring(journal, 0), i);
    }
    struct journal_end end = journal_close(journal);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    while (fgets(text, sizeof text, file) != NULL) {
        const char *count = strstr(text, "error       lost            count=");
        if (count != NULL) {
            said += strtoull(strchr(count, '=') + 1, NULL, 10);
        } else {
            lines++;
        }
    }
    fclose(file);
    assert_true(said > 0);
    assert_int_equal(said, end.lost);
    assert_int_equal(lines + said, EACH);
}

/* A fifo without a reader: opening, filling and ending wait for nobody. */
static void a_fifo_that_nobody_reads_holds_up_nobody(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(file_of("fifo"), 0600), 0);
    struct journal *journal = open_journal(
        (struct journal_options){.path = path, .ring_entries = 1024, .patience_ms = 1});
    for (uint64_t i = 0; i < EACH; i++) {
        put(journal_ring(journal, 0), i);
    }
    struct journal_end end = journal_close(journal);
    assert_true(end.unread);
    assert_true(end.lost > 0);
    /* One line at the cut may be written by half and count as lost; the loss lines are lines too.
     */
    assert_true(end.lines + end.lost >= EACH);
}

static void *read_all(void *argument)
{
    static char all[4000000];
    int file = *(int *)argument;
    size_t bytes = 0;
    ssize_t got;
    while ((got = read(file, all + bytes, sizeof all - bytes - 1)) > 0) {
        bytes += (size_t)got;
        all[bytes] = '\0';
        if (strstr(all + (bytes > 200 ? bytes - 200 : 0), "index=20000") != NULL) {
            break;
        }
    }
    return all;
}

/* The same with a reader: it gets every line. */
static void a_fifo_that_is_read_loses_nothing(void **state)
{
    (void)state;
    pthread_t reader;
    void *all;
    assert_int_equal(mkfifo(file_of("read"), 0600), 0);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &file), 0);
    struct journal *journal = open_journal((struct journal_options){.path = path});
    for (uint64_t i = 1; i <= EACH; i++) {
        put(journal_ring(journal, 0), i);
    }
    struct journal_end end = journal_close(journal);
    pthread_join(reader, &all);
    close(file);
    assert_int_equal(end.lines, EACH);
    assert_int_equal(end.lost, 0);
    size_t newlines = 0;
    for (const char *at = all; (at = strchr(at, '\n')) != NULL; at++) {
        newlines++;
    }
    assert_int_equal(newlines, EACH + 1);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct journal *journal = open_journal((struct journal_options){.path = "/dev/full"});
    put(journal_ring(journal, 0), 1);
    put(journal_ring(journal, 0), 2);
    struct journal_end end = journal_close(journal);
    assert_int_equal(end.error, ENOSPC);
    assert_int_equal(end.lines, 0);
    assert_int_equal(end.lost, 2);
}

/* A file that may not grow any more, as on a full disk: it ends with a whole line, and what is in
 * it is what the count says. */
static void a_file_that_cannot_grow_ends_with_a_whole_line(void **state)
{
    (void)state;
    struct rlimit before;
    char text[300];
    uint64_t lines = 0;
    bool whole = true;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
    struct journal *journal =
        open_journal((struct journal_options){.path = file_of("small"), .json = true});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (uint64_t i = 1; i <= 100; i++) {
        put(journal_ring(journal, 0), i);
    }
    struct journal_end end = journal_close(journal);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(end.error, EFBIG);
    assert_int_equal(end.lines + end.lost, 100);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    while (fgets(text, sizeof text, file) != NULL) {
        whole = whole && strstr(text, "}\n") != NULL;
        lines++;
    }
    fclose(file);
    assert_true(whole);
    assert_int_equal(lines, end.lines);
}

/* The writer sleeps once nothing came for a while; an entry wakes it. */
static void an_entry_after_a_silence_is_written(void **state)
{
    (void)state;
    char text[300];
    int ends[2];
    struct journal_ring *ring;
    snprintf(text, sizeof text, "/dev/fd/%d", pipe(ends) == 0 ? ends[1] : -1);
    struct journal *journal = open_journal((struct journal_options){.path = text});
    FILE *log = fdopen(ends[0], "r");
    assert_non_null(log);
    assert_non_null(fgets(text, sizeof text, log));
    ring = journal_ring(journal, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        while (!atomic_load(&ring->sleep->asleep)) {
            sched_yield();
        }
        put(ring, i);
        assert_non_null(fgets(text, sizeof text, log)); /* hangs if it sleeps on */
        const char *index = strstr(text, "index=");
        assert_non_null(index);
        assert_int_equal(strtoul(index + 6, NULL, 10), i);
    }
    assert_int_equal(journal_close(journal).lines, 3);
    fclose(log);
    close(ends[1]);
}

static void a_folder_gets_a_new_file_each_time(void **state)
{
    (void)state;
    char first[200];
    struct journal *journal = open_journal((struct journal_options){.path = folder, .json = true});
    snprintf(first, sizeof first, "%s", journal_path(journal));
    journal_close(journal);
    journal = open_journal((struct journal_options){.path = folder});
    assert_string_not_equal(first, journal_path(journal));
    journal_close(journal);
    const char *name = first + strlen(folder) + 1;
    assert_memory_equal(name, "test-", 5);
    assert_int_equal(strspn(name + 5, "0123456789"), 12);
    assert_string_equal(name + 17, ".log");
}

static void what_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct journal_options options = {
        .program = "test", .version = "1", .path = "no/such/folder/log"};
    assert_null(journal_open(&options, why));
    if (strstr(why, "no/such/folder/log") == NULL) {
        fail_msg("it said: %s", why);
    }
    options.path = "no-such-folder/";
    assert_null(journal_open(&options, why));
    assert_string_equal(why, "no-such-folder/: No such file or directory");
}

static void modes_are_switched(void **state)
{
    (void)state;
    struct journal *journal = open_journal((struct journal_options){
        .path = file_of("modes"), .modes = ENTRY_MODE_BIT(ENTRY_DATA), .workers = 1});
    struct journal_ring *ring = journal_ring(journal, 0);
    assert_false(journal_wants(ring, ENTRY_FLOW));
    assert_true(journal_wants(ring, ENTRY_DATA));
    assert_true(journal_wants(ring, ENTRY_ERROR));
    assert_true(journal_switch(journal, ENTRY_FLOW, true));
    assert_false(journal_switch(journal, ENTRY_FLOW, true));
    assert_true(journal_wants(ring, ENTRY_FLOW));
    assert_true(journal_switch(journal, ENTRY_FLOW, false));
    assert_false(journal_wants(ring, ENTRY_FLOW));
    assert_null(journal_ring(journal, 2));
    journal_close(journal);
    assert_false(journal_wants(journal_ring(NULL, 0), ENTRY_ERROR));
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "journal-%ld", (long)getpid());
    return mkdir(folder, S_IRWXU);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf ./%s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_at_the_end),
        cmocka_unit_test(losses_are_counted_and_said),
        cmocka_unit_test(a_fifo_that_nobody_reads_holds_up_nobody),
        cmocka_unit_test(a_fifo_that_is_read_loses_nothing),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_file_that_cannot_grow_ends_with_a_whole_line),
        cmocka_unit_test(an_entry_after_a_silence_is_written),
        cmocka_unit_test(a_folder_gets_a_new_file_each_time),
        cmocka_unit_test(what_cannot_be_opened_is_named),
        cmocka_unit_test(modes_are_switched),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
