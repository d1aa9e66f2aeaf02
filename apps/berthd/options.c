/* The command line: getopt over the table of settings. What depends on several settings together is
 * in settle.c.
 *
 * Options are collected first and read after the file that --config names, so that they win over it
 * wherever they stand. Nothing is allocated; texts stay in argv and in the options.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "settings.h"

const char *options_source_of(const struct options *options, const char *field, char *out,
                              size_t bytes)
{
    char word[64];
    if (field == NULL) {
        return NULL;
    }
    snprintf(word, sizeof word, " %s ", field);
    for (size_t i = 0; i < settings_count; i++) {
        if (strstr(settings[i].fields, word) != NULL) {
            return settings_source(options, i, options->given[i].line, out, bytes);
        }
    }
    return NULL;
}

enum { GOT_HELP = 1000, GOT_VERSION, GOT_CONFIG, GOT_WRITE_CONFIG };

static const struct option others[] = {
    {"help", no_argument, NULL, GOT_HELP},
    {"version", no_argument, NULL, GOT_VERSION},
    {"config", required_argument, NULL, GOT_CONFIG},
    {"write-config", required_argument, NULL, GOT_WRITE_CONFIG},
};

#define OTHERS (sizeof others / sizeof others[0])

static void fill_table(struct option *table)
{
    for (size_t i = 0; i < settings_count; i++) {
        int has = settings[i].alone ? optional_argument : required_argument;
        table[i] = (struct option){settings[i].name, has, NULL, (int)i};
    }
    memcpy(table + settings_count, others, sizeof others);
    table[settings_count + OTHERS] = (struct option){0};
}

static enum options_result refuse(const char *why)
{
    fprintf(stderr, "berthd: %s\n", why);
    return OPTIONS_REFUSED;
}

/* The options that are no settings. */
static enum options_result take_other(int got, struct options *out)
{
    const char **file = got == GOT_CONFIG ? &out->config : &out->write_config;
    switch (got) {
    case GOT_HELP:
        fputs(options_help(), stdout);
        return OPTIONS_DONE;
    case GOT_VERSION:
        puts("berthd " BERTH_VERSION);
        return OPTIONS_DONE;
    case GOT_CONFIG:
    case GOT_WRITE_CONFIG:
        if (*file != NULL || optarg[0] == '\0') {
            fprintf(stderr, "berthd: --%s: %s\n", others[got - GOT_HELP].name,
                    *file != NULL ? "is given twice" : "needs the name of a file");
            return OPTIONS_REFUSED;
        }
        *file = optarg;
        return OPTIONS_RUN;
    default:
        return OPTIONS_REFUSED; /* getopt_long has named the option */
    }
}

/* Goes over argv once: in the first round everything but the settings, in the second these. */
static enum options_result go_over(int argc, char **argv, bool others_round, struct options *out)
{
    struct option table[SETTINGS_MAX + OTHERS + 1];
    fill_table(table);
    optind = 0; /* begin anew */
    int got;
    while ((got = getopt_long(argc, argv, "", table, NULL)) != -1) {
        bool other = got < 0 || (size_t)got >= settings_count;
        if (other && others_round) {
            enum options_result result = take_other(got, out);
            if (result != OPTIONS_RUN) {
                return result;
            }
        } else if (!other && !others_round) {
            const struct given given = {optarg != NULL ? optarg : "yes", GIVEN_AS_OPTION};
            char why[OPTIONS_WHY_BYTES];
            if (!settings_take(out, (size_t)got, given, why)) {
                fprintf(stderr, "berthd: --%s: %s\n", settings[got].name, why);
                return OPTIONS_REFUSED;
            }
        }
    }
    if (optind < argc) {
        fprintf(stderr, "berthd: '%s' is no option; see berthd --help\n", argv[optind]);
        return OPTIONS_REFUSED;
    }
    return OPTIONS_RUN;
}

enum options_result options_read(int argc, char **argv, struct options *out)
{
    char why[OPTIONS_WHY_BYTES];
    settings_begin(out);
    enum options_result result = go_over(argc, argv, true, out);
    if (result != OPTIONS_RUN) {
        return result;
    }
    if (out->config != NULL && !config_load(out, why)) {
        return refuse(why);
    }
    result = go_over(argc, argv, false, out);
    if (result != OPTIONS_RUN) {
        return result;
    }
    if (!options_settle(out, why)) {
        return refuse(why);
    }
    if (out->write_config != NULL) {
        return config_save(out, why) ? OPTIONS_DONE : refuse(why);
    }
    return OPTIONS_RUN;
}
