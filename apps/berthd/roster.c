/* The roster: one visit of all connections, on their workers, for a list or to close one.
 *
 * A visit costs each worker a lock and a comparison for every connection of its own, and moves the
 * few lines that are shown; however many connections there are, the memory is the same.
 */
#include "roster.h"

#include <string.h>
#include <time.h>

/* A worker answers at its next turn; this long it is only where a debugger holds it. */
#define PATIENCE_S 2

bool roster_init(struct roster *roster)
{
    memset(roster, 0, sizeof *roster);
    if (pthread_mutex_init(&roster->lock, NULL) != 0) {
        return false;
    }
    if (pthread_cond_init(&roster->answered, NULL) != 0) {
        pthread_mutex_destroy(&roster->lock);
        return false;
    }
    return true;
}

void roster_fini(struct roster *roster)
{
    pthread_cond_destroy(&roster->answered);
    pthread_mutex_destroy(&roster->lock);
}

/* Puts a connection into its place, if it is among the first. Under the lock. */
static void add_line(struct roster *roster, const struct roster_line *line)
{
    uint32_t at = roster->lines_count;
    while (at > 0 && roster->lines[at - 1].session.id > line->session.id) {
        at--;
    }
    if (at == ROSTER_LINES) {
        return;
    }
    uint32_t last = roster->lines_count < ROSTER_LINES ? roster->lines_count++ : ROSTER_LINES - 1;
    memmove(&roster->lines[at + 1], &roster->lines[at], (last - at) * sizeof roster->lines[0]);
    roster->lines[at] = *line;
}

static void look_at(struct berth_conn *conn, void *context)
{
    struct roster *roster = context;
    struct session *session = session_of(conn);
    session_ask_addresses(conn, session);
    const struct roster_line line = {
        .session = *session,
        .age_ns = berth_conn_now_ns(conn) - session->opened_ns,
        .queued_bytes = berth_conn_queued_bytes(conn),
    };
    pthread_mutex_lock(&roster->lock);
    roster->total++;
    if (roster->kick == 0) {
        add_line(roster, &line);
    } else if (roster->kick == session->id) {
        roster->kicked = true;
        berth_close(conn);
    }
    pthread_mutex_unlock(&roster->lock);
}

static void all_answered(void *context)
{
    struct roster *roster = context;
    pthread_mutex_lock(&roster->lock);
    roster->asked = false;
    pthread_cond_signal(&roster->answered);
    pthread_mutex_unlock(&roster->lock);
}

static bool ask(struct roster *roster, struct berth_server *server, uint64_t kick)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&roster->lock);
    bool ready = !roster->asked; /* otherwise an earlier question is still on its way */
    if (ready) {
        roster->asked = true;
        roster->kick = kick;
        roster->kicked = false;
        roster->total = 0;
        roster->lines_count = 0;
        pthread_mutex_unlock(&roster->lock);
        ready = berth_visit(server, look_at, all_answered, roster) == BERTH_OK;
        pthread_mutex_lock(&roster->lock);
        roster->asked = roster->asked && ready;
    }
    int waited = 0;
    while (ready && roster->asked && waited == 0) {
        waited = pthread_cond_timedwait(&roster->answered, &roster->lock, &until);
    }
    ready = ready && !roster->asked;
    pthread_mutex_unlock(&roster->lock);
    return ready;
}

bool roster_list(struct roster *roster, struct berth_server *server)
{
    return ask(roster, server, 0);
}

bool roster_kick(struct roster *roster, struct berth_server *server, uint64_t session_id)
{
    roster->kicked = false;
    return session_id == 0 || ask(roster, server, session_id);
}
