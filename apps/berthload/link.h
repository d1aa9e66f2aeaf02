/* One connection of a run, and then the next. */
#ifndef BERTHLOAD_LINK_H
#define BERTHLOAD_LINK_H

#include "common/journal.h"

#include "client.h"

/* Written by its worker only; two links never share a cache line. */
struct link {
    _Alignas(TALLY_ALIGNMENT) struct client *client;
    struct tally *tally;        /* its worker's */
    struct message_cursor next; /* the message to send */
    struct verifier verifier;   /* what the next reply must be */
    struct account *account;    /* its own, of the connection's messages; NULL: no ledger */
    uint64_t *stamps;           /* a ring of `pipeline` */
    uint64_t unsent;            /* messages still to send; UINT64_MAX - n without an end */
    uint64_t sent;
    uint64_t sent_bytes;
    uint64_t wait_ns; /* before its first attempt */
    uint32_t number;  /* of its connection; 1 is the first */
    uint32_t worker;
    uint32_t outstanding;
    uint32_t stamp_in;         /* where the next message's stamp goes */
    uint32_t stamp_out;        /* where that of the next reply is */
    uint32_t tries;            /* attempts to connect that have failed */
    uint32_t cause;            /* an enum cause; CAUSE_NONE: nothing went wrong */
    bool blocked;              /* a send was refused, on_drained will come */
    bool opened;               /* the connection was made */
    bool finished;             /* it has nothing more to do with messages */
    bool followed;             /* it is the one of --flow */
    bool heard;                /* its first message is answered, or never will be */
    bool filling;              /* messages are being queued just now, one by one */
    struct journal_ring *ring; /* its worker's; NULL: there is no log. What follows is the log's */
    struct berth_address local;
    struct berth_address peer;
};

/* Makes the first connection of link `place` on `worker`, whose pace must have one left. An error
 * of the library's, or BERTH_OK. */
int link_begin(struct link *link, struct client *client, uint32_t place, uint32_t worker);

/* The callbacks, for a protocol. */
void link_on_open(struct berth_conn *conn);
void link_on_messages(struct berth_conn *conn, const struct berth_message *messages, size_t count);
void link_on_drained(struct berth_conn *conn);
void link_on_close(struct berth_conn *conn, enum berth_reason reason);
/* A new stage began (berth_visit). */
void link_visit(struct berth_conn *conn, void *context);
/* With a ledger, in place of record_event, which it calls. */
void link_on_event(void *context, struct berth_conn *conn, const struct berth_record *record);
void link_on_connect_failed(struct berth_server *server, void *user, int system, uint32_t attempts);

#endif
