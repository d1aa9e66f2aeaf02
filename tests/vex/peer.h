/* One peer: a script that is gone through on one connection at a time.
 *
 * The crowd tells it what happened (events, timer), and peer_run goes on with the script until it
 * has to wait. Nothing is called back. All of a peer is the crowd's.
 */
#ifndef BERTH_TESTS_VEX_PEER_H
#define BERTH_TESTS_VEX_PEER_H

#include "framing.h"
#include "replies.h"
#include "sockets.h"
#include "stream.h"
#include "timers.h"

struct crowd;

enum peer_ended { ENDED_NOT, ENDED_EOF, ENDED_RESET };

struct peer {
    struct crowd *crowd;
    uint64_t number; /* from 0 */
    struct stream stream;
    struct cursor at;
    struct timer timer; /* of the step, or of the next piece */

    /* The step. */
    bool entered; /* it has begun, and its time with it */
    bool expired; /* its time is over */
    bool waits_for_echo;
    uint64_t ping_ns;
    uint64_t number_drawn; /* its first argument */

    /* Modes. */
    bool reads;
    struct sockets_buffers buffers; /* of the next connection */
    struct range piece;             /* bytes a write; low 0: all */
    struct range each_us;
    uint64_t pieces; /* so far */
    uint64_t piece_left;
    size_t run_bytes; /* sent since the others had their turn */
    size_t send_most; /* what a send is offered: not much more than the last one took */
    uint64_t piece_due_ns;

    /* The connection. */
    int fd; /* -1: none */
    bool connected;
    bool readable; /* as far as is known: until the system says no */
    bool writable;
    bool hung;             /* there was an error, or both ways have ended */
    bool other_ended;      /* its FIN is here, perhaps behind bytes not read */
    bool was_reset;        /* a send said so */
    bool end_expected;     /* the script has taken note of the end */
    enum peer_ended ended; /* what of that the script has come to */
    uint64_t connected_ns;
    uint64_t bytes_in;
    uint64_t bytes_taken; /* by read */
    uint64_t frames_out;
    uint64_t frames_taken; /* by replies and ping */
    struct scan sent;
    struct replies replies;

    bool was_connected; /* ever */
    bool failed;        /* the script has, somewhere */
    bool is_ready;      /* in the crowd's list of those that gave way */
    struct peer *next_ready;
};

/* How it goes on after peer_run. */
enum peer_state {
    PEER_WAITS,
    PEER_GIVES_WAY, /* it could go on at once, and has had its share */
    PEER_OVER,
};

void peer_start(struct peer *peer);

/* Events of its socket, as epoll has them. */
void peer_events(struct peer *peer, uint32_t events);

/* Its timer was due. */
void peer_expired(struct peer *peer);

enum peer_state peer_run(struct peer *peer);

/* The time is over: ends what is open. */
void peer_stop(struct peer *peer);

/* For the steps (steps.c): the end of the connection, how that is counted, and failures. */
enum peer_close { CLOSE_ORDERLY, CLOSE_BY_RESET, CLOSE_BY_VANISHING, CLOSE_TIMED_OUT };
void peer_close(struct peer *peer, enum peer_close how);
void peer_fail(struct peer *peer, const char *why);

/* What one step comes to. */
enum outcome {
    STEP_DONE,
    STEP_WAITS,
    STEP_GOES_ON, /* it did something, and has more to do */
    STEP_FATAL,   /* the script ends here, failed */
};
enum outcome steps_do(struct peer *peer, const struct step *step);

/* Reads what is there, at most `most` bytes of it: whether there was anything. */
bool peer_receive(struct peer *peer, uint64_t most);

/* Waits for so long from when the step was entered. */
void peer_wait(struct peer *peer, uint64_t wait_ns);

/* Notes that the other side has ended. */
void peer_note_end(struct peer *peer, enum peer_ended how);

#endif
