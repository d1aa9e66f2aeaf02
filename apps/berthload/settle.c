/* What follows from several options together: the framing and its largest message, the form of
 * the replies, and whether messages and replies can be framed at all. Everything that would fail
 * in the middle of a run for a reason that is known now is refused here, by the option's name.
 * Pure, O(1). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/mark.h"
#include "messages.h"
#include "number.h"
#include "options.h"
#include "verify.h"

/* What one connection may have outstanding: far more than any network holds, and it must be
 * countable in the library's 32-bit limits of what waits to be sent. */
#define OUTSTANDING_BYTES_MAX (UINT64_C(3) << 29)

/* When nothing is said a run may take an hour more than its duration. */
#define DEFAULT_TIMEOUT_NS (UINT64_C(3600) * NS_PER_S)

/* Messages of a run in all: years of them, and their bytes can be counted while they are texts. */
#define MESSAGES_ALL_MAX (UINT64_C(1) << 56)

/* With a ledger, when no size is said: a mark, and filler enough to be damaged. */
#define MARKED_SIZE_DEFAULT 64u

/* Anything that a connection's text can hold. */
static const char text_bytes[] = "M-C0123456789";

/* The largest message; with --duration there is no last one. */
static uint64_t longest(const struct options *options)
{
    uint64_t messages = options->messages != 0 ? options->messages : UINT64_MAX;
    if (options->sized) {
        return options->size_max;
    }
    return options->growing
               ? message_growing_longest(options->connections, messages, options->shared)
               : message_text_longest(options->connections, messages, options->shared);
}

static bool settle_framing(struct options *options, char *why)
{
    struct berth_error error;
    uint32_t most = options->message_max;
    if (most == 0) {
        uint64_t needed = longest(options) + REPLY_ID_BYTES;
        most = needed > DEFAULT_MESSAGE_MAX ? (uint32_t)needed : DEFAULT_MESSAGE_MAX;
        most = most > BERTH_MESSAGE_BYTES_LIMIT ? BERTH_MESSAGE_BYTES_LIMIT : most;
    }
    if (berth_framing_parse(options->frame, most, &options->framing, &error) != BERTH_OK) {
        snprintf(why, OPTIONS_WHY_BYTES, "--frame: %s", error.text);
        return false;
    }
    options->message_max = options->framing.message_bytes_max;
    options->avoid = -1;
    if (options->framing.kind != BERTH_FRAMING_DELIMITER) {
        return true;
    }
    options->avoid = options->framing.delimiter[0];
    if (options->avoid != '\0' && strchr(text_bytes, options->avoid) != NULL) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--frame: a delimiter that begins with '%c' would be found in the messages' text, "
                 "which is like M1-C1",
                 options->avoid);
        return false;
    }
    return true;
}

/* The form of the replies; with a fixed framing also the size of the messages. */
static bool settle_reply(struct options *options, char *why)
{
    enum berth_framing_kind kind = options->framing.kind;
    uint32_t fixed = options->framing.message_bytes_max;
    options->with_id = options->reply == REPLY_ID_FIRST ||
                       (options->reply == REPLY_BY_FRAME && kind != BERTH_FRAMING_DELIMITER &&
                        kind != BERTH_FRAMING_FIXED);
    if (kind != BERTH_FRAMING_FIXED) {
        return true;
    }
    if (options->with_id) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--reply: id makes a reply 4 bytes longer than its message, which fixed:%" PRIu32
                 " does not allow",
                 fixed);
        return false;
    }
    if (options->growing || options->shared) {
        snprintf(why, OPTIONS_WHY_BYTES, "--%s: cannot be combined with --frame fixed:%" PRIu32,
                 options->growing ? "growing" : "long", fixed);
        return false;
    }
    if (options->sized && (options->size_min != fixed || options->size_max != fixed)) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--size: must be %" PRIu32 " or be left out with --frame fixed:%" PRIu32, fixed,
                 fixed);
        return false;
    }
    options->sized = true;
    options->size_min = fixed;
    options->size_max = fixed;
    return true;
}

/* With a ledger, messages begin with a mark, which may hold any byte. */
static bool settle_ledger(struct options *options, char *why)
{
    if (options->ledger == NULL) {
        return true;
    }
    if (options->framing.kind == BERTH_FRAMING_DELIMITER) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--ledger: cannot be combined with --frame %s: its messages hold every byte, also "
                 "the delimiter's",
                 options->frame);
        return false;
    }
    if (!options->sized) {
        options->sized = true;
        options->size_min = MARKED_SIZE_DEFAULT;
        options->size_max = MARKED_SIZE_DEFAULT;
    }
    if (options->size_min < MARK_BYTES) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--%s: with --ledger each message has at least %d bytes, for its mark, and not "
                 "%" PRIu32,
                 options->framing.kind == BERTH_FRAMING_FIXED ? "frame" : "size", MARK_BYTES,
                 options->size_min);
        return false;
    }
    return true;
}

/* Whether messages of `size` bytes can be sent, and their replies be received. */
static bool check_size(const struct options *options, uint32_t size, char *why)
{
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    const char *option = options->sized ? "--size" : options->growing ? "--growing" : "--frame";
    uint32_t reply = size + (options->with_id ? REPLY_ID_BYTES : 0);
    if (reply > options->message_max) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--max-message: %" PRIu32 " is less than the %" PRIu32
                 " bytes of a reply to a message of %" PRIu32,
                 options->message_max, reply, size);
        return false;
    }
    int code = berth_frame_header(&options->framing, size, header);
    if (code >= 0) {
        code = berth_frame_header(&options->framing, reply, header);
    }
    if (code == BERTH_E_FRAME) {
        snprintf(why, OPTIONS_WHY_BYTES, "%s: the framing %s refuses empty messages", option,
                 options->frame);
    } else if (code < 0) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "%s: the framing %s cannot carry a message of %" PRIu32
                 " bytes and its reply of %" PRIu32,
                 option, options->frame, size, reply);
    }
    return code >= 0;
}

static bool settle_sizes(struct options *options, char *why)
{
    uint32_t least = options->size_min;
    uint32_t most = (uint32_t)longest(options); /* settle_growing has bounded it */
    if (!options->sized) {
        least = message_text_longest(1, 1, options->shared);
    }
    if (!check_size(options, least, why) || !check_size(options, most, why)) {
        return false;
    }
    options->message_bytes = most;
    options->frame_bytes = most + BERTH_HEADER_BYTES_MAX + BERTH_DELIMITER_BYTES_MAX;
    if ((uint64_t)options->frame_bytes * options->pipeline > OUTSTANDING_BYTES_MAX) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--pipeline: %" PRIu32 " messages of %" PRIu32
                 " bytes are more than the 1.5 GiB that a connection may have outstanding",
                 options->pipeline, most);
        return false;
    }
    return true;
}

/* Both are about texts, whose number is known. */
static bool settle_texts(const struct options *options, char *why)
{
    const char *option = options->growing ? "growing" : "long";
    if (!options->growing && !options->shared) {
        return true;
    }
    if (options->sized || options->duration_ns != 0 || options->ledger != NULL) {
        snprintf(why, OPTIONS_WHY_BYTES, "--%s: cannot be combined with --%s", option,
                 options->sized              ? "size"
                 : options->duration_ns != 0 ? "duration"
                                             : "ledger");
        return false;
    }
    if (options->growing && longest(options) > BERTH_MESSAGE_BYTES_LIMIT - REPLY_ID_BYTES) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--growing: of %" PRIu64 " messages only %" PRIu64
                 " stay below the 1 GiB that no message may exceed",
                 options->messages,
                 message_growing_within(options->connections, options->messages, options->shared,
                                        BERTH_MESSAGE_BYTES_LIMIT - REPLY_ID_BYTES));
        return false;
    }
    return true;
}

static bool settle_connecting(struct options *options, char *why)
{
    if (options->connect_rate != 0) {
        if (options->connect_delay_ns != 0) {
            snprintf(why, OPTIONS_WHY_BYTES,
                     "--connect-delay: cannot be combined with --connect-rate, which is the same "
                     "in other words");
            return false;
        }
        options->connect_delay_ns = NS_PER_S / options->connect_rate;
    }
    if (options->at_once == 0 || options->at_once > options->connections) {
        options->at_once = options->connections;
    }
    if (options->at_once < options->connections && options->duration_ns != 0) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--at-once: with --duration no connection ends before the others, so those above "
                 "%" PRIu32 " would never begin",
                 options->at_once);
        return false;
    }
    return true;
}

/* Sums over all messages stay within 64 bits. */
static bool settle_counts(const struct options *options, char *why)
{
    if (options->messages > MESSAGES_ALL_MAX / options->connections) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--messages: %" PRIu64 " for each of %" PRIu32
                 " connections are more than the 2^56 that one run may have",
                 options->messages, options->connections);
        return false;
    }
    return true;
}

bool options_settle(struct options *options, char *why)
{
    if (options->connect == NULL) {
        snprintf(why, OPTIONS_WHY_BYTES, "--connect: is missing: the server's HOST:PORT");
        return false;
    }
    if (options->messages != 0 && options->duration_ns != 0) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--duration: cannot be combined with --messages; a run ends by one of them");
        return false;
    }
    if (options->messages == 0 && options->duration_ns == 0) {
        options->messages = 1;
    }
    if (options->timeout_ns == 0) {
        options->timeout_ns = options->duration_ns + DEFAULT_TIMEOUT_NS;
    } else if (options->timeout_ns <= options->duration_ns) {
        snprintf(why, OPTIONS_WHY_BYTES, "--timeout: must be longer than --duration");
        return false;
    }
    if (options->idle > 0 && options->duration_ns == 0) {
        snprintf(why, OPTIONS_WHY_BYTES, "--idle: needs --duration, for which the others go on");
        return false;
    }
    if (options->idle > options->connections) {
        snprintf(why, OPTIONS_WHY_BYTES,
                 "--idle: %" PRIu32 " are more than all connections, %" PRIu32, options->idle,
                 options->connections);
        return false;
    }
    if (options->flow > options->connections) {
        snprintf(why, OPTIONS_WHY_BYTES, "--flow: there is no connection %" PRIu32 " of %" PRIu32,
                 options->flow, options->connections);
        return false;
    }
    return settle_counts(options, why) && settle_connecting(options, why) &&
           settle_texts(options, why) && settle_framing(options, why) &&
           settle_reply(options, why) && settle_ledger(options, why) && settle_sizes(options, why);
}
