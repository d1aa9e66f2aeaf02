/* The chosen handler's life: its threads, from before the server starts until after its workers
 * have ended. The queue that they take from is in struct serving.
 */
#include "handler.h"

#include <pthread.h>
#include <stdlib.h>

struct answering {
    struct serving *serving;
    uint32_t threads_count;
    pthread_t threads[];
};

static bool start_threads(struct answering *answering, uint32_t count, void *(*run)(void *))
{
    for (uint32_t i = 0; i < count; i++) {
        if (pthread_create(&answering->threads[i], NULL, run, answering->serving) != 0) {
            return false;
        }
        answering->threads_count++;
    }
    return true;
}

struct answering *handler_begin(struct serving *serving, const struct options *options,
                                struct berth_protocol *protocol)
{
    uint32_t count = 0;
    void *(*run)(void *) = NULL;
    switch (options->handler) {
    case HANDLER_ECHO:
        protocol->on_messages = echo_messages;
        break;
    case HANDLER_DELAY:
        protocol->on_messages = delay_messages;
        run = delay_thread;
        count = 1;
        break;
    case HANDLER_POOL:
        protocol->on_messages = pool_messages;
        run = pool_thread;
        count = options->threads;
        break;
    }
    struct answering *answering =
        calloc(1, sizeof *answering + count * sizeof answering->threads[0]);
    if (answering == NULL) {
        return NULL;
    }
    answering->serving = serving;
    if (!start_threads(answering, count, run)) {
        handler_end(answering);
        return NULL;
    }
    return answering;
}

void handler_end(struct answering *answering)
{
    if (answering == NULL) {
        return;
    }
    waiting_end(&answering->serving->waiting);
    for (uint32_t i = 0; i < answering->threads_count; i++) {
        pthread_join(answering->threads[i], NULL);
    }
    struct berth_kept *kept = waiting_take_all(&answering->serving->waiting);
    while (kept != NULL) {
        struct berth_kept *next = kept->next;
        berth_kept_release(kept);
        kept = next;
    }
    free(answering);
}
