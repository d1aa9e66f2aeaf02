/* Every allocation of the library, counted, and one of them failed (help_allocations.c).
 *
 *     allocations_arm(FAIL_ONE, 7);     the seventh fails
 *     ...
 *     allocations_relent();             memory is back, and counting goes on
 *     allocations_disarm();
 *     allocations_check(...);           nothing may be out any more
 */
#ifndef BERTH_TESTS_TORTURE_HELP_ALLOCATIONS_H
#define BERTH_TESTS_TORTURE_HELP_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fail_mode {
    FAIL_NONE, /* counts only */
    FAIL_ONE,  /* that one alone: the next try succeeds */
    FAIL_ON,   /* that one and all that follow, until allocations_relent */
};

/* Begins to count from 0; number `point`, counted from 1, fails. */
void allocations_arm(enum fail_mode mode, uint32_t point);

/* Whether it is the system calls of a ring that count, which the kernel may have no memory for, and
 * nothing else. Off after an arm. */
void allocations_are_enters(bool yes);

/* From here on none fails. Any thread. */
void allocations_relent(void);

/* Ends counting. Returns how many there were. */
uint32_t allocations_disarm(void);

/* Since the arm: how many there were; whether one has failed; whether they still do. Any thread. */
uint32_t allocations_count(void);
bool allocations_failed(void);
bool allocations_fail(void);
enum fail_mode allocations_mode(void);

/* Forgets what was got before main: a compiler's own runtime, linked in with what it instruments,
 * may keep something. */
void allocations_begin(void);

/* What failed first: "pool_take of 512 bytes". Static memory; empty before. */
const char *allocations_what(void);

/* Whether the calling thread's allocations count. A thread that the library makes begins with yes;
 * the test's own turns it on for the time that it is inside the library. Returns what it was. */
bool allocations_counted(bool yes);

/* What is out: memory, mappings, threads, descriptors. Writes up to `bytes` characters that name
 * it, one line each, and returns how many. */
uint32_t allocations_out(char *text, size_t bytes);

#endif
