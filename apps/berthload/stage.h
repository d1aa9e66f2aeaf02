/* The stages of a run with connections that are idle (--idle). */
#ifndef BERTHLOAD_STAGE_H
#define BERTHLOAD_STAGE_H

#include <stdint.h>

struct client;
struct link;

enum stage {
    STAGE_ALL = 0, /* nobody is idle: each connection does all it has to, from when it is open */
    STAGE_OPENING, /* connections are made, and wait until all are there */
    STAGE_FIRST,   /* each sends one message */
    STAGE_ACTIVE,  /* those that are not idle go on, until the duration is over */
    STAGE_OVER,    /* they have ended; the idle ones end too */
};

/* Before the start. */
void stage_begin(struct client *client);

/* Goes on to the next stage when it is time. On the main thread, a few times a second. */
void stage_look(struct client *client, uint64_t now_ns);

#endif
