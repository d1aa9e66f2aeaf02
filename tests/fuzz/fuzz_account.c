/* The account of a connection of berthload's. The input is a server: it says how many messages were
 * sent and which replies come, right ones, skipping, late, double, refusing, damaged, forged and
 * nonsense, in any order. Held against a table with a fate for each message: whatever comes, each
 * message has one, the sums are theirs, and an answer to nothing is found. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "berthload/account.h"

#define MESSAGES_MAX 60
#define SIZE_LEAST   48
#define SIZE_MOST    70
#define ROOM         (SIZE_MOST + REPLY_ID_BYTES)
#define CONNECTION   5
#define INPUT_MAX    400 /* several replies for each message; more of the same is only slower */

enum fate { PENDING = 0, ANSWERED, REFUSED, SPOILT, SKIPPED };

static struct {
    struct message_plan plan;
    struct account account;
    struct account_totals totals;
    struct verifier verifier;
    uint32_t sent;
    uint32_t outstanding;
    uint32_t id;
    bool over;
    uint8_t fates[MESSAGES_MAX + 1];
    uint8_t bytes[ROOM];
    uint32_t size;
} world;

static struct ledger *ledger(void)
{
    static struct ledger *once;
    static const struct ledger_text text = {.length = 0};
    char why[LEDGER_WHY_BYTES];
    if (once == NULL) {
        once = ledger_open("/dev/null", &text, why);
        FUZZ_CHECK(once != NULL);
    }
    return once;
}

static void begin(uint32_t sent, bool with_id)
{
    static struct message_plan plan; /* one for all inputs */
    if (plan.pattern == NULL) {
        FUZZ_CHECK(message_plan_make_marked(&plan, SIZE_LEAST, SIZE_MOST, 99, 8));
    }
    memset(&world, 0, sizeof world);
    world.plan = plan;
    world.account =
        (struct account){.ledger = ledger(), .totals = &world.totals, .plan = &world.plan};
    account_begin(&world.account, CONNECTION);
    world.verifier = (struct verifier){.plan = &world.plan, .with_id = with_id};
    message_cursor_start(&world.plan, &world.verifier.expected, CONNECTION);
    world.sent = sent;
    world.outstanding = sent;
    world.id = 1000;
}

static void put_id(void)
{
    if (world.verifier.with_id) {
        for (int i = 0; i < (int)REPLY_ID_BYTES; i++) {
            world.bytes[i] = (uint8_t)(world.id >> 8 * i);
        }
    }
    world.id++;
}

static uint8_t *body(void)
{
    return world.bytes + (world.verifier.with_id ? REPLY_ID_BYTES : 0);
}

/* The reply to a message, as it should be. */
static void make_reply(uint64_t sequence)
{
    struct message_cursor cursor;
    message_cursor_at(&world.plan, &cursor, CONNECTION, sequence);
    cursor.time_ns = sequence;
    uint32_t size = message_size(&world.plan, &cursor);
    put_id();
    message_write(&world.plan, &cursor, size, body());
    world.size = (uint32_t)(body() - world.bytes) + size;
}

static void make_refusal(uint64_t sequence)
{
    const struct mark mark = {.run = 99,
                              .client = 8,
                              .connection = CONNECTION,
                              .sequence = sequence,
                              .length = MARK_BYTES,
                              .refusal = MARK_REFUSED_DAMAGED};
    put_id();
    mark_write(&mark, body());
    world.size = (uint32_t)(body() - world.bytes) + MARK_BYTES;
}

static uint64_t next(void)
{
    return world.verifier.expected.index;
}

/* Takes the reply that was made, as link.c does. */
static struct account_step take(void)
{
    const struct berth_message reply = {.data = world.bytes, .size = world.size};
    struct account_step step = {.settled = 1, .answered = true};
    world.verifier.expected.time_ns = next();
    enum reply_verdict verdict = world.outstanding == 0
                                     ? REPLY_UNASKED
                                     : verifier_check(&world.verifier, reply.data, reply.size);
    if (verdict == REPLY_RIGHT) {
        account_right(&world.account, next() - 1, 1, reply.size, reply.size);
    } else {
        const struct account_reply odd = {.verdict = verdict,
                                          .message = &reply,
                                          .outstanding = world.outstanding,
                                          .wire = reply.size};
        step = account_odd(&world.account, &world.verifier, &odd);
    }
    FUZZ_CHECK(step.settled <= world.outstanding);
    world.outstanding -= step.settled;
    FUZZ_CHECK(next() == world.sent - world.outstanding + 1);
    world.over = step.unasked;
    return step;
}

/* Everything up to `sequence` has been passed over, which itself has this fate. */
static void pass(uint64_t first, uint64_t sequence, enum fate fate)
{
    for (uint64_t i = first; i < sequence; i++) {
        world.fates[i] = SKIPPED;
    }
    world.fates[sequence] = (uint8_t)fate;
}

static uint64_t count_of(enum fate fate)
{
    uint64_t count = 0;
    for (uint32_t i = 1; i <= world.sent; i++) {
        count += world.fates[i] == fate ? 1 : 0;
    }
    return count;
}

/* A whole reply or refusal of message `sequence`, at most one beyond what was sent. */
static void whole(uint64_t sequence, enum fate fate)
{
    uint64_t expected = next();
    bool kept_open = false;
    if (sequence == 0) {
        sequence = expected;
    }
    for (uint32_t i = 0; i < world.account.gaps_count; i++) {
        kept_open |=
            sequence >= world.account.gaps[i].first && sequence <= world.account.gaps[i].last;
    }
    /* After an id that was damaged upwards. */
    bool id_falls = world.verifier.any_id && (int32_t)(world.id - world.verifier.last_id) <= 0;
    if (fate == ANSWERED) {
        make_reply(sequence);
    } else {
        make_refusal(sequence);
    }
    struct account_step step = take();
    if (sequence > world.sent) {
        FUZZ_CHECK(step.unasked);
    } else if (sequence >= expected && fate == ANSWERED && id_falls) {
        FUZZ_CHECK(step.wrong && !step.answered);
        pass(expected, sequence, SPOILT);
    } else if (sequence >= expected) {
        FUZZ_CHECK(!step.wrong && step.answered == (fate == ANSWERED));
        pass(expected, sequence, fate);
    } else if (kept_open) {
        FUZZ_CHECK(step.wrong && !step.unasked && step.settled == 0);
        FUZZ_CHECK(world.fates[sequence] == SKIPPED);
        world.fates[sequence] = (uint8_t)fate;
    } else {
        FUZZ_CHECK(step.wrong && !step.unasked && !step.answered && step.settled == 0);
    }
}

/* The expected reply with a bit that differs; of the id's it may be right all the same, as ids only
 * must rise. */
static void damaged(uint32_t bit)
{
    uint64_t expected = next();
    bool asked = world.outstanding > 0;
    uint32_t id_bits = 8 * (uint32_t)(body() - world.bytes);
    make_reply(expected);
    bit %= 8 * world.size;
    world.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    struct account_step step = take();
    if (!asked) {
        FUZZ_CHECK(step.unasked);
    } else if (bit < id_bits && step.answered) {
        pass(expected, expected, ANSWERED);
    } else {
        FUZZ_CHECK(step.wrong && !step.answered && !step.unasked && step.settled == 1);
        pass(expected, expected, SPOILT);
    }
}

/* Bytes of the input as a reply: with no mark that fits, they stand in the expected one's place. */
static void nonsense(struct fuzz_input *input)
{
    uint64_t expected = next();
    bool asked = world.outstanding > 0;
    world.size = fuzz_byte(input) % ROOM;
    for (uint32_t i = 0; i < world.size; i++) {
        world.bytes[i] = fuzz_byte(input);
    }
    struct account_step step = take();
    FUZZ_CHECK(!step.answered && step.unasked == !asked);
    if (asked) {
        pass(expected, expected, SPOILT);
    }
}

static void check_sums(void)
{
    const struct account *account = &world.account;
    uint64_t skipped = account->given_up.count;
    for (uint32_t i = 0; i < account->gaps_count; i++) {
        const struct account_range *gap = &account->gaps[i];
        skipped += gap->count;
        FUZZ_CHECK(gap->count == gap->last - gap->first + 1);
        FUZZ_CHECK(i == 0 || gap->first > account->gaps[i - 1].last);
    }
    FUZZ_CHECK(account->answered.count == count_of(ANSWERED));
    FUZZ_CHECK(account->refused[MARK_REFUSED_DAMAGED].count == count_of(REFUSED));
    FUZZ_CHECK(account->spoilt.count == count_of(SPOILT));
    FUZZ_CHECK(skipped == count_of(SKIPPED));
    FUZZ_CHECK(world.outstanding == count_of(PENDING));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .left = size};
    uint32_t sent = fuzz_byte(&input) % (MESSAGES_MAX + 1);
    if (size > INPUT_MAX) {
        return 0;
    }
    begin(sent, fuzz_byte(&input) % 2 == 0);
    while (input.left > 0 && !world.over) {
        uint8_t what = fuzz_byte(&input);
        uint64_t sequence = next();
        switch (what % 8) {
        case 0:
        case 1:
            whole(sequence, ANSWERED);
            break;
        case 2:
            whole(sequence + fuzz_byte(&input) % 4, ANSWERED);
            break;
        case 3:
            whole(fuzz_byte(&input) % (MESSAGES_MAX + 2), ANSWERED);
            break;
        case 4:
            whole(fuzz_byte(&input) % (MESSAGES_MAX + 2), REFUSED);
            break;
        case 5:
            damaged(fuzz_number(&input, 2));
            break;
        case 6:
            nonsense(&input);
            break;
        default:
            world.id += fuzz_byte(&input); /* other connections have theirs */
            break;
        }
        check_sums();
    }
    const struct account_end end = {
        .sent = sent, .unanswered = world.outstanding, .reason = 1, .closed = 1};
    account_close(&world.account, &world.verifier, &end);
    return 0;
}
