/* The configuration file: an INI file with one section, [berthd], whose keys are the settings. */
#ifndef BERTHD_CONFIG_H
#define BERTHD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "options.h"

/* Reads a file's text into *options, over what is there. Borrows the text; keeps what it needs in
 * *options. Pure. options->config is the name for messages. false: `why` (OPTIONS_WHY_BYTES) begins
 * with "NAME:LINE: ", and names the key and the text. */
bool config_read(const char *text, size_t bytes, struct options *options, char *why);

/* Writes every setting with its comment and its present text. Pure but for `out`. false: a text
 * cannot be said in such a file, and `why` names its setting; nothing was written. */
bool config_write(const struct options *options, FILE *out, char *why);

/* config_read for the file options->config. */
bool config_load(struct options *options, char *why);

/* config_write to a new file, options->write_config; "-" is the standard output. */
bool config_save(const struct options *options, char *why);

#endif
