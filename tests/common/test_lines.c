/* How lines leave the journal: whole ones to whatever is no file, what belongs together together,
 * and with times from the start that it was told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/journal.h"

#define LINES 3000
#define ROOM  (LINES * 100)

static char why[JOURNAL_WHY_BYTES];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void put(struct journal_ring *ring, enum entry_mode mode, uint64_t index, uint64_t at_ns)
{
    struct entry *entry = journal_entry(ring, mode, EVENT_NOTE, 0, at_ns);
    entry_number(entry, KEY_INDEX, index);
    journal_done(ring);
}

/* The journal writes to a socket in the place of stderr, which keeps its writes apart. */
struct ends {
    int ours;
    int standard_error;
};

static struct journal *open_on_socket(struct ends *ends, struct journal_options options)
{
    int pair[2];
    int room = ROOM;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    ends->ours = pair[0];
    ends->standard_error = dup(STDERR_FILENO);
    assert_true(dup2(pair[1], STDERR_FILENO) >= 0);
    close(pair[1]);
    options.program = "test";
    options.version = "1";
    struct journal *journal = journal_open(&options, why);
    assert_non_null(journal);
    return journal;
}

/* Everything that was written, each write as it was, up to the end of the stream. */
static size_t hear(struct ends *ends, char *out, size_t most, size_t *largest)
{
    size_t all = 0;
    ssize_t got;
    while (all < most && (got = recv(ends->ours, out + all, most - all, 0)) > 0) {
        assert_int_equal(out[all + (size_t)got - 1], '\n'); /* a write ends where a line does */
        *largest = (size_t)got > *largest ? (size_t)got : *largest;
        all += (size_t)got;
    }
    out[all] = '\0';
    return all;
}

static void give_stderr_back(struct ends *ends)
{
    assert_true(dup2(ends->standard_error, STDERR_FILENO) >= 0);
    close(ends->standard_error);
}

static void a_write_is_of_whole_lines(void **state)
{
    (void)state;
    struct ends ends;
    struct journal *journal = open_on_socket(&ends, (struct journal_options){.workers = 1});
    static char text[ROOM];
    size_t largest = 0;
    for (uint64_t i = 0; i < LINES / 10; i++) {
        put(journal_ring(journal, 0), ENTRY_ERROR, i, now_ns());
    }
    struct journal_end end = journal_close(journal);
    give_stderr_back(&ends);
    assert_int_equal(end.lines, LINES / 10);
    hear(&ends, text, sizeof text - 1, &largest);
    assert_true(largest > 1000); /* and of many */
    close(ends.ours);
}

/* What a flight recorder held is of the past, and is not mixed with what happens meanwhile. */
static void a_dump_stays_together(void **state)
{
    (void)state;
    struct ends ends;
    struct journal *journal = open_on_socket(&ends, (struct journal_options){.workers = 1});
    uint64_t start = now_ns();
    for (uint64_t i = 1; i <= 20; i++) {
        put(journal_ring(journal, 0), ENTRY_ERROR, i, start + i);
    }
    for (uint64_t i = 1; i <= 20; i++) {
        put(journal_ring(journal, 1), ENTRY_RECORDER, i, start + i * 7 % 19);
    }
    journal_close(journal);
    give_stderr_back(&ends);
    static char text[ROOM];
    size_t largest = 0;
    hear(&ends, text, sizeof text - 1, &largest);
    const char *first = strstr(text, " recorder ");
    assert_non_null(first);
    const char *at = first;
    for (uint64_t i = 1; i <= 20; i++) { /* in the order in which they were put */
        char wanted[80];
        int length = snprintf(wanted, sizeof wanted, " recorder    note            index=%llu\n",
                              (unsigned long long)i);
        if (strncmp(at, wanted, (size_t)length) != 0) {
            fail_msg("instead of line %llu of the dump came: %.120s", (unsigned long long)i, at);
        }
        at = strstr(at + length, " recorder ");
        assert_true(at != NULL || i == 20);
        const char *other = strstr(first, " error ");
        assert_true(at == NULL || other == NULL || other > at || other < first);
    }
    close(ends.ours);
}

static void times_count_from_the_start_that_was_said(void **state)
{
    (void)state;
    struct ends ends;
    uint64_t start = now_ns() - UINT64_C(5000000000);
    struct journal *journal =
        open_on_socket(&ends, (struct journal_options){.workers = 1, .start_ns = start});
    put(journal_ring(journal, 0), ENTRY_ERROR, 1, start + UINT64_C(1500000000));
    journal_close(journal);
    give_stderr_back(&ends);
    char text[1000];
    char wanted[100];
    size_t largest = 0;
    hear(&ends, text, sizeof text - 1, &largest);
    snprintf(wanted, sizeof wanted,
             "# test 1 start_monotonic_ns=%llu start=", (unsigned long long)start);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, "\n    1.500000000 w0 "));
    close(ends.ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_of_whole_lines),
        cmocka_unit_test(a_dump_stays_together),
        cmocka_unit_test(times_count_from_the_start_that_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
