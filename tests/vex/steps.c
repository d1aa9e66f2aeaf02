/* What each verb does. A step is tried until it is done; before it has to wait it sets its time.
 * All state is the peer's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "crowd.h"
#include "must.h"
#include "peer.h"
#include "random.h"
#include "sockets.h"

/* What is offered where nothing is taken: bytes that are made and not taken are made again. */
#define SEND_PIECE_BYTES 4096

/* The first time that a step is tried: draws its number, and gives its waiting a limit. */
static bool enter(struct peer *peer, const struct step *step)
{
    if (peer->entered) {
        return false;
    }
    peer->entered = true;
    peer->expired = false;
    peer->number_drawn = cursor_number(&peer->at, &peer->stream, step->first);
    return true;
}

static uint64_t timeout_ns(const struct peer *peer)
{
    return peer->crowd->options->timeout_ms * NS_PER_MS;
}

/* The limit of a wait has passed: the connection ends as one that timed out. */
static enum outcome time_out(struct peer *peer)
{
    peer_fail(peer, "nothing came of it in time (--timeout)");
    peer_close(peer, CLOSE_TIMED_OUT);
    return STEP_FATAL;
}

/* Waits for the socket, until the time of the step is over. */
static enum outcome wait_for_it(struct peer *peer)
{
    if (peer->ended != ENDED_NOT) {
        return STEP_WAITS;
    }
    return peer->expired ? time_out(peer) : STEP_WAITS;
}

/* -------------------------------------------------------------------------------------- connecting
 */

static enum outcome refuse(struct peer *peer, int error)
{
    char why[128];
    snprintf(why, sizeof why, "%s", strerror(error));
    peer->crowd->tally.refused++;
    peer_fail(peer, why);
    peer_close(peer, CLOSE_ORDERLY);
    return STEP_FATAL;
}

static enum outcome begin_connect(struct peer *peer)
{
    const struct options *options = peer->crowd->options;
    struct sockets_connect connect = {.to = &options->target, .buffers = peer->buffers};
    if (options->sources_count > 0) {
        connect.from = &options->sources[peer->number % options->sources_count];
    }
    int fd = sockets_connect(&connect);
    if (fd < 0) {
        return refuse(peer, -fd);
    }
    peer->fd = fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = peer};
    if (epoll_ctl(peer->crowd->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        return refuse(peer, errno);
    }
    peer_wait(peer, timeout_ns(peer));
    return STEP_WAITS; /* the first event is on its way, or there already */
}

/* The system says so. What came before the reset is still to be read, and there is no more of it.
 */
static enum outcome note_reset(struct peer *peer)
{
    peer->was_reset = true;
    while (peer->reads && peer_receive(peer, UINT64_MAX)) {
    }
    peer_note_end(peer, ENDED_RESET);
    return STEP_GOES_ON;
}

static enum outcome do_connect(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        return begin_connect(peer);
    }
    if (!peer->writable) {
        return peer->expired ? refuse(peer, ETIMEDOUT) : STEP_WAITS;
    }
    int error = sockets_error(peer->fd);
    bool was_reset = error == ECONNRESET || error == EPIPE; /* it was made, and is over already */
    if (error != 0 && !was_reset) {
        return refuse(peer, error);
    }
    peer->connected = true;
    peer->connected_ns = clock_ns();
    peer->crowd->tally.made++;
    peer->crowd->connected_first += peer->was_connected ? 0 : 1;
    peer->was_connected = true;
    replies_start(&peer->replies, &peer->at);
    if (was_reset) {
        (void)note_reset(peer); /* connecting itself is done */
    }
    return STEP_DONE;
}

/* ----------------------------------------------------------------------------------------- sending
 */

static bool in_pieces(const struct peer *peer)
{
    return peer->piece.low > 0;
}

static uint64_t draw_for_piece(struct peer *peer, struct range range)
{
    return random_within(range, random_mix(~peer->stream.key, ++peer->pieces));
}

static void take_of_piece(struct peer *peer, size_t bytes)
{
    peer->piece_left -= bytes;
    if (peer->piece_left == 0) {
        uint64_t pause_us = draw_for_piece(peer, peer->each_us);
        peer->piece_due_ns = clock_ns() + pause_us * NS_PER_US;
    }
}

/* How much of the step may be sent now; 0: its time has not come. */
static size_t allowed(struct peer *peer)
{
    if (!in_pieces(peer)) {
        return peer->send_most;
    }
    if (clock_ns() < peer->piece_due_ns) {
        timers_set(&peer->crowd->timers, &peer->timer, peer->piece_due_ns);
        return 0;
    }
    if (peer->piece_left == 0) {
        peer->piece_left = draw_for_piece(peer, peer->piece);
    }
    return peer->piece_left < CROWD_BUFFER_BYTES ? (size_t)peer->piece_left : CROWD_BUFFER_BYTES;
}

/* So many bytes of those that were made have left. */
static void note_sent(struct peer *peer, size_t bytes)
{
    struct crowd *crowd = peer->crowd;
    uint64_t frames = scan_all(&peer->sent, &peer->stream.framing, crowd->buffer, bytes);
    peer->frames_out += frames;
    crowd->tally.frames_out += frames;
    crowd->tally.bytes_out += bytes;
    peer->run_bytes += bytes;
    if (in_pieces(peer)) {
        take_of_piece(peer, bytes);
    }
    timers_cancel(&crowd->timers, &peer->timer); /* something moved: waiting begins anew */
    peer->expired = false;
}

static enum outcome do_send(struct peer *peer)
{
    if (peer->ended != ENDED_NOT) {
        return cursor_sent_all(&peer->at, &peer->stream) ? STEP_DONE : STEP_WAITS;
    }
    struct crowd *crowd = peer->crowd;
    if (!peer->writable) {
        return wait_for_it(peer);
    }
    struct cursor further = peer->at;
    size_t most = allowed(peer);
    if (most == 0) {
        return cursor_sent_all(&peer->at, &peer->stream) ? STEP_DONE : STEP_WAITS;
    }
    MUST(most <= sizeof crowd->buffer);
    size_t bytes = cursor_bytes(&further, &peer->stream, crowd->buffer, most);
    if (bytes == 0) {
        return STEP_DONE;
    }
    ssize_t sent = send(peer->fd, crowd->buffer, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) {
        peer->writable = false;
        peer->send_most = SEND_PIECE_BYTES;
        peer->expired = false; /* that was the time of a piece */
        peer_wait(peer, timeout_ns(peer));
        return STEP_WAITS;
    }
    if (sent < 0) {
        MUST(errno == EPIPE || errno == ECONNRESET || errno == EINTR || errno == ETIMEDOUT);
        return errno == EINTR ? STEP_GOES_ON : note_reset(peer);
    }
    if ((size_t)sent == bytes) {
        peer->at = further;
        peer->send_most = CROWD_BUFFER_BYTES;
    } else {
        size_t more = (size_t)sent + SEND_PIECE_BYTES;
        peer->send_most = more < CROWD_BUFFER_BYTES ? more : CROWD_BUFFER_BYTES;
        MUST(cursor_bytes(&peer->at, &peer->stream, NULL, (size_t)sent) == (size_t)sent);
    }
    note_sent(peer, (size_t)sent);
    return STEP_GOES_ON;
}

/* ----------------------------------------------------------------------------------------- waiting
 */

/* Something that comes is waited for: looks for more of it if the script does not read by itself.
 */
static enum outcome look_for_more(struct peer *peer, uint64_t most)
{
    if (!peer->reads && peer->readable && peer->ended == ENDED_NOT && peer_receive(peer, most)) {
        return STEP_GOES_ON;
    }
    return wait_for_it(peer);
}

static enum outcome do_read(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        peer_wait(peer, timeout_ns(peer));
    }
    uint64_t target = peer->bytes_taken + peer->number_drawn;
    if (peer->bytes_in < target) {
        return look_for_more(peer, target - peer->bytes_in);
    }
    peer->bytes_taken = target;
    return STEP_DONE;
}

static enum outcome do_replies(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        peer_wait(peer, timeout_ns(peer));
    }
    uint64_t target = peer->frames_out;
    if (peer->number_drawn > 0) {
        target = peer->frames_taken + peer->number_drawn;
    }
    if (peer->replies.frames < target) {
        return look_for_more(peer, UINT64_MAX);
    }
    peer->frames_taken = target;
    return STEP_DONE;
}

static enum outcome do_ping(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        peer->ping_ns = clock_ns();
    }
    if (!peer->waits_for_echo) {
        enum outcome outcome = do_send(peer);
        if (outcome != STEP_DONE) {
            return outcome;
        }
        peer->waits_for_echo = true;
        peer_wait(peer, timeout_ns(peer));
    }
    if (peer->replies.frames < peer->frames_out) {
        return look_for_more(peer, UINT64_MAX);
    }
    histogram_add(&peer->crowd->tally.pings_us, (clock_ns() - peer->ping_ns) / NS_PER_US);
    peer->frames_taken = peer->frames_out;
    return STEP_DONE;
}

static enum outcome do_pause(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        peer_wait(peer, peer->number_drawn * NS_PER_US);
    }
    return peer->expired ? STEP_DONE : STEP_WAITS;
}

static enum outcome do_expect(struct peer *peer, const struct step *step)
{
    if (enter(peer, step)) {
        peer_wait(peer, peer->number_drawn > 0 ? peer->number_drawn * NS_PER_US : timeout_ns(peer));
    }
    if (!peer->reads && peer->other_ended) {
        peer_note_end(peer, ENDED_EOF);
    }
    if (peer->ended == ENDED_NOT && !peer->expired) {
        return STEP_WAITS;
    }
    bool met = peer->ended == ENDED_NOT   ? false
               : peer->ended == ENDED_EOF ? step->verb != VERB_EXPECT_RESET
                                          : step->verb != VERB_EXPECT_EOF;
    if (!met) {
        peer->crowd->tally.unmet++;
        peer_fail(peer, peer->ended == ENDED_NOT   ? "it did not end in time"
                        : peer->ended == ENDED_EOF ? "it ended with an end of stream"
                                                   : "it ended with a reset");
    }
    if (peer->ended == ENDED_NOT) {
        peer_close(peer, CLOSE_TIMED_OUT);
        return STEP_FATAL;
    }
    peer->end_expected = true;
    return STEP_DONE;
}

/* ------------------------------------------------------------------------------- modes and endings
 */

static enum outcome do_buffer(struct peer *peer, const struct step *step)
{
    enter(peer, step);
    int bytes = peer->number_drawn < INT32_MAX ? (int)peer->number_drawn : INT32_MAX;
    if (step->verb == VERB_RCVBUF) {
        peer->buffers.receive_bytes = bytes;
    } else {
        peer->buffers.send_bytes = bytes;
    }
    if (peer->fd >= 0) {
        MUST(sockets_set_buffers(peer->fd, &peer->buffers) == 0);
    }
    return STEP_DONE;
}

static enum outcome do_shut(struct peer *peer)
{
    if (shutdown(peer->fd, SHUT_WR) != 0) {
        MUST(errno == ENOTCONN); /* it was reset: the next look says so */
    }
    return STEP_DONE;
}

static enum outcome end(struct peer *peer, enum peer_close how)
{
    peer_close(peer, how);
    return STEP_DONE;
}

enum outcome steps_do(struct peer *peer, const struct step *step)
{
    switch (step->verb) {
    case VERB_CONNECT:
        return do_connect(peer, step);
    case VERB_RCVBUF:
    case VERB_SNDBUF:
        return do_buffer(peer, step);
    case VERB_BYTES:
        peer->piece = step->first;
        peer->each_us = step->second;
        peer->piece_left = 0;
        peer->piece_due_ns = 0;
        return STEP_DONE;
    case VERB_NOREAD:
    case VERB_DOREAD:
        peer->reads = step->verb == VERB_DOREAD;
        return STEP_DONE;
    case VERB_SEND:
    case VERB_FRAMES:
    case VERB_PART:
        return do_send(peer);
    case VERB_PING:
        return do_ping(peer, step);
    case VERB_READ:
        return do_read(peer, step);
    case VERB_REPLIES:
        return do_replies(peer, step);
    case VERB_PAUSE:
        return do_pause(peer, step);
    case VERB_SHUT:
        return do_shut(peer);
    case VERB_CLOSE:
        return end(peer, CLOSE_ORDERLY);
    case VERB_RESET:
        return end(peer, CLOSE_BY_RESET);
    case VERB_VANISH:
        return end(peer, CLOSE_BY_VANISHING);
    case VERB_EXPECT_EOF:
    case VERB_EXPECT_RESET:
    case VERB_EXPECT_END:
        return do_expect(peer, step);
    case VERB_REPEAT:
    case VERB_AGAIN:
        break; /* the cursor goes through these */
    }
    MUST(step->verb != VERB_REPEAT && step->verb != VERB_AGAIN);
    return STEP_FATAL;
}
