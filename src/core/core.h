/* What the files of core share: the server, its workers, and a connection. Nothing outside this
 * folder includes it but tests.
 *
 * A newcomer reads listener.c, admit.c, conn.c, receive.c, dispatch.c, send.c, close.c, in the
 * order in which a message goes through them; worker.c is the loop that calls them all, and
 * deadline.c ends those that wait for too long.
 */
#ifndef BERTH_CORE_CORE_H
#define BERTH_CORE_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/row.h"
#include "base/thread.h"
#include "buf/chain.h"
#include "buf/nodes.h"
#include "buf/pool.h"
#include "core/record.h"
#include "ds/mailbox.h"
#include "ds/slots.h"
#include "ds/wheel.h"
#include "io/io.h"

#define NS_PER_MS UINT64_C(1000000)

/* Completions fetched by one reap: a turn's worth. More wait in the backend for the next turn. */
#define TURN_COMPLETIONS 256

/* Messages handed to a callback at once, and bytes looked at for them. Both keep a batch inside the
 * first-level cache's reach while it is decoded, handled and answered. */
#define BATCH_MESSAGES 256
#define BATCH_BYTES    (64u * 1024)

/* What a reply may add to its message without a second slab: a header and an id. */
#define REPLY_EXTRA 16

/* Accounts of refused bytes and missed deadlines kept for on_close, per worker: under an attack
 * with more than these at once the oldest lose their details, never their reason. */
#define REFUSALS_KEPT 256

#define NO_PLAN UINT32_MAX

/* Of the table that finds a group by its name: short chains for thousands of groups. */
#define GROUP_BUCKETS 256

/* A program may connect anew in on_close, when the old connection still has its slot and plan. */
#define SPARE_PLANS 1

/* Handles: 10 bits worker, 22 bits slot, 32 bits generation. */
#define WORKERS_MAX 1023
#define SLOTS_MAX   ((UINT32_C(1) << 22) - 1)

/* ----------------------------------------------------------------------------------- a connection
 */

enum conn_state {
    CONN_FREE = 0,
    CONN_CONNECTING, /* outgoing, not there yet: between attempts, or in one */
    CONN_OPEN,       /* messages flow */
    CONN_DRAINING,   /* no more messages; what is queued is being sent */
    CONN_LINGERING,  /* all is sent and our end shut; the peer's end is awaited */
    CONN_JOINING,    /* everything was cancelled; what is in flight is awaited */
    CONN_STATES,
};

#define CF_PERMIT         0x0001u /* holds one of connections_max */
#define CF_INPUT_ENDED    0x0002u /* no more bytes will be received (end of stream, or stop) */
#define CF_CLOSE          0x0004u /* the program asked for a close */
#define CF_STOP           0x0008u /* the server stops: end when all that was received is answered */
#define CF_EXCEEDED       0x0010u /* an on_drained is owed */
#define CF_BLOCKED_HIGH   0x0020u /* too much is queued: nothing is handed to the program */
#define CF_BLOCKED_SPACE  0x0040u /* the pool has no room for replies; stands in worker.short_of */
#define CF_AGAIN          0x0080u /* used up its share of the turn; stands in worker.again */
#define CF_CANCELLING     0x0100u /* the receive in flight was cancelled, by us */
#define CF_RESET          0x0200u /* close with a reset */
#define CF_GONE           0x0400u /* the peer is gone: nothing can be sent */
#define CF_RECEIVING      0x0800u /* a receive was started whose last completion was not seen */
#define CF_BROUGHT        0x1000u /* the receive in flight has brought bytes */
#define CF_PAUSED         0x2000u /* the program does not want messages now */
#define CF_BLOCKED_WINDOW 0x4000u /* too many messages, or bytes, wait for their answers */
#define CF_BLOCKED_KEPT   0x8000u /* the worker keeps too much; stands in worker.kept_full */
#define CF_WAITS_POST     0x10000u /* an on_drained is owed when the posts have room */
#define CF_HEADER_TOLD    0x20000u /* watchers know that the first frame's header is whole */
#define CF_SENDING        0x40000u /* a send was started whose completion was not seen */
/* What deadlines look at (deadline.c). */
#define CF_FIRST   0x1000000u /* accepted, and no whole message has come yet */
#define CF_PARTIAL 0x2000000u /* a message has begun and not ended */
#define CF_HELD    0x4000000u /* it is we who do not read */

#define CF_BLOCKED                                                                                 \
    (CF_BLOCKED_HIGH | CF_BLOCKED_SPACE | CF_AGAIN | CF_PAUSED | CF_BLOCKED_WINDOW |               \
     CF_BLOCKED_KEPT)

/* What is known of the first frame of some bytes that is not whole yet. */
struct partial {
    uint32_t need;    /* its bytes, as far as it has said; 0: not known */
    uint32_t scanned; /* of its bytes, in the decoder's keeping */
};

/* Received and not handed over: the beginning of a frame, or more while blocked. The head of a
 * piece of the pool; the bytes follow. */
struct input {
    uint32_t size;  /* room for bytes */
    uint32_t start; /* the first byte that is still wanted */
    uint32_t bytes;
    struct partial partial;
};

struct berth_conn {
    /* What other threads may look at (remote.c): not cleared when the slot is taken again. */
    struct worker *worker; /* once set, for ever */
    _Atomic(const struct speaker *) speaker;
    _Atomic uint64_t word; /* the generation while the connection is open, and what is asked for */
    struct mail mail;

    struct slots_entry slot; /* worker.slots' account of it */

    int32_t sock; /* -1: none; the first that is cleared */
    uint32_t flags;
    uint8_t state;         /* enum conn_state */
    uint8_t reason;        /* enum berth_reason, once known; 0 before */
    uint16_t window_count; /* messages from the first unanswered one on: keep.c */
    int16_t system;        /* errno behind the reason, or 0 */
    uint16_t turn;         /* that the two counts below belong to, as far as it fits */

    struct input *input; /* what was received and not handed over, or NULL */
    struct chain out;
    struct kept *window_last; /* messages that were kept and wait for their answers, a ring */
    uint32_t window_bytes;    /* that they and the replies behind them hold */
    uint32_t opened_ms; /* a stamp as those of deadline.c; here is a place of four bytes for it */

    uint32_t turn_bytes;
    uint32_t turn_messages;

    uint32_t plan;    /* outgoing: index in worker.plans, else NO_PLAN */
    uint32_t refused; /* number of the refusal's account + 1, or 0: see close.c */

    struct row_link attend; /* in worker.attend: something to do at the end of the turn */
    struct row_link parked; /* in worker.parked: waits for a receive buffer */
    struct row_link held;   /* in worker.again, worker.short_of or worker.kept_full */
    struct member *members; /* its places in groups: group.h */
    void *user;

    /* deadline.c: when things happened, in the low 32 bits of worker.now_ms; in the timer's line */
    uint32_t message_ms;  /* the first byte of the message that is held in part */
    uint32_t received_ms; /* the last bytes */
    uint32_t sent_ms;     /* the last send that was started, or took bytes */
    uint32_t reading_ms;  /* since when it is read, or, with CF_HELD, is not */
    struct wheel_timer timer;
};

static inline uint32_t input_bytes(const struct berth_conn *conn)
{
    return conn->input == NULL ? 0 : conn->input->bytes;
}

/* "Idle connection: at most 256 bytes" (design), with what the io knows of its socket: at most 48
 * (io/backend.h, io/epoll.c). */
_Static_assert(sizeof(struct berth_conn) <= 208, "a connection may take no more");

/* The number of a framing beyond BERTH_GROUP_FRAMINGS_MAX. */
#define FRAMING_NONE BERTH_GROUP_FRAMINGS_MAX

/* A protocol as core uses it: a copy, with what can be known once known once. */
enum fast_header { FAST_NONE, FAST_LITTLE_32, FAST_BIG_32 };

struct speaker {
    const struct berth_protocol *given; /* to find it again */
    struct berth_protocol protocol;
    enum fast_header fast;
    uint8_t framing; /* its number in server.framings, or FRAMING_NONE */
    struct speaker *next;
};

/* What an outgoing connection must remember between its attempts. */
struct plan {
    struct berth_connect_options options;
    uint32_t attempts;
    bool timed_out; /* the attempt in flight was cancelled by its timer */
};

/* What is kept until on_close of a connection that was closed for what its peer did. */
struct refusal {
    struct berth_frame frame;  /* refused bytes */
    struct berth_address peer; /* the system forgets it once the peer has gone */
};

/* -------------------------------------------------------------------------------------- a worker
 */

/* Replies of a batch that are written one behind the other into the room reserved for them. Slab
 * and chain hear of them when the run ends, so that one of them costs little more than its bytes:
 * send.c. */
struct run {
    struct berth_conn *conn; /* NULL: there is none */
    uint8_t *at;             /* where the next one goes */
    const uint8_t *end;
};

enum worker_phase {
    WORKER_RUNNING,
    WORKER_STOPPING, /* what has already arrived is served; connections end */
    WORKER_CUT,      /* the deadline is over, or a second stop: everything is cancelled */
    WORKER_ENDED,
};

/* What a worker does about clients when listening is stopped and started while it serves. */
enum worker_accepting {
    ACCEPTING,
    ACCEPTING_QUEUE, /* those that wait already are taken still */
    ACCEPTING_ENDS,  /* accepts were cancelled; those in flight are awaited */
    ACCEPTING_NONE,
};

struct worker_stats {
#define WORKER_STATS_FIELD(name, text) _Atomic uint64_t name;
    BERTH_STATS(WORKER_STATS_FIELD)
#undef WORKER_STATS_FIELD
};

/* Only the worker's thread writes, but for wakeups; others read whole values. */
#define STAT_ADD(worker, name, count)                                                              \
    atomic_store_explicit(&(worker)->stats.name,                                                   \
                          atomic_load_explicit(&(worker)->stats.name, memory_order_relaxed) +      \
                              (uint64_t)(count),                                                   \
                          memory_order_relaxed)

struct worker {
    struct berth_server *server;
    struct io *io;
    uint64_t now_ns;
    uint64_t now_ms; /* the same, rounded down; the wheel's tick */
    uint32_t turn;
    uint32_t index;
    uint32_t watched; /* the server's mask, as of this turn */

    struct recorder recorder;

    /* deadline.c: what proves that nothing waits to be reaped */
    uint64_t clear_ms;       /* all that happened before was reaped */
    uint64_t settle_from_ms; /* when the first of the timers that are put off expired */
    uint32_t settle_turns;   /* since then; 0: none is put off */
    uint32_t quiet_turns;    /* in a row that neither waited nor brought anything */

    /* The batch that a callback is looking at. */
    struct berth_conn *batch_conn;          /* NULL outside on_messages */
    const struct berth_message *batch_end;  /* behind its last message */
    const struct berth_message *batch_next; /* the first message that has not ended */
    struct chain *batch_chain;              /* where its replies go: keep.c */
    struct run run;                         /* and how */
    struct berth_message batch[BATCH_MESSAGES];

    /* What a callback's messages lie in: lend.c */
    const uint8_t *lease_data;
    uint32_t lease_bytes; /* 0: nothing, or elsewhere */
    uint16_t lease;
    uint32_t leases_lent; /* that are sent from, and not returned for that */
    uint32_t *lease_uses; /* of each: references that are queued */
    struct nodes lents;

    struct row attend;   /* of connections, as the next four */
    uint32_t early;      /* the last of them that send_early has seen in this turn, + 1; 0: none */
    uint32_t warm;       /* bytes of replies that were queued in this turn since then */
    uint32_t sends_turn; /* started in this turn */
    bool sends_awaited;  /* something goes on when a send of this turn is known to be done */
    struct row parked;
    struct row again;
    struct row short_of; /* of pool space for replies */
    struct row kept_full;
    uint32_t gives_seen; /* pool.gives when short_of was last looked at */

    uint64_t kept_bytes;   /* of the pool, by kept messages */
    uint64_t behind_bytes; /* by replies that wait for their answers */

    /* groups: group.h */
    struct nodes deliveries;
    struct nodes memberships;
    struct list starved;       /* members that wait for a node */
    struct mail *shares_first; /* shares that came and are not handed out yet, linked */
    struct mail *shares_last;
    _Atomic uint32_t speaking[FRAMING_NONE + 1]; /* open connections of each framing */

    struct berth_conn *conns;
    struct slots slots;
    uint32_t slots_high; /* slots from here on were never used */
    struct pool pool;
    struct wheel wheel;

    struct plan *plans;
    struct slots plan_slots;

    /* accepting: listener.c, admit.c, spread.c */
    uint32_t permits;             /* held and not in use by an accept in flight */
    uint32_t accepts_in_flight;   /* each uses a permit */
    uint32_t accepts_busy;        /* their numbers, a bit each */
    uint32_t accept_turn;         /* in which the last one was started */
    _Atomic bool accept_paused;   /* other workers read it */
    _Atomic bool accept_renewal;  /* another worker lets this one look again: admit.c */
    uint32_t accepted;            /* connections that it accepted and has */
    uint32_t spread_at;           /* spread.c: when it has so many, it looks at the others */
    _Atomic uint32_t accept_load; /* what the others see: `accepted`, or ACCEPTS_NOT */
    _Atomic uint32_t accept_left; /* 0, or it left accepting to others, with so many - 1 */
    struct wheel_timer accept_timer;
    enum worker_accepting accepting;
    uint32_t halts_seen; /* server.halts, when this worker last set out to end accepting */

    /* ending: worker.c */
    enum worker_phase phase;
    bool queue_open;     /* stopping: clients that wait in the listening sockets are still taken */
    bool unswept;        /* stopping: some connection has not been told to end */
    uint64_t reads_ns;   /* stopping: until then at least, what comes is read; 0: nothing is */
    uint64_t read_by_ns; /* ... and at the latest until then */
    uint32_t busy_turns; /* since the server, or listening, began to stop */
    uint32_t stop_seen;
    struct wheel_timer stop_timer;
    struct wheel_timer space_timer; /* somebody waits for pool space for too long */

    struct refusal *refusals; /* a ring: close.c */
    uint32_t refusals_next;

    uint64_t messages_out; /* published once a turn */
    uint64_t others_out;   /* of these, what was queued outside its own connection's batch */
    struct worker_stats stats;
    struct io_completion completions[TURN_COMPLETIONS];

    /* memory, and the thread */
    uint8_t *block;
    uint8_t *receive_base;
    pthread_t thread;
    bool thread_runs;
    int wake_id;               /* config.worker_descriptors: from io_wake_open; 0: none */
    _Atomic(struct io *) wake; /* whom other threads wake; NULL while there is none */
    _Atomic uint32_t wakers;   /* who is doing so right now */
    struct mailbox mailbox;    /* what other threads ask for: remote.c */
    uint32_t post_waiters;     /* connections that are told when the posts have room */
    uint32_t post_rounds;      /* post.rounds, when that was last looked at */
    _Atomic bool sleeps;       /* it waits, or is about to, and wants to be woken for mail */
};

/* What a letter is embedded in: mail.kind. */
enum mail_kind { MAIL_CONN = 1, MAIL_KEPT, MAIL_SEND, MAIL_VISIT, MAIL_SHARE };

/* What a timer is embedded in: wheel_timer.kind. */
enum timer_kind { TIMER_CONN = 1, TIMER_ACCEPT, TIMER_STOP, TIMER_SPACE };

/* -------------------------------------------------------------------------------------- the server
 */

struct layout { /* of a worker's block; config.c */
    size_t conns_at, spaces_at, plans_at, plan_entries_at, refusals_at, recorder_at, uses_at,
        receive_at, account_at, pool_at, bytes;
    size_t pool_bytes;
    size_t space_stride; /* of the program's own bytes per connection */
    uint32_t slots;
};

/* Memory for what other threads send: post.c. */
struct post {
    pthread_mutex_t lock;
    _Atomic bool full;       /* somebody was refused, and there is no room again since */
    _Atomic uint32_t rounds; /* how often there was */
    size_t full_used;        /* bytes that were out when somebody was refused last */
    struct pool pool;
    uint8_t *block;
    size_t bytes;
    size_t piece_most; /* the most that can be taken at once */
};

enum server_listening {
    LISTENING,
    LISTENING_HALTING, /* until no worker has an accept in flight */
    LISTENING_HALTED,
};

enum server_state { SERVER_CREATED, SERVER_RUNNING, SERVER_ENDED };

struct berth_server {
    struct berth_config config; /* with every default resolved */
    struct layout layout;
    const struct io_backend *backend;
    uint32_t features_off; /* what its ios do without */
    void *world;           /* the simulation's, or NULL */
    bool stepped;          /* tests: no threads; worker_turn is called from outside */
    uint32_t warm_bytes;   /* of replies in a turn, before they are sent: server.c */
    uint32_t lend_bytes;   /* the least piece that is sent from where it was received */
    _Atomic int state;     /* enum server_state; the owner's to change */

    struct io_listener listeners[IO_LISTENERS_MAX];
    const struct speaker *listener_speakers[IO_LISTENERS_MAX];
    uint32_t listeners_count;

    /* The different framings of the speakers. Those below the count do not change any more. */
    const struct berth_framing *framings[BERTH_GROUP_FRAMINGS_MAX];
    _Atomic uint32_t framings_count;
    _Atomic(struct berth_group *) groups[GROUP_BUCKETS]; /* by name: group.c */

    struct worker *workers; /* config.workers of them */
    bool *here;             /* true once they are started; a child of fork finds false */
    struct post post;
    struct speaker *speakers;
    pthread_mutex_t lock;     /* of speakers, framings, groups and listening */
    struct latch opened;      /* workers that have opened their io, or failed to */
    struct latch go;          /* 1 when all have: serve, or end if start_result is a failure */
    struct latch ended;       /* workers that have ended */
    uint32_t threads;         /* how many were started */
    _Atomic int start_result; /* the first failure, a negative errno, or 0 */

    _Atomic int64_t permits;   /* connections that may still be accepted */
    _Atomic uint32_t connects; /* outgoing connections that exist */
    _Atomic uint32_t stop;     /* how often stop was called, up to 2 */
    _Atomic uint32_t watch;    /* BERTH_WATCH_ bits */
    _Atomic uint64_t open;
    _Atomic uint64_t accepted_open;
    _Atomic uint32_t leavers; /* workers that leave accepting to others */
    _Atomic uint64_t accepted_most;
    _Atomic uint32_t halts;      /* how often listening was stopped; changed under lock */
    _Atomic int listening;       /* enum server_listening; changed under lock */
    bool listening_wanted;       /* while HALTING; under lock */
    uint32_t halted;             /* workers that accept no more; under lock */
    _Atomic uint64_t log_second; /* rate limit of on_log */
    _Atomic uint32_t log_count;
};

/* config.c */
int config_resolve(struct berth_config *config, struct berth_error *error);
void layout_plan(const struct berth_config *config, struct layout *out);

/* server.c: the same as berth_server_create, in a chosen world (tests). */
int server_create_in(struct berth_server **out, const struct berth_config *config,
                     const struct io_backend *backend, void *world, struct berth_error *error);
int server_start_stepped(struct berth_server *server);
int server_check_protocol(const struct berth_server *server, const struct berth_protocol *protocol,
                          struct berth_error *error);
const struct speaker *speaker_of(struct berth_server *server,
                                 const struct berth_protocol *protocol);
void server_log(struct berth_server *server, uint64_t now_ns, const char *format, ...);

/* Whether this is the process of the workers. A child of fork has a copy of everything but them,
 * and shares their descriptors. O(1), no system call. */
static inline bool server_is_here(const struct berth_server *server)
{
    return *server->here || server->state == SERVER_CREATED;
}

/* worker.c */
int worker_create(struct worker *worker, struct berth_server *server, uint32_t index);
void worker_destroy(struct worker *worker);
int worker_open(struct worker *worker);
void worker_close(struct worker *worker);
/* One turn: reap, act, flush. false when the worker has ended. Waits for events only if `wait`. */
bool worker_turn(struct worker *worker, bool wait);
bool worker_busy(const struct worker *worker);
void *worker_run(void *argument);
struct worker *worker_current(void);
static inline void attend(struct berth_conn *conn)
{
    if (!row_link_is_in(&conn->attend)) {
        row_push(&conn->worker->attend, conn->slot.number);
    }
}

/* Wakes the worker if it waits. Any thread; async-signal-safe. */
void worker_wake(struct worker *worker);
/* Hands a letter to a worker, which looks at it in its next turn (remote.c); wakes it if it sleeps.
 * false when the worker has ended: then the letter is still the caller's. Any thread. */
bool worker_post(struct worker *worker, struct mail *mail);

/* post.c: bytes that any thread takes and gives back. NULL when there are no more. */
int post_create(struct post *post, uint64_t bytes);
void post_destroy(struct post *post);
void *post_take(struct post *post, size_t bytes);
void post_give(struct post *post, void *taken);

/* remote.c */
void remote_open(struct berth_conn *conn);
void remote_close(struct berth_conn *conn);
void remote_told(struct berth_conn *conn);
bool remote_is_live(const struct worker *worker, berth_handle handle);
void remote_mail(struct worker *worker, struct mail *first);
void remote_post_room(struct worker *worker);
void remote_end(struct worker *worker);

/* keep.c */
bool keep_blocked(struct berth_conn *conn);
uint32_t keep_room(const struct berth_conn *conn);
struct chain *keep_reply_chain(struct berth_conn *conn);
void keep_reply_queued(struct berth_conn *conn, uint32_t bytes);
void keep_arrived(struct worker *worker, struct mail *mail);
uint64_t keep_behind_bytes(const struct berth_conn *conn);
bool keep_may_resume(const struct worker *worker);
void keep_resume_waiting(struct worker *worker);
void keep_drop_all(struct berth_conn *conn);
/* record.c: events. WATCH tells those who watch, and costs a branch while nobody does; RECORD goes
 * to the flight recorder as well, so not once a message. `conn` may be NULL: the worker's own
 * event. NAME is a BERTH_EVENT_'s. */
struct event {
    uint16_t number;
    uint16_t watch; /* BERTH_WATCH_ bits that it is watched by */
    uint32_t count;
    uint64_t value;
};
enum {
#define EVENT_WATCH(constant, number, name, watch, text) WATCH_OF_##constant = (watch),
    BERTH_EVENTS(EVENT_WATCH)
#undef EVENT_WATCH
};
#define EVENT(NAME, count, value)                                                                  \
    ((struct event){BERTH_EVENT_##NAME, WATCH_OF_BERTH_EVENT_##NAME, (uint32_t)(count),            \
                    (uint64_t)(value)})
#ifdef BERTH_WITHOUT_WATCHING /* only to measure what that branch costs */
#define WATCHES(worker, NAME) false
#else
#define WATCHES(worker, NAME) BERTH_UNLIKELY(((worker)->watched & WATCH_OF_BERTH_EVENT_##NAME) != 0)
#endif
#define WATCH(worker, conn, NAME, count, value)                                                    \
    do {                                                                                           \
        if (WATCHES(worker, NAME)) {                                                               \
            event_watch(worker, conn, EVENT(NAME, count, value));                                  \
        }                                                                                          \
    } while (0)
#define RECORD(worker, conn, NAME, count, value)                                                   \
    event_record(worker, conn, EVENT(NAME, count, value))
void event_watch(struct worker *worker, struct berth_conn *conn, struct event event);
void event_record(struct worker *worker, struct berth_conn *conn, struct event event);
/* The messages of the worker's batch; what stands behind them and is not whole. Only if watched. */
void watch_batch(struct berth_conn *conn, uint32_t count);
void watch_partial(struct berth_conn *conn, const uint8_t *bytes, size_t count, uint32_t need);

/* admit.c */
void admit_fill(struct worker *worker);
void admit_give_back(struct worker *worker);
void admit_pause(struct worker *worker, int error);
void admit_resume(struct worker *worker);
void admit_connection_ended(struct worker *worker);
void admit_pass_on(struct worker *worker);
void admit_renew(struct worker *worker);

/* spread.c */
#define ACCEPTS_NOT UINT32_MAX
bool spread_leaves(struct worker *worker);
void spread_return(struct worker *worker);
void spread_show(struct worker *worker);
/* The number of an accept among all that the server may have in flight, from 1. */
static inline uint32_t admit_number(const struct worker *worker, uint32_t accept)
{
    return worker->index * IO_ACCEPTS_MAX + accept + 1;
}

/* listening.c */
void listening_look(struct worker *worker);
bool listening_empties(const struct worker *worker);
void listening_quiet(struct worker *worker);

/* listener.c */
void listener_completed(struct worker *worker, const struct io_completion *done);

/* conn.c */
/* There is a free slot: who starts what will need one has looked (admit.c, connect.c). */
struct berth_conn *conn_take(struct worker *worker, const struct speaker *speaker);
void conn_give(struct berth_conn *conn);
void conn_opened(struct berth_conn *conn, uint32_t which); /* accept, or attempt, that made it */
void conn_move(struct berth_conn *conn, enum conn_state to);
struct berth_conn *conn_of_token(struct worker *worker, uint64_t token);
/* The connection of a handle on this worker, between on_open and on_close; or NULL. */
struct berth_conn *conn_of_handle(struct worker *worker, berth_handle handle);
struct worker *conn_worker_of_handle(struct berth_server *server, berth_handle handle,
                                     uint32_t *slot);
void conn_again(struct berth_conn *conn);
uint64_t conn_token(const struct berth_conn *conn, enum io_op op);

/* connect.c */
void connect_begin_all(struct worker *worker);
void connect_completed(struct berth_conn *conn, int32_t result);
void connect_timer(struct berth_conn *conn);
void connect_give_up(struct berth_conn *conn, int system);

/* receive.c */
void receive_completed(struct berth_conn *conn, const struct io_completion *done);
void receive_update(struct berth_conn *conn);
void receive_resume(struct berth_conn *conn);
void receive_rearm_parked(struct worker *worker);
void input_drop(struct berth_conn *conn);

/* dispatch.c */
size_t dispatch_bytes(struct berth_conn *conn, const uint8_t *bytes, size_t count,
                      struct partial *partial);
bool dispatch_blocked(struct berth_conn *conn);
void dispatch_block_for_space(struct berth_conn *conn);
void dispatch_patience_start(struct worker *worker);
void dispatch_resume_waiting(struct worker *worker);

/* send.c */
void run_begin(struct worker *worker);
void run_end(struct worker *worker);
uint32_t run_bytes(const struct berth_conn *conn);
void send_flush(struct berth_conn *conn);
void send_early(struct worker *worker);
void send_completed(struct berth_conn *conn, int32_t result);
void send_drained(struct berth_conn *conn);

/* lend.c */
struct lent;
void lend_init(struct worker *worker);
void lend_fini(struct worker *worker);
void lend_begin(struct worker *worker, const struct io_completion *done);
void lend_end(struct worker *worker);
struct lent *lend_take(const struct berth_conn *conn, const struct chain *chain,
                       const struct berth_piece *piece);
void lend_drop(struct lent *lent);
void lend_queue(struct berth_conn *conn, struct lent *lent, const struct berth_piece *piece);

/* group.c */
void groups_init(struct worker *worker);
void groups_fini(struct worker *worker);
void groups_destroy(struct berth_server *server);
void group_conn_opened(struct berth_conn *conn);
void group_conn_over(struct berth_conn *conn);

/* payload.c */
uint8_t framing_number(struct berth_server *server, const struct berth_framing *framing);

/* deliver.c */
void deliver_mail(struct worker *worker, struct mail *mail);
void deliver_turn(struct worker *worker);
void deliver_all(struct worker *worker);
void deliver_drained(struct berth_conn *conn);
void deliver_starved(struct worker *worker);

/* close.c */
void close_begin(struct berth_conn *conn, enum berth_reason reason, int system);
void close_now(struct berth_conn *conn, enum berth_reason reason, int system, bool reset);
const struct refusal *close_refusal_of(const struct berth_conn *conn);
void close_late(struct berth_conn *conn, enum berth_reason reason);
void close_refused(struct berth_conn *conn, const struct berth_frame *frame);
void close_step(struct berth_conn *conn);
void close_timer(struct berth_conn *conn);
void close_failed(struct berth_conn *conn, int32_t result);
void close_progress(struct berth_conn *conn);
void close_largest_input(struct berth_conn *conn);
void close_largest(struct worker *worker);

/* deadline.c */
void deadline_opened(struct berth_conn *conn);
void deadline_message_began(struct berth_conn *conn);
void deadline_reading(struct berth_conn *conn);
void deadline_answered(struct berth_conn *conn);
void deadline_send_started(struct berth_conn *conn);
void deadline_timer(struct berth_conn *conn);
void deadline_reaped(struct worker *worker, bool waited, uint32_t completions);
void deadline_settle(struct worker *worker);
/* What comes with every batch: a store or two. */
static inline void deadline_received(struct berth_conn *conn)
{
    conn->received_ms = (uint32_t)conn->worker->now_ms;
}
static inline void deadline_sent(struct berth_conn *conn)
{
    conn->sent_ms = (uint32_t)conn->worker->now_ms;
}
static inline void deadline_messages_ended(struct berth_conn *conn)
{
    conn->flags &= ~(CF_FIRST | CF_PARTIAL);
}
/* The whole messages of what was received have been handed over. What is held now is the beginning
 * of one, or whole ones that are blocked; those end it when their turn comes. */
static inline void deadline_partial(struct berth_conn *conn)
{
    if (BERTH_UNLIKELY(input_bytes(conn) > 0 && (conn->flags & CF_PARTIAL) == 0)) {
        deadline_message_began(conn);
    }
}
/* The worker's clock, once a turn. */
static inline void deadline_clock(struct worker *worker, uint64_t now_ns)
{
    worker->now_ns = now_ns;
    worker->now_ms = now_ns / NS_PER_MS;
}

/* stats.c needs nothing but the structs. */

#endif
