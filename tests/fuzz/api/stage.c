/* The stage of a play: the simulated world, the server in it, and the turns of its workers, which
 * the play takes one by one on one thread. stage_open makes them from the tape's settings,
 * stage_start starts the server, stage_turn, stage_round and stage_doze let time pass, stage_close
 * ends all; in this order. The play owns world and server from open to close.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core.h"
#include "fuzz/api/play.h"
#include "unit/framings.h"

/* Turns that a doze may take on the clock's own io. */
#define DOZE_MOST 2000

/* While actors are busy, time goes in steps of at most this. */
#define STEP_NS UINT64_C(20000)

/* What is expensive to look at is looked at once in so many turns, and at the end. */
#define VALIDATE_TURNS 128

/* The first of the crowd's fixed sizes: one that no other framing has. */
#define EXTRA_BYTES 900

/* The backlog of the addresses: small enough to be full. */
#define BACKLOG 4

static const struct berth_address loopback = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};

/* ------------------------------------------------------------------------------------- the story
 */

static void tell_line(const struct play *play, FILE *out, const char *format, va_list arguments)
{
    uint64_t now_ns = play->world == NULL ? 0 : sim_world_now(play->world);
    fprintf(out, "%9llu.%03llu us ", (unsigned long long)(now_ns / 1000),
            (unsigned long long)(now_ns % 1000));
    if (play->inside != NOBODY) {
        fprintf(out, "[%u] ", play->inside);
    }
    vfprintf(out, format, arguments);
    fputc('\n', out);
}

void play_tell(const struct play *play, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell_line(play, stdout, format, arguments);
    va_end(arguments);
    (void)fflush(stdout); /* an assertion may be next */
}

_Noreturn void play_failed(const struct play *play, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell_line(play, stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "(its story: BERTH_FUZZ_STORY=1 PROGRAM INPUT)\n");
    abort();
}

/* ----------------------------------------------------------------------------------- open, start
 */

static void listen_with(struct play *play, const struct berth_protocol *protocol,
                        struct berth_address *bound)
{
    struct berth_error error = {.text = ""};
    struct berth_listen_options listen = {
        .address = loopback, .protocol = protocol, .backlog = BACKLOG};
    if (berth_listen(play->server, &listen, bound, &error) != BERTH_OK) {
        play_failed(play, "listen: %s", error.text);
    }
}

/* Addresses to which nobody comes, each with a framing of its own. */
static void listen_crowded(struct play *play)
{
    for (uint32_t i = 0; i < PLAY_EXTRAS; i++) {
        play->extras[i] = play->protocols[0];
        play->extras[i].framing = (struct berth_framing)FIXED(EXTRA_BYTES + i);
        listen_with(play, &play->extras[i], NULL);
    }
}

void stage_open(struct play *play)
{
    struct berth_error error = {.text = ""};
    uint8_t seed = play->tape.settings[SET_SEED];
    play->world = sim_world_create(seed, &play->options);
    if (server_create_in(&play->server, &play->config, &io_backend_sim, play->world, &error) !=
        BERTH_OK) {
        play_failed(play, "create: %s", error.text);
    }
    listen_with(play, &play->protocols[0], &play->addresses[0]);
    if (play->crowded) {
        listen_crowded(play);
    }
    listen_with(play, &play->protocols[1], &play->addresses[1]);
    FUZZ_CHECK(
        io_listen(&io_backend_sim, play->world, &loopback, PLAY_OUTGOING, &play->elsewhere) == 0);
    struct io_config config = {.world = play->world,
                               .socks_max = 1,
                               .receive_base = play->clock_buffers,
                               .receive_bytes = 1,
                               .receive_count = 2};
    FUZZ_CHECK(io_open(&io_backend_sim, &config, &play->clock) == 0);
    play->workers_left = play->config.workers;
    if (play->sharp) {
        play->mask = PLAY_SHARP_MASK;
        berth_server_watch(play->server, play->mask);
    }
}

void stage_start(struct play *play)
{
    TELL(play, "start");
    play->started = true;
    FUZZ_CHECK(server_start_stepped(play->server) == 0);
}

/* ------------------------------------------------------------------------------------- the turns
 */

static void check_worker(const struct play *play, const struct worker *worker)
{
    if (play->turns[worker->index] % VALIDATE_TURNS == 0) {
        pool_validate(&worker->pool);
        wheel_validate(&worker->wheel);
    }
}

void stage_turn(struct play *play, uint32_t index, bool wait)
{
    struct worker *worker = &play->server->workers[index];
    struct io_stats before;
    struct io_stats after;
    if (!play->started || play->ended[index]) {
        return;
    }
    play->inside = index;
    play->turns[index]++;
    io_stats(worker->io, &before);
    bool goes_on = worker_turn(worker, wait);
    io_stats(worker->io, &after);
    play->inside = NOBODY;
    play->progress += after.completions - before.completions;
    check_worker(play, worker);
    if (!goes_on) {
        TELL(play, "worker %u has ended", index);
        play->ended[index] = true; /* it takes no more letters, those of a last visit's included */
        play->workers_left--;
        play->progress++;
        worker_close(worker);
    }
}

static void actors_act(struct play *play)
{
    uint64_t before = play->progress;
    for (uint32_t i = 0; i < play->lives_count; i++) {
        if (play->lives[i].open) {
            actor_act(play, &play->lives[i]);
        }
    }
    /* A deadline that passes only because the actors were not asked is the play's mistake. */
    uint64_t now_ns = sim_world_now(play->world);
    if (play->progress != before && play->alarm_ns <= now_ns) {
        play->alarm_ns = now_ns + STEP_NS;
        sim_world_alarm(play->world, play->alarm_ns);
    }
}

void stage_round(struct play *play)
{
    for (uint32_t i = 0; i < play->config.workers; i++) {
        stage_turn(play, i, true);
    }
    actors_act(play);
}

void stage_doze(struct play *play, uint64_t ns)
{
    uint64_t until_ns = sim_world_now(play->world) + ns;
    struct io_completion none;
    TELL(play, "%llu ns pass", (unsigned long long)ns);
    sim_world_alarm(play->world, until_ns);
    for (uint32_t i = 0; i < DOZE_MOST && sim_world_now(play->world) < until_ns; i++) {
        FUZZ_CHECK(io_reap(play->clock, &none, 1, until_ns) == 0);
    }
}

/* ----------------------------------------------------------------------------------------- close
 */

/* Those who still waited when the server ended are reset by the end of its listeners. */
static void dismiss_actors(struct play *play)
{
    for (uint32_t i = 0; i < play->lives_count; i++) {
        struct life *life = &play->lives[i];
        if (life->open) {
            sim_peer_close(play->world, life->end);
            life->open = false;
        }
        actor_free(life);
    }
    stage_doze(play, UINT64_C(1) << 40);
}

void stage_close(struct play *play)
{
    berth_server_destroy(play->server);
    if (play->elsewhere.id >= 0) {
        io_listener_close(&io_backend_sim, play->world, &play->elsewhere);
    }
    dismiss_actors(play);
    io_close_all(play->clock);
    if (sim_world_connections(play->world) != 0) {
        play_failed(play, "%u connections are left in the world",
                    sim_world_connections(play->world));
    }
    sim_world_destroy(play->world);
    for (uint32_t i = 0; i < play->seen_count; i++) {
        free(play->seen[i].told);
        free(play->seen[i].sends.sizes);
        free(play->seen[i].handles.sizes);
    }
}
