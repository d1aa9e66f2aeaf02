/* A ledger's file: records of 64 bytes, each with its place in the file and a CRC-32C of itself.
 *
 * Binary and of one size, not lines of text, because then what a record costs is known (of 10^8
 * messages over 8 connections a clean run leaves 3 KB, a million connections 384 MB at most), a
 * worker formats nothing, a record torn by the end of the process shows as one, and any program
 * finds the next one. `tools/ledger --list` shows them as text. Lines are ranges: what a connection
 * did stands in a handful of records, written when it has ended; only exceptions stand by
 * themselves.
 *
 * Whoever puts records copies them under a lock that nobody holds for longer than such a copy; a
 * thread of the ledger's own writes them, at once, so that a process that is killed leaves the
 * account of every connection that had ended. What waits because the disk is slow may take
 * WAITING_MOST records of memory; beyond that, or after an error, records are missing, and then
 * there is no end record: a ledger without one does not close.
 *
 * The ledger owns its file, its thread and what waits. ledger_put costs O(records). */
#include "common/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/little.h"

/* The format's number, which stands in the first record. */
#define FORMAT 1

/* 64 MiB in the file: the ends of a hundred thousand connections. A guess. */
#define WAITING_MOST (UINT64_C(1) << 20)

#define CHUNK_RECORDS 256

/* A text's bytes in one record: where sequences and counts stand in others. */
#define TEXT_AT    16
#define TEXT_BYTES 40

#define AT_PLACE 56
#define AT_CRC   60

struct chunk {
    struct chunk *next;
    size_t count;
    struct ledger_record records[CHUNK_RECORDS];
};

struct ledger {
    int file;
    uint32_t place; /* of the next record in the file; the writer's, once there is one */
    uint64_t written;
    char path[LEDGER_WHY_BYTES / 2];

    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    struct chunk *first;
    struct chunk *last;
    uint64_t waiting;
    uint64_t missing; /* records that are not in the file */
    int error;        /* the first errno of a write; 0: none */
    bool ending;
};

/* ---- pages ---- */

struct ledger_record *ledger_line(struct ledger_page *page, unsigned kind, unsigned reason)
{
    if (page->count == LEDGER_PAGE_RECORDS) {
        abort();
    }
    struct ledger_record *record = &page->records[page->count++];
    *record = page->key;
    record->kind = (uint8_t)kind;
    record->reason = (uint8_t)reason;
    return record;
}

void ledger_count(struct ledger_page *page, unsigned kind, unsigned reason, uint64_t count)
{
    if (count > 0) {
        ledger_line(page, kind, reason)->count = count;
    }
}

void ledger_say(struct ledger_text *text, const char *format, ...)
{
    size_t room = sizeof text->bytes - text->length;
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    text->length += more > 0 && (size_t)more < room ? (size_t)more : 0;
}

/* ---- writing ---- */

static void seal(struct ledger *ledger, uint8_t *out)
{
    little_put32(out + AT_PLACE, ledger->place++);
    little_put32(out + AT_CRC, crc32c(out, AT_CRC));
}

static void encode(struct ledger *ledger, const struct ledger_record *record, uint8_t *out)
{
    out[0] = record->kind;
    out[1] = record->reason;
    out[2] = (uint8_t)record->worker;
    out[3] = (uint8_t)(record->worker >> 8);
    little_put32(out + 4, record->client);
    little_put32(out + 8, record->connection);
    little_put32(out + 12, record->life);
    little_put64(out + 16, record->first);
    little_put64(out + 24, record->last);
    little_put64(out + 32, record->count);
    little_put64(out + 40, record->bytes);
    little_put64(out + 48, record->wire);
    seal(ledger, out);
}

/* 0, or an errno. */
static int write_all(int file, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(file, bytes, count);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? errno : EIO;
        }
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

static int write_records(struct ledger *ledger, const struct ledger_record *records, size_t count)
{
    uint8_t bytes[CHUNK_RECORDS * LEDGER_RECORD_BYTES];
    for (size_t done = 0; done < count;) {
        size_t some = count - done < CHUNK_RECORDS ? count - done : CHUNK_RECORDS;
        for (size_t i = 0; i < some; i++) {
            encode(ledger, &records[done + i], bytes + i * LEDGER_RECORD_BYTES);
        }
        int error = write_all(ledger->file, bytes, some * LEDGER_RECORD_BYTES);
        if (error != 0) {
            return error;
        }
        ledger->written += some;
        done += some;
    }
    return 0;
}

/* Writes what was taken off the list, and frees it. Without the lock. */
static void write_chunks(struct ledger *ledger, struct chunk *chunk, int error)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        size_t count = chunk->count;
        error = error != 0 ? error : write_records(ledger, chunk->records, count);
        free(chunk);
        pthread_mutex_lock(&ledger->lock);
        ledger->waiting -= count;
        ledger->missing += error != 0 ? count : 0;
        ledger->error = error;
        pthread_mutex_unlock(&ledger->lock);
        chunk = next;
    }
}

static void *writer(void *context)
{
    struct ledger *ledger = context;
    pthread_mutex_lock(&ledger->lock);
    while (ledger->first != NULL || !ledger->ending) {
        if (ledger->first == NULL) {
            pthread_cond_wait(&ledger->changed, &ledger->lock);
            continue;
        }
        struct chunk *chunk = ledger->first;
        int error = ledger->error;
        ledger->first = NULL;
        ledger->last = NULL;
        pthread_mutex_unlock(&ledger->lock);
        write_chunks(ledger, chunk, error);
        pthread_mutex_lock(&ledger->lock);
    }
    pthread_mutex_unlock(&ledger->lock);
    return NULL;
}

/* ---- putting ---- */

/* Room for a record more at the end of what waits. NULL: there is none. Under the lock. */
static struct ledger_record *room(struct ledger *ledger)
{
    if (ledger->waiting == WAITING_MOST || ledger->error != 0) {
        return NULL;
    }
    if (ledger->last == NULL || ledger->last->count == CHUNK_RECORDS) {
        struct chunk *chunk = malloc(sizeof *chunk);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = NULL;
        chunk->count = 0;
        *(ledger->last == NULL ? &ledger->first : &ledger->last->next) = chunk;
        ledger->last = chunk;
    }
    ledger->waiting++;
    return &ledger->last->records[ledger->last->count++];
}

void ledger_put(struct ledger *ledger, const struct ledger_record *records, size_t count)
{
    pthread_mutex_lock(&ledger->lock);
    for (size_t i = 0; i < count; i++) {
        struct ledger_record *record = room(ledger);
        if (record == NULL) {
            ledger->missing++;
        } else {
            *record = records[i];
        }
    }
    pthread_cond_signal(&ledger->changed);
    pthread_mutex_unlock(&ledger->lock);
}

bool ledger_failed(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    bool failed = ledger->missing > 0;
    pthread_mutex_unlock(&ledger->lock);
    return failed;
}

/* ---- the file's life ---- */

static int write_text(struct ledger *ledger, const char *text, size_t count)
{
    uint8_t bytes[LEDGER_RECORD_BYTES] = {LEDGER_TEXT};
    memcpy(bytes + TEXT_AT, text, count);
    seal(ledger, bytes);
    ledger->written++;
    return write_all(ledger->file, bytes, sizeof bytes);
}

static int write_header(struct ledger *ledger, const struct ledger_text *lines)
{
    const char *text = lines->bytes;
    size_t left = lines->length;
    const struct ledger_record header = {
        .kind = LEDGER_HEADER, .first = FORMAT, .count = (left + TEXT_BYTES - 1) / TEXT_BYTES};
    int error = write_records(ledger, &header, 1);
    while (error == 0 && left > 0) {
        size_t some = left < TEXT_BYTES ? left : TEXT_BYTES;
        error = write_text(ledger, text, some);
        text += some;
        left -= some;
    }
    return error;
}

/* A thread that takes no signals. An errno, or 0. */
static int start(struct ledger *ledger)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&ledger->thread, NULL, writer, ledger);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* A file, or a device such as /dev/null: what somebody must read, a fifo, could hold up the end for
 * ever. An errno, or 0. */
static int open_file(struct ledger *ledger, const char *path)
{
    struct stat is;
    ledger->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    if (ledger->file < 0 || fstat(ledger->file, &is) != 0) {
        return errno;
    }
    return S_ISREG(is.st_mode) || S_ISCHR(is.st_mode) ? 0 : EINVAL;
}

struct ledger *ledger_open(const char *path, const struct ledger_text *text, char *why)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    int error = ENOMEM;
    if (ledger != NULL) {
        error = open_file(ledger, path);
        error = error != 0 ? error : write_header(ledger, text);
    }
    if (error == 0) {
        snprintf(ledger->path, sizeof ledger->path, "%s", path);
        pthread_mutex_init(&ledger->lock, NULL); /* both cannot fail on Linux */
        pthread_cond_init(&ledger->changed, NULL);
        error = start(ledger);
    }
    if (error == 0) {
        return ledger;
    }
    snprintf(why, LEDGER_WHY_BYTES, "%.200s: %s", path, strerror(error));
    if (ledger != NULL && ledger->file >= 0) {
        close(ledger->file);
    }
    free(ledger);
    return NULL;
}

/* 0, or an errno. The end counts what is before it. */
static int write_end(struct ledger *ledger, const struct ledger_page *totals)
{
    int error = write_records(ledger, totals->records, totals->count);
    const struct ledger_record end = {.kind = LEDGER_END, .count = ledger->written};
    error = error != 0 ? error : write_records(ledger, &end, 1);
    /* A disk that is full may say so only now; what is no file cannot be brought to disk. */
    return error == 0 && fsync(ledger->file) != 0 && errno != EINVAL ? errno : error;
}

bool ledger_close(struct ledger *ledger, const struct ledger_page *totals, char *why)
{
    if (ledger == NULL) {
        return true;
    }
    pthread_mutex_lock(&ledger->lock);
    ledger->ending = true;
    pthread_cond_signal(&ledger->changed);
    pthread_mutex_unlock(&ledger->lock);
    pthread_join(ledger->thread, NULL);
    int error = ledger->error;
    uint64_t missing = ledger->missing;
    if (missing == 0 && totals != NULL) {
        error = write_end(ledger, totals);
    }
    if (close(ledger->file) != 0 && error == 0) {
        error = errno;
    }
    if (error != 0) {
        snprintf(why, LEDGER_WHY_BYTES, "%s could not be written: %s", ledger->path,
                 strerror(error));
    } else if (missing > 0) {
        snprintf(why, LEDGER_WHY_BYTES, "%s lacks %llu records: it was not written fast enough",
                 ledger->path, (unsigned long long)missing);
    }
    pthread_cond_destroy(&ledger->changed);
    pthread_mutex_destroy(&ledger->lock);
    free(ledger);
    return error == 0 && missing == 0;
}
