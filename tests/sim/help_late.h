/* A program that answers late, on a stage (help_stage.h): of the messages it gets it keeps some and
 * answers the others at once; what it has kept it answers or releases between the turns, in an
 * order and after a time of the seed's, also after the connection has ended. Meanwhile it closes,
 * pauses, resumes, sends to and visits connections by handle, and stops and starts listening.
 *
 * What must come of it is known without the engine: each call's result, from the open and closed
 * connections that the callbacks told; each peer's bytes, from what it said. Sends by handle are
 * told from replies by their first byte, which no answered message has.
 */
#ifndef BERTH_TESTS_SIM_HELP_LATE_H
#define BERTH_TESTS_SIM_HELP_LATE_H

#include "sim/help_stage.h"

#define LATE_HELD_MAX 4096

struct held {
    struct berth_kept *kept;
    struct visit *visit;
    uint64_t hash;  /* of the message when it was kept */
    bool only_read; /* it was answered before it was kept */
};

enum late_order { LATE_ANY, LATE_OLDEST, LATE_NEWEST, LATE_ORDERS };

/* What the program knows of a connection. */
struct late_visit {
    bool closing;     /* it asked for a close */
    bool paused;      /* it asked for a pause, and not yet for the end of it */
    bool owed;        /* an on_drained */
    uint32_t pushed;  /* messages sent by handle */
    uint32_t visited; /* by the visit under way */
    uint32_t quiet;   /* looks at it that found an on_drained overdue */
};

struct late {
    struct dice dice;
    struct held held[LATE_HELD_MAX]; /* oldest first */
    uint32_t held_count;
    struct late_visit visits[STAGE_VISITS_MAX];

    /* drawn */
    enum late_order order;
    uint32_t keeps;   /* of 16 messages, so many are kept */
    uint32_t pace;    /* answers in one of so many steps */
    uint32_t burst;   /* up to so many at once */
    uint32_t room;    /* more than the reply needs, up to so many bytes */
    uint32_t asks;    /* a request by handle in one of so many steps; 0: never */
    uint32_t pushes;  /* sends by handle to one connection, at most */
    uint32_t listens; /* stops or starts listening in one of so many steps; 0: never */
    uint64_t nap_ns;  /* time that may pass while it holds something */
    bool deaf;        /* answers nothing once the server stops */

    uint64_t alarm_ns; /* the last that it set */
    bool listening;
    bool visiting;
    uint32_t visit_limit; /* connections that were open when the visit was asked for are below */
    uint32_t visits_begun;
    uint32_t visits_done;
    uint64_t pushes_taken; /* by berth_handle_send */
    uint64_t pushes_heard;
    uint32_t after_end[STAGE_WORKERS_MAX]; /* let go when the worker took no more */

    /* what happened, over all runs: a test that never gets there proves nothing */
    uint64_t answered;
    uint64_t released;
    uint64_t stale;
    uint64_t keeps_refused;
    uint64_t sends_refused;
    uint64_t drains;
    uint64_t cut_kept; /* held when the workers had ended */
};

/* stage_run with such a program; adds its counters to `sums`. */
uint64_t stage_run_late(uint64_t seed, enum stage_kind kind, bool trace, struct late *sums);

/* Draws its ways, and changes what the stage has drawn to suit: the end of stage_draw. */
void late_draw(struct stage *stage);

/* The stage's callbacks. late_drained: whether one was owed. */
void late_opened(struct stage *stage, struct visit *visit, struct berth_conn *conn);
void late_message(struct stage *stage, struct visit *visit, struct berth_conn *conn,
                  const struct berth_message *message);
bool late_drained(struct stage *stage, struct visit *visit);
void late_closed(struct stage *stage, struct visit *visit);

/* Between turns. */
void late_act(struct stage *stage);
void late_check_worker(struct stage *stage, struct worker *worker);

/* A peer hears bytes: replies, and what was sent by handle. */
void late_hear(struct stage *stage, struct peer *peer, const uint8_t *bytes, int32_t count);

/* Whether the program may close connections; whether it stops listening. */
bool late_closes(const struct stage *stage);
bool late_listens(const struct stage *stage);

/* The workers have ended: how much of a worker's pool the program still holds; lets go of all. */
uint64_t late_kept_on(const struct stage *stage, uint32_t worker);
void late_end(struct stage *stage);

#endif
