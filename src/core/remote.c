/* Requests from other threads: close, pause, resume, send by handle, and visits.
 *
 * A connection has one word that any thread may change: its generation while it is open, 0 while it
 * is not, and a bit for each thing asked for. Who sets the first bit also posts the connection's
 * own letter, so asking needs no memory, cannot fail, and is idempotent; a handle whose generation
 * is not the word's is stale, exactly, whatever happens at the same moment. The letter may be in
 * the mailbox longer than the connection lives; then it says nothing when it is read.
 *
 * A message sent by handle is framed by the sender into a block of the server's posts and lent to
 * the connection's chain; it goes back when it is sent or dropped. A visit has a letter for each
 * worker in one block; the worker that is last calls `done`.
 *
 * A post costs one compare and exchange, and a wake-up only when the worker sleeps. Workers look
 * into their mailbox once a turn.
 */
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

#define WORD_QUEUED     UINT64_C(1) /* the letter is in the mailbox */
#define WORD_CLOSE      UINT64_C(2)
#define WORD_PAUSE      UINT64_C(4)
#define WORD_RESUME     UINT64_C(8)
#define WORD_EXCEEDED   UINT64_C(16) /* a send was refused: an on_drained is owed */
#define WORD_ASKED      (WORD_CLOSE | WORD_PAUSE | WORD_RESUME | WORD_EXCEEDED)
#define WORD_GENERATION 32

/* A message from another thread, in front of its frame. */
struct sent {
    struct slab_ref ref;
    struct mail mail;
    struct berth_server *server;
    berth_handle conn;
    uint32_t frame_bytes;
    uint8_t frame[];
};

struct visit;

struct visit_letter {
    struct mail mail;
    struct visit *visit;
};

struct visit {
    struct berth_server *server;
    void (*each)(struct berth_conn *conn, void *context);
    void (*done)(void *context);
    void *context;
    _Atomic uint32_t left; /* workers that have not been visited */
    struct visit_letter letters[];
};

/* ---------------------------------------------------------------------------- a connection's word
 */

static void word_set(struct berth_conn *conn, uint32_t generation)
{
    uint64_t word = atomic_load(&conn->word);
    while (!atomic_compare_exchange_weak(
        &conn->word, &word, (uint64_t)generation << WORD_GENERATION | (word & WORD_QUEUED))) {
    }
}

void remote_open(struct berth_conn *conn)
{
    word_set(conn, conn->slot.generation);
}

/* It is told that there is room, or ends: it waits for posts no more. */
void remote_told(struct berth_conn *conn)
{
    if ((conn->flags & CF_WAITS_POST) != 0) {
        conn->flags &= ~CF_WAITS_POST;
        conn->worker->post_waiters--;
    }
}

void remote_close(struct berth_conn *conn)
{
    remote_told(conn);
    word_set(conn, 0);
}

static struct berth_conn *slot_of(struct berth_server *server, berth_handle handle)
{
    uint32_t slot;
    struct worker *worker = conn_worker_of_handle(server, handle, &slot);
    return worker == NULL ? NULL : &worker->conns[slot];
}

static bool is_of(uint64_t word, berth_handle handle)
{
    return (uint32_t)handle != 0 && (uint32_t)(word >> WORD_GENERATION) == (uint32_t)handle;
}

bool remote_is_live(const struct worker *worker, berth_handle handle)
{
    struct berth_conn *conn = slot_of(worker->server, handle);
    return conn != NULL && is_of(atomic_load(&conn->word), handle);
}

/* Sets what is asked for, in place of `instead`. */
static int ask(struct berth_server *server, berth_handle handle, uint64_t what, uint64_t instead)
{
    uint32_t slot;
    struct worker *worker = conn_worker_of_handle(server, handle, &slot);
    if (worker == NULL) {
        return BERTH_E_STALE;
    }
    struct berth_conn *conn = &worker->conns[slot];
    uint64_t word = atomic_load(&conn->word);
    do {
        if (!is_of(word, handle)) {
            return BERTH_E_STALE;
        }
    } while (
        !atomic_compare_exchange_weak(&conn->word, &word, (word & ~instead) | what | WORD_QUEUED));
    if ((word & WORD_QUEUED) == 0) {
        conn->mail.kind = MAIL_CONN;
        (void)worker_post(worker, &conn->mail); /* a worker that has ended needs no request */
    }
    return BERTH_OK;
}

int berth_handle_close(struct berth_server *server, berth_handle handle)
{
    return ask(server, handle, WORD_CLOSE, 0);
}

int berth_handle_pause(struct berth_server *server, berth_handle handle)
{
    return ask(server, handle, WORD_PAUSE, WORD_RESUME);
}

int berth_handle_resume(struct berth_server *server, berth_handle handle)
{
    return ask(server, handle, WORD_RESUME, WORD_PAUSE);
}

/* ----------------------------------------------------------------------------- pause and resume */

void berth_pause(struct berth_conn *conn)
{
    BERTH_ASSERT(worker_current() == conn->worker);
    if (conn->state == CONN_OPEN && (conn->flags & CF_STOP) == 0) { /* a stop resumes */
        if ((conn->flags & CF_PAUSED) == 0) {
            RECORD(conn->worker, conn, PAUSED, 0, BERTH_PAUSE_PROGRAM);
        }
        conn->flags |= CF_PAUSED;
        receive_update(conn);
    }
}

void berth_resume(struct berth_conn *conn)
{
    BERTH_ASSERT(worker_current() == conn->worker);
    if ((conn->flags & CF_PAUSED) != 0) {
        conn->flags &= ~CF_PAUSED;
        RECORD(conn->worker, conn, RESUMED, 0, BERTH_PAUSE_PROGRAM);
        conn_again(conn); /* what it holds is handed over in the next turn, not inside a callback */
    }
}

static void posts_drained(struct berth_conn *conn)
{
    conn->flags |= CF_EXCEEDED;
    send_drained(conn); /* at once unless something is queued; else when that is sent */
}

/* A send was refused for want of posts: on_drained follows when there is room again. */
static void wait_for_posts(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    struct post *post = &worker->server->post;
    if ((conn->flags & CF_WAITS_POST) != 0) {
        return;
    }
    if (worker->post_waiters == 0) { /* before `full` is looked at: a later round is seen */
        worker->post_rounds = atomic_load(&post->rounds);
    }
    if (atomic_load(&post->full)) {
        conn->flags |= CF_WAITS_POST;
        worker->post_waiters++;
    } else {
        posts_drained(conn);
    }
}

/* Once a turn: tells those that wait for posts when there is room. O(connections) then. */
void remote_post_room(struct worker *worker)
{
    uint32_t rounds = atomic_load(&worker->server->post.rounds);
    if (BERTH_LIKELY(worker->post_waiters == 0 || rounds == worker->post_rounds)) {
        return;
    }
    worker->post_rounds = rounds;
    for (uint32_t slot = 0; worker->post_waiters > 0; slot++) {
        BERTH_ASSERT(slot < worker->slots_high);
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state != CONN_FREE && (conn->flags & CF_WAITS_POST) != 0) {
            remote_told(conn);
            posts_drained(conn);
        }
    }
}

static void requests_arrived(struct worker *worker, struct berth_conn *conn)
{
    uint64_t word = atomic_fetch_and(&conn->word, ~(WORD_QUEUED | WORD_ASKED));
    if ((word & WORD_ASKED) == 0) {
        return; /* of a connection that has ended meanwhile */
    }
    BERTH_ASSERT(conn->worker == worker && conn->state >= CONN_OPEN);
    if ((word & WORD_PAUSE) != 0) {
        berth_pause(conn);
    }
    if ((word & WORD_RESUME) != 0) {
        berth_resume(conn);
    }
    if ((word & WORD_EXCEEDED) != 0) {
        wait_for_posts(conn);
    }
    if ((word & WORD_CLOSE) != 0) {
        berth_close(conn);
    }
}

/* ---------------------------------------------------------------------------------------- sending
 */

static void sent_give(struct slab_ref *ref)
{
    struct sent *sent = LIST_ENTRY(ref, struct sent, ref);
    post_give(&sent->server->post, sent);
}

/* Bytes of the frame of a message of `size` bytes, with its header written to `header`. */
static int frame_of(const struct berth_framing *framing, const void *data, size_t size,
                    uint8_t *header, uint32_t *header_bytes, uint32_t *trailer_bytes)
{
    int result = berth_frame_message_check(framing, data, (uint32_t)size);
    if (result == BERTH_OK) {
        result = berth_frame_header(framing, (uint32_t)size, header);
    }
    if (result < 0) {
        return result;
    }
    *header_bytes = (uint32_t)result;
    *trailer_bytes = framing->kind == BERTH_FRAMING_DELIMITER ? framing->delimiter_bytes : 0;
    return *header_bytes + size + *trailer_bytes == 0 ? BERTH_E_FRAME : BERTH_OK;
}

int berth_handle_send(struct berth_server *server, berth_handle handle, const void *data,
                      size_t size)
{
    const struct berth_conn *conn = slot_of(server, handle);
    const struct speaker *speaker = conn == NULL ? NULL : atomic_load(&conn->speaker);
    if (conn == NULL || !is_of(atomic_load(&conn->word), handle)) {
        return BERTH_E_STALE;
    }
    if (size > server->post.piece_most || size > server->config.send_max_bytes) {
        return BERTH_E_TOO_LARGE;
    }
    const struct berth_framing *framing = &speaker->protocol.framing;
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    uint32_t header_bytes;
    uint32_t trailer_bytes;
    int result = frame_of(framing, data, size, header, &header_bytes, &trailer_bytes);
    if (result != BERTH_OK) {
        return result;
    }
    size_t bytes = header_bytes + size + trailer_bytes;
    if (sizeof(struct sent) + bytes > server->post.piece_most ||
        bytes > server->config.send_max_bytes) {
        return BERTH_E_TOO_LARGE;
    }
    struct sent *sent = post_take(&server->post, sizeof *sent + bytes);
    if (sent == NULL) {
        result = ask(server, handle, WORD_EXCEEDED, 0);
        return result == BERTH_OK ? BERTH_E_WOULD_EXCEED : result;
    }
    *sent = (struct sent){.server = server, .conn = handle, .frame_bytes = (uint32_t)bytes};
    sent->mail.kind = MAIL_SEND;
    memcpy(sent->frame, header, header_bytes);
    if (size > 0) {
        memcpy(sent->frame + header_bytes, data, size);
    }
    memcpy(sent->frame + header_bytes + size, framing->delimiter, trailer_bytes);
    uint32_t slot;
    if (!worker_post(conn_worker_of_handle(server, handle, &slot), &sent->mail)) {
        post_give(&server->post, sent);
        return BERTH_E_STALE;
    }
    return BERTH_OK;
}

static void send_arrived(struct worker *worker, struct mail *mail)
{
    struct sent *sent = LIST_ENTRY(mail, struct sent, mail);
    struct berth_conn *conn = conn_of_handle(worker, sent->conn);
    if (conn == NULL || conn->state != CONN_OPEN || (conn->flags & CF_CLOSE) != 0) {
        STAT_ADD(worker, sends_dropped, 1);
        post_give(&worker->server->post, sent);
        return;
    }
    worker->messages_out++;
    chain_refer(&conn->out, &worker->pool, &sent->ref, sent->frame, sent->frame_bytes, sent_give);
    WATCH(worker, conn, QUEUED, 1, sent->frame_bytes);
    attend(conn);
}

/* ---------------------------------------------------------------------------------------- visits
 */

static void visit_over(struct visit *visit, uint32_t workers)
{
    if (atomic_fetch_sub(&visit->left, workers) > workers) {
        return;
    }
    if (visit->done != NULL) {
        visit->done(visit->context);
    }
    post_give(&visit->server->post, visit);
}

int berth_visit(struct berth_server *server, void (*each)(struct berth_conn *conn, void *context),
                void (*done)(void *context), void *context)
{
    uint32_t workers = server->config.workers;
    size_t bytes = sizeof(struct visit) + workers * sizeof(struct visit_letter);
    struct visit *visit = post_take(&server->post, bytes);
    if (visit == NULL) {
        return BERTH_E_WOULD_EXCEED;
    }
    visit->server = server;
    visit->each = each;
    visit->done = done;
    visit->context = context;
    atomic_init(&visit->left, workers);
    uint32_t ended = 0;
    for (uint32_t i = 0; i < workers; i++) {
        struct visit_letter *letter = &visit->letters[i];
        *letter = (struct visit_letter){.mail.kind = MAIL_VISIT, .visit = visit};
        ended += worker_post(&server->workers[i], &letter->mail) ? 0 : 1;
    }
    if (ended == workers) { /* nobody is there, and `done` may well visit again */
        post_give(&server->post, visit);
        return BERTH_E_STATE;
    }
    if (ended > 0) {
        visit_over(visit, ended);
    }
    return BERTH_OK;
}

static void visit_arrived(struct worker *worker, struct mail *mail)
{
    struct visit *visit = LIST_ENTRY(mail, struct visit_letter, mail)->visit;
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state >= CONN_OPEN) {
            visit->each(conn, visit->context);
        }
    }
    visit_over(visit, 1);
}

/* ---------------------------------------------------------------------------------- the mailbox */

static void mail_arrived(struct worker *worker, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_CONN:
        requests_arrived(worker, LIST_ENTRY(mail, struct berth_conn, mail));
        return;
    case MAIL_KEPT:
        keep_arrived(worker, mail);
        return;
    case MAIL_SEND:
        send_arrived(worker, mail);
        return;
    case MAIL_VISIT:
        visit_arrived(worker, mail);
        return;
    case MAIL_SHARE:
        deliver_mail(worker, mail);
        return;
    }
    BERTH_UNREACHABLE();
}

/* Acts on letters, oldest first. */
void remote_mail(struct worker *worker, struct mail *first)
{
    struct mail *next;
    for (struct mail *mail = first; mail != NULL; mail = next) {
        next = mail->next; /* acting on a letter may free it or post it again */
        mail_arrived(worker, mail);
    }
}

/* The worker ends, with no connection left: nothing more is taken, and what is there is acted on
 * as it would be for connections that have ended. */
void remote_end(struct worker *worker)
{
    remote_mail(worker, mailbox_close(&worker->mailbox));
}
