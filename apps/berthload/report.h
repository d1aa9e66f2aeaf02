/* The summary for people. */
#ifndef BERTHLOAD_REPORT_H
#define BERTHLOAD_REPORT_H

#include <stdio.h>

#include "results.h"

/* Writes the summary; its last line is the verdict, alone if `brief`. */
void report_write(const struct results *results, bool brief, FILE *out);

#endif
