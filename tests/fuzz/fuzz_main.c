/* A main for the fuzz targets where there is no libFuzzer (gcc): it feeds a target with every file
 * of its corpus, and then with mutations of them that a seed decides.
 *
 *   corpus_NOUN FOLDER [SEED [RUNS]]     the folder's files, then RUNS mutations (20,000)
 *   corpus_NOUN FILE                     this input only, as after a failure
 *
 * The inputs run in a child process. When it dies, its parent still has the seed, the number of the
 * run and the input in shared memory, prints them, and keeps the input in a file beside it: that
 * works for an assertion, a signal and a sanitizer alike.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_DEFAULT    20000
#define SEED_DEFAULT    1
#define FILES_MAX       256
#define INPUT_BYTES_MAX 4096
#define MUTATED_MAX     512 /* short inputs find more in the same time */
#define MUTATIONS_MAX   8

struct input {
    size_t size;
    uint8_t bytes[INPUT_BYTES_MAX];
};

/* What the parent must know when the child is gone. */
struct progress {
    uint64_t seed;
    long run; /* -1 while the corpus itself is run */
    char name[NAME_MAX + 1];
    struct input input;
};

static struct input corpus[FILES_MAX];
static char names[FILES_MAX][NAME_MAX + 1];
static size_t files;

/* splitmix64: every seed is good, and the numbers of one run do not depend on the run before. */
static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t bound)
{
    return bound == 0 ? 0 : (size_t)(next_random(state) % bound);
}

static void read_file(const char *path, const char *name)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    if (files == FILES_MAX) {
        fprintf(stderr, "%s: more than %d files\n", path, FILES_MAX);
        exit(2);
    }
    corpus[files].size = fread(corpus[files].bytes, 1, INPUT_BYTES_MAX, file);
    snprintf(names[files], sizeof names[files], "%s", name);
    files++;
    (void)fclose(file); /* it was only read */
}

/* In the order of the names, so that a seed means the same on every file system. */
static void read_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        struct stat status;
        if (stat(file, &status) == 0 && S_ISREG(status.st_mode)) {
            read_file(file, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Makes room for, or takes away, `bytes` bytes at `at`. */
static void grow(struct input *input, size_t at, size_t bytes)
{
    if (input->size + bytes <= MUTATED_MAX) {
        memmove(input->bytes + at + bytes, input->bytes + at, input->size - at);
        input->size += bytes;
    }
}

static void shrink(struct input *input, size_t at, size_t bytes)
{
    memmove(input->bytes + at, input->bytes + at + bytes, input->size - at - bytes);
    input->size -= bytes;
}

static void mutate_once(struct input *input, uint64_t *random)
{
    static const uint8_t telling[] = {0, 1, 4, 0x7f, 0x80, 0xff, '\r', '\n', ':', '%', '0', 'a'};
    size_t at = below(random, input->size + 1);
    size_t span = below(random, input->size - at + 1);
    const struct input *other = &corpus[below(random, files)];
    size_t from = below(random, other->size);
    size_t copied = below(random, other->size - from + 1);
    switch (below(random, 7)) {
    case 0:
        if (at < input->size) {
            input->bytes[at] ^= (uint8_t)(1u << below(random, 8));
        }
        return;
    case 1:
        if (at < input->size) {
            input->bytes[at] = telling[below(random, sizeof telling)];
        }
        return;
    case 2:
        if (at < input->size) {
            input->bytes[at] = (uint8_t)next_random(random);
        }
        return;
    case 3:
        shrink(input, at, span % 9);
        return;
    case 4:
        grow(input, at, 1);
        if (at < input->size) {
            input->bytes[at] = telling[below(random, sizeof telling)];
        }
        return;
    case 5: /* a part of another input */
        if (input->size + copied <= MUTATED_MAX) {
            grow(input, at, copied);
            memcpy(input->bytes + at, other->bytes + from, copied);
        }
        return;
    default: /* a part of itself, again */
        if (input->size + span <= MUTATED_MAX) {
            grow(input, at, span);
            memmove(input->bytes + at, input->bytes + at + span, span);
        }
    }
}

static void run_input(struct progress *progress, const struct input *input)
{
    progress->input = *input;
    /* An exactly sized copy: a target that reads past its input is a target that lies. */
    uint8_t *bytes = fuzz_copy(input->bytes, input->size);
    LLVMFuzzerTestOneInput(bytes, input->size);
    free(bytes);
}

static void run_all(struct progress *progress, long runs)
{
    for (size_t i = 0; i < files; i++) {
        memcpy(progress->name, names[i], sizeof progress->name);
        run_input(progress, &corpus[i]);
    }
    for (progress->run = 0; progress->run < runs; progress->run++) {
        uint64_t random = progress->seed * 0x100000001b3u + (uint64_t)progress->run;
        size_t origin = below(&random, files);
        memcpy(progress->name, names[origin], sizeof progress->name);
        static struct input input;
        input = corpus[origin];
        if (input.size > MUTATED_MAX) {
            input.size = MUTATED_MAX;
        }
        for (size_t left = 1 + below(&random, MUTATIONS_MAX); left > 0; left--) {
            mutate_once(&input, &random);
        }
        run_input(progress, &input);
    }
}

static void report(const struct progress *progress, const char *program)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.failed", program);
    FILE *file = fopen(path, "wb");
    bool kept = file != NULL && fwrite(progress->input.bytes, 1, progress->input.size, file) ==
                                    progress->input.size;
    kept = file != NULL && fclose(file) == 0 && kept;
    fprintf(stderr, "failed: seed %llu, run %ld, made of %s, %zu bytes:",
            (unsigned long long)progress->seed, progress->run, progress->name,
            progress->input.size);
    for (size_t i = 0; i < progress->input.size; i++) {
        fprintf(stderr, " %02x", progress->input.bytes[i]);
    }
    fprintf(stderr, "\nagain: %s %s%s\n", program, path, kept ? "" : " (could not be written)");
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s FOLDER [SEED [RUNS]] | FILE\n", argv[0]);
        return 2;
    }
    struct stat status;
    bool single = stat(argv[1], &status) == 0 && S_ISREG(status.st_mode);
    single ? read_file(argv[1], argv[1]) : read_folder(argv[1]);
    if (files == 0) {
        fprintf(stderr, "%s: no inputs\n", argv[1]);
        return 2;
    }
    long runs = argc > 3 ? strtol(argv[3], NULL, 10) : RUNS_DEFAULT;
    struct progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    progress->seed = argc > 2 ? strtoull(argv[2], NULL, 10) : SEED_DEFAULT;
    progress->run = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run_all(progress, single ? 0 : runs);
        exit(0);
    }
    int result = -1;
    if (child < 0 || waitpid(child, &result, 0) != child || result != 0) {
        report(progress, argv[0]);
        return 1;
    }
    printf("%zu files and %ld mutations of seed %llu hold\n", files, single ? 0 : runs,
           (unsigned long long)progress->seed);
    return 0;
}
