/* A clock on the wall that lies (F21): loaded in front of the C library, it lets every look at the
 * time of day be up to a day early or late, each time anew. The monotonic clocks go on as they do.
 * How often it lied is said at the end.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DAY_S 86400

static atomic_uint looks;

__attribute__((destructor)) static void say(void)
{
    fprintf(stderr, "the clock lied %u times\n", atomic_load(&looks));
}

static int is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

/* From -DAY_S to DAY_S, all over the place. */
static time_t lie(void)
{
    uint32_t look = atomic_fetch_add(&looks, 1) * 2654435761u;
    return (time_t)(look % (2 * DAY_S + 1)) - DAY_S;
}

/* What takes the C library's place has its symbols, and names that its headers do not declare. */
int lying_clock_gettime(clockid_t clock, struct timespec *out) __asm__("clock_gettime");
int lying_gettimeofday(struct timeval *out, void *zone) __asm__("gettimeofday");
time_t lying_time(time_t *out) __asm__("time");

int lying_clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && is_wall(clock)) {
        out->tv_sec += lie();
    }
    return result;
}

int lying_gettimeofday(struct timeval *out, void *zone)
{
    struct timespec now;
    (void)zone;
    int result = lying_clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t lying_time(time_t *out)
{
    struct timespec now;
    (void)lying_clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
