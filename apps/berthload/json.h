/* The results for programs. */
#ifndef BERTHLOAD_JSON_H
#define BERTHLOAD_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "results.h"

/* Writes options and results as one JSON object. false if memory or the stream failed. */
bool json_write(const struct results *results, FILE *out);

#endif
