/* A scene in virtual time: one server with one worker, and actors that do what the test says
 * (help_scene.c). A test fills in the settings between scene_set_up and scene_start.
 */
#ifndef BERTH_TESTS_SIM_HELP_SCENE_H
#define BERTH_TESTS_SIM_HELP_SCENE_H

#include "sim/help_stage.h"

#define SCENE_ACTORS_MAX 16
#define SCENE_STEPS_MAX  400000
#define SCENE_ROOM       400000

struct actor {
    sim_peer end;
    uint8_t *got;
    uint32_t got_bytes;
    bool reads;
};

/* A scene with one worker, and what the callbacks saw. */
struct scene {
    struct sim_world *world;
    struct berth_config config;
    struct berth_protocol protocol;
    struct berth_server *server;
    struct worker *worker;
    struct berth_address address;
    struct actor actors[SCENE_ACTORS_MAX];
    uint32_t actors_count;
    bool over; /* the worker has ended */
    uint64_t alarm_ns;

    uint32_t opens;
    uint32_t messages;
    uint32_t closes;
    uint32_t drains;
    uint32_t exceeded;
    uint32_t sent;
    enum berth_reason reason; /* of the last close */
    uint64_t closed_ns;
    uint32_t reasons[16];
    char why[200];
};

extern struct scene scene;

/* The callbacks of scene_set_up. */
void scene_on_open(struct berth_conn *conn);
void scene_on_close(struct berth_conn *conn, enum berth_reason reason);
void scene_echo(struct berth_conn *conn, const struct berth_message *message);
/* Empties the scene: default settings, small, and a protocol that echoes. */
void scene_set_up(const struct berth_framing *framing);
/* Makes the world and the server, as the settings are by now. */
void scene_start(uint64_t seed, const struct sim_options *options);
/* The same in a world that is there already, and takes it. */
void scene_start_in(struct sim_world *world);
/* One turn of the worker; those who read then read all there is. */
void scene_turn(void);
/* SIM_PEER_ bits. */
uint32_t scene_state(uint32_t actor);
/* A new actor, once it is connected and the server has opened it. Returns its number. */
uint32_t scene_arrive(bool reads);
/* Writes all of it, however many turns that takes. */
void scene_say(uint32_t actor, const void *bytes, uint32_t count);
/* The same, and waits until the server has received it. */
void scene_say_and_wait(uint32_t actor, const void *bytes, uint32_t count);
/* Everybody closes, the server stops, and nothing may be left. */
void scene_tear_down(void);

/* Lets turns pass until something is so. */
#define SCENE_UNTIL(condition)                                                                     \
    do {                                                                                           \
        for (uint32_t step = 0; !(condition); step++) {                                            \
            if (step > SCENE_STEPS_MAX) {                                                          \
                fail_msg("never came: %s", #condition);                                            \
            }                                                                                      \
            scene_turn();                                                                          \
        }                                                                                          \
    } while (0)

#endif
