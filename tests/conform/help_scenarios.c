/* What many tests of io.h do in the same way: a connected pair, a transfer, an orderly end.
 *
 * All of it goes through the rig's book of operations; a receive that ends by law 9 or for want of
 * a buffer is started again here, as a caller of io.h must. Nothing here owns memory but the
 * patterns and the bytes collected, which the test frees.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conform/help_rig.h"

struct rig_pair rig_pair(struct rig *rig, uint32_t client_io, uint32_t server_io)
{
    uint32_t accept = rig_accept(rig, server_io);
    uint32_t connect = rig_connect(rig, client_io, &rig->listeners[0].address);
    RIG_UNTIL(rig, rig_op(rig, accept)->finals == 1 && rig_op(rig, connect)->finals == 1);
    if (rig_op(rig, accept)->result < 0 || rig_op(rig, connect)->result < 0) {
        rig_fail(rig, "no pair: accept %d, connect %d", rig_op(rig, accept)->result,
                 rig_op(rig, connect)->result);
    }
    return (struct rig_pair){.client = rig_op(rig, connect)->end,
                             .server = rig_op(rig, accept)->end};
}

struct berth_address rig_dead_address(struct rig *rig)
{
    struct io_listener listener;
    struct berth_address address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    int result = io_listen(rig_backend, rig_world(rig), &address, 1, &listener);
    if (result != 0) {
        rig_fail(rig, "io_listen: %d", result);
    }
    address = listener.address;
    io_listener_close(rig_backend, rig_world(rig), &listener);
    return address;
}

static bool flies(struct rig *rig, struct rig_end end, enum io_op kind)
{
    return io_in_flight(rig->ios[end.io], end.sock, kind);
}

/* Whether a receive that ended so is to be started again. */
static bool goes_on(const struct rig_op *op)
{
    return op->finals == 0 || op->result > 0 || op->result == -ENOBUFS;
}

void rig_transfer(struct rig *rig, struct rig_end from, struct rig_end to, const uint8_t *bytes,
                  size_t count, struct rig_bytes *into)
{
    size_t wanted = into->size + count;
    size_t sent = 0;
    bool sending = false;
    uint32_t send = 0;
    uint32_t receive = rig_receive(rig, to, into);
    rig_wait_begin(rig, "all bytes of the transfer have arrived");
    while (into->size < wanted) {
        if (sending && rig_op(rig, send)->finals == 1) {
            if (rig_op(rig, send)->result < 0) {
                rig_fail(rig, "send: %d", rig_op(rig, send)->result);
            }
            sent += (size_t)rig_op(rig, send)->result;
            sending = false;
        }
        if (!sending && sent < count) {
            send = rig_send(rig, from, bytes + sent, (uint32_t)(count - sent));
            sending = true;
        }
        if (rig_op(rig, receive)->finals == 1) {
            if (!goes_on(rig_op(rig, receive))) {
                rig_fail(rig, "receive: %d", rig_op(rig, receive)->result);
            }
            receive = rig_receive(rig, to, into);
        }
        (void)rig_turn(rig);
    }
    RIG_UNTIL(rig, !flies(rig, from, IO_SEND));
    io_cancel(rig->ios[to.io], to.sock, IO_RECEIVE);
    RIG_UNTIL(rig, !flies(rig, to, IO_RECEIVE));
}

void rig_collect(struct rig *rig, struct rig_end end, struct rig_bytes *into, size_t count)
{
    uint32_t receive = rig_receive(rig, end, into);
    rig_wait_begin(rig, "so many bytes were collected");
    while (into->size < count) {
        if (rig_op(rig, receive)->finals == 1) {
            if (!goes_on(rig_op(rig, receive))) {
                rig_fail(rig, "receive: %d after %zu bytes of %zu", rig_op(rig, receive)->result,
                         into->size, count);
            }
            receive = rig_receive(rig, end, into);
        }
        (void)rig_turn(rig);
    }
    io_cancel(rig->ios[end.io], end.sock, IO_RECEIVE);
    RIG_UNTIL(rig, !flies(rig, end, IO_RECEIVE));
}

void rig_send_all(struct rig *rig, struct rig_end end, const uint8_t *bytes, uint32_t count)
{
    uint32_t sent = 0;
    while (sent < count) {
        uint32_t send = rig_send(rig, end, bytes + sent, count - sent);
        RIG_UNTIL(rig, rig_op(rig, send)->finals == 1);
        if (rig_op(rig, send)->result < 0) {
            rig_fail(rig, "send: %d", rig_op(rig, send)->result);
        }
        sent += (uint32_t)rig_op(rig, send)->result;
    }
}

int32_t rig_follow(struct rig *rig, uint32_t receive)
{
    rig_wait_begin(rig, "the stream has ended");
    while (goes_on(rig_op(rig, receive))) {
        if (rig_op(rig, receive)->finals == 1) {
            receive = rig_receive(rig, rig_op(rig, receive)->end, rig_op(rig, receive)->into);
        }
        (void)rig_turn(rig);
    }
    return rig_op(rig, receive)->result;
}

int32_t rig_collect_end(struct rig *rig, struct rig_end end, struct rig_bytes *into)
{
    return rig_follow(rig, rig_receive(rig, end, into));
}

void rig_join(struct rig *rig, struct rig_end end)
{
    RIG_UNTIL(rig, !flies(rig, end, IO_RECEIVE) && !flies(rig, end, IO_SEND));
}

/* No cancel: the shutdown alone must end a receive and a send that wait. */
void rig_finish(struct rig *rig, struct rig_end end)
{
    io_shutdown(rig->ios[end.io], end.sock, IO_SHUTDOWN_BOTH);
    rig_join(rig, end);
    io_close(rig->ios[end.io], end.sock, false);
}

void rig_finish_pair(struct rig *rig, struct rig_pair pair)
{
    rig_finish(rig, pair.client);
    rig_finish(rig, pair.server);
}

size_t rig_fill(struct rig *rig, struct rig_end from, const uint8_t *block, uint32_t count,
                uint32_t *blocked)
{
    size_t taken = 0;
    for (;;) {
        uint32_t send = rig_send(rig, from, block, count);
        if (rig_quiet_unless(rig, send)) { /* what is not done then waits for space */
            *blocked = send;
            return taken;
        }
        if (rig_op(rig, send)->result < 0) {
            rig_fail(rig, "send: %d", rig_op(rig, send)->result);
        }
        taken += (size_t)rig_op(rig, send)->result;
    }
}

/* ---------------------------------------------------------------------------------------- bytes */

/* A multiplicative hash of the position: neither its neighbours nor the same place a buffer later
 * have the same bytes. */
static uint8_t pattern_at(size_t position)
{
    return (uint8_t)((uint32_t)position * 2654435761u >> 13);
}

uint8_t *rig_pattern(size_t count)
{
    uint8_t *bytes = malloc(count);
    if (bytes == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        bytes[i] = pattern_at(i);
    }
    return bytes;
}

void rig_expect_pattern(const struct rig *rig, const struct rig_bytes *got, size_t count)
{
    if (got->size != count) {
        rig_fail(rig, "%zu bytes arrived, not %zu", got->size, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (got->bytes[i] != pattern_at(i)) {
            rig_fail(rig, "byte %zu of %zu is %02x, not %02x", i, count, got->bytes[i],
                     pattern_at(i));
        }
    }
}

void rig_bytes_free(struct rig_bytes *bytes)
{
    free(bytes->bytes);
    *bytes = (struct rig_bytes){0};
}
