/* The table of berthd's settings: one row each, for the command line, the configuration file and
 * its writer. */
#ifndef BERTHD_SETTINGS_H
#define BERTHD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct setting {
    const char *name; /* the option's, and the key's */

    /* Reads a text; false if it makes no sense. Pure. */
    bool (*read)(struct options *options, const char *text);
    const char *wants;   /* what is right: completes "'TEXT' is not" */
    const char *initial; /* the default, as it would be given */
    const char *comment; /* for the file: sentences; a newline begins a new line */
    const char *fields;  /* fields of the library that it sets, between spaces */
    bool alone;          /* as an option it needs no value: alone, it says yes */
    bool repeats;        /* it may be given again, and adds */
};

extern const struct setting settings[];
extern const size_t settings_count;

/* Sets everything to its default. */
void settings_begin(struct options *options);

/* The setting of this name, or -1. */
int settings_find(const char *name, size_t bytes);

/* Reads a text for the setting at this place of the table, and notes where it came from; the text
 * is lent for as long as *options lives. Pure. false: `why` (OPTIONS_WHY_BYTES) is the reason, from
 * the text on, and says what would be right. */
bool settings_take(struct options *options, size_t at, struct given given, char *why);

/* Where a setting's text came from, for a person: "--workers", or "berthd.ini:7: workers". */
const char *settings_source(const struct options *options, size_t at, int line, char *out,
                            size_t bytes);

#endif
