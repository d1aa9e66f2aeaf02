/* Messages and their answers, with every piece of the pool failed.
 *
 * Every answer comes, or its connection ends for want of memory; nothing comes twice, or out of
 * order, or changed. One failure hurts one connection at most.
 */
#include "torture/help_run.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Asks for so many answers in one write. */
static void ask_at_once(uint32_t client, struct ask ask, uint32_t count)
{
    static uint8_t frames[RIG_ROOM];
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        RIG_CHECK(bytes + ask.size + 4 <= sizeof frames);
        bytes += rig_frame(client, ask, frames + bytes);
    }
    rig_say(client, frames, bytes);
}

static void small(void)
{
    uint32_t one = rig_client(0);
    uint32_t other = rig_client(0);
    ask_at_once(one, (struct ask){'e', 20, 60, 0}, 100);
    ask_at_once(other, (struct ask){'i', 9, 8, 0}, 100);
    ask_at_once(one, (struct ask){'q', 30, 8, 0}, 5);
    ask_at_once(one, (struct ask){'i', 20, 700, 0}, 20);
}

static void small_receives(void)
{
    rig.config.receive_bytes = 64;
    rig.piece = rig.kind == RIG_SIM ? 37 : 150; /* a piece takes a millisecond there */
}

/* Most messages are cut by a receive. */
static void parts(void)
{
    uint32_t client = rig_client(0);
    ask_at_once(client, (struct ask){'e', 50, 50, 0}, 12);
    ask_at_once(client, (struct ask){'i', 700, 30, 0}, 3);
}

static void big_pieces(void)
{
    rig.piece = 9000;
}

/* The copy of a message in parts doubles several times. */
static void big(void)
{
    uint32_t one = rig_client(0);
    uint32_t other = rig_client(0);
    rig_ask(one, (struct ask){'e', 100000, 100000, 0});
    rig_ask(other, (struct ask){'i', 60000, 9, 0});
    rig_ask(one, (struct ask){'i', 20, 90000, 0});
}

/* Several hold the beginning of a message when memory runs out for one of them. */
static void many_in_part(void)
{
    enum { CROWD = 4, BYTES = 20000 };
    static uint8_t frames[CROWD][BYTES + 4];
    uint32_t clients[CROWD];
    for (uint32_t i = 0; i < CROWD; i++) {
        clients[i] = rig_client(0);
        (void)rig_frame(clients[i], (struct ask){'e', BYTES, 100 * (i + 1), 0}, frames[i]);
    }
    for (uint32_t said = 0; said < BYTES + 4;) {
        uint32_t more = said + 2500 < BYTES + 4 ? 2500 : BYTES + 4 - said;
        for (uint32_t i = 0; i < CROWD; i++) {
            rig_say(clients[i], frames[i] + said, more);
        }
        rig_turn();
        said += more;
    }
    RIG_UNTIL(rig_all_settled());
}

static void short_queue(void)
{
    rig.config.send_high_bytes = 20000;
    rig.config.send_low_bytes = 5000;
    rig.config.send_max_bytes = 60000;
    rig.config.receive_buffers = 2;
}

/* A client that does not read until its queue, and more, is full. */
static void full_queue(void)
{
    uint32_t client = rig_client(0);
    rig.clients[client].stalls = true;
    for (uint32_t i = 0; i < 15; i++) {
        ask_at_once(client, (struct ask){'e', 30, 4000, 0}, 4);
    }
    for (uint32_t turns = 0; turns < 10; turns++) {
        rig_turn();
    }
    uint32_t other = rig_client(0);
    rig_ask(other, (struct ask){'i', 30, 4000, 0});
    RIG_UNTIL(rig_settled(other));
    rig.clients[client].stalls = false;
    RIG_UNTIL(rig_settled(client));
}

/* The program sends until it is refused, and goes on when it is told. */
static void pushes(void)
{
    enum { PUSHES = 50 };
    uint32_t client = rig_client(0);
    rig.clients[client].stalls = true;
    rig_ask(client, (struct ask){'f', 20, 3000, PUSHES});
    for (uint32_t turns = 0; turns < 5; turns++) {
        rig_turn();
    }
    rig.clients[client].stalls = false;
    RIG_UNTIL(rig.clients[client].ended || rig.clients[client].pushes == PUSHES);
}

/* Answers, and then the close: by the server, by the client's end, by both. */
static void closes(void)
{
    uint32_t asks = rig_client(0);
    rig_ask(asks, (struct ask){'e', 20, 3000, 0});
    rig.clients[asks].leaves = true;
    rig_ask(asks, (struct ask){'s', 20, 3000, 0});
    RIG_UNTIL(rig.clients[asks].ended);
    uint32_t leaves = rig_client(0);
    ask_at_once(leaves, (struct ask){'e', 20, 900, 0}, 10);
    rig_half_close(leaves);
    RIG_UNTIL(rig.clients[leaves].ended);
    uint32_t goes = rig_client(0);
    ask_at_once(goes, (struct ask){'i', 20, 900, 0}, 10);
    rig_turn();
    rig_leave(goes);
}

static void group_of_framings(void)
{
    rig.listeners = 2;
    rig.config.turn_messages = 3;
    rig.config.turn_bytes = 200;
}

/* Two framings, batches and single messages, and a small share of each turn. */
static void shares(void)
{
    uint32_t little = rig_client(0);
    uint32_t big_endian = rig_client(1);
    ask_at_once(little, (struct ask){'e', 20, 60, 0}, 20);
    ask_at_once(big_endian, (struct ask){'i', 40, 600, 0}, 20);
    RIG_UNTIL(rig_all_settled());
}

static const struct scenario scenarios[] = {
    {"small", ON_ALL, false, NULL, small},
    {"parts", ON_ALL, false, small_receives, parts},
    {"big", ON_ALL, false, big_pieces, big},
    {"many_in_part", ON_ALL, false, NULL, many_in_part},
    {"full_queue", ON_ALL, false, short_queue, full_queue},
    {"pushes", ON_ALL, false, short_queue, pushes},
    {"closes", ON_ALL, false, NULL, closes},
    {"shares", ON_ALL, false, group_of_framings, shares},
};

int main(int argc, char **argv)
{
    return run_main(argc, argv, "traffic", scenarios, COUNT(scenarios));
}
