/* The account of a connection: what came, what was handed to the handler, which replies were made,
 * and which of them the system took.
 *
 * The last is the hard one. What was queued need not have left when a connection ends, and a kept
 * message is answered on another thread in any order, but replies leave in the order of their
 * messages. So the sizes of the frames are written down in that order when messages are dispatched,
 * frames of one size as one run, and the bytes that the library reports as sent
 * (BERTH_EVENT_SENT) take them off the front: what is taken off whole was handed to the system.
 *
 * An account lies in its connection's space and is used on its worker. A message costs a CRC and
 * some additions, a reply one more. With many sizes the runs outgrow their place in the account and
 * move to the heap, doubling: as many as replies wait at once. */
#include "account.h"

#include <stdlib.h>
#include <string.h>

/* ---- what comes ---- */

static void add(struct account_amount *amount, uint64_t count, uint64_t bytes, uint64_t wire)
{
    amount->count += count;
    amount->bytes += bytes;
    amount->wire += wire;
}

static void add_message(struct account_amount *amount, const struct berth_message *message,
                        uint32_t delimiter_bytes)
{
    add(amount, 1, message->size,
        (uint64_t)message->size + message->header_bytes + delimiter_bytes);
}

static bool is_ours(const struct account *account, const struct mark *mark)
{
    return mark->run == account->run && mark->client == account->client &&
           mark->connection == account->connection;
}

/* A whole marked message: in its turn, or not. */
static struct account_look look_at_mark(struct account *account, const struct mark *mark)
{
    struct account_look look = {.sequence = mark->sequence, .expected = account->next};
    if (account->next == 0) { /* by the first one the connection is known */
        account->run = mark->run;
        account->client = mark->client;
        account->connection = mark->connection;
        account->next = 1;
        account->sequence = mark->sequence;
        look.expected = 1;
    }
    if (!is_ours(account, mark) || mark->refusal != 0) {
        look.reject = ACCOUNT_FOREIGN;
        look.exception = LEDGER_FOREIGN;
    } else if (mark->sequence < account->next) {
        look.exception = LEDGER_DUPLICATED;
    } else {
        look.exception = mark->sequence > account->next ? LEDGER_GAP : 0;
        account->next = mark->sequence + 1;
    }
    return look;
}

struct account_look account_receive(struct account *account, const struct berth_message *message,
                                    uint32_t delimiter_bytes)
{
    struct mark mark;
    enum mark_verdict verdict = mark_read(message->data, message->size, &mark);
    struct account_look look = {.expected = account->next};
    add_message(&account->received, message, delimiter_bytes);
    if (verdict == MARK_RIGHT) {
        look = look_at_mark(account, &mark);
    } else if (verdict == MARK_DAMAGED || account->next != 0) {
        look.reject = ACCOUNT_DAMAGED;
        look.exception = LEDGER_CORRUPTED;
    }
    if (look.reject != 0) {
        add_message(look.reject == ACCOUNT_DAMAGED ? &account->damaged : &account->foreign, message,
                    delimiter_bytes);
    }
    if (look.reject == ACCOUNT_DAMAGED && account->next != 0) {
        account->next++; /* it stood in the place of the expected one */
    }
    return look;
}

void account_dispatch(struct account *account, const struct berth_message *message,
                      uint32_t delimiter_bytes, bool asked)
{
    add_message(&account->dispatched, message, delimiter_bytes);
    account->asked += asked ? 1 : 0;
}

/* ---- what leaves ---- */

static struct account_run *runs_of(struct account_frames *frames)
{
    return frames->runs != NULL ? frames->runs : frames->own;
}

/* Twice the room, with the runs from its front on. */
static bool grow(struct account_frames *frames)
{
    uint32_t room = frames->runs != NULL ? frames->room : ACCOUNT_RUNS;
    struct account_run *runs = malloc(2 * (size_t)room * sizeof *runs);
    if (runs == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < frames->count; i++) {
        runs[i] = runs_of(frames)[(frames->first + i) % room];
    }
    free(frames->runs);
    frames->runs = runs;
    frames->room = 2 * room;
    frames->first = 0;
    return true;
}

static bool push(struct account_frames *frames, uint32_t frame_bytes, bool refusal)
{
    uint32_t room = frames->runs != NULL ? frames->room : ACCOUNT_RUNS;
    if (frames->count > 0) {
        struct account_run *last = &runs_of(frames)[(frames->first + frames->count - 1) % room];
        if (last->frame_bytes == frame_bytes && last->refusals == refusal &&
            last->count < UINT32_MAX) {
            last->count++;
            return true;
        }
    }
    if (frames->count == room) {
        if (!grow(frames)) {
            return false;
        }
        room = frames->room;
    }
    runs_of(frames)[(frames->first + frames->count) % room] =
        (struct account_run){frame_bytes, 1, refusal};
    frames->count++;
    return true;
}

void account_reply(struct account *account, uint32_t frame_bytes, uint32_t id, bool made)
{
    if (account->ids == 0) {
        account->first_id = id;
    }
    account->last_id = id;
    account->ids++;
    account->ids_sum += id;
    if (made) {
        add(&account->made, 1, 0, frame_bytes);
    }
    account->untraced = !push(&account->frames, frame_bytes, false) || account->untraced;
}

void account_answered(struct account *account, uint64_t count, uint64_t wire)
{
    add(&account->made, count, 0, wire);
}

void account_released(struct account *account, uint64_t count)
{
    account->released += count;
    account->untraced = true; /* which frame will not come is not known */
}

void account_refuse(struct account *account, uint32_t frame_bytes)
{
    add(&account->refusals, 1, 0, frame_bytes);
    account->untraced = !push(&account->frames, frame_bytes, true) || account->untraced;
}

void account_sent(struct account *account, uint64_t bytes)
{
    struct account_frames *frames = &account->frames;
    account->part += bytes;
    while (frames->count > 0) {
        struct account_run *run = &runs_of(frames)[frames->first];
        uint64_t whole = account->part / run->frame_bytes;
        uint32_t count = whole < run->count ? (uint32_t)whole : run->count;
        add(run->refusals ? &account->refusals_out : &account->out, count, 0,
            (uint64_t)count * run->frame_bytes);
        account->part -= (uint64_t)count * run->frame_bytes;
        run->count -= count;
        if (run->count > 0) {
            return; /* a part of its next frame, or nothing */
        }
        frames->first = (frames->first + 1) % (frames->runs != NULL ? frames->room : ACCOUNT_RUNS);
        frames->count--;
    }
}

void account_fini(struct account *account)
{
    free(account->frames.runs);
    account->frames.runs = NULL;
}

/* ---- the lines ---- */

static void put(struct ledger_page *page, unsigned kind, uint32_t reason,
                const struct account_amount *amount)
{
    if (amount->count > 0 || amount->bytes > 0 || amount->wire > 0) {
        struct ledger_record *record = ledger_line(page, kind, reason);
        record->count = amount->count;
        record->bytes = amount->bytes;
        record->wire = amount->wire;
    }
}

static void put_exceptions(struct ledger_page *page, unsigned total, const uint64_t *exceptions,
                           const uint64_t *singles)
{
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        if (exceptions[i] > 0) {
            struct ledger_record *record =
                ledger_line(page, LEDGER_COUNTED | total, LEDGER_EXCEPTIONS_FIRST + i);
            record->count = exceptions[i];
            record->bytes = singles[i];
        }
    }
}

/* Replies that were made and not handed over whole; bytes: what was handed over of the next one. */
static struct account_amount dropped_of(const struct account *account)
{
    return (struct account_amount){account->made.count - account->out.count, account->part,
                                   account->made.wire - account->out.wire};
}

/* Messages to be answered whose answers the connection's end was faster than. */
static uint64_t unreplied_of(const struct account *account)
{
    return account->asked - account->made.count - account->released;
}

bool account_is_marked(const struct account *account)
{
    return account->next != 0 || account->damaged.count > 0;
}

void account_lines(const struct account *account, enum berth_reason reason,
                   struct ledger_page *page)
{
    const struct account_amount dropped = dropped_of(account);
    put(page, LEDGER_RECEIVED, 0, &account->received);
    page->records[page->count - 1].first = account->sequence;
    page->records[page->count - 1].last = account->next > 0 ? account->next - 1 : 0;
    put(page, LEDGER_DISPATCHED, 0, &account->dispatched);
    put(page, LEDGER_REJECTED, ACCOUNT_DAMAGED, &account->damaged);
    put(page, LEDGER_REJECTED, ACCOUNT_FOREIGN, &account->foreign);
    put(page, LEDGER_MADE, 0, &account->made);
    ledger_count(page, LEDGER_UNREPLIED, ACCOUNT_NOT_ASKED,
                 account->dispatched.count - account->asked);
    ledger_count(page, LEDGER_UNREPLIED, ACCOUNT_RELEASED, account->released);
    ledger_count(page, LEDGER_UNREPLIED, reason, unreplied_of(account));
    put(page, LEDGER_OUT, account->untraced ? ACCOUNT_UNTRACED : 0, &account->out);
    put(page, LEDGER_DROPPED, reason, &dropped);
    put(page, LEDGER_REFUSALS, 0, &account->refusals);
    put(page, LEDGER_REFUSALS_OUT, 0, &account->refusals_out);
    if (account->ids > 0) {
        struct ledger_record *ids = ledger_line(page, LEDGER_IDS, 0);
        ids->first = account->first_id;
        ids->last = account->last_id;
        ids->count = account->ids;
        ids->bytes = account->ids_sum;
    }
    put_exceptions(page, 0, account->exceptions, account->singles);
}

/* ---- sums ---- */

static void add_amount(struct account_amount *into, const struct account_amount *from)
{
    add(into, from->count, from->bytes, from->wire);
}

void account_add(struct account_sums *sums, const struct account *account, enum berth_reason reason)
{
    const struct account_amount dropped = dropped_of(account);
    sums->connections++;
    add_amount(&sums->received, &account->received);
    add_amount(&sums->dispatched, &account->dispatched);
    add_amount(&sums->rejected[ACCOUNT_DAMAGED], &account->damaged);
    add_amount(&sums->rejected[ACCOUNT_FOREIGN], &account->foreign);
    add_amount(&sums->made, &account->made);
    sums->unreplied[ACCOUNT_NOT_ASKED] += account->dispatched.count - account->asked;
    sums->unreplied[ACCOUNT_RELEASED] += account->released;
    sums->unreplied[reason] += unreplied_of(account);
    add_amount(&sums->out, &account->out);
    add_amount(&sums->dropped[reason], &dropped);
    add_amount(&sums->refusals, &account->refusals);
    add_amount(&sums->refusals_out, &account->refusals_out);
    sums->ids += account->ids;
    sums->ids_sum += account->ids_sum;
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        sums->exceptions[i] += account->exceptions[i];
        sums->singles[i] += account->singles[i];
    }
}

void account_sums_merge(struct account_sums *into, const struct account_sums *from)
{
    into->connections += from->connections;
    add_amount(&into->received, &from->received);
    add_amount(&into->dispatched, &from->dispatched);
    add_amount(&into->made, &from->made);
    add_amount(&into->out, &from->out);
    add_amount(&into->refusals, &from->refusals);
    add_amount(&into->refusals_out, &from->refusals_out);
    into->ids += from->ids;
    into->ids_sum += from->ids_sum;
    for (unsigned i = 0; i < ACCOUNT_REASONS_END; i++) {
        add_amount(&into->rejected[i], &from->rejected[i]);
        add_amount(&into->dropped[i], &from->dropped[i]);
        into->unreplied[i] += from->unreplied[i];
    }
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        into->exceptions[i] += from->exceptions[i];
        into->singles[i] += from->singles[i];
    }
}

void account_sums_lines(const struct account_sums *sums, struct ledger_page *page)
{
    ledger_line(page, LEDGER_CONNECTION | LEDGER_TOTAL, 0)->count = sums->connections;
    put(page, LEDGER_RECEIVED | LEDGER_TOTAL, 0, &sums->received);
    put(page, LEDGER_DISPATCHED | LEDGER_TOTAL, 0, &sums->dispatched);
    put(page, LEDGER_MADE | LEDGER_TOTAL, 0, &sums->made);
    put(page, LEDGER_OUT | LEDGER_TOTAL, 0, &sums->out);
    put(page, LEDGER_REFUSALS | LEDGER_TOTAL, 0, &sums->refusals);
    put(page, LEDGER_REFUSALS_OUT | LEDGER_TOTAL, 0, &sums->refusals_out);
    for (unsigned i = 0; i < ACCOUNT_REASONS_END; i++) {
        put(page, LEDGER_REJECTED | LEDGER_TOTAL, i, &sums->rejected[i]);
        put(page, LEDGER_DROPPED | LEDGER_TOTAL, i, &sums->dropped[i]);
        ledger_count(page, LEDGER_UNREPLIED | LEDGER_TOTAL, i, sums->unreplied[i]);
    }
    if (sums->ids > 0) {
        struct ledger_record *ids = ledger_line(page, LEDGER_IDS | LEDGER_TOTAL, 0);
        ids->count = sums->ids;
        ids->bytes = sums->ids_sum;
    }
    put_exceptions(page, LEDGER_TOTAL, sums->exceptions, sums->singles);
}

const char *account_reason_text(uint32_t reason)
{
    switch (reason) {
#define REASON_TEXT(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        ACCOUNT_REASONS(REASON_TEXT)
#undef REASON_TEXT
    default:
        return berth_reason_text((enum berth_reason)reason);
    }
}
