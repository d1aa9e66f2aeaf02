/* A slow program: what it keeps must cost nobody else more than waiting. Scenes in virtual time
 * with one worker and a pool of 1 MiB, so that each limit is reached exactly.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/help_scene.h"

#define KEPT_MAX 300

static struct berth_kept *kept[KEPT_MAX];
static uint32_t kept_count;
static uint32_t not_kept;
static uint32_t room; /* for each reply */

static void keep_with_room(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    if (message->data[0] == '!') {
        assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
        return;
    }
    int err = BERTH_OK;
    struct berth_kept *one = berth_keep(conn, message, room, &err);
    if (one == NULL) {
        assert_int_equal(err, BERTH_E_WOULD_EXCEED);
        not_kept++;
        return;
    }
    assert_true(kept_count < KEPT_MAX);
    kept[kept_count++] = one;
}

static void release_all(void)
{
    while (kept_count > 0) {
        berth_kept_release(kept[--kept_count]);
    }
}

static void begin(uint32_t reply_room)
{
    const struct berth_framing framing = berth_framing_seed(1 << 16);
    kept_count = 0;
    not_kept = 0;
    room = reply_room;
    scene_set_up(&framing);
    scene.protocol.on_message = keep_with_room;
}

/* `count` messages of one byte in one piece. */
static void say_many(uint32_t actor, uint32_t count, uint8_t byte)
{
    uint8_t bytes[5 * KEPT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        memcpy(bytes + 5 * i, (const uint8_t[]){1, 0, 0, 0, byte}, 5);
    }
    scene_say_and_wait(actor, bytes, 5 * count);
}

/* One batch keeps as much as it can get; others' messages in parts still have their memory. */
static void a_slow_program_closes_nobody(void **state)
{
    (void)state;
    begin(60000);
    scene_start(1, NULL);
    uint32_t greedy = scene_arrive(true);
    uint32_t other = scene_arrive(true);
    say_many(greedy, 40, 'x');
    SCENE_UNTIL(not_kept > 0);
    assert_true(kept_count >= 8); /* half of the pool */
    uint8_t frame[4 + 2000] = {2000 & 0xff, 2000 >> 8};
    frame[4] = '!';
    scene_say_and_wait(other, frame, 1004);
    assert_int_equal(scene.closes, 0);
    scene_say(other, frame + 1004, sizeof frame - 1004);
    release_all();
    SCENE_UNTIL(scene.actors[other].got_bytes == sizeof frame);
    assert_int_equal(scene.closes, 0);
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_program_closes_nobody),
    };
    return cmocka_run_group_tests_name("sim.keep", tests, NULL, NULL);
}
