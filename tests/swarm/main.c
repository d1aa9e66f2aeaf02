/* The simulation's command line: which seeds, and what is said of them.
 *
 * With --jobs the seeds are dealt out to child processes; --shrink plays a failing seed again and
 * again in children, with one class after another left out, and keeps out what it does not need to
 * fail. The exit status is 0 if all seeds went well, 1 if one failed, 2 if the options make no
 * sense.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults/row.h"
#include "swarm/swarm.h"

#define SEEDS_DEFAULT 200
#define JOBS_MAX      64

struct wish {
    uint64_t first;
    uint64_t seeds; /* UINT64_MAX: until the time is up */
    uint64_t minutes;
    uint64_t without;
    uint32_t jobs;
    bool trace;
    bool shrink;
    bool hash;
    const char *list; /* a file of seeds to play first */
};

static uint64_t playing; /* for the signal handler */

/* An assertion aborts: say which seed it was. Async-signal-safe. */
static void on_abort(int number)
{
    char text[80] = "FAILED: seed ";
    size_t at = strlen(text);
    char digits[24];
    size_t count = 0;
    for (uint64_t left = playing; count == 0 || left > 0; left /= 10) {
        digits[count++] = (char)('0' + left % 10);
    }
    while (count > 0) {
        text[at++] = digits[--count];
    }
    memcpy(text + at, ": aborted\n", 10);
    (void)!write(STDERR_FILENO, text, at + 10);
    signal(number, SIG_DFL);
    raise(number);
}

static void print_sums(const struct swarm_sums *sums, uint64_t seeds)
{
    printf("%llu seeds, %llu completions in %llu turns, %llu connections, %llu messages, %llu s of "
           "virtual time\n",
           (unsigned long long)seeds, (unsigned long long)sums->completions,
           (unsigned long long)sums->steps, (unsigned long long)sums->visits,
           (unsigned long long)sums->messages,
           (unsigned long long)(sums->virtual_ns / (1000 * NS_PER_MS)));
    for (unsigned reason = 1; reason <= BERTH_REASON_SLOW; reason++) {
        printf("  %8llu  %s\n", (unsigned long long)sums->reasons[reason],
               berth_reason_text((enum berth_reason)reason));
    }
}

static void add(struct swarm_sums *into, const struct swarm_sums *from)
{
    into->completions += from->completions;
    into->virtual_ns += from->virtual_ns;
    into->steps += from->steps;
    into->visits += from->visits;
    into->messages += from->messages;
    into->replies += from->replies;
    into->vanished += from->vanished;
    into->shut += from->shut;
    into->resets += from->resets;
    into->no_buffer += from->no_buffer;
    into->overflows += from->overflows;
    into->stale += from->stale;
    into->wraps += from->wraps;
    into->clocks += from->clocks;
    for (unsigned i = 0; i < sizeof into->reasons / sizeof into->reasons[0]; i++) {
        into->reasons[i] += from->reasons[i];
    }
    into->hash ^= from->hash;
}

static uint64_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

/* Plays every `jobs`-th seed from `first` on. Returns how many. */
static uint64_t play(const struct wish *wish, uint64_t first, struct swarm_sums *sums)
{
    uint64_t count = 0;
    uint64_t until = wish->minutes == 0 ? UINT64_MAX : seconds_now() + 60 * wish->minutes;
    for (uint64_t seed = first; seed - wish->first < wish->seeds && seconds_now() < until;
         seed += wish->jobs) {
        playing = seed;
        swarm_play(seed, wish->without, wish->trace, sums);
        count++;
    }
    return count;
}

/* Rows for docs/FAULTS.md: what these runs held of each fault. */
static void leave_rows(const struct wish *wish, const struct swarm_sums *sums, uint64_t seeds,
                       bool met)
{
    const struct {
        const char *id;
        uint64_t count;
        const char *what;
    } rows[] = {
        {"F01", sums->vanished, "peers vanished, each was ended"},
        {"F03", sums->shut, "peers ended their side and heard every reply"},
        {"F04", sums->resets, "resets, no part of a message handed over"},
        {"F15", sums->no_buffer, "receives found no buffer, nothing was lost"},
        {"F16", sums->overflows, "overflows of the queue, nothing was lost"},
        {"F17", sums->completions, "completions, sends and receives short at the world's will"},
        {"F21", sums->clocks, "runs with clocks near 2^63 ns and 2^32 ms"},
        {"F23", sums->stale, "calls with stale handles, each refused"},
        {"F44", sums->wraps, "runs in which turns and generations wrapped"},
    };
    if (wish->without != 0) {
        return; /* some of it was left out */
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fault_begin(rows[i].id, "sim", "sim");
        if (met && rows[i].count > 0) {
            fault_met("%llu %s, in %llu seeds", (unsigned long long)rows[i].count, rows[i].what,
                      (unsigned long long)seeds);
        }
    }
}

/* The seeds that failed once, one a line behind which a comment may stand. */
static bool play_list(const struct wish *wish, struct swarm_sums *sums, uint64_t *count)
{
    char line[200];
    FILE *file = fopen(wish->list, "r");
    if (file == NULL) {
        fprintf(stderr, "sim: %s: %s\n", wish->list, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] >= '0' && line[0] <= '9') {
            playing = strtoull(line, NULL, 10);
            swarm_play(playing, wish->without, false, sums);
            ++*count;
        }
    }
    fclose(file);
    return true;
}

/* ----------------------------------------------------------------------------------------- jobs */

struct share {
    struct swarm_sums sums;
    uint64_t seeds;
};

static int play_in_children(const struct wish *wish, struct swarm_sums *sums, uint64_t *count)
{
    int pipes[JOBS_MAX];
    pid_t children[JOBS_MAX];
    int failed = 0;
    for (uint32_t job = 0; job < wish->jobs; job++) {
        int ends[2];
        if (pipe(ends) != 0 || (children[job] = fork()) < 0) {
            perror("sim");
            exit(1);
        }
        if (children[job] == 0) {
            struct share share = {.seeds = 0};
            close(ends[0]);
            share.seeds = play(wish, wish->first + job, &share.sums);
            exit(write(ends[1], &share, sizeof share) == sizeof share ? 0 : 1);
        }
        close(ends[1]);
        pipes[job] = ends[0];
    }
    for (uint32_t job = 0; job < wish->jobs; job++) {
        struct share share;
        int status;
        bool whole = read(pipes[job], &share, sizeof share) == sizeof share;
        close(pipes[job]);
        waitpid(children[job], &status, 0);
        if (!whole || status != 0) {
            failed = 1;
            continue;
        }
        add(sums, &share.sums);
        *count += share.seeds;
    }
    return failed;
}

/* --------------------------------------------------------------------------------------- shrinking
 */

static bool fails_in_child(uint64_t seed, uint64_t without)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct swarm_sums sums = {0};
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(0);
        }
        signal(SIGABRT, SIG_DFL);
        alarm(120); /* one that does not end has failed */
        swarm_play(seed, without, false, &sums);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

static int shrink(const struct wish *wish)
{
    uint64_t without = wish->without;
    if (!fails_in_child(wish->first, without)) {
        printf("seed %llu does not fail\n", (unsigned long long)wish->first);
        return 0;
    }
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
        uint64_t more = without | UINT64_C(1) << class;
        bool goes = fails_in_child(wish->first, more);
        printf("%s %s\n", goes ? "not needed:" : "needed:    ", swarm_class_names[class]);
        fflush(stdout);
        without = goes ? more : without;
    }
    printf("./dev sim --seed %llu --trace --without ", (unsigned long long)wish->first);
    const char *between = "";
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
        if ((without >> class & 1) != 0) {
            printf("%s%s", between, swarm_class_names[class]);
            between = ",";
        }
    }
    printf("\n");
    return 1;
}

/* ----------------------------------------------------------------------------------------- options
 */

static const char usage[] =
    "usage: sim [--seed N | --seeds N | --minutes N] [--from N] [--jobs N] [--list FILE]\n"
    "           [--without CLASS,...] [--trace] [--shrink] [--hash]\n"
    "  --seed N      that seed alone; --trace tells its story, --shrink finds what it needs to "
    "fail\n"
    "  --seeds N     so many seeds (200), from --from N on (1)\n"
    "  --minutes N   seeds for so long\n"
    "  --jobs N      in so many processes\n"
    "  --list FILE   plays the seeds of a file first\n"
    "  --hash        prints what all runs came to, the same on every compiler\n"
    "  --without ... leaves classes out:\n";

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "sim: %s: %s\n%s", which, what, usage);
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
        fprintf(stderr, "%s%s", class % 6 == 0 ? "      " : " ", swarm_class_names[class]);
        fputs(class % 6 == 5 || class + 1 == CLASS_COUNT ? "\n" : "", stderr);
    }
    return 2;
}

static bool read_classes(const char *list, uint64_t *out)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        uint32_t class = 0;
        while (class < CLASS_COUNT && (strlen(swarm_class_names[class]) != length ||
                                       strncmp(swarm_class_names[class], list, length) != 0)) {
            class ++;
        }
        if (class == CLASS_COUNT) {
            return false;
        }
        *out |= UINT64_C(1) << class;
        list += length + (list[length] == ',' ? 1 : 0);
    }
    return true;
}

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= least &&
           *out <= most;
}

/* 0, or the exit status. */
static int read_options(int count, char **arguments, struct wish *wish)
{
    uint64_t jobs = 1;
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        bool right = true;
        bool flag = true;
        if (strcmp(name, "--trace") == 0) {
            wish->trace = true;
        } else if (strcmp(name, "--shrink") == 0) {
            wish->shrink = true;
        } else if (strcmp(name, "--hash") == 0) {
            wish->hash = true;
        } else {
            flag = false;
        }
        if (flag) {
            continue;
        }
        if (strcmp(name, "--seed") == 0) {
            right = read_number(value, 0, UINT64_MAX / 8, &wish->first);
            wish->seeds = 1;
        } else if (strcmp(name, "--seeds") == 0) {
            right = read_number(value, 1, UINT64_MAX / 8, &wish->seeds);
        } else if (strcmp(name, "--from") == 0) {
            right = read_number(value, 0, UINT64_MAX / 8, &wish->first);
        } else if (strcmp(name, "--minutes") == 0) {
            right = read_number(value, 1, 10000, &wish->minutes);
            wish->seeds = UINT64_MAX;
        } else if (strcmp(name, "--jobs") == 0) {
            right = read_number(value, 1, JOBS_MAX, &jobs);
        } else if (strcmp(name, "--without") == 0) {
            right = read_classes(value, &wish->without);
        } else if (strcmp(name, "--list") == 0) {
            wish->list = value;
        } else {
            return complain("no such option", name);
        }
        if (!right || value[0] == '\0') {
            return complain("what follows is not its value", name);
        }
        i++;
    }
    wish->jobs = (uint32_t)jobs;
    return 0;
}

int main(int count, char **arguments)
{
    struct wish wish = {.first = 1, .seeds = SEEDS_DEFAULT};
    struct swarm_sums sums = {0};
    uint64_t seeds = 0;
    int result = read_options(count, arguments, &wish);
    if (result != 0) {
        return result;
    }
    signal(SIGABRT, on_abort);
    if (wish.shrink) {
        return shrink(&wish);
    }
    leave_rows(&wish, &sums, 0, false);
    if (wish.list != NULL && !play_list(&wish, &sums, &seeds)) {
        return 2;
    }
    if (wish.jobs > 1) {
        result = play_in_children(&wish, &sums, &seeds);
    } else {
        seeds += play(&wish, wish.first, &sums);
    }
    if (result == 0) {
        leave_rows(&wish, &sums, seeds, true);
        print_sums(&sums, seeds);
        if (wish.hash) {
            printf("hash %016llx\n", (unsigned long long)sums.hash);
        }
    }
    return result;
}
