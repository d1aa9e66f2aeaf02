/* What berthd answers: the seed's protocol (docs/PROTOCOL.md 2), for any framing. */
#ifndef BERTHD_ECHO_H
#define BERTHD_ECHO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <berth/berth.h>

/* The counter that all connections share. The first reply of a server carries 10001; it is an
 * unsigned 32-bit number and wraps. */
struct echo {
    _Atomic uint32_t transmission_id; /* of the last reply */
};

/* Prepares a protocol that answers each message with an id, if carries_id, and itself. Lends `echo`
 * to it. */
void echo_protocol(struct echo *echo, const struct berth_framing *framing, bool carries_id,
                   struct berth_protocol *out);

#endif
