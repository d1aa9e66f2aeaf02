/* The library's events in the log's words: their names, and the names of their figures. Pure; a
 * table each. O(events).
 */
#include "common/words.h"

#include <stddef.h>
#include <stdio.h>

/* The library's number of an event, and the log's. */
static const uint8_t event_of[] = {
#define ROW(NAME) [BERTH_EVENT_##NAME] = EVENT_##NAME
    ROW(ACCEPT_STARTED),
    ROW(ACCEPTED),
    ROW(ACCEPT_FAILED),
    ROW(CONNECT_STARTED),
    ROW(CONNECT_FAILED),
    ROW(RETRY),
    ROW(GIVEN_UP),
    ROW(CONNECTED),
    ROW(OPENED),
    ROW(RECEIVE_STARTED),
    ROW(RECEIVED),
    ROW(HEADER),
    ROW(HEADER_PARTIAL),
    ROW(MESSAGE),
    ROW(MESSAGE_PARTIAL),
    ROW(DELIVERED),
    ROW(KEPT),
    ROW(ANSWERED),
    ROW(RELEASED),
    ROW(QUEUED),
    ROW(SEND_STARTED),
    ROW(SENT),
    ROW(DRAINED),
    ROW(PAUSED),
    ROW(RESUMED),
    ROW(PEER_ENDED),
    ROW(REFUSED),
    ROW(DEADLINE),
    ROW(CLOSING),
    ROW(SHUT),
    ROW(JOINING),
    ROW(CLOSED),
    ROW(STOPPING),
    ROW(THREAD),
#undef ROW
};

enum entry_event words_event(uint16_t event)
{
    return event < sizeof event_of ? (enum entry_event)event_of[event] : EVENT_NOTE;
}

/* What count and value mean (berth/event.h), by their names in the log. 0 is left out. */
static const struct {
    uint8_t event;
    uint8_t count_key; /* ENTRY_KEYS_COUNT: not shown */
    uint8_t value_key;
} figures[] = {
    {BERTH_EVENT_ACCEPT_STARTED, KEY_ACCEPT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_ACCEPTED, KEY_ACCEPT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_ACCEPT_FAILED, KEY_ACCEPT, KEY_ERRNO},
    {BERTH_EVENT_CONNECT_STARTED, KEY_ATTEMPT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_CONNECT_FAILED, KEY_ATTEMPT, KEY_ERRNO},
    {BERTH_EVENT_RETRY, KEY_ATTEMPT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_GIVEN_UP, KEY_ATTEMPT, KEY_ERRNO},
    {BERTH_EVENT_CONNECTED, KEY_ATTEMPT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_RECEIVED, ENTRY_KEYS_COUNT, KEY_BYTES},
    {BERTH_EVENT_HEADER, KEY_BYTES, KEY_LENGTH},
    {BERTH_EVENT_HEADER_PARTIAL, ENTRY_KEYS_COUNT, KEY_BYTES},
    {BERTH_EVENT_MESSAGE, ENTRY_KEYS_COUNT, KEY_BYTES},
    {BERTH_EVENT_MESSAGE_PARTIAL, KEY_LENGTH, KEY_BYTES},
    {BERTH_EVENT_DELIVERED, KEY_COUNT, KEY_BYTES},
    {BERTH_EVENT_KEPT, KEY_COUNT, KEY_BYTES},
    {BERTH_EVENT_ANSWERED, KEY_COUNT, KEY_BYTES},
    {BERTH_EVENT_RELEASED, KEY_COUNT, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_QUEUED, KEY_COUNT, KEY_BYTES},
    {BERTH_EVENT_SEND_STARTED, ENTRY_KEYS_COUNT, KEY_BYTES},
    {BERTH_EVENT_SENT, KEY_QUEUED, KEY_BYTES},
    {BERTH_EVENT_REFUSED, ENTRY_KEYS_COUNT, KEY_VALUE},
    {BERTH_EVENT_CLOSING, KEY_ERRNO, ENTRY_KEYS_COUNT},
    {BERTH_EVENT_CLOSED, KEY_ERRNO, ENTRY_KEYS_COUNT},
};

#define ACCEPT_ID_BASE 10000 /* the seed's accept objects begin at 10001 */

void words_figures(struct entry *entry, const struct berth_record *record)
{
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (figures[i].event != record->event) {
            continue;
        }
        bool errnos = figures[i].count_key == KEY_ERRNO; /* 0 is none */
        if (figures[i].count_key != ENTRY_KEYS_COUNT && (!errnos || record->count != 0)) {
            uint64_t base = figures[i].count_key == KEY_ACCEPT ? ACCEPT_ID_BASE : 0;
            entry_number(entry, (enum entry_key)figures[i].count_key, base + record->count);
        }
        if (figures[i].value_key != ENTRY_KEYS_COUNT) {
            entry_number(entry, (enum entry_key)figures[i].value_key, record->value);
        }
    }
    switch (record->event) {
    case BERTH_EVENT_PAUSED:
    case BERTH_EVENT_RESUMED:
        entry->reason = berth_pause_name(record->value);
        break;
    case BERTH_EVENT_CLOSING:
    case BERTH_EVENT_CLOSED:
        entry->reason = berth_reason_text((enum berth_reason)record->value);
        break;
    case BERTH_EVENT_STOPPING:
        entry->reason = record->value == 1 ? "in order" : "at once";
        break;
    default:
        break;
    }
}

#define DECIMAL_BYTES 4 /* "255 " */

void words_header(struct entry *entry, const struct berth_message *message)
{
    char decimals[BERTH_HEADER_BYTES_MAX * DECIMAL_BYTES + 1];
    size_t length = 0;
    for (uint32_t i = 0; i < message->header_bytes; i++) {
        length += (size_t)snprintf(decimals + length, sizeof decimals - length, "%s%u",
                                   i == 0 ? "" : " ", (message->data - message->header_bytes)[i]);
    }
    entry_number(entry, KEY_BYTES, message->header_bytes);
    entry_number(entry, KEY_LENGTH, message->size);
    entry_text(entry, decimals, length);
}
