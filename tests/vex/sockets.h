/* What vex asks of the system about one socket, beside sending and receiving. Descriptors belong to
 * the caller. All do not block.
 */
#ifndef BERTH_TESTS_VEX_SOCKETS_H
#define BERTH_TESTS_VEX_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct place {
    struct sockaddr_storage address;
    socklen_t bytes;
};

/* "127.0.0.1:4444", "[::1]:4444"; without a port, where `port` is false, "127.0.0.1". Numbers only:
 * names would need a resolver, and a time. */
bool sockets_parse(const char *text, bool port, struct place *out);

/* "127.0.0.1:4444". Returns `out`. */
const char *sockets_text(const struct place *place, char *out, size_t bytes);

/* SO_SNDBUF and SO_RCVBUF; 0: as the system does it. */
struct sockets_buffers {
    int send_bytes;
    int receive_bytes;
};

struct sockets_connect {
    const struct place *to;
    const struct place *from; /* NULL: the system chooses */
    struct sockets_buffers buffers;
};

/* Begins a connection. The descriptor, or a negative errno. */
int sockets_connect(const struct sockets_connect *options);

/* Listens; *bound is where. The descriptor, or a negative errno. */
int sockets_listen(const struct place *at, struct place *bound);

/* The socket's error, 0 if it has none; it is taken away by asking. */
int sockets_error(int fd);

/* Ends with a reset. */
void sockets_reset(int fd);

/* Ends without a word: neither FIN nor RST is sent, now or later (a vanished socket is gone, so the
 * system answers what still comes for it with RST). Needs CAP_NET_ADMIN; 0 or a negative errno, and
 * then the descriptor is still there. */
int sockets_vanish(int fd);

/* Sets those that are not 0. The window is said with the first packet: what is to be a small one is
 * set before the connection is made. 0 or a negative errno. */
int sockets_set_buffers(int fd, const struct sockets_buffers *buffers);

/* Small writes leave at once. */
void sockets_send_at_once(int fd);

/* Raises the limit of descriptors as far as the system lets us; how many there may be. */
uint64_t sockets_descriptors(void);

#endif
