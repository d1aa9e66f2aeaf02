/* Nodes: many small things of one size, carved out of pieces of the pool. */
#ifndef BERTH_BUF_NODES_H
#define BERTH_BUF_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf/pool.h"

/* A piece holds dozens of nodes; a page, so that a piece's address follows from a node's. */
#define NODES_PIECE ((size_t)4096)

struct nodes_piece;

struct nodes {
    struct pool *pool;           /* borrowed */
    struct nodes_piece *partial; /* pieces with a free node and a used one */
    struct nodes_piece *spare;   /* a piece without a used one, kept against taking it anew */
    uint32_t node_bytes;
    uint32_t per_piece;
    uint32_t used;   /* nodes that are out */
    uint32_t pieces; /* taken from the pool, the spare included */
};

/* Borrows the pool until nodes_fini. node_bytes: at least a pointer's, at most a quarter of a
 * piece. Takes nothing yet. */
void nodes_init(struct nodes *nodes, struct pool *pool, uint32_t node_bytes);

/* Gives the spare piece back. Every node must have been given back. */
void nodes_fini(struct nodes *nodes);

/* A node, aligned for any pointer or 64-bit number, its bytes undefined. NULL when the pool, or
 * the part of it that output may take, has no piece left. O(1), or a pool_take. */
void *nodes_take(struct nodes *nodes);

/* Whether nodes_take would succeed. */
bool nodes_can(const struct nodes *nodes);

/* Gives a node back; a piece all of whose nodes are back goes back to the pool, but for one. O(1),
 * or a pool_give. */
void nodes_give(struct nodes *nodes, void *node);

#endif
