/* The answers to berthload's questions: each is read by one pure function that takes it, or says
 * what it is and what would be right. The bounds are those of the options of the same names; a
 * test holds them together. Nothing is owned; all of it is O(length of the answer). */
#include "answers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <berth/address.h>
#include <berth/berth.h>

#include "lines.h"
#include "number.h"

/* What of a bad answer is shown. */
#define SHOWN_BYTES 100

/* A DNS name's part between two dots (RFC 1035). */
#define LABEL_BYTES_MAX 63

#define DEFAULT_NAME    "localhost"
#define DEFAULT_ADDRESS "127.0.0.1"

static const char *const keys[] = {
#define ANSWER_KEY(name, key, question) key,
    ANSWERS(ANSWER_KEY)
#undef ANSWER_KEY
};

static const char *const questions[] = {
#define ANSWER_QUESTION(name, key, question) question,
    ANSWERS(ANSWER_QUESTION)
#undef ANSWER_QUESTION
};

/* The numbers: what they are at first and may be, and that in words. */
static const struct {
    uint64_t first;
    uint64_t most; /* the least is 1 */
    const char *wants;
} numbers[ANSWERS_COUNT] = {
    [ANSWER_PORT] = {4444, UINT16_MAX, "a port from 1 to 65535"},
    [ANSWER_BUFFER] = {25, 1048576, "a number of bytes from 1 to 1048576"},
    [ANSWER_CONNECTIONS] = {1, 4000000, "a whole number from 1 to 4000000"},
    [ANSWER_MESSAGES] = {1, UINT64_C(1) << 48, "a whole number from 1 to 2^48"},
    [ANSWER_AT_ONCE] = {1000, 4000000, "a whole number from 1 to 4000000"},
};

void answers_default(struct answers *answers)
{
    *answers = (struct answers){.by_name = true, .host = DEFAULT_NAME, .log = ANSWER_NO_LOG};
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        answers->numbers[i] = numbers[i].first;
    }
}

const char *answer_key(enum answer which)
{
    return keys[which];
}

const char *answer_question(enum answer which)
{
    return questions[which];
}

const char *answer_text(const struct answers *answers, enum answer which, char *out)
{
    switch (which) {
    case ANSWER_METHOD:
        snprintf(out, ANSWER_TEXT_BYTES, "%s", answers->by_name ? "N" : "I");
        break;
    case ANSWER_HOST:
        snprintf(out, ANSWER_TEXT_BYTES, "%s", answers->host);
        break;
    case ANSWER_LOG:
        snprintf(out, ANSWER_TEXT_BYTES, "%s", answers->log);
        break;
    default:
        snprintf(out, ANSWER_TEXT_BYTES, "%" PRIu64, answers->numbers[which]);
        break;
    }
    return out;
}

static bool refuse(const char *text, const char *wants, char *why)
{
    char shown[SHOWN_BYTES];
    snprintf(why, ANSWER_WHY_BYTES, "\"%s\" is not %s", lines_show(text, shown, sizeof shown),
             wants);
    return false;
}

/* ---- hosts ---- */

/* Whether the text is an IP address, without a port; an IPv6 one may have its brackets. */
static bool is_address(const char *text)
{
    struct berth_address address;
    char with_port[ANSWER_TEXT_BYTES + 8];
    bool bare_ipv6 = strchr(text, ':') != NULL && text[0] != '[';
    snprintf(with_port, sizeof with_port, bare_ipv6 ? "[%s]:1" : "%s:1", text);
    if (berth_address_parse(with_port, &address) != BERTH_OK) {
        return false;
    }
    return address.family == BERTH_IPV4 || address.family == BERTH_IPV6;
}

/* Letters, digits, '-', '_' and dots between parts that are not empty nor too long; and not only
 * digits and dots, which is an address with a slip in it. */
static bool is_name(const char *text)
{
    size_t label = 0;
    bool letters = false;
    for (; *text != '\0'; text++) {
        bool digit = *text >= '0' && *text <= '9';
        bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        bool inside = *text == '-' || *text == '_';
        letters = letters || letter || inside;
        if (*text == '.' && label > 0) {
            label = 0;
        } else if ((digit || letter || (inside && label > 0)) && label < LABEL_BYTES_MAX) {
            label++;
        } else {
            return false;
        }
    }
    return letters;
}

static bool take_host(struct answers *answers, const char *text, char *why)
{
    size_t bytes = strlen(text);
    bool address = bytes < ANSWER_TEXT_BYTES && is_address(text);
    if (!address && !answers->by_name) {
        return refuse(text, "an IP address such as 192.0.2.7 or 2001:db8::7", why);
    }
    if (!address && (bytes >= ANSWER_TEXT_BYTES || !is_name(text))) {
        return refuse(text, "a machine's name such as localhost or server.example", why);
    }
    if (text[0] == '[') {
        text++;
        bytes -= 2;
    }
    answers->by_name = !address;
    memcpy(answers->host, text, bytes);
    answers->host[bytes] = '\0';
    return true;
}

static bool take_method(struct answers *answers, const char *text, char *why)
{
    char letter = (char)(text[0] & ~0x20); /* to upper case */
    if ((letter != 'N' && letter != 'I') || text[1] != '\0') {
        return refuse(text, "N, for a machine's name, or I, for an IP address", why);
    }
    bool by_name = letter == 'N';
    if (by_name != answers->by_name) {
        answers->by_name = by_name;
        snprintf(answers->host, sizeof answers->host, "%s",
                 by_name ? DEFAULT_NAME : DEFAULT_ADDRESS);
    }
    return true;
}

/* ---- the others ---- */

/* A path that load.ini can hold: inih takes ';' for the beginning of a comment. */
static bool take_log(struct answers *answers, const char *text, char *why)
{
    size_t bytes = strlen(text);
    if (bytes >= ANSWER_TEXT_BYTES) {
        return refuse(text, "a path of less than 180 bytes, or - for no log", why);
    }
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f || *at == ';') {
            return refuse(text, "a path without ';' and control characters, or - for no log", why);
        }
    }
    memcpy(answers->log, text, bytes + 1);
    return true;
}

bool answer_take(struct answers *answers, enum answer which, const char *text, char *why)
{
    char trimmed[2 * ANSWER_TEXT_BYTES];
    text += strspn(text, " \t\r");
    size_t bytes = strlen(text);
    while (bytes > 0 && strchr(" \t\r", text[bytes - 1]) != NULL) {
        bytes--;
    }
    /* What is longer is longer than any answer, and stays so when it is cut. */
    bytes = bytes < sizeof trimmed ? bytes : sizeof trimmed - 1;
    memcpy(trimmed, text, bytes);
    trimmed[bytes] = '\0';
    switch (which) {
    case ANSWER_METHOD:
        return take_method(answers, trimmed, why);
    case ANSWER_HOST:
        return take_host(answers, trimmed, why);
    case ANSWER_LOG:
        return bytes > 0 ? take_log(answers, trimmed, why)
                         : refuse(trimmed, "a path, or - for no log", why);
    default:
        return number_read(trimmed, 1, numbers[which].most, &answers->numbers[which]) ||
               refuse(trimmed, numbers[which].wants, why);
    }
}
