/* The actors: those who connect from outside. An actor says frames that are numbered, in part or
 * whole, or bytes that are no frames; hears what comes and holds it against what was promised; ends
 * its side, resets, or goes. Each connection that it makes is a life, which is never used again, so
 * that the model may ask about it after its end; a life says only what it was told to.
 *
 * actor_act writes and reads as much as the world lets it: O(bytes). Memory is malloc's, until
 * actor_free.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/api/play.h"
#include "sim/help_codec.h"

#define READ_BYTES 4096

static struct life *life_of(struct play *play, uint32_t who)
{
    uint32_t number = play->cast[who % PLAY_CAST];
    return number == NOBODY || !play->lives[number].open ? NULL : &play->lives[number];
}

static uint32_t number_of(const struct play *play, const struct life *life)
{
    return (uint32_t)(life - play->lives);
}

static const struct berth_framing *framing_of(const struct play *play, const struct life *life)
{
    return &play->protocols[life->protocol].framing;
}

void actor_connect(struct play *play, uint32_t who, uint8_t protocol, bool reads)
{
    if (life_of(play, who) != NULL || play->lives_count == PLAY_LIVES) {
        return;
    }
    uint32_t number = play->lives_count++;
    struct life *life = &play->lives[number];
    *life = (struct life){.protocol = protocol, .open = true, .reads = reads};
    life->seen = NOBODY;
    life->wild_from = NOBODY;
    life->end = sim_peer_connect(play->world, &play->addresses[protocol]);
    life->port = sim_peer_port(play->world, life->end);
    play->cast[who % PLAY_CAST] = number;
    play->progress++;
    TELL(play, "actor %u connects to address %u, port %u", number, protocol, life->port);
}

/* ----------------------------------------------------------------------------------- what it says
 */

static void say(struct life *life, const uint8_t *bytes, uint32_t count)
{
    uint32_t wanted = life->says_bytes + count;
    if (count == 0) {
        return; /* a message of nothing, where it has no frame */
    }
    if (wanted > life->says_room) {
        life->says_room = 2 * wanted;
        life->says = realloc(life->says, life->says_room);
        FUZZ_CHECK(life->says != NULL);
    }
    memcpy(life->says + life->says_bytes, bytes, count);
    life->says_bytes = wanted;
}

static void say_message(struct play *play, struct life *life, uint32_t size)
{
    const struct berth_framing *framing = framing_of(play, life);
    struct line line = {VOICE_ACTOR, number_of(play, life), life->said_count, size};
    line_write(&line, play->message);
    say(life, play->frame, (uint32_t)codec_encode(framing, play->message, size, play->frame));
    if (life->said_count == life->said_room) {
        life->said_room = life->said_room == 0 ? 16 : 2 * life->said_room;
        life->said = realloc(life->said, life->said_room * sizeof life->said[0]);
        FUZZ_CHECK(life->said != NULL);
    }
    life->said[life->said_count++] = (struct said){size, life->says_bytes};
}

/* Says b messages of the size c; of the last one only a part for now, if c says so. */
void actor_say(struct play *play, uint32_t who, const struct order *order)
{
    struct life *life = life_of(play, who);
    if (life == NULL || life->shut || play->bytes_left == 0) {
        return;
    }
    uint32_t before = life->says_bytes;
    uint32_t count = 1 + order->b % 32;
    for (uint32_t i = 0; i < count && play->bytes_left > 0; i++) {
        before = life->says_bytes;
        say_message(play, life, tape_size(play, framing_of(play, life), order->c, false));
    }
    life->may_say = life->says_bytes;
    if ((order->c & 0x10) != 0) {
        life->may_say = before + (life->says_bytes - before) * (order->c >> 5) / 8;
    }
    TELL(play, "actor %u says %u messages of %u bytes, %u bytes of its %u for now",
         number_of(play, life), count, life->said[life->said_count - 1].size, life->may_say,
         life->says_bytes);
    actor_act(play, life);
}

/* The header of a message that is larger than what the server takes. */
static uint32_t header_of_too_much(const struct berth_framing *framing, uint8_t *out)
{
    return (uint32_t)codec_header(framing, framing->message_bytes_max + 1, out);
}

/* Says bytes that need not be frames. */
void actor_babble(struct play *play, uint32_t who, const struct order *order)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct life *life = life_of(play, who);
    uint8_t bytes[256];
    uint32_t count = 1 + order->b;
    if (life == NULL || life->shut) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (order->c & 3) == 0 ? 0 : (order->c & 3) == 1 ? 0xff : (uint8_t)(i * order->c);
    }
    if ((order->c & 0x0c) == 4) {
        memcpy(bytes, request, sizeof request);
        count = sizeof request - 1;
    } else if ((order->c & 0x0c) == 8) {
        count = header_of_too_much(framing_of(play, life), bytes);
    }
    life->wild_from = life->wild_from == NOBODY ? life->said_count : life->wild_from;
    say(life, bytes, count);
    life->may_say = life->says_bytes;
    TELL(play, "actor %u says %u bytes that are no frame", number_of(play, life), count);
    actor_act(play, life);
}

/* -------------------------------------------------------------------------------- how it leaves */

static bool is_connected(const struct play *play, const struct life *life)
{
    return (sim_peer_state(play->world, life->end) & SIM_PEER_CONNECTED) != 0;
}

void actor_shut(struct play *play, uint32_t who)
{
    struct life *life = life_of(play, who);
    if (life != NULL && !life->shut && is_connected(play, life)) {
        TELL(play, "actor %u ends its side", number_of(play, life));
        sim_peer_shutdown(play->world, life->end, IO_SHUTDOWN_SEND);
        life->shut = true;
    }
}

void actor_reset(struct play *play, uint32_t who)
{
    struct life *life = life_of(play, who);
    if (life != NULL && is_connected(play, life)) {
        TELL(play, "actor %u resets", number_of(play, life));
        sim_peer_reset(play->world, life->end);
        life->parted = true;
        life->shut = true;
    }
}

static void gone(struct play *play, struct life *life)
{
    life->open = false;
    life->shut = true;
    life->parted = true;
    play->progress++;
}

static void part(struct play *play, struct life *life)
{
    sim_peer_close(play->world, life->end);
    gone(play, life);
}

void actor_close(struct play *play, uint32_t who)
{
    struct life *life = life_of(play, who);
    if (life != NULL) {
        TELL(play, "actor %u closes", number_of(play, life));
        part(play, life);
    }
}

void actor_vanish(struct play *play, uint32_t who)
{
    struct life *life = life_of(play, who);
    if (life != NULL && is_connected(play, life)) {
        TELL(play, "actor %u vanishes", number_of(play, life));
        sim_peer_vanish(play->world, life->end);
        life->vanished = true;
        gone(play, life);
    }
}

void actor_reads(struct play *play, uint32_t who, bool reads)
{
    struct life *life = life_of(play, who);
    if (life != NULL) {
        TELL(play, "actor %u %s", number_of(play, life), reads ? "reads" : "does not read");
        life->reads = reads;
    }
}

void actor_free(struct life *life)
{
    free(life->said);
    free(life->says);
    free(life->hears);
}

/* ----------------------------------------------------------------------------------- what it hears
 */

static void hear_frames(struct play *play, struct life *life)
{
    const struct berth_framing *framing = framing_of(play, life);
    uint32_t front = 0;
    uint32_t size = 0;
    int found;
    while ((found = framing_find(framing, life, &front, &size)) > 0) {
        if (life->seen != NOBODY) {
            voice_heard(play, &play->seen[life->seen], life->hears + front, size);
        }
        uint32_t whole = front + size + framing->delimiter_bytes;
        memmove(life->hears, life->hears + whole, life->hears_bytes - whole);
        life->hears_bytes -= whole;
        life->scanned = 0;
    }
    if (found < 0) {
        play_failed(play, "actor %u hears %u bytes that are no frame", number_of(play, life),
                    life->hears_bytes);
    }
}

static bool read_some(struct play *play, struct life *life)
{
    if (life->hears_room - life->hears_bytes < READ_BYTES) {
        life->hears_room = 2 * life->hears_room + READ_BYTES;
        life->hears = realloc(life->hears, life->hears_room);
        FUZZ_CHECK(life->hears != NULL);
    }
    int32_t got =
        sim_peer_read(play->world, life->end, life->hears + life->hears_bytes, READ_BYTES);
    FUZZ_CHECK(got >= 0);
    if (got > 0) {
        play->progress++;
        life->hears_bytes += (uint32_t)got;
        hear_frames(play, life);
    }
    return got > 0;
}

/* The server ended its side in order: so all that it promised was heard. */
static void hear_end(struct play *play, struct life *life)
{
    life->eof = true;
    play->progress++;
    TELL(play, "actor %u hears the end", number_of(play, life));
    if (life->hears_bytes != 0) {
        play_failed(play, "actor %u: the stream ended in order, inside a frame (%u bytes)",
                    number_of(play, life), life->hears_bytes);
    }
    if (life->seen != NOBODY) {
        voice_complete(play, &play->seen[life->seen]);
    }
}

static void write_some(struct play *play, struct life *life)
{
    while (life->written < life->may_say) {
        int32_t wrote = sim_peer_write(play->world, life->end, life->says + life->written,
                                       life->may_say - life->written);
        if (wrote < 0) {
            life->shut = true;
        }
        if (wrote <= 0) {
            return;
        }
        life->written += (uint32_t)wrote;
        play->progress++;
    }
}

void actor_act(struct play *play, struct life *life)
{
    write_some(play, life);
    while (life->reads && read_some(play, life)) {
    }
    uint32_t state = sim_peer_state(play->world, life->end);
    if ((state & SIM_PEER_REFUSED) != 0) {
        part(play, life);
        return;
    }
    if ((state & SIM_PEER_SHUT) != 0) {
        life->shut = true; /* by its own will, or by the world's */
    }
    if (life->reads && !life->eof && (state & SIM_PEER_EOF) != 0) {
        hear_end(play, life);
    }
}
