/* Any split, on a real backend, through the public API only: help_split.c has the body. */
#ifndef BERTH_TESTS_CONFORM_HELP_SPLIT_H
#define BERTH_TESTS_CONFORM_HELP_SPLIT_H

#include <berth/berth.h>

/* Runs every case on a backend. Returns how many failed, or 77 if it does not work here. */
int split_run(enum berth_backend backend);

#endif
