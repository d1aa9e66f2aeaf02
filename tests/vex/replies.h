/* What comes back on a connection: frames, which must be the echoes of those that were sent, in
 * their order, each with so many bytes of the server's own in front (the transmission id).
 *
 * What a reply must be is made anew from the script (stream.h), so that it costs no memory however
 * many replies are due. Pure; O(bytes).
 */
#ifndef BERTH_TESTS_VEX_REPLIES_H
#define BERTH_TESTS_VEX_REPLIES_H

#include "stream.h"

enum replies_are {
    REPLIES_ARE_ECHOES, /* each frame that was sent, in order */
    REPLIES_ARE_FRAMES, /* any frames; they are counted */
    REPLIES_ARE_BYTES,  /* nothing is known of them */
};

struct replies_rule {
    enum replies_are are;
    unsigned
        id_bytes; /* in front of each echo: 0, or 4, little-endian, rising (PROTOCOL.md, M2.4) */
};

struct replies {
    struct scan scan;
    struct cursor due; /* the stream of what was sent, where the next reply stands in it */
    bool lost;         /* one was wrong: what follows is only counted */
    uint64_t frames;
    uint64_t wrong;
    uint64_t body_at; /* in the reply that has begun */
    uint32_t id;
    uint32_t id_last;
    bool id_any;
};

/* At the beginning of a connection: the cursor stands where its first bytes will be made. */
void replies_start(struct replies *replies, const struct cursor *from);

/* Lent for a call. */
struct replies_context {
    const struct stream *stream;
    const struct replies_rule *rule;
    const struct cursor *sent; /* how far the sending has come: nobody can answer what is behind */
};

/* Takes bytes that came. */
void replies_take(struct replies *replies, const struct replies_context *context,
                  const uint8_t *bytes, size_t count);

#endif
