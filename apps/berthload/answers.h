/* What a person answers to berthload's questions, before it is known whether it works. */
#ifndef BERTHLOAD_ANSWERS_H
#define BERTHLOAD_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A host or a folder, with its end mark: a line of load.ini, which inih reads up to 199 bytes of,
 * must hold it and its key. */
#define ANSWER_TEXT_BYTES 180

/* Room for a sentence on what is wrong with an answer. */
#define ANSWER_WHY_BYTES 400

/* X(constant, key in load.ini, the question) in the order in which they are asked. */
#define ANSWERS(X)                                                                                 \
    X(ANSWER_METHOD, "host-method", "Server by machine name (N) or IP address (I)")                \
    X(ANSWER_HOST, "host", "Host")                                                                 \
    X(ANSWER_PORT, "port", "Port")                                                                 \
    X(ANSWER_LOG, "log", "Folder for the log, - for none")                                         \
    X(ANSWER_BUFFER, "buffer-size", "Buffer size in bytes")                                        \
    X(ANSWER_CONNECTIONS, "connections", "Connections")                                            \
    X(ANSWER_MESSAGES, "messages", "Messages per connection")                                      \
    X(ANSWER_AT_ONCE, "at-once", "Connections at once, at most")

enum answer {
#define ANSWER_ENUM(name, key, question) name,
    ANSWERS(ANSWER_ENUM)
#undef ANSWER_ENUM
        ANSWERS_COUNT,
};

/* No log. */
#define ANSWER_NO_LOG "-"

struct answers {
    bool by_name; /* the host is a name, to be resolved; otherwise an address */
    char host[ANSWER_TEXT_BYTES];
    char log[ANSWER_TEXT_BYTES];     /* a folder, or ANSWER_NO_LOG */
    uint64_t numbers[ANSWERS_COUNT]; /* the others, by their question */
};

/* What is offered when nothing is known: the seed's values. */
void answers_default(struct answers *answers);

const char *answer_key(enum answer which);
const char *answer_question(enum answer which);

/* An answer as a text that answer_take reads; `out` has ANSWER_TEXT_BYTES. Returns it. */
const char *answer_text(const struct answers *answers, enum answer which, char *out);

/* Reads one answer; blanks around it do not count. An address where a name is asked for is taken,
 * and changes the method. Another method brings its own host unless the one there fits. false: it
 * makes no sense, nothing is changed, and `why` (ANSWER_WHY_BYTES) says what would. Pure. */
bool answer_take(struct answers *answers, enum answer which, const char *text, char *why);

#endif
