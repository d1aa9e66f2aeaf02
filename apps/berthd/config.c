/* Reads and writes the configuration file.
 *
 * inih finds sections, keys and values; this file holds it to what a person would expect: a line
 * has its number, an unknown or repeated key is an error and not silently something else, a line
 * that is too long or holds a zero byte is refused instead of cut, and an indented line is a line
 * of its own. The first error ends the reading. Values are copied into the options.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <string.h>
#include <unistd.h>

#include "settings.h"

#define SECTION "berthd"

/* Columns of a comment in a written file. */
#define COMMENT_COLUMNS 78

/* The longest line that inih takes, with its end: its own buffer is 200 bytes. */
#define LINE_BYTES_MAX 196

struct reading {
    struct options *options;
    char *why;
    const char *at;
    const char *end;
    int line; /* of the line that was read last */
    bool failed;
    int given_at[SETTINGS_MAX]; /* the line of each setting; 0: not yet */
};

/* ---------------------------------------------------------------------------------------- reading
 */

/* The first thing that is wrong is what the user hears of, in a line of plain text. */
static void fail(struct reading *r, const char *what, const char *text)
{
    if (r->failed) {
        return;
    }
    r->failed = true;
    int named = snprintf(r->why, OPTIONS_WHY_BYTES, "%.300s:%d: ", r->options->config, r->line);
    char *at = r->why + named;
    snprintf(at, OPTIONS_WHY_BYTES - (size_t)named, "%.100s%s", text, what);
    for (; *at != '\0'; at++) {
        *at = *at >= ' ' && *at <= '~' ? *at : '?';
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Whether a line that begins with a bracket begins our section. */
static bool is_our_section(const char *line, size_t bytes)
{
    static const char ours[] = "[" SECTION "]";
    size_t at = sizeof ours - 1;
    if (bytes < at || memcmp(line, ours, at) != 0) {
        return false;
    }
    while (at < bytes && is_blank(line[at])) {
        at++;
    }
    return at == bytes || line[at] == ';' || line[at] == '#';
}

/* inih's fgets: a line, without the blanks in front, which it would take for a longer value. */
static char *next_line(char *out, int room, void *context)
{
    struct reading *r = context;
    if (r->at == r->end || r->failed) {
        return NULL;
    }
    r->line++;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    const char *line = r->at;
    const char *line_end = newline != NULL ? newline : r->end;
    r->at = newline != NULL ? newline + 1 : r->end;
    while (line < line_end && is_blank(*line)) {
        line++;
    }
    size_t bytes = (size_t)(line_end - line);
    if (memchr(line, '\0', bytes) != NULL) {
        fail(r, "a zero byte; this is no text", "");
        return NULL;
    }
    bool comment = bytes > 0 && (line[0] == ';' || line[0] == '#');
    if (bytes > LINE_BYTES_MAX && !comment) {
        fail(r, "the line is longer than 196 bytes", "");
        return NULL;
    }
    if (bytes > 0 && line[0] == '[' && !is_our_section(line, bytes)) {
        fail(r, "a section that is not [" SECTION "]", "");
        return NULL;
    }
    size_t most = (size_t)room - 1;
    bytes = bytes < most ? bytes : most; /* only a comment is cut */
    memcpy(out, line, bytes);
    out[bytes] = '\0';
    return out;
}

static const char *keep_text(struct options *o, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (bytes > sizeof o->kept - o->kept_bytes) {
        return NULL; /* cannot be: all values of a file that fits, fit */
    }
    char *kept = o->kept + o->kept_bytes;
    memcpy(kept, text, bytes);
    o->kept_bytes += bytes;
    return kept;
}

/* Whether inih would give back exactly this value. */
static bool can_be_said(const char *name, const char *text)
{
    size_t bytes = strlen(text);
    if (strlen(name) + strlen(" = ") + bytes > LINE_BYTES_MAX) {
        return false;
    }
    if (bytes > 0 && (is_blank(text[0]) || is_blank(text[bytes - 1]))) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool comment = text[i] == ';' && (i == 0 || is_blank(text[i - 1]));
        if (text[i] == '\n' || comment) {
            return false;
        }
    }
    return true;
}

/* inih has found `name = value` in a section. Returns whether to go on. */
static int take_pair(void *context, const char *section, const char *name, const char *value)
{
    struct reading *r = context;
    if (r->failed) {
        return 0;
    }
    if (section[0] == '\0') {
        fail(r, ": stands in no section; [" SECTION "] begins ours", name);
        return 0;
    }
    int at = settings_find(name, strlen(name));
    if (at < 0) {
        fail(r, ": is no setting; berthd --write-config - shows all", name);
        return 0;
    }
    if (r->given_at[at] != 0 && !settings[at].repeats) {
        char what[80];
        snprintf(what, sizeof what, ": '%.40s' is a second value; line %d gave one", value,
                 r->given_at[at]);
        fail(r, what, name);
        return 0;
    }
    if (!can_be_said(name, value)) { /* but was: with fewer blanks than are written */
        fail(r, ": the value begins with ';', or is too long", name);
        return 0;
    }
    const char *kept = keep_text(r->options, value);
    if (kept == NULL) {
        fail(r, ": the file is too long", name);
        return 0;
    }
    char wrong[OPTIONS_WHY_BYTES];
    if (!settings_take(r->options, (size_t)at, (struct given){kept, r->line}, wrong)) {
        char what[OPTIONS_WHY_BYTES];
        snprintf(what, sizeof what, ": %.500s", wrong);
        fail(r, what, name);
        return 0;
    }
    r->given_at[at] = r->line;
    return 1;
}

bool config_read(const char *text, size_t bytes, struct options *options, char *why)
{
    struct reading r = {.options = options, .why = why, .at = text, .end = text + bytes};
    if (bytes > CONFIG_BYTES_MAX) {
        r.line = 1;
        fail(&r, "the file is larger than 64 KiB", "");
        return false;
    }
    int line = ini_parse_stream(next_line, &r, take_pair, &r);
    if (line > 0 && (!r.failed || line < r.line)) { /* inih goes on behind such a line */
        r.failed = false;
        r.line = line;
        fail(&r, "is neither 'key = value' nor '[section]'", "");
    }
    return !r.failed;
}

bool config_load(struct options *options, char *why)
{
    static char text[CONFIG_BYTES_MAX + 1];
    FILE *file = fopen(options->config, "r");
    if (file == NULL) {
        snprintf(why, OPTIONS_WHY_BYTES, "--config: '%.300s': %s", options->config,
                 strerror(errno));
        return false;
    }
    errno = 0;
    size_t bytes = fread(text, 1, sizeof text, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed != 0) {
        snprintf(why, OPTIONS_WHY_BYTES, "--config: '%.300s': %s", options->config,
                 strerror(failed));
        return false;
    }
    return config_read(text, bytes, options, why);
}

/* ---------------------------------------------------------------------------------------- writing
 */

static bool check_text(size_t at, const char *text, char *why)
{
    if (can_be_said(settings[at].name, text)) {
        return true;
    }
    snprintf(why, OPTIONS_WHY_BYTES,
             "--%s: '%.100s' cannot stand in a configuration file: it is too long, begins or ends "
             "with a blank, or holds a new line or ' ;'",
             settings[at].name, text);
    return false;
}

/* A comment, in lines of at most COMMENT_COLUMNS. */
static void write_comment(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t whole = strcspn(text, "\n");
        size_t bytes = whole;
        if (bytes > COMMENT_COLUMNS) {
            for (bytes = COMMENT_COLUMNS; text[bytes] != ' '; bytes--) {
            }
        }
        fprintf(out, "; %.*s\n", (int)bytes, text);
        text += bytes + (text[bytes] != '\0');
    }
}

bool config_write(const struct options *options, FILE *out, char *why)
{
    for (size_t i = 0; i < settings_count; i++) {
        if (!settings[i].repeats && !check_text(i, options->given[i].text, why)) {
            return false;
        }
        for (uint32_t j = 0; settings[i].repeats && j < options->listens_count; j++) {
            if (!check_text(i, options->listens_given[j].text, why)) {
                return false;
            }
        }
    }
    fputs("; Settings of berthd (man berthd). An option on the command line wins over this file.\n"
          "\n[" SECTION "]\n",
          out);
    for (size_t i = 0; i < settings_count; i++) {
        fputc('\n', out);
        write_comment(out, settings[i].comment);
        if (!settings[i].repeats) {
            fprintf(out, "%s = %s\n", settings[i].name, options->given[i].text);
        }
        for (uint32_t j = 0; settings[i].repeats && j < options->listens_count; j++) {
            fprintf(out, "%s = %s\n", settings[i].name, options->listens_given[j].text);
        }
    }
    return true;
}

bool config_save(const struct options *options, char *why)
{
    const char *name = options->write_config;
    bool to_stdout = strcmp(name, "-") == 0;
    FILE *out = stdout;
    if (!to_stdout) {
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        out = fd >= 0 ? fdopen(fd, "w") : NULL;
    }
    if (out == NULL) {
        snprintf(why, OPTIONS_WHY_BYTES, "--write-config: '%.300s': %s", name,
                 errno == EEXIST ? "is there already, and is not written over" : strerror(errno));
        return false;
    }
    bool said = config_write(options, out, why);
    bool written = fflush(out) == 0 && !ferror(out);
    if (!to_stdout) {
        written = fclose(out) == 0 && written;
        if (!said || !written) {
            (void)unlink(name); /* ours, and not whole */
        }
    }
    if (said && !written) {
        snprintf(why, OPTIONS_WHY_BYTES, "--write-config: '%.300s': %s", name, strerror(errno));
    }
    return said && written;
}
