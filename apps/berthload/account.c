/* The account of a connection: of every message that was sent, what became of it. In a clean run it
 * is a few sums, added to once a batch. A reply that is not the next right one is held against all
 * that was sent: it may answer a later message (those between are skipped so far), an earlier one
 * that was skipped (reordered) or answered already (duplicated), refuse one, be corrupted, or
 * answer nothing; each of these is a record of its own in the ledger, up to LEDGER_SINGLES_MOST.
 * The connection goes on meanwhile, except after an answer to nothing, as replies come in the order
 * of their messages (PROTOCOL.md M2.5) and what a broken one stood for is known from its place.
 * When the connection has ended, its lines go to the ledger in one piece.
 *
 * An account belongs to its link and is used on the connection's worker. A right reply costs
 * nothing here beside the sums of its batch, an odd one O(gaps) and a lock. */
#include "account.h"

#include <string.h>

#include "tally.h"

_Static_assert((unsigned)CAUSES <= (unsigned)ACCOUNT_SKIPPED, "reasons follow the causes");

void account_begin(struct account *account, uint32_t connection)
{
    const struct account lent = *account;
    *account = (struct account){
        .ledger = lent.ledger,
        .totals = lent.totals,
        .plan = lent.plan,
        .worker = lent.worker,
        .connection = connection,
    };
}

static struct ledger_record key_of(const struct account *account)
{
    return (struct ledger_record){
        .worker = account->worker,
        .client = account->plan->client,
        .connection = account->connection,
        .life = 1,
    };
}

/* ---- ranges ---- */

static void range_add(struct account_range *range, uint64_t first, uint64_t last, uint64_t count)
{
    if (range->count == 0 || first < range->first) {
        range->first = first;
    }
    if (last > range->last) {
        range->last = last;
    }
    range->count += count;
}

static void remove_gap(struct account *account, uint32_t at)
{
    account->gaps_count--;
    memmove(&account->gaps[at], &account->gaps[at + 1],
            (account->gaps_count - at) * sizeof account->gaps[0]);
}

/* Behind the gap `at`, so that the order stays; a full table gives up its oldest. */
static void insert_gap(struct account *account, uint32_t at, uint64_t first, uint64_t last)
{
    if (account->gaps_count == ACCOUNT_GAPS) {
        const struct account_range oldest = account->gaps[0];
        range_add(&account->given_up, oldest.first, oldest.last, oldest.count);
        remove_gap(account, 0);
        at = at > 0 ? at - 1 : 0;
    }
    memmove(&account->gaps[at + 1], &account->gaps[at],
            (account->gaps_count - at) * sizeof account->gaps[0]);
    account->gaps[at] = (struct account_range){first, last, last - first + 1};
    account->gaps_count++;
}

/* Takes a message out of the gap that it is in. false: it is in none. */
static bool take_from_gap(struct account *account, uint64_t sequence)
{
    for (uint32_t i = 0; i < account->gaps_count; i++) {
        const struct account_range gap = account->gaps[i];
        if (sequence < gap.first || sequence > gap.last) {
            continue;
        }
        remove_gap(account, i);
        if (sequence < gap.last) {
            insert_gap(account, i, sequence + 1, gap.last);
        }
        if (sequence > gap.first) {
            insert_gap(account, i, gap.first, sequence - 1);
        }
        return true;
    }
    return false;
}

/* ---- exceptions ---- */

static void except(struct account *account, enum ledger_kind kind, uint32_t reason,
                   const struct ledger_record *what)
{
    unsigned at = (unsigned)kind - LEDGER_EXCEPTIONS_FIRST;
    account->exceptions[at]++;
    account->totals->exceptions[at]++;
    if (account->singles[at] < LEDGER_SINGLES_MOST) {
        struct ledger_record record = key_of(account);
        record.kind = (uint8_t)kind;
        record.reason = (uint8_t)reason;
        record.first = what->first;
        record.last = what->last;
        record.count = 1;
        record.bytes = what->bytes;
        record.wire = what->wire;
        account->singles[at]++;
        account->totals->singles[at]++;
        ledger_put(account->ledger, &record, 1);
    }
}

/* ---- replies ---- */

void account_right(struct account *account, uint64_t last, uint64_t count, uint64_t bytes,
                   uint64_t wire)
{
    if (count > 0) {
        range_add(&account->answered, last - count + 1, last, count);
        account->answered_bytes += bytes;
        account->answered_wire += wire;
        account->seen_wire += wire;
    }
}

/* An odd reply while it is looked at. */
struct look {
    struct account *account;
    struct verifier *verifier;
    const struct account_reply *reply;
    struct ledger_record what; /* for its exception */
    struct account_step step;
};

/* All messages up to this one are settled; those before it are skipped so far. */
static void settle_through(struct look *look, uint64_t sequence)
{
    struct account *account = look->account;
    uint64_t next = look->verifier->expected.index;
    look->step.settled = (uint32_t)(sequence - next + 1);
    if (sequence > next) {
        insert_gap(account, account->gaps_count, next, sequence - 1);
    }
    message_cursor_at(account->plan, &look->verifier->expected, account->connection, sequence + 1);
}

/* It has come in the place of the reply to the next message, or of message `sequence`, which gets
 * no other. */
static void spoil(struct look *look, enum account_reason reason, uint64_t sequence)
{
    struct account *account = look->account;
    look->step.wrong = true;
    if (look->reply->outstanding == 0) {
        look->step.unasked = true;
        except(account, LEDGER_UNASKED, reason, &look->what);
        return;
    }
    except(account, LEDGER_CORRUPTED, reason, &look->what);
    settle_through(look, sequence);
    range_add(&account->spoilt, sequence, sequence, 1);
}

static void answer(struct look *look, uint64_t sequence)
{
    const struct berth_message *message = look->reply->message;
    look->step.answered = true;
    range_add(&look->account->answered, sequence, sequence, 1);
    look->account->answered_bytes += message->size;
    look->account->answered_wire += look->reply->wire;
    verifier_count_id(look->verifier, message->data);
}

/* It is of a message that is settled already. */
static void look_back(struct look *look, const struct mark *mark)
{
    struct account *account = look->account;
    look->step.wrong = true;
    if (!take_from_gap(account, mark->sequence)) {
        except(account, LEDGER_DUPLICATED, 0, &look->what);
        return;
    }
    except(account, LEDGER_REORDERED, 0, &look->what);
    if (mark->refusal != 0) {
        range_add(&account->refused[mark->refusal], mark->sequence, mark->sequence, 1);
    } else {
        answer(look, mark->sequence);
    }
}

/* A whole reply to one of ours that was sent: whether it is what was sent, but for the time, which
 * is known of the next one only. */
static bool is_sent(const struct look *look, const struct mark *mark, const uint8_t *bytes,
                    uint32_t size)
{
    struct message_cursor cursor;
    message_cursor_at(look->account->plan, &cursor, look->account->connection, mark->sequence);
    cursor.time_ns = mark->sequence == look->verifier->expected.index
                         ? look->verifier->expected.time_ns
                         : mark->time_ns;
    return message_size(look->account->plan, &cursor) == size &&
           message_is(look->account->plan, &cursor, size, bytes);
}

static void look_at_mark(struct look *look, const struct mark *mark, const uint8_t *bytes,
                         uint32_t size)
{
    const uint64_t next = look->verifier->expected.index;
    if (mark->sequence == 0 || mark->sequence >= next + look->reply->outstanding) {
        look->step.wrong = true;
        look->step.unasked = true;
        except(look->account, LEDGER_UNASKED, 0, &look->what);
    } else if (mark->refusal == 0 && !is_sent(look, mark, bytes, size)) {
        spoil(look, ACCOUNT_BYTES, mark->sequence < next ? next : mark->sequence);
    } else if (mark->sequence < next) {
        look_back(look, mark);
    } else if (mark->refusal != 0) {
        settle_through(look, mark->sequence);
        range_add(&look->account->refused[mark->refusal], mark->sequence, mark->sequence, 1);
    } else if (look->reply->verdict == REPLY_ID) {
        spoil(look, ACCOUNT_ID, mark->sequence);
    } else {
        settle_through(look, mark->sequence);
        answer(look, mark->sequence);
    }
}

struct account_step account_odd(struct account *account, struct verifier *verifier,
                                const struct account_reply *reply)
{
    const uint32_t id_bytes = verifier->with_id ? REPLY_ID_BYTES : 0;
    const bool whole = reply->message->size >= id_bytes;
    const uint8_t *bytes = whole ? reply->message->data + id_bytes : NULL;
    const uint32_t size = whole ? reply->message->size - id_bytes : 0;
    struct look look = {
        .account = account,
        .verifier = verifier,
        .reply = reply,
        .what = {.last = verifier->expected.index, .bytes = size, .wire = reply->wire},
    };
    struct mark mark;
    account->seen_wire += reply->wire;
    if (!whole || mark_read(bytes, size, &mark) != MARK_RIGHT ||
        mark.refusal >= MARK_REFUSALS_END) {
        spoil(&look, ACCOUNT_DAMAGED, verifier->expected.index);
    } else if (mark.connection != account->connection || mark.run != account->plan->run ||
               mark.client != account->plan->client) {
        look.what.first = mark.sequence;
        spoil(&look, ACCOUNT_FOREIGN, verifier->expected.index);
    } else {
        look.what.first = mark.sequence;
        look_at_mark(&look, &mark, bytes, size);
    }
    if (whole) {
        verifier_take_id(verifier, reply->message->data); /* the next one is held against it */
    }
    return look.step;
}

/* ---- the end ---- */

static void put_range(struct ledger_page *page, enum ledger_kind kind, uint32_t reason,
                      const struct account_range *range)
{
    if (range->count > 0) {
        struct ledger_record *record = ledger_line(page, kind, reason);
        record->first = range->first;
        record->last = range->last;
        record->count = range->count;
    }
}

static void put_unknown(struct account *account, struct ledger_page *page, uint32_t reason,
                        const struct account_range *range)
{
    put_range(page, LEDGER_UNKNOWN, reason, range);
    account->totals->unknown[reason] += range->count;
}

/* The messages that the connection's end decided about. */
static void put_rest(struct account *account, struct ledger_page *page,
                     const struct account_end *end)
{
    const struct account_range unanswered = {end->sent - end->unanswered + 1, end->sent,
                                             end->unanswered};
    const struct account_range unsent = {end->sent + 1, end->sent + end->unsent, end->unsent};
    put_unknown(account, page, end->reason, &unanswered);
    put_range(page, LEDGER_NOT_SENT, end->reason, &unsent);
    account->totals->not_sent[end->reason] += end->unsent;
    account->totals->scheduled += end->sent + end->unsent;
    ledger_count(page, LEDGER_SCHEDULED, 0, end->sent + end->unsent);
    if (end->sent > 0) {
        struct ledger_record *sent = ledger_line(page, LEDGER_SENT, 0);
        sent->first = 1;
        sent->last = end->sent;
        sent->count = end->sent;
        sent->bytes = end->sent_bytes;
    }
}

static void put_replies(struct account *account, struct ledger_page *page,
                        const struct verifier *verifier)
{
    put_range(page, LEDGER_ANSWERED, 0, &account->answered);
    if (account->answered.count > 0) {
        page->records[page->count - 1].bytes = account->answered_bytes;
        page->records[page->count - 1].wire = account->answered_wire;
    }
    if (verifier->with_id && account->answered.count > 0) {
        struct ledger_record *ids = ledger_line(page, LEDGER_IDS, 0);
        ids->first = verifier->first_id;
        ids->last = verifier->right_id;
        ids->count = account->answered.count;
        ids->bytes = verifier->ids_sum;
        account->totals->ids += verifier->ids_sum;
    }
    for (uint32_t i = 0; i < MARK_REFUSALS_END; i++) {
        put_range(page, LEDGER_REFUSED, i, &account->refused[i]);
        account->totals->refused[i] += account->refused[i].count;
    }
    for (uint32_t i = 0; i < account->gaps_count; i++) {
        put_unknown(account, page, ACCOUNT_SKIPPED, &account->gaps[i]);
    }
    put_unknown(account, page, ACCOUNT_SKIPPED, &account->given_up);
    put_unknown(account, page, ACCOUNT_SPOILT, &account->spoilt);
}

/* Bytes that came when every reply was there already. Where one is missing, they may be a part of
 * it. */
static void count_late(struct account *account, const struct account_end *end)
{
    if (end->unanswered == 0 && account->received_wire > account->seen_wire) {
        const struct ledger_record late = {.wire = account->received_wire - account->seen_wire};
        except(account, LEDGER_LATE, 0, &late);
        account->totals->late_bytes += late.wire;
    }
}

void account_close(struct account *account, const struct verifier *verifier,
                   const struct account_end *end)
{
    struct ledger_page page = {.key = key_of(account), .count = 0};
    struct ledger_record *connection = ledger_line(&page, LEDGER_CONNECTION, end->closed);
    connection->first = account->plan->run;
    connection->last = account->opened_ns;
    connection->count = end->now_ns;
    connection->bytes = account->connection;
    count_late(account, end);
    put_replies(account, &page, verifier);
    put_rest(account, &page, end);
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        if (account->exceptions[i] > 0) {
            struct ledger_record *counted =
                ledger_line(&page, LEDGER_COUNTED, LEDGER_EXCEPTIONS_FIRST + i);
            counted->count = account->exceptions[i];
            counted->bytes = account->singles[i];
        }
    }
    connection->wire = page.count - 1;
    ledger_put(account->ledger, page.records, page.count);
}

void account_not_made(struct account *account, uint32_t connection, uint64_t messages,
                      enum account_reason reason)
{
    if (messages == 0) {
        return; /* with --duration nothing was planned for it */
    }
    struct ledger_page page = {.key = key_of(account), .count = 0};
    page.key.connection = connection;
    struct ledger_record *not_sent = ledger_line(&page, LEDGER_NOT_SENT, reason);
    not_sent->first = connection == 0 ? 0 : 1;
    not_sent->last = connection == 0 ? 0 : messages;
    not_sent->count = messages;
    ledger_count(&page, LEDGER_SCHEDULED, 0, messages);
    account->totals->not_sent[reason] += messages;
    account->totals->scheduled += messages;
    ledger_put(account->ledger, page.records, page.count);
}

void account_totals_merge(struct account_totals *into, const struct account_totals *from)
{
    into->scheduled += from->scheduled;
    into->ids += from->ids;
    into->late_bytes += from->late_bytes;
    for (unsigned i = 0; i < MARK_REFUSALS_END; i++) {
        into->refused[i] += from->refused[i];
    }
    for (unsigned i = 0; i < ACCOUNT_REASONS_END; i++) {
        into->unknown[i] += from->unknown[i];
        into->not_sent[i] += from->not_sent[i];
    }
    for (unsigned i = 0; i < LEDGER_EXCEPTIONS; i++) {
        into->exceptions[i] += from->exceptions[i];
        into->singles[i] += from->singles[i];
    }
}

uint64_t account_refused(const struct account_totals *totals)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MARK_REFUSALS_END; i++) {
        sum += totals->refused[i];
    }
    return sum;
}

uint64_t account_exceptions(const struct account_totals *totals, enum ledger_kind kind)
{
    return totals->exceptions[(unsigned)kind - LEDGER_EXCEPTIONS_FIRST];
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
        return cause_text(reason);
    }
}
