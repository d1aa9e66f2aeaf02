/* Servers on real sockets and blocking clients for them (help_server.c). */
#ifndef BERTH_TESTS_UNIT_HELP_SERVER_H
#define BERTH_TESTS_UNIT_HELP_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/berth.h>

#include <sched.h>

#define LIVE_WAIT_MS 10000

/* The backend under test: what live_settings asks for. */
extern enum berth_backend live_backend;
extern const struct berth_address live_loopback;

/* A test on each backend, for a list of cmocka's. */
#define LIVE_ON_BOTH(test)                                                                         \
    {.name = "epoll: " #test, .test_func = (test), .setup_func = live_on_epoll},                   \
    {                                                                                              \
        .name = "uring: " #test, .test_func = (test), .setup_func = live_on_uring                  \
    }
int live_on_epoll(void **state);
int live_on_uring(void **state);

/* One worker, 64 connections, a small pool. */
void live_settings(struct berth_config *config);
struct berth_server *live_create(const struct berth_config *config);
struct berth_address live_listen_on(struct berth_server *server,
                                    const struct berth_protocol *protocol);
void live_start(struct berth_server *server);
/* Stops, waits, destroys. */
void live_end(struct berth_server *server);
uint64_t live_now_ms(void);
struct berth_stats live_stats_of(const struct berth_server *server);

/* A connected blocking socket; its receives give up after LIVE_WAIT_MS. */
int live_client(const struct berth_address *to);
void live_tell(int fd, const void *bytes, size_t count);
void live_hear(int fd, const void *expected, size_t count);
void live_hear_end(int fd);

#define LIVE_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t live_begin_ms = live_now_ms();                                                    \
        while (!(condition)) {                                                                     \
            if (live_now_ms() - live_begin_ms > LIVE_WAIT_MS) {                                    \
                fail_msg("never came: %s", #condition);                                            \
            }                                                                                      \
            sched_yield();                                                                         \
        }                                                                                          \
    } while (0)

#endif
