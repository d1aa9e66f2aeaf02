/* Berth: servers (and clients) that speak a framed protocol over TCP.
 *
 * This header reads from top to bottom like a guide. The shortest server is examples/echo.c.
 *
 *   1  the laws            what you can rely on, and what is asked of you
 *   2  protocol            your framing and your callbacks
 *   3  configuration       limits and sizes, each with a safe default
 *   4  a server's life     create, listen or connect, start, stop, wait, destroy
 *   5  inside a callback   reply, send, close, and what a connection knows about itself
 *   6  beyond a callback   keep a message and answer it later, from any thread
 *   7  from any thread     close, pause, send to and visit connections
 *   8  one to many         named groups, and everybody
 *   9  watching            the memory plan, the counters, events and the flight recorder
 *
 * THE LAWS
 *
 *  1  A worker is one thread; its callbacks never overlap. A connection lives on one worker for
 *     life.
 *  2  on_open first, on_close(reason) last, each exactly once, nothing after. A reason is an enum
 *     with a name.
 *  3  A message is borrowed: its bytes are yours to read until the callback that got it returns,
 *     unless it is kept; then until it is replied to or released, once, from any thread.
 *  4  A send keeps order, copies, and returns BERTH_E_WOULD_EXCEED rather than queue past the
 *     limit; on_drained follows every BERTH_E_WOULD_EXCEED. Every message ends exactly once: by a
 *     reply, or done without one. Replies leave in the order of their messages, however late and on
 *     whatever thread they are made: early ones wait in a window, and a full window pauses
 *     reading. Sends that answer nothing do not wait for it.
 *  5  Close is allowed anywhere, also inside any callback; it is idempotent and asynchronous.
 *     Half-close, drain and close wait until no message is unanswered and the queue is out, or
 *     until their deadline; the peer's half-close and a stop also until no on_drained is owed.
 *  6  A handle may be used on any thread while the server object lives: a stale one gives an error
 *     value, never undefined behaviour. To release or answer a kept message, and to close, cannot
 *     fail for lack of anything; only new payloads can (BERTH_E_WOULD_EXCEED). In a child of fork
 *     every handle is stale: workers stay with their process, and descriptors close on exec.
 *  7  Every wait has a deadline and every buffer a limit; both are in the configuration, with
 *     units in their names. A worker that was held up looks at what has come before it ends
 *     anybody for being late.
 *  8  A declared length never allocates: storage grows with the bytes that arrive, inside a byte
 *     budget.
 *  9  The library installs no signal handlers, writes no files, prints nothing and reads no
 *     environment. (A failed assertion prints one line, and aborts.)
 * 10  Nothing is allocated on the data path after start: pools only, sized by the configuration,
 *     shown as a memory plan.
 *
 * WORDS. A parameter is *borrowed* (used during the call only), *taken* (the callee's from then on,
 * even on error) or *lent* (used until a moment that is named). Threads: "worker" means inside a
 * callback of the connection's own worker; "any" means any thread; "owner" means the thread that
 * prepares the server, before berth_server_start and after berth_server_wait.
 */
#ifndef BERTH_BERTH_H
#define BERTH_BERTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/address.h>
#include <berth/error.h>
#include <berth/event.h>
#include <berth/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

struct berth_server;
struct berth_conn; /* an open connection; a pointer to one is valid from on_open to on_close */

/* ======================================================================================= protocol
 *
 * A protocol is a framing (berth/frame.h) and up to five callbacks; those you leave NULL are not
 * called. The struct is lent to berth_listen or berth_connect until the server is destroyed.
 */

/* Why a connection ended: on_close's second argument. */
#define BERTH_REASONS(X)                                                                           \
    X(BERTH_REASON_PEER, 1, "the peer ended the stream")                                           \
    X(BERTH_REASON_TRUNCATED, 2, "the peer ended the stream inside a message")                     \
    X(BERTH_REASON_RESET, 3, "the peer reset the connection")                                      \
    X(BERTH_REASON_REFUSED, 4, "the peer sent bytes that are no frame")                            \
    X(BERTH_REASON_LOCAL, 5, "closed by the program")                                              \
    X(BERTH_REASON_STOP, 6, "the server stopped")                                                  \
    X(BERTH_REASON_DEADLINE, 7, "a deadline passed while the connection was closing")              \
    X(BERTH_REASON_MEMORY, 8, "no memory was left for a message in parts")                         \
    X(BERTH_REASON_SYSTEM, 9, "the system reported an error")                                      \
    X(BERTH_REASON_FIRST_MESSAGE, 10, "no whole message came in time after it was accepted")       \
    X(BERTH_REASON_MESSAGE_SLOW, 11, "a message took too long from its first byte to its last")    \
    X(BERTH_REASON_RECEIVE_IDLE, 12, "nothing was received for too long")                          \
    X(BERTH_REASON_SEND_IDLE, 13, "nothing was sent for too long")                                 \
    X(BERTH_REASON_SEND_STALLED, 14,                                                               \
      "the peer took nothing of what waits to be sent for too long")                               \
    X(BERTH_REASON_SLOW, 15, "it read too slowly for what its group was sent")

enum berth_reason {
#define BERTH_REASON_ENUM(name, value, text) name = (value),
    BERTH_REASONS(BERTH_REASON_ENUM)
#undef BERTH_REASON_ENUM
};

/* The text of a reason. Static memory. Any thread. */
const char *berth_reason_text(enum berth_reason reason);

struct berth_protocol {
    struct berth_framing framing;
    void *context; /* yours; berth_conn_context gives it back */

    /* A connection is there: accepted, or connected. */
    void (*on_open)(struct berth_conn *conn);

    /* One or more whole messages came, in order. They are borrowed until this returns. A message
     * that is neither answered nor kept by then is done without a reply. */
    void (*on_messages)(struct berth_conn *conn, const struct berth_message *messages,
                        size_t count);

    /* The same one at a time, for programs that prefer it: called for each message of a batch.
     * Set one of the two. */
    void (*on_message)(struct berth_conn *conn, const struct berth_message *message);

    /* After a BERTH_E_WOULD_EXCEED: the queue is below send_low_bytes again. */
    void (*on_drained)(struct berth_conn *conn);

    /* The connection has ended. Everything in conn may be read for the last time here. */
    void (*on_close)(struct berth_conn *conn, enum berth_reason reason);

    /* An outgoing connection could not be made, after all its attempts: no on_open came and no
     * on_close will. `user` is from berth_connect_options; system is the last errno. */
    void (*on_connect_failed)(struct berth_server *server, void *user, int system,
                              uint32_t attempts);
};

/* =================================================================================== configuration
 *
 * Fill a struct with berth_config_init, then change what you know better. Every size is in bytes,
 * every time in milliseconds.
 */

enum berth_backend {
    BERTH_BACKEND_AUTO = 0, /* io_uring where this kernel passes a self-test, otherwise epoll */
    BERTH_BACKEND_URING = 1,
    BERTH_BACKEND_EPOLL = 2,
};

struct berth_config {
    size_t struct_bytes; /* set by berth_config_init; lets the struct grow in later versions */

    enum berth_backend backend;

    /* Threads, 1 to 1023. 0 (default): one for each CPU that the process may run on. */
    uint32_t workers;

    /* Accepted connections served at once, over all workers, 1 to 4,000,000; default 1,000. The
     * next one waits in the listening socket's queue until one leaves. */
    uint32_t connections_max;

    /* Of these, the most on one worker, so that no worker gets more than a descriptor table holds.
     * The others take them. 0 (default): connections_max. */
    uint32_t worker_connections_max;

    /* Outgoing connections at once, over all workers; default 0. */
    uint32_t connects_max;

    /* Each worker has a table of descriptors of its own (unshare(2) with CLONE_FILES), a copy of
     * the process's at start: then RLIMIT_NOFILE is the limit of each worker and not of all
     * together. The price: descriptors that the program opens or closes after start are not opened
     * or closed in callbacks, nor those of callbacks elsewhere, and a callback may not call
     * functions of another server (asserted where it would have to wake one). Default false. */
    bool worker_descriptors;

    /* The most bytes of one receive operation, 1 to 1 MiB; default 270,336. Small messages do not
     * mind a large one: many fit. */
    uint32_t receive_bytes;

    /* Receive buffers per worker, shared by its connections (an idle connection holds none):
     * a power of two, 2 to 32,768; default 16. Few and warm beats many. At most half of them are
     * sent from at once (BERTH_IN_PLACE_BYTES). */
    uint32_t receive_buffers;

    /* The most bytes of one send operation, 1 to 1 GiB; default 256 KiB. */
    uint32_t send_bytes;

    /* While more than send_high_bytes wait to be sent on a connection, its messages are not handed
     * over, and soon it is not read; below send_low_bytes it goes on. Default 256 KiB and 64 KiB.
     * Where both ends hold back so, they can wait for each other: a client that keeps much on its
     * way sets this above what it keeps. */
    uint32_t send_high_bytes;
    uint32_t send_low_bytes;

    /* What may wait on one connection; beyond it a send returns BERTH_E_WOULD_EXCEED. Must exceed
     * send_high_bytes by the replies to one turn's messages; default 4 MiB. */
    uint32_t send_max_bytes;

    /* What the system itself holds for one connection (SO_SNDBUF, SO_RCVBUF): bytes that were sent
     * and that the peer has not taken, and bytes that came and were not read. It fills before
     * anything is queued here, and does not show in the program's memory. 0 (default): sizes that
     * grow with use, on most systems to 4 MiB and 6 MiB, so a thousand peers that ask and never
     * read hold gigabytes. Otherwise up to 1 GiB, clipped to net.core.wmem_max and rmem_max (208
     * KiB on most) and then doubled by the system for its own books. Small ones slow down long
     * lines. */
    uint32_t system_send_bytes;
    uint32_t system_receive_bytes;

    /* Memory per worker for queued replies and for messages that came in parts. Reserved, not
     * touched, until needed. 0 (default): from the other settings; see berth_plan. */
    uint64_t pool_bytes;

    /* The most of one connection's input worked on before the others get their turn: bytes, and
     * messages; default 256 KiB and 4,096. */
    uint32_t turn_bytes;
    uint32_t turn_messages;

    /* Deadlines of open connections, in milliseconds up to a day; 0: none. A connection that misses
     * one is closed, for a reason of its own: what is queued is still sent, and the peer's end
     * awaited, within linger_timeout_ms. Only where the peer takes nothing (send_progress) it is
     * reset. None ends a connection early; it may be late by half a percent, and by as long as the
     * worker is busy. The time in which it is the server that does not read (its queue or window is
     * full, its buffers are short, the program paused it) does not count for the first three. */

    /* Accepted connections: from on_open to the end of the first message. A client connects because
     * it has something to say; one that says nothing holds a place that others wait for. Default
     * 30,000: time for three lost packets and for somebody who types. 0 where clients only listen.
     */
    uint32_t first_message_timeout_ms;

    /* From the first byte of a message to its last, however steadily bytes trickle in; each message
     * anew. Default 30,000: the largest default message, 1 MiB, takes that long at 35 KB/s. Raise
     * it for large messages over bad lines. */
    uint32_t message_timeout_ms;

    /* Nothing was received, accepted and outgoing connections alike, whatever is sent meanwhile: a
     * peer whose cable was pulled ends here even while the program keeps sending to it. While a
     * message that was kept is unanswered it does not count, and begins anew with the answer.
     * Default 600,000: longer than people pause, shorter than a dead peer may hold a place. Peers
     * that are silent for longer send something now and then, or this is 0. */
    uint32_t receive_idle_timeout_ms;

    /* Nothing was sent. Default 0: many good connections never get an answer (telemetry, one-way
     * feeds), and a peer that is gone is found by the others. For programs that promise a sign of
     * life: it ends connections on which they broke the promise. */
    uint32_t send_idle_timeout_ms;

    /* Bytes wait to be sent and the peer's system takes none of them, be it that they are queued
     * here or that it does not acknowledge what was sent: a peer that vanished is found by this (by
     * the system, when it sends again: usually within a second more).
     * Default 30,000: a reader that stands still for so long costs queue memory, and rarely comes
     * back. */
    uint32_t send_progress_timeout_ms;

    /* While a connection closes, the peer has this long to take some of what is queued (each time
     * it does, it has as long again), and then as long to end its side, so that nothing it still
     * sends turns the close into a reset that destroys the last reply; default 2,000. */
    uint32_t linger_timeout_ms;

    /* berth_server_stop: after this long, what is still open is cut; default 5,000. */
    uint32_t stop_timeout_ms;

    /* When the system is out of descriptors or memory, accepting pauses this long or until a
     * connection ends; default 50. */
    uint32_t accept_pause_ms;

    /* Of one connection, how many messages from the first unanswered one on may be on their way, 1
     * to 65,535 (soft by none: no more are handed over), and how many bytes of memory those that
     * are kept and the replies behind them may hold (soft by one batch); then it is not read.
     * All connections of a worker together keep at most a quarter of its pool. Default 256 and 1
     * MiB. */
    uint32_t window_messages;
    uint32_t window_bytes;

    /* Memory for all that other threads send, 64 KiB to 1 GiB; default 16 MiB. Reserved, not
     * touched, until needed. */
    uint64_t post_bytes;

    /* Bytes of the program's own for each connection, at most 1 MiB: berth_conn_space. Default
     * 0. */
    uint32_t conn_space_bytes;

    /* Events worth a line in a log: which backend and why, a clipped backlog, a pause for lack of
     * descriptors. At most a few a second. Called on any worker, and on the owner's thread; the
     * text is borrowed and has no newline. */
    void (*on_log)(void *context, const char *text);
    void *log_context;

    /* Records that a worker's flight recorder holds (section 8), 32 bytes each: a power of two, 16
     * to 1,048,576; default 4,096. */
    uint32_t recorder_records;

    /* Called for each event that is watched (section 8; none until berth_server_watch), on the
     * worker's thread, in the order of the events. conn is NULL when the event is the worker's own;
     * it may be asked, and its user pointer and space written, but nothing may be sent on it or
     * closed from here. Before its ACCEPTED or CONNECTED it has no address and no space yet.
     * Borrows record. */
    void (*on_event)(void *context, struct berth_conn *conn, const struct berth_record *record);
    void *event_context;
};

/* Fills in the defaults. Any thread. */
void berth_config_init(struct berth_config *config);

/* ================================================================================= a server's life
 *
 * Owner's thread, in this order: create, listen and connect as often as needed, start; then stop
 * (from anywhere), wait, destroy. One program may have any number of servers.
 */

/* Checks the configuration, chooses the backend and reserves the memory. Borrows config.
 * BERTH_E_INVALID (error->setting is the field's name), BERTH_E_MEMORY, BERTH_E_UNSUPPORTED (the
 * backend asked for does not work here), BERTH_E_SYSTEM. *out is set only on success. */
int berth_server_create(struct berth_server **out, const struct berth_config *config,
                        struct berth_error *error);

struct berth_listen_options {
    struct berth_address address;          /* port 0: any free port; BERTH_ANY: both families */
    const struct berth_protocol *protocol; /* lent until destroy */
    int backlog; /* connections that may wait to be accepted; 0 is 4,096. The system may clip it */
};

/* Opens a listening socket; clients can queue from here on and are served after start. Before
 * start only; at most 64 per server. The socket is shared by all workers. On success *bound (may
 * be NULL) is the real address. BERTH_E_INVALID, BERTH_E_SYSTEM, BERTH_E_MEMORY, BERTH_E_STATE. */
int berth_listen(struct berth_server *server, const struct berth_listen_options *options,
                 struct berth_address *bound, struct berth_error *error);

struct berth_connect_options {
    struct berth_address address;          /* where to */
    struct berth_address local;            /* where from; BERTH_FAMILY_NONE: the system chooses */
    const struct berth_protocol *protocol; /* lent until destroy */
    void *user;                            /* yours; berth_conn_user gives it back */
    uint32_t worker;                       /* which worker; taken modulo their number */
    uint32_t delay_ms;                     /* wait this long before the first attempt */
    uint32_t timeout_ms;                   /* the most for one attempt; 0 is 10,000 */
    uint32_t attempts;                     /* in all; 0 is 1 */
    uint32_t retry_ms;     /* wait before the second attempt, doubled for each that follows, with
                              up to half of it taken off at random; 0 is 10 */
    uint32_t retry_max_ms; /* the most that doubling comes to; 0 is 1,000 */
};

/* Makes an outgoing connection, with retries. It ends in on_open, or in on_connect_failed. Before
 * start (owner's thread), or on a worker, for itself (options->worker is then ignored).
 * A server that never starts makes none, and calls nothing back. Borrows options.
 * BERTH_E_INVALID, BERTH_E_FULL (connects_max), BERTH_E_MEMORY, BERTH_E_STATE (stopping). */
int berth_connect(struct berth_server *server, const struct berth_connect_options *options);

/* Starts the workers. Returns when all of them serve. BERTH_E_SYSTEM, BERTH_E_MEMORY; then none
 * runs, and the server can only be destroyed. */
int berth_server_start(struct berth_server *server, struct berth_error *error);

/* Begins an orderly end: stop accepting, serve what already waits in the queue, answer what was
 * received, send it, close; within stop_timeout_ms. A second call cuts at once. Any thread;
 * async-signal-safe. */
void berth_server_stop(struct berth_server *server);

/* Waits until every worker has ended, which is after berth_server_stop. With timeout_ms below 0 it
 * waits for ever. true if they have ended. Owner's thread. */
bool berth_server_wait(struct berth_server *server, int64_t timeout_ms);

/* Frees everything. The server must not be running. NULL is allowed. Owner's thread. */
void berth_server_destroy(struct berth_server *server);

/* =============================================================================== inside a callback
 *
 * All on the connection's worker.
 */

/* Answers a message with `size` bytes, framed with the connection's framing; copies. Messages of a
 * batch are answered in order: an answer ends every message before it without a reply, and a
 * message that has ended cannot be answered.
 * BERTH_E_CLOSED, BERTH_E_STATE (already ended), BERTH_E_TOO_LARGE, BERTH_E_FRAME (holds the
 * delimiter), BERTH_E_WOULD_EXCEED. */
int berth_reply(struct berth_conn *conn, const struct berth_message *message, const void *data,
                size_t size);

/* The same without a copy: returns room for exactly `size` bytes of reply, framed and queued
 * already; write them before the callback returns. NULL where berth_reply would fail, with the
 * error in *err (may be NULL). With a delimiter it is you who must not write one. */
void *berth_reply_space(struct berth_conn *conn, const struct berth_message *message, size_t size,
                        int *err);

/* A part of a message that is to be sent. Borrowed. */
struct berth_piece {
    const void *data; /* may be NULL if size is 0 */
    size_t size;
};

/* berth_reply with a message in pieces, one behind the other; `count` is at least 1. Borrows the
 * array, and copies; but a last piece of BERTH_IN_PLACE_BYTES or more that lies in a message which
 * the callback is looking at is sent from there where it can be: that is how to echo what is large.
 * berth_reply does so too. (Not in front of other messages of the batch, nor with a delimiter, nor
 * while half of the receive buffers are sent from.) Errors as berth_reply. */
#define BERTH_IN_PLACE_BYTES 16384
int berth_reply_pieces(struct berth_conn *conn, const struct berth_message *message,
                       const struct berth_piece *pieces, size_t count);

/* Sends a message that answers nothing; copies. It leaves behind what was queued before. Also from
 * on_open and on_drained, and to any other connection of the same worker. Errors as berth_reply. In
 * pieces, what is relayed to another connection is sent as a large echo is. */
int berth_send(struct berth_conn *conn, const void *data, size_t size);
void *berth_send_space(struct berth_conn *conn, size_t size, int *err);
int berth_send_pieces(struct berth_conn *conn, const struct berth_piece *pieces, size_t count);

/* Begins to close: what is queued is sent, then the peer is given the time to end its side. It ends
 * at the latest when the peer has taken nothing for linger_timeout_ms. Messages not yet handed over
 * are dropped. Idempotent. */
void berth_close(struct berth_conn *conn);

/* A name for the connection that outlives it: 10 bits worker, 22 bits slot, 32 bits generation.
 * Never 0. */
typedef uint64_t berth_handle;
berth_handle berth_conn_handle(const struct berth_conn *conn);

/* The connection of a handle, if it lives on the calling worker (`peer` is any connection of it)
 * and is open; otherwise NULL. */
struct berth_conn *berth_conn_find(struct berth_conn *peer, berth_handle handle);

/* Hands over no more messages (those that on_messages has already are its own), and soon stops
 * reading, until berth_resume. Idempotent. A stop of the server resumes, and is not paused. */
void berth_pause(struct berth_conn *conn);
void berth_resume(struct berth_conn *conn);

/* What a connection knows. None fails. */
void *berth_conn_context(const struct berth_conn *conn);       /* its protocol's */
void *berth_conn_user(const struct berth_conn *conn);          /* NULL until set */
void berth_conn_set_user(struct berth_conn *conn, void *user); /* yours; not freed */
void *berth_conn_space(const struct berth_conn *conn); /* conn_space_bytes, zeroed before on_open */
struct berth_server *berth_conn_server(const struct berth_conn *conn);
uint32_t berth_conn_worker(const struct berth_conn *conn);           /* 0 to workers - 1 */
uint64_t berth_conn_now_ns(const struct berth_conn *conn);           /* monotonic, of this turn */
uint64_t berth_conn_random(struct berth_conn *conn);                 /* 64 bits, not for secrets */
uint32_t berth_conn_queued_bytes(const struct berth_conn *conn);     /* waiting to be sent */
uint32_t berth_conn_connect_attempts(const struct berth_conn *conn); /* outgoing: until it was */

/* The peer's address. false if the system no longer knows it: a client may be gone before it was
 * accepted. Costs a system call. */
bool berth_conn_peer(const struct berth_conn *conn, struct berth_address *out);

/* This end's address: the one that the peer connected to, or was connected from. As above. */
bool berth_conn_local(const struct berth_conn *conn, struct berth_address *out);

/* One sentence on how the connection ended, for a log; names the refused field and shows its
 * bytes. In on_close. Returns `out`. */
const char *berth_conn_why(const struct berth_conn *conn, char *out, size_t bytes);

/* =============================================================================== beyond a callback
 *
 * A handler that cannot answer at once keeps the message, hands it to whoever can, and returns. The
 * answer may come from any thread. Replies still leave in the order of their messages.
 */

/* A kept message. Belongs to the program from berth_keep to berth_kept_reply or
 * berth_kept_release; also after its connection has ended. Must be let go before
 * berth_server_destroy. */
struct berth_kept {
    struct berth_message message; /* a copy; header_bytes is 0 */
    berth_handle conn;            /* where it came from */
    uint8_t *reply;               /* room for reply_bytes bytes: a reply may be written here */
    uint32_t reply_bytes;
    struct berth_kept *next; /* yours: to queue it with */
    void *user;              /* yours */
};

/* Keeps a message of the current batch, with room for a reply of at most reply_bytes. Like a reply,
 * it ends every message before it that has not ended. A message that has ended can be kept too, to
 * be read later: then berth_kept_reply to it sends nothing. Copies. Worker, inside on_message(s).
 * NULL, with the error in *err (may be NULL): BERTH_E_CLOSED, BERTH_E_STATE (not of this batch),
 * BERTH_E_TOO_LARGE, BERTH_E_WOULD_EXCEED (the pool is out; window_bytes and the pool's size make
 * that rare). */
struct berth_kept *berth_keep(struct berth_conn *conn, const struct berth_message *message,
                              size_t reply_bytes, int *err);

/* Answers it, with `size` bytes that it copies; not if data is kept->reply. Takes kept, except with
 * BERTH_E_TOO_LARGE (more than reply_bytes, or than the framing carries) and BERTH_E_FRAME, after
 * which it is still the caller's. BERTH_E_STALE: the connection has ended, and nobody will get it.
 * Any thread. */
int berth_kept_reply(struct berth_kept *kept, const void *data, size_t size);

/* Done without a reply. Takes kept. Any thread. */
void berth_kept_release(struct berth_kept *kept);

/* ================================================================================= from any thread
 *
 * By handle, while the server object lives. BERTH_E_STALE: the connection has ended. One that
 * closes, or ends at the same moment, may swallow the request (sends_dropped counts messages).
 */

/* As berth_close, berth_pause and berth_resume; those asked for last win, a close for good. */
int berth_handle_close(struct berth_server *server, berth_handle handle);
int berth_handle_pause(struct berth_server *server, berth_handle handle);
int berth_handle_resume(struct berth_server *server, berth_handle handle);

/* As berth_send; copies into post_bytes. One thread's messages to one connection keep their order.
 * BERTH_E_STALE, BERTH_E_TOO_LARGE, BERTH_E_FRAME, BERTH_E_WOULD_EXCEED (post_bytes; on_drained
 * follows, on the connection's worker). */
int berth_handle_send(struct berth_server *server, berth_handle handle, const void *data,
                      size_t size);

/* Stops listening (false) or listens again (true), at the same addresses. Open connections go on;
 * those that wait to be accepted are, as far as connections_max allows; later clients are refused
 * by the system. Returns at once; a server starts out listening. Before the last clients are
 * taken, a call with true undoes one with false. BERTH_E_SYSTEM: an address could not be listened
 * on again (somebody else does); *error says which and why, and calling again tries again.
 * BERTH_E_STATE: not running, or stopping. */
int berth_server_listening(struct berth_server *server, bool on, struct berth_error *error);

/* Calls `each` for every connection between on_open and on_close, on its worker, where everything
 * is allowed that is in a callback; then `done` (may be NULL) once, on the worker that was last.
 * Returns at once. A worker's connections are visited in one turn. Before start, it waits for the
 * start, or, if that never comes or fails, for berth_server_destroy, which then calls `done`. While
 * the workers end, `done` may be called on this thread, before this returns.
 * BERTH_E_WOULD_EXCEED (post_bytes), BERTH_E_STATE (all workers have ended): then neither is. */
int berth_visit(struct berth_server *server, void (*each)(struct berth_conn *conn, void *context),
                void (*done)(void *context), void *context);

/* ===================================================================================== one to many
 *
 * A payload for many is framed once for each framing in use among those who get it, and the queues
 * of all of them refer to the same bytes. What one thread sends to a group arrives at each member
 * in that order, at a frame boundary, behind what was queued before. The bytes come from post_bytes
 * and go back there when the last connection has sent them. A reference takes 48 bytes of
 * pool_bytes for as long as it is queued, a membership 80.
 */

/* What becomes of a member that is slow: more than send_high_bytes wait on it when a payload comes,
 * and it stays slow until no more than send_low_bytes do. (It counts as slow too when the payload
 * does not fit below send_max_bytes, or the pool has no room for the reference.) */
enum berth_slow {
    BERTH_SLOW_PAUSE = 1,  /* it misses what comes while it is slow */
    BERTH_SLOW_LATEST = 2, /* only the newest payload waits for it, and is queued afterwards */
    BERTH_SLOW_CLOSE = 3,  /* it is cut, with BERTH_REASON_SLOW */
};

/* The most bytes of a group's name. */
#define BERTH_GROUP_NAME_BYTES_MAX 63

/* The first so many different framings of a server can carry shared payloads. */
#define BERTH_GROUP_FRAMINGS_MAX 16

struct berth_group;

struct berth_group_options {
    const char *name; /* 1 to 63 bytes, unlike any other of the server; borrowed */
    enum berth_slow slow;
};

/* Makes a group without members. It lives as long as the server; *out is set only on success. Any
 * thread, also before start. BERTH_E_INVALID (error->setting: name, slow), BERTH_E_MEMORY. */
int berth_group_create(struct berth_server *server, const struct berth_group_options *options,
                       struct berth_group **out, struct berth_error *error);

/* The group of this name, or NULL. Any thread. Borrows name. */
struct berth_group *berth_group_find(struct berth_server *server, const char *name);

/* Makes the connection a member, which gets what is sent from now on; nothing if it is one. On the
 * connection's worker. A connection leaves all its groups when it begins to close.
 * BERTH_E_CLOSED, BERTH_E_MEMORY (pool_bytes), BERTH_E_UNSUPPORTED (its framing is beyond the first
 * BERTH_GROUP_FRAMINGS_MAX). */
int berth_group_join(struct berth_group *group, struct berth_conn *conn);

/* Ends a membership; nothing if there is none. What is queued already is still sent. On the
 * connection's worker. */
void berth_group_leave(struct berth_group *group, struct berth_conn *conn);

/* Members now, over all workers. Any thread. */
uint64_t berth_group_members(const struct berth_group *group);

/* Sends `size` bytes as one message to every member; copies. Workers queue it in a later turn. A
 * member whose framing cannot carry it gets nothing, and is counted (group_unfit).
 * BERTH_E_TOO_LARGE, BERTH_E_FRAME: no framing of this server can. BERTH_E_WOULD_EXCEED: it does
 * not fit into post_bytes now; nobody gets it, and no on_drained follows. Any thread. */
int berth_group_send(struct berth_group *group, const void *data, size_t size);

/* The same to every connection that is open when its worker comes to it. Any thread. */
int berth_broadcast(struct berth_server *server, const void *data, size_t size,
                    enum berth_slow slow);

/* ===================================================================================== watching */

/* A part of what the configuration costs, in bytes, for all workers together. */
struct berth_cost {
    uint64_t reserved; /* address space: what it can become; where the system shows names of
                          mappings, theirs begin with "berth: " */
    uint64_t resident; /* memory, with so many connections idle after small messages */
};

struct berth_plan {
    const char *backend; /* "uring" or "epoll"; static text */
    uint32_t workers;
    uint32_t connections_per_worker; /* slots */
    struct berth_cost slots;         /* the tables of connections, and of their sockets */
    struct berth_cost spaces;        /* conn_space_bytes for each slot */
    struct berth_cost receive;       /* receive buffers */
    struct berth_cost pool;          /* queued replies, kept messages, messages in parts */
    struct berth_cost post;          /* what other threads send */
    struct berth_cost other;         /* records, the workers themselves */
    struct berth_cost all;
};

/* What the configuration costs, and what of it is used with `connections` connections: more
 * becomes memory as more is on its way, and is then not given back. Any thread, after create. */
void berth_plan(const struct berth_server *server, uint32_t connections, struct berth_plan *out);

/* Counters since start, over all workers. */
#define BERTH_STATS(X)                                                                             \
    X(accepted, "connections accepted")                                                            \
    X(connected, "outgoing connections made")                                                      \
    X(connect_retries, "connection attempts that failed and were tried again")                     \
    X(connect_failures, "outgoing connections given up")                                           \
    X(closed, "connections ended")                                                                 \
    X(refused, "connections closed for bytes that are no frame")                                   \
    X(resets, "connections reset by the peer")                                                     \
    X(messages_in, "messages received whole")                                                      \
    X(messages_out, "messages queued to be sent")                                                  \
    X(bytes_in, "bytes received")                                                                  \
    X(bytes_out, "bytes sent")                                                                     \
    X(bytes_copied_in, "received bytes copied because their frame came in parts")                  \
    X(messages_in_place, "messages sent from where they were received")                            \
    X(receives, "receive operations that brought bytes")                                           \
    X(sends, "send operations")                                                                    \
    X(turns, "turns of the workers' loops")                                                        \
    X(enters, "system calls that wait or submit")                                                  \
    X(wakeups, "times that another thread woke a sleeping worker")                                 \
    X(accept_errors, "accepts that failed")                                                        \
    X(accept_pauses, "pauses of accepting for lack of descriptors or memory")                      \
    X(receive_parks, "receives that found no buffer free and waited")                              \
    X(queue_overflows, "turns that found io_uring's completion queue full, and events behind it")  \
    X(send_pauses, "times that a connection was not read because its queue was full")              \
    X(messages_kept, "messages kept beyond their callback")                                        \
    X(window_pauses, "times that a connection was not read because too much was unanswered")       \
    X(sends_dropped, "messages from other threads that came too late for their connection")        \
    X(stale_completions, "completions of connections that had ended, dropped")                     \
    X(group_encodings, "shared payloads framed, once a framing")                                   \
    X(group_deliveries, "shared payloads queued to a connection")                                  \
    X(group_skipped, "shared payloads that a slow connection missed")                              \
    X(group_replaced, "shared payloads that waited for a slow connection until a newer one came")  \
    X(group_closed, "connections closed for being slow")                                           \
    X(group_unfit, "shared payloads that a connection's framing could not carry")

struct berth_stats {
    uint64_t connections_open; /* now, accepted and outgoing */
    uint64_t connections_most; /* the most accepted connections at once */
#define BERTH_STATS_FIELD(name, text) uint64_t name;
    BERTH_STATS(BERTH_STATS_FIELD)
#undef BERTH_STATS_FIELD
};

/* Any thread, while the server object lives. A running server's numbers are each right and
 * together a moment apart. */
void berth_server_stats(const struct berth_server *server, struct berth_stats *out);

/* ---- events and the flight recorder: berth/event.h says which events there are */

/* What config.on_event is called for from each worker's next turn on: BERTH_WATCH_ bits. Nothing if
 * there is no on_event. Any thread, while the server object lives. */
void berth_server_watch(struct berth_server *server, uint32_t mask);

/* Copies what a worker's flight recorder holds, its newest `max` records at most, oldest first, and
 * returns how many. Those overwritten meanwhile are left out. Any thread, while the server object
 * lives; never waits, and the worker never waits for it. */
size_t berth_server_recorder(const struct berth_server *server, uint32_t worker,
                             struct berth_record *out, size_t max);

#ifdef __cplusplus
}
#endif
#endif
