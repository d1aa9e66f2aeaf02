/* A stage: one server of the real core in a simulated world, stepped, and the honest peers that
 * talk to it. Everything is drawn from one seed: the world's faults, the server's settings, the
 * framing, what each peer says, in which pieces, and how it leaves.
 *
 *     stage_draw(&stage, seed, kind, late); may be changed between draw and open
 *     stage_open(&stage);
 *     stage_play(&stage);                  until every peer is through, then stops the server
 *     stage_close(&stage);                 checks that nothing is left
 *
 * The server's handler answers each message by a rule that stage_reply also knows; a peer knows the
 * bytes of all its replies beforehand and compares each byte as it comes. A failure prints the seed
 * and the command that repeats it, and does not return.
 */
#ifndef BERTH_TESTS_SIM_HELP_STAGE_H
#define BERTH_TESTS_SIM_HELP_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/core.h"
#include "io/sim.h"
#include "sim/help_codec.h"
#include "sim/help_dice.h"

#define STAGE_PEERS_MAX    10
#define STAGE_WORKERS_MAX  3
#define STAGE_MESSAGES_MAX 24
#define STAGE_VISITS_MAX   4096

/* The thread sanitizer has nothing to find where there is one thread, and is slow. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STAGE_SEEDS_PART 8
#endif
#elif defined(__SANITIZE_THREAD__)
#define STAGE_SEEDS_PART 8
#endif
#ifndef STAGE_SEEDS_PART
#define STAGE_SEEDS_PART 1
#endif

/* -------------------------------------------------------------------------------------- a peer */

enum peer_state {
    PEER_AWAY, /* not connected: before the first attempt, or between two */
    PEER_CONNECTING,
    PEER_TALKING,
    PEER_OVER,
};

/* How an honest peer leaves. */
enum peer_leaves {
    LEAVES_HALF, /* ends its side as soon as all is written, and reads to the end */
    LEAVES_LAST, /* ends its side when all replies are there, and reads to the end */
    LEAVES_SHUT, /* closes when all replies are there */
    LEAVES_NOT,  /* stays until the server ends the stream */
    LEAVES_COUNT,
};

struct peer {
    enum peer_state state;
    enum peer_leaves leaves;
    sim_peer end;
    uint64_t next_ns; /* away: not before */

    uint8_t *says; /* the requests, framed */
    uint32_t says_bytes;
    uint8_t *hears; /* the replies, framed */
    uint32_t hears_bytes;
    uint32_t messages;
    uint32_t say_ends[STAGE_MESSAGES_MAX]; /* where each request ends in `says` */
    uint32_t hear_ends[STAGE_MESSAGES_MAX];

    uint32_t written;
    uint32_t got;
    uint32_t window;     /* messages written beyond those whose replies came */
    uint32_t write_most; /* bytes of one write */
    uint32_t read_most;
    uint32_t lazy;     /* acts in one of so many turns */
    uint32_t reset_at; /* hostile: resets when so much is written; UINT32_MAX: never */

    uint32_t connects;
    uint32_t pushes; /* late: frames heard that answer nothing */
    uint8_t *frame;  /* late: the beginning of the frame that comes */
    uint32_t frame_bytes;
    bool shut;
    bool eof;
    bool was_reset;
};

/* ---------------------------------------------------------------------------------- the server */

/* A connection as the callbacks saw it. */
struct visit {
    berth_handle handle;
    uint32_t opens;
    uint32_t closes;
    uint32_t messages;
    enum berth_reason reason;
};

enum stage_kind {
    STAGE_CALM,    /* no fault that ends a connection: every reply must come */
    STAGE_ENDINGS, /* resets, half-closes, failing accepts, hostile peers */
    STAGE_STOPPED, /* as CALM, and the server is stopped in the middle, perhaps twice */
};

struct late; /* help_late.h: a program that answers late; NULL: it answers at once */

struct stage {
    uint64_t seed;
    enum stage_kind kind;
    struct late *late;
    bool trace;
    struct dice dice;
    struct sim_options options;
    struct berth_config config;
    struct berth_protocol protocol;
    const char *framing_name;
    int backlog;
    bool one_by_one; /* on_message, not on_messages */

    struct sim_world *world;
    struct berth_server *server;
    struct io *clock; /* an io of nobody, which makes time pass */
    uint8_t clock_buffers[2];
    bool dozes; /* time passes now and then while no worker is stepped */
    struct berth_address address;
    bool ended[STAGE_WORKERS_MAX];
    uint32_t workers_left;

    struct peer peers[STAGE_PEERS_MAX];
    uint32_t peers_count;
    uint32_t peers_over;

    struct visit *visits;
    uint32_t visits_count;
    uint64_t messages;
    uint64_t drained_owed; /* WOULD_EXCEED seen, no on_drained yet */

    uint64_t steps;
    uint64_t stop_at_step; /* STOPPED: when; UINT64_MAX: when all are through */
    uint64_t cut_at_step;
    uint64_t stop_ns;  /* when the server was told to stop */
    uint64_t alarm_ns; /* the last alarm that was set for a peer */
    uint64_t progress; /* anything that anybody did */
    uint32_t stops;
    uint64_t hash; /* of the whole run, after stage_close */
};

/* `late` may be NULL. */
void stage_draw(struct stage *stage, uint64_t seed, enum stage_kind kind, struct late *late);
void stage_open(struct stage *stage);
void stage_play(struct stage *stage);
void stage_close(struct stage *stage);

/* All of the above. Returns the run's hash. */
uint64_t stage_run(uint64_t seed, enum stage_kind kind, bool trace);

_Noreturn void stage_fail(const struct stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void stage_note(const struct stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How often the handler repeats a message in its answer: 0, 1 or 2 frames; late never 2, because
 * the first of two, which answers nothing, does not wait for its turn. */
uint32_t stage_reply(const struct stage *stage, const uint8_t *message, uint32_t size);

/* help_peer.c */
void peer_draw(struct stage *stage, struct peer *peer);
void peer_free(struct peer *peer);
void peer_act(struct stage *stage, struct peer *peer);
uint32_t peer_owed_bytes(const struct peer *peer); /* of replies to all that it said whole */

#endif
