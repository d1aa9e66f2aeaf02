/* The questions, on a terminal. */
#ifndef BERTHLOAD_TALK_H
#define BERTHLOAD_TALK_H

#include <stdbool.h>

#include "answers.h"
#include "lines.h"
#include "options.h"

/* Host, port and what stands around them. */
#define TALK_CONNECT_BYTES (ANSWER_TEXT_BYTES + 16)

/* The texts that the options point into. */
struct talk {
    char connect[TALK_CONNECT_BYTES];
    char log[ANSWER_TEXT_BYTES];
};

/* Whether the machine has what a run needs; says so if not. */
typedef bool talk_fits(struct options *options);

/* Asks for what --connect would have said, and more, until it makes sense and Enter is pressed, and
 * keeps the answers. Fills in *options and settles them; its texts then point into *talk. false:
 * the input has ended, or the options on the command line make no sense; it has said so. */
bool talk_ask(struct talk *talk, struct lines *lines, struct options *options, talk_fits *fits);

#endif
