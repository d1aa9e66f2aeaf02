/* Groups: who is in them.
 *
 * A group has a part for each worker, with the members that live there; joining, leaving and
 * delivering touch the own worker's part only, without a lock. How many members each part has of
 * each framing is readable from anywhere, so that a sender knows which framings to write and which
 * workers to bother. The server owns groups from their creation to its end; the table that finds
 * them by name only grows, so that finding takes no lock. Memberships are nodes of the worker's
 * pool, owned by the connection until it leaves or begins to close.
 *
 * find is O(groups / GROUP_BUCKETS), join and leave O(groups that the connection is in), members
 * O(workers).
 */
#include "core/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

/* -------------------------------------------------------------------------------- find and create
 */

static _Atomic(struct berth_group *) *bucket_of(struct berth_server *server, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = name; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    }
    return &server->groups[hash % GROUP_BUCKETS];
}

struct berth_group *berth_group_find(struct berth_server *server, const char *name)
{
    BERTH_ASSERT(server != NULL && name != NULL);
    struct berth_group *group = atomic_load_explicit(bucket_of(server, name), memory_order_acquire);
    while (group != NULL && strcmp(group->name, name) != 0) {
        group = group->next;
    }
    return group;
}

static bool is_policy(enum berth_slow slow)
{
    return slow == BERTH_SLOW_PAUSE || slow == BERTH_SLOW_LATEST || slow == BERTH_SLOW_CLOSE;
}

static int check_options(const struct berth_group_options *options, struct berth_error *error)
{
    size_t bytes = options->name == NULL ? 0 : strlen(options->name);
    if (bytes < 1 || bytes > BERTH_GROUP_NAME_BYTES_MAX) {
        return error_set(error, BERTH_E_INVALID, 0, "name",
                         "a group's name has %zu bytes; it must have 1 to %u", bytes,
                         BERTH_GROUP_NAME_BYTES_MAX);
    }
    if (!is_policy(options->slow)) {
        return error_set(error, BERTH_E_INVALID, 0, "slow",
                         "slow is %d; it must be one of enum berth_slow", (int)options->slow);
    }
    return BERTH_OK;
}

static struct berth_group *group_make(struct berth_server *server,
                                      const struct berth_group_options *options)
{
    uint32_t workers = server->config.workers;
    size_t bytes = sizeof(struct berth_group) + workers * sizeof(struct part);
    struct berth_group *group = aligned_alloc(CACHE_LINE, bytes);
    if (group == NULL) {
        return NULL;
    }
    memset(group, 0, bytes);
    group->server = server;
    group->slow = options->slow;
    memcpy(group->name, options->name, strlen(options->name)); /* checked: it fits */
    for (uint32_t i = 0; i < workers; i++) {
        list_init(&group->parts[i].members);
    }
    return group;
}

int berth_group_create(struct berth_server *server, const struct berth_group_options *options,
                       struct berth_group **out, struct berth_error *error)
{
    BERTH_ASSERT(server != NULL && options != NULL && out != NULL);
    int result = check_options(options, error);
    if (result != BERTH_OK) {
        return result;
    }
    struct berth_group *group = group_make(server, options);
    if (group == NULL) {
        return error_set(error, BERTH_E_MEMORY, 0, NULL, "no memory for a group");
    }
    pthread_mutex_lock(&server->lock);
    bool taken = berth_group_find(server, options->name) != NULL;
    if (!taken) {
        _Atomic(struct berth_group *) *bucket = bucket_of(server, options->name);
        group->next = atomic_load_explicit(bucket, memory_order_relaxed);
        atomic_store_explicit(bucket, group, memory_order_release);
    }
    pthread_mutex_unlock(&server->lock);
    if (taken) {
        free(group);
        return error_set(error, BERTH_E_INVALID, 0, "name", "there is a group named %s already",
                         options->name);
    }
    *out = group;
    return BERTH_OK;
}

void groups_destroy(struct berth_server *server)
{
    for (uint32_t i = 0; i < GROUP_BUCKETS; i++) {
        struct berth_group *group = atomic_load(&server->groups[i]);
        while (group != NULL) {
            struct berth_group *next = group->next;
            free(group);
            group = next;
        }
    }
}

/* ------------------------------------------------------------------------------- join and leave */

void groups_init(struct worker *worker)
{
    nodes_init(&worker->deliveries, &worker->pool, sizeof(struct delivery));
    nodes_init(&worker->memberships, &worker->pool, sizeof(struct member));
}

void groups_fini(struct worker *worker)
{
    deliver_all(worker); /* to nobody: what came too late */
    BERTH_ASSERT(worker->starved.count == 0);
    nodes_fini(&worker->deliveries);
    nodes_fini(&worker->memberships);
}

struct member *member_find(struct berth_conn *conn, const struct berth_group *group)
{
    struct member *member = conn->members;
    while (member != NULL && member->group != group) {
        member = member->next;
    }
    return member;
}

struct member *member_make(struct berth_conn *conn, struct berth_group *group)
{
    struct member *member = nodes_take(&conn->worker->memberships);
    if (member != NULL) {
        *member = (struct member){.conn = conn, .group = group, .next = conn->members};
        conn->members = member;
    }
    return member;
}

static struct part *part_of(const struct member *member)
{
    return &member->group->parts[member->conn->worker->index];
}

void member_end(struct member *member)
{
    struct berth_conn *conn = member->conn;
    struct worker *worker = conn->worker;
    struct member **at = &conn->members;
    while (*at != member) {
        BERTH_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = member->next;
    if (member->group != NULL) {
        list_remove(&part_of(member)->members, &member->in_part);
        count_add(&part_of(member)->speaking[conn->speaker->framing], (uint32_t)-1);
    }
    if (link_is_in(&member->in_starved)) {
        list_remove(&worker->starved, &member->in_starved);
    }
    if (member->waits != NULL) {
        share_drop(member->waits);
    }
    nodes_give(&worker->memberships, member);
}

int berth_group_join(struct berth_group *group, struct berth_conn *conn)
{
    BERTH_ASSERT(worker_current() == conn->worker);
    BERTH_ASSERT(group->server == conn->worker->server);
    if (conn->state != CONN_OPEN || (conn->flags & CF_CLOSE) != 0) {
        return BERTH_E_CLOSED;
    }
    if (conn->speaker->framing == FRAMING_NONE) {
        return BERTH_E_UNSUPPORTED;
    }
    if (member_find(conn, group) != NULL) {
        return BERTH_OK;
    }
    struct member *member = member_make(conn, group);
    if (member == NULL) {
        return BERTH_E_MEMORY;
    }
    member->joined = atomic_load_explicit(&group->sent, memory_order_relaxed);
    list_push(&part_of(member)->members, &member->in_part);
    count_add(&part_of(member)->speaking[conn->speaker->framing], 1);
    return BERTH_OK;
}

void berth_group_leave(struct berth_group *group, struct berth_conn *conn)
{
    BERTH_ASSERT(worker_current() == conn->worker);
    struct member *member = member_find(conn, group);
    if (member != NULL) {
        member_end(member);
    }
}

void group_conn_opened(struct berth_conn *conn)
{
    count_add(&conn->worker->speaking[conn->speaker->framing], 1);
}

/* It begins to close: nothing more is for it. */
void group_conn_over(struct berth_conn *conn)
{
    count_add(&conn->worker->speaking[conn->speaker->framing], (uint32_t)-1);
    while (conn->members != NULL) {
        member_end(conn->members);
    }
}

uint64_t berth_group_members(const struct berth_group *group)
{
    uint64_t members = 0;
    for (uint32_t i = 0; i < group->server->config.workers; i++) {
        for (uint32_t f = 0; f < BERTH_GROUP_FRAMINGS_MAX; f++) {
            members += atomic_load_explicit(&group->parts[i].speaking[f], memory_order_relaxed);
        }
    }
    return members;
}
