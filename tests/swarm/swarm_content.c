/* What everybody says: messages as a function of a life and a number, and the server's unasked
 * messages as a function of their kind and number. So nobody needs to remember what was said, and
 * whoever hears it can tell every byte. Pure; O(bytes).
 */
#include <string.h>

#include "swarm/swarm.h"

#define LARGE  10000 /* where messages may be larger than that, many are */
#define DIGITS 6     /* of an unasked message's number, four bits each */

static uint64_t mixed(uint64_t value)
{
    value *= UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return value ^ (value >> 27);
}

static uint64_t mix_of(const struct swarm *swarm, uint32_t life, uint32_t number)
{
    return mixed(swarm->seed * 31 + ((uint64_t)life << 32 | number));
}

static uint32_t size_of(const struct swarm *swarm, uint32_t life, uint64_t mix)
{
    const struct berth_framing *framing = &swarm->protocol.framing;
    uint32_t most = framing->message_bytes_max;
    uint32_t least = codec_least(framing);
    uint32_t kind = (uint32_t)(mix >> 8) % 32;
    uint32_t large = most > LARGE ? 16 : 31; /* kinds from here on are of any size */
    uint32_t draw = (uint32_t)(mix >> 32);
    uint32_t size = life % ACTOR_KINDS == ACTOR_FLOOD ? draw % 3
                    : kind < 2                        ? 0
                    : kind < 20                       ? draw % 40
                    : kind < large                    ? draw % 300
                                                      : draw % (most + 1);
    size = size > most ? most : size;
    return size < least ? least : size;
}

/* The first byte decides what is asked for; most of the others must differ from place to place. */
static uint8_t first_of(const struct swarm *swarm, uint64_t mix)
{
    uint8_t first = (uint8_t)(mix >> 40);
    codec_clean(&swarm->protocol.framing, &first, 1);
    return first;
}

static void fill(const struct swarm *swarm, uint64_t mix, uint8_t *out, uint32_t size)
{
    const struct berth_framing *framing = &swarm->protocol.framing;
    uint32_t i = 0;
    for (; size - i >= 8; i += 8) {
        mix = mix * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(out + i, &mix, 8);
    }
    for (; i < size; i++) {
        out[i] = (uint8_t)(mix >> (8 * (i % 8)));
    }
    if (framing->kind != BERTH_FRAMING_DELIMITER) {
        return;
    }
    uint8_t last = framing->delimiter[framing->delimiter_bytes - 1];
    for (i = 0; i < size; i++) { /* the delimiter's beginnings come often, its end never */
        out[i] = out[i] % 3 == 0 ? framing->delimiter[0] : (uint8_t)(out[i] | 0x80);
        out[i] ^= out[i] == last ? 0x40 : 0;
    }
}

uint32_t content_write(const struct swarm *swarm, uint32_t life, uint32_t number, uint8_t *out)
{
    uint64_t mix = mix_of(swarm, life, number);
    uint32_t size = size_of(swarm, life, mix);
    fill(swarm, mix, out, size);
    if (size > 0) {
        out[0] = first_of(swarm, mix);
    }
    return size;
}

enum content_class content_class(const struct swarm *swarm, uint32_t life, uint32_t number)
{
    uint64_t mix = mix_of(swarm, life, number);
    uint8_t first = first_of(swarm, mix);
    return content_class_of(&first, size_of(swarm, life, mix));
}

uint32_t content_push(const struct swarm *swarm, enum push_kind kind, uint32_t number, uint8_t *out)
{
    const struct berth_framing *framing = &swarm->protocol.framing;
    uint32_t most = framing->message_bytes_max < PUSH_MOST ? framing->message_bytes_max : PUSH_MOST;
    uint32_t size = framing->kind == BERTH_FRAMING_FIXED ? most : 1 + number * 37 % most;
    uint32_t least = codec_least(framing);
    size = size < least ? least : size;
    for (uint32_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(0x80 | (number * 7 + i));
    }
    for (uint32_t i = 0; i < DIGITS && size > DIGITS; i++) {
        out[1 + i] = (uint8_t)(0x80 | (number >> (4 * i) & 15));
    }
    out[0] = (uint8_t)kind;
    return size;
}

bool content_push_number(const struct berth_message *message, uint32_t *number)
{
    *number = 0;
    for (uint32_t i = 0; i < DIGITS && message->size > DIGITS; i++) {
        *number |= (message->data[1 + i] & 15u) << (4 * i);
    }
    return message->size > DIGITS;
}
