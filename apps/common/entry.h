/* One line of a program's log: what happened, when, on which connection, and its figures. */
#ifndef COMMON_ENTRY_H
#define COMMON_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/address.h>

/* What a line belongs to. The first four are what --watch takes; errors are written whatever is
 * watched, and so are a summary and what a flight recorder held. Adding: one row. */
#define ENTRY_MODES(X)                                                                             \
    X(ENTRY_FLOW, "flow")                                                                          \
    X(ENTRY_CONNECTIONS, "connections")                                                            \
    X(ENTRY_DATA, "data")                                                                          \
    X(ENTRY_THREADS, "threads")                                                                    \
    X(ENTRY_ERROR, "error")                                                                        \
    X(ENTRY_SUMMARY, "summary")                                                                    \
    X(ENTRY_RECORDER, "recorder") /* a flight recorder's, when it is asked for */

enum entry_mode {
#define ENTRY_MODE_ENUM(name, text) name,
    ENTRY_MODES(ENTRY_MODE_ENUM)
#undef ENTRY_MODE_ENUM
        ENTRY_MODES_COUNT,
};

/* What happened. Adding: one row; the word stands in the log. */
#define ENTRY_EVENTS(X)                                                                            \
    X(EVENT_LISTENING, "listening")                                                                \
    X(EVENT_ACCEPT_STARTED, "accept_started")                                                      \
    X(EVENT_ACCEPTED, "accepted")                                                                  \
    X(EVENT_ACCEPT_FAILED, "accept_failed")                                                        \
    X(EVENT_CONNECT_STARTED, "connect_started")                                                    \
    X(EVENT_CONNECT_FAILED, "connect_failed")                                                      \
    X(EVENT_RETRY, "retry")                                                                        \
    X(EVENT_GIVEN_UP, "given_up")                                                                  \
    X(EVENT_CONNECTED, "connected")                                                                \
    X(EVENT_OPENED, "opened")                                                                      \
    X(EVENT_RECEIVE_STARTED, "receive_started")                                                    \
    X(EVENT_RECEIVED, "received")                                                                  \
    X(EVENT_HEADER, "header")                                                                      \
    X(EVENT_HEADER_PARTIAL, "header_partial")                                                      \
    X(EVENT_MESSAGE, "message")                                                                    \
    X(EVENT_MESSAGE_PARTIAL, "message_partial")                                                    \
    X(EVENT_DELIVERED, "delivered")                                                                \
    X(EVENT_KEPT, "kept")                                                                          \
    X(EVENT_ANSWERED, "answered")                                                                  \
    X(EVENT_RELEASED, "released")                                                                  \
    X(EVENT_QUEUED, "queued")                                                                      \
    X(EVENT_SEND_STARTED, "send_started")                                                          \
    X(EVENT_SENT, "sent")                                                                          \
    X(EVENT_DRAINED, "drained")                                                                    \
    X(EVENT_PAUSED, "paused")                                                                      \
    X(EVENT_RESUMED, "resumed")                                                                    \
    X(EVENT_VERIFIED, "verified")                                                                  \
    X(EVENT_PEER_ENDED, "peer_ended")                                                              \
    X(EVENT_CLOSING, "closing")                                                                    \
    X(EVENT_SHUT, "shut")                                                                          \
    X(EVENT_JOINING, "joining")                                                                    \
    X(EVENT_CLOSED, "closed")                                                                      \
    X(EVENT_DEADLINE, "deadline")                                                                  \
    X(EVENT_REFUSED, "refused")                                                                    \
    X(EVENT_THREAD, "thread")                                                                      \
    X(EVENT_NEW_THREAD, "new_thread")                                                              \
    X(EVENT_STOPPING, "stopping")                                                                  \
    X(EVENT_WRONG, "wrong")                                                                        \
    X(EVENT_STOPPED, "stopped")                                                                    \
    X(EVENT_WATCH_ON, "watch_on")                                                                  \
    X(EVENT_WATCH_OFF, "watch_off")                                                                \
    X(EVENT_LOST, "lost")                                                                          \
    X(EVENT_NOTE, "note")

enum entry_event {
#define ENTRY_EVENT_ENUM(name, text) name,
    ENTRY_EVENTS(ENTRY_EVENT_ENUM)
#undef ENTRY_EVENT_ENUM
        ENTRY_EVENTS_COUNT,
};

/* The figures that a line may carry, by their name in it. Adding: one row. */
#define ENTRY_KEYS(X)                                                                              \
    X(KEY_BYTES, "bytes")                                                                          \
    X(KEY_COUNT, "count")       /* messages */                                                     \
    X(KEY_INDEX, "index")       /* of the message on its connection; 1 is the first */             \
    X(KEY_ID, "id")             /* transmission id */                                              \
    X(KEY_SESSION, "session")   /* id */                                                           \
    X(KEY_ACCEPT, "accept")     /* id */                                                           \
    X(KEY_LENGTH, "length")     /* that a header declares */                                       \
    X(KEY_MISSING, "missing")   /* bytes that a frame still lacks */                               \
    X(KEY_QUEUED, "queued")     /* bytes that wait to be sent */                                   \
    X(KEY_MESSAGES, "messages") /* of the connection so far */                                     \
    X(KEY_OPEN, "open")         /* connections now */                                              \
    X(KEY_FINISHED, "finished") /* connections so far */                                           \
    X(KEY_ATTEMPT, "attempt")   /* to connect; 1 is the first */                                   \
    X(KEY_ERRNO, "errno")                                                                          \
    X(KEY_THREAD, "thread")   /* the system's id of it */                                          \
    X(KEY_THREADS, "threads") /* there are now */                                                  \
    X(KEY_SLOT, "slot")       /* and generation: the library's name for a connection */            \
    X(KEY_GENERATION, "generation")                                                                \
    X(KEY_VALUE, "value")       /* of a field that was refused */                                  \
    X(KEY_LEFT_OUT, "left_out") /* bytes of the text that had no room */

enum entry_key {
#define ENTRY_KEY_ENUM(name, text) name,
    ENTRY_KEYS(ENTRY_KEY_ENUM)
#undef ENTRY_KEY_ENUM
        ENTRY_KEYS_COUNT,
};

/* Figures of one line; the events have four at the most. */
#define ENTRY_VALUES_MAX 6

/* What makes an entry four cache lines. The seed's messages have 5 to 30 bytes. */
#define ENTRY_TEXT_BYTES 124

/* An entry of no worker's. */
#define ENTRY_NO_WORKER UINT16_MAX

struct entry {
    uint64_t t_ns;      /* since the log's start */
    uint64_t conn;      /* 0: none */
    const char *reason; /* static text; NULL: none */
    uint64_t values[ENTRY_VALUES_MAX];
    uint8_t keys[ENTRY_VALUES_MAX]; /* enum entry_key */
    uint8_t values_count;
    uint8_t mode;  /* enum entry_mode */
    uint8_t event; /* enum entry_event */
    uint8_t text_bytes;
    uint16_t worker;
    struct berth_address peer; /* BERTH_FAMILY_NONE: not said */
    struct berth_address local;
    char text[ENTRY_TEXT_BYTES]; /* message bytes, or a sentence; no end mark */
};

_Static_assert(sizeof(struct entry) <= 256, "an entry is four cache lines");

/* Makes an entry without figures and texts. */
void entry_init(struct entry *entry, enum entry_mode mode, enum entry_event event, uint64_t conn);

/* One more figure; at most ENTRY_VALUES_MAX. */
void entry_number(struct entry *entry, enum entry_key key, uint64_t value);

/* The text: as much of `bytes` as there is room for; what is not, is counted in KEY_LEFT_OUT. */
void entry_text(struct entry *entry, const void *text, size_t bytes);

/* Room that every line fits in, its newline included. Each byte of text may become six. */
#define ENTRY_LINE_BYTES 2560

/* Writes the entry as a line with its newline, without an end mark; returns its bytes. Pure. */
size_t entry_write_text(const struct entry *entry, char *out);
size_t entry_write_json(const struct entry *entry, char *out);

/* A bit for each mode. */
#define ENTRY_MODE_BIT(mode) (1u << (mode))

/* Reads "flow,connections,data" into bits, any of `allowed`. false: a word is none of them, or the
 * list is empty; *modes is then untouched. Pure. */
bool entry_modes_read(const char *text, unsigned allowed, unsigned *modes);

/* The same list of the bits that are set, "none" for none. `out` has ENTRY_MODES_TEXT_BYTES.
 * Returns it. */
#define ENTRY_MODES_TEXT_BYTES 80
const char *entry_modes_write(unsigned modes, char *out);

#endif
