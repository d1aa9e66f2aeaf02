/* What berthd keeps of a connection. */
#ifndef BERTHD_SESSION_H
#define BERTHD_SESSION_H

#include <stdint.h>

#include <berth/berth.h>

/* Lies in the connection's space: config.conn_space_bytes is its size. */
struct session {
    uint64_t id; /* from --first-session-id on, one more for each connection accepted */
    uint64_t opened_ns;
    uint64_t messages;         /* received whole */
    uint64_t bytes;            /* of these */
    struct berth_address peer; /* BERTH_FAMILY_NONE: not asked for, or not known any more */
    struct berth_address local;
};

/* The id of the first session, above 0. Before the server is started. */
void session_begin(uint64_t first_id);

/* An open connection's session; begins it when it is asked for the first time, at the latest in
 * on_open. Worker, until on_close returns. */
struct session *session_of(struct berth_conn *conn);

/* Asks for both addresses if they are not known yet. Two system calls the first time. Worker. */
void session_ask_addresses(struct berth_conn *conn, struct session *session);

#endif
