/* Holds what came against what was sent: a second cursor follows the first, and makes the bytes
 * that each reply must have. After one that is wrong nobody knows which the next one answers, so
 * the rest of that connection is counted and not compared. */
#include "replies.h"

#include <string.h>

/* A piece of a message to compare with; no more than fits the stack well. */
#define PIECE_BYTES 1024

void replies_start(struct replies *replies, const struct cursor *from)
{
    *replies = (struct replies){.due = *from};
}

static void note_wrong(struct replies *replies)
{
    replies->wrong++;
    replies->lost = true;
}

/* The next bytes that were sent and not yet compared; false if there are not so many. */
static bool make_due(struct replies *replies, const struct replies_context *context, uint8_t *out,
                     size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        done += cursor_bytes(&replies->due, context->stream, out + done, bytes - done);
        if (done < bytes) {
            if (replies->due.visits >= context->sent->visits) {
                return false;
            }
            cursor_advance(&replies->due, context->stream);
        }
    }
    return true;
}

/* Its length is known: it must be that of the next frame that was sent, and the id's. */
static void check_length(struct replies *replies, const struct replies_context *context)
{
    uint8_t header[FRAMING_WIDTH_MAX];
    struct scan sent = {0};
    const struct framing *framing = &context->stream->framing;
    replies->body_at = 0;
    replies->id = 0;
    if (!make_due(replies, context, header, framing->width)) {
        note_wrong(replies);
        return;
    }
    scan_next(&sent, framing, header, framing->width);
    if (replies->scan.length - context->rule->id_bytes != sent.length ||
        replies->scan.length < context->rule->id_bytes) {
        note_wrong(replies);
    }
}

static void check_id(struct replies *replies)
{
    uint32_t step = replies->id - replies->id_last; /* in serial-number arithmetic */
    if (replies->id_any && (step == 0 || step > INT32_MAX)) {
        note_wrong(replies);
    }
    replies->id_any = true;
    replies->id_last = replies->id;
}

static void check_body(struct replies *replies, const struct replies_context *context,
                       const uint8_t *bytes, size_t count)
{
    while (count > 0 && replies->body_at < context->rule->id_bytes) {
        replies->id |= (uint32_t)*bytes << (8 * replies->body_at);
        replies->body_at++;
        bytes++;
        count--;
        if (replies->body_at == context->rule->id_bytes) {
            check_id(replies);
        }
    }
    while (count > 0 && !replies->lost) {
        uint8_t due[PIECE_BYTES];
        size_t piece = count < sizeof due ? count : sizeof due;
        if (!make_due(replies, context, due, piece) || memcmp(due, bytes, piece) != 0) {
            note_wrong(replies);
        }
        bytes += piece;
        count -= piece;
    }
}

void replies_take(struct replies *replies, const struct replies_context *context,
                  const uint8_t *bytes, size_t count)
{
    bool compared = context->rule->are == REPLIES_ARE_ECHOES;
    while (count > 0 && context->rule->are != REPLIES_ARE_BYTES) {
        struct scan_piece piece =
            scan_next(&replies->scan, &context->stream->framing, bytes, count);
        if (piece.header_whole && compared && !replies->lost) {
            check_length(replies, context);
        }
        if (compared && !replies->lost) {
            check_body(replies, context, bytes + piece.bytes - piece.body_bytes, piece.body_bytes);
        }
        replies->frames += piece.whole ? 1 : 0;
        bytes += piece.bytes;
        count -= piece.bytes;
    }
}
