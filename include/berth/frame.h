/* Framing: how a stream of bytes is cut into messages. Usable alone: no server is needed.
 *
 * TCP carries bytes, not messages. A framing is a description, as data, of how one side marks
 * where a message ends, so that the other can find it again however the bytes were split or
 * merged on their way. Berth has five kinds:
 *
 *   length     a fixed-size header that holds the message's length        docs/PROTOCOL.md 3
 *   varint     the length as a base-128 number of 1 to 5 bytes            docs/PROTOCOL.md 4
 *   delimiter  1 to 16 bytes that end every message                       docs/PROTOCOL.md 5
 *   fixed      every message has the same size                            docs/PROTOCOL.md 6
 *   custom     a pure function of your own                                docs/PROTOCOL.md 7
 *
 * A length that the peer declares is only a claim. It is checked against message_bytes_max
 * before anything is done with it, and it never allocates: storage grows with bytes that arrived.
 *
 * All functions here are pure: bytes in, verdict out, no I/O, no allocation; any thread.
 */
#ifndef BERTH_FRAME_H
#define BERTH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No message_bytes_max may be larger: sizes stay in 31 bits with room for headers. */
#define BERTH_MESSAGE_BYTES_LIMIT ((uint32_t)1 << 30)

/* The longest header (bytes before the message) and delimiter that a framing may have. */
#define BERTH_HEADER_BYTES_MAX    64
#define BERTH_DELIMITER_BYTES_MAX 16

enum berth_framing_kind {
    BERTH_FRAMING_LENGTH = 1,
    BERTH_FRAMING_VARINT = 2,
    BERTH_FRAMING_DELIMITER = 3,
    BERTH_FRAMING_FIXED = 4,
    BERTH_FRAMING_CUSTOM = 5,
};

/* One message, as found in a run of bytes. It borrows them: data points into memory that belongs
 * to whoever lent it. The frame's header is the header_bytes bytes just before data. */
struct berth_message {
    const uint8_t *data;
    uint32_t size;         /* bytes of the message, without header and delimiter; may be 0 */
    uint32_t header_bytes; /* bytes of the header in front of data */
};

/* Why bytes were refused. */
enum berth_refusal {
    BERTH_REFUSED_NOTHING = 0,
    BERTH_REFUSED_NEGATIVE,     /* the length, once adjusted, is below zero */
    BERTH_REFUSED_EMPTY,        /* zero where the framing refuses empty messages */
    BERTH_REFUSED_ABOVE_MAX,    /* above message_bytes_max, whatever its size (2^31 and beyond) */
    BERTH_REFUSED_VARINT,       /* a varint that does not end within 5 bytes, or has padding */
    BERTH_REFUSED_NO_DELIMITER, /* message_bytes_max bytes and no delimiter */
    BERTH_REFUSED_CUSTOM,       /* the custom function said so */
};

/* What the decoder found at the front of the bytes it was shown. */
struct berth_frame {
    /* After BERTH_FRAME_READY: the frame is header + message + trailer, in this order. */
    uint32_t header_bytes;
    uint32_t message_bytes;
    uint32_t trailer_bytes;
    /* After BERTH_FRAME_NEED: nothing new can be said before this many bytes, counted from the
     * front of the frame, are present. At most one byte too few, never one too many. */
    uint32_t need_bytes;
    /* After BERTH_FRAME_BAD: why, and the field's own bytes. */
    enum berth_refusal refusal;
    uint8_t field[16];
    uint32_t field_bytes;
    uint64_t value; /* the field read as an unsigned number */
    uint64_t limit; /* what it was held against */
};

enum berth_frame_verdict {
    BERTH_FRAME_NEED = 0,
    BERTH_FRAME_READY = 1,
    BERTH_FRAME_BAD = -1,
};

/* A custom decoder. It must be pure and cheap: it is called again from the front of the same
 * frame when more bytes have come. `*scanned` is 0 for a new frame and then whatever the
 * function left there, so that it need not look at the same bytes twice. It fills *frame as
 * described above; a need_bytes that is too small is corrected. Header and trailer must not exceed
 * BERTH_HEADER_BYTES_MAX each; a message above message_bytes_max is refused for it. */
typedef enum berth_frame_verdict (*berth_frame_decode_fn)(void *context, const uint8_t *bytes,
                                                          size_t count, size_t *scanned,
                                                          struct berth_frame *frame);

/* A custom encoder: writes the header for a message of message_bytes into `header` (room for
 * BERTH_HEADER_BYTES_MAX) and returns how many bytes it has. It must return the same number for
 * the same message_bytes. Whoever sends or answers calls it, on his thread, several at once. */
typedef size_t (*berth_frame_header_fn)(void *context, uint32_t message_bytes, uint8_t *header);

/* A framing. Zero everything, set kind and message_bytes_max and what the kind needs; or begin
 * with berth_framing_seed. */
struct berth_framing {
    enum berth_framing_kind kind;
    /* The most bytes of a message that is accepted from the other side, 1 to
     * BERTH_MESSAGE_BYTES_LIMIT; there is no "unlimited". What is sent is bound only by what the
     * framing can express, and by BERTH_MESSAGE_BYTES_LIMIT: the other side has its own limit. */
    uint32_t message_bytes_max;
    bool refuse_empty; /* a message of 0 bytes is an error (default: it is a message) */

    /* length: message bytes = field + length_adjust - (length_counts_itself ? length_bytes : 0);
     * the header is length_offset + length_bytes bytes. The bytes before the field are the
     * application's own; they are sent as zeros and can be read through header_bytes. */
    uint8_t length_bytes;  /* 1, 2, 4 or 8 */
    uint8_t length_offset; /* bytes of the header before the field, 0 to 56 */
    bool length_big_endian;
    bool length_counts_itself;
    int32_t length_adjust;

    /* delimiter */
    uint8_t delimiter_bytes; /* 1 to BERTH_DELIMITER_BYTES_MAX */
    uint8_t delimiter[BERTH_DELIMITER_BYTES_MAX];

    /* fixed: every message has message_bytes_max bytes */

    /* custom: borrowed for as long as the framing is in use */
    berth_frame_decode_fn custom_decode;
    berth_frame_header_fn custom_header;
    void *custom_context;
};

/* The framing of the seed (docs/PROTOCOL.md 2): 4 bytes, little-endian, not counting itself. */
struct berth_framing berth_framing_seed(uint32_t message_bytes_max);

/* Reads a framing from text, as berthd's and berthload's --frame take it (docs/PROTOCOL.md 8):
 *   length:4:le  length:2:be:offset=2:itself:adjust=-2:nonempty  varint  delimiter:\r\n  fixed:64
 * message_bytes_max is used as the maximum, except by fixed, which names its own.
 * BERTH_E_INVALID with the part at fault named in error->text. */
int berth_framing_parse(const char *text, uint32_t message_bytes_max, struct berth_framing *out,
                        struct berth_error *error);

/* Whether a framing makes sense: BERTH_OK, or BERTH_E_INVALID with the field named in *error.
 * Every other function here requires a framing that passes. */
int berth_framing_check(const struct berth_framing *framing, struct berth_error *error);

/* Looks for one frame at the front of `bytes`. Borrows bytes. *scanned must be 0 when the front
 * is the first byte of a frame that was not looked at before, and is otherwise passed back
 * unchanged with the same front and more bytes; with it a delimiter is searched only once.
 * Costs O(1), or O(bytes not scanned yet) for a delimiter. */
enum berth_frame_verdict berth_frame_decode(const struct berth_framing *framing,
                                            const uint8_t *bytes, size_t count, size_t *scanned,
                                            struct berth_frame *frame);

/* Cuts as many whole frames off the front of `bytes` as there are, at most `max`, and writes them
 * to `messages`; *consumed is how many bytes they cover. *scanned as above, for the first frame
 * on entry and for the frame that begins at *consumed on return. *frame describes the verdict on
 * what begins at *consumed: BERTH_FRAME_NEED (also when nothing is left), BERTH_FRAME_BAD, or
 * BERTH_FRAME_READY when `max` ended the cutting early. Returns how many messages were cut. */
size_t berth_frame_cut(const struct berth_framing *framing, const uint8_t *bytes, size_t count,
                       size_t *scanned, struct berth_message *messages, size_t max,
                       size_t *consumed, struct berth_frame *frame,
                       enum berth_frame_verdict *verdict);

/* Writes the header of a message of message_bytes into `header`, which has room for
 * BERTH_HEADER_BYTES_MAX. Returns the header's bytes (0 for delimiter and fixed), or
 * BERTH_E_TOO_LARGE if the framing cannot carry such a message (not expressible in the field,
 * another size than fixed, above BERTH_MESSAGE_BYTES_LIMIT), or BERTH_E_FRAME if it is empty and
 * must not be. After the message come framing->delimiter_bytes bytes of framing->delimiter when the
 * kind is delimiter. */
int berth_frame_header(const struct berth_framing *framing, uint32_t message_bytes,
                       uint8_t *header);

/* Whether this message can be sent with this framing and come out as itself. Checks what
 * berth_frame_header checks and, for a delimiter, that message and delimiter together hold the
 * delimiter first at their end. O(message_bytes) for a delimiter, else O(1).
 * BERTH_OK, BERTH_E_TOO_LARGE or BERTH_E_FRAME. */
int berth_frame_message_check(const struct berth_framing *framing, const uint8_t *message,
                              uint32_t message_bytes);

/* One sentence on a refusal, that names the field and shows its bytes, for instance
 *   length field 00 00 00 80 = 2147483648 (-2147483648 as signed) is above the maximum of 65536
 * cut at `bytes`. Returns `out`. */
const char *berth_frame_refusal_text(const struct berth_frame *frame, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
