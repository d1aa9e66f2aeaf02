/* An honest peer: it says what it drew, hears what must come back, and leaves in its own way.
 *
 * peer_draw makes its requests and, by the handler's rule, the bytes of all replies; peer_act lets
 * it do at most one write and one read, in pieces of its own size. What it hears is compared byte
 * by byte. When its stream ends, everything that it said whole must have been answered, unless the
 * connection was reset. Memory is malloc's, freed by peer_free. O(bytes).
 */
#include <stdlib.h>

#include "sim/help_late.h"
#include "sim/help_stage.h"

#define READ_MOST    700
#define MS           UINT64_C(1000000)
#define CONNECTS_MAX 100000

/* ------------------------------------------------------------------------------- what it says */

static uint32_t draw_size(struct dice *dice, const struct berth_framing *framing, uint32_t most)
{
    uint32_t least = codec_least(framing);
    uint32_t kind = dice_below(dice, 10);
    uint32_t size = kind == 0   ? 0
                    : kind <= 6 ? dice_below(dice, 25)
                    : kind <= 8 ? dice_below(dice, 200)
                                : dice_below(dice, most + 1);
    size = size > most ? most : size;
    return size < least ? least : size;
}

static void say(const struct stage *stage, struct peer *peer, const uint8_t *message, uint32_t size)
{
    const struct berth_framing *framing = &stage->protocol.framing;
    peer->says_bytes +=
        (uint32_t)codec_encode(framing, message, size, peer->says + peer->says_bytes);
    for (uint32_t i = stage_reply(stage, message, size); i > 0; i--) {
        peer->hears_bytes +=
            (uint32_t)codec_encode(framing, message, size, peer->hears + peer->hears_bytes);
    }
    peer->say_ends[peer->messages] = peer->says_bytes;
    peer->hear_ends[peer->messages] = peer->hears_bytes;
    peer->messages++;
}

void peer_draw(struct stage *stage, struct peer *peer)
{
    struct dice *dice = &stage->dice;
    const struct berth_framing *framing = &stage->protocol.framing;
    uint32_t most = framing->message_bytes_max;
    uint32_t messages = dice_between(dice, 1, STAGE_MESSAGES_MAX);
    size_t room = (size_t)messages * (most + CODEC_EXTRA);
    uint8_t *message = malloc(most);
    *peer = (struct peer){.says = malloc(room), .hears = malloc(2 * room)};
    assert_true(message != NULL && peer->says != NULL && peer->hears != NULL);
    for (uint32_t i = 0; i < messages; i++) {
        uint32_t size = draw_size(dice, framing, most);
        for (uint32_t b = 0; b < size; b++) {
            message[b] = (uint8_t)dice_roll(dice);
        }
        codec_clean(framing, message, size);
        say(stage, peer, message, size);
    }
    free(message);
    peer->leaves = (enum peer_leaves)dice_below(dice, LEAVES_COUNT);
    peer->window = dice_one_in(dice, 3) ? 1 : dice_between(dice, 1, STAGE_MESSAGES_MAX);
    peer->write_most = dice_one_in(dice, 3) ? dice_between(dice, 1, 8) : dice_between(dice, 1, 900);
    peer->read_most = dice_one_in(dice, 3) ? dice_between(dice, 1, 8) : READ_MOST;
    peer->lazy = dice_one_in(dice, 4) ? dice_between(dice, 2, 12) : 1;
    peer->reset_at = UINT32_MAX;
    if (stage->kind == STAGE_ENDINGS && dice_one_in(dice, 4)) {
        peer->reset_at = dice_below(dice, peer->says_bytes + 1);
    }
}

void peer_free(struct peer *peer)
{
    free(peer->says);
    free(peer->hears);
    free(peer->frame);
}

/* ------------------------------------------------------------------------------ what it is owed */

/* How many messages it has said whole. */
static uint32_t said(const struct peer *peer)
{
    uint32_t count = 0;
    while (count < peer->messages && peer->say_ends[count] <= peer->written) {
        count++;
    }
    return count;
}

/* How many messages' replies it has heard whole; those without a reply count as soon as the one
 * before does. */
static uint32_t heard(const struct peer *peer)
{
    uint32_t count = 0;
    while (count < peer->messages && peer->hear_ends[count] <= peer->got) {
        count++;
    }
    return count;
}

uint32_t peer_owed_bytes(const struct peer *peer)
{
    uint32_t count = said(peer);
    return count == 0 ? 0 : peer->hear_ends[count - 1];
}

static bool has_all(const struct peer *peer)
{
    return peer->written == peer->says_bytes && peer->got == peer->hears_bytes;
}

/* ------------------------------------------------------------------------------------- the end */

static unsigned number(const struct stage *stage, const struct peer *peer)
{
    return (unsigned)(peer - stage->peers);
}

static void over(struct stage *stage, struct peer *peer, const char *how)
{
    stage_note(stage, "peer %u is through: %s, wrote %u of %u, got %u of %u", number(stage, peer),
               how, peer->written, peer->says_bytes, peer->got, peer->hears_bytes);
    sim_peer_close(stage->world, peer->end);
    peer->state = PEER_OVER;
    stage->peers_over++;
    stage->progress++;
}

/* The stream ended in order. */
static void ended(struct stage *stage, struct peer *peer)
{
    peer->eof = true;
    bool may = stage->stops > 0 || (stage->late != NULL && late_closes(stage));
    if (!peer->shut && !may) {
        stage_fail(stage, "peer %u: the server ended the stream by itself", number(stage, peer));
    }
    bool whole = peer->got == peer_owed_bytes(peer);
    if (may && !has_all(peer)) {
        /* a stop or close answers what was handed over: whole replies, perhaps not all */
        uint32_t count = heard(peer);
        whole = peer->got <= peer_owed_bytes(peer) &&
                peer->got == (count == 0 ? 0 : peer->hear_ends[count - 1]);
    }
    if (!whole || peer->frame_bytes > 0) {
        stage_fail(stage,
                   "peer %u: the stream ended after %u bytes; it said %u messages, and %u "
                   "bytes of replies were owed",
                   number(stage, peer), peer->got, said(peer), peer_owed_bytes(peer));
    }
    over(stage, peer, "end of stream");
}

static void broken(struct stage *stage, struct peer *peer)
{
    bool may = stage->kind == STAGE_ENDINGS || stage->stops > 0;
    if (!may && stage->late != NULL && late_listens(stage) && peer->got == 0 && peer->pushes == 0) {
        sim_peer_close(stage->world, peer->end); /* it waited when listening stopped */
        peer->state = PEER_AWAY;
        peer->written = 0;
        peer->shut = false;
        stage->progress++;
        return;
    }
    peer->was_reset = true;
    if (!may) {
        stage_fail(stage, "peer %u was reset; it wrote %u of %u, got %u of %u", number(stage, peer),
                   peer->written, peer->says_bytes, peer->got, peer->hears_bytes);
    }
    over(stage, peer, "reset");
}

/* -------------------------------------------------------------------------------------- talking */

static void connecting(struct stage *stage, struct peer *peer)
{
    uint32_t state = sim_peer_state(stage->world, peer->end);
    if ((state & SIM_PEER_RESET) != 0) {
        broken(stage, peer);
    } else if ((state & SIM_PEER_REFUSED) != 0) {
        sim_peer_close(stage->world, peer->end);
        peer->state = PEER_AWAY;
        stage->progress++;
        if (stage->stops > 0) { /* nobody listens any more, or the queue is full for good */
            peer->state = PEER_OVER;
            stage->peers_over++;
            return;
        }
        peer->next_ns = sim_world_now(stage->world) + MS + dice_below(&stage->dice, 5 * MS);
        sim_world_alarm(stage->world, peer->next_ns);
    } else if ((state & SIM_PEER_CONNECTED) != 0) {
        stage_note(stage, "peer %u is connected", number(stage, peer));
        peer->state = PEER_TALKING;
        stage->progress++;
    }
}

static void away(struct stage *stage, struct peer *peer)
{
    if (sim_world_now(stage->world) < peer->next_ns) {
        return;
    }
    if (++peer->connects > CONNECTS_MAX) {
        stage_fail(stage, "peer %u was refused %u times", number(stage, peer), peer->connects);
    }
    peer->end = sim_peer_connect(stage->world, &stage->address);
    peer->state = PEER_CONNECTING;
    stage->progress++;
}

static void try_write(struct stage *stage, struct peer *peer)
{
    uint32_t allowed = heard(peer) + peer->window;
    uint32_t limit = allowed >= peer->messages ? peer->says_bytes : peer->say_ends[allowed - 1];
    if (peer->shut || peer->written >= limit) {
        return;
    }
    uint32_t count = dice_between(&stage->dice, 1, peer->write_most);
    count = count < limit - peer->written ? count : limit - peer->written;
    int32_t wrote = sim_peer_write(stage->world, peer->end, peer->says + peer->written, count);
    if (wrote > 0) {
        peer->written += (uint32_t)wrote;
        stage->progress++;
    }
    if ((sim_peer_state(stage->world, peer->end) & SIM_PEER_SHUT) != 0) {
        peer->shut = true; /* a fault of the world: what was written is all that is said */
    }
}

static uint32_t try_read(struct stage *stage, struct peer *peer)
{
    uint8_t bytes[READ_MOST];
    int32_t got = sim_peer_read(stage->world, peer->end, bytes, peer->read_most);
    if (stage->late != NULL) {
        late_hear(stage, peer, bytes, got);
        stage->progress += got > 0 ? 1 : 0;
        return (uint32_t)got;
    }
    for (int32_t i = 0; i < got; i++) {
        uint32_t at = peer->got + (uint32_t)i;
        if (at >= peer->hears_bytes || bytes[i] != peer->hears[at]) {
            stage_fail(stage, "peer %u: byte %u of its %u bytes of replies is wrong (%u owed)",
                       number(stage, peer), at, peer->hears_bytes, peer_owed_bytes(peer));
        }
    }
    peer->got += (uint32_t)got;
    stage->progress += got > 0 ? 1 : 0;
    if (peer->got > peer_owed_bytes(peer)) {
        stage_fail(stage, "peer %u got %u bytes of replies when %u were owed", number(stage, peer),
                   peer->got, peer_owed_bytes(peer));
    }
    return (uint32_t)got;
}

static void shut(struct stage *stage, struct peer *peer)
{
    stage_note(stage, "peer %u ends its side", number(stage, peer));
    sim_peer_shutdown(stage->world, peer->end, IO_SHUTDOWN_SEND);
    peer->shut = true;
    stage->progress++;
}

static void talking(struct stage *stage, struct peer *peer)
{
    if (peer->written >= peer->reset_at) {
        sim_peer_reset(stage->world, peer->end);
        over(stage, peer, "it resets");
        return;
    }
    try_write(stage, peer);
    uint32_t got = try_read(stage, peer);
    uint32_t state = sim_peer_state(stage->world, peer->end);
    if (got == 0 && (state & SIM_PEER_EOF) != 0) {
        ended(stage, peer);
    } else if (got == 0 && (state & SIM_PEER_RESET) != 0) {
        broken(stage, peer);
    } else if (!peer->shut && peer->leaves == LEAVES_HALF && peer->written == peer->says_bytes) {
        shut(stage, peer);
    } else if (!peer->shut && peer->leaves == LEAVES_LAST && has_all(peer)) {
        shut(stage, peer);
    } else if (!peer->shut && peer->leaves == LEAVES_SHUT && has_all(peer)) {
        over(stage, peer, "it has all and closes");
    }
}

void peer_act(struct stage *stage, struct peer *peer)
{
    switch (peer->state) {
    case PEER_AWAY:
        away(stage, peer);
        break;
    case PEER_CONNECTING:
        connecting(stage, peer);
        break;
    case PEER_TALKING:
        talking(stage, peer);
        break;
    case PEER_OVER:
        break;
    }
}
