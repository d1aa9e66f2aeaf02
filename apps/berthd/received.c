/* Kept messages: a table with one place for each, and one block for their bytes.
 *
 * A message's place is its number, so that the table is in order of arrival whatever worker
 * brought it, and none can take another's place: no lock, and nothing is lost. Room for its bytes
 * is taken with one addition to a shared counter; once that is past the end, no more are kept. A
 * place is whole when its mark is set, which is the last that is written to it.
 */
#include "received.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256

struct record {
    uint64_t at; /* of its bytes */
    uint64_t session_id;
    struct berth_address peer;
    uint32_t size;
    uint32_t id;
    atomic_bool whole;
};

struct received {
    uint64_t messages_max;
    uint64_t bytes_max;
    _Atomic uint64_t bytes; /* taken or asked for */
    struct record *records;
    uint8_t *data;
};

struct received *received_create(uint32_t messages_max, uint64_t bytes_max)
{
    struct received *received = calloc(1, sizeof *received);
    if (received == NULL) {
        return NULL;
    }
    received->messages_max = messages_max;
    received->bytes_max = bytes_max;
    received->records = calloc(messages_max, sizeof *received->records);
    received->data = malloc(bytes_max);
    if (received->records == NULL || received->data == NULL) {
        received_destroy(received);
        return NULL;
    }
    return received;
}

void received_destroy(struct received *received)
{
    if (received != NULL) {
        free(received->records);
        free(received->data);
        free(received);
    }
}

void received_keep(struct received *received, uint64_t number, uint32_t id,
                   const struct session *session, const struct berth_message *message)
{
    if (number >= received->messages_max) {
        return;
    }
    uint64_t at = atomic_fetch_add_explicit(&received->bytes, message->size, memory_order_relaxed);
    if (at > received->bytes_max || message->size > received->bytes_max - at) {
        return;
    }
    struct record *record = &received->records[number];
    record->at = at;
    record->session_id = session->id;
    record->peer = session->peer;
    record->size = message->size;
    record->id = id;
    if (message->size > 0) {
        memcpy(received->data + at, message->data, message->size);
    }
    atomic_store_explicit(&record->whole, true, memory_order_release);
}

static bool is_whole(const struct received *received, uint64_t number)
{
    return atomic_load_explicit(&received->records[number].whole, memory_order_acquire);
}

uint64_t received_missing(const struct received *received, uint64_t messages)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < messages && i < received->messages_max; i++) {
        kept += is_whole(received, i) ? 1 : 0;
    }
    return messages - kept;
}

/* ---------------------------------------------------------------------------------------- listing
 */

/* Bytes on their way out: whole runs are written, not single characters. */
struct line {
    FILE *out;
    size_t count;
    char bytes[LINE_BYTES];
};

static void line_end(struct line *line)
{
    fwrite(line->bytes, 1, line->count, line->out);
    line->count = 0;
}

static void put(struct line *line, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (line->count == sizeof line->bytes) {
            line_end(line);
        }
        line->bytes[line->count++] = text[i];
    }
}

static void put_text(struct line *line, const uint8_t *text, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        const char byte = (char)text[i];
        if (byte == '\\') {
            put(line, "\\\\", 2);
        } else if (byte >= ' ' && byte <= '~') {
            put(line, &byte, 1);
        } else {
            const char escaped[] = {'\\', 'x', digits[text[i] >> 4], digits[text[i] & 15]};
            put(line, escaped, sizeof escaped);
        }
    }
}

/* "127.0.0.1: 4444": the seed's form, with a blank, and no brackets. */
static void put_peer(struct line *line, const struct berth_address *peer)
{
    char text[BERTH_ADDRESS_TEXT_BYTES];
    if (peer->family == BERTH_FAMILY_NONE) {
        put(line, "unknown: 0", 10);
        return;
    }
    berth_address_format(peer, text, sizeof text);
    const char *colon = strrchr(text, ':');
    const char *begin = text[0] == '[' ? text + 1 : text;
    const char *end = text[0] == '[' ? colon - 1 : colon;
    put(line, begin, (size_t)(end - begin));
    put(line, ": ", 2);
    put(line, colon + 1, strlen(colon + 1));
}

static void print_record(const struct received *received, uint64_t number, FILE *out)
{
    const struct record *record = &received->records[number];
    struct line line = {.out = out};
    char id[32];
    int id_bytes = snprintf(id, sizeof id, ", %u, ", record->id);
    put_peer(&line, &record->peer);
    put(&line, id, (size_t)id_bytes);
    put_text(&line, received->data + record->at, record->size);
    put(&line, "\n", 1);
    line_end(&line);
}

/* The records that may hold something once so many messages have come. */
static uint64_t used(const struct received *received, uint64_t messages)
{
    return messages < received->messages_max ? messages : received->messages_max;
}

void received_print(const struct received *received, uint64_t messages, FILE *out)
{
    for (uint64_t i = 0; i < used(received, messages); i++) {
        if (is_whole(received, i)) {
            print_record(received, i, out);
        }
    }
}

uint64_t received_print_last(const struct received *received, uint64_t messages, uint64_t lines,
                             FILE *out)
{
    const uint64_t end = used(received, messages);
    uint64_t first = end;
    uint64_t printed = 0;
    for (uint64_t found = 0; first > 0 && found < lines; first--) {
        found += is_whole(received, first - 1) ? 1 : 0;
    }
    for (uint64_t i = first; i < end; i++) {
        if (is_whole(received, i)) {
            fprintf(out, "session %llu, ", (unsigned long long)received->records[i].session_id);
            print_record(received, i, out);
            printed++;
        }
    }
    return printed;
}

uint64_t received_cost(const struct received *received)
{
    return received->messages_max * sizeof *received->records + received->bytes_max;
}
