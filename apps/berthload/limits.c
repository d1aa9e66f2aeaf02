/* What this system grants the process: CPUs, as its affinity mask in /proc/self/status says (the
 * call for it is a GNU extension), descriptors, and memory. All at start, a few system calls. */
#include "limits.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Room for one line of /proc/self/status: a mask of 4,096 CPUs has 1,152 characters. */
#define LINE_BYTES 2048

/* A worker's ring or epoll, its wake-up, and what else the library may open for it. */
#define DESCRIPTORS_PER_WORKER 8u
/* The standard three, the JSON file, the libraries', and some air. */
#define DESCRIPTORS_OWN 32u

/* Counts the bits of a mask written in hexadecimal, with commas in it. */
static uint32_t count_bits(const char *mask)
{
    uint32_t bits = 0;
    for (; *mask != '\0' && *mask != '\n'; mask++) {
        unsigned digit = 0;
        if (*mask >= '0' && *mask <= '9') {
            digit = (unsigned)(*mask - '0');
        } else if (*mask >= 'a' && *mask <= 'f') {
            digit = (unsigned)(*mask - 'a') + 10;
        }
        bits += (uint32_t)__builtin_popcount(digit);
    }
    return bits;
}

uint32_t limits_cpus(void)
{
    static const char key[] = "Cpus_allowed:";
    char line[LINE_BYTES];
    uint32_t cpus = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status != NULL) {
        while (cpus == 0 && fgets(line, sizeof line, status) != NULL) {
            if (strncmp(line, key, sizeof key - 1) == 0) {
                cpus = count_bits(line + sizeof key - 1);
            }
        }
        fclose(status);
    }
    if (cpus == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 ? (uint32_t)online : 1;
    }
    return cpus;
}

uint64_t limits_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return UINT64_MAX; /* unknown: what is too much will show */
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            limit.rlim_cur = soft;
        }
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

/* The number in the first line of a file that begins with `key`. */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    char line[LINE_BYTES];
    bool found = false;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            char *end = NULL;
            *out = strtoull(line + strlen(key), &end, 10);
            found = end > line + strlen(key);
        }
    }
    fclose(file);
    return found;
}

uint64_t limits_memory_available(void)
{
    uint64_t available = UINT64_MAX;
    uint64_t kilobytes = 0;
    uint64_t most = 0;
    uint64_t used = 0;
    if (read_number("/proc/meminfo", "MemAvailable:", &kilobytes)) {
        available = kilobytes * 1024;
    }
    /* Seen from inside a container, this is its own group; "max" is no number. */
    if (read_number("/sys/fs/cgroup/memory.max", "", &most) &&
        read_number("/sys/fs/cgroup/memory.current", "", &used)) {
        uint64_t left = most > used ? most - used : 0;
        available = left < available ? left : available;
    }
    return available;
}

uint64_t limits_descriptors_needed(uint32_t connections, uint32_t workers)
{
    return (uint64_t)connections + (uint64_t)workers * DESCRIPTORS_PER_WORKER + DESCRIPTORS_OWN;
}

uint32_t limits_workers_needed(uint32_t connections, uint64_t granted)
{
    for (uint32_t workers = 1; workers <= WORKERS_MAX; workers++) {
        uint32_t share = connections / workers + (connections % workers != 0 ? 1 : 0);
        /* Each table has the wake-ups of all. */
        if ((uint64_t)share + workers + DESCRIPTORS_PER_WORKER + DESCRIPTORS_OWN <= granted) {
            return workers;
        }
    }
    return 0;
}
