/* What can be checked only when all settings are known: the framing, and what one setting asks of
 * another. Pure; O(1).
 */
#include <stdio.h>
#include <string.h>

#include "common/mark.h"

#include "options.h"
#include "settings.h"

#define MESSAGE_DEFAULT (1u << 20)

/* The transmission id in front of a reply's message. */
#define ID_BYTES 4

/* Replies to one turn's messages that may come on top of a full queue. */
#define SEND_TURN_BYTES (8u << 20)

#define SEND_HIGH_DEFAULT   (256u << 10)
#define SEND_LOW_OF_HIGH    4
#define POOL_DEFAULT        (UINT64_C(256) << 20)
#define POOL_FRAMES_AT_ONCE 32 /* eight messages of the largest size, with room to double */

/* "SOURCE: " of a setting, at the front of `why`; returns where to go on. */
static size_t begin_why(const struct options *options, const char *name, char *why)
{
    size_t at = (size_t)settings_find(name, strlen(name));
    settings_source(options, at, options->given[at].line, why, OPTIONS_WHY_BYTES - 3);
    size_t end = strlen(why);
    memcpy(why + end, ": ", 3);
    return end + 2;
}

/* Whether the reply to a message of this size can be framed. */
static bool reply_fits(const struct options *o, uint32_t message_bytes)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    uint32_t reply = message_bytes + (o->carries_id ? ID_BYTES : 0);
    return berth_frame_header(&o->framing, reply, header) >= 0;
}

/* The largest maximum up to the usual one whose reply can be framed: a short length field carries
 * less. */
static uint32_t default_maximum(const struct options *o)
{
    uint32_t fits = 1;
    uint32_t too_large = MESSAGE_DEFAULT + 1;
    while (too_large - fits > 1) {
        uint32_t middle = fits + (too_large - fits) / 2;
        if (reply_fits(o, middle)) {
            fits = middle;
        } else {
            too_large = middle;
        }
    }
    return fits;
}

static bool settle_framing(struct options *o, char *why)
{
    struct berth_error error;
    uint32_t given = o->max_message > 0 ? o->max_message : MESSAGE_DEFAULT;
    if (berth_framing_parse(o->frame, given, &o->framing, &error) != BERTH_OK) {
        size_t at = begin_why(o, "frame", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at, "'%.100s': %s", o->frame, error.text);
        return false;
    }
    o->carries_id =
        o->framing.kind == BERTH_FRAMING_LENGTH || o->framing.kind == BERTH_FRAMING_VARINT;
    if (o->max_message == 0 && o->carries_id) {
        o->framing.message_bytes_max = default_maximum(o);
    }
    o->max_message = o->framing.message_bytes_max;
    if (!reply_fits(o, o->max_message)) {
        size_t at = begin_why(o, "max-message", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at,
                 "the framing '%.100s' cannot carry the reply to a message of %u bytes", o->frame,
                 o->max_message);
        return false;
    }
    return true;
}

static bool settle_sending(struct options *o, char *why)
{
    o->send_high_bytes = o->send_high_bytes > 0 ? o->send_high_bytes : SEND_HIGH_DEFAULT;
    o->send_low_bytes =
        o->send_low_bytes > 0 ? o->send_low_bytes : o->send_high_bytes / SEND_LOW_OF_HIGH;
    if (o->send_low_bytes > o->send_high_bytes) {
        size_t at = begin_why(o, "send-low", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at, "%u is above send-high, which is %u",
                 o->send_low_bytes, o->send_high_bytes);
        return false;
    }
    /* A full queue, the replies of a turn, and one reply of the largest size on top. */
    uint64_t usual = (uint64_t)o->send_high_bytes + SEND_TURN_BYTES + 2 * (uint64_t)o->max_message;
    if (o->send_max_bytes == 0) {
        o->send_max_bytes = usual < INT32_MAX ? (uint32_t)usual : INT32_MAX;
    }
    uint64_t least = (uint64_t)o->send_high_bytes + o->max_message + BERTH_HEADER_BYTES_MAX;
    if (o->send_max_bytes < least && o->send_max_bytes < INT32_MAX) {
        size_t at = begin_why(o, "send-max", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at,
                 "%u is less than send-high, %u, and one message of %u bytes: at least %llu",
                 o->send_max_bytes, o->send_high_bytes, o->max_message, (unsigned long long)least);
        return false;
    }
    uint64_t pool = (uint64_t)o->max_message * POOL_FRAMES_AT_ONCE;
    if (o->pool_bytes == 0 && pool > POOL_DEFAULT) {
        o->pool_bytes = pool;
    }
    return true;
}

static bool settle_handler(struct options *o, char *why)
{
    if (!o->handler_given) {
        o->handler = o->delay_given ? HANDLER_DELAY : HANDLER_ECHO;
    }
    if (o->handler == HANDLER_DELAY && !o->delay_given) {
        size_t at = begin_why(o, "handler", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at, "'delay' needs --delay MS");
        return false;
    }
    if (o->handler != HANDLER_DELAY && o->delay_given) {
        size_t at = begin_why(o, "delay", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at,
                 "%u goes with the handler delay only, and '%s' was chosen", o->delay_ms,
                 o->handler == HANDLER_POOL ? "pool" : "echo");
        return false;
    }
    return true;
}

/* With a ledger messages begin with a mark, which may hold any byte. */
static bool settle_ledger(struct options *o, char *why)
{
    o->watch.always = o->ledger != NULL ? BERTH_WATCH_DATA : 0;
    if (o->ledger == NULL) {
        return true;
    }
    bool every_byte = o->framing.kind != BERTH_FRAMING_DELIMITER;
    if (!every_byte || o->max_message < MARK_BYTES) {
        size_t at = begin_why(o, "ledger", why);
        snprintf(why + at, OPTIONS_WHY_BYTES - at,
                 "the framing '%.100s' cannot carry its messages, which %s", o->frame,
                 every_byte ? "have at least 48 bytes" : "hold every byte, also the delimiter's");
        return false;
    }
    return true;
}

bool options_settle(struct options *o, char *why)
{
    return settle_framing(o, why) && settle_sending(o, why) && settle_handler(o, why) &&
           settle_ledger(o, why);
}
