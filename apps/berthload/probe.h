/* Whether somebody listens there: a connection made and dropped before a run. */
#ifndef BERTHLOAD_PROBE_H
#define BERTHLOAD_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "resolve.h"

/* Room for probe_advice. */
#define PROBE_ADVICE_BYTES 800

/* Connects to the addresses in turn until one takes it, with so long for each, and drops the
 * connection: 0, or the errno of the last attempt (ETIMEDOUT when time was up). Blocks. */
int probe(const struct addresses *addresses, uint64_t timeout_ns);

/* What failed and what to look at, in a few lines of plain words. `where` is the server as the
 * user gave it. Returns `out`. */
const char *probe_advice(int system, const char *where, uint64_t timeout_ns, char *out,
                         size_t bytes);

#endif
