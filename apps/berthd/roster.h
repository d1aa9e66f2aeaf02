/* Asking all workers about their connections: who is there, and who is to go. */
#ifndef BERTHD_ROSTER_H
#define BERTHD_ROSTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

#include "session.h"

/* Connections that are shown of a list; the others are counted. */
#define ROSTER_LINES 100

struct roster_line {
    struct session session;
    uint64_t age_ns;
    uint32_t queued_bytes;
};

/* One question at a time. It must outlive the server's workers: an answer may come late. */
struct roster {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool asked; /* and not all workers have answered */
    uint64_t kick;
    bool kicked;
    uint64_t total;
    uint32_t lines_count;
    struct roster_line lines[ROSTER_LINES]; /* those with the lowest session ids, in order */
};

bool roster_init(struct roster *roster);
void roster_fini(struct roster *roster);

/* Asks for the list, or closes the connection with this session id; returns when all workers have
 * answered. false: they have not within 2 seconds, or the library had no room for the question.
 * After success lines and total, or kicked, are there to be read. Owner's thread. */
bool roster_list(struct roster *roster, struct berth_server *server);
bool roster_kick(struct roster *roster, struct berth_server *server, uint64_t session_id);

#endif
