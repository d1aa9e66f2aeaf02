/* Programs. The input is a sequence of calls of the public API, made from inside callbacks and
 * between the turns of one to three workers on the simulated backend (tests/fuzz/api/play.h says
 * how it is read, and by what it is judged). With BERTH_FUZZ_STORY=1 in the environment an input's
 * story is told, line by line.
 *
 * A run that finds nothing meets fault F25 (tests/faults/row.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults/row.h"
#include "fuzz/api/play.h"

/* Longer programs show nothing that several short ones do not. */
#define ORDERS_MOST 160

static struct play play;
static uint64_t executions;

/* Only a process that comes to its end in order has met the fault. */
static void write_row(void)
{
    fault_met("%" PRIu64 " executions, 0 crashes", executions);
}

static void give_orders(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        struct order order = tape_order(&play.tape, i);
        order_obey(&play, &order, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SET_BYTES) {
        return 0;
    }
    if (executions == 0) {
        fault_begin("F25", "sim", "sim");
        FUZZ_CHECK(atexit(write_row) == 0);
    }
    memset(&play, 0, offsetof(struct play, rooms));
    memset(play.cast, 0xff, sizeof play.cast);
    play.story = getenv("BERTH_FUZZ_STORY") != NULL;
    play.inside = NOBODY;
    play.message = play.rooms[0];
    size_t most = SET_BYTES + ORDERS_MOST * ORDER_BYTES;
    tape_open(&play.tape, data, size < most ? size : most);
    tape_settings(&play);
    stage_open(&play);
    uint32_t before = play.tape.settings[SET_BEFORE] % 8;
    before = before < play.tape.count ? before : play.tape.count;
    give_orders(0, before);
    if ((play.tape.settings[SET_WAYS] & 0xf0) != 0xf0) { /* else it is never started */
        stage_start(&play);
        give_orders(before, play.tape.count);
    }
    finish(&play);
    executions++;
    return 0;
}
