/* The inside of the simulated world, shared by its files and by nobody else: sim_world.c (clock,
 * events, listeners, connections), sim.c (the ios), sim_peer.c (the actors).
 */
#ifndef BERTH_IO_SIM_WORLD_H
#define BERTH_IO_SIM_WORLD_H

#include "io/backend.h"
#include "io/sim.h"

/* --------------------------------------------------------------------------------------- events */

enum sim_event_kind {
    /* in the world's heap: what a network does; `index` is the end at which it happens */
    SIM_SYN,    /* a connect reaches the listener; index is the client's end */
    SIM_ANSWER, /* the listener's answer reaches the client; value is the result, negated */
    SIM_BYTES,  /* bytes arrive, up to the value-th of the connection */
    SIM_FIN,
    SIM_RST,
    SIM_GIVE_UP, /* the system stops sending again */
    SIM_ALARM,   /* nothing but the time */
    /* in an io's heap: what its next reap may complete; all but the cancels only look again */
    SIM_ACCEPT,    /* index is the accept */
    SIM_CONNECTED, /* index is the end, also below */
    SIM_READABLE,
    SIM_WRITABLE,
    SIM_CANCEL_ACCEPT, /* index is the accept, value its serial */
    SIM_CANCEL_CONNECT,
    SIM_CANCEL_RECEIVE, /* value is the operation's serial */
    SIM_CANCEL_SEND,
};

struct sim_event {
    uint64_t due_ns;
    uint64_t tie; /* drawn at random: which of two events of the same nanosecond is first */
    uint64_t value;
    uint32_t index;
    uint32_t generation; /* of the end; an event for an earlier connection is dropped */
    enum sim_event_kind kind;
};

/* A binary heap; the first event is the next one. */
struct sim_heap {
    struct sim_event *events;
    uint32_t count;
    uint32_t room;
};

/* ---------------------------------------------------------------------------------- connections */

/* The bytes on their way to one end, counted from the connection's start:
 * read <= arrived <= written <= read + pipe_bytes. */
struct sim_pipe {
    uint8_t *bytes; /* a ring of pipe_bytes, made at the first write */
    uint32_t size;
    uint64_t written;
    uint64_t arrived;
    uint64_t read;
    uint64_t last_due_ns; /* when the last thing sent arrives; the next arrives later */
    bool fin;             /* the end of the stream has arrived */
};

#define END_OPEN        0x0001u /* exists, and its owner has not closed it */
#define END_ANSWERED    0x0002u /* the connect has its result */
#define END_CONNECTED   0x0004u
#define END_RESET       0x0008u /* a reset arrived or was sent: nothing moves any more */
#define END_ERROR       0x0010u /* ... and nobody was told yet */
#define END_SHUT_READ   0x0020u
#define END_SHUT_SEND   0x0040u /* sent its FIN, or is closed */
#define END_VANISHED    0x0080u /* closed without a word */
#define END_CONNECT_DUE 0x0100u /* an event of this kind is in the io's heap */
#define END_RECEIVE_DUE 0x0200u
#define END_SEND_DUE    0x0400u
#define END_SEND_LATE   0x0800u /* its send is done, and not told yet: in sim_io.late */

struct sim_io;

/* One end of a connection. Ends 2n and 2n + 1 are the client's and the server's of connection n. */
struct sim_end {
    struct sim_pipe in;
    struct sim_io *owner; /* NULL: an actor's, or waiting in a backlog */
    uint32_t sock;        /* the owner's socket */
    uint32_t flags;
    uint32_t generation;     /* of the connection */
    uint32_t next_free;      /* of connections; in the client's end */
    int connect_error;       /* 0 or an errno */
    int error;               /* with END_ERROR: the errno, if it is not that of a reset */
    uint64_t serial;         /* of the last operation started here */
    uint64_t receive_serial; /* also the connect's */
    uint64_t send_serial;
    uint64_t send_turn;   /* the owner's, when it was started */
    uint32_t spans_count; /* the send in flight: the array is copied, the bytes are not */
    struct io_span spans[IO_SPANS_MAX];
    struct berth_address address;
};

struct sim_listener {
    struct berth_address address;
    bool open;
    bool halted;
    uint32_t backlog;
    uint32_t waiting; /* how many */
    uint32_t first;   /* where the ring begins */
    uint32_t *queue;  /* the server's ends, `backlog` places */
};

/* ---------------------------------------------------------------------------- ios and the world */

struct sim_io {
    struct io io;
    struct sim_world *world;
    struct sim_heap heap;
    uint32_t number;
    uint32_t missed;      /* turns of others while this one should have had its own */
    bool waits;           /* the last reap had nothing, and would be waiting still */
    uint64_t deadline_ns; /* ... until then at most */
    bool woken;
    uint8_t accepts_due; /* a bit for each SIM_ACCEPT in the heap */
    uint64_t accept_serials[IO_ACCEPTS_MAX];
    uint64_t accept_serial;
    uint16_t *leases_free; /* a stack, from which any place is taken */
    uint32_t leases_count;
    bool overflown;   /* this reap found more than options.queue_entries */
    bool spurious;    /* this reap, or the last one, gave nothing for no reason */
    bool interrupted; /* the next one is to give nothing */
    uint64_t turn;    /* reaps so far */
    uint32_t *late;   /* socks_max: ends whose send is done, and may be told late */
    uint32_t late_count;
    uint64_t late_ns; /* until then */
};

struct sim_world {
    struct sim_options options;
    uint64_t random;
    uint64_t hash;
    uint64_t now_ns;
    struct sim_heap heap;

    struct sim_io **ios; /* by number; NULL where one was closed */
    uint32_t ios_count;
    uint32_t ios_room;

    struct sim_listener *listeners;
    uint32_t listeners_count;
    uint32_t listeners_room;

    struct sim_end *ends; /* two a connection */
    uint32_t ends_room;
    uint32_t conns_count;
    uint32_t conns_free; /* head of the free list, or SIM_NONE */
    uint32_t conns_open;
    uint16_t next_port;

    uint32_t socks;       /* of the ios */
    uint64_t bytes;       /* written and not read, in all pipes */
    uint64_t completions; /* given out by all ios */
};

#define SIM_NONE UINT32_MAX

/* Randomness and the trace. */
uint64_t sim_below(struct sim_world *world, uint64_t limit); /* 0 to limit - 1; limit >= 1 */
bool sim_chance(struct sim_world *world, uint32_t rate);
uint64_t sim_delay(struct sim_world *world); /* >= 1 ns */
void sim_fold(struct sim_world *world, uint64_t value);
void sim_fold_bytes(struct sim_world *world, const uint8_t *bytes, uint32_t count);

/* Events. The heap is the world's or an io's; the delay is drawn by the caller. */
void sim_post(struct sim_world *world, struct sim_heap *heap, const struct sim_event *event);
bool sim_pop_due(struct sim_heap *heap, uint64_t now_ns, struct sim_event *out);
uint64_t sim_next_ns(const struct sim_heap *heap); /* IO_FOREVER if empty */
/* Moves the clock to at_ns and lets the network act up to there. */
void sim_advance(struct sim_world *world, uint64_t at_ns);

/* Makes an array of `item` bytes each, now *room of them, hold `count`; asserts memory. */
void *sim_grow(void *array, uint32_t *room, uint32_t count, size_t item);

/* Listeners. */
int sim_listen(void *world, const struct berth_address *address, int backlog,
               struct io_listener *out);
void sim_listener_close(void *world_of, struct io_listener *closing);
void sim_listener_halt(void *world_of, struct io_listener *halting);
int sim_listener_resume(void *world_of, struct io_listener *halted);
uint32_t sim_listener_take(struct sim_listener *listener); /* the first that waits; >= 1 does */

/* Ends. sim_connect returns the client's. */
uint32_t sim_connect(struct sim_world *world, const struct berth_address *remote,
                     const struct berth_address *local);
bool sim_end_readable(const struct sim_end *end); /* a receive can say something */
uint32_t sim_end_space(const struct sim_world *world, uint32_t end);
uint32_t sim_end_read(struct sim_world *world, uint32_t end, uint8_t *to, uint32_t count);
/* Takes bytes for the pipe; sim_end_sent then sends off what was put. */
void sim_end_put(struct sim_world *world, uint32_t end, const uint8_t *from, uint32_t count);
void sim_end_sent(struct sim_world *world, uint32_t end);
int sim_end_error(struct sim_end *end); /* takes the pending error: an errno, or 0 */
void sim_end_shutdown(struct sim_world *world, uint32_t end, enum io_shutdown how);
void sim_end_reset(struct sim_world *world, uint32_t end);
void sim_end_close(struct sim_world *world, uint32_t end, bool reset);
void sim_end_vanish(struct sim_world *world, uint32_t end);

/* Whether the system has no memory left for more bytes, or no descriptor. */
static inline bool sim_memory_is_out(const struct sim_world *world)
{
    uint32_t most = world->options.memory_bytes;
    return most != 0 && world->bytes >= most;
}

static inline bool sim_descriptors_are_out(const struct sim_world *world)
{
    uint32_t most = world->options.descriptors;
    return most != 0 && world->socks >= most;
}

/* One of an operation's listed errors, drawn. */
int sim_draw_error(struct sim_world *world, enum io_op op);
/* Whether an error of that list is the network's, so that the connection is over. */
bool sim_error_breaks(int error);

/* In sim.c: whether this io should have a turn before time goes on: it is working on what its last
 * reap gave, or something is due for it. Not if it missed so many that it counts as frozen. */
bool sim_io_has_turn(const struct sim_io *sim);

/* In sim.c: something changed at this end, or for this io's accepts; operations in flight there
 * that can go on now are put in the io's heap. */
void sim_end_changed(struct sim_world *world, uint32_t at);
void sim_accepts_changed(struct sim_io *sim);

#endif
