/* Plans of faults and the dice that follow them: fault_plan.h says what each means.
 *
 * The dice own nothing. Every question is O(errors of the plan).
 */
#include "io/fault_plan.h"

#include <errno.h>

#include "base/assert.h"

static uint64_t splitmix(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ----------------------------------------------------------------------------- plans from a seed
 */

/* Off with probability 1/2, else between 1/2 and 1/64 by a power of two. */
static uint32_t swarm_rate(uint64_t *state)
{
    uint64_t draw = splitmix(state);
    return (draw & 1) == 0 ? 0 : FAULT_RATE_ONE >> (1 + (draw >> 8) % 6);
}

/* No limit with probability 1/2, else 16 bytes to 16 KiB: below a frame's header, and above a
 * receive buffer. */
static uint32_t swarm_most(uint64_t *state)
{
    uint64_t draw = splitmix(state);
    return (draw & 1) == 0 ? 0 : 16u << (draw >> 8) % 11;
}

struct fault_plan fault_plan_swarm(uint64_t seed)
{
    /* Another generator than the dice's and the world's, which may have the same seed. */
    uint64_t state = seed ^ UINT64_C(0x5bf0363546f8dd1d);
    struct fault_plan plan = {.receive_most = swarm_most(&state)};
    plan.send_most = swarm_most(&state);
    plan.split = swarm_rate(&state);
    plan.short_send = swarm_rate(&state);
    plan.drop_more = swarm_rate(&state);
    plan.cancel_late = swarm_rate(&state);
    plan.spurious = swarm_rate(&state);
    uint64_t draw = splitmix(&state);
    if ((draw & 1) != 0) {
        uint32_t nth = 2 + (uint32_t)((draw >> 8) % 30); /* at least one piece in between */
        plan.errors[0] = (struct fault_error){
            .op = IO_RECEIVE, .error = ENOBUFS, .schedule = FAULT_EVERY, .nth = nth};
        plan.errors_count = 1;
    }
    return plan;
}

/* ------------------------------------------------------------------------------------- the dice */

void fault_dice_init(struct fault_dice *dice, const struct fault_plan *plan,
                     struct fault_counts *counts, uint64_t seed, uint32_t number)
{
    *dice = (struct fault_dice){.plan = plan, .counts = counts, .random = seed};
    for (uint32_t i = 0; i <= number; i++) { /* ios are few; each starts somewhere else */
        dice->random = splitmix(&dice->random);
    }
}

bool fault_dice_chance(struct fault_dice *dice, uint32_t rate)
{
    return rate != 0 && splitmix(&dice->random) % FAULT_RATE_ONE < rate;
}

uint32_t fault_dice_part(struct fault_dice *dice, uint32_t limit)
{
    BERTH_ASSERT(limit >= 1);
    return 1 + (uint32_t)(splitmix(&dice->random) % limit);
}

bool fault_error_ends(int error)
{
    return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE || error == EHOSTUNREACH ||
           error == ENETUNREACH;
}

/* Where an error of the plan comes. Only what costs a client its connection waits for one. */
static enum fault_point point_of(const struct fault_error *error)
{
    switch (error->op) {
    case IO_ACCEPT:
        return error->error == ECONNABORTED || error->error == EPROTO || error->error == EPERM
                   ? FAULT_AT_RESULT
                   : FAULT_AT_START;
    case IO_CONNECT:
        return error->at_start ? FAULT_AT_START : FAULT_AT_RESULT;
    case IO_RECEIVE:
    case IO_SEND:
        return FAULT_AT_RESULT;
    }
    BERTH_UNREACHABLE();
}

static bool is_due(const struct fault_error *error, struct fault_progress *progress,
                   uint64_t now_ns)
{
    bool nth = progress->passed + 1 >= error->nth;
    switch (error->schedule) {
    case FAULT_ONCE:
        return nth && !progress->came;
    case FAULT_EVERY:
        return nth;
    case FAULT_BURST:
        if (nth && !progress->came) {
            progress->until_ns = now_ns + error->burst_ns;
        }
        return now_ns < progress->until_ns;
    }
    BERTH_UNREACHABLE();
}

int fault_dice_error(struct fault_dice *dice, enum io_op op, enum fault_point point,
                     uint64_t now_ns)
{
    BERTH_ASSERT(dice->plan->errors_count <= FAULT_ERRORS_MAX);
    for (uint32_t i = 0; i < dice->plan->errors_count; i++) {
        const struct fault_error *error = &dice->plan->errors[i];
        struct fault_progress *progress = &dice->progress[i];
        if (error->op == op && point_of(error) == point && is_due(error, progress, now_ns)) {
            progress->came = true;
            progress->passed = 0;
            fault_count(&dice->counts->errors[i]);
            return error->error;
        }
    }
    return 0;
}

void fault_dice_pass(struct fault_dice *dice, enum io_op op)
{
    for (uint32_t i = 0; i < dice->plan->errors_count; i++) {
        if (dice->plan->errors[i].op == op) {
            dice->progress[i].passed++;
        }
    }
}
