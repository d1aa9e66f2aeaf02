/* Pairs of sockets, and what happens to bytes on their way from one to the other.
 *
 * A pair has memory of its own, from the accept to the end of the turn in which it died. Its timer
 * stands at the next moment at which something that is held may go on.
 */
#include "pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "must.h"
#include "random.h"

/* Reads and writes before the others get their turn. */
#define SHARE 64

/* One in so many arrivals is stalled. */
#define STALLED_ONE_IN 8

/* Where a cut comes: bytes that passed both ways together, up to 2 to this. */
#define CUT_BITS_MAX 16

/* What a random number is for. */
enum purpose {
    FOR_CUT = 1,
    FOR_CUT_BITS,
    FOR_CUT_PLACE,
    FOR_STALL,
    FOR_STALL_MS,
    FOR_SPLIT,
    FOR_FLIP,
    FOR_BIT
};

static uint64_t draw(uint64_t key, enum purpose purpose, uint64_t which)
{
    return random_mix(random_mix(key, (uint64_t)purpose), which);
}

/* -------------------------------------------------------------------------------------------- ends
 */

static void bury(struct pair *pair)
{
    struct relay *relay = pair->relay;
    pair->is_dead = true;
    pair->client.fd = -1;
    pair->server.fd = -1;
    timers_cancel(&relay->timers, &pair->timer);
    if (pair->before != NULL) {
        pair->before->next = pair->next;
    } else {
        relay->pairs = pair->next;
    }
    if (pair->next != NULL) {
        pair->next->before = pair->before;
    }
    pair->next = relay->dead;
    relay->dead = pair;
    relay->pairs_open--;
    relay->may_accept = true; /* there are descriptors again */
}

void pair_close(struct pair *pair)
{
    close(pair->client.fd);
    close(pair->server.fd);
    bury(pair);
}

static void reset(struct pair *pair, uint64_t *count)
{
    (*count)++;
    sockets_reset(pair->client.fd);
    sockets_reset(pair->server.fd);
    bury(pair);
}

static void cut(struct pair *pair)
{
    struct relay_counts *counts = &pair->relay->counts;
    if (pair->cut == CUT_RESET) {
        reset(pair, &counts->resets);
        return;
    }
    counts->vanished++;
    MUST(sockets_vanish(pair->client.fd) == 0); /* relay_main has tried it */
    MUST(sockets_vanish(pair->server.fd) == 0);
    bury(pair);
}

/* --------------------------------------------------------------------------------------- beginning
 */

static void decide_cut(struct pair *pair, uint64_t key)
{
    const struct relay_options *options = pair->relay->options;
    uint64_t share = draw(key, FOR_CUT, 0) % UINT64_C(1000000000);
    if (share < options->vanish) {
        pair->cut = CUT_VANISH;
    } else if (share - options->vanish < options->reset) {
        pair->cut = CUT_RESET;
    }
    uint64_t bits = draw(key, FOR_CUT_BITS, 0) % (CUT_BITS_MAX + 1);
    pair->cut_left = draw(key, FOR_CUT_PLACE, 0) % (UINT64_C(1) << bits);
}

static bool watch(struct side *side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = side};
    return epoll_ctl(side->pair->relay->epoll, EPOLL_CTL_ADD, side->fd, &event) == 0;
}

static void link_pair(struct pair *pair)
{
    struct relay *relay = pair->relay;
    pair->next = relay->pairs;
    if (pair->next != NULL) {
        pair->next->before = pair;
    }
    relay->pairs = pair;
    relay->pairs_open++;
}

void pair_open(struct relay *relay, int fd)
{
    struct sockets_connect connect = {.to = &relay->options->to};
    int server = sockets_connect(&connect);
    struct pair *pair = server < 0 ? NULL : calloc(1, sizeof *pair);
    if (pair == NULL) {
        relay->counts.refused++;
        sockets_reset(fd);
        if (server >= 0) {
            close(server);
        }
        return;
    }
    uint64_t key = random_mix(relay->options->seed, relay->counts.connections++);
    sockets_send_at_once(fd);
    pair->relay = relay;
    pair->timer.owner = pair;
    pair->client = (struct side){.pair = pair, .fd = fd};
    pair->server = (struct side){.pair = pair, .fd = server};
    pair->up.from = pair->down.to = &pair->client;
    pair->up.to = pair->down.from = &pair->server;
    pair->up.bytes_count = &relay->counts.bytes_up;
    pair->down.bytes_count = &relay->counts.bytes_down;
    pair->up.key = random_mix(key, 1);
    pair->down.key = random_mix(key, 2);
    decide_cut(pair, key);
    link_pair(pair);
    if (!watch(&pair->client) || !watch(&pair->server)) {
        reset(pair, &relay->counts.refused);
    }
}

void pair_events(struct side *side, uint32_t events)
{
    side->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    side->writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
}

/* ------------------------------------------------------------------------------------------- bytes
 */

static void flip(struct pair *pair, struct pass *pass, uint8_t *bytes, size_t count)
{
    uint64_t share = pair->relay->options->flip;
    for (size_t i = 0; share > 0 && i < count; i++) {
        if (draw(pass->key, FOR_FLIP, pass->came + i) % UINT64_C(1000000000) < share) {
            bytes[i] ^= (uint8_t)(1u << (draw(pass->key, FOR_BIT, pass->came + i) % 8));
            pair->relay->counts.flips++;
        }
    }
}

/* Something came where nothing waited: how long it is held. */
static void hold(struct pair *pair, struct pass *pass)
{
    const struct relay_options *options = pair->relay->options;
    uint64_t hold_ms = 0;
    if (options->join_ms > 0) {
        hold_ms = options->join_ms;
        pair->relay->counts.joins++;
    }
    if (options->stall_ms > 0 && draw(pass->key, FOR_STALL, pass->came) % STALLED_ONE_IN == 0) {
        struct range range = {1, options->stall_ms};
        hold_ms += random_within(range, draw(pass->key, FOR_STALL_MS, pass->came));
        pair->relay->counts.stalls++;
    }
    pass->held_until_ns = hold_ms == 0 ? 0 : clock_ns() + hold_ms * NS_PER_MS;
}

/* Whether anything came. The pair may be dead afterwards. */
static bool take(struct pair *pair, struct pass *pass)
{
    size_t end = pass->first + pass->count;
    if (!pass->from->readable || end == sizeof pass->bytes || pass->end_due_ns != 0) {
        return false;
    }
    ssize_t got = recv(pass->from->fd, pass->bytes + end, sizeof pass->bytes - end, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        pass->from->readable = errno == EINTR;
        return false;
    }
    if (got < 0) {
        reset(pair, &pair->relay->counts.resets_passed);
        return false;
    }
    if (got == 0) {
        uint64_t late_ms = pair->relay->options->late_fin_ms;
        pass->end_due_ns = clock_ns() + late_ms * NS_PER_MS;
        pair->relay->counts.fins_late += late_ms > 0 ? 1 : 0;
        return true;
    }
    flip(pair, pass, pass->bytes + end, (size_t)got);
    if (pass->count == 0) {
        hold(pair, pass);
    }
    pass->came += (uint64_t)got;
    pass->count += (size_t)got;
    return true;
}

/* Bytes of the next write: up to the end of a piece, and up to a cut. */
static size_t piece_bytes(struct pair *pair, struct pass *pass)
{
    size_t bytes = pass->count;
    if (pair->relay->options->split.high > 0) {
        if (pass->piece_left == 0) {
            pass->piece_left = random_within(pair->relay->options->split,
                                             draw(pass->key, FOR_SPLIT, pass->pieces++));
        }
        bytes = pass->piece_left < bytes ? (size_t)pass->piece_left : bytes;
    }
    if (pair->cut != CUT_NOT && pair->cut_left < bytes) {
        bytes = (size_t)pair->cut_left;
    }
    return bytes;
}

static void note_passed(struct pair *pair, struct pass *pass, size_t bytes)
{
    pass->first += bytes;
    pass->count -= bytes;
    if (pass->count == 0) {
        pass->first = 0;
    }
    if (pass->piece_left > 0) {
        pass->piece_left -= bytes;
    }
    if (pair->cut != CUT_NOT) {
        pair->cut_left -= bytes;
    }
    *pass->bytes_count += bytes;
    pair->relay->counts.pieces++;
}

/* Whether anything left. The pair may be dead afterwards. */
static bool give(struct pair *pair, struct pass *pass)
{
    if (pass->count == 0 || !pass->to->writable || clock_ns() < pass->held_until_ns) {
        return false;
    }
    size_t bytes = piece_bytes(pair, pass);
    if (bytes == 0) {
        cut(pair);
        return false;
    }
    ssize_t sent = send(pass->to->fd, pass->bytes + pass->first, bytes, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        pass->to->writable = errno == EINTR;
        return false;
    }
    if (sent < 0) {
        reset(pair, &pair->relay->counts.resets_passed);
        return false;
    }
    note_passed(pair, pass, (size_t)sent);
    return true;
}

static void end(struct pass *pass)
{
    if (pass->end_due_ns != 0 && !pass->end_passed && pass->count == 0 &&
        clock_ns() >= pass->end_due_ns) {
        pass->end_passed = true;
        (void)shutdown(pass->to->fd, SHUT_WR); /* if it was reset, reading says so */
    }
}

/* ----------------------------------------------------------------------------------------- running
 */

/* When the pass may go on by itself; UINT64_MAX if it waits for sockets only. */
static uint64_t goes_on_ns(const struct pass *pass)
{
    if (pass->count > 0 && pass->to->writable) {
        return pass->held_until_ns;
    }
    return pass->end_due_ns != 0 && !pass->end_passed && pass->count == 0 ? pass->end_due_ns
                                                                          : UINT64_MAX;
}

static void set_timer(struct pair *pair)
{
    uint64_t up_ns = goes_on_ns(&pair->up);
    uint64_t down_ns = goes_on_ns(&pair->down);
    uint64_t first_ns = up_ns < down_ns ? up_ns : down_ns;
    if (first_ns == UINT64_MAX) {
        timers_cancel(&pair->relay->timers, &pair->timer);
    } else {
        timers_set(&pair->relay->timers, &pair->timer, first_ns);
    }
}

/* One step each way; false if it has to wait now, or is dead. */
static bool step(struct pair *pair, struct pass *pass)
{
    bool moved = take(pair, pass);
    if (!pair->is_dead) {
        moved = give(pair, pass) || moved;
    }
    if (!pair->is_dead) {
        end(pass);
    }
    return moved && !pair->is_dead;
}

static bool connect_done(struct pair *pair)
{
    if (pair->connected || !pair->server.writable) {
        return pair->connected;
    }
    if (sockets_error(pair->server.fd) != 0) {
        reset(pair, &pair->relay->counts.refused);
        return false;
    }
    pair->connected = true;
    return true;
}

void pair_run(struct pair *pair)
{
    if (pair->is_dead || !connect_done(pair)) {
        return;
    }
    bool moved = true;
    for (unsigned share = 0; moved && share < SHARE; share++) {
        moved = step(pair, &pair->up);
        if (!pair->is_dead) {
            moved = step(pair, &pair->down) || moved;
        }
        moved = moved && !pair->is_dead;
    }
    if (pair->is_dead) {
        return;
    }
    if (pair->up.end_passed && pair->down.end_passed) {
        pair_close(pair);
    } else if (moved && !pair->is_ready) {
        pair->is_ready = true;
        pair->next_ready = pair->relay->ready;
        pair->relay->ready = pair;
    } else if (!moved) {
        set_timer(pair);
    }
}
