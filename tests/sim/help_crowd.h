/* A crowd in virtual time: a scene with three groups, one for each way to treat the slow
 * (help_crowd.c).
 *
 * Clients steer the server: "j" and a group's letter joins, "l" leaves, "s" sends, joins and sends
 * again, "k" is kept. A payload is its group's letter ('*' for broadcasts), a number of 4 bytes
 * that rises, and filler.
 */
#ifndef BERTH_TESTS_SIM_HELP_CROWD_H
#define BERTH_TESTS_SIM_HELP_CROWD_H

#include "core/group.h"
#include "sim/help_scene.h"

#define CROWD_GROUPS 3
#define PAYLOAD      100
#define FRAME        (4 + PAYLOAD)

/* Frames that wait on a client when it counts as slow: ten, and the one that made it more. */
#define FRAMES_UNTIL_SLOW 11

/* A pauses the slow, B keeps the latest for them, C closes them. */
extern struct berth_group *crowd_groups[CROWD_GROUPS];
/* Of the connections, in the order in which they came. */
extern berth_handle crowd_handles[SCENE_ACTORS_MAX];

/* The message that was kept last. */
extern struct berth_kept *crowd_kept;

/* scene_set_up, with callbacks that obey, and marks at 5, 10 and 20 frames. */
void crowd_set_up(void);
/* scene_start, and the groups. */
void crowd_start(uint64_t seed, const struct sim_options *options);
/* Ends it all, and looks that nothing is left: of payloads, or of nodes (worker_close asserts). */
void crowd_tear_down(void);

struct berth_stats crowd_stats(void);
struct berth_conn *crowd_conn(uint32_t actor);
void crowd_turns(uint32_t count);
/* Says it, and waits until it is obeyed. */
void crowd_command(uint32_t actor, char verb, char group);
/* A client that has joined. */
uint32_t crowd_arrive(char group, bool reads);
/* Sends the next payload of a group, or, for '*', to everybody with this policy. */
int crowd_try_send(char group, enum berth_slow slow);
/* The same, which must succeed. */
void crowd_send(char group);
/* Fails unless a client's n-th frame is this payload. */
void crowd_check(uint32_t actor, uint32_t n, char group, uint32_t number);

#endif
