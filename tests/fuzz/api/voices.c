/* What is said, by whom, and whether it came. A message's bytes follow from its line: the first
 * byte names the voice and the low bits of the number, the next two whose it is and the rest of the
 * number, what follows is a pattern of all of them. Every byte has its high bit set, so that no
 * delimiter of ours is ever in one.
 *
 * A connection's voices promise messages to its peer: replies, in the order of what they answer;
 * sends of its worker; sends by handle; payloads of groups and broadcasts. Each voice keeps its own
 * order, however the voices are mixed. Decoding and encoding are this file's own. O(bytes) each.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/api/play.h"
#include "sim/help_codec.h"

#define HIGH 0x80u

/* After so many bytes the pattern begins anew. */
#define PERIOD 128u

/* ------------------------------------------------------------------------------- a message's bytes
 */

void line_write(const struct line *line, uint8_t *out)
{
    uint32_t head[3] = {(uint32_t)line->voice << 4 | (line->number & 0x0f), line->from,
                        line->number >> 4};
    uint32_t seed = line->number * 31 + line->from * 7 + (uint32_t)line->voice * 3 + line->size;
    for (uint32_t i = 0; i < line->size && i < 3; i++) {
        out[i] = (uint8_t)(HIGH | (head[i] & 0x7f));
    }
    uint32_t done = 3;
    for (; done < line->size && done < 3 + PERIOD; done++) {
        out[done] = (uint8_t)(HIGH | (seed + done * 5));
    }
    while (done < line->size) { /* the same again, twice as much each time */
        uint32_t more = done - 3 < line->size - done ? done - 3 : line->size - done;
        memcpy(out + done, out + 3, more);
        done += more;
    }
}

bool line_is(const struct line *line, const uint8_t *bytes, uint32_t size)
{
    static uint8_t expected[MESSAGE_MOST + 4096];
    if (size != line->size) {
        return false;
    }
    line_write(line, expected);
    return size == 0 || memcmp(expected, bytes, size) == 0;
}

/* ------------------------------------------------------------------------------------- framings */

static bool holds_delimiter(const struct berth_framing *f, const uint8_t *message, uint32_t size)
{
    return size > 0 && memmem(message, size, f->delimiter, f->delimiter_bytes) != NULL;
}

uint32_t framing_errors(const struct berth_framing *f, const uint8_t *message, uint32_t size)
{
    uint32_t errors = 0;
    if (size == 0 && f->refuse_empty) {
        errors |= ERROR_BIT(BERTH_E_FRAME);
    }
    if (f->kind == BERTH_FRAMING_FIXED && size != f->message_bytes_max) {
        errors |= ERROR_BIT(BERTH_E_TOO_LARGE);
    }
    if (f->kind == BERTH_FRAMING_DELIMITER && holds_delimiter(f, message, size)) {
        errors |= ERROR_BIT(BERTH_E_FRAME);
    }
    if (f->kind == BERTH_FRAMING_LENGTH) {
        int64_t field = (int64_t)size - f->length_adjust;
        field += f->length_counts_itself ? f->length_bytes : 0;
        int64_t most = f->length_bytes >= 4 ? UINT32_MAX : (INT64_C(1) << 8 * f->length_bytes) - 1;
        errors |= field < 0 || field > most ? ERROR_BIT(BERTH_E_TOO_LARGE) : 0;
    }
    return errors;
}

uint32_t framing_bytes(const struct berth_framing *f, uint32_t size)
{
    uint8_t header[CODEC_EXTRA];
    return (uint32_t)codec_header(f, size, header) + size + f->delimiter_bytes;
}

static uint64_t field_of(const struct berth_framing *f, const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < f->length_bytes; i++) {
        unsigned place = f->length_big_endian ? i : f->length_bytes - 1u - i;
        value = value << 8 | at[place];
    }
    return value;
}

static int find_length(const struct berth_framing *f, const struct life *life, uint32_t *front,
                       uint32_t *size)
{
    *front = (uint32_t)f->length_offset + f->length_bytes;
    if (life->hears_bytes < *front) {
        return 0;
    }
    int64_t value = (int64_t)field_of(f, life->hears + f->length_offset) + f->length_adjust;
    value -= f->length_counts_itself ? f->length_bytes : 0;
    *size = (uint32_t)value;
    return value < 0 || value > MESSAGE_MOST ? -1 : life->hears_bytes - *front >= *size;
}

static int find_varint(const struct life *life, uint32_t *front, uint32_t *size)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < life->hears_bytes && i < 5; i++) {
        value |= (uint64_t)(life->hears[i] & 0x7f) << 7 * i;
        if (life->hears[i] < HIGH) {
            *front = i + 1;
            *size = (uint32_t)value;
            return value > MESSAGE_MOST ? -1 : life->hears_bytes - *front >= *size;
        }
    }
    return life->hears_bytes < 5 ? 0 : -1;
}

static int find_digits(const struct life *life, uint32_t *front, uint32_t *size)
{
    *size = 0;
    for (uint32_t i = 0; i < life->hears_bytes && i < 8; i++) {
        if (life->hears[i] == ':' && i > 0) {
            *front = i + 1;
            return life->hears_bytes - *front >= *size;
        }
        if (life->hears[i] < '0' || life->hears[i] > '9') {
            return -1;
        }
        *size = *size * 10 + life->hears[i] - '0';
    }
    return life->hears_bytes < 8 && *size <= MESSAGE_MOST ? 0 : -1;
}

int framing_find(const struct berth_framing *f, struct life *life, uint32_t *front, uint32_t *size)
{
    switch (f->kind) {
    case BERTH_FRAMING_LENGTH:
        return find_length(f, life, front, size);
    case BERTH_FRAMING_VARINT:
        return find_varint(life, front, size);
    case BERTH_FRAMING_CUSTOM:
        return find_digits(life, front, size);
    case BERTH_FRAMING_FIXED:
        *front = 0;
        *size = f->message_bytes_max;
        return life->hears_bytes >= *size;
    case BERTH_FRAMING_DELIMITER:
        break;
    }
    *front = 0;
    while (life->hears_bytes - life->scanned >= f->delimiter_bytes) {
        if (memcmp(life->hears + life->scanned, f->delimiter, f->delimiter_bytes) == 0) {
            *size = life->scanned;
            return 1;
        }
        life->scanned++;
    }
    return 0;
}

/* -------------------------------------------------------------------------------------- promises
 */

void promise_add(struct promises *promises, uint32_t size)
{
    if (promises->count == promises->room) {
        promises->room = promises->room == 0 ? 16 : 2 * promises->room;
        promises->sizes = realloc(promises->sizes, promises->room * sizeof promises->sizes[0]);
        FUZZ_CHECK(promises->sizes != NULL);
    }
    promises->sizes[promises->count++] = size;
}

static bool next_of(struct seen *seen, enum voice voice, struct promises *promises,
                    const uint8_t *bytes, uint32_t size)
{
    if (promises->heard == promises->count) {
        return false;
    }
    struct line line = {voice, seen->number, promises->heard, promises->sizes[promises->heard]};
    if (!line_is(&line, bytes, size)) {
        return false;
    }
    promises->heard++;
    return true;
}

/* The next reply, in the order of the messages: behind those that ended without one. */
static bool next_reply(struct seen *seen, const uint8_t *bytes, uint32_t size)
{
    while (seen->told_heard < seen->told_count && seen->told[seen->told_heard].state == TOLD_DONE) {
        seen->told_heard++;
    }
    if (seen->told_heard == seen->told_count) {
        return false;
    }
    const struct told *told = &seen->told[seen->told_heard];
    struct line line = {VOICE_REPLY, seen->number, seen->told_heard, told->size};
    if (told->state != TOLD_ANSWERED || !line_is(&line, bytes, size)) {
        return false;
    }
    seen->told_heard++;
    return true;
}

/* A payload of a group, later than those that the connection has heard. A message too small to name
 * its group may be any that the connection could get. */
static bool next_payload(struct play *play, struct seen *seen, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < play->payloads_count; i++) {
        struct payload *payload = &play->payloads[i];
        uint32_t *heard = &seen->payloads_heard[payload->group];
        struct line line = {VOICE_GROUP, payload->group, payload->number, payload->size};
        bool meant = (payload->members >> seen->number & 1) != 0 || payload->group == PLAY_GROUPS;
        if (!meant || (size >= 3 && payload->number < *heard) || !line_is(&line, bytes, size)) {
            continue;
        }
        if (size >= 3) {
            *heard = payload->number + 1;
            payload->heard |= UINT64_C(1) << seen->number;
        }
        return true;
    }
    return false;
}

void voice_heard(struct play *play, struct seen *seen, const uint8_t *bytes, uint32_t size)
{
    TELL(play, "the peer of connection %u hears %u bytes of voice %u, %02x %02x", seen->number,
         size, size == 0 ? play->empty : bytes[0] >> 4 & 7u, size > 0 ? bytes[0] : 0u,
         size > 1 ? bytes[1] : 0u);
    enum voice voice = size == 0 ? play->empty : (enum voice)(bytes[0] >> 4 & 7);
    bool right = voice == VOICE_REPLY    ? next_reply(seen, bytes, size)
                 : voice == VOICE_SEND   ? next_of(seen, voice, &seen->sends, bytes, size)
                 : voice == VOICE_HANDLE ? next_of(seen, voice, &seen->handles, bytes, size)
                 : voice == VOICE_GROUP  ? next_payload(play, seen, bytes, size)
                                         : false;
    if (!right) {
        play_failed(play,
                    "connection %u: its peer heard %u bytes of voice %u (%02x %02x) out of turn: "
                    "%u of %u replies, %u of %u sends, %u of %u by handle were heard",
                    seen->number, size, voice, size > 0 ? bytes[0] : 0, size > 1 ? bytes[1] : 0,
                    seen->told_heard, seen->told_count, seen->sends.heard, seen->sends.count,
                    seen->handles.heard, seen->handles.count);
    }
}

/* What was sent to its groups, unless somebody was slow, or could not carry it. */
static void check_payloads(const struct play *play, const struct seen *seen)
{
    struct berth_stats stats;
    berth_server_stats(play->server, &stats);
    if (!play->sharp || stats.group_skipped + stats.group_unfit + stats.group_closed > 0) {
        return;
    }
    for (uint32_t i = 0; i < play->payloads_count; i++) {
        const struct payload *payload = &play->payloads[i];
        if (payload->size >= 3 && (payload->sure & ~payload->heard) >> seen->number & 1) {
            play_failed(play, "connection %u ended in order, and payload %u for %u did not come",
                        seen->number, payload->number, payload->group);
        }
    }
}

void voice_complete(struct play *play, struct seen *seen)
{
    check_payloads(play, seen);
    for (uint32_t i = seen->told_heard; i < seen->told_count; i++) {
        if (seen->told[i].state != TOLD_DONE) {
            play_failed(play, "connection %u ended in order, and message %u is %s", seen->number, i,
                        seen->told[i].state == TOLD_ANSWERED ? "answered and was not heard"
                                                             : "not answered");
        }
    }
    if (seen->sends.heard != seen->sends.count) {
        play_failed(play, "connection %u ended in order, and of %u sends %u were heard",
                    seen->number, seen->sends.count, seen->sends.heard);
    }
}
