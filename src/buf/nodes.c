/* Nodes: take and give one, and where their pieces come from.
 *
 * A piece of the pool begins with a head, and its nodes follow. Pieces that have both free and used
 * nodes are in one list, from whose front nodes are taken; full ones are in none. A piece is found
 * from its node by rounding down, as pieces are aligned within the pool. Nodes are for what hangs
 * on output chains, so their pieces count into the part of the pool that chains may take.
 *
 * The pool owns the memory, this the pieces, and the taker a node until it is given back. O(1), and
 * one pool_take or pool_give for a piece's worth of nodes.
 */
#include "buf/nodes.h"

#include "base/assert.h"

struct nodes_piece {
    struct nodes_piece *next;
    struct nodes_piece **link; /* the pointer that points here; NULL while in no list */
    void *free;                /* nodes that came back, linked through their first pointer */
    uint32_t carved;           /* nodes that were ever taken: those behind are untouched */
    uint32_t used;
};

#define NODE_ALIGN 8u

static struct nodes_piece *piece_of(const struct nodes *nodes, void *node)
{
    size_t offset = (size_t)((uint8_t *)node - nodes->pool->base);
    BERTH_ASSERT(offset < nodes->pool->bytes);
    return (struct nodes_piece *)(void *)(nodes->pool->base + offset / NODES_PIECE * NODES_PIECE);
}

static void enlist(struct nodes *nodes, struct nodes_piece *piece)
{
    piece->next = nodes->partial;
    piece->link = &nodes->partial;
    if (piece->next != NULL) {
        piece->next->link = &piece->next;
    }
    nodes->partial = piece;
}

static void delist(struct nodes_piece *piece)
{
    *piece->link = piece->next;
    if (piece->next != NULL) {
        piece->next->link = piece->link;
    }
    piece->link = NULL;
}

void nodes_init(struct nodes *nodes, struct pool *pool, uint32_t node_bytes)
{
    BERTH_ASSERT(node_bytes >= sizeof(void *));
    BERTH_ASSERT(node_bytes <= NODES_PIECE / 4);
    uint32_t rounded = (node_bytes + NODE_ALIGN - 1) / NODE_ALIGN * NODE_ALIGN;
    *nodes = (struct nodes){
        .pool = pool,
        .node_bytes = rounded,
        .per_piece = (uint32_t)(NODES_PIECE - sizeof(struct nodes_piece)) / rounded,
    };
}

static void piece_give(struct nodes *nodes, struct nodes_piece *piece)
{
    nodes->pieces--;
    nodes->pool->chains -= NODES_PIECE;
    pool_give(nodes->pool, piece);
}

void nodes_fini(struct nodes *nodes)
{
    BERTH_ASSERT(nodes->used == 0);
    if (nodes->spare != NULL) {
        piece_give(nodes, nodes->spare);
        nodes->spare = NULL;
    }
    BERTH_ASSERT(nodes->pieces == 0);
}

static bool within_share(const struct pool *pool)
{
    return pool->chains + NODES_PIECE <= POOL_SHARE(pool->bytes);
}

static struct nodes_piece *piece_take(struct nodes *nodes)
{
    size_t got = 0;
    struct nodes_piece *piece =
        within_share(nodes->pool) ? pool_take(nodes->pool, NODES_PIECE, &got) : NULL;
    if (piece == NULL) {
        return NULL;
    }
    BERTH_ASSERT(got == NODES_PIECE);
    nodes->pool->chains += got;
    nodes->pieces++;
    *piece = (struct nodes_piece){0};
    return piece;
}

void *nodes_take(struct nodes *nodes)
{
    struct nodes_piece *piece = nodes->partial;
    if (BERTH_UNLIKELY(piece == NULL)) {
        piece = nodes->spare != NULL ? nodes->spare : piece_take(nodes);
        if (piece == NULL) {
            return NULL;
        }
        nodes->spare = NULL;
        enlist(nodes, piece);
    }
    void *node = piece->free;
    if (node != NULL) {
        piece->free = *(void **)node;
    } else {
        node = (uint8_t *)(piece + 1) + (size_t)piece->carved * nodes->node_bytes;
        piece->carved++;
    }
    nodes->used++;
    piece->used++;
    if (piece->used == nodes->per_piece) {
        delist(piece);
    }
    return node;
}

bool nodes_can(const struct nodes *nodes)
{
    return nodes->partial != NULL || nodes->spare != NULL ||
           (within_share(nodes->pool) && pool_can(nodes->pool, NODES_PIECE));
}

void nodes_give(struct nodes *nodes, void *node)
{
    struct nodes_piece *piece = piece_of(nodes, node);
    BERTH_ASSERT(piece->used > 0 && nodes->used > 0);
    *(void **)node = piece->free;
    piece->free = node;
    nodes->used--;
    piece->used--;
    if (piece->link == NULL) { /* it was full */
        enlist(nodes, piece);
    }
    if (piece->used > 0) {
        return;
    }
    delist(piece);
    if (nodes->spare == NULL) {
        nodes->spare = piece;
    } else {
        piece_give(nodes, piece);
    }
}
