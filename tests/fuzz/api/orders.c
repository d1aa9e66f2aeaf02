/* The orders: a table of all that a play can be told to do, and those that any thread may give:
 * requests by handle, kept messages, groups, visits, listening, stop, watching. Each call's result
 * is held against the model. An order that is not allowed where it is read (a reply outside a
 * message's callback, say) does nothing: a play never makes a programmer's mistake.
 */
#include <string.h>

#include "core/core.h"
#include "fuzz/api/play.h"

#define BIT_OF(number) (UINT64_C(1) << (number))

/* What a post takes beside its message, and what a payload does for each of few workers. */
#define POST_EXTRA 1024

#define PICK(table, byte) ((table)[(byte) % (sizeof(table) / sizeof(table)[0])])

void expect_result(struct play *play, const struct expect *expect, int result, const char *call,
                   uint32_t about)
{
    uint32_t allowed = expect->must;
    if (expect->must == 0) {
        allowed = ERROR_BIT(BERTH_OK) | expect->may;
    } else {
        allowed |= expect->may & ~ERROR_BIT(BERTH_OK);
    }
    TELL(play, "%s %d: %s", call, (int)about, berth_err_name(result));
    if (result > 0 || result < BERTH_E_STALE || (allowed & ERROR_BIT(result)) == 0) {
        play_failed(play, "%s %d: %s; allowed are %x (a bit for each error)", call, (int)about,
                    berth_err_name(result), allowed);
    }
}

/* ------------------------------------------------------------------------------ requests by handle
 */

/* A handle: of an open connection, of one that has ended, or of none. */
static berth_handle choose_handle(struct play *play, uint8_t choice)
{
    struct seen *seen = seen_choose(play, NOBODY, choice >> 3);
    if ((choice & 7) >= 6 && play->seen_count > 0) {
        return play->seen[(choice >> 3) % play->seen_count].handle;
    }
    if (seen == NULL) {
        return choice; /* no worker has number 0 */
    }
    switch (choice & 7) {
    case 4: /* of an earlier or later life of its slot */
        return seen->handle + 1 - (choice >> 3 & 2);
    case 5: /* of another slot, or worker, that may not be there */
        return seen->handle ^ UINT64_C(1) << (32 + (choice >> 3));
    default:
        return seen->handle;
    }
}

/* Stale or not is known exactly. */
static struct seen *expect_handle(struct play *play, berth_handle handle, struct expect *expect)
{
    struct seen *seen = seen_of_handle(play, handle);
    if (seen == NULL || !seen_is_live(seen)) {
        expect->must |= ERROR_BIT(BERTH_E_STALE);
        return NULL;
    }
    return seen;
}

static void order_handle_close(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    struct expect expect = {0};
    berth_handle handle = choose_handle(play, order->a);
    struct seen *seen = expect_handle(play, handle, &expect);
    int result = berth_handle_close(play->server, handle);
    expect_result(play, &expect, result, "handle close", seen == NULL ? NOBODY : seen->number);
    if (seen != NULL) {
        seen->may_close = true;
        seen_unsure(play, seen, PLAY_GROUPS);
    }
}

static void order_handle_pause(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    struct expect expect = {0};
    berth_handle handle = choose_handle(play, order->a);
    struct seen *seen = expect_handle(play, handle, &expect);
    int result = berth_handle_pause(play->server, handle);
    expect_result(play, &expect, result, "handle pause", seen == NULL ? NOBODY : seen->number);
}

static void resume_handle(struct play *play, berth_handle handle)
{
    struct expect expect = {0};
    struct seen *seen = expect_handle(play, handle, &expect);
    int result = berth_handle_resume(play->server, handle);
    expect_result(play, &expect, result, "handle resume", seen == NULL ? NOBODY : seen->number);
    if (seen != NULL) {
        seen->paused = false;
        seen->resume_turn = play->turns[seen->worker] + 1;
    }
}

static void order_handle_resume(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    resume_handle(play, choose_handle(play, order->a));
}

void resume_by_handle(struct play *play, struct seen *seen)
{
    resume_handle(play, seen->handle);
}

static void expect_post(const struct play *play, uint64_t bytes, struct expect *expect)
{
    expect->may |= ERROR_BIT(BERTH_E_WOULD_EXCEED);
    if (bytes > play->config.post_bytes) {
        expect->must |= ERROR_BIT(BERTH_E_TOO_LARGE);
    } else if (bytes + POST_EXTRA > play->config.post_bytes / 2) {
        expect->may |= ERROR_BIT(BERTH_E_TOO_LARGE);
    }
}

static void send_by_handle(struct play *play, berth_handle handle, const struct order *order)
{
    struct expect expect = {0};
    struct seen *seen = expect_handle(play, handle, &expect);
    if (seen == NULL) {
        expect_result(play, &expect, berth_handle_send(play->server, handle, "x", 1), "handle send",
                      NOBODY);
        return;
    }
    const struct berth_framing *framing = seen_framing(play, seen);
    uint32_t size = tape_size(play, framing, order->b, (order->b & 0x80) != 0);
    if (size == 0 && play->empty != VOICE_HANDLE) {
        size = 1;
    }
    struct line line = {VOICE_HANDLE, seen->number, seen->handles.count, size};
    line_write(&line, play->message);
    expect.must |= framing_errors(framing, play->message, size);
    if (framing_bytes(framing, size) > play->config.send_max_bytes) {
        expect.must |= ERROR_BIT(BERTH_E_TOO_LARGE);
    }
    expect_post(play, size, &expect);
    int result = berth_handle_send(play->server, handle, play->message, size);
    expect_result(play, &expect, result, "handle send", seen->number);
    if (result == BERTH_OK) {
        promise_add(&seen->handles, size);
    } else if (result == BERTH_E_WOULD_EXCEED) {
        seen->owed_by_handle = true;
        seen->owed_turn = play->turns[seen->worker];
    }
}

static void order_handle_send(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    berth_handle handle = choose_handle(play, order->a);
    for (uint32_t i = 0; i <= order->c % 32u && play->bytes_left > 0; i++) {
        send_by_handle(play, handle, order);
    }
}

/* --------------------------------------------------------------------------------- kept messages
 */

/* What it kept is as it was, and the room for the reply its own. */
static void check_held(const struct play *play, const struct held *held)
{
    const struct berth_kept *kept = held->kept;
    const struct seen *seen = held->seen;
    FUZZ_CHECK(kept->conn == seen->handle && kept->message.size == held->size);
    for (uint32_t i = 0; i < kept->reply_bytes; i++) {
        FUZZ_CHECK(kept->reply[i] == (uint8_t)held->number);
    }
    if (seen->life != NOBODY && held->number < play->lives[seen->life].wild_from) {
        struct line line = {VOICE_ACTOR, seen->life, held->number, held->size};
        if (!line_is(&line, kept->message.data, kept->message.size)) {
            play_failed(play, "connection %u: the bytes of kept message %u changed", seen->number,
                        held->number);
        }
    }
}

static void held_remove(struct play *play, uint32_t index)
{
    play->held_count--;
    memmove(&play->held[index], &play->held[index + 1],
            (play->held_count - index) * sizeof play->held[0]);
}

static void answer_expect(const struct play *play, const struct held *held, uint32_t size,
                          struct expect *expect)
{
    expect->must |= framing_errors(seen_framing(play, held->seen), play->message, size);
    if (size > held->kept->reply_bytes) {
        expect->must |= ERROR_BIT(BERTH_E_TOO_LARGE);
    }
    if (expect->must == 0 && !seen_is_live(held->seen)) {
        expect->must |= ERROR_BIT(BERTH_E_STALE);
    }
}

/* Once it is let go it may not be touched: what is needed after is copied before. */
static bool answer(struct play *play, uint32_t index, uint32_t size)
{
    struct held held = play->held[index];
    struct told *told = &held.seen->told[held.number];
    struct expect expect = {0};
    struct line line = {VOICE_REPLY, held.seen->number, held.number, size};
    bool ended = play->ended[held.seen->worker];
    line_write(&line, play->message);
    answer_expect(play, &held, size, &expect);
    const void *data = play->message;
    if (size <= held.kept->reply_bytes && size > 0 && (held.number & 1) != 0) {
        memcpy(held.kept->reply, play->message, size);
        data = held.kept->reply;
    }
    int result = berth_kept_reply(held.kept, data, size);
    expect_result(play, &expect, result, "late reply", held.seen->number);
    if (result == BERTH_E_TOO_LARGE || result == BERTH_E_FRAME) {
        memset(held.kept->reply, (uint8_t)held.number, held.kept->reply_bytes);
        return false;
    }
    if (!held.only_read) {
        told->state = result == BERTH_OK ? TOLD_ANSWERED : TOLD_DONE;
        told->size = size;
    }
    play->let_go_late += ended ? 1 : 0;
    held_remove(play, index);
    return true;
}

bool held_let_go(struct play *play, uint32_t index, uint32_t size)
{
    struct held held = play->held[index];
    check_held(play, &held);
    if (size != NOBODY) {
        return answer(play, index, size);
    }
    TELL(play, "release message %u of connection %u", held.number, held.seen->number);
    play->let_go_late += play->ended[held.seen->worker] ? 1 : 0;
    if (!held.only_read) {
        held.seen->told[held.number].state = TOLD_DONE;
    }
    held_remove(play, index);
    berth_kept_release(held.kept);
    return true;
}

static void order_answer(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    if (play->held_count == 0) {
        return;
    }
    uint32_t index = order->a % play->held_count;
    const struct held *held = &play->held[index];
    const struct berth_framing *framing = seen_framing(play, held->seen);
    uint32_t size = tape_size(play, framing, order->b, (order->b & 0x80) != 0);
    if ((order->b & 0x40) == 0 && size > held->kept->reply_bytes) {
        size = held->kept->reply_bytes;
    }
    if (size == 0 && play->empty != VOICE_REPLY) {
        size = 1;
    }
    (void)held_let_go(play, index, size);
}

static void order_release(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    if (play->held_count > 0) {
        (void)held_let_go(play, order->a % play->held_count, NOBODY);
    }
}

/* ---------------------------------------------------------------------------------------- groups
 */

static const char *const group_names[PLAY_GROUPS] = {"a", "bb", "ccc", "a group of its own"};

static void order_group(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    static const char too_long[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    struct group *group = &play->groups[order->a % PLAY_GROUPS];
    struct berth_group_options options = {group_names[order->a % PLAY_GROUPS],
                                          (enum berth_slow)(1 + order->b % 3)};
    struct expect expect = {0};
    struct berth_error error = {.setting = NULL};
    struct berth_group *made = NULL;
    if ((order->c & 0x70) == 0x10) {
        options.name = (order->c & 1) != 0 ? too_long : "";
    }
    if ((order->c & 0x70) == 0x20) {
        options.slow = (enum berth_slow)(4 * (order->c & 1));
    }
    if (group->group != NULL || (order->c & 0x70) == 0x10 || (order->c & 0x70) == 0x20) {
        expect.must |= ERROR_BIT(BERTH_E_INVALID);
    }
    int result = berth_group_create(play->server, &options, &made, &error);
    expect_result(play, &expect, result, "group", order->a % PLAY_GROUPS);
    if (result == BERTH_OK) {
        group->group = made;
        group->slow = options.slow;
    } else {
        FUZZ_CHECK(made == NULL && error.setting != NULL && error.text[0] != '\0');
    }
    FUZZ_CHECK(berth_group_find(play->server, group_names[order->a % PLAY_GROUPS]) == group->group);
}

static uint32_t bits_of(uint64_t mask)
{
    return (uint32_t)__builtin_popcountll(mask);
}

static void order_members(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    const struct group *group = &play->groups[order->a % PLAY_GROUPS];
    if (group->group == NULL || play->events_deep > 0) {
        return;
    }
    uint64_t least = 0;
    for (uint32_t i = 0; i < play->seen_count; i++) {
        bool begun = play->seen[i].begun || play->seen[i].over;
        least |= !begun && play->sharp ? group->members & BIT_OF(i) : 0;
    }
    uint64_t most = play->sharp ? least : group->members;
    uint64_t members = berth_group_members(group->group);
    if (members < bits_of(least) || members > bits_of(most)) {
        play_failed(play, "group %u has %llu members, and not %u to %u", order->a % PLAY_GROUPS,
                    (unsigned long long)members, bits_of(least), bits_of(most));
    }
}

/* An error if none of the framings that count can carry it. */
static void expect_payload(const struct play *play, uint32_t size, struct expect *expect)
{
    uint32_t errors = 0;
    uint32_t frames = 0;
    uint32_t framings = play->crowded ? 1 + PLAY_EXTRAS : 2; /* the third is like the second */
    for (uint32_t i = 0; i < framings && i < BERTH_GROUP_FRAMINGS_MAX; i++) {
        const struct berth_framing *framing = i == 0          ? &play->protocols[0].framing
                                              : play->crowded ? &play->extras[i - 1].framing
                                                              : &play->protocols[1].framing;
        uint32_t found = framing_errors(framing, play->message, size);
        if (framing_bytes(framing, size) > play->config.send_max_bytes) {
            found |= ERROR_BIT(BERTH_E_TOO_LARGE);
        }
        frames += found == 0 ? size : 0;
        if (found == 0) {
            errors |= ERROR_BIT(BERTH_OK);
        }
        errors |= found;
    }
    if ((errors & ERROR_BIT(BERTH_OK)) == 0) {
        expect->must |= errors;
    } else {
        expect->may |= ERROR_BIT(BERTH_E_WOULD_EXCEED);
        if (frames + 4 * POST_EXTRA > play->config.post_bytes / 2) {
            expect->may |= ERROR_BIT(BERTH_E_TOO_LARGE);
        }
    }
}

/* Those that are certain to get it, unless they are slow: what waits for the slow (LATEST) ends
 * with their connection. */
static uint64_t sure_of(const struct play *play, const struct payload *payload)
{
    uint64_t sure = 0;
    for (uint32_t i = 0; i < play->seen_count; i++) {
        const struct seen *seen = &play->seen[i];
        bool open = seen->opened && !seen->over && !seen->begun && !seen->asked && !seen->may_close;
        bool carried = !play->crowded || seen->protocol == 0;
        sure |= open && carried ? BIT_OF(i) : 0;
    }
    return payload->slow == BERTH_SLOW_LATEST ? 0 : sure & payload->members;
}

static void send_payload(struct play *play, uint32_t group, const struct order *order)
{
    struct expect expect = {0};
    uint32_t number = play->payloads_sent[group];
    uint32_t size = tape_size(play, &play->protocols[order->b >> 4 & 1].framing, order->b, false);
    size = size == 0 && play->empty != VOICE_GROUP ? 1 : size;
    uint64_t all = (size + 8u) * (uint64_t)bits_of(seen_live(play)); /* it may go to so many */
    if (play->payloads_count == PLAY_PAYLOADS || all > play->bytes_left) {
        return;
    }
    play->bytes_left -= (uint32_t)all;
    struct line line = {VOICE_GROUP, group, number, size};
    line_write(&line, play->message);
    expect_payload(play, size, &expect);
    enum berth_slow slow = (enum berth_slow)(1 + (order->b >> 5) % 3);
    int result;
    if (group == PLAY_GROUPS) {
        result = berth_broadcast(play->server, play->message, size, slow);
    } else {
        slow = play->groups[group].slow;
        result = berth_group_send(play->groups[group].group, play->message, size);
    }
    expect_result(play, &expect, result, "payload for", group);
    if (result == BERTH_OK) {
        struct payload *payload = &play->payloads[play->payloads_count++];
        *payload = (struct payload){.group = (uint8_t)group, .slow = (uint8_t)slow, .size = size};
        payload->number = number;
        payload->members = group == PLAY_GROUPS ? UINT64_MAX : play->groups[group].members;
        payload->sure = sure_of(play, payload);
        memcpy(payload->turns, play->turns, sizeof payload->turns);
        play->payloads_sent[group]++;
    }
}

static void order_payload(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    uint32_t group = order->a % (PLAY_GROUPS + 1);
    if (group == PLAY_GROUPS || play->groups[group].group != NULL) {
        for (uint32_t i = 0; i <= order->c % 16u; i++) {
            send_payload(play, group, order);
        }
    }
}

/* Messages that are larger than any can be, and a policy that is none: refused before a byte of
 * them is looked at. */
static void order_wrong(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    const size_t huge = (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1;
    const struct group *group = &play->groups[order->a % PLAY_GROUPS];
    berth_handle handle = choose_handle(play, order->b);
    struct expect expect = {.must = ERROR_BIT(BERTH_E_TOO_LARGE)};
    int result = berth_broadcast(play->server, play->message, huge, BERTH_SLOW_PAUSE);
    expect_result(play, &expect, result, "a huge payload for", PLAY_GROUPS);
    if (group->group != NULL) {
        result = berth_group_send(group->group, play->message, huge);
        expect_result(play, &expect, result, "a huge payload for", order->a % PLAY_GROUPS);
    }
    (void)expect_handle(play, handle, &expect);
    result = berth_handle_send(play->server, handle, play->message, huge);
    expect_result(play, &expect, result, "handle send of too much", NOBODY);
    expect.must = ERROR_BIT(BERTH_E_INVALID);
    result = berth_broadcast(play->server, play->message, 1, (enum berth_slow)(order->c & 4));
    expect_result(play, &expect, result, "a payload without a policy for", PLAY_GROUPS);
}

/* -------------------------------------------------------------------------- the server as a whole
 */

static void order_visit(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    struct expect expect = {.may = ERROR_BIT(BERTH_E_WOULD_EXCEED)};
    if (play->looks_count == PLAY_LOOKS) {
        return;
    }
    struct look *look = &play->looks[play->looks_count++];
    *look = (struct look){.play = play, .must = seen_live(play)};
    if (play->started && play->workers_left == 0) {
        expect.must |= ERROR_BIT(BERTH_E_STATE);
    }
    look->silent = (order->a & 7) == 7;
    int result = berth_visit(play->server, each_visited, look->silent ? NULL : visit_done, look);
    expect_result(play, &expect, result, "visit", (uint32_t)(look - play->looks));
    if (result != BERTH_OK) {
        FUZZ_CHECK(!look->done && look->visited == 0);
        look->done = true;
    }
}

static void order_listening(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    struct expect expect = {0};
    struct berth_error error = {.text = ""};
    if (!play->started || play->stops > 0) {
        expect.must |= ERROR_BIT(BERTH_E_STATE);
    }
    int result = berth_server_listening(play->server, (order->a & 1) != 0, &error);
    expect_result(play, &expect, result, "listening", order->a & 1);
    FUZZ_CHECK(result == BERTH_OK || error.text[0] != '\0');
}

static void order_stop(struct play *play, const struct order *order, struct seen *own)
{
    (void)order;
    (void)own;
    TELL(play, "stop");
    play->stops++;
    berth_server_stop(play->server);
}

static void order_stats(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    (void)order;
    struct berth_stats stats;
    struct berth_plan plan;
    berth_plan(play->server, 0, &plan);
    FUZZ_CHECK(plan.workers == play->config.workers && strcmp(plan.backend, "sim") == 0);
    berth_server_stats(play->server, &stats);
    FUZZ_CHECK(stats.connections_most <= play->config.connections_max);
    FUZZ_CHECK(stats.closed <= stats.accepted + stats.connected);
    if (play->inside == NOBODY) {
        FUZZ_CHECK(stats.connections_open == bits_of(seen_live(play)));
        FUZZ_CHECK(stats.accepted + stats.connected == play->seen_count);
        FUZZ_CHECK(stats.connect_failures == play->connects_failed);
        FUZZ_CHECK(stats.messages_kept == play->kept_count);
    }
}

static void order_recorder(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    uint32_t worker = order->a % play->config.workers;
    size_t max = order->b % (sizeof play->records / sizeof play->records[0] + 1);
    size_t count = berth_server_recorder(play->server, worker, play->records, max);
    FUZZ_CHECK(count <= max && count <= play->config.recorder_records);
    FUZZ_CHECK((berth_event_name(order->b) == NULL) == (berth_event_text(order->b) == NULL));
    FUZZ_CHECK((berth_pause_name(order->c) == NULL) ==
               (order->c < BERTH_PAUSE_QUEUE || order->c > BERTH_PAUSE_LISTENING));
    for (size_t i = 0; i < count; i++) {
        const struct berth_record *record = &play->records[i];
        FUZZ_CHECK(record->worker == worker && berth_event_name(record->event) != NULL);
        FUZZ_CHECK(i == 0 || record->time_ns >= play->records[i - 1].time_ns);
    }
}

static void order_watch(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    play->mask = (order->a & BERTH_WATCH_ALL) | (play->sharp ? PLAY_SHARP_MASK : 0);
    TELL(play, "watch %x", play->mask);
    berth_server_watch(play->server, play->mask);
}

/* ----------------------------------------------------------------------- what the play itself does
 */

static void order_turn(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    for (uint32_t i = 0; i <= order->b % 16u; i++) {
        stage_turn(play, order->a % play->config.workers, (order->c & 1) == 0);
    }
}

static void order_round(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    for (uint32_t i = 0; i <= order->a % 32u && play->started; i++) {
        stage_round(play);
    }
}

static void order_doze(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    static const uint64_t spans_us[] = {20, 1, 500, 2000, 12000, 35000, 70000, 2500000};
    stage_doze(play, PICK(spans_us, order->a) * (1 + order->b % 4u) * 1000);
}

static void order_actor(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    actor_connect(play, order->a, order->b & 1, (order->c & 3) != 0);
}

static void order_say(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    actor_say(play, order->a, order);
}

static void order_babble(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    actor_babble(play, order->a, order);
}

static void order_leave(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    static void (*const ways[])(struct play *, uint32_t) = {actor_shut, actor_close, actor_reset,
                                                            actor_vanish};
    PICK(ways, order->b)(play, order->a);
}

static void order_reads(struct play *play, const struct order *order, struct seen *own)
{
    (void)own;
    actor_reads(play, order->a, (order->b & 1) != 0);
}

static void order_elsewhere(struct play *play, const struct order *order, struct seen *own)
{
    (void)order;
    (void)own;
    if (play->elsewhere.id >= 0) {
        TELL(play, "the other place closes");
        io_listener_close(&io_backend_sim, play->world, &play->elsewhere);
    }
}

/* --------------------------------------------------------------------------------------- the table
 */

enum where {
    BETWEEN = 1, /* between the turns, by the play itself */
    ANYWHERE,    /* any thread's: also in every callback */
    ON_WORKER,   /* in callbacks, but not for an event */
};

/* Those that matter most stand more than once, so that a random byte means them more often. */
static const struct {
    order_fn *obey;
    enum where where;
} table[] = {
    {order_round, BETWEEN},
    {order_turn, BETWEEN},
    {order_actor, BETWEEN},
    {order_say, BETWEEN},
    {order_babble, BETWEEN},
    {order_leave, BETWEEN},
    {order_reads, BETWEEN},
    {order_doze, BETWEEN},
    {inside_reply, ON_WORKER},
    {inside_send, ON_WORKER},
    {inside_keep, ON_WORKER},
    {inside_close, ON_WORKER},
    {inside_pause, ON_WORKER},
    {inside_resume, ON_WORKER},
    {inside_join, ON_WORKER},
    {inside_leave, ON_WORKER},
    {inside_connect, ON_WORKER},
    {inside_find, ON_WORKER},
    {inside_ask, ON_WORKER},
    {inside_fill, ON_WORKER},
    {order_handle_close, ANYWHERE},
    {order_handle_pause, ANYWHERE},
    {order_handle_resume, ANYWHERE},
    {order_handle_send, ANYWHERE},
    {order_answer, ANYWHERE},
    {order_release, ANYWHERE},
    {order_group, ANYWHERE},
    {order_members, ANYWHERE},
    {order_payload, ANYWHERE},
    {order_visit, ANYWHERE},
    {order_listening, ANYWHERE},
    {order_stop, ANYWHERE},
    {order_stats, ANYWHERE},
    {order_recorder, ANYWHERE},
    {order_watch, ANYWHERE},
    {order_elsewhere, BETWEEN},
    {order_wrong, ANYWHERE},
    {inside_huge, ON_WORKER},
    {order_round, BETWEEN},
    {order_actor, BETWEEN},
    {order_say, BETWEEN},
    {inside_connect, BETWEEN},
};

void order_obey(struct play *play, const struct order *order, struct seen *own)
{
    size_t kind = (order->kind & ORDER_KINDS) % (sizeof table / sizeof table[0]);
    bool between = play->inside == NOBODY && play->events_deep == 0 && play->batch.seen == NULL;
    bool on_worker = play->inside != NOBODY && play->events_deep == 0;
    enum where where = table[kind].where;
    if (where == ANYWHERE || (where == BETWEEN && between) || (where == ON_WORKER && on_worker)) {
        table[kind].obey(play, order, own);
    }
}
