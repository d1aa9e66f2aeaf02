/* A peer on libuv: a server of the seed's protocol with the streams of libuv.
 *
 *   peer_libuv [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a read are answered by one write.
 *
 * What its users do to be fast is done here: every read goes into one block that all connections
 * share (on_allocate), as large as the one of peer_epoll, and the replies leave with uv_try_write,
 * which is a plain write without a request. Only what that does not take is copied and waits in a
 * uv_write, and until it is out nothing is read: that is the back-pressure.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "frames.h"
#include "peer.h"

struct conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct part part;
    uint8_t *unsent;
};

static uint8_t received[RECEIVE_MAX];
static uint8_t replies[REPLIES_MAX];
static uint32_t next_id = FIRST_ID;

static void check(int result, const char *what)
{
    if (result) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
        exit(1);
    }
}

static void on_close(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    frames_fini(&conn->part);
    free(conn->unsent);
    free(conn);
}

static void end(struct conn *conn)
{
    if (!uv_is_closing((uv_handle_t *)&conn->tcp)) {
        uv_close((uv_handle_t *)&conn->tcp, on_close);
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init((char *)received, sizeof received);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void on_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    free(conn->unsent);
    conn->unsent = NULL;
    if (status || uv_read_start((uv_stream_t *)&conn->tcp, on_allocate, on_read)) {
        end(conn);
    }
}

static void send_replies_of(struct conn *conn, size_t count)
{
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
    uv_buf_t buffer = uv_buf_init((char *)replies, (unsigned)count);
    int sent = uv_try_write(stream, &buffer, 1);
    if (sent == (int)count) {
        return;
    }
    if (sent < 0 && sent != UV_EAGAIN) {
        end(conn);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    conn->unsent = need(malloc(count - done));
    memcpy(conn->unsent, replies + done, count - done);
    buffer = uv_buf_init((char *)conn->unsent, (unsigned)(count - done));
    conn->write.data = conn;
    if (uv_read_stop(stream) || uv_write(&conn->write, stream, &buffer, 1, on_written)) {
        end(conn);
    }
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    (void)buffer;
    struct conn *conn = stream->data;
    if (got == 0) {
        return; /* there was nothing */
    }
    uint8_t *to = NULL;
    if (got > 0) {
        to = frames_answer(&conn->part, received, received + got, replies, &next_id);
    }
    if (!to) {
        end(conn);
    } else if (to > replies) {
        send_replies_of(conn, (size_t)(to - replies));
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    check(status, "accept");
    struct conn *conn = need(calloc(1, sizeof *conn));
    conn->tcp.data = conn;
    check(uv_tcp_init(listener->loop, &conn->tcp), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) ||
        uv_read_start((uv_stream_t *)&conn->tcp, on_allocate, on_read)) {
        end(conn);
    }
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_open(&listener, listen_on(argc, argv)), "uv_tcp_open");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection), "uv_listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
