/* What stands in front of a message that is accounted for: docs/PROTOCOL.md 10. */
#ifndef COMMON_MARK_H
#define COMMON_MARK_H

#include <stddef.h>
#include <stdint.h>

/* The message's first bytes; what follows is filler. */
#define MARK_BYTES 48

/* Why a server refuses a message, as its refusal says. */
#define MARK_REFUSALS(X)                                                                           \
    X(MARK_REFUSED_DAMAGED, 1, "the message was damaged on its way")                               \
    X(MARK_REFUSED_FOREIGN, 2, "the message was another connection's")

enum mark_refusal {
    MARK_NOT_REFUSED = 0,
#define MARK_REFUSAL_ENUM(name, value, text) name = (value),
    MARK_REFUSALS(MARK_REFUSAL_ENUM)
#undef MARK_REFUSAL_ENUM
        MARK_REFUSALS_END
};

struct mark {
    uint64_t run;      /* of the client's run */
    uint64_t sequence; /* on the connection; 1 is the first */
    uint64_t time_ns;  /* when it was to be sent, on the sender's monotonic clock */
    uint32_t client;
    uint32_t connection;
    uint32_t length;  /* of the whole message, the mark included */
    uint32_t refusal; /* enum mark_refusal: not 0 in a refusal only */
};

/* Writes the mark in front of a message of mark->length bytes, whose filler is there already. Costs
 * a CRC of the message. */
void mark_write(const struct mark *mark, uint8_t *message);

enum mark_verdict {
    MARK_RIGHT,
    MARK_NONE,    /* this message has no mark, and had none */
    MARK_DAMAGED, /* it had one: not every bit is as it was */
};

/* Whether a message, borrowed, has a mark that holds for every bit of it; *out is set only then. A
 * CRC of the message where there is a mark, else O(1). Pure. */
enum mark_verdict mark_read(const uint8_t *message, size_t size, struct mark *out);

/* A refusal's reason in words; static memory. */
const char *mark_refusal_text(uint32_t refusal);

#endif
