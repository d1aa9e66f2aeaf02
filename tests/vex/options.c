/* Reads the command line of vex (arguments.c does the reading), and the script if it is in a file.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "script.h"

#define CONNECTIONS_MAX 100000
#define RATE_MAX        1000000
#define TIMEOUT_MS_MAX  3600000
#define TIME_MAX_NS     (86400 * BILLION)
#define TIME_DEFAULT_NS (60 * BILLION)

/* --source A or A..N: 127.0.0.1..4 is four addresses. */
static bool add_sources(struct options *options, const char *value)
{
    char text[64];
    const char *dots = strstr(value, "..");
    size_t bytes = dots == NULL ? strlen(value) : (size_t)(dots - value);
    if (bytes >= sizeof text - 4) {
        return false;
    }
    memcpy(text, value, bytes);
    text[bytes] = '\0';
    char *last = strrchr(text, '.');
    uint64_t from = 0;
    uint64_t to = 0;
    if (dots != NULL && (last == NULL || !arguments_number(last + 1, &from) ||
                         !arguments_number(dots + 2, &to) || to > 254 || from > to)) {
        return false;
    }
    for (uint64_t i = from; i <= to; i++) {
        if (dots != NULL) {
            snprintf(last + 1, (size_t)(text + sizeof text - last - 1), "%u", (unsigned)i);
        }
        if (options->sources_count == OPTIONS_SOURCES_MAX ||
            !sockets_parse(text, false, &options->sources[options->sources_count++])) {
            return false;
        }
    }
    return true;
}

/* --replies: what the server answers with. */
static bool set_replies(struct options *options, const char *value)
{
    static const struct {
        const char *name;
        struct replies_rule rule;
    } rules[] = {
        {"id", {REPLIES_ARE_ECHOES, 4}},
        {"bare", {REPLIES_ARE_ECHOES, 0}},
        {"frames", {REPLIES_ARE_FRAMES, 0}},
        {"bytes", {REPLIES_ARE_BYTES, 0}},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strcmp(value, rules[i].name) == 0) {
            options->rule = rules[i].rule;
            return true;
        }
    }
    return false;
}

static bool set_by_name(void *context, const char *name, const char *value)
{
    struct options *options = context;
    if (name == NULL) {
        return sockets_parse(value, true, &options->target);
    }
    if (strcmp(name, "--source") == 0) {
        return add_sources(options, value);
    }
    if (strcmp(name, "--length") == 0) {
        return framing_parse(value, &options->framing);
    }
    return set_replies(options, value);
}

/* @FILE is read, whole; a script that is not a file is the text itself. */
static bool read_script(struct options *options)
{
    options->text_bytes = strlen(options->text);
    if (options->text[0] != '@') {
        return true;
    }
    const char *path = options->text + 1;
    FILE *file = fopen(path, "r");
    options->text_read = malloc(SCRIPT_BYTES_MAX + 1);
    if (file == NULL || options->text_read == NULL) {
        fprintf(stderr, "vex: cannot read %s: %s\n", path, strerror(errno));
        if (file != NULL) {
            (void)fclose(file); /* nothing was read */
        }
        return false;
    }
    options->text_bytes = fread(options->text_read, 1, SCRIPT_BYTES_MAX + 1, file);
    options->text = options->text_read;
    bool good = ferror(file) == 0;
    (void)fclose(file); /* it was only read */
    if (!good) {
        fprintf(stderr, "vex: cannot read %s\n", path);
    }
    return good;
}

enum options_result options_read(int argc, char **argv, struct options *out)
{
    *out = (struct options){
        .connections = 1,
        .seed = 1,
        .timeout_ms = 10000,
        .time_ns = TIME_DEFAULT_NS,
        .at_once = CONNECTIONS_MAX,
        .framing = {.width = 4},
        .rule = {REPLIES_ARE_ECHOES, 4},
    };
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help_text(), stdout);
            return OPTIONS_ENDED;
        }
    }
    const struct argument table[] = {
        {"--connections", ARGUMENT_NUMBER, &out->connections, 1, CONNECTIONS_MAX},
        {"--at-once", ARGUMENT_NUMBER, &out->at_once, 1, CONNECTIONS_MAX},
        {"--rate", ARGUMENT_NUMBER, &out->rate, 0, RATE_MAX},
        {"--source", ARGUMENT_TEXT, NULL, 0, 0},
        {"--seed", ARGUMENT_NUMBER, &out->seed, 0, UINT64_MAX},
        {"--timeout", ARGUMENT_NUMBER, &out->timeout_ms, 1, TIMEOUT_MS_MAX},
        {"--seconds", ARGUMENT_TIME, &out->time_ns, 1, TIME_MAX_NS},
        {"--length", ARGUMENT_TEXT, NULL, 0, 0},
        {"--replies", ARGUMENT_TEXT, NULL, 0, 0},
        {"--json", ARGUMENT_TEXT, &out->json, 0, 0},
        {NULL, ARGUMENT_TEXT, NULL, 0, 0},
        {NULL, ARGUMENT_TEXT, &out->text, 0, 0},
    };
    const struct arguments arguments = {.program = "vex",
                                        .table = table,
                                        .count = sizeof table / sizeof table[0],
                                        .again = set_by_name,
                                        .context = out};
    if (!arguments_read(&arguments, argc, argv)) {
        return OPTIONS_WRONG;
    }
    if (!read_script(out)) {
        options_fini(out);
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

void options_fini(struct options *options)
{
    free(options->text_read);
    options->text_read = NULL;
}
