/* Prints a tally. Owns nothing; keeps nothing. */
#include "report.h"

#include <errno.h>
#include <string.h>

#define P50 500
#define P99 990

/* A number for printf. */
static unsigned long long n(uint64_t number)
{
    return number;
}

bool report_is_good(const struct tally *tally)
{
    return tally->failed == 0 && tally->wrong == 0 && tally->cut == 0 && tally->unmet == 0;
}

bool report_line(FILE *file, const struct options *options, const struct tally *tally)
{
    fprintf(file,
            "vex: seed %llu: %llu scripts done, %llu failed, %llu stopped; %llu connections made, "
            "%llu refused; ended %llu by eof, %llu by reset, %llu by timeout, %llu by itself; "
            "out %llu bytes, %llu frames; in %llu bytes, %llu frames; %llu wrong",
            n(options->seed), n(tally->done), n(tally->failed),
            n(tally->stopped + tally->unstarted), n(tally->made), n(tally->refused),
            n(tally->ended_eof), n(tally->ended_reset), n(tally->ended_timeout),
            n(tally->ended_itself), n(tally->bytes_out), n(tally->frames_out), n(tally->bytes_in),
            n(tally->frames_in), n(tally->wrong));
    if (tally->pings_us.count > 0) {
        fprintf(file, "; %llu pings, p50 %llu us, p99 %llu us", n(tally->pings_us.count),
                n(histogram_at(&tally->pings_us, P50)), n(histogram_at(&tally->pings_us, P99)));
    }
    fprintf(file, "; %.3f s\n", (double)tally->elapsed_ns / (double)NS_PER_S);
    return fflush(file) == 0 && ferror(file) == 0;
}

static void put_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', file);
        }
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    fputc('"', file);
}

static void put_times(FILE *file, const char *name, const struct histogram *times)
{
    fprintf(file,
            ", \"%s\": {\"count\": %llu, \"least\": %llu, \"p50\": %llu, \"p99\": %llu, "
            "\"most\": %llu}",
            name, n(times->count), n(times->least), n(histogram_at(times, P50)),
            n(histogram_at(times, P99)), n(times->most));
}

bool report_json(FILE *file, const struct options *options, const struct tally *tally)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"scripts", options->connections},
        {"done", tally->done},
        {"failed", tally->failed},
        {"stopped", tally->stopped},
        {"unstarted", tally->unstarted},
        {"made", tally->made},
        {"refused", tally->refused},
        {"ended_eof", tally->ended_eof},
        {"ended_reset", tally->ended_reset},
        {"ended_timeout", tally->ended_timeout},
        {"ended_itself", tally->ended_itself},
        {"cut", tally->cut},
        {"unmet", tally->unmet},
        {"wrong", tally->wrong},
        {"bytes_out", tally->bytes_out},
        {"frames_out", tally->frames_out},
        {"bytes_in", tally->bytes_in},
        {"frames_in", tally->frames_in},
    };
    fprintf(file, "{\"seed\": %llu", n(options->seed));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        fprintf(file, ", \"%s\": %llu", counts[i].name, n(counts[i].value));
    }
    put_times(file, "pings_us", &tally->pings_us);
    put_times(file, "lives_us", &tally->lives_us);
    fprintf(file,
            ", \"seconds\": %.6f, \"failure\": ", (double)tally->elapsed_ns / (double)NS_PER_S);
    if (tally->failure[0] == '\0') {
        fputs("null", file);
    } else {
        put_text(file, tally->failure);
    }
    fputs("}\n", file);
    return fflush(file) == 0 && ferror(file) == 0;
}

bool report_to(const char *path, const struct options *options, const struct tally *tally)
{
    bool out = strcmp(path, "-") == 0;
    FILE *file = out ? stdout : fopen(path, "w");
    bool good = file != NULL && report_json(file, options, tally);
    if (file != NULL && !out) {
        good = fclose(file) == 0 && good;
    }
    if (!good) {
        fprintf(stderr, "vex: cannot write %s: %s\n", path, strerror(errno));
    }
    return good;
}
