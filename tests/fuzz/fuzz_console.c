/* berthd's console, from the input's bytes to what is done. The input is typed whole, in pieces and
 * byte by byte: each time the same is said and the same is asked of the workers, and each answer is
 * whole lines of printable text. What is asked is what the lines say, one after the other, when
 * they are cut apart here.
 *
 * The workers and the log are stood in for by what follows; the server is one that never starts.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berthd/console.h"
#include "berthd/received.h"
#include "berthd/watch.h"
#include "core/core.h"

#define INPUT_MAX 1024

/* What was asked of the workers and of the log, in order. */
static uint64_t asked[INPUT_MAX];
static size_t asked_count;

enum { ASKED_LIST = 1, ASKED_FLOW, ASKED_KICK };

static void note(uint64_t what, uint64_t number)
{
    FUZZ_CHECK(asked_count < INPUT_MAX);
    asked[asked_count++] = what + 16 * number;
}

/* ------------------------------------------------------------------------------------ stand-ins */

bool roster_init(struct roster *roster)
{
    memset(roster, 0, sizeof *roster);
    return true;
}

void roster_fini(struct roster *roster)
{
    (void)roster;
}

bool roster_list(struct roster *roster, struct berth_server *server)
{
    (void)server;
    roster->total = asked_count % 3;
    note(ASKED_LIST, 0);
    return true;
}

bool roster_kick(struct roster *roster, struct berth_server *server, uint64_t session_id)
{
    (void)server;
    roster->kicked = session_id % 2 == 1;
    note(ASKED_KICK, session_id);
    return session_id % 3 != 0;
}

static unsigned watched;

unsigned watch_get(void)
{
    return watched;
}

bool watch_set(unsigned modes)
{
    watched = modes;
    note(ASKED_FLOW, modes);
    return true;
}

uint64_t received_print_last(const struct received *received, uint64_t messages, uint64_t lines,
                             FILE *out)
{
    (void)received;
    (void)messages;
    (void)lines;
    (void)out;
    return 0;
}

/* ----------------------------------------------------------------------------------------- typing
 */

struct typed {
    char *said;
    size_t bytes;
    uint64_t asked[INPUT_MAX];
    size_t asked_count;
    unsigned ends;
    bool drain;
};

static struct berth_server *server_of(void)
{
    static struct berth_server *server;
    if (server == NULL) {
        struct berth_config config;
        berth_config_init(&config);
        config.workers = 1;
        config.connections_max = 1;
        config.pool_bytes = 1 << 20;
        FUZZ_CHECK(server_create_in(&server, &config, &io_backend_sim, NULL, NULL) == BERTH_OK);
    }
    return server;
}

static void type(const char *text, size_t size, size_t piece, struct typed *out)
{
    static struct console console;
    static const struct serving serving;
    FILE *screen = stdout;
    out->said = NULL;
    stdout = open_memstream(&out->said, &out->bytes);
    FUZZ_CHECK(stdout != NULL);
    asked_count = 0;
    watched = 0;
    FUZZ_CHECK(console_init(&console, server_of(), &serving));
    for (size_t at = 0; at < size; at += piece) {
        console_take(&console, text + at, size - at < piece ? size - at : piece);
    }
    console_input_ended(&console);
    out->ends = console.ends;
    out->drain = console.drain;
    console_fini(&console);
    FUZZ_CHECK(fclose(stdout) == 0);
    stdout = screen;
    memcpy(out->asked, asked, asked_count * sizeof asked[0]);
    out->asked_count = asked_count;
}

static void check_said(const struct typed *typed)
{
    FUZZ_CHECK(typed->bytes == 0 || typed->said[typed->bytes - 1] == '\n');
    for (size_t i = 0; i < typed->bytes; i++) {
        char byte = typed->said[i];
        FUZZ_CHECK(byte == '\n' || (byte >= ' ' && byte <= '~'));
    }
}

/* Each line by itself: its kicks and its ends are those of the whole. */
static void check_lines(const char *text, size_t size, const struct typed *whole)
{
    size_t kicks = 0;
    unsigned ends = 0;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t bytes = newline == NULL ? size - at : (size_t)(newline - text) - at;
        struct command command;
        command_parse(text + at, bytes, &command);
        ends += command.kind == COMMAND_END ? 1 : 0;
        if (command.kind == COMMAND_KICK) {
            while (kicks < whole->asked_count && whole->asked[kicks] % 16 != ASKED_KICK) {
                kicks++;
            }
            FUZZ_CHECK(kicks < whole->asked_count);
            FUZZ_CHECK(whole->asked[kicks++] == ASKED_KICK + 16 * command.id);
        }
        at += bytes + 1;
    }
    FUZZ_CHECK(ends == whole->ends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct typed whole;
    static struct typed split;
    if (size == 0 || size > INPUT_MAX) {
        return 0;
    }
    const char *text = (const char *)data;
    type(text, size, size, &whole);
    check_said(&whole);
    check_lines(text, size, &whole);
    for (size_t piece = 1; piece <= 1 + data[0] % 7u; piece += 3) {
        type(text, size, piece, &split);
        FUZZ_CHECK(split.bytes == whole.bytes && split.ends == whole.ends);
        FUZZ_CHECK(split.drain == whole.drain && split.asked_count == whole.asked_count);
        FUZZ_CHECK(memcmp(split.said, whole.said, whole.bytes) == 0);
        FUZZ_CHECK(memcmp(split.asked, whole.asked, whole.asked_count * sizeof asked[0]) == 0);
        free(split.said);
    }
    free(whole.said);
    return 0;
}
