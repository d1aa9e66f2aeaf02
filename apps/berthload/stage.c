/* The stages of a run with connections that are idle: all are opened, each has one message
 * answered, then those that are not idle go on for the duration. The main thread moves from stage
 * to stage by what the workers count; a visit tells every connection on its worker. A visit that
 * finds no room is made at the next look. Costs nothing without --idle. */
#include "stage.h"

#include <stdatomic.h>

#include "client.h"
#include "clock.h"
#include "link.h"

static void go_to(struct client *client, enum stage stage)
{
    atomic_store(&client->stage, stage);
    client->visit_due = true;
}

void stage_begin(struct client *client)
{
    atomic_init(&client->stage, STAGE_ALL);
    atomic_init(&client->unheard, client->options->connections);
    client->visit_due = false;
    if (client->options->idle > 0) {
        atomic_store(&client->stage, STAGE_OPENING);
    }
}

/* Whether each connection is open, or came to an end. */
static bool all_there(const struct client *client)
{
    uint64_t there = (uint64_t)atomic_load(&client->open) + atomic_load(&client->over);
    return there >= client->options->connections;
}

void stage_look(struct client *client, uint64_t now_ns)
{
    unsigned stage = atomic_load(&client->stage);
    bool halted = atomic_load(&client->halt) != CAUSE_NONE;
    if (stage == STAGE_ALL) {
        return;
    }
    /* The active ones have had their last answers first: closing many takes the time of all. */
    bool over = halted || (stage == STAGE_ACTIVE && now_ns >= client->deadline_ns &&
                           atomic_load(&client->unfinished) == 0);
    if (over && stage != STAGE_OVER) {
        go_to(client, STAGE_OVER);
    } else if (stage == STAGE_OPENING && all_there(client)) {
        client->opening_ns = now_ns - client->started_ns;
        go_to(client, STAGE_FIRST);
    } else if (stage == STAGE_FIRST && atomic_load(&client->unheard) == 0) {
        client->first_ns = now_ns - client->started_ns - client->opening_ns;
        client->deadline_ns = now_ns + client->options->duration_ns;
        client->begin = (struct moment){now_ns, clock_cpu_ns()};
        atomic_store(&client->begun, true);
        go_to(client, STAGE_ACTIVE);
    }
    if (client->visit_due) {
        int code = berth_visit(client->server, link_visit, NULL, NULL);
        client->visit_due = code == BERTH_E_WOULD_EXCEED;
    }
}
