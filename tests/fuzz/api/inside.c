/* Orders that only the connection's own worker may give, inside its callbacks: replies, sends,
 * keeping, close, pause, groups, connecting, questions. What each call may return follows from the
 * header and the model; what was promised by a success is noted for the peer to hear.
 */
#include <string.h>

#include "core/core.h"
#include "fuzz/api/play.h"

#define BIT_OF(number) (UINT64_C(1) << (number))

/* What a kept message takes beside its bytes and the room for its reply, at most. */
#define KEPT_EXTRA 1024

#define PICK(table, byte) ((table)[(byte) % (sizeof(table) / sizeof(table)[0])])

/* Which of a choice's bits say what about a message: its size, that its size is not fitted to the
 * framing, that it holds the delimiter, that it is written in place. */
#define CHOICE_RAW    0x80
#define CHOICE_POISON 0x40
#define CHOICE_SPACE  0x20

struct seen *order_seen(struct play *play, uint8_t choice, struct seen *own)
{
    if (own != NULL && choice % 4 != 3) {
        return own;
    }
    return seen_choose(play, play->inside, choice >> 2);
}

/* ------------------------------------------------------------------------------- replies and sends
 */

/* A message on its way out. */
struct draft {
    struct seen *seen;
    struct line line;
    bool space;
    uint32_t frame;  /* bytes of it */
    uint32_t queued; /* before */
};

static struct draft draft_of(struct play *play, struct seen *seen, enum voice voice,
                             uint32_t number, uint8_t choice)
{
    const struct berth_framing *framing = seen_framing(play, seen);
    uint32_t size = tape_size(play, framing, choice, (choice & CHOICE_RAW) != 0);
    if (size == 0 && play->empty != voice) {
        size = 1;
    }
    struct draft draft = {.seen = seen,
                          .line = {voice, seen->number, number, size},
                          .space = (choice & CHOICE_SPACE) != 0};
    draft.frame = framing_bytes(framing, size);
    draft.queued = berth_conn_queued_bytes(seen->conn);
    line_write(&draft.line, play->message);
    if ((choice & CHOICE_POISON) != 0 && !draft.space && size >= framing->delimiter_bytes) {
        memcpy(play->message + (size - framing->delimiter_bytes) / 2, framing->delimiter,
               framing->delimiter_bytes);
    }
    return draft;
}

static void draft_expect(const struct play *play, const struct draft *draft, struct expect *expect)
{
    const struct berth_framing *framing = seen_framing(play, draft->seen);
    uint32_t most = play->config.send_max_bytes;
    seen_expect(play, draft->seen, expect);
    expect->must |= framing_errors(framing, play->message, draft->line.size);
    if (draft->frame > most) {
        expect->must |= ERROR_BIT(BERTH_E_TOO_LARGE);
    } else if (draft->queued + draft->frame > most) {
        expect->must |= ERROR_BIT(BERTH_E_WOULD_EXCEED);
    }
}

/* Fills the room that it was given, or says why there is none. */
static int fill_space(struct play *play, const struct draft *draft, void *space, int err)
{
    if (space == NULL) {
        return err;
    }
    memcpy(space, play->message, draft->line.size);
    return BERTH_OK;
}

static void draft_sent(struct play *play, const struct draft *draft, int result)
{
    struct seen *seen = draft->seen;
    if (result == BERTH_E_WOULD_EXCEED) {
        seen->owed = true;
    }
    uint32_t queued = berth_conn_queued_bytes(seen->conn);
    bool behind = draft->line.voice == VOICE_REPLY && seen->kept_ever;
    uint32_t expected = draft->queued + (result == BERTH_OK ? draft->frame : 0);
    if (queued != expected && !(behind && queued == draft->queued)) {
        play_failed(play, "connection %u: %u bytes are queued, and not %u", seen->number, queued,
                    expected);
    }
}

static void send_one(struct play *play, struct seen *seen, uint8_t choice)
{
    struct draft draft = draft_of(play, seen, VOICE_SEND, seen->sends.count, choice);
    struct expect expect = {.may = ERROR_BIT(BERTH_E_WOULD_EXCEED)};
    draft_expect(play, &draft, &expect);
    int result = BERTH_OK;
    if (draft.space) {
        void *space = berth_send_space(seen->conn, draft.line.size, &result);
        result = fill_space(play, &draft, space, result);
    } else {
        result = berth_send(seen->conn, play->message, draft.line.size);
    }
    expect_result(play, &expect, result, "send to", seen->number);
    draft_sent(play, &draft, result);
    if (result == BERTH_OK) {
        promise_add(&seen->sends, draft.line.size);
        play->batch.roomy = play->batch.roomy && play->batch.seen != seen;
    }
}

void inside_send(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    if (seen != NULL && play->bytes_left > 0) {
        send_one(play, seen, order->b);
    }
}

/* Sends until it is refused. */
void inside_fill(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    uint32_t most = seen == NULL ? 0 : 4 + order->c % 64u;
    for (uint32_t i = 0; i < most && !seen->owed && play->bytes_left > 0; i++) {
        send_one(play, seen, order->b);
    }
}

/* The messages before it that have not ended are done. */
static void end_before(const struct batch *batch, uint32_t index)
{
    for (uint32_t i = batch->next; i < index; i++) {
        batch->seen->told[batch->first + i].state = TOLD_DONE;
    }
}

static void reply_to(struct play *play, struct seen *seen, uint32_t index, uint8_t choice)
{
    struct batch *batch = &play->batch;
    const struct berth_message *message = &batch->messages[index];
    struct draft draft = draft_of(play, seen, VOICE_REPLY, batch->first + index, choice);
    struct expect expect = {0};
    bool ended = seen != batch->seen || index < batch->next;
    draft_expect(play, &draft, &expect);
    expect.must |= ended ? ERROR_BIT(BERTH_E_STATE) : 0;
    batch->roomy = batch->roomy && draft.line.size <= message->size;
    if (!batch->roomy) {
        expect.may |= ERROR_BIT(BERTH_E_WOULD_EXCEED);
    }
    int result = BERTH_OK;
    if (draft.space) {
        void *space = berth_reply_space(seen->conn, message, draft.line.size, &result);
        result = fill_space(play, &draft, space, result);
    } else {
        result = berth_reply(seen->conn, message, play->message, draft.line.size);
    }
    expect_result(play, &expect, result, "reply to", seen->number);
    draft_sent(play, &draft, result);
    if (result == BERTH_OK) {
        end_before(batch, index);
        seen->told[batch->first + index] = (struct told){TOLD_ANSWERED, draft.line.size};
        batch->next = index + 1;
    }
}

/* Answers the a-th message of the batch, or, with c, those from it on. */
void inside_reply(struct play *play, const struct order *order, struct seen *own)
{
    struct batch *batch = &play->batch;
    if (batch->seen == NULL) {
        return;
    }
    struct seen *seen = (order->c & 0xc0) == 0xc0 ? order_seen(play, 3, own) : batch->seen;
    uint32_t index = order->a % batch->count;
    uint32_t last = (order->c & 1) != 0 ? index : batch->count - 1;
    for (; index <= last && seen != NULL && play->bytes_left > 0; index++) {
        reply_to(play, seen, index, order->b);
    }
}

/* -------------------------------------------------------------------------------------------- keep
 */

static void keep_expect(const struct play *play, const struct seen *seen, uint32_t index,
                        uint64_t room, struct expect *expect)
{
    const struct batch *batch = &play->batch;
    uint64_t bytes = batch->messages[index].size + room;
    uint64_t most = play->config.pool_bytes / 4;
    seen_expect(play, seen, expect);
    expect->must |= seen != batch->seen ? ERROR_BIT(BERTH_E_STATE) : 0;
    expect->must |= bytes > most ? ERROR_BIT(BERTH_E_TOO_LARGE) : 0;
    expect->may |= bytes + KEPT_EXTRA > most ? ERROR_BIT(BERTH_E_TOO_LARGE) : 0;
    expect->may |= ERROR_BIT(BERTH_E_WOULD_EXCEED);
}

static void kept(struct play *play, struct berth_kept *piece, uint32_t index, uint32_t room)
{
    struct batch *batch = &play->batch;
    struct seen *seen = batch->seen;
    const struct berth_message *message = &batch->messages[index];
    struct held *held = &play->held[play->held_count++];
    *held = (struct held){.kept = piece, .seen = seen, .number = batch->first + index};
    held->size = message->size;
    held->only_read = index < batch->next;
    seen->kept_ever = true;
    play->kept_count++;
    FUZZ_CHECK(piece->conn == seen->handle && piece->reply_bytes == room);
    FUZZ_CHECK(piece->message.size == message->size && piece->message.header_bytes == 0);
    memset(piece->reply, (uint8_t)held->number, room);
    FUZZ_CHECK(memcmp(piece->message.data, message->data, message->size) == 0);
    if (!held->only_read) {
        end_before(batch, index);
        seen->told[held->number].state = TOLD_KEPT;
        batch->next = index + 1;
    }
    batch->roomy = false;
}

/* Keeps the a-th message of the batch, or, with c, those from it on, with room for a reply. */
void inside_keep(struct play *play, const struct order *order, struct seen *own)
{
    static const uint32_t rooms[] = {100, 0, 1, 20, 600, 5000, 70000, 300000};
    struct batch *batch = &play->batch;
    if (batch->seen == NULL) {
        return;
    }
    struct seen *seen = (order->c & 0xc0) == 0xc0 ? order_seen(play, 3, own) : batch->seen;
    uint32_t index = order->a % batch->count;
    uint32_t last = (order->c & 1) != 0 ? index : batch->count - 1;
    uint32_t room = PICK(rooms, order->b);
    for (; seen != NULL && index <= last && play->held_count < PLAY_HELD; index++) {
        struct expect expect = {0};
        int err = BERTH_OK;
        keep_expect(play, seen, index, room, &expect);
        struct berth_kept *piece = berth_keep(seen->conn, &batch->messages[index], room, &err);
        expect_result(play, &expect, piece == NULL ? err : BERTH_OK, "keep of", seen->number);
        if (piece != NULL) {
            kept(play, piece, index, room);
        } else if (err == BERTH_E_WOULD_EXCEED) {
            seen->owed = true;
            batch->roomy = false;
        }
    }
}

/* ------------------------------------------------------------------------------------ its life
 */

void inside_close(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    if (seen != NULL) {
        TELL(play, "close %u", seen->number);
        berth_close(seen->conn);
        seen->asked = true;
        seen_unsure(play, seen, PLAY_GROUPS);
    }
}

void inside_pause(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    if (seen == NULL) {
        return;
    }
    TELL(play, "pause %u", seen->number);
    berth_pause(seen->conn);
    /* A resume by handle that was asked for before may still be on its way. */
    seen->paused = seen->resume_turn == 0 || play->turns[seen->worker] > seen->resume_turn;
}

void inside_resume(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    if (seen != NULL) {
        TELL(play, "resume %u", seen->number);
        berth_resume(seen->conn);
        seen->paused = false;
    }
}

void inside_join(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    struct group *group = &play->groups[order->b % PLAY_GROUPS];
    if (seen == NULL || group->group == NULL) {
        return;
    }
    struct expect expect = {0};
    bool member = (group->members & BIT_OF(seen->number)) != 0;
    seen_expect(play, seen, &expect);
    expect.may |= member && play->sharp ? 0 : ERROR_BIT(BERTH_E_MEMORY);
    if (play->crowded && seen->protocol != 0) {
        expect.must |= ERROR_BIT(BERTH_E_UNSUPPORTED);
    }
    int result = berth_group_join(group->group, seen->conn);
    expect_result(play, &expect, result, "join of", seen->number);
    if (result == BERTH_OK) {
        group->members |= BIT_OF(seen->number);
    }
}

void inside_leave(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    struct group *group = &play->groups[order->b % PLAY_GROUPS];
    if (seen != NULL && group->group != NULL) {
        TELL(play, "connection %u leaves group %u", seen->number, order->b % PLAY_GROUPS);
        berth_group_leave(group->group, seen->conn);
        seen_unsure(play, seen, order->b % PLAY_GROUPS);
        group->members &= ~BIT_OF(seen->number);
    }
}

/* Messages larger than any can be. */
void inside_huge(struct play *play, const struct order *order, struct seen *own)
{
    const size_t huge = (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1 + order->b;
    const struct batch *batch = &play->batch;
    struct seen *seen = order_seen(play, order->a, own);
    if (seen == NULL) {
        return;
    }
    struct expect expect = {.must = ERROR_BIT(BERTH_E_TOO_LARGE)};
    seen_expect(play, seen, &expect);
    int result = berth_send(seen->conn, play->message, huge);
    expect_result(play, &expect, result, "huge send to", seen->number);
    if (batch->seen != NULL) {
        expect.must |= seen != batch->seen || batch->next > 0 ? ERROR_BIT(BERTH_E_STATE) : 0;
        FUZZ_CHECK(berth_reply_space(seen->conn, batch->messages, huge, &result) == NULL);
        expect_result(play, &expect, result, "huge reply to", seen->number);
        FUZZ_CHECK(berth_reply_space(seen->conn, batch->messages, huge, NULL) == NULL);
        FUZZ_CHECK(berth_keep(seen->conn, batch->messages, huge, &result) == NULL);
        expect_result(play, &expect, result, "huge keep of", seen->number);
        FUZZ_CHECK(berth_keep(seen->conn, batch->messages, huge, NULL) == NULL);
    }
}

/* ----------------------------------------------------------------------------- outgoing
 * connections
 */

static struct berth_connect_options connect_options(struct play *play, const struct order *order)
{
    static const uint32_t waits[] = {0, 1, 30, 5};
    struct berth_connect_options options = {
        .address = play->addresses[1],
        .protocol = &play->protocols[PLAY_PROTOCOLS - 1],
        .user = &play->outgoing[play->outgoing_count],
        .worker = order->a >> 4,
        .delay_ms = PICK(waits, order->b),
        .timeout_ms = PICK(waits, order->b >> 2),
        .attempts = order->c & 3,
        .retry_ms = PICK(waits, order->b >> 4),
        .retry_max_ms = PICK(waits, order->b >> 6),
    };
    switch (order->a & 7) {
    case 1:
        options.address = play->elsewhere.address;
        break;
    case 2:
        options.address.port = 9; /* nobody is there */
        break;
    case 3:
        options.local = (struct berth_address){.family = BERTH_IPV4, .bytes = {127, 0, 0, 2}};
        break;
    case 4:
        options.address.port = 0;
        break;
    case 5:
        options.local.family = BERTH_IPV6;
        break;
    default:
        break;
    }
    return options;
}

/* Connects: to the second address, or elsewhere, or to nobody. Between the turns only before the
 * start. */
void inside_connect(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    struct expect expect = {0};
    if (play->outgoing_count == PLAY_OUTGOING) {
        return;
    }
    struct berth_connect_options options = connect_options(play, order);
    if (options.address.port == 0 || options.local.family == BERTH_IPV6) {
        expect.must |= ERROR_BIT(BERTH_E_INVALID);
    }
    if (play->inside == NOBODY && play->started) {
        expect.must |= ERROR_BIT(BERTH_E_STATE);
    }
    if (play->outgoing_open >= play->config.connects_max) {
        expect.must |= ERROR_BIT(BERTH_E_FULL);
    }
    if (play->stops > 0 && play->started) {
        expect.may |= ERROR_BIT(BERTH_E_STATE);
    }
    int result = berth_connect(play->server, &options);
    expect_result(play, &expect, result, "connect", play->outgoing_count);
    if (result == BERTH_OK) {
        play->outgoing[play->outgoing_count++] =
            (struct outgoing){.used = true, .elsewhere = (order->a & 7) == 1, .seen = NOBODY};
        play->outgoing_open++;
    }
}

/* --------------------------------------------------------------------------------------- questions
 */

/* Whether a handle leads to its connection is known, but for how far its end is. */
void inside_find(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *peer = order_seen(play, order->a, own);
    if (peer == NULL || play->seen_count == 0) {
        return;
    }
    const struct seen *meant = &play->seen[order->b % play->seen_count];
    struct berth_conn *found = berth_conn_find(peer->conn, meant->handle);
    bool here = meant->worker == play->inside && meant->opened && !meant->over;
    bool open = here && !meant->begun;
    if (found != NULL && (!open || found != meant->conn)) {
        play_failed(play, "connection %u is found, and it is not open here", meant->number);
    }
    if (found == NULL && open && play->sharp) {
        play_failed(play, "connection %u is open here, and not found", meant->number);
    }
    FUZZ_CHECK(berth_conn_find(peer->conn, meant->handle + 1) == NULL ||
               seen_of_handle(play, meant->handle + 1) != NULL);
}

void inside_ask(struct play *play, const struct order *order, struct seen *own)
{
    struct seen *seen = order_seen(play, order->a, own);
    struct berth_address address;
    char why[120];
    if (seen == NULL) {
        return;
    }
    struct berth_conn *conn = seen->conn;
    FUZZ_CHECK(berth_conn_handle(conn) == seen->handle);
    FUZZ_CHECK(berth_conn_worker(conn) == seen->worker);
    FUZZ_CHECK(berth_conn_user(conn) == seen);
    FUZZ_CHECK(berth_conn_server(conn) == play->server);
    FUZZ_CHECK(berth_conn_context(conn) == &play->protocols[seen->protocol]);
    FUZZ_CHECK(berth_conn_now_ns(conn) >= seen->opened_ns);
    FUZZ_CHECK((berth_conn_connect_attempts(conn) > 0) == seen->outgoing);
    FUZZ_CHECK(berth_conn_queued_bytes(conn) <=
               play->config.send_max_bytes + play->config.post_bytes + play->config.pool_bytes);
    (void)berth_conn_random(conn);
    if (berth_conn_peer(conn, &address) && !seen->outgoing && seen->port != 0) {
        FUZZ_CHECK(address.port == seen->port);
    }
    FUZZ_CHECK(strlen(berth_conn_why(conn, why, sizeof why)) > 5);
    memset(berth_conn_space(conn), order->c, play->config.conn_space_bytes);
}
