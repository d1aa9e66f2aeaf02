/* The line at the bottom of a terminal while a run goes on: once a second how many connections
 * are open, how many messages are answered, and how fast just now. Costs one write a second. */
#include "progress.h"

#include <stdio.h>

#include "complain.h"
#include "number.h"

#define INTERVAL_NS NS_PER_S

void progress_start(struct progress *progress, uint64_t now_ns, bool shown)
{
    *progress = (struct progress){.shown = shown, .last_ns = now_ns};
}

void progress_show(struct progress *progress, uint64_t now_ns, uint32_t open, uint64_t answered)
{
    char connections[NUMBER_TEXT_BYTES];
    char messages[NUMBER_TEXT_BYTES];
    char rate[NUMBER_TEXT_BYTES];
    char line[4 * NUMBER_TEXT_BYTES];
    uint64_t passed = now_ns - progress->last_ns;
    if (!progress->shown || passed < INTERVAL_NS) {
        return;
    }
    double a_second =
        (double)(answered - progress->last_answered) * (double)NS_PER_S / (double)passed;
    snprintf(line, sizeof line, "%s connections, %s answered, %s a second",
             number_write(open, connections), number_write(answered, messages),
             number_write((uint64_t)a_second, rate));
    complain_status(line);
    progress->last_ns = now_ns;
    progress->last_answered = answered;
}

void progress_stop(struct progress *progress)
{
    if (progress->shown) {
        complain_status("");
    }
}
