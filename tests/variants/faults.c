/* Faults in the programs of bin/variants: the backend that was really chosen, with src/io/fault.c
 * around it.
 *
 * BERTH_TEST_FAULTS="receive_most=1,send_most=1,seed=7" says what (fault_plan.h): limits in bytes,
 * rates in percent, and the seed. A name that is none, or a value that makes no sense, ends the
 * program: a test without faults would prove nothing. At its end the program adds a line to the
 * file BERTH_TEST_FAULTS_TALLY, if that is set, that says how often each fault came.
 *
 * The server gives its backend no world, so the setup is put in here, on the way to the functions
 * of io_backend_fault that want one. It belongs to the process, which has one server.
 */
#include "variants/faults.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "io/backend.h"
#include "io/fault.h"

#define VARIABLE "BERTH_TEST_FAULTS"

#define PERCENT (FAULT_RATE_ONE / 100)

static struct fault_setup setup;
static struct io_backend backend;

/* ------------------------------------------------------------------------- what the environment
 * says
 */

static const struct {
    const char *name;
    uint32_t *value;
    uint32_t unit; /* of the number in the environment */
    uint32_t most;
} settings[] = {
    {"receive_most", &setup.plan.receive_most, 1, 1u << 30},
    {"send_most", &setup.plan.send_most, 1, 1u << 30},
    {"split", &setup.plan.split, PERCENT, 100},
    {"short_send", &setup.plan.short_send, PERCENT, 100},
    {"drop_more", &setup.plan.drop_more, PERCENT, 100},
    {"cancel_late", &setup.plan.cancel_late, PERCENT, 100},
    {"spurious", &setup.plan.spurious, PERCENT, 50}, /* more would hardly let anything through */
};

static _Noreturn void refuse(const char *text)
{
    fprintf(stderr, VARIABLE ": no fault is written so: %s\n", text);
    exit(EXIT_FAILURE);
}

/* One "name=number", at the beginning of `text`. */
static void take_setting(const char *text)
{
    size_t name = strcspn(text, "=,");
    char *end = NULL;
    errno = 0;
    unsigned long long number = text[name] == '=' ? strtoull(text + name + 1, &end, 10) : 0;
    if (end == NULL || end == text + name + 1 || errno != 0 || (*end != ',' && *end != '\0')) {
        refuse(text);
    }
    if (name == strlen("seed") && memcmp(text, "seed", name) == 0) {
        setup.seed = number;
        return;
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (name == strlen(settings[i].name) && memcmp(text, settings[i].name, name) == 0 &&
            number <= settings[i].most) {
            *settings[i].value = (uint32_t)number * settings[i].unit;
            return;
        }
    }
    refuse(text);
}

/* false if it asks for none. */
static bool read_environment(void)
{
    const char *rest = getenv(VARIABLE);
    if (rest == NULL || *rest == '\0') {
        return false;
    }
    while (*rest != '\0') {
        take_setting(rest);
        rest += strcspn(rest, ",");
        rest += *rest == ',' ? 1 : 0;
    }
    return true;
}

static void write_tally(void)
{
    const char *path = getenv(VARIABLE "_TALLY");
    FILE *file = path == NULL ? NULL : fopen(path, "ae");
    if (file == NULL) {
        return;
    }
#define TALLY(name) fprintf(file, #name "=%llu ", (unsigned long long)setup.counts.name);
    FAULT_COUNTS(TALLY)
#undef TALLY
    fputc('\n', file); /* one write, at the close: lines of two programs do not mix */
    (void)fclose(file);
}

/* ------------------------------------------------------------- io_backend_fault, with its setup */

static int listen_in(void *world, const struct berth_address *address, int backlog,
                     struct io_listener *out)
{
    (void)world;
    return io_backend_fault.ops.listen(&setup, address, backlog, out);
}

static void listener_close(void *world, struct io_listener *listener)
{
    (void)world;
    io_backend_fault.ops.listener_close(&setup, listener);
}

static void listener_halt(void *world, struct io_listener *listener)
{
    (void)world;
    io_backend_fault.ops.listener_halt(&setup, listener);
}

static int listener_resume(void *world, struct io_listener *listener)
{
    (void)world;
    return io_backend_fault.ops.listener_resume(&setup, listener);
}

static int open_io(struct io *io)
{
    io->config.world = &setup;
    return io_backend_fault.ops.open(io);
}

/* Reads the environment, once. Whether it asks for faults. */
static bool asked_for(void)
{
    static bool read;
    static bool asked;
    if (!read) {
        asked = read_environment();
        read = true;
        if (asked) {
            (void)atexit(write_tally);
        }
    }
    return asked;
}

const struct io_backend *faults_around(const struct io_backend *chosen)
{
    if (chosen == NULL || !asked_for()) {
        return chosen;
    }
    BERTH_ASSERT(atomic_load(&setup.ios) == 0); /* nobody uses it yet */
    setup.inner = chosen;
    backend = io_backend_fault;
    backend.ops.name = io_backend_name(chosen); /* what the programs say of it stays the same */
    backend.ops.listen = listen_in;
    backend.ops.listener_close = listener_close;
    backend.ops.listener_halt = listener_halt;
    backend.ops.listener_resume = listener_resume;
    backend.ops.open = open_io;
    return &backend;
}

const struct io_backend *faults_behind(const struct io_backend *given)
{
    return given == &backend ? setup.inner : given;
}
