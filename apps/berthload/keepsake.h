/* load.ini: the last answers, kept for the next time. */
#ifndef BERTHLOAD_KEEPSAKE_H
#define BERTHLOAD_KEEPSAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "answers.h"

/* Longer than any path of a configuration file should be. */
#define KEEPSAKE_PATH_BYTES 1024

/* More than eight lines will ever need. */
#define KEEPSAKE_BYTES_MAX 8192

/* What is wrong with a file: the first thing that is. */
struct keepsake_flaw {
    unsigned line;
    char key[40]; /* as far as it is known; "" if it is not */
    char what[ANSWER_WHY_BYTES];
};

/* Reads the text of a load.ini; it is borrowed and need not end in a zero. Keys that are missing
 * keep their built-in values. false: *out are the built-in values, and *flaw says why. Pure. */
bool keepsake_read(const char *text, size_t bytes, struct answers *out, struct keepsake_flaw *flaw);

/* Writes the text that keepsake_read reads; returns its bytes, or 0 if `bytes` are too few. */
size_t keepsake_write(const struct answers *answers, char *out, size_t bytes);

/* Where the file is: in $XDG_CONFIG_HOME, or ~/.config. false: neither is known. `out` has
 * KEEPSAKE_PATH_BYTES. */
bool keepsake_path(char *out);

/* Reads the file. A file that is not there is no flaw: *out are the built-in values. false: there
 * is something there that could not be used, and `why` (KEEPSAKE_WHY_BYTES) says file, line, key
 * and reason; *out are the built-in values. */
#define KEEPSAKE_WHY_BYTES (KEEPSAKE_PATH_BYTES + sizeof(struct keepsake_flaw))
bool keepsake_load(const char *path, struct answers *out, char *why);

/* Replaces the file whole, or leaves it as it was; makes its folders. For its owner's eyes only. */
bool keepsake_save(const char *path, const struct answers *answers, char *why);

/* Makes a folder, and those that it is in. false: errno says why. */
bool keepsake_make_folders(const char *path);

#endif
