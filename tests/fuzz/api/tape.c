/* The tape: an input as settings, orders and scripts. Each byte of the settings chooses among a few
 * values, so that every input is a legal program and a changed byte changes one thing. The orders
 * behind them are obeyed one after the other; the last of them are the scripts of the callbacks,
 * which are read again and again: a role's script is a place and a length in them, and each call
 * takes the next order of it, and those that are tied to it (ORDER_MORE).
 *
 * Nothing is copied; the input is lent for as long as the play lasts. O(1) each.
 */
#include "fuzz/api/play.h"

#include <string.h>

#include "core/core.h"
#include "sim/help_codec.h"

#define KIB 1024u
#define MIB (KIB * KIB)

/* Of a byte of a role's: where its script begins, and of how many orders it is. */
#define SCRIPT_PLACES       32
#define SCRIPT_LENGTH_SHIFT 5

/* A play's bytes take no more steps than this, however few go in one. */
#define STEPS_MOST 2000

/* What a frame costs of that beside its message. */
#define FRAME_EXTRA 8

#define PICK(table, byte) ((table)[(byte) % (sizeof(table) / sizeof(table)[0])])

static uint8_t setting(const struct tape *tape, enum setting which)
{
    return tape->settings[which];
}

static bool bit(uint8_t byte, unsigned place)
{
    return (byte >> place & 1) != 0;
}

void tape_open(struct tape *tape, const uint8_t *data, size_t size)
{
    uint32_t orders = (uint32_t)((size - SET_BYTES) / ORDER_BYTES);
    *tape = (struct tape){.settings = data, .orders = data + SET_BYTES};
    uint32_t wanted = setting(tape, SET_SCRIPT) % SCRIPT_PLACES;
    tape->script_count = wanted < orders ? wanted : orders;
    tape->count = orders - tape->script_count;
}

static struct order order_at(const struct tape *tape, uint32_t index)
{
    const uint8_t *at = tape->orders + (size_t)index * ORDER_BYTES;
    return (struct order){at[0], at[1], at[2], at[3]};
}

struct order tape_order(const struct tape *tape, uint32_t index)
{
    return order_at(tape, index);
}

uint32_t tape_script(struct tape *tape, enum role role, struct order *out, uint32_t max)
{
    uint8_t byte = setting(tape, SET_ROLES + role);
    uint32_t length = byte >> SCRIPT_LENGTH_SHIFT;
    uint32_t call = tape->calls[role]++;
    uint8_t every = setting(tape, SET_EVERY);
    uint32_t apart = role == ROLE_MESSAGE ? every & 0x0f : role == ROLE_EVENT ? every >> 4 : 0;
    if (length == 0 || tape->script_count == 0 || call % (apart + 1) != 0) {
        return 0;
    }
    uint32_t at = byte % SCRIPT_PLACES + call / (apart + 1) % length;
    uint32_t count = 0;
    bool more = true;
    while (more && count < max) {
        out[count] = order_at(tape, tape->count + at % tape->script_count);
        more = (out[count].kind & ORDER_MORE) != 0;
        at++;
        count++;
    }
    return count;
}

/* ------------------------------------------------------------------------------- the settings */

static void set_sizes(const struct tape *tape, struct berth_config *c)
{
    static const uint32_t receives[] = {4096, 1, 7, 64, 500, 20000};
    static const uint32_t sends[] = {65536, 1, 16, 300};
    static const uint32_t highs[] = {30000, 1, 100, 2000};
    static const uint32_t spares[] = {70000, 0, 2000, 300000};
    static const uint32_t windows[] = {256, 1, 2, 30};
    static const uint32_t window_bytes[] = {MIB, 1, 1000, 100000};
    uint8_t receive = setting(tape, SET_RECEIVE);
    uint8_t send = setting(tape, SET_SEND);
    uint8_t window = setting(tape, SET_WINDOW);
    uint8_t turn = setting(tape, SET_TURN);
    c->receive_bytes = PICK(receives, receive & 0x0f);
    c->receive_buffers = 2u << (receive >> 4) % 4;
    c->send_bytes = PICK(sends, send & 3);
    c->send_high_bytes = PICK(highs, send >> 2 & 3);
    c->send_low_bytes = c->send_high_bytes * (send >> 4 & 3) / 3;
    c->send_max_bytes = c->send_high_bytes + PICK(spares, setting(tape, SET_SEND_MOST));
    c->window_messages = PICK(windows, window & 3);
    c->window_bytes = PICK(window_bytes, window >> 2 & 3);
    c->turn_bytes = (turn & 3) == 1 ? 1 : (turn & 3) == 2 ? 200 : 256 * KIB;
    c->turn_messages = (turn >> 2 & 3) == 1 ? 1 : (turn >> 2 & 3) == 2 ? 3 : 4096;
}

static void set_memory(const struct tape *tape, struct berth_config *c)
{
    static const uint32_t accepted[] = {12, 1, 2, 3};
    static const uint32_t outgoing[] = {8, 0, 1, 2};
    static const uint32_t pools[] = {MIB, 2 * MIB, 8 * MIB, MIB};
    static const uint32_t spaces[] = {0, 8, 1000, 24};
    uint8_t places = setting(tape, SET_PLACES);
    uint8_t memory = setting(tape, SET_MEMORY);
    c->connections_max = PICK(accepted, places & 3);
    c->connects_max = PICK(outgoing, places >> 2 & 3);
    c->pool_bytes = PICK(pools, memory & 3);
    c->post_bytes = (memory >> 2 & 1) != 0 ? 256 * KIB : 64 * KIB;
    c->recorder_records = (memory >> 3 & 1) != 0 ? 64 : 16;
    c->conn_space_bytes = PICK(spaces, setting(tape, SET_EMPTY) >> 2 & 3);
}

static void set_deadlines(const struct tape *tape, struct berth_config *c)
{
    uint8_t on = setting(tape, SET_DEADLINES);
    c->first_message_timeout_ms = bit(on, 0) ? 30 : 0;
    c->message_timeout_ms = bit(on, 1) ? 20 : 0;
    c->receive_idle_timeout_ms = bit(on, 2) ? 50 : 0;
    c->send_idle_timeout_ms = bit(on, 3) ? 60 : 0;
    c->send_progress_timeout_ms = bit(on, 4) ? 40 : 0;
    c->linger_timeout_ms = bit(on, 5) ? 10 : 2000;
    c->stop_timeout_ms = bit(on, 6) ? 15 : 5000;
    c->accept_pause_ms = bit(on, 7) ? 1 : 50;
}

static void set_protocols(struct play *play)
{
    static const uint32_t largest[] = {MESSAGE_MOST, 64, 1000, 60000};
    for (uint32_t i = 0; i < PLAY_PROTOCOLS; i++) {
        const struct tape *tape = &play->tape;
        uint8_t choice = setting(tape, i == 0 ? SET_FRAMING : SET_FRAMING_2);
        const struct codec *codec = &codecs[choice % CODECS];
        struct berth_framing *framing = &play->protocols[i].framing;
        uint32_t most = PICK(largest, setting(tape, SET_LARGEST) >> (i == 0 ? 0 : 2) & 3);
        *framing = codec->framing;
        if (framing->kind != BERTH_FRAMING_FIXED && framing->message_bytes_max > most) {
            framing->message_bytes_max = most;
        }
        TELL(play, "protocol %u: %s, up to %u bytes", i, codec->name, framing->message_bytes_max);
    }
}

static void set_world(struct play *play)
{
    uint8_t faults = setting(&play->tape, SET_FAULTS);
    play->options = (struct sim_options){0};
    if (faults != 0) {
        play->options = sim_options_swarm(faults);
    }
    play->trouble = faults % 4 == 3;
    if (play->trouble) {
        sim_options_trouble(&play->options, faults);
    }
    if (play->options.pipe_bytes != 0 && play->options.pipe_bytes < 2 * KIB &&
        play->config.send_max_bytes > 40 * KIB) {
        play->options.pipe_bytes *= 16; /* a large queue through a tiny pipe takes for ever */
    }
}

/* Bytes that go one by one take a turn each, or more. */
static void set_budget(struct play *play)
{
    uint32_t least = play->config.receive_bytes;
    least = play->config.send_bytes < least ? play->config.send_bytes : least;
    least = play->options.pipe_bytes != 0 && play->options.pipe_bytes < least
                ? play->options.pipe_bytes
                : least;
    uint32_t most = least > PLAY_BYTES_MOST / STEPS_MOST ? PLAY_BYTES_MOST : least * STEPS_MOST;
    play->bytes_left = most;
    play->actions_left = PLAY_ACTIONS_MOST;
}

static void tell_settings(const struct play *play)
{
    const struct berth_config *c = &play->config;
    TELL(play, "%u workers, %s, %s", c->workers,
         play->protocols[0].on_message != NULL ? "one by one" : "in batches",
         play->sharp ? "sharp" : "blunt");
    TELL(play, "%u connections, %u outgoing, pool %llu, posts %llu", c->connections_max,
         c->connects_max, (unsigned long long)c->pool_bytes, (unsigned long long)c->post_bytes);
    TELL(play, "receives %u into %u, sends %u, high %u, low %u, max %u", c->receive_bytes,
         c->receive_buffers, c->send_bytes, c->send_high_bytes, c->send_low_bytes,
         c->send_max_bytes);
    TELL(play, "window %u, %u bytes; turn %u, %u bytes", c->window_messages, c->window_bytes,
         c->turn_messages, c->turn_bytes);
    TELL(play, "deadlines: first %u, message %u, receive %u, send %u, progress %u, linger %u",
         c->first_message_timeout_ms, c->message_timeout_ms, c->receive_idle_timeout_ms,
         c->send_idle_timeout_ms, c->send_progress_timeout_ms, c->linger_timeout_ms);
}

void tape_settings(struct play *play)
{
    static const enum voice empties[] = {VOICE_REPLY, VOICE_SEND, VOICE_HANDLE, VOICE_GROUP};
    const struct tape *tape = &play->tape;
    struct berth_config *c = &play->config;
    uint8_t ways = setting(tape, SET_WAYS);
    berth_config_init(c);
    c->workers = 1 + ways % PLAY_WORKERS;
    play->sharp = !bit(ways, 3);
    play->crowded = bit(setting(tape, SET_EMPTY), 4) &&
                    setting(tape, SET_FRAMING) % CODECS != setting(tape, SET_FRAMING_2) % CODECS;
    play->empty = PICK(empties, setting(tape, SET_EMPTY) & 3);
    set_sizes(tape, c);
    set_memory(tape, c);
    set_deadlines(tape, c);
    set_protocols(play);
    set_world(play);
    set_budget(play);
    callbacks_set(play);
    if (!play->sharp && bit(setting(tape, SET_TURN), 5)) {
        play->config.on_event = NULL;
    }
    if (bit(setting(tape, SET_TURN), 4)) {
        play->config.on_log = NULL;
    }
    if (bit(ways, 2)) {
        for (uint32_t i = 0; i < PLAY_PROTOCOLS; i++) {
            play->protocols[i].on_messages = NULL;
        }
    } else {
        for (uint32_t i = 0; i < PLAY_PROTOCOLS; i++) {
            play->protocols[i].on_message = NULL;
        }
    }
    tell_settings(play);
}

/* ----------------------------------------------------------------------------------------- sizes
 */

uint32_t tape_size(struct play *play, const struct berth_framing *framing, uint8_t choice, bool raw)
{
    static const uint32_t sizes[] = {0,   1,   2,    3,    7,     16,    63,    100,
                                     255, 700, 2000, 5000, 16000, 40000, 90000, 200000};
    uint32_t size = PICK(sizes, choice & 0x0f);
    uint32_t most = framing->message_bytes_max;
    if (!raw) {
        uint32_t least = codec_least(framing);
        size = size < least ? least : size > most ? most : size;
    }
    if (size + FRAME_EXTRA > play->bytes_left) {
        size = raw ? 0 : codec_least(framing);
    }
    uint32_t cost = size + FRAME_EXTRA;
    play->bytes_left -= cost < play->bytes_left ? cost : play->bytes_left;
    return size;
}
