/* A row for docs/FAULTS.md, from a test in C.
 *
 *     fault_begin("F26", "epoll", "kernel");      says that it is not met,
 *     fault_met("%u messages, 0 lost", count);    until this says that it is, and with what figure
 *
 * Between the two a test may end anywhere: what it was about then stands as not met. Without
 * BERTH_FAULTS_DIR in the environment nothing is written. One fault at a time.
 */
#ifndef BERTH_TESTS_FAULTS_ROW_H
#define BERTH_TESTS_FAULTS_ROW_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FAULT_PATH_BYTES   4096
#define FAULT_FIGURE_BYTES 256

static struct {
    const char *id;
    const char *backend; /* epoll, uring or sim */
    const char *where;   /* kernel or sim */
    struct timespec begin;
} fault_now;

/* The figure has no character that JSON writes in another way. */
static inline void fault_write(bool met, const char *figure)
{
    const char *folder = getenv("BERTH_FAULTS_DIR");
    const char *test = getenv("BERTH_FAULTS_TEST");
    const char *full = getenv("BERTH_FULL");
    if (folder == NULL || test == NULL) {
        return;
    }
    char path[FAULT_PATH_BYTES];
    (void)mkdir(folder, 0777); /* or it is there; if neither, the open says so */
    snprintf(path, sizeof path, "%s/%s.%s.%s.%s.json", folder, fault_now.id, fault_now.backend,
             fault_now.where, test);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        perror(path);
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - fault_now.begin.tv_sec) +
                     (double)(now.tv_nsec - fault_now.begin.tv_nsec) / 1e9;
    fprintf(file,
            "{\"id\": \"%s\", \"backend\": \"%s\", \"where\": \"%s\", \"passed\": %s, "
            "\"figure\": \"%s\", \"command\": \"./dev test%s -R %s\", \"seconds\": %.1f}\n",
            fault_now.id, fault_now.backend, fault_now.where, met ? "true" : "false", figure,
            full != NULL && strcmp(full, "1") == 0 ? " --full" : "", test, seconds);
    fclose(file);
}

static inline void fault_begin(const char *id, const char *backend, const char *where)
{
    fault_now.id = id;
    fault_now.backend = backend;
    fault_now.where = where;
    clock_gettime(CLOCK_MONOTONIC, &fault_now.begin);
    fault_write(false, "the test did not come to its end");
}

__attribute__((format(printf, 1, 2))) static inline void fault_met(const char *format, ...)
{
    char figure[FAULT_FIGURE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figure, sizeof figure, format, arguments);
    va_end(arguments);
    fault_write(true, figure);
}

#endif
