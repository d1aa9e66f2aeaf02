/* Payloads for many, and who gets them: what group.c, payload.c and deliver.c share.
 *
 * A payload is one block of the server's posts: its head, a share for each worker that has
 * receivers, and its bytes, framed once for each framing in use. A share is the letter that brings
 * the payload to its worker, and counts the references of that worker alone; the last one to go
 * takes one off the payload's count of workers, and the last worker gives the block back.
 */
#ifndef BERTH_CORE_GROUP_H
#define BERTH_CORE_GROUP_H

#include "core/core.h"

/* Bytes that two threads write must not share a line of the cache. */
#define CACHE_LINE 64

/* ------------------------------------------------------------------------------------ a payload */

/* A worker's part. */
struct share {
    _Alignas(CACHE_LINE) struct mail mail;
    struct payload *payload;
    struct worker *worker;
    uint32_t references; /* the worker's only: deliveries, and members it waits for */
};

/* The payload in one framing. */
struct encoding {
    uint32_t at;   /* its first byte, counted from the struct payload */
    uint32_t size; /* 0: not made; the framing was not in use, or is: */
    bool unfit;    /* it cannot carry the payload */
};

struct payload {
    struct berth_server *server;
    struct berth_group *group; /* NULL: for everybody */
    uint64_t number;           /* among the group's: who joined later does not get it */
    enum berth_slow slow;
    uint32_t encodings_count; /* that were made */
    struct encoding encodings[BERTH_GROUP_FRAMINGS_MAX];
    _Atomic uint32_t workers; /* that still refer to it */
    struct share shares[];
};

/* One payload in one connection's chain: a node of worker.deliveries. Small payloads are referred
 * to as well: an idle connection's only slab would be ten times as large as this. */
struct delivery {
    struct slab_ref ref;
    struct share *share;
};

/* ------------------------------------------------------------------------------------- members */

/* A connection in a group: a node of worker.memberships, in its worker's part of the group and in
 * the connection's list. A connection that was slow when a broadcast came has one with no group,
 * which is in no part, until it is slow no more. */
struct member {
    struct berth_conn *conn;
    struct berth_group *group; /* NULL: everybody */
    struct member *next;       /* of the connection's */
    struct link in_part;
    struct link in_starved; /* in worker.starved: waits for a node, not for its queue */
    struct share *waits;    /* the newest payload, waiting for the queue to drain; or NULL */
    uint64_t joined;        /* the number of the first payload that is for it */
    bool slow;
};

/* As berth.h says. */
_Static_assert(sizeof(struct delivery) == 48, "a reference's bytes");
_Static_assert(sizeof(struct member) == 80, "a membership's bytes");

/* The members of a group on one worker. Only that worker writes. */
struct part {
    _Alignas(CACHE_LINE) struct list members;
    _Atomic uint32_t speaking[BERTH_GROUP_FRAMINGS_MAX]; /* members of each framing */
};

struct berth_group {
    struct berth_server *server;
    struct berth_group *next; /* in its bucket; fixed once it can be found */
    enum berth_slow slow;
    char name[BERTH_GROUP_NAME_BYTES_MAX + 1];
    _Alignas(CACHE_LINE) _Atomic uint64_t sent; /* payloads so far */
    struct part parts[];                        /* one per worker */
};

/* Adds to a number that only this thread writes and others read whole. */
static inline void count_add(_Atomic uint32_t *counter, uint32_t value)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

static inline const uint8_t *payload_bytes(const struct payload *payload, uint8_t framing)
{
    return (const uint8_t *)payload + payload->encodings[framing].at;
}

/* The connection's place in a group (NULL: everybody), or NULL. */
struct member *member_find(struct berth_conn *conn, const struct berth_group *group);
/* A new one, in no part; NULL when there is no node. */
struct member *member_make(struct berth_conn *conn, struct berth_group *group);
/* Ends one, and what waits for it. */
void member_end(struct member *member);

/* Gives up one of a share's references. On its worker. */
void share_drop(struct share *share);
/* Gives up a share to which nothing refers. Any thread. */
void share_over(struct share *share);

#endif
