/* A program's log file. Every thread that has something to say owns a ring of entries; one more
 * thread empties the rings, in the order of the entries' times, makes text of them, and writes.
 *
 * Nobody who fills a ring ever waits or locks: an entry costs a few stores and the copy of its
 * text. A full ring drops the entry and counts it; the count stands in the log as a line of its
 * own. The writer writes all it found before it looks again, looks at least every LOOK_MOST_MS
 * while there is something to write, and then sleeps until the next entry, whose filler wakes it:
 * the only system call on that side, and none while entries keep coming. It writes what waits at
 * the end, so that nothing is lost at a normal one. A reader that does not read (a fifo, a
 * terminal) holds up the writer's thread only, and the end by no more than patience_ms.
 *
 * The journal owns its file, its rings and its thread.
 */
#include "common/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* 16 MiB a worker once they were all used: at a million lines a second it bridges 60 ms. */
#define RING_ENTRIES 65536u

/* The writer's naps while there is nothing to do: short after something was found. */
#define LOOK_LEAST_MS 1u
#define LOOK_MOST_MS  50u

#define PATIENCE_MS 1000u

/* One write to a file. To anything else no more than PIPE_BUF is written at once: so much fits
 * without waiting when poll says so. */
#define BUFFER_BYTES ((size_t)64 * 1024)

/* Files of one program made within one second. */
#define SAME_SECOND_MAX 1000

struct journal {
    _Atomic unsigned modes;
    uint32_t rings_count;
    struct journal_ring *rings;
    struct entry *entries; /* of all rings */
    uint64_t start_ns;
    uint32_t patience_ms;
    bool json;
    bool regular; /* a file: writing waits for nobody */
    int file;
    char path[PATH_MAX];
    const char *program; /* borrowed */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ending; /* under the lock */
    struct journal_sleep sleep;

    /* the writer's own */
    struct journal_end end;
    uint64_t give_up_ns; /* when ending: until then somebody must have read on */
    size_t buffered;
    uint32_t buffered_lines;
    char buffer[BUFFER_BYTES];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- filling ---- */

struct journal_ring *journal_ring(struct journal *journal, uint32_t which)
{
    return journal != NULL && which < journal->rings_count ? &journal->rings[which] : NULL;
}

struct entry *journal_entry(struct journal_ring *ring, enum entry_mode mode, enum entry_event event,
                            uint64_t conn, uint64_t at_ns)
{
    uint64_t filled = atomic_load_explicit(&ring->filled, memory_order_relaxed);
    struct entry *entry = &ring->entries[filled & (ring->count - 1)];
    if (filled - ring->emptied_seen == ring->count) {
        ring->emptied_seen = atomic_load_explicit(&ring->emptied, memory_order_acquire);
    }
    ring->in_spare = filled - ring->emptied_seen == ring->count;
    if (ring->in_spare) {
        uint64_t lost = atomic_load_explicit(&ring->lost, memory_order_relaxed);
        atomic_store_explicit(&ring->lost, lost + 1, memory_order_relaxed);
        entry = &ring->spare;
    }
    entry_init(entry, mode, event, conn);
    entry->worker = ring->worker;
    entry->t_ns = at_ns > ring->start_ns ? at_ns - ring->start_ns : 0;
    return entry;
}

/* Of those who see the writer asleep, one wakes it. */
static void wake(struct journal_sleep *sleep)
{
    if (atomic_exchange(&sleep->asleep, false)) {
        sem_post(&sleep->woken); /* fails beyond SEM_VALUE_MAX only */
    }
}

void journal_done(struct journal_ring *ring)
{
    if (!ring->in_spare) {
        uint64_t filled = atomic_load_explicit(&ring->filled, memory_order_relaxed);
        /* In one order with the writer's: either it sees the entry before it sleeps, or this
         * sees that it sleeps. */
        atomic_store(&ring->filled, filled + 1);
        if (atomic_load(&ring->sleep->asleep)) {
            wake(ring->sleep);
        }
    }
}

unsigned journal_modes(const struct journal *journal)
{
    return atomic_load_explicit(&journal->modes, memory_order_relaxed);
}

bool journal_switch(struct journal *journal, enum entry_mode mode, bool on)
{
    unsigned bit = ENTRY_MODE_BIT(mode);
    unsigned before =
        on ? atomic_fetch_or(&journal->modes, bit) : atomic_fetch_and(&journal->modes, ~bit);
    return ((before & bit) != 0) != on;
}

/* ---- writing ---- */

static bool is_ending(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    bool ending = journal->ending;
    pthread_mutex_unlock(&journal->lock);
    return ending;
}

/* Waits until a write waits for nobody. false: the end has come, and nobody reads. */
static bool may_write(struct journal *journal)
{
    struct pollfd wanted = {.fd = journal->file, .events = POLLOUT};
    while (!journal->regular && poll(&wanted, 1, (int)LOOK_MOST_MS) <= 0) {
        if (!is_ending(journal)) {
            continue;
        }
        uint64_t now = now_ns();
        if (journal->give_up_ns == 0) {
            journal->give_up_ns = now + journal->patience_ms * NS_PER_MS;
        } else if (now >= journal->give_up_ns) {
            journal->end.unread = true;
            return false;
        }
    }
    journal->give_up_ns = 0;
    return true;
}

/* How much of some lines is written at once: as many whole ones as `most` holds, so that a line of
 * somebody else's, who writes there too, does not come to stand in the middle of one. */
static size_t whole_lines(const char *lines, size_t bytes, size_t most)
{
    if (bytes <= most) {
        return bytes;
    }
    size_t whole = most;
    while (whole > 0 && lines[whole - 1] != '\n') {
        whole--;
    }
    return whole > 0 ? whole : most;
}

/* The end of what could be written: says so at once, as the program may run on for months, and
 * takes off a line of which only a part is in the file. `at`: the bytes of the buffer that are. */
static void give_up(struct journal *journal, int error, size_t at)
{
    size_t part = 0;
    journal->end.error = error;
    if (journal->path[0] == '\0') {
        return; /* stderr */
    }
    fprintf(stderr, "%s: the log %s: %s; its lines are lost from now on\n", journal->program,
            journal->path, strerror(error));
    while (part < at && journal->buffer[at - part - 1] != '\n') {
        part++;
    }
    off_t end = lseek(journal->file, 0, SEEK_CUR);
    if (journal->regular && part > 0 && end >= (off_t)part) {
        (void)!ftruncate(journal->file, end - (off_t)part); /* if not, the part stays */
    }
}

/* Writes the buffer out. What cannot be written is lost and counted, then and from then on. */
static void flush(struct journal *journal)
{
    const size_t most = journal->regular ? BUFFER_BYTES : PIPE_BUF;
    size_t at = 0;
    while (at < journal->buffered && journal->end.error == 0 && !journal->end.unread &&
           may_write(journal)) {
        size_t bytes = whole_lines(journal->buffer + at, journal->buffered - at, most);
        ssize_t written = write(journal->file, journal->buffer + at, bytes);
        if (written >= 0) {
            at += (size_t)written;
        } else if (errno != EINTR && errno != EAGAIN) {
            give_up(journal, errno, at);
        }
    }
    /* The lines that end in what could not be written; the log's first line is none. */
    uint32_t lost = 0;
    for (; at < journal->buffered; at++) {
        lost += journal->buffer[at] == '\n' && lost < journal->buffered_lines ? 1 : 0;
    }
    journal->end.lost += lost;
    journal->end.lines += journal->buffered_lines - lost;
    journal->buffered = 0;
    journal->buffered_lines = 0;
}

static void write_entry(struct journal *journal, const struct entry *entry)
{
    if (BUFFER_BYTES - journal->buffered < ENTRY_LINE_BYTES) {
        flush(journal);
    }
    char *out = journal->buffer + journal->buffered;
    journal->buffered +=
        journal->json ? entry_write_json(entry, out) : entry_write_text(entry, out);
    journal->buffered_lines++;
}

/* A line about entries that found their ring full since the last such line. */
static void say_lost(struct journal *journal, struct journal_ring *ring)
{
    uint64_t lost = atomic_load_explicit(&ring->lost, memory_order_relaxed);
    if (lost == ring->lost_said) {
        return;
    }
    struct entry entry;
    entry_init(&entry, ENTRY_ERROR, EVENT_LOST, 0);
    entry.worker = ring->worker;
    entry.t_ns = now_ns() - journal->start_ns;
    entry.reason = "the log could not be written as fast";
    entry_number(&entry, KEY_COUNT, lost - ring->lost_said);
    write_entry(journal, &entry);
    journal->end.lost += lost - ring->lost_said;
    ring->lost_said = lost;
}

/* The ring whose next entry is the oldest, of those that have one before their `until`. */
static struct journal_ring *oldest(struct journal *journal, const uint64_t *until)
{
    struct journal_ring *found = NULL;
    uint64_t found_t_ns = 0;
    for (uint32_t i = 0; i < journal->rings_count; i++) {
        struct journal_ring *ring = &journal->rings[i];
        uint64_t at = atomic_load_explicit(&ring->emptied, memory_order_relaxed);
        if (at == until[i]) {
            continue;
        }
        const struct entry *entry = &ring->entries[at & (ring->count - 1)];
        uint64_t t_ns = entry->t_ns;
        if (entry->mode == ENTRY_RECORDER) {
            return ring; /* its times are the past's; what belongs together stays together */
        }
        if (found == NULL || t_ns < found_t_ns) {
            found = ring;
            found_t_ns = t_ns;
        }
    }
    return found;
}

/* Writes what is in the rings now; returns how many entries that were. */
static size_t drain(struct journal *journal, uint64_t *until)
{
    size_t count = 0;
    for (uint32_t i = 0; i < journal->rings_count; i++) {
        until[i] = atomic_load_explicit(&journal->rings[i].filled, memory_order_acquire);
    }
    for (struct journal_ring *ring; (ring = oldest(journal, until)) != NULL; count++) {
        uint64_t at = atomic_load_explicit(&ring->emptied, memory_order_relaxed);
        write_entry(journal, &ring->entries[at & (ring->count - 1)]);
        atomic_store_explicit(&ring->emptied, at + 1, memory_order_release);
    }
    for (uint32_t i = 0; i < journal->rings_count; i++) {
        say_lost(journal, &journal->rings[i]);
    }
    flush(journal);
    return count;
}

/* A nap, cut short by the end; true if it has come. */
static bool nap(struct journal *journal, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms * NS_PER_MS;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    pthread_mutex_lock(&journal->lock);
    int result = 0;
    while (!journal->ending && result == 0) {
        result = pthread_cond_timedwait(&journal->changed, &journal->lock, &until);
    }
    bool ending = journal->ending;
    pthread_mutex_unlock(&journal->lock);
    return ending;
}

/* Sleeps until an entry comes, or the end; true if that has come. */
static bool sleep_on(struct journal *journal)
{
    atomic_store(&journal->sleep.asleep, true);
    bool found = is_ending(journal);
    for (uint32_t i = 0; i < journal->rings_count; i++) {
        struct journal_ring *ring = &journal->rings[i];
        found = found || atomic_load(&ring->filled) != atomic_load(&ring->emptied);
    }
    if (found) {
        wake(&journal->sleep); /* itself; or a filler has just done so */
    }
    while (sem_wait(&journal->sleep.woken) != 0) {
        /* EINTR: a debugger */
    }
    return is_ending(journal);
}

static void *write_all(void *argument)
{
    struct journal *journal = argument;
    uint64_t *until = (uint64_t *)(void *)(journal->rings + journal->rings_count);
    unsigned ms = LOOK_LEAST_MS;
    bool ending = false;
    flush(journal); /* the first line */
    for (;;) {
        size_t found = drain(journal, until);
        if (ending && found == 0) {
            return NULL; /* the rings were looked at after the end had been said */
        }
        if (found == 0 && ms == LOOK_MOST_MS) {
            ending = sleep_on(journal);
            ms = LOOK_LEAST_MS;
            continue;
        }
        if (found > 0) {
            ms = LOOK_LEAST_MS;
        } else {
            ms = 2 * ms < LOOK_MOST_MS ? 2 * ms : LOOK_MOST_MS;
        }
        ending = nap(journal, ms);
    }
}

/* ---- opening ---- */

/* The first line: which program's log this is, and when t was 0. Program and version are plain
 * words. */
static void put_first_line(struct journal *journal, const struct journal_options *options)
{
    char date[40];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t here_ns = now_ns();
    journal->start_ns = options->start_ns != 0 ? options->start_ns : here_ns;
    uint64_t since_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    since_ns -= here_ns - journal->start_ns;
    now.tv_sec = (time_t)(since_ns / NS_PER_S);
    now.tv_nsec = (long)(since_ns % NS_PER_S);
    gmtime_r(&now.tv_sec, &utc);
    size_t bytes = strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(date + bytes, sizeof date - bytes, ".%03uZ",
             (unsigned)((uint64_t)now.tv_nsec / NS_PER_MS));
    const char *form = journal->json ? "{\"program\":\"%s\",\"version\":\"%s\","
                                       "\"start_monotonic_ns\":%" PRIu64 ",\"start\":\"%s\"}\n"
                                     : "# %s %s start_monotonic_ns=%" PRIu64 " start=%s\n";
    int length = snprintf(journal->buffer, BUFFER_BYTES, form, options->program, options->version,
                          journal->start_ns, date);
    journal->buffered = (size_t)length;
}

/* Makes a new file in a folder, named after the program and the time. */
static int open_in_folder(struct journal *journal, const struct journal_options *options)
{
    char stamp[24];
    struct tm local;
    time_t now = time(NULL);
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%y%m%d%H%M%S", &local);
    size_t bytes = strlen(options->path);
    const char *slash = bytes > 0 && options->path[bytes - 1] == '/' ? "" : "/";
    int file = -1;
    for (int i = 1; file < 0 && i < SAME_SECOND_MAX; i++) {
        char again[16] = "";
        if (i > 1) {
            snprintf(again, sizeof again, "-%d", i);
        }
        int length = snprintf(journal->path, sizeof journal->path, "%s%s%s-%s%s.log", options->path,
                              slash, options->program, stamp, again);
        if (length < 0 || (size_t)length >= sizeof journal->path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        file = open(journal->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST) {
            return -1;
        }
    }
    return file;
}

static int open_path(struct journal *journal, const struct journal_options *options)
{
    struct stat there;
    bool exists = stat(options->path, &there) == 0;
    if (exists && S_ISDIR(there.st_mode)) {
        return open_in_folder(journal, options);
    }
    size_t bytes = strlen(options->path);
    if (bytes >= sizeof journal->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!exists && bytes > 0 && options->path[bytes - 1] == '/') {
        errno = ENOENT; /* open would say: is a directory */
        return -1;
    }
    snprintf(journal->path, sizeof journal->path, "%s", options->path);
    /* A fifo that is opened for both waits for no reader; one that is opened to write does. */
    int how =
        exists && S_ISFIFO(there.st_mode) ? O_RDWR | O_NONBLOCK : O_WRONLY | O_CREAT | O_TRUNC;
    return open(options->path, how | O_CLOEXEC, 0666);
}

static bool open_file(struct journal *journal, const struct journal_options *options, char *why)
{
    struct stat there;
    journal->file = STDERR_FILENO;
    if (options->path != NULL) {
        journal->file = open_path(journal, options);
    }
    if (journal->file < 0 || fstat(journal->file, &there) != 0) {
        snprintf(why, JOURNAL_WHY_BYTES, "%.200s: %s",
                 options->path != NULL ? options->path : "stderr", strerror(errno));
        return false;
    }
    journal->regular = S_ISREG(there.st_mode);
    return true;
}

/* The rings, and behind them a number for each, which the writer uses. */
static bool make_rings(struct journal *journal, const struct journal_options *options)
{
    uint32_t entries = options->ring_entries != 0 ? options->ring_entries : RING_ENTRIES;
    uint32_t count = options->workers + 1;
    size_t bytes = count * (sizeof *journal->rings + sizeof(uint64_t));
    bytes += (JOURNAL_CACHE_LINE - bytes % JOURNAL_CACHE_LINE) % JOURNAL_CACHE_LINE;
    journal->rings_count = count;
    journal->rings = aligned_alloc(JOURNAL_CACHE_LINE, bytes);
    journal->entries = calloc((size_t)count * entries, sizeof *journal->entries);
    if (journal->rings == NULL || journal->entries == NULL) {
        return false;
    }
    memset(journal->rings, 0, bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct journal_ring *ring = &journal->rings[i];
        ring->entries = journal->entries + (size_t)i * entries;
        ring->count = entries;
        ring->modes = &journal->modes;
        ring->sleep = &journal->sleep;
        ring->start_ns = journal->start_ns;
        ring->worker = i < options->workers ? (uint16_t)i : ENTRY_NO_WORKER;
    }
    return true;
}

static bool start_thread(struct journal *journal)
{
    sigset_t all;
    sigset_t before;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->changed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&journal->lock, NULL);
    sem_init(&journal->sleep.woken, 0, 0); /* cannot fail with these */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int result = pthread_create(&journal->thread, NULL, write_all, journal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result == 0;
}

static void free_all(struct journal *journal)
{
    if (journal->file > STDERR_FILENO) {
        close(journal->file);
    }
    free(journal->rings);
    free(journal->entries);
    free(journal);
}

struct journal *journal_open(const struct journal_options *options, char *why)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        snprintf(why, JOURNAL_WHY_BYTES, "there is no memory for a log");
        return NULL;
    }
    journal->json = options->json;
    journal->program = options->program;
    journal->patience_ms = options->patience_ms != 0 ? options->patience_ms : PATIENCE_MS;
    atomic_init(&journal->modes, options->modes | ENTRY_MODE_BIT(ENTRY_ERROR) |
                                     ENTRY_MODE_BIT(ENTRY_SUMMARY) |
                                     ENTRY_MODE_BIT(ENTRY_RECORDER));
    if (!open_file(journal, options, why)) {
        free_all(journal);
        return NULL;
    }
    put_first_line(journal, options);
    if (!make_rings(journal, options) || !start_thread(journal)) {
        snprintf(why, JOURNAL_WHY_BYTES, "there is no memory or no thread for a log");
        free_all(journal);
        return NULL;
    }
    return journal;
}

const char *journal_path(const struct journal *journal)
{
    return journal->path[0] != '\0' ? journal->path : NULL;
}

struct journal_end journal_close(struct journal *journal)
{
    if (journal == NULL) {
        return (struct journal_end){.error = 0};
    }
    pthread_mutex_lock(&journal->lock);
    journal->ending = true;
    pthread_cond_signal(&journal->changed);
    pthread_mutex_unlock(&journal->lock);
    wake(&journal->sleep);
    pthread_join(journal->thread, NULL);
    struct journal_end end = journal->end;
    if (journal->file > STDERR_FILENO && close(journal->file) != 0 && end.error == 0) {
        end.error = errno;
    }
    journal->file = -1;
    free_all(journal);
    return end;
}
