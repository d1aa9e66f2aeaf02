/* Lines on the standard error about what goes wrong during a run. */
#ifndef BERTHLOAD_COMPLAIN_H
#define BERTHLOAD_COMPLAIN_H

#include <stdint.h>

/* Prints a line, "berthload: ..."; of a run's lines the first few only. Any thread. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How many lines were not printed. */
uint64_t complain_unsaid(void);

/* The line at the bottom of a terminal, that every other line must first wipe off. Any thread. */
void complain_status(const char *text);

#endif
