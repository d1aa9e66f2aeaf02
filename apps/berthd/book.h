/* The ledger of a server: --ledger. */
#ifndef BERTHD_BOOK_H
#define BERTHD_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/berth.h>

#include "options.h"

struct book;
struct serving;

/* Bytes that a connection's account takes of its space, behind the session. */
size_t book_space_bytes(void);

/* Opens the ledger that the options ask for. NULL, with a line on stderr, if that cannot be. Lends
 * the options to it. The server is created, and not started. */
struct book *book_open(const struct options *options, const struct berth_server *server);

/* Puts itself between the library and the handler: the protocol's on_messages. */
void book_stand_between(struct book *book, struct berth_protocol *protocol);

/* A reply of `size` bytes to the message of transmission id `id` is queued, or, if it is not made
 * yet, will be in its turn. On the connection's worker. */
void book_reply(struct berth_conn *conn, size_t size, uint32_t id, bool made);

/* The library's on_event, whose context is the serving; then watch_event. Set it before
 * berth_server_create, where there is to be a ledger. */
void book_event(void *context, struct berth_conn *conn, const struct berth_record *record);

/* In on_close. */
void book_closed(struct book *book, struct berth_conn *conn, enum berth_reason reason);

/* Once the workers have ended: writes the sums, beside the library's own, and the end. If they
 * never served (`served`) there is no end. false, with a line on stderr: something is missing. NULL
 * is allowed. */
bool book_close(struct book *book, const struct berth_server *server, bool served);

#endif
