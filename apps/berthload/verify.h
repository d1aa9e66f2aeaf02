/* Whether a reply is the right one. */
#ifndef BERTHLOAD_VERIFY_H
#define BERTHLOAD_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

/* Bytes of the transmission id in front of a reply. */
#define REPLY_ID_BYTES 4u

/* Room for reply_describe's sentence. */
#define REPLY_TEXT_BYTES 200

enum reply_verdict {
    REPLY_RIGHT = 0,
    REPLY_SIZE,    /* it has not as many bytes as it must */
    REPLY_ID,      /* its id does not come after that of the reply before */
    REPLY_BYTES,   /* the right size, other bytes */
    REPLY_UNASKED, /* no message was waiting for one */
};

/* What is known of one connection's replies. Zero it, set plan and with_id, start the cursor. */
struct verifier {
    const struct message_plan *plan; /* lent */
    struct message_cursor expected;  /* the message that the next reply must carry */
    uint32_t last_id;
    bool with_id; /* replies carry a transmission id */
    bool any_id;  /* last_id is one */
    uint64_t ids; /* of right replies: how many, their sum, the first and the last one */
    uint64_t ids_sum;
    uint32_t first_id;
    uint32_t right_id;
};

/* Holds a reply against what is expected; moves on to the next if it is right. */
enum reply_verdict verifier_check(struct verifier *verifier, const uint8_t *reply, uint32_t size);

/* What a reply that was not the expected one does to the ids, if replies have them: the next one is
 * held against its id; and, if it was right all the same, it is counted. It has room for one. */
void verifier_take_id(struct verifier *verifier, const uint8_t *reply);
void verifier_count_id(struct verifier *verifier, const uint8_t *reply);

/* One sentence on what is wrong with a reply that verifier_check refused. Returns `out`. */
const char *verifier_describe(const struct verifier *verifier, enum reply_verdict verdict,
                              const uint8_t *reply, uint32_t size, char *out, size_t bytes);

#endif
