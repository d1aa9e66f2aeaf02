/* A peer's life: what happened to its socket, what the script comes to next, how connections end
 * and how that is counted.
 *
 * The socket is registered once, edge-triggered: what is known of it (readable, writable) is kept
 * here until the system says EAGAIN, so a peer that does not read costs nothing however much waits.
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"
#include "must.h"
#include "random.h"
#include "sockets.h"

/* What a peer does before the others get their turn: steps, sends and receives, and bytes sent. */
#define SHARE       16
#define SHARE_BYTES CROWD_BUFFER_BYTES

void peer_start(struct peer *peer)
{
    peer->fd = -1;
    peer->reads = true;
    peer->send_most = CROWD_BUFFER_BYTES;
    peer->timer.owner = peer;
    peer->stream = (struct stream){
        .script = peer->crowd->script,
        .framing = peer->crowd->options->framing,
        .key = random_mix(peer->crowd->options->seed, peer->number),
    };
    cursor_start(&peer->at, &peer->stream);
}

void peer_events(struct peer *peer, uint32_t events)
{
    peer->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    peer->writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    peer->hung |= (events & (EPOLLHUP | EPOLLERR)) != 0;
    peer->other_ended |= (events & EPOLLRDHUP) != 0;
}

void peer_expired(struct peer *peer)
{
    peer->expired = true;
}

void peer_wait(struct peer *peer, uint64_t wait_ns)
{
    timers_set(&peer->crowd->timers, &peer->timer, clock_ns() + wait_ns);
}

/* ---------------------------------------------------------------------------------------- failures
 */

void peer_fail(struct peer *peer, const char *why)
{
    struct tally *tally = &peer->crowd->tally;
    char place[128] = "its end";
    peer->failed = true;
    if (tally->failure[0] != '\0') {
        return;
    }
    if (cursor_step(&peer->at, &peer->stream) != NULL) {
        script_place(peer->crowd->options->text, peer->crowd->script, peer->at.step, place,
                     sizeof place);
    }
    snprintf(tally->failure, sizeof tally->failure, "connection %llu, %s: %s",
             (unsigned long long)peer->number + 1, place, why);
}

/* -------------------------------------------------------------------------------------------- ends
 */

void peer_note_end(struct peer *peer, enum peer_ended how)
{
    if (peer->ended == ENDED_NOT) {
        peer->ended = how;
        histogram_add(&peer->crowd->tally.lives_us, (clock_ns() - peer->connected_ns) / NS_PER_US);
    }
}

static void count_end(struct peer *peer, enum peer_close how)
{
    struct tally *tally = &peer->crowd->tally;
    if (peer->ended == ENDED_EOF) {
        tally->ended_eof++;
    } else if (peer->ended == ENDED_RESET) {
        tally->ended_reset++;
    } else if (how == CLOSE_TIMED_OUT) {
        tally->ended_timeout++;
    } else {
        tally->ended_itself++;
    }
    tally->frames_in += peer->replies.frames;
    tally->wrong += peer->replies.wrong;
    if (peer->replies.wrong > 0) {
        peer_fail(peer, "a reply was no echo of what was sent");
    }
}

static void forget_connection(struct peer *peer)
{
    peer->fd = -1;
    peer->connected = false;
    peer->readable = false;
    peer->writable = false;
    peer->hung = false;
    peer->other_ended = false;
    peer->was_reset = false;
    peer->end_expected = false;
    peer->ended = ENDED_NOT;
    peer->bytes_in = 0;
    peer->bytes_taken = 0;
    peer->frames_out = 0;
    peer->frames_taken = 0;
    peer->sent = (struct scan){0};
}

void peer_close(struct peer *peer, enum peer_close how)
{
    if (peer->fd < 0) {
        return;
    }
    if (peer->connected) {
        count_end(peer, how);
    }
    int result = 0;
    if (how == CLOSE_BY_VANISHING) {
        result = sockets_vanish(peer->fd);
    }
    if (result != 0) {
        peer_fail(peer, "this needs the right to TCP_REPAIR (CAP_NET_ADMIN)");
    }
    if (how == CLOSE_BY_RESET) {
        sockets_reset(peer->fd);
    } else if (how != CLOSE_BY_VANISHING || result != 0) {
        close(peer->fd);
    }
    forget_connection(peer);
}

void peer_stop(struct peer *peer)
{
    timers_cancel(&peer->crowd->timers, &peer->timer);
    peer_close(peer, CLOSE_ORDERLY);
}

/* ------------------------------------------------------------------------------------------ coming
 */

bool peer_receive(struct peer *peer, uint64_t most)
{
    struct crowd *crowd = peer->crowd;
    size_t room = most < sizeof crowd->buffer ? (size_t)most : sizeof crowd->buffer;
    ssize_t got = recv(peer->fd, crowd->buffer, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        peer->readable = errno == EINTR;
        return false;
    }
    if (got <= 0) {
        peer->readable = false;
        peer_note_end(peer, got == 0 && !peer->was_reset ? ENDED_EOF : ENDED_RESET);
        return false;
    }
    struct replies_context context = {&peer->stream, &crowd->options->rule, &peer->at};
    replies_take(&peer->replies, &context, crowd->buffer, (size_t)got);
    peer->bytes_in += (uint64_t)got;
    crowd->tally.bytes_in += (uint64_t)got;
    return true;
}

/* What came by itself, before the script goes on: whether there may be more. */
static bool look(struct peer *peer)
{
    if (peer->fd < 0 || !peer->connected || peer->ended != ENDED_NOT) {
        return false;
    }
    if (peer->reads && peer->readable) {
        return peer_receive(peer, UINT64_MAX) || peer->readable;
    }
    if (peer->hung && sockets_error(peer->fd) != 0) {
        peer_note_end(peer, ENDED_RESET);
    }
    return false;
}

/* ------------------------------------------------------------------------------------ step by step
 */

static void leave_step(struct peer *peer)
{
    peer->entered = false;
    peer->expired = false;
    peer->waits_for_echo = false;
    timers_cancel(&peer->crowd->timers, &peer->timer);
}

static enum peer_state over(struct peer *peer)
{
    peer_close(peer, CLOSE_ORDERLY);
    leave_step(peer);
    peer->crowd->tally.done += peer->failed ? 0 : 1;
    peer->crowd->tally.failed += peer->failed ? 1 : 0;
    return PEER_OVER;
}

/* The connection has ended and the step would wait for it: to where the script takes note of ends.
 */
static void skip(struct peer *peer)
{
    leave_step(peer);
    struct cursor before = peer->at;
    cursor_skip_to_end_of_connection(&peer->at, &peer->stream);
    const struct step *step = cursor_step(&peer->at, &peer->stream);
    if (step == NULL || step->verb == VERB_CLOSE || step->verb == VERB_RESET ||
        step->verb == VERB_VANISH) {
        struct cursor landing = peer->at;
        peer->at = before; /* for the words */
        peer->crowd->tally.cut++;
        peer_fail(peer, peer->ended == ENDED_EOF ? "the other side ended the connection"
                                                 : "the other side reset the connection");
        peer->at = landing;
    }
}

enum peer_state peer_run(struct peer *peer)
{
    peer->run_bytes = 0;
    for (unsigned share = 0; share < SHARE && peer->run_bytes < SHARE_BYTES; share++) {
        if (look(peer)) {
            continue;
        }
        const struct step *step = cursor_step(&peer->at, &peer->stream);
        if (step == NULL) {
            return over(peer);
        }
        switch (steps_do(peer, step)) {
        case STEP_DONE:
            leave_step(peer);
            cursor_advance(&peer->at, &peer->stream);
            break;
        case STEP_GOES_ON:
            break;
        case STEP_FATAL:
            return over(peer);
        case STEP_WAITS:
            if (peer->ended != ENDED_NOT && !(step->verb == VERB_PAUSE && peer->end_expected)) {
                skip(peer);
            } else if (!(peer->reads && peer->readable && peer->connected)) {
                return PEER_WAITS;
            }
            break;
        }
    }
    return PEER_GIVES_WAY;
}
