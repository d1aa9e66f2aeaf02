/* The conformance suite on uring as older kernels have it: without each feature alone, without each
 * pair, and without all that the ring can do without. Masks that come to the same ring are run
 * once, each in a process of its own, a few at a time, as most of a run is waiting. What a run says
 * is printed if it failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform/help_rig.h"
#include "io/feature.h"
#include "io/select.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

/* Each alone, each pair, and all. */
#define MASKS_MAX (IO_FEATURES_COUNT + IO_FEATURES_COUNT * (IO_FEATURES_COUNT - 1) / 2 + 1)

/* So many at a time keep two processors half busy. */
#define AT_ONCE 4

struct run {
    uint32_t off;
    pid_t child;
    FILE *said;
    bool failed;
};

struct masks {
    struct run runs[MASKS_MAX];
    uint32_t count;
};

/* Adds what is really off without `off`, as the choice finds it, unless it is there already. What
 * leaves no ring is not for here. */
static void add(struct masks *masks, uint32_t off)
{
    struct io_selection selection;
    io_select(IO_CHOOSE_URING, off, &selection);
    if (selection.backend == NULL) {
        return;
    }
    for (uint32_t i = 0; i < masks->count; i++) {
        if (masks->runs[i].off == selection.features_off) {
            return;
        }
    }
    masks->runs[masks->count++].off = selection.features_off;
}

static void begin(struct run *run)
{
    run->said = tmpfile();
    run->child = run->said == NULL ? -1 : fork();
    if (run->child < 0) {
        perror("a process for a mask");
        exit(EXIT_FAILURE);
    }
    if (run->child == 0) {
        if (dup2(fileno(run->said), STDOUT_FILENO) < 0 ||
            dup2(fileno(run->said), STDERR_FILENO) < 0) {
            _exit(EXIT_FAILURE);
        }
        rig_features_off = run->off;
        exit(rig_run(&io_backend_uring, 0) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
}

static void end(struct run *run)
{
    int status;
    run->failed = waitpid(run->child, &status, 0) != run->child || !WIFEXITED(status) ||
                  WEXITSTATUS(status) != EXIT_SUCCESS;
    printf("%s without", run->failed ? "FAILED" : "passed");
    for (uint32_t i = 0; i < IO_FEATURES_COUNT; i++) {
        if ((run->off & 1u << i) != 0) {
            printf(" %s", io_feature_name(1u << i));
        }
    }
    printf("\n");
    rewind(run->said);
    int letter;
    while (run->failed && (letter = fgetc(run->said)) != EOF) {
        putchar(letter);
    }
    (void)fclose(run->said);
    (void)fflush(stdout);
}

int main(void)
{
    rig_backend = &io_backend_uring;
    if (!rig_opens()) {
        return SKIPPED;
    }
    static struct masks masks;
    for (uint32_t i = 0; i < IO_FEATURES_COUNT; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            add(&masks, 1u << i | 1u << j);
        }
    }
    add(&masks, IO_FEATURES_ALL & ~IO_FEATURES_NEEDED);
    uint32_t failed = 0;
    for (uint32_t i = 0; i < masks.count + AT_ONCE; i++) {
        if (i >= AT_ONCE && i - AT_ONCE < masks.count) {
            end(&masks.runs[i - AT_ONCE]);
            failed += masks.runs[i - AT_ONCE].failed;
        }
        if (i < masks.count) {
            begin(&masks.runs[i]);
        }
    }
    printf("%u masks, %u failed\n", masks.count, failed);
    return failed == 0 && masks.count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
