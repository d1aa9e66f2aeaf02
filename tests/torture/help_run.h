/* The loop of the torture: each scenario with each allocation failed (help_run.c). */
#ifndef BERTH_TESTS_TORTURE_HELP_RUN_H
#define BERTH_TESTS_TORTURE_HELP_RUN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "torture/help_rig.h"

#define ON_SIM   (1u << RIG_SIM)
#define ON_EPOLL (1u << RIG_EPOLL)
#define ON_URING (1u << RIG_URING)
#define ON_LIVE  (ON_EPOLL | ON_URING)
#define ON_ALL   (ON_SIM | ON_LIVE)

struct scenario {
    const char *name;
    uint32_t worlds;        /* ON_ bits */
    bool whole;             /* counts from before the server is there; the body makes it */
    void (*settings)(void); /* or NULL: what differs from the rig's defaults */
    void (*body)(void);
};

/* A program of scenarios: main calls it. */
int run_main(int argc, char **argv, const char *noun, const struct scenario *scenarios,
             uint32_t count);

/* Says where the run is, and why it failed. */
void run_failed(const char *format, va_list arguments);

#endif
