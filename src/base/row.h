/* A doubly linked list of the elements of one array, by their numbers: push, take and remove in
 * O(1). A link is eight bytes, half of list.h's, in an element of which there are millions; the row
 * knows the array that it goes through. It owns nothing. A link is zeroed while its element is in
 * no row. */
#ifndef BERTH_BASE_ROW_H
#define BERTH_BASE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

/* The number of an element + 1, or this in front of the first and behind the last. */
#define ROW_END UINT32_MAX

struct row_link {
    uint32_t next;
    uint32_t previous;
};

struct row {
    uint8_t *links;  /* borrowed: the link of the array's element 0 */
    uint32_t stride; /* bytes of an element */
    uint32_t first;
    uint32_t last;
    uint32_t count;
};

static inline void row_init(struct row *row, struct row_link *first, size_t stride)
{
    *row = (struct row){
        .links = (uint8_t *)first, .stride = (uint32_t)stride, .first = ROW_END, .last = ROW_END};
}

static inline bool row_link_is_in(const struct row_link *link)
{
    return link->next != 0;
}

static inline struct row_link *row_link_of(const struct row *row, uint32_t number)
{
    return (struct row_link *)(void *)(row->links + (size_t)number * row->stride);
}

/* What points at an element from one side: its neighbour's link, or the row's end. */
static inline uint32_t *row_from_before(struct row *row, uint32_t before)
{
    return before == ROW_END ? &row->first : &row_link_of(row, before - 1)->next;
}

static inline uint32_t *row_from_behind(struct row *row, uint32_t behind)
{
    return behind == ROW_END ? &row->last : &row_link_of(row, behind - 1)->previous;
}

static inline void row_put(struct row *row, uint32_t number, struct row_link at)
{
    struct row_link *link = row_link_of(row, number);
    BERTH_ASSERT(!row_link_is_in(link));
    *link = at;
    *row_from_before(row, at.previous) = number + 1;
    *row_from_behind(row, at.next) = number + 1;
    row->count++;
}

static inline void row_push(struct row *row, uint32_t number)
{
    row_put(row, number, (struct row_link){.next = ROW_END, .previous = row->last});
}

/* In front of all others. */
static inline void row_push_front(struct row *row, uint32_t number)
{
    row_put(row, number, (struct row_link){.next = row->first, .previous = ROW_END});
}

static inline void row_remove(struct row *row, uint32_t number)
{
    struct row_link *link = row_link_of(row, number);
    BERTH_ASSERT(row_link_is_in(link) && row->count > 0);
    *row_from_before(row, link->previous) = link->next;
    *row_from_behind(row, link->next) = link->previous;
    *link = (struct row_link){0};
    row->count--;
}

/* The number + 1 of the element behind this one, which is given in the same way, or ROW_END. */
static inline uint32_t row_behind(const struct row *row, uint32_t element)
{
    return row_link_of(row, element - 1)->next;
}

/* The number of the element pushed first, taken out. There is one: the caller looked at the count.
 */
static inline uint32_t row_take(struct row *row)
{
    BERTH_ASSERT(row->first != ROW_END);
    uint32_t number = row->first - 1;
    row_remove(row, number);
    return number;
}

#endif
