/* The messages that berthd keeps for the listing at its end (--keep-data). */
#ifndef BERTHD_RECEIVED_H
#define BERTHD_RECEIVED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <berth/berth.h>

#include "session.h"

struct received;

/* Room for the first messages_max messages and bytes_max bytes of them, reserved and not touched.
 * NULL: the system refuses so much. */
struct received *received_create(uint32_t messages_max, uint64_t bytes_max);
void received_destroy(struct received *received); /* NULL is allowed */

/* Keeps a message, if there is room. `number` counts all messages from 0, each once; `id` is its
 * transmission id. Borrows the message; never waits. Any thread. */
void received_keep(struct received *received, uint64_t number, uint32_t id,
                   const struct session *session, const struct berth_message *message);

/* How many of the first `messages` messages were not kept, or are not yet. Any thread. */
uint64_t received_missing(const struct received *received, uint64_t messages);

/* Lists what is kept of the first `messages` messages, in order of arrival, one line each:
 * "ADDRESS: PORT, ID, TEXT". Bytes that are not printable are written as \xHH. While messages still
 * come, those that are whole are listed. */
void received_print(const struct received *received, uint64_t messages, FILE *out);

/* The last `lines` of those, with their session ids in front; returns how many there were. Room
 * behind the first `messages` is not looked at: it is not touched yet. Any thread. */
uint64_t received_print_last(const struct received *received, uint64_t messages, uint64_t lines,
                             FILE *out);

/* What it costs at most, in bytes. */
uint64_t received_cost(const struct received *received);

#endif
