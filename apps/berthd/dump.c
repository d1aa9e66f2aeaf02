/* Dumping the flight recorders: copied one after the other while their workers run on, sorted, and
 * put into the log as lines of mode "recorder". O(records log records) a worker; the memory is
 * taken for the dump and given back.
 */
#include "dump.h"

#include <stdlib.h>
#include <string.h>

#include "common/words.h"

/* A record and its place in the recorder: those of one connection and time stay in order. */
struct placed {
    struct berth_record record;
    size_t place;
};

static int by_connection(const void *one, const void *other)
{
    const struct placed *a = one;
    const struct placed *b = other;
    if (a->record.conn != b->record.conn) {
        return a->record.conn < b->record.conn ? -1 : 1;
    }
    return a->place < b->place ? -1 : 1;
}

static void put(struct dump_target *to, const struct berth_record *record)
{
    pthread_mutex_lock(to->lock);
    struct entry *entry =
        journal_entry(to->ring, ENTRY_RECORDER, words_event(record->event), 0, record->time_ns);
    entry->worker = record->worker;
    if (record->conn != 0) {
        entry_number(entry, KEY_SLOT, words_slot(record->conn));
        entry_number(entry, KEY_GENERATION, words_generation(record->conn));
    }
    words_figures(entry, record);
    journal_done(to->ring);
    pthread_mutex_unlock(to->lock);
}

static void note(struct dump_target *to, const char *text, uint64_t count)
{
    pthread_mutex_lock(to->lock);
    struct entry *entry = journal_entry(to->ring, ENTRY_RECORDER, EVENT_NOTE, 0, to->now_ns);
    entry_number(entry, KEY_COUNT, count);
    entry_text(entry, text, strlen(text));
    journal_done(to->ring);
    pthread_mutex_unlock(to->lock);
}

void dump_recorders(const struct berth_server *server, uint32_t workers, struct dump_target *to)
{
    struct berth_record *records = malloc(DUMP_RECORDS * sizeof *records);
    struct placed *placed = malloc(DUMP_RECORDS * sizeof *placed);
    uint64_t all = 0;
    if (records == NULL || placed == NULL) {
        workers = 0;
        note(to, "there is no memory for a dump", 0);
    }
    for (uint32_t worker = 0; worker < workers; worker++) {
        size_t count = berth_server_recorder(server, worker, records, DUMP_RECORDS);
        for (size_t i = 0; i < count; i++) {
            placed[i] = (struct placed){records[i], i};
        }
        qsort(placed, count, sizeof *placed, by_connection);
        for (size_t i = 0; i < count; i++) {
            put(to, &placed[i].record);
        }
        all += count;
    }
    note(to, "end of the flight recorders", all);
    free(records);
    free(placed);
}
