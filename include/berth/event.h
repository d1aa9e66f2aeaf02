/* Events: what happens to connections, one by one.
 *
 * What happens to connections happens as events. Each worker keeps its last ones in a ring, its
 * flight recorder, which is always on: it takes one record a batch and one a change of state, none
 * a message. A program that wants to watch as it happens, in full detail, sets config.on_event and
 * a mask of what it wants; while the mask is 0 an event that only watchers see costs a branch.
 *
 * A time is the turn's: events of one turn share it and stand in order. An event with `recorded`
 * goes to the recorder too. */
#ifndef BERTH_EVENT_H
#define BERTH_EVENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What may be watched: bits of berth_server_watch's mask. */
#define BERTH_WATCH_FLOW        1u /* every event but THREAD */
#define BERTH_WATCH_CONNECTIONS 2u /* beginnings and ends of connections */
#define BERTH_WATCH_DATA        4u /* bytes and messages, by the batch */
#define BERTH_WATCH_THREADS     8u /* callbacks entered */
#define BERTH_WATCH_ALL         15u

#define BERTH__FLOW  BERTH_WATCH_FLOW
#define BERTH__CONNS (BERTH_WATCH_FLOW | BERTH_WATCH_CONNECTIONS)
#define BERTH__DATA  (BERTH_WATCH_FLOW | BERTH_WATCH_DATA)

/* X(constant, number, name, who watches, what it means; then what count and value are) */
#define BERTH_EVENTS(X)                                                                            \
    X(BERTH_EVENT_ACCEPT_STARTED, 1, "accept_started", BERTH__FLOW,                                \
      "an accept is started; count: its number, of those in flight on all workers")                \
    X(BERTH_EVENT_ACCEPTED, 2, "accepted", BERTH__CONNS,                                           \
      "a client was accepted; count: by which accept (recorded)")                                  \
    X(BERTH_EVENT_ACCEPT_FAILED, 3, "accept_failed", BERTH__CONNS,                                 \
      "an accept failed; count: which, value: errno (recorded)")                                   \
    X(BERTH_EVENT_CONNECT_STARTED, 4, "connect_started", BERTH__CONNS,                             \
      "an attempt to connect; count: which (recorded)")                                            \
    X(BERTH_EVENT_CONNECT_FAILED, 5, "connect_failed", BERTH__CONNS,                               \
      "the attempt failed; count: which, value: errno (recorded)")                                 \
    X(BERTH_EVENT_RETRY, 6, "retry", BERTH__CONNS,                                                 \
      "another will follow; count: attempts made, value: ms to wait (recorded)")                   \
    X(BERTH_EVENT_GIVEN_UP, 7, "given_up", BERTH__CONNS,                                           \
      "no other will follow; count: attempts made, value: errno (recorded)")                       \
    X(BERTH_EVENT_CONNECTED, 8, "connected", BERTH__CONNS,                                         \
      "the connection was made; count: attempts (recorded)")                                       \
    X(BERTH_EVENT_OPENED, 9, "opened", BERTH__CONNS,                                               \
      "the connection begins, on_open follows (recorded)")                                         \
    X(BERTH_EVENT_RECEIVE_STARTED, 10, "receive_started", BERTH__FLOW, "a receive is started")     \
    X(BERTH_EVENT_RECEIVED, 11, "received", BERTH__DATA,                                           \
      "a receive brought bytes; value: how many")                                                  \
    X(BERTH_EVENT_HEADER, 12, "header", BERTH__FLOW,                                               \
      "a header is whole; count: its bytes, value: of its message")                                \
    X(BERTH_EVENT_HEADER_PARTIAL, 13, "header_partial", BERTH__FLOW,                               \
      "a header is not whole yet; value: bytes of it so far")                                      \
    X(BERTH_EVENT_MESSAGE, 14, "message", BERTH__FLOW, "a message is whole; value: its bytes")     \
    X(BERTH_EVENT_MESSAGE_PARTIAL, 15, "message_partial", BERTH__FLOW,                             \
      "a message is not whole yet; count: its bytes if known, value: so far")                      \
    X(BERTH_EVENT_DELIVERED, 16, "delivered", BERTH__DATA,                                         \
      "a batch goes to the program; count: messages, value: bytes (recorded)")                     \
    X(BERTH_EVENT_KEPT, 17, "kept", BERTH__DATA,                                                   \
      "messages are kept; count: how many, value: bytes")                                          \
    X(BERTH_EVENT_ANSWERED, 18, "answered", BERTH__DATA,                                           \
      "kept messages were answered; count: how many, value: bytes of replies")                     \
    X(BERTH_EVENT_RELEASED, 19, "released", BERTH__DATA,                                           \
      "kept messages were released; count: how many")                                              \
    X(BERTH_EVENT_QUEUED, 20, "queued", BERTH__DATA,                                               \
      "replies or sends were queued; count: how many, value: bytes")                               \
    X(BERTH_EVENT_SEND_STARTED, 21, "send_started", BERTH__FLOW,                                   \
      "a send is started; count: pieces, value: bytes")                                            \
    X(BERTH_EVENT_SENT, 22, "sent", BERTH__DATA,                                                   \
      "a send took bytes; count: bytes left, value: bytes taken")                                  \
    X(BERTH_EVENT_DRAINED, 23, "drained", BERTH__FLOW,                                             \
      "there is room again after WOULD_EXCEED (recorded)")                                         \
    X(BERTH_EVENT_PAUSED, 24, "paused", BERTH__FLOW,                                               \
      "reading pauses; value: enum berth_pause (recorded, but for SHARE and BUFFERS)")             \
    X(BERTH_EVENT_RESUMED, 25, "resumed", BERTH__FLOW,                                             \
      "reading goes on; value: enum berth_pause, never SHARE (recorded, but for BUFFERS)")         \
    X(BERTH_EVENT_PEER_ENDED, 26, "peer_ended", BERTH__FLOW, "the peer ended its side (recorded)") \
    X(BERTH_EVENT_REFUSED, 27, "refused", BERTH__CONNS,                                            \
      "bytes were no frame; count: enum berth_refusal, value: the field (recorded)")               \
    X(BERTH_EVENT_DEADLINE, 28, "deadline", BERTH__CONNS,                                          \
      "a deadline passed; value: enum berth_reason (recorded)")                                    \
    X(BERTH_EVENT_CLOSING, 29, "closing", BERTH__CONNS,                                            \
      "the end begins; count: errno or 0, value: enum berth_reason (recorded)")                    \
    X(BERTH_EVENT_SHUT, 30, "shut", BERTH__FLOW, "all is sent and our side ended (recorded)")      \
    X(BERTH_EVENT_JOINING, 31, "joining", BERTH__FLOW,                                             \
      "what is in flight is cancelled and awaited (recorded)")                                     \
    X(BERTH_EVENT_CLOSED, 32, "closed", BERTH__CONNS,                                              \
      "it has ended, on_close follows; count and value as CLOSING (recorded)")                     \
    X(BERTH_EVENT_STOPPING, 33, "stopping", BERTH__FLOW,                                           \
      "the worker ends; value: 1 in order, 2 cut (recorded)")                                      \
    X(BERTH_EVENT_THREAD, 34, "thread", BERTH_WATCH_THREADS,                                       \
      "a callback is entered; value: enum berth_callback")

enum berth_event {
#define BERTH_EVENT_ENUM(constant, number, name, watch, text) constant = (number),
    BERTH_EVENTS(BERTH_EVENT_ENUM)
#undef BERTH_EVENT_ENUM
};

/* Why reading pauses: the value of PAUSED and RESUMED. */
#define BERTH_PAUSES(X)                                                                            \
    X(BERTH_PAUSE_QUEUE, 1, "queue", "more than send_high_bytes wait to be sent")                  \
    X(BERTH_PAUSE_POOL, 2, "pool", "the pool has no room for replies")                             \
    X(BERTH_PAUSE_SHARE, 3, "share", "until the next turn: its share of this one is used up")      \
    X(BERTH_PAUSE_BUFFERS, 4, "buffers", "every receive buffer is in use")                         \
    X(BERTH_PAUSE_ACCEPT, 5, "accept", "no descriptor or memory for another connection")           \
    X(BERTH_PAUSE_PROGRAM, 6, "program", "the program asked for it")                               \
    X(BERTH_PAUSE_WINDOW, 7, "window", "too many messages of the connection wait for answers")     \
    X(BERTH_PAUSE_KEPT, 8, "kept", "the worker keeps too much")                                    \
    X(BERTH_PAUSE_LISTENING, 9, "listening", "the program stopped listening")

enum berth_pause {
#define BERTH_PAUSE_ENUM(constant, number, name, text) constant = (number),
    BERTH_PAUSES(BERTH_PAUSE_ENUM)
#undef BERTH_PAUSE_ENUM
};

/* Which callback is entered: the value of THREAD. */
enum berth_callback {
    BERTH_CALLBACK_OPEN = 1,
    BERTH_CALLBACK_MESSAGES = 2,
    BERTH_CALLBACK_DRAINED = 3,
    BERTH_CALLBACK_CLOSE = 4,
};

struct berth_record {
    uint64_t time_ns; /* monotonic */
    uint64_t conn;    /* its handle; 0: the worker itself */
    uint16_t event;   /* enum berth_event */
    uint16_t worker;
    uint32_t count;
    uint64_t value;
};

/* An event's name ("accepted") and meaning, a pause's name ("queue"). Static memory; NULL for a
 * number that is none. Any thread. */
const char *berth_event_name(uint32_t event);
const char *berth_event_text(uint32_t event);
const char *berth_pause_name(uint64_t pause);

#ifdef __cplusplus
}
#endif
#endif
