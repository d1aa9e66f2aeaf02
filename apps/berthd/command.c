/* Reads the entries of the console: a word, and for kick a number behind it. The seed's entries are
 * single letters. Pure; O(bytes of the entry).
 */
#include "command.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What a note shows of an entry that is too long. */
#define SHOWN_BYTES 20

static const struct {
    const char *word;
    enum command_kind kind;
} words[] = {
    {"c", COMMAND_CONNECTIONS}, {"t", COMMAND_FLOW_ON},   {"f", COMMAND_FLOW_OFF},
    {"list", COMMAND_LIST},     {"kick", COMMAND_KICK},   {"stop", COMMAND_STOP},
    {"start", COMMAND_START},   {"drain", COMMAND_DRAIN}, {"stats", COMMAND_STATS},
    {"kept", COMMAND_KEPT},     {"z", COMMAND_END},       {"help", COMMAND_HELP},
    {"?", COMMAND_HELP},
};

const char *command_help(void)
{
    return "  C        how many clients are connected\n"
           "  T, F     watch each step of each connection, as --watch flow does; or stop that\n"
           "  list     the connections: session id, peer, age, messages, bytes, bytes queued\n"
           "  kick ID  close the connection with this session id\n"
           "  stop     stop listening: new clients are refused\n"
           "  start    listen again\n"
           "  drain    stop listening, and end when all clients have left\n"
           "  stats    the counters\n"
           "  kept     the last of the messages that --keep-data kept\n"
           "  Z        end in order, as SIGTERM does; a second Z cuts\n"
           "  help, ?  this list\n";
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool is_word(const char *text, size_t bytes, const char *word)
{
    if (strlen(word) != bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (lower(text[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

/* "'ENTRY' ...", with what cannot be printed shown as a question mark. */
static void note(struct command *out, const char *entry, size_t bytes, const char *what)
{
    char shown[COMMAND_BYTES_MAX + 1];
    bytes = bytes < COMMAND_BYTES_MAX ? bytes : COMMAND_BYTES_MAX;
    for (size_t i = 0; i < bytes; i++) {
        shown[i] = entry[i] >= ' ' && entry[i] <= '~' ? entry[i] : '?';
    }
    shown[bytes] = '\0';
    out->kind = COMMAND_WRONG;
    snprintf(out->note, sizeof out->note, "'%s' %s", shown, what);
}

static bool read_id(const char *text, size_t bytes, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return bytes > 0;
}

void command_parse(const char *entry, size_t bytes, struct command *out)
{
    *out = (struct command){.kind = COMMAND_NOTHING};
    if (bytes > COMMAND_BYTES_MAX) {
        note(out, entry, SHOWN_BYTES, "and so on is too long for a command; help lists them");
        return;
    }
    while (bytes > 0 && is_blank(entry[0])) {
        entry++;
        bytes--;
    }
    while (bytes > 0 && is_blank(entry[bytes - 1])) {
        bytes--;
    }
    if (bytes == 0) {
        return;
    }
    size_t word = 0;
    while (word < bytes && !is_blank(entry[word])) {
        word++;
    }
    size_t more = word;
    while (more < bytes && is_blank(entry[more])) {
        more++;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_word(entry, word, words[i].word)) {
            out->kind = words[i].kind;
        }
    }
    if (out->kind == COMMAND_NOTHING) {
        note(out, entry, bytes, "is no command; help lists them");
    } else if (out->kind == COMMAND_KICK) {
        if (!read_id(entry + more, bytes - more, &out->id)) {
            note(out, entry, bytes, "needs a session id, as in kick 1000000001");
        }
    } else if (more < bytes) {
        note(out, entry, bytes, "has something behind the command, which takes nothing");
    }
}
