/* The actors: peers of the server, honest and hostile, each with a codec that shares nothing with
 * the library.
 *
 * actor_act lets one do at most some writes and one read. Whatever it hears is cut into frames and
 * compared, byte by byte, with the reply that must come next or with the unasked message that it
 * claims to be. When its stream ends in order it must have heard all replies that the program made.
 * A hostile actor talks like an honest one until its turn comes. Memory is malloc's, freed by
 * actor_free. O(bytes).
 */
#include <stdlib.h>
#include <string.h>

#include "swarm/swarm.h"

#define READ_MOST    2000
#define REFUSALS_MAX 100000

static unsigned index_of(const struct swarm *swarm, const struct actor *actor)
{
    return (unsigned)(actor - swarm->actors);
}

#define NOTE(swarm, actor, text, ...)                                                              \
    swarm_note(swarm, "actor %u (life %u): " text, index_of(swarm, actor),                         \
               (actor)->life __VA_OPT__(, ) __VA_ARGS__)
#define FAIL(swarm, actor, text, ...)                                                              \
    swarm_fail(swarm, "actor %u (life %u): " text, index_of(swarm, actor),                         \
               (actor)->life __VA_OPT__(, ) __VA_ARGS__)

static uint32_t frame_most(const struct swarm *swarm)
{
    uint32_t most = swarm->protocol.framing.message_bytes_max;
    return (most > PUSH_MOST ? most : PUSH_MOST) + CODEC_EXTRA;
}

/* ---------------------------------------------------------------------------------- its beginning
 */

void actor_begin(struct swarm *swarm, struct actor *actor, enum actor_kind kind)
{
    struct dice *dice = &swarm->dice;
    uint8_t *frame = actor->frame;
    uint8_t *heard = actor->heard;
    *actor = (struct actor){.kind = kind, .state = ACTOR_AWAY, .frame = frame, .heard = heard};
    if (frame == NULL) {
        actor->frame = malloc(frame_most(swarm) * 2);
        actor->heard = malloc(frame_most(swarm) + READ_MOST);
        if (actor->frame == NULL || actor->heard == NULL) {
            abort();
        }
    }
    actor->life = swarm->lives++ * ACTOR_KINDS + kind;
    actor->leaves = (enum actor_leaves)dice_below(dice, LEAVES_COUNT);
    actor->messages = dice_one_in(dice, 4) ? dice_between(dice, 1, 400) : dice_between(dice, 1, 40);
    actor->window = dice_one_in(dice, 3) ? 1 : dice_between(dice, 1, 60);
    bool large = swarm->protocol.framing.message_bytes_max > READ_MOST; /* not byte by byte */
    actor->write_most = dice_one_in(dice, 3) && !large ? dice_between(dice, 1, 8)
                                                       : dice_between(dice, 1, READ_MOST);
    actor->writes_most = dice_one_in(dice, 2) ? 1 : dice_between(dice, 1, 20);
    actor->read_most = dice_one_in(dice, 3) && !large ? dice_between(dice, 1, 8) : READ_MOST;
    actor->lazy = dice_one_in(dice, 4) ? dice_between(dice, 2, 12) : 1;
    actor->turns_at = dice_below(dice, 30);
    actor->messages = large && actor->messages > 40 ? 40 : actor->messages;
    uint32_t slow_ms = swarm->config.message_timeout_ms / dice_between(dice, 3, 20);
    actor->pace_ns = (slow_ms + 1) * NS_PER_MS;
    if (kind == ACTOR_FLOOD) {
        actor->messages = dice_between(dice, 100, 3000);
        actor->window = UINT32_MAX / 2;
        actor->write_most = READ_MOST;
        actor->writes_most = 60;
        actor->lazy = 1;
    } else if (kind == ACTOR_DEAF) {
        actor->messages = 5000;
        actor->window = UINT32_MAX / 2;
    } else if (kind != ACTOR_HONEST) {
        actor->messages = UINT32_MAX / 2;
    }
    actor->next_ns = sim_world_now(swarm->world) + dice_below(dice, 2 * NS_PER_MS);
    sim_world_alarm(swarm->world, actor->next_ns);
}

void actor_free(struct actor *actor)
{
    free(actor->frame);
    free(actor->heard);
}

struct actor *actor_of_port(struct swarm *swarm, uint16_t port)
{
    for (uint32_t i = 0; i < swarm->actors_count; i++) {
        struct actor *actor = &swarm->actors[i];
        bool there = actor->state == ACTOR_CONNECTING || actor->state == ACTOR_TALKING;
        if (there && sim_peer_port(swarm->world, actor->end) == port) {
            return actor;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------- its end
 */

static void did(struct actor *actor, uint32_t deed)
{
    actor->deeds |= deed;
    if (actor->visit != NULL) {
        actor->visit->deeds |= deed;
    }
}

/* An honest one that was not served, in a healed world, for a reason that is not its own, comes
 * again. */
static void over(struct swarm *swarm, struct actor *actor, const char *how, bool served)
{
    NOTE(swarm, actor, "%s; said %u of %u, heard %u replies", how, actor->said, actor->messages,
         actor->replies);
    if (actor->visit != NULL) {
        actor->visit->actor = NULL;
    }
    actor->state = ACTOR_OVER;
    swarm->progress++;
    if (!served && actor->kind == ACTOR_HONEST && swarm->phase == PHASE_HEALED &&
        swarm->stops == 0) {
        uint32_t refusals = actor->refusals + 1;
        if (refusals > REFUSALS_MAX) {
            FAIL(swarm, actor, "was never served");
        }
        actor_begin(swarm, actor, ACTOR_HONEST);
        actor->refusals = refusals;
        actor->leaves = LEAVES_LAST;
        actor->messages = 20;
        actor->lazy = 1;
    }
}

static void leave(struct swarm *swarm, struct actor *actor, const char *how, bool served)
{
    did(actor, DEED_CLOSED);
    sim_peer_close(swarm->world, actor->end);
    over(swarm, actor, how, served);
}

/* Passes by messages that have no reply: said is all that there is to them. */
static void pass_by(const struct swarm *swarm, struct actor *actor)
{
    while (actor->next_reply < actor->said &&
           !content_replies(content_class(swarm, actor->life, actor->next_reply))) {
        actor->next_reply++;
    }
}

static bool has_all(const struct swarm *swarm, struct actor *actor)
{
    pass_by(swarm, actor);
    return actor->said == actor->messages && actor->next_reply == actor->said;
}

/* The stream has ended in order: then nothing is missing of what the program answered. */
static void stream_ended(struct swarm *swarm, struct actor *actor)
{
    const struct visit *visit = actor->visit;
    if (visit == NULL) {
        FAIL(swarm, actor, "the stream of a connection ended that the program never saw");
    }
    if (actor->heard_bytes > 0) {
        FAIL(swarm, actor, "the stream ended %u bytes into a frame", actor->heard_bytes);
    }
    if (actor->replies != visit->replies) {
        FAIL(swarm, actor, "the stream ended in order after %u replies; the program made %u",
             actor->replies, visit->replies);
    }
    leave(swarm, actor, "end of stream", has_all(swarm, actor));
}

static void was_reset(struct swarm *swarm, struct actor *actor)
{
    const struct visit *visit = actor->visit;
    if (visit != NULL && actor->replies > visit->replies) {
        FAIL(swarm, actor, "heard %u replies; the program made %u", actor->replies, visit->replies);
    }
    leave(swarm, actor, "reset", false);
}

/* ------------------------------------------------------------------------------------ what it says
 */

static void next_frame(struct swarm *swarm, struct actor *actor)
{
    uint8_t *message = actor->frame + frame_most(swarm);
    uint32_t size = content_write(swarm, actor->life, actor->begun, message);
    actor->frame_bytes =
        (uint32_t)codec_encode(&swarm->protocol.framing, message, size, actor->frame);
    actor->frame_at = 0;
}

/* The next bytes that it wants to write, as far as its window allows; 0: none. */
static uint32_t wants_to_write(struct swarm *swarm, struct actor *actor)
{
    if (actor->frame_at == actor->frame_bytes) {
        pass_by(swarm, actor);
        bool turn = actor->kind == ACTOR_LIAR && actor->begun >= actor->turns_at;
        bool waits = actor->begun - actor->next_reply >= actor->window;
        if (turn || waits || actor->begun >= actor->messages) {
            return 0;
        }
        next_frame(swarm, actor);
    }
    return actor->frame_bytes - actor->frame_at;
}

/* How long what was written may be on its way. */
static uint64_t arrival_most_ns(const struct swarm *swarm)
{
    uint64_t worst = swarm->options.long_delay != 0 ? 50 * SIM_LONG : 50;
    return swarm->options.delay_mean_ns * worst;
}

/* What is written counts if it surely arrives before what counted last is too old: a worker that
 * was held up must have looked. What comes later may find that the deadline was missed. */
static void note_write(const struct swarm *swarm, struct actor *actor)
{
    uint64_t now_ns = sim_world_now(swarm->world);
    uint64_t timeout_ns = swarm->config.receive_idle_timeout_ms * NS_PER_MS;
    if (actor->visit != NULL && actor->visit->opened_ns > actor->heard_ns) {
        actor->heard_ns = actor->visit->opened_ns; /* it waited to be accepted */
    }
    if (now_ns + arrival_most_ns(swarm) < actor->heard_ns + timeout_ns) {
        actor->heard_ns = now_ns;
    }
}

static void wrote(struct swarm *swarm, struct actor *actor, uint32_t count)
{
    if (count == 0) {
        return;
    }
    uint64_t now_ns = sim_world_now(swarm->world);
    if (actor->frame_at == 0) {
        actor->began_ns[actor->begun % SWARM_BEGAN] = now_ns;
        actor->begun++;
    }
    actor->frame_at += count;
    note_write(swarm, actor);
    swarm->progress++;
    if (actor->frame_at == actor->frame_bytes) {
        actor->said++;
    }
}

/* Empty frames cannot be: every frame has a byte at least. */
static void write_some(struct swarm *swarm, struct actor *actor, uint32_t most, uint32_t times)
{
    for (uint32_t i = 0; i < times && !actor->shut; i++) {
        uint32_t wants = wants_to_write(swarm, actor);
        if (wants == 0) {
            return;
        }
        uint32_t count = dice_between(&swarm->dice, 1, most);
        count = count < wants ? count : wants;
        int32_t result =
            sim_peer_write(swarm->world, actor->end, actor->frame + actor->frame_at, count);
        wrote(swarm, actor, result > 0 ? (uint32_t)result : 0);
        if ((sim_peer_state(swarm->world, actor->end) & SIM_PEER_SHUT) != 0) {
            actor->shut = true; /* a fault of the world, or a reset that it will find */
            did(actor, DEED_SHUT);
        }
        if (result <= 0) {
            return;
        }
    }
}

/* ----------------------------------------------------------------------------------- what it hears
 */

/* Those that are too small for a number have none; of the others none is missing, unless it is a
 * group's, of which the slow miss some. */
static void hear_push(struct swarm *swarm, struct actor *actor, const struct berth_message *message)
{
    uint8_t *expected = actor->frame + frame_most(swarm);
    uint32_t number;
    if (!content_push_number(message, &number)) {
        return;
    }
    enum push_kind kind = (enum push_kind)message->data[0];
    if (kind % 8 != CONTENT_NOTHING || push_index(kind) >= PUSH_KINDS) {
        FAIL(swarm, actor, "an unasked message is of no kind: %u", kind);
    }
    uint32_t *next = &actor->pushes[push_index(kind)];
    bool gaps = kind == PUSH_GROUP || kind == PUSH_BROADCAST;
    bool right = number >= *next && (gaps || number - *next < PUSH_MOST);
    for (uint32_t skipped = *next; right && !gaps && skipped < number; skipped++) {
        uint32_t size = content_push(swarm, kind, skipped, expected);
        struct berth_message missed = {.data = expected, .size = size};
        uint32_t its_number;
        right = !content_push_number(&missed, &its_number);
    }
    if (!right) {
        FAIL(swarm, actor, "unasked message %u of kind %u came when %u was next", number, kind,
             *next);
    }
    uint32_t size = content_push(swarm, kind, number, expected);
    if (size != message->size || memcmp(expected, message->data, size) != 0) {
        FAIL(swarm, actor, "unasked message %u of kind %u has wrong bytes", number, kind);
    }
    *next = number + 1;
}

static void hear_reply(struct swarm *swarm, struct actor *actor,
                       const struct berth_message *message)
{
    uint8_t *expected = actor->frame + frame_most(swarm);
    pass_by(swarm, actor);
    uint32_t next = actor->next_reply;
    if (next == actor->said) {
        FAIL(swarm, actor, "a reply of %u bytes came, and %u messages were said, all answered",
             message->size, actor->said);
    }
    uint32_t size = content_write(swarm, actor->life, next, expected);
    if (size != message->size || memcmp(expected, message->data, size) != 0) {
        FAIL(swarm, actor, "the reply to message %u is wrong: %u bytes instead of %u", next,
             message->size, size);
    }
    actor->replies++;
    actor->next_reply = next + 1;
    if (actor->visit == NULL || actor->replies > actor->visit->replies) {
        FAIL(swarm, actor, "heard %u replies, more than the program made", actor->replies);
    }
}

static uint32_t read_some(struct swarm *swarm, struct actor *actor)
{
    int32_t got = sim_peer_read(swarm->world, actor->end, actor->heard + actor->heard_bytes,
                                actor->read_most);
    if (got <= 0) {
        return 0;
    }
    swarm->progress++;
    actor->heard_bytes += (uint32_t)got;
    uint32_t at = 0;
    struct berth_message message;
    size_t frame;
    while (at < actor->heard_bytes &&
           (frame = codec_decode(&swarm->protocol.framing, actor->heard + at,
                                 actor->heard_bytes - at, &message)) > 0) {
        at += (uint32_t)frame;
        if (content_class_of(message.data, message.size) == CONTENT_NOTHING) {
            hear_push(swarm, actor, &message);
        } else {
            hear_reply(swarm, actor, &message);
        }
    }
    memmove(actor->heard, actor->heard + at, actor->heard_bytes - at);
    actor->heard_bytes -= at;
    if (actor->heard_bytes > frame_most(swarm)) {
        FAIL(swarm, actor, "%u bytes came that are no frame", actor->heard_bytes);
    }
    return (uint32_t)got;
}

/* ------------------------------------------------------------------------------- the hostile ones
 */

/* Lies, as much of it as fits. It is one frame more, as far as its writing is concerned. */
static void lie(struct swarm *swarm, struct actor *actor)
{
    if (!actor->turned) {
        actor->turned = true;
        did(actor, DEED_LIED);
        actor->frame_bytes = (uint32_t)codec_nonsense(&swarm->protocol.framing, actor->frame);
        actor->frame_at = 0;
        NOTE(swarm, actor, "lies, with %u bytes behind %u messages", actor->frame_bytes,
             actor->said);
        if (actor->frame_bytes == 0) {
            actor->messages = actor->said; /* it cannot with this framing */
            actor->kind = ACTOR_HONEST;
            actor->leaves = LEAVES_LAST;
            return;
        }
    }
    while (actor->frame_at < actor->frame_bytes && !actor->shut) {
        int32_t result = sim_peer_write(swarm->world, actor->end, actor->frame + actor->frame_at,
                                        actor->frame_bytes - actor->frame_at);
        if (result <= 0) {
            return;
        }
        actor->frame_at += (uint32_t)result;
        note_write(swarm, actor);
        swarm->progress++;
        if ((sim_peer_state(swarm->world, actor->end) & SIM_PEER_SHUT) != 0) {
            actor->shut = true;
            did(actor, DEED_SHUT);
        }
    }
}

static void trickle(struct swarm *swarm, struct actor *actor)
{
    uint64_t now_ns = sim_world_now(swarm->world);
    if (now_ns < actor->next_ns) {
        return;
    }
    write_some(swarm, actor, 1, 1);
    actor->next_ns = now_ns + actor->pace_ns;
    sim_world_alarm(swarm->world, actor->next_ns);
}

/* Whether it is this one's time to do what it is named for. */
static bool turns(const struct actor *actor)
{
    return actor->begun >= actor->turns_at;
}

static void say(struct swarm *swarm, struct actor *actor)
{
    bool between = actor->frame_at == actor->frame_bytes;
    if (actor->silent) {
        return;
    }
    if (actor->kind == ACTOR_LIAR && (actor->turned || (turns(actor) && between))) {
        lie(swarm, actor);
    } else if (actor->kind == ACTOR_SLOW && turns(actor)) {
        trickle(swarm, actor);
    } else {
        write_some(swarm, actor, actor->write_most, actor->writes_most);
    }
}

/* ---------------------------------------------------------------------------------------- talking
 */

static void connecting(struct swarm *swarm, struct actor *actor)
{
    uint32_t state = sim_peer_state(swarm->world, actor->end);
    if ((state & SIM_PEER_RESET) != 0) {
        was_reset(swarm, actor);
    } else if ((state & SIM_PEER_REFUSED) != 0) {
        sim_peer_close(swarm->world, actor->end);
        actor->state = ACTOR_AWAY;
        swarm->progress++;
        if (swarm->stops > 0 || ++actor->refusals > REFUSALS_MAX) {
            if (swarm->stops == 0) {
                FAIL(swarm, actor, "was refused %u times", actor->refusals);
            }
            over(swarm, actor, "refused by a server that stops", false);
            return;
        }
        actor->next_ns =
            sim_world_now(swarm->world) + NS_PER_MS + dice_below(&swarm->dice, 5 * NS_PER_MS);
        sim_world_alarm(swarm->world, actor->next_ns);
    } else if ((state & SIM_PEER_CONNECTED) != 0) {
        NOTE(swarm, actor, "connected, kind %d", actor->kind);
        actor->state = ACTOR_TALKING;
        swarm->progress++;
    }
}

static void away(struct swarm *swarm, struct actor *actor)
{
    uint64_t now_ns = sim_world_now(swarm->world);
    if (now_ns < actor->next_ns) {
        return;
    }
    actor->end = sim_peer_connect(swarm->world, &swarm->address);
    actor->connected_ns = now_ns;
    actor->heard_ns = now_ns;
    actor->state = ACTOR_CONNECTING;
    swarm->progress++;
}

static void shut(struct swarm *swarm, struct actor *actor)
{
    NOTE(swarm, actor, "ends its side");
    did(actor, DEED_SHUT);
    sim_peer_shutdown(swarm->world, actor->end, IO_SHUTDOWN_SEND);
    actor->shut = true;
    swarm->progress++;
}

/* Those who leave in their own way, when it is time. */
static void maybe_leave(struct swarm *swarm, struct actor *actor)
{
    bool said = actor->said == actor->messages;
    if (actor->shut || actor->kind == ACTOR_DEAF) {
        return;
    }
    if (actor->leaves == LEAVES_HALF && said) {
        shut(swarm, actor);
    } else if (actor->leaves == LEAVES_LAST && has_all(swarm, actor)) {
        shut(swarm, actor);
    } else if (actor->leaves == LEAVES_SHUT && has_all(swarm, actor)) {
        leave(swarm, actor, "it has all and closes", true);
    }
}

static void talking(struct swarm *swarm, struct actor *actor)
{
    if (actor->kind == ACTOR_CUT && turns(actor)) {
        did(actor, DEED_RESET);
        sim_peer_reset(swarm->world, actor->end);
        leave(swarm, actor, "it resets", true);
        return;
    }
    if (actor->kind == ACTOR_VANISH && turns(actor)) {
        did(actor, DEED_VANISHED);
        sim_peer_vanish(swarm->world, actor->end);
        over(swarm, actor, "it vanishes", true);
        return;
    }
    say(swarm, actor);
    uint32_t got = actor->kind == ACTOR_DEAF ? 0 : read_some(swarm, actor);
    uint32_t state = sim_peer_state(swarm->world, actor->end);
    if (got == 0 && (state & SIM_PEER_EOF) != 0) {
        stream_ended(swarm, actor);
    } else if (got == 0 && (state & SIM_PEER_RESET) != 0) {
        was_reset(swarm, actor);
    } else if (actor->kind == ACTOR_DEAF && actor->visit != NULL && actor->visit->closes > 0) {
        leave(swarm, actor, "nobody is there any more", true);
    } else {
        maybe_leave(swarm, actor);
    }
}

void actor_act(struct swarm *swarm, struct actor *actor)
{
    switch (actor->state) {
    case ACTOR_AWAY:
        away(swarm, actor);
        break;
    case ACTOR_CONNECTING:
        connecting(swarm, actor);
        break;
    case ACTOR_TALKING:
        talking(swarm, actor);
        break;
    case ACTOR_OVER:
        break;
    }
}

/* --------------------------------------------------------------------------------------- healing
 */

/* Half of those who hold a place in silence stay, if a deadline will end that. */
static void heal_silent(struct swarm *swarm, struct actor *actor)
{
    const struct berth_config *config = &swarm->config;
    bool partial = actor->frame_at > 0 && actor->frame_at < actor->frame_bytes;
    bool ends = config->receive_idle_timeout_ms > 0 && config->send_progress_timeout_ms > 0 &&
                (!partial || config->message_timeout_ms > 0);
    actor->silent = true;
    if (!ends || dice_one_in(&swarm->dice, 2)) {
        did(actor, DEED_RESET);
        sim_peer_reset(swarm->world, actor->end);
        leave(swarm, actor, "it gives up", true);
    }
}

void actor_heal(struct swarm *swarm, struct actor *actor)
{
    if (actor->state == ACTOR_AWAY || actor->state == ACTOR_CONNECTING) {
        actor->kind = ACTOR_HONEST;
        actor->messages = 20;
    } else if (actor->state == ACTOR_TALKING &&
               (actor->kind == ACTOR_SLOW || actor->kind == ACTOR_DEAF)) {
        heal_silent(swarm, actor);
    }
    if (actor->leaves == LEAVES_NOT) {
        actor->leaves = LEAVES_LAST;
    }
}
