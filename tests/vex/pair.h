/* A connection through the relay: a client's socket, the server's, and the bytes between them, each
 * way with the faults of the relay's options. What is done is a function of the seed, the number of
 * the connection and the place in the stream, as far as the network lets it.
 *
 * The relay tells a pair what happened, and pair_run goes on until it has to wait. O(bytes).
 */
#ifndef BERTH_TESTS_VEX_PAIR_H
#define BERTH_TESTS_VEX_PAIR_H

#include <stddef.h>

#include "relay.h"

#define PASS_BYTES 16384

struct side {
    struct pair *pair;
    int fd;
    bool readable;
    bool writable;
};

/* One way. */
struct pass {
    struct side *from;
    struct side *to;
    uint64_t *bytes_count; /* of the relay's counts */
    uint64_t key;
    uint64_t came;   /* bytes, in all: the place in the stream */
    uint64_t pieces; /* in all */
    uint64_t piece_left;
    uint64_t held_until_ns;
    uint64_t end_due_ns; /* when the end of the stream is passed on; 0: it has not come */
    bool end_passed;
    size_t first; /* of the bytes that wait */
    size_t count;
    uint8_t bytes[PASS_BYTES];
};

enum cut { CUT_NOT, CUT_VANISH, CUT_RESET };

struct pair {
    struct relay *relay;
    struct pair *next;
    struct pair *before;
    struct pair *next_ready;
    bool is_ready;
    bool connected; /* to the server */
    bool is_dead;
    enum cut cut;
    uint64_t cut_left; /* bytes that pass before it */
    struct timer timer;
    struct side client;
    struct side server;
    struct pass up;
    struct pass down;
};

/* Takes an accepted client, and begins to connect to the server. */
void pair_open(struct relay *relay, int fd);

/* Events of one of its sides, as epoll has them. */
void pair_events(struct side *side, uint32_t events);

void pair_run(struct pair *pair);

/* Ends it orderly, as when the relay ends. */
void pair_close(struct pair *pair);

#endif
