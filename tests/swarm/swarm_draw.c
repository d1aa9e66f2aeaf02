/* What a seed means. Everything is drawn first and left out afterwards, so that leaving out a class
 * (--without) changes as little of the rest as can be. O(1).
 */
#include <string.h>

#include "swarm/swarm.h"

#define START_BEFORE_NS 2000000000u
#define POOL_TIGHT      (1u << 20) /* the least that a server takes */
#define POOL_LOOSE      (1u << 23)
#define MESSAGE_SMALL   64
#define MESSAGE_MOST    1500
#define MESSAGE_LARGE   65000 /* a dozen of them in parts fill a tight pool's share */
#define RECEIVE_LARGE   500
#define PIPE_LARGE      2048
#define SEND_LARGE      16    /* byte by byte it takes millions of turns */
#define POST_BYTES      65536 /* the least */

/* A deadline must leave honest peers time: so many mean delays at the least. */
#define DELAYS_TO_DEADLINE 4000
#define DELAYS_A_PIECE     8
#define PIECE_MOST         1000 /* about what an actor writes at once */
#define DEADLINE_LEAST_MS  40
#define DAY_MS             (24u * 3600 * 1000) /* no deadline is longer */

const char *const swarm_class_names[CLASS_COUNT] = {
#define SWARM_CLASS_NAME(name, text) text,
    SWARM_CLASSES(SWARM_CLASS_NAME)
#undef SWARM_CLASS_NAME
};

/* --------------------------------------------------------------------------------------- drawing
 */

static void keep_only(const struct swarm *swarm, enum swarm_class class, uint32_t *value)
{
    if (!swarm_has(swarm, class)) {
        *value = 0;
    }
}

/* One run in four has no faults of the world, one in two none of a system in trouble. */
static void draw_options(struct swarm *swarm)
{
    struct sim_options *o = &swarm->options;
    uint64_t draw = dice_roll(&swarm->dice);
    uint32_t kind = dice_below(&swarm->dice, 4);
    bool trouble = dice_one_in(&swarm->dice, 2);
    *o = (struct sim_options){.delay_mean_ns = SIM_DELAY_MEAN_NS, .pipe_bytes = SIM_PIPE_BYTES};
    if (kind > 0) {
        *o = sim_options_swarm(draw);
    }
    if (kind > 0 && trouble) {
        sim_options_trouble(o, draw);
    }
    /* The clock may have run for centuries, or its milliseconds be about to wrap 32 bits. */
    static const uint64_t starts[] = {0, 0, UINT64_C(1) << 63, (UINT64_C(1) << 32) * NS_PER_MS};
    o->start_ns = starts[dice_below(&swarm->dice, sizeof starts / sizeof starts[0])];
    o->start_ns -= o->start_ns != 0 ? dice_below(&swarm->dice, START_BEFORE_NS) : 0;
    o->start_ns = swarm_has(swarm, CLASS_WRAPS) ? o->start_ns : 0;
    keep_only(swarm, CLASS_LONG, &o->long_delay);
    keep_only(swarm, CLASS_SPLIT, &o->split);
    keep_only(swarm, CLASS_SHORT, &o->short_send);
    keep_only(swarm, CLASS_BUFFER, &o->no_buffer);
    keep_only(swarm, CLASS_FINAL, &o->drop_more);
    keep_only(swarm, CLASS_CANCEL, &o->cancel_loses);
    keep_only(swarm, CLASS_ACCEPT, &o->accept_error);
    keep_only(swarm, CLASS_RESET, &o->reset);
    keep_only(swarm, CLASS_HALF, &o->half_close);
    keep_only(swarm, CLASS_SPURIOUS, &o->spurious);
    keep_only(swarm, CLASS_CONNECT, &o->connect_error);
    keep_only(swarm, CLASS_RECEIVE, &o->receive_error);
    keep_only(swarm, CLASS_SEND, &o->send_error);
    keep_only(swarm, CLASS_QUEUE, &o->queue_entries);
    keep_only(swarm, CLASS_DESCRIPTORS, &o->descriptors);
    keep_only(swarm, CLASS_MEMORY, &o->memory_bytes);
}

/* The largest message goes through the narrowest place piece by piece, each with its delays. */
static uint32_t deadline_least_ms(const struct swarm *swarm)
{
    const struct sim_options *o = &swarm->options;
    uint32_t piece =
        swarm->config.receive_bytes < o->pipe_bytes ? swarm->config.receive_bytes : o->pipe_bytes;
    piece = piece < PIECE_MOST ? piece : PIECE_MOST;
    uint64_t pieces = swarm->protocol.framing.message_bytes_max / piece + 1;
    uint64_t delay_ns = o->delay_mean_ns > SIM_DELAY_MEAN_NS ? o->delay_mean_ns : SIM_DELAY_MEAN_NS;
    uint64_t ms = delay_ns * (DELAYS_TO_DEADLINE + DELAYS_A_PIECE * pieces) / NS_PER_MS;
    return ms < DEADLINE_LEAST_MS ? DEADLINE_LEAST_MS : (uint32_t)ms;
}

static uint32_t draw_deadline(struct swarm *swarm, bool never)
{
    uint32_t least = deadline_least_ms(swarm);
    uint32_t most = least > DAY_MS / 20 ? DAY_MS : 20 * least;
    uint32_t drawn = dice_between(&swarm->dice, least < DAY_MS ? least : DAY_MS, most);
    return never ? 0 : drawn;
}

/* Those who hold a place in silence must lose it, or honest ones would wait for ever. */
static void draw_deadlines(struct swarm *swarm)
{
    struct berth_config *c = &swarm->config;
    struct dice *dice = &swarm->dice;
    bool never = !swarm_has(swarm, CLASS_DEADLINE);
    bool slow = (swarm->kinds & 1u << ACTOR_SLOW) != 0;
    bool deaf = (swarm->kinds & 1u << ACTOR_DEAF) != 0;
    bool gone = (swarm->kinds & 1u << ACTOR_VANISH) != 0;
    c->first_message_timeout_ms = draw_deadline(swarm, never || dice_one_in(dice, 2));
    c->message_timeout_ms = draw_deadline(swarm, never || (!slow && dice_one_in(dice, 2)));
    c->receive_idle_timeout_ms = draw_deadline(swarm, never || (!gone && dice_one_in(dice, 2)));
    c->send_idle_timeout_ms = draw_deadline(swarm, never || !dice_one_in(dice, 4));
    c->send_progress_timeout_ms =
        draw_deadline(swarm, never || (!deaf && !gone && dice_one_in(dice, 2)));
    c->linger_timeout_ms = draw_deadline(swarm, false);
    c->stop_timeout_ms = DAY_MS;
}

static void draw_config(struct swarm *swarm)
{
    struct dice *dice = &swarm->dice;
    struct berth_config *c = &swarm->config;
    berth_config_init(c);
    uint32_t workers = dice_between(dice, 1, SWARM_WORKERS_MAX);
    c->workers = swarm_has(swarm, CLASS_WORKERS) ? workers : 1;
    c->connections_max = dice_between(dice, 1, swarm->actors_count + 2);
    c->connects_max = 4;
    c->receive_bytes =
        dice_one_in(dice, 2) ? dice_between(dice, 65, 4096) : dice_between(dice, 1, 64);
    c->receive_buffers = 2u << dice_below(dice, 4);
    c->send_bytes = dice_one_in(dice, 2) ? dice_between(dice, 1, 64) : 65536;
    c->send_high_bytes =
        dice_one_in(dice, 3) ? dice_between(dice, 1, 16) : dice_between(dice, 1, 8000);
    c->send_low_bytes = dice_below(dice, c->send_high_bytes + 1);
    c->turn_bytes = dice_one_in(dice, 2) ? dice_between(dice, 1, 200) : 262144;
    c->turn_messages = dice_one_in(dice, 2) ? dice_between(dice, 1, 4) : 4096;
    c->accept_pause_ms = dice_between(dice, 1, 50);
    c->window_messages = dice_one_in(dice, 2) ? dice_between(dice, 1, 30) : 256;
    c->window_bytes = dice_one_in(dice, 2) ? dice_between(dice, 1, 10000) : 1u << 20;
    bool tight = dice_one_in(dice, 5) && swarm_has(swarm, CLASS_TIGHT);
    c->pool_bytes = tight ? POOL_TIGHT : POOL_LOOSE;
    if (tight) { /* as many as can hold a message in parts at once */
        c->workers = 1;
        swarm->actors_count = SWARM_ACTORS_MAX;
        c->connections_max = SWARM_ACTORS_MAX;
    }
    c->post_bytes = POST_BYTES;
    c->recorder_records = 16;
    swarm->backlog = dice_one_in(dice, 3) ? (int)dice_between(dice, 1, 3) : SWARM_ACTORS_MAX;
}

static void draw_protocol(struct swarm *swarm)
{
    struct dice *dice = &swarm->dice;
    const struct codec *codec = &codecs[dice_below(dice, CODECS)];
    uint32_t size = dice_below(dice, 4);
    uint32_t most = size == 0 ? MESSAGE_SMALL : size < 3 ? MESSAGE_MOST : MESSAGE_LARGE;
    most = swarm->config.pool_bytes == POOL_TIGHT ? MESSAGE_LARGE : most;
    swarm->framing_name = codec->name;
    swarm->one_by_one = dice_one_in(dice, 3);
    swarm->protocol = (struct berth_protocol){.framing = codec->framing};
    if (codec->framing.kind != BERTH_FRAMING_FIXED && codec->framing.message_bytes_max > most) {
        swarm->protocol.framing.message_bytes_max = most;
    }
    if (swarm->protocol.framing.message_bytes_max == MESSAGE_LARGE) { /* not byte by byte */
        uint32_t *bytes = &swarm->config.receive_bytes;
        uint32_t *pipe = &swarm->options.pipe_bytes;
        uint32_t *sends = &swarm->config.send_bytes;
        *bytes = *bytes < RECEIVE_LARGE ? RECEIVE_LARGE : *bytes;
        *pipe = *pipe < PIPE_LARGE ? PIPE_LARGE : *pipe;
        *sends = *sends < SEND_LARGE ? SEND_LARGE : *sends;
    }
}

static void draw_kinds(struct swarm *swarm)
{
    static const enum swarm_class classes[ACTOR_KINDS] = {
        [ACTOR_SLOW] = CLASS_SLOW, [ACTOR_DEAF] = CLASS_DEAF,     [ACTOR_FLOOD] = CLASS_FLOOD,
        [ACTOR_LIAR] = CLASS_LIAR, [ACTOR_VANISH] = CLASS_VANISH, [ACTOR_CUT] = CLASS_CUT,
    };
    swarm->kinds = dice_below(&swarm->dice, 1u << ACTOR_KINDS) | 1u << ACTOR_HONEST;
    for (uint32_t kind = ACTOR_SLOW; kind < ACTOR_KINDS; kind++) {
        bool holds = kind == ACTOR_SLOW || kind == ACTOR_DEAF || kind == ACTOR_VANISH;
        bool out = !swarm_has(swarm, classes[kind]) || (holds && !swarm_has(swarm, CLASS_DEADLINE));
        swarm->kinds &= out ? ~(1u << kind) : UINT32_MAX;
    }
}

/* Each thing that the program does is off in one run of two, and so are dozes and early stops in
 * more. */
static void draw_program(struct swarm *swarm)
{
    struct dice *dice = &swarm->dice;
    struct program *program = &swarm->program;
    program->classes = dice_roll(dice) & ~swarm->without;
    program->dice.state = dice_roll(dice);
    program->pace = dice_one_in(dice, 2) ? 1 : dice_between(dice, 2, 60);
    program->newest_first = dice_one_in(dice, 2);
    program->listening = true;
    program->slow = (enum berth_slow)dice_between(dice, BERTH_SLOW_PAUSE, BERTH_SLOW_CLOSE);
    program->nap_ns = dice_one_in(dice, 3) ? 2000 * NS_PER_MS : 20000; /* some outlast patience */
    uint32_t out_wanted = dice_between(dice, 1, 12);
    /* Two ends that both hold back until they are read can wait for each other (send_high_bytes in
     * berth.h); a deadline ends that. */
    bool connects =
        (program->classes >> CLASS_OUTGOING & 1) != 0 && swarm->config.send_progress_timeout_ms > 0;
    program->out_wanted = connects ? out_wanted : 0;
}

/* Sends in the middle of a turn: after each reply, after some, or after as many bytes as in
 * earnest, which few runs have; and so for what is sent from where it was received. Not by the
 * dice, so that seeds mean what they meant. */
static void draw_warm(struct swarm *swarm)
{
    static const uint32_t bytes[] = {1, 100, 4096, 64 * 1024};
    swarm->warm_bytes = bytes[swarm->seed % (sizeof bytes / sizeof bytes[0])];
    swarm->lend_bytes = bytes[swarm->seed / 4 % (sizeof bytes / sizeof bytes[0])];
}

void swarm_draw(struct swarm *swarm)
{
    struct dice *dice = &swarm->dice;
    draw_warm(swarm);
    dice->state = swarm->seed * 5 + 1;
    swarm->actors_count = dice_between(dice, 1, SWARM_ACTORS_MAX);
    swarm->lives_most = dice_between(dice, swarm->actors_count, 6 * SWARM_ACTORS_MAX);
    draw_options(swarm);
    draw_kinds(swarm);
    draw_config(swarm);
    draw_protocol(swarm);
    draw_deadlines(swarm);
    draw_program(swarm);
    bool dozes = dice_one_in(dice, 3);
    swarm->dozes = dozes && swarm_has(swarm, CLASS_DOZE);
    bool wraps = dice_one_in(dice, 3);
    swarm->wraps = wraps && swarm_has(swarm, CLASS_WRAPS);
    swarm->hostile_steps = dice_between(dice, 500, 12000);
    bool stops = dice_one_in(dice, 5);
    swarm->stop_at_step = dice_below(dice, (uint32_t)swarm->hostile_steps);
    uint32_t soon = dice_one_in(dice, 2) ? 5 : 300;
    bool cuts = dice_one_in(dice, 3);
    swarm->cut_at_step = swarm->stop_at_step + 1 + dice_below(dice, soon);
    if (!stops || !swarm_has(swarm, CLASS_STOP)) {
        swarm->stop_at_step = UINT64_MAX;
    }
    if (!stops || !cuts) {
        swarm->cut_at_step = UINT64_MAX;
    }
}
