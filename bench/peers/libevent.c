/* A peer on libevent: a server of the seed's protocol with the events of libevent 2.1.
 *
 *   peer_libevent [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a receive are answered by one send.
 *
 * Its events, and not its bufferevents: those read 16 KiB at a time into chains of small chunks,
 * copy once more on the way out, and send in a later turn; a server on them took 1.5 times as long
 * as raw epoll for short messages, and 5 times for 16 of 1 KiB at once. What is left of the
 * library is its loop, its table of events and its listener, as in the fastest servers that use
 * it. Level-triggered: one event a connection, for reading, or for writing while replies wait, so
 * epoll_ctl is called again only around a short send. No locks, and no time is asked for in the
 * loop, as there are no timers.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "peer.h"

struct conn {
    struct event event;
    struct part part;
    struct unsent unsent;
};

static uint8_t received[RECEIVE_MAX];
static uint8_t replies[REPLIES_MAX];
static uint32_t next_id = FIRST_ID;

static void end(struct conn *conn)
{
    event_del(&conn->event);
    close(event_get_fd(&conn->event));
    frames_fini(&conn->part);
    free(conn->unsent.bytes);
    free(conn);
}

static void on_ready(evutil_socket_t fd, short what, void *context);

/* Waits for what is to come, or for room for what is to go. */
static void await(struct conn *conn, struct event_base *base, evutil_socket_t fd, short what)
{
    if (event_assign(&conn->event, base, fd, (short)(what | EV_PERSIST), on_ready, conn) ||
        event_add(&conn->event, NULL)) {
        fail("event_add");
    }
}

static void await_other(struct conn *conn, short what)
{
    event_del(&conn->event);
    await(conn, event_get_base(&conn->event), event_get_fd(&conn->event), what);
}

static void serve(struct conn *conn, evutil_socket_t fd)
{
    ssize_t got = recv(fd, received, sizeof received, 0);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    uint8_t *to = NULL;
    if (got > 0) {
        to = frames_answer(&conn->part, received, received + got, replies, &next_id);
    }
    int sent = to ? 1 : -1;
    if (to && to > replies) {
        sent = send_replies(fd, &conn->unsent, replies, (size_t)(to - replies));
    }
    if (sent == 0) {
        await_other(conn, EV_WRITE);
    } else if (sent < 0) {
        end(conn);
    }
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct conn *conn = context;
    if (!(what & EV_WRITE)) {
        serve(conn, fd);
        return;
    }
    int sent = send_rest(fd, &conn->unsent);
    if (sent > 0) {
        await_other(conn, EV_READ);
    } else if (sent < 0) {
        end(conn);
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int bytes, void *context)
{
    (void)address;
    (void)bytes;
    (void)context;
    await(need(calloc(1, sizeof(struct conn))), evconnlistener_get_base(listener), fd, EV_READ);
}

static void on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)listener;
    (void)context;
    fail("accept");
}

int main(int argc, char **argv)
{
    int fd = listen_on(argc, argv);
    struct event_config *config = need(event_config_new());
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                      EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = need(event_base_new_with_config(config));
    /* A backlog of 0: it listens already. */
    struct evconnlistener *listener =
        need(evconnlistener_new(base, on_accept, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd));
    evconnlistener_set_error_cb(listener, on_accept_error);
    return event_base_dispatch(base) ? 1 : 0;
}
