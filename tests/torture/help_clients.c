/* The rig's clients: say what they are told to, in whole or in pieces, and read what comes.
 *
 * A client is an end in the simulated world or a socket that does not block; everything is on the
 * test's thread, and its own memory is not counted. Each frame that comes is looked at byte by
 * byte: answers must be those that were asked for, each once and in order, payloads of a group and
 * pushes in the order of their numbers. Bytes that nobody asked for end the test.
 */
#include "torture/help_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

#define POLL_MS 1

/* --------------------------------------------------------------------------------- what it hears
 */

static void heard_reply(struct rig_client *client, const struct rig_message *reply)
{
    uint32_t number = reply->number;
    RIG_CHECK(number < client->asked && client->answers[number] == ANSWER_WANTED);
    RIG_CHECK(client->sizes[number] == reply->size);
    const struct rig_visit *visit = rig_visit_of((uint32_t)(client - rig.clients));
    if (visit != NULL && !visit->disorder) {
        RIG_CHECK((int32_t)number > client->last);
    }
    client->last = (int32_t)number;
    client->answers[number] = ANSWER_CAME;
    client->came++;
}

static void heard(struct rig_client *client, const uint8_t *bytes, uint32_t count)
{
    const struct rig_message message = rig_read(bytes, count);
    RIG_CHECK(message.size == count);
    atomic_fetch_add(&rig.progress, 1);
    if (message.kind == 'P') {
        RIG_CHECK(message.who <= RIG_ALL && message.number < rig.payloads[message.who]);
        RIG_CHECK((int32_t)message.number > client->last_payload[message.who]);
        client->last_payload[message.who] = message.number;
        client->payloads[message.who]++;
        return;
    }
    RIG_CHECK(message.who == (uint32_t)(client - rig.clients));
    if (message.kind == 'S') {
        RIG_CHECK((int32_t)message.number == client->last_push + 1);
        client->last_push = message.number;
        client->pushes++;
        return;
    }
    RIG_CHECK(message.kind == 'R');
    heard_reply(client, &message);
}

/* Cuts the frames that are whole off the front of what is held. */
static void cut(struct rig_client *client)
{
    uint32_t at = 0;
    while (client->held - at >= 4) {
        uint32_t size = load32(client->room + at, client->listener == 1);
        RIG_CHECK(size >= REPLY_HEAD && size <= RIG_MESSAGE);
        if (client->held - at - 4 < size) {
            break;
        }
        heard(client, client->room + at + 4, size);
        at += 4 + size;
    }
    client->held -= at;
    memmove(client->room, client->room + at, client->held);
}

static void ended(struct rig_client *client, bool reset)
{
    client->ended = true;
    client->reset = reset;
    atomic_fetch_add(&rig.progress, 1);
}

static int32_t read_live(struct rig_client *client)
{
    ssize_t got;
    do {
        got = recv(client->fd, client->room + client->held, RIG_ROOM - client->held, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        return (int32_t)got;
    }
    if (got == 0 || errno != EAGAIN) {
        ended(client, got < 0);
    }
    return 0;
}

static int32_t read_sim(struct rig_client *client)
{
    int32_t got = sim_peer_read(rig.world, client->peer, client->room + client->held,
                                RIG_ROOM - client->held);
    uint32_t state = sim_peer_state(rig.world, client->peer);
    if (got == 0 && (state & (SIM_PEER_EOF | SIM_PEER_RESET | SIM_PEER_REFUSED)) != 0) {
        client->refused = (state & SIM_PEER_REFUSED) != 0;
        ended(client, (state & SIM_PEER_RESET) != 0);
    }
    return got;
}

static void read_one(struct rig_client *client)
{
    int32_t got = 1;
    while (got > 0 && !client->closed && !client->ended && !client->stalls) {
        RIG_CHECK(client->held < RIG_ROOM);
        got = rig.kind == RIG_SIM ? read_sim(client) : read_live(client);
        client->held += (uint32_t)got;
        cut(client);
    }
}

void rig_clients_read(void)
{
    for (uint32_t i = 0; i < rig.clients_count; i++) {
        read_one(&rig.clients[i]);
    }
}

/* Waits a moment until one of them can be read. */
void rig_clients_poll(void)
{
    struct pollfd fds[RIG_CLIENTS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig.clients_count; i++) {
        const struct rig_client *client = &rig.clients[i];
        if (!client->closed && !client->ended && !client->stalls) {
            fds[count++] = (struct pollfd){.fd = client->fd, .events = POLLIN};
        }
    }
    (void)poll(fds, count, POLL_MS); /* however it ends, they are read */
}

/* ---------------------------------------------------------------------------------- what it says
 */

static void connect_live(struct rig_client *client, const struct berth_address *to)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RIG_CHECK(client->fd >= 0);
    RIG_CHECK(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    int result;
    do {
        result = connect(client->fd, (const struct sockaddr *)(const void *)&name, sizeof name);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        RIG_CHECK(errno == ECONNREFUSED || errno == ECONNRESET);
        client->refused = true;
        ended(client, false);
    }
    RIG_CHECK(fcntl(client->fd, F_SETFL, O_NONBLOCK) == 0);
}

uint32_t rig_client(uint8_t listener)
{
    RIG_CHECK(rig.clients_count < RIG_CLIENTS);
    uint32_t number = rig.clients_count++;
    struct rig_client *client = &rig.clients[number];
    memset(client, 0, offsetof(struct rig_client, room));
    client->listener = listener;
    client->last = -1;
    client->last_push = -1;
    for (uint32_t i = 0; i <= RIG_GROUPS; i++) {
        client->last_payload[i] = -1;
    }
    if (rig.kind == RIG_SIM) {
        client->peer = sim_peer_connect(rig.world, &rig.addresses[listener]);
        RIG_UNTIL(client->ended ||
                  (sim_peer_state(rig.world, client->peer) & SIM_PEER_CONNECTED) != 0);
    } else {
        connect_live(client, &rig.addresses[listener]);
    }
    return number;
}

static int32_t write_some(struct rig_client *client, const uint8_t *bytes, uint32_t count)
{
    if (rig.kind == RIG_SIM) {
        return sim_peer_write(rig.world, client->peer, bytes, count);
    }
    ssize_t wrote;
    do {
        wrote = send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (wrote < 0 && errno == EINTR);
    return wrote < 0 ? (errno == EAGAIN ? 0 : -EPIPE) : (int32_t)wrote;
}

void rig_say(uint32_t number, const void *bytes, uint32_t count)
{
    struct rig_client *client = &rig.clients[number];
    const uint8_t *from = bytes;
    uint32_t said = 0;
    while (said < count && !client->closed && !client->ended) {
        uint32_t left = count - said;
        int32_t wrote =
            write_some(client, from + said, rig.piece > 0 && rig.piece < left ? rig.piece : left);
        if (wrote < 0) {
            break; /* its end is read in its time */
        }
        said += (uint32_t)wrote;
        if (wrote > 0) {
            rig.stuck = 0;
        }
        if (wrote == 0) {
            rig_wait("room to say more", __LINE__);
        } else if (rig.piece > 0) {
            rig_turn();
        }
    }
}

uint32_t rig_frame(uint32_t number, struct ask ask, uint8_t *out)
{
    struct rig_client *client = &rig.clients[number];
    RIG_CHECK(ask.size >= ASK_HEAD && ask.size <= RIG_MESSAGE && client->asked < RIG_ASKS);
    RIG_CHECK(ask.reply >= REPLY_HEAD && ask.reply <= RIG_MESSAGE);
    const struct rig_message message = {.kind = ask.command,
                                        .who = (uint8_t)number,
                                        .number = client->asked,
                                        .size = ask.reply,
                                        .argument = ask.argument};
    bool answered = strchr("Kxq", ask.command) == NULL;
    client->answers[client->asked] = answered ? ANSWER_WANTED : ANSWER_NONE;
    client->sizes[client->asked] = ask.reply;
    client->wanted = (uint16_t)(client->wanted + (answered ? 1 : 0));
    client->asked++;
    store32(out, ask.size, client->listener == 1);
    rig_fill(out + 4, &message, ask.size);
    return 4 + ask.size;
}

void rig_ask(uint32_t number, struct ask ask)
{
    static uint8_t frame[RIG_MESSAGE + 4];
    uint32_t bytes = rig_frame(number, ask, frame);
    rig_say(number, frame, bytes);
}

bool rig_hello(uint32_t number)
{
    rig_ask(number, (struct ask){'e', 40, 40, 0});
    RIG_UNTIL(rig_settled(number));
    return !rig.clients[number].ended;
}

/* --------------------------------------------------------------------------------- how it leaves
 */

void rig_leave(uint32_t number)
{
    struct rig_client *client = &rig.clients[number];
    if (client->closed) {
        return;
    }
    client->closed = true;
    if (rig.kind == RIG_SIM) {
        sim_peer_close(rig.world, client->peer);
    } else {
        RIG_CHECK(close(client->fd) == 0);
    }
}

void rig_half_close(uint32_t number)
{
    struct rig_client *client = &rig.clients[number];
    client->leaves = true;
    if (rig.kind == RIG_SIM) {
        sim_peer_shutdown(rig.world, client->peer, IO_SHUTDOWN_SEND);
    } else {
        (void)shutdown(client->fd, SHUT_WR); /* it may be gone already */
    }
}

void rig_abandon(uint32_t number)
{
    struct rig_client *client = &rig.clients[number];
    if (rig.kind == RIG_SIM) {
        sim_peer_reset(rig.world, client->peer);
    } else {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        RIG_CHECK(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    }
    rig_leave(number);
}

/* ----------------------------------------------------------------------------------- what became
 */

struct rig_visit *rig_visit_of(uint32_t number)
{
    uint32_t count = rig.visits_count;
    for (uint32_t i = 0; i < count; i++) {
        if (rig.visits[i].client == (int)number && rig.visits[i].handle != 0) {
            return &rig.visits[i];
        }
    }
    return NULL;
}

bool rig_settled(uint32_t number)
{
    const struct rig_client *client = &rig.clients[number];
    bool waits = number == rig.bystander && rig.bystander_kept != NULL;
    return client->ended || client->closed || waits || client->came == client->wanted;
}

bool rig_all_settled(void)
{
    for (uint32_t i = 0; i < rig.clients_count; i++) {
        if (!rig_settled(i)) {
            return false;
        }
    }
    return true;
}

/* A connection ended that should not have. */
static void judge_hurt(uint32_t number)
{
    const struct rig_client *client = &rig.clients[number];
    struct rig_visit *visit = rig_visit_of(number);
    if (!allocations_failed() || number == rig.bystander) {
        rig_fail("client %u was closed: %s", number,
                 visit != NULL && visit->closes > 0
                     ? berth_reason_text((enum berth_reason)visit->reason)
                     : "before it was heard");
    }
    if (visit == NULL) {
        return; /* accepted, and no memory to serve it */
    }
    RIG_UNTIL(visit->closes > 0);
    if (visit->reason != BERTH_REASON_MEMORY && visit->reason != BERTH_REASON_SLOW) {
        rig_fail("client %u was closed, %u of %u answers came: %s", number, client->came,
                 client->wanted, berth_reason_text((enum berth_reason)visit->reason));
    }
}

/* Whether its connection was lost; that an answer never is without it. */
bool rig_judge_one(uint32_t number)
{
    const struct rig_client *client = &rig.clients[number];
    bool hurt =
        client->ended && !client->closed && (!client->leaves || client->came < client->wanted);
    if (hurt) {
        judge_hurt(number);
    }
    return hurt;
}

void rig_judge(void)
{
    uint32_t hurt = 0;
    RIG_UNTIL(rig_all_settled());
    for (uint32_t i = 0; i < rig.clients_count; i++) {
        hurt += rig_judge_one(i) ? 1 : 0;
    }
    if (hurt > 1 && allocations_mode() == FAIL_ONE) {
        rig_fail("one failure hurt %u clients", hurt);
    }
}
