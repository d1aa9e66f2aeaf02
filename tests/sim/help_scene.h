/* A scene in virtual time: one server with one worker, and actors that do what the test says
 * (help_scene.c). A test fills in the settings between scene_set_up and scene_start.
 */
#ifndef BERTH_TESTS_SIM_HELP_SCENE_H
#define BERTH_TESTS_SIM_HELP_SCENE_H

#include "sim/help_stage.h"

#include "io/sim.h"

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
    const struct berth_protocol *second; /* NULL, or what is spoken at the second address */
    struct berth_address second_address;
    struct actor actors[SCENE_ACTORS_MAX];
    uint32_t actors_count;
    bool over; /* the worker has ended */
    uint64_t alarm_ns;
    struct io_listener elsewhere; /* of scene_start_connecting */

    uint32_t opens;
    uint32_t messages;
    uint32_t closes;
    uint32_t drains;
    uint32_t exceeded;
    uint32_t sent;
    enum berth_reason reason; /* of the last close */
    uint64_t opened_ns;       /* the last on_open */
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
/* A worker without listeners that makes `count` connections to a listener of the world's own, which
 * takes them and never says a word. The test closes it. */
void scene_start_connecting(uint64_t seed, uint32_t count);
/* One turn of the worker; those who read then read all there is. */
void scene_turn(void);
/* SIM_PEER_ bits. */
uint32_t scene_state(uint32_t actor);
/* A new actor, once it is connected and the server has opened it. Returns its number. */
uint32_t scene_arrive(bool reads);
uint32_t scene_arrive_at(const struct berth_address *address, bool reads);
/* Writes all of it, however many turns that takes. */
void scene_say(uint32_t actor, const void *bytes, uint32_t count);
/* The same, and waits until the server has received it. */
void scene_say_and_wait(uint32_t actor, const void *bytes, uint32_t count);
/* Virtual time; and turns until then, or for so long. */
uint64_t scene_now(void);
void scene_pass_until(uint64_t at_ns);
void scene_pass_ms(uint64_t ms);
/* Waits until an actor sees the server end its side, in order, ends its own, and checks the reason.
 * Returns when the end was seen. */
uint64_t scene_wait_for_end(uint32_t actor, enum berth_reason reason);
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

/* A deadline passes up to a tick after its time, a far one up to a 256th of it, and the peer sees
 * it some delays later. */
#define SCENE_LATE_MS(ms) (4 + (ms) / 256)

#define SCENE_AFTER(at_ns, from_ns, ms)                                                            \
    do {                                                                                           \
        uint64_t after_ns = (at_ns) - (from_ns);                                                   \
        uint64_t after_ms = (ms);                                                                  \
        if (after_ns < after_ms * NS_PER_MS ||                                                     \
            after_ns > (after_ms + SCENE_LATE_MS(after_ms)) * NS_PER_MS) {                         \
            fail_msg("line %d: after %llu ns, not %llu ms", __LINE__,                              \
                     (unsigned long long)after_ns, (unsigned long long)after_ms);                  \
        }                                                                                          \
    } while (0)

#endif
