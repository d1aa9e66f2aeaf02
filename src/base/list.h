/* A doubly linked list through a member of its elements: push, take and remove in O(1). The list
 * owns nothing. An element's link is zeroed while it is in no list. */
#ifndef BERTH_BASE_LIST_H
#define BERTH_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

struct link {
    struct link *next;
    struct link *previous;
};

/* A ring through the list itself; list_init before use. */
struct list {
    struct link ring;
    uint32_t count;
};

static inline void list_init(struct list *list)
{
    list->ring.next = &list->ring;
    list->ring.previous = &list->ring;
    list->count = 0;
}

static inline bool link_is_in(const struct link *link)
{
    return link->next != NULL;
}

static inline void list_push(struct list *list, struct link *link)
{
    BERTH_ASSERT(!link_is_in(link));
    link->next = &list->ring;
    link->previous = list->ring.previous;
    list->ring.previous->next = link;
    list->ring.previous = link;
    list->count++;
}

/* In front of all others. */
static inline void list_push_front(struct list *list, struct link *link)
{
    BERTH_ASSERT(!link_is_in(link));
    link->previous = &list->ring;
    link->next = list->ring.next;
    list->ring.next->previous = link;
    list->ring.next = link;
    list->count++;
}

static inline void list_remove(struct list *list, struct link *link)
{
    BERTH_ASSERT(link_is_in(link) && list->count > 0);
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link->next = NULL;
    link->previous = NULL;
    list->count--;
}

/* The element pushed first, taken out. There is one: the caller looked at the count. */
static inline struct link *list_take(struct list *list)
{
    struct link *link = list->ring.next;
    BERTH_ASSERT(link != NULL && link != &list->ring);
    list_remove(list, link);
    return link;
}

/* The struct that a member at `offset` belongs to. */
#define LIST_ENTRY(at, type, member) ((type *)(void *)((char *)(at)-offsetof(type, member)))

#endif
