/* load.ini: the last answers, kept for the next time. Read with inih, and written so that inih
 * reads the same; replaced whole by a rename, so that a reader sees the old file or the new one.
 * Whatever is wrong with a file is told by line and key, and then none of it is used: a file that
 * somebody has damaged is not half right. Owns nothing between calls. */
#include "keepsake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ini.h>

#define SECTION "load"
#define OPENING "# The last answers to berthload's questions, which it offers the next time.\n"

/* inih's buffer holds a line, its newline and an end mark. */
#define INI_LINE_BYTES (INI_MAX_LINE - 2)

struct reading {
    const char *text;
    size_t bytes;
    size_t at;
    unsigned line; /* the one that inih was given last */
    unsigned seen; /* a bit for each key */
    struct answers answers;
    struct keepsake_flaw *flaw;
    bool flawed;
};

static void find_flaw(struct reading *reading, unsigned line, const char *key, const char *what)
{
    if (!reading->flawed) {
        reading->flawed = true;
        reading->flaw->line = line;
        snprintf(reading->flaw->key, sizeof reading->flaw->key, "%s", key);
        snprintf(reading->flaw->what, sizeof reading->flaw->what, "%s", what);
    }
}

/* inih's reader, which works like fgets. */
static char *next_line(char *out, int room, void *context)
{
    struct reading *reading = context;
    int bytes = 0;
    if (reading->at == reading->bytes) {
        return NULL;
    }
    reading->line++;
    while (bytes < room - 1 && reading->at < reading->bytes) {
        char byte = reading->text[reading->at++];
        out[bytes++] = byte;
        if (byte == '\n') {
            break;
        }
    }
    out[bytes] = '\0';
    return out;
}

static void take(struct reading *reading, enum answer which, const char *value)
{
    char why[ANSWER_WHY_BYTES];
    bool host_said = (reading->seen & 1u << ANSWER_HOST) != 0;
    bool by_name = reading->answers.by_name;
    if (!answer_take(&reading->answers, which, value, why)) {
        find_flaw(reading, reading->line, answer_key(which), why);
    } else if (which == ANSWER_METHOD && host_said && reading->answers.by_name != by_name) {
        find_flaw(reading, reading->line, answer_key(which), "does not fit the host above it");
    }
}

/* inih's handler. Its result is not used: the flaw is kept here, with its line. */
static int on_value(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    char why[ANSWER_WHY_BYTES];
    unsigned which = 0;
    while (which < ANSWERS_COUNT && strcmp(name, answer_key((enum answer)which)) != 0) {
        which++;
    }
    if (strcmp(section, SECTION) != 0) {
        snprintf(why, sizeof why, "stands in the section [%s], not in [" SECTION "]", section);
        find_flaw(reading, reading->line, name, why);
    } else if (which == ANSWERS_COUNT) {
        find_flaw(reading, reading->line, name, "no such key");
    } else if ((reading->seen & 1u << which) != 0) {
        find_flaw(reading, reading->line, name, "stands there a second time");
    } else {
        take(reading, (enum answer)which, value);
    }
    reading->seen |= which < ANSWERS_COUNT ? 1u << which : 0;
    return 1;
}

/* What inih would misunderstand: it cuts long lines in two, and ends a line at a zero byte. */
static void check_lines(struct reading *reading)
{
    unsigned line = 1;
    size_t length = 0;
    for (size_t i = 0; i < reading->bytes; i++) {
        length++;
        if (reading->text[i] == '\0') {
            find_flaw(reading, line, "", "holds a zero byte");
        } else if (reading->text[i] == '\n') {
            line++;
            length = 0;
        } else if (length > INI_LINE_BYTES) {
            find_flaw(reading, line, "", "is longer than a line can be");
        }
    }
}

bool keepsake_read(const char *text, size_t bytes, struct answers *out, struct keepsake_flaw *flaw)
{
    struct reading reading = {.text = text, .bytes = bytes, .flaw = flaw};
    answers_default(&reading.answers);
    answers_default(out);
    check_lines(&reading);
    if (!reading.flawed) {
        /* A line that is nothing at all is inih's to find. It goes on behind it, so a flaw of
         * ours may be found first though it stands later. */
        int line = ini_parse_stream(next_line, &reading, on_value, &reading);
        if (line > 0 && (!reading.flawed || (unsigned)line < flaw->line)) {
            reading.flawed = false;
            find_flaw(&reading, (unsigned)line, "", "is neither a [section] nor a key = value");
        } else if (line < 0) {
            find_flaw(&reading, 0, "", "could not be read");
        }
    }
    if (reading.flawed) {
        return false;
    }
    *out = reading.answers;
    return true;
}

size_t keepsake_write(const struct answers *answers, char *out, size_t bytes)
{
    int length = snprintf(out, bytes, OPENING "[" SECTION "]\n");
    for (unsigned i = 0; i < ANSWERS_COUNT && length >= 0 && (size_t)length < bytes; i++) {
        char text[ANSWER_TEXT_BYTES];
        length += snprintf(out + length, bytes - (size_t)length, "%s = %s\n",
                           answer_key((enum answer)i), answer_text(answers, (enum answer)i, text));
    }
    return length > 0 && (size_t)length < bytes ? (size_t)length : 0;
}

/* ---- the file ---- */

bool keepsake_path(char *out)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int length = -1;
    if (config != NULL && config[0] == '/') { /* a relative one is to be ignored (the standard) */
        length = snprintf(out, KEEPSAKE_PATH_BYTES, "%s/berth/load.ini", config);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(out, KEEPSAKE_PATH_BYTES, "%s/.config/berth/load.ini", home);
    }
    return length > 0 && length < KEEPSAKE_PATH_BYTES;
}

bool keepsake_load(const char *path, struct answers *out, char *why)
{
    char text[KEEPSAKE_BYTES_MAX];
    struct keepsake_flaw flaw;
    answers_default(out);
    FILE *file = fopen(path, "re");
    if (file == NULL && (errno == ENOENT || errno == ENOTDIR)) {
        return true;
    }
    if (file == NULL) {
        snprintf(why, KEEPSAKE_WHY_BYTES, "%s: %s", path, strerror(errno));
        return false;
    }
    size_t bytes = fread(text, 1, sizeof text, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    if (error != 0) {
        snprintf(why, KEEPSAKE_WHY_BYTES, "%s: %s", path, strerror(error));
    } else if (bytes == sizeof text) {
        snprintf(why, KEEPSAKE_WHY_BYTES, "%s: is far larger than berthload writes it", path);
    } else if (keepsake_read(text, bytes, out, &flaw)) {
        return true;
    } else {
        snprintf(why, KEEPSAKE_WHY_BYTES, "%s:%u: %s%s%s", path, flaw.line, flaw.key,
                 flaw.key[0] != '\0' ? ": " : "", flaw.what);
    }
    return false;
}

bool keepsake_make_folders(const char *path)
{
    char part[KEEPSAKE_PATH_BYTES];
    size_t bytes = strlen(path);
    struct stat there;
    if (bytes == 0 || bytes >= sizeof part) {
        errno = bytes == 0 ? ENOENT : ENAMETOOLONG;
        return false;
    }
    memcpy(part, path, bytes + 1);
    for (char *at = part + 1;; at++) {
        char byte = *at;
        if (byte != '/' && byte != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return false;
        }
        if (byte == '\0') {
            break;
        }
        *at = byte;
    }
    if (stat(path, &there) != 0) {
        return false;
    }
    errno = ENOTDIR;
    return S_ISDIR(there.st_mode);
}

/* Writes and closes; the file is on the disk when this says true. */
static bool write_out(int file, const char *text, size_t bytes)
{
    bool written = write(file, text, bytes) == (ssize_t)bytes && fsync(file) == 0;
    int error = errno;
    if (close(file) != 0 && written) {
        return false;
    }
    errno = error;
    return written;
}

bool keepsake_save(const char *path, const struct answers *answers, char *why)
{
    char text[KEEPSAKE_BYTES_MAX];
    char folder[KEEPSAKE_PATH_BYTES];
    char beside[KEEPSAKE_PATH_BYTES + 32]; /* the path, a process number, and .new */
    size_t bytes = keepsake_write(answers, text, sizeof text);
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash != NULL ? path : ".");
    snprintf(beside, sizeof beside, "%s.%ld.new", path, (long)getpid());
    int file = -1;
    if (keepsake_make_folders(folder)) {
        unlink(beside); /* of a process that had our number and did not end well */
        file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    }
    bool done = file >= 0 && write_out(file, text, bytes) && rename(beside, path) == 0;
    if (!done) {
        snprintf(why, KEEPSAKE_WHY_BYTES, "%s: %s", path, strerror(errno));
        if (file >= 0) {
            unlink(beside);
        }
    }
    return done;
}
