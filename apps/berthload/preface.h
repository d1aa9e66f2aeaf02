/* What is said before a run begins. */
#ifndef BERTHLOAD_PREFACE_H
#define BERTHLOAD_PREFACE_H

#include <stdint.h>
#include <stdio.h>

#include "client.h"
#include "options.h"

/* Decides whether the texts of the run are built and held, of `available` bytes of memory, and
 * says on `out` what a person would want to know before that: that they do not fit, that they are
 * many, or that they become larger than servers take. */
void preface_settle(struct options *options, uint64_t available, FILE *out);

/* How many texts a run holds if it holds them. */
uint64_t preface_held(const struct options *options);

/* The first message of the first connection, the last of the last, and the totals. */
void preface_write(const struct client *client, FILE *out);

#endif
