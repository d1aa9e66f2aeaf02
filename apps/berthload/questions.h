/* Which question is next, and what an answer leads to. */
#ifndef BERTHLOAD_QUESTIONS_H
#define BERTHLOAD_QUESTIONS_H

#include <stdbool.h>

#include "answers.h"

/* The questions are those of answers.h, and two more. */
enum question {
    QUESTION_UNREACHABLE = ANSWERS_COUNT, /* after a test connection that failed: all the same? */
    QUESTION_BEGIN,
    QUESTION_OVER, /* none is left */
};

struct questions {
    struct answers answers;
    unsigned at; /* an enum answer or enum question */
};

/* Room for a prompt. */
#define QUESTION_PROMPT_BYTES 300

/* Begins with the first question; offers the last answers. */
void questions_init(struct questions *questions, const struct answers *last);

/* What is asked now, with the answer that Enter stands for. Returns `out`. */
const char *questions_prompt(const struct questions *questions, char *out);

/* Reads a line as the answer, and moves on to the next question. false: it makes no sense, and the
 * same question stands; `why` (ANSWER_WHY_BYTES) says why. */
bool questions_answer(struct questions *questions, const char *line, char *why);

/* An answer that was taken turned out not to work: asks that question next. */
void questions_return(struct questions *questions, enum answer which);

/* The server did not take a test connection: asks whether to go on. */
void questions_unreachable(struct questions *questions);

#endif
