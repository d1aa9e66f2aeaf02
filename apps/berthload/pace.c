/* Which connection begins next, and when. The connections are dealt out to the workers in turn, and
 * so are the moments at which they may begin: so each worker goes by its own pace, and together
 * they begin one connection in each delay. One that begins late, because it waited for another to
 * end, moves all after it, so that two are never closer than the delay. Pure, O(1). */
#include "pace.h"

void pace_start(struct pace *pace, uint32_t worker, uint32_t workers, uint32_t connections,
                uint64_t delay_ns)
{
    *pace = (struct pace){
        .next = worker + 1,
        .step = workers,
        .last = connections,
        .due_ns = worker * delay_ns,
        .gap_ns = workers * delay_ns,
    };
}

uint32_t pace_take(struct pace *pace, uint64_t now_ns, uint64_t *wait_ns)
{
    uint32_t number = pace->next;
    if (number > pace->last) {
        return 0;
    }
    uint64_t begin_ns = now_ns > pace->due_ns ? now_ns : pace->due_ns;
    *wait_ns = begin_ns - now_ns;
    pace->due_ns = begin_ns + pace->gap_ns;
    pace->next += pace->step; /* 4 million and 1,023: no overflow */
    return number;
}

uint32_t pace_drop(struct pace *pace)
{
    uint32_t left = 0;
    if (pace->next <= pace->last) {
        left = (pace->last - pace->next) / pace->step + 1;
        pace->next = pace->last + 1;
    }
    return left;
}
