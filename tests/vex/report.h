/* What a run came to: one line for people, and one JSON object for programs.
 */
#ifndef BERTH_TESTS_VEX_REPORT_H
#define BERTH_TESTS_VEX_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "crowd.h"

/* Whether all scripts came to their end and nothing was wrong. */
bool report_is_good(const struct tally *tally);

/* One line. false if it could not be written. */
bool report_line(FILE *file, const struct options *options, const struct tally *tally);

/* One object and a newline. false if it could not be written. */
bool report_json(FILE *file, const struct options *options, const struct tally *tally);

/* The same object to the file of --json; - is stdout. Says on stderr what cannot be written. */
bool report_to(const char *path, const struct options *options, const struct tally *tally);

#endif
