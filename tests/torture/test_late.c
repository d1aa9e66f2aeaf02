/* Answers that come late and requests from outside, with every piece of the pools failed.
 *
 * What is kept has the room for its reply, so a reply and a release need no memory; what could not
 * be kept is known to the program, which answers it when there is room. Whoever was refused a post
 * is told when there is one.
 */
#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void kept_in_callback(void)
{
    uint32_t client = rig_client(0);
    for (uint32_t i = 0; i < 10; i++) {
        rig_ask(client, (struct ask){i % 3 == 2 ? 'x' : 'n', 40, 20 + 300 * i, 0});
    }
}

/* Kept messages and ready answers by turns: those behind wait for those before. */
static void kept_and_answered(void)
{
    static const char commands[] = "keKeikxenK";
    uint32_t client = rig_client(0);
    for (uint32_t i = 0; i + 1 < sizeof commands; i++) {
        rig_ask(client, (struct ask){commands[i], 60, 400 + i, 0});
    }
    uint32_t other = rig_client(0);
    rig_ask(other, (struct ask){'k', 5000, 9000, 0});
    for (uint32_t turns = 0; turns < 20; turns++) {
        rig_turn();
    }
    while (!rig_all_settled()) {
        if (rig_let_go(3) == 0) {
            rig_wait("the answers to kept messages", __LINE__);
        }
    }
}

static void small_window(void)
{
    rig.config.window_messages = 4;
    rig.config.window_bytes = 6000;
}

static void window(void)
{
    uint32_t client = rig_client(0);
    for (uint32_t i = 0; i < 16; i++) {
        rig_ask(client, (struct ask){i % 4 == 3 ? 'e' : 'k', 30, 500, 0});
    }
    while (!rig_settled(client)) {
        if (rig_let_go(2) == 0) {
            rig_wait("the answers to kept messages", __LINE__);
        }
    }
}

/* Whoever sent what is kept is gone before the answer comes. */
static void kept_beyond_the_end(void)
{
    uint32_t one = rig_client(0);
    uint32_t other = rig_client(0);
    for (uint32_t i = 0; i < 4; i++) {
        rig_ask(one, (struct ask){i % 2 == 0 ? 'k' : 'e', 50, 800, 0});
        rig_ask(other, (struct ask){i % 2 == 0 ? 'K' : 'k', 50, 800, 0});
    }
    for (uint32_t turns = 0; turns < 10; turns++) {
        rig_turn();
    }
    rig_leave(one);
    rig_abandon(other);
    for (uint32_t turns = 0; turns < 10; turns++) {
        rig_turn();
    }
    (void)rig_let_go(RIG_HELD);
}

/* ---------------------------------------------------------------------------------- from outside
 */

static berth_handle handle_of(uint32_t client)
{
    const struct rig_visit *visit = rig_visit_of(client);
    return visit == NULL ? 0 : visit->handle;
}

/* A sender that is told to try again while there is nothing could do so for ever. */
#define TRIES 20

/* Sends until it is taken; after each refusal on_drained must come before there is another try. */
static bool send_to(uint32_t client, uint32_t number, uint32_t size)
{
    static uint8_t bytes[RIG_MESSAGE];
    const struct rig_message message = {
        .kind = 'S', .who = (uint8_t)client, .number = (uint16_t)number, .size = size};
    struct rig_visit *visit = rig_visit_of(client);
    rig_fill(bytes, &message, size);
    for (uint32_t tries = 1;; tries++) {
        uint32_t drains = visit->drains;
        int result = RIG_CALL(berth_handle_send(rig.server, visit->handle, bytes, size));
        if (result == BERTH_OK) {
            return true;
        }
        if (result == BERTH_E_STALE) {
            return false;
        }
        RIG_CHECK(result == BERTH_E_WOULD_EXCEED && allocations_failed());
        RIG_UNTIL(visit->drains > drains || visit->closes > 0);
        if (tries == TRIES) {
            rig_relent();
        }
    }
}

static void sends_by_handle(void)
{
    enum { SENDS = 12 };
    uint32_t client = rig_client(0);
    if (!rig_hello(client)) {
        return;
    }
    uint32_t sent = 0;
    while (sent < SENDS && send_to(client, sent, 200 + 900 * (sent % 3))) {
        sent++;
    }
    RIG_UNTIL(rig.clients[client].ended || rig.clients[client].pushes == sent);
}

/* To pause, to resume and to close by handle need no memory at all. */
static void requests_by_handle(void)
{
    uint32_t client = rig_client(0);
    if (!rig_hello(client)) {
        return;
    }
    berth_handle handle = handle_of(client);
    RIG_CHECK(RIG_CALL(berth_handle_pause(rig.server, handle)) == BERTH_OK);
    rig_ask(client, (struct ask){'e', 3000, 3000, 0});
    for (uint32_t turns = 0; turns < 10; turns++) {
        rig_turn();
    }
    int result = RIG_CALL(berth_handle_resume(rig.server, handle));
    RIG_CHECK(result == BERTH_OK || allocations_failed());
    RIG_UNTIL(rig_settled(client));
    rig.clients[client].leaves = true;
    result = RIG_CALL(berth_handle_close(rig.server, handle));
    RIG_CHECK(result == BERTH_OK || allocations_failed());
    RIG_UNTIL(rig.clients[client].ended);
    RIG_UNTIL(rig_visit_of(client)->closes > 0);
    RIG_CHECK(RIG_CALL(berth_handle_close(rig.server, handle)) == BERTH_E_STALE);
}

static const struct scenario scenarios[] = {
    {"kept_in_callback", ON_ALL, false, NULL, kept_in_callback},
    {"kept_and_answered", ON_ALL, false, NULL, kept_and_answered},
    {"window", ON_ALL, false, small_window, window},
    {"kept_beyond_the_end", ON_ALL, false, NULL, kept_beyond_the_end},
    {"sends_by_handle", ON_ALL, false, NULL, sends_by_handle},
    {"requests_by_handle", ON_ALL, false, NULL, requests_by_handle},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "late", scenarios, COUNT(scenarios));
}
