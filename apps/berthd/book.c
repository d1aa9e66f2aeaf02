/* The ledger of a server. It stands between the library and the handler: each message's mark is
 * read, and only what holds for every bit of it goes on; a damaged one, or another connection's, is
 * refused in its place (PROTOCOL.md 10). A message without a mark, on a connection that has had
 * none, is not looked at further, and such a connection is counted in one sum with all its like.
 *
 * What a connection did lies in its space, behind the session (account.c), and goes to the file
 * when it has ended; sums are each worker's own. Which bytes the system took the library tells
 * (BERTH_EVENT_SENT), and which kept messages were answered while their connection lived
 * (BERTH_EVENT_ANSWERED). A batch costs a few calls of on_event, a message a CRC.
 *
 * The book owns the file and the sums. */
#include "book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "account.h"
#include "log.h"
#include "serving.h"
#include "settings.h"
#include "watch.h"

#define CACHE_LINE 64

struct book_worker {
    _Alignas(CACHE_LINE) struct account_sums marked;
    struct account_sums plain; /* connections without marks */
};

struct book {
    struct ledger *ledger;
    const struct options *options;
    void (*answer)(struct berth_conn *conn, const struct berth_message *messages, size_t count);
    uint32_t workers_count;
    struct book_worker *workers;
};

size_t book_space_bytes(void)
{
    return sizeof(struct account);
}

static struct account *account_of(struct berth_conn *conn)
{
    return (struct account *)(void *)(session_of(conn) + 1);
}

/* ---- the file ---- */

static void say_all(struct ledger_text *text, const struct options *options)
{
    ledger_say(text, "program berthd\nversion " BERTH_VERSION "\n");
    ledger_say(text, "process %ld\nstarted %lld\n", (long)getpid(), (long long)time(NULL));
    for (size_t i = 0; i < settings_count; i++) {
        ledger_say(text, "setting %s %s\n", settings[i].name, options->given[i].text);
    }
    for (uint32_t i = 1; i < ACCOUNT_REASONS_END; i++) {
        if (i <= BERTH_REASON_SLOW || i >= ACCOUNT_DAMAGED) {
            ledger_say(text, "reason %u %s\n", i, account_reason_text(i));
        }
    }
}

struct book *book_open(const struct options *options, const struct berth_server *server)
{
    static struct ledger_text text; /* too large for comfort on a stack */
    char why[LEDGER_WHY_BYTES] = "there is no memory";
    struct berth_plan plan;
    struct book *book = calloc(1, sizeof *book);
    berth_plan(server, 0, &plan);
    if (book != NULL) {
        book->options = options;
        book->workers_count = plan.workers;
        book->workers = aligned_alloc(CACHE_LINE, plan.workers * sizeof *book->workers);
    }
    if (book != NULL && book->workers != NULL) {
        memset(book->workers, 0, plan.workers * sizeof *book->workers);
        say_all(&text, options);
        book->ledger = ledger_open(options->ledger, &text, why);
    }
    if (book != NULL && book->ledger != NULL) {
        return book;
    }
    fprintf(stderr, "berthd: --ledger: %s\n", why);
    free(book != NULL ? book->workers : NULL);
    free(book);
    return NULL;
}

static void put_plain(struct ledger_page *page, const struct account_sums *plain)
{
    if (plain->connections > 0) {
        struct ledger_record *record = ledger_line(page, LEDGER_PLAIN | LEDGER_TOTAL, 0);
        record->first = plain->connections;
        record->last = plain->made.count + plain->refusals.count;
        record->count = plain->received.count;
        record->bytes = plain->out.wire + plain->refusals_out.wire;
        record->wire = plain->received.wire;
        for (unsigned i = 0; i < ACCOUNT_REASONS_END; i++) {
            record->bytes += plain->dropped[i].bytes;
        }
    }
}

static void put_library(struct ledger_page *page, const struct berth_server *server)
{
    struct berth_stats stats;
    berth_server_stats(server, &stats);
    const struct {
        enum ledger_library which;
        uint64_t count;
    } counters[] = {
        {LEDGER_MESSAGES_IN, stats.messages_in}, {LEDGER_MESSAGES_OUT, stats.messages_out},
        {LEDGER_BYTES_IN, stats.bytes_in},       {LEDGER_BYTES_OUT, stats.bytes_out},
        {LEDGER_ACCEPTED, stats.accepted},       {LEDGER_CLOSED, stats.closed},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        ledger_line(page, LEDGER_LIBRARY | LEDGER_TOTAL, counters[i].which)->count =
            counters[i].count;
    }
}

bool book_close(struct book *book, const struct berth_server *server, bool served)
{
    char why[LEDGER_WHY_BYTES];
    struct ledger_page page = {.count = 0};
    struct account_sums marked = {0};
    struct account_sums plain = {0};
    if (book == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < book->workers_count; i++) {
        account_sums_merge(&marked, &book->workers[i].marked);
        account_sums_merge(&plain, &book->workers[i].plain);
    }
    account_sums_lines(&marked, &page);
    put_plain(&page, &plain);
    put_library(&page, server);
    bool whole = ledger_close(book->ledger, served ? &page : NULL, why);
    if (!whole) {
        fprintf(stderr, "berthd: --ledger: %s\n", why);
    }
    free(book->workers);
    free(book);
    return whole;
}

/* ---- one connection ---- */

static struct ledger_record key_of(struct berth_conn *conn)
{
    const struct account *account = account_of(conn);
    return (struct ledger_record){
        .worker = (uint16_t)berth_conn_worker(conn),
        .client = account->client,
        .connection = account->connection,
        .life = (uint32_t)session_of(conn)->id,
    };
}

static void except(const struct book *book, struct berth_conn *conn,
                   const struct account_look *look, uint32_t size)
{
    struct account *account = account_of(conn);
    unsigned at = (unsigned)look->exception - LEDGER_EXCEPTIONS_FIRST;
    account->exceptions[at]++;
    if (account->singles[at] < LEDGER_SINGLES_MOST) {
        struct ledger_record record = key_of(conn);
        record.kind = (uint8_t)look->exception;
        record.reason = (uint8_t)look->reject;
        record.first = look->sequence;
        record.last = look->expected;
        record.count = 1;
        record.bytes = size;
        account->singles[at]++;
        ledger_put(book->ledger, &record, 1);
    }
}

static uint32_t frame_bytes(const struct book *book, size_t size)
{
    const struct berth_framing *framing = &book->options->framing;
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int header_bytes = framing->kind == BERTH_FRAMING_LENGTH
                           ? framing->length_offset + framing->length_bytes
                           : berth_frame_header(framing, (uint32_t)size, header);
    return (uint32_t)size + (header_bytes > 0 ? (uint32_t)header_bytes : 0) +
           framing->delimiter_bytes;
}

void book_reply(struct berth_conn *conn, size_t size, uint32_t id, bool made)
{
    const struct serving *serving = berth_conn_context(conn);
    account_reply(account_of(conn), frame_bytes(serving->book, size), id, made);
}

void book_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    if (conn != NULL) {
        switch (record->event) {
        case BERTH_EVENT_SENT:
            account_sent(account_of(conn), record->value);
            break;
        case BERTH_EVENT_ANSWERED:
            account_answered(account_of(conn), record->count, record->value);
            break;
        case BERTH_EVENT_RELEASED:
            account_released(account_of(conn), record->count);
            break;
        default:
            break;
        }
    }
    watch_event(context, conn, record);
}

void book_closed(struct book *book, struct berth_conn *conn, enum berth_reason reason)
{
    struct account *account = account_of(conn);
    struct book_worker *worker = &book->workers[berth_conn_worker(conn)];
    const bool marked = account_is_marked(account);
    if (marked) {
        const struct session *session = session_of(conn);
        struct ledger_page page = {.key = key_of(conn), .count = 0};
        struct ledger_record *connection = ledger_line(&page, LEDGER_CONNECTION, reason);
        connection->first = account->run;
        connection->last = session->opened_ns;
        connection->count = berth_conn_now_ns(conn);
        connection->bytes = session->id;
        account_lines(account, reason, &page);
        connection->wire = page.count - 1;
        ledger_put(book->ledger, page.records, page.count);
    }
    account_add(marked ? &worker->marked : &worker->plain, account, reason);
    account_fini(account);
}

/* ---- messages ---- */

/* In the place of a reply, if each message is to have one. */
static void refuse(struct serving *serving, struct berth_conn *conn,
                   const struct berth_message *message, const struct account_look *look)
{
    const struct book *book = serving->book;
    struct account *account = account_of(conn);
    const struct berth_framing *framing = &book->options->framing;
    const struct mark mark = {
        .run = account->run,
        .sequence = look->reject == ACCOUNT_DAMAGED && account->next > 0 ? account->next - 1 : 0,
        .client = account->client,
        .connection = account->connection,
        .length = framing->kind == BERTH_FRAMING_FIXED ? framing->message_bytes_max
                                                       : (uint32_t)MARK_BYTES,
        .refusal = look->reject == ACCOUNT_DAMAGED ? MARK_REFUSED_DAMAGED : MARK_REFUSED_FOREIGN,
    };
    const size_t id_bytes = serving->carries_id ? TRANSMISSION_ID_BYTES : 0;
    int err;
    if (serving->reply_every != 1) {
        return;
    }
    uint8_t *space = berth_reply_space(conn, message, id_bytes + mark.length, &err);
    if (space == NULL) {
        log_reply_failed(conn, err);
        berth_close(conn);
        return;
    }
    memset(space, 0, id_bytes + mark.length);
    mark_write(&mark, serving_write_id(serving, serving_take_id(serving), space));
    account_refuse(account, frame_bytes(book, id_bytes + mark.length));
}

/* To the handler, those that are right. */
static void dispatch(const struct serving *serving, struct berth_conn *conn,
                     const struct berth_message *messages, size_t count)
{
    const struct book *book = serving->book;
    struct account *account = account_of(conn);
    size_t asked = serving_unanswered(serving, session_of(conn));
    for (size_t i = 0; i < count; i++) {
        account_dispatch(account, &messages[i], book->options->framing.delimiter_bytes, i == asked);
        asked += i == asked ? serving->reply_every : 0;
    }
    if (count > 0) {
        book->answer(conn, messages, count);
    }
}

static void take_messages(struct berth_conn *conn, const struct berth_message *messages,
                          size_t count)
{
    struct serving *serving = berth_conn_context(conn);
    const struct book *book = serving->book;
    struct account *account = account_of(conn);
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        struct account_look look =
            account_receive(account, &messages[i], book->options->framing.delimiter_bytes);
        if (look.exception != 0) {
            except(book, conn, &look, messages[i].size);
        }
        if (look.reject != 0) {
            dispatch(serving, conn, messages + from, i - from);
            refuse(serving, conn, &messages[i], &look);
            from = i + 1;
        }
    }
    dispatch(serving, conn, messages + from, count - from);
}

void book_stand_between(struct book *book, struct berth_protocol *protocol)
{
    book->answer = protocol->on_messages;
    protocol->on_messages = take_messages;
}
