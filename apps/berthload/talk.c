/* The questions on a terminal: prints what questions.c asks, reads a line for each answer, and
 * does what a pure function cannot: looks the host up, makes a test connection, makes the folder
 * for the log. What does not work is said, and asked again; the end of the input ends all of it,
 * with nothing kept. The answers are kept when Enter begins the run. */
#include "talk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keepsake.h"
#include "number.h"
#include "probe.h"
#include "questions.h"
#include "resolve.h"

/* With up to so many messages the log shows all of it, as the seed's does; with more, that is
 * gigabytes, and it shows connections only. */
#define WATCH_ALL_MESSAGES 100000u

/* The first column, as in the summary. */
#define LINE "%-13s"

/* What a round of questions works with; all of it is lent. */
struct asking {
    struct questions questions;
    struct talk *talk;
    struct lines *lines;
    FILE *out;                   /* what the person sees */
    const struct options *given; /* on the command line */
    struct options *options;     /* with the answers */
    talk_fits *fits;
};

static bool say_end(FILE *out)
{
    fprintf(out, "\n");
    fflush(out);
    fprintf(stderr, "berthload: the input ended; nothing was begun, and no answer was kept\n");
    return false;
}

/* ---- what an answer leads to ---- */

/* The options that the answers stand for, on top of those of the command line. */
static void fill_in(struct talk *talk, const struct answers *answers, struct options *options)
{
    bool ipv6 = strchr(answers->host, ':') != NULL;
    unsigned port = (unsigned)answers->numbers[ANSWER_PORT];
    snprintf(talk->connect, sizeof talk->connect, ipv6 ? "[%s]:%u" : "%s:%u", answers->host, port);
    snprintf(talk->log, sizeof talk->log, "%s", answers->log);
    snprintf(options->host, sizeof options->host, "%s", answers->host);
    snprintf(options->port, sizeof options->port, "%u", port);
    options->connect = talk->connect;
    options->connections = (uint32_t)answers->numbers[ANSWER_CONNECTIONS];
    options->messages = answers->numbers[ANSWER_MESSAGES];
    options->at_once = (uint32_t)answers->numbers[ANSWER_AT_ONCE];
    options->buffer_bytes = (uint32_t)answers->numbers[ANSWER_BUFFER];
    options->asked = true;
    if (strcmp(answers->log, ANSWER_NO_LOG) != 0) {
        uint64_t each = WATCH_ALL_MESSAGES / options->connections;
        options->log = talk->log;
        if (options->watch == 0) {
            options->watch = ENTRY_MODE_BIT(ENTRY_CONNECTIONS);
            options->watch |= options->messages <= each
                                  ? ENTRY_MODE_BIT(ENTRY_FLOW) | ENTRY_MODE_BIT(ENTRY_DATA)
                                  : 0;
        }
    }
}

static void look_up(struct asking *asking)
{
    struct questions *questions = &asking->questions;
    struct addresses addresses;
    const char *why;
    if (!resolve(questions->answers.host, "1", &addresses, &why)) {
        fprintf(asking->out, "%s: %s\n", questions->answers.host, why);
        questions_return(questions, ANSWER_HOST);
    }
}

/* A connection made and dropped, so that a server that is not there shows now. */
static void try_connection(struct asking *asking)
{
    struct questions *questions = &asking->questions;
    struct addresses addresses;
    struct options options = *asking->given;
    char advice[PROBE_ADVICE_BYTES];
    const char *why;
    fill_in(asking->talk, &questions->answers, &options);
    if (!resolve(options.host, options.port, &addresses, &why)) {
        fprintf(asking->out, "%s: %s\n", options.host, why);
        questions_return(questions, ANSWER_HOST);
        return;
    }
    int system = probe(&addresses, options.connect_timeout_ns);
    fprintf(
        asking->out, "%s\n",
        probe_advice(system, options.connect, options.connect_timeout_ns, advice, sizeof advice));
    if (system != 0) {
        questions_unreachable(questions);
    }
}

/* "~" is the shell's, and there is none here. */
static bool expand(const char *path, char *out)
{
    const char *home = getenv("HOME");
    int length;
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0') && home != NULL) {
        length = snprintf(out, KEEPSAKE_PATH_BYTES, "%s%s", home, path + 1);
    } else {
        length = snprintf(out, KEEPSAKE_PATH_BYTES, "%s", path);
    }
    errno = ENAMETOOLONG;
    return length >= 0 && length < KEEPSAKE_PATH_BYTES;
}

/* The folder is made now, so that a slip shows now; and kept whole, as the next time berthload may
 * be started elsewhere. */
static void make_folder(struct asking *asking)
{
    struct questions *questions = &asking->questions;
    char path[KEEPSAKE_PATH_BYTES];
    char why[ANSWER_WHY_BYTES];
    struct answers *answers = &questions->answers;
    if (strcmp(answers->log, ANSWER_NO_LOG) == 0) {
        return;
    }
    char *whole = NULL;
    if (!expand(answers->log, path) || !keepsake_make_folders(path) ||
        access(path, W_OK | X_OK) != 0 || (whole = realpath(path, NULL)) == NULL) {
        fprintf(asking->out, "%s: %s\n", answers->log, strerror(errno));
        questions_return(questions, ANSWER_LOG);
    } else if (!answer_take(answers, ANSWER_LOG, whole, why)) {
        fprintf(asking->out, "%s\n", why);
        questions_return(questions, ANSWER_LOG);
    }
    free(whole);
}

/* Whether what was answered makes sense together, and with the options of the command line, and
 * whether the machine has what it needs. */
static bool settle(struct asking *asking)
{
    char why[OPTIONS_WHY_BYTES];
    *asking->options = *asking->given;
    fill_in(asking->talk, &asking->questions.answers, asking->options);
    if (!options_settle(asking->options, why)) {
        fprintf(asking->out, "%s\n", why);
        return false;
    }
    return asking->fits(asking->options);
}

static void show_plan(const struct options *options, FILE *out)
{
    char a[NUMBER_TEXT_BYTES];
    char b[NUMBER_TEXT_BYTES];
    char c[NUMBER_TEXT_BYTES];
    fprintf(out, "\n" LINE "%s\n", "server", options->connect);
    fprintf(out, LINE "%s connection%s, %s message%s on each, %s in all\n", "load",
            number_write(options->connections, a), options->connections == 1 ? "" : "s",
            number_write(options->messages, b), options->messages == 1 ? "" : "s",
            number_write(options->connections * options->messages, c));
    fprintf(out, LINE "%s at once, buffers of %s byte%s\n", "", number_write(options->at_once, a),
            number_write(options->buffer_bytes, b), options->buffer_bytes == 1 ? "" : "s");
    if (options->log != NULL) {
        char modes[ENTRY_MODES_TEXT_BYTES];
        fprintf(out, LINE "%s (%s; --watch says what else)\n", "log", options->log,
                entry_modes_write(options->watch, modes));
    }
}

/* ---- asking ---- */

static void act_on_answer(struct asking *asking, unsigned answered)
{
    struct questions *questions = &asking->questions;
    switch (answered) {
    case ANSWER_HOST:
        look_up(asking);
        break;
    case ANSWER_PORT:
        try_connection(asking);
        break;
    case ANSWER_LOG:
        make_folder(asking);
        break;
    case ANSWER_AT_ONCE:
        if (settle(asking)) {
            show_plan(asking->options, asking->out);
        } else {
            questions_return(questions, ANSWER_BUFFER);
        }
        break;
    default:
        break;
    }
}

static bool ask_all(struct asking *asking)
{
    struct questions *questions = &asking->questions;
    char line[LINE_BYTES_MAX];
    char prompt[QUESTION_PROMPT_BYTES];
    char why[ANSWER_WHY_BYTES];
    while (questions->at != QUESTION_OVER) { /* each turn takes a new line, or ends */
        unsigned at = questions->at;
        fprintf(asking->out, "%s", questions_prompt(questions, prompt));
        fflush(asking->out);
        switch (lines_read(asking->lines, line)) {
        case LINES_END:
        case LINES_WAIT:
            return say_end(asking->out);
        case LINES_LONG:
            fprintf(asking->out, "that is longer than any answer\n");
            break;
        case LINES_LINE:
            if (questions_answer(questions, line, why)) {
                act_on_answer(asking, at);
            } else {
                fprintf(asking->out, "%s\n", why);
            }
            break;
        }
    }
    return true;
}

/* What is asked for cannot be an option as well: which of the two would count? */
static bool check_given(const struct options *given)
{
    const char *option = given->connections != 1    ? "connections"
                         : given->messages != 0     ? "messages"
                         : given->duration_ns != 0  ? "duration"
                         : given->at_once != 0      ? "at-once"
                         : given->buffer_bytes != 0 ? "buffer-size"
                         : given->log != NULL       ? "log"
                                                    : NULL;
    if (option != NULL) {
        fprintf(stderr, "berthload: --%s: goes with --connect only; without that, berthload asks\n",
                option);
    }
    return option == NULL;
}

/* Whether the options of the command line make sense at all: with the built-in answers. */
static bool check_rest(struct asking *asking)
{
    struct options options = *asking->given;
    struct answers answers;
    char why[OPTIONS_WHY_BYTES];
    answers_default(&answers);
    fill_in(asking->talk, &answers, &options);
    bool sensible = options_settle(&options, why);
    if (!sensible) {
        fprintf(stderr, "berthload: %s\n", why);
    }
    return sensible;
}

bool talk_ask(struct talk *talk, struct lines *lines, struct options *options, talk_fits *fits)
{
    const struct options given = *options;
    struct asking asking = {
        .talk = talk, .lines = lines, .given = &given, .options = options, .fits = fits};
    asking.out = isatty(STDOUT_FILENO) ? stdout : stderr;
    struct answers last;
    char path[KEEPSAKE_PATH_BYTES];
    char why[KEEPSAKE_WHY_BYTES];
    if (!check_given(&given) || !check_rest(&asking)) {
        return false;
    }
    bool kept = keepsake_path(path);
    answers_default(&last);
    if (kept && !keepsake_load(path, &last, why)) {
        fprintf(stderr, "berthload: %s\nThe last answers are not used.\n", why);
    }
    fprintf(asking.out, "Enter takes what stands in [brackets]; Ctrl-D ends.\n");
    questions_init(&asking.questions, &last);
    if (!ask_all(&asking)) {
        return false;
    }
    if (!kept) {
        fprintf(stderr, "berthload: the answers are not kept: neither XDG_CONFIG_HOME nor HOME "
                        "is the path of a folder\n");
    } else if (!keepsake_save(path, &asking.questions.answers, why)) {
        fprintf(stderr, "berthload: the answers are not kept: %s\n", why);
    }
    return true;
}
