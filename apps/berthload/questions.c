/* The questions as a machine without input and output: it says what to ask, takes a line, and
 * knows what comes next. talk.c puts it on a terminal. Owns nothing; each step is O(line). */
#include "questions.h"

#include <stdio.h>
#include <string.h>

#include "lines.h"

/* What of a bad answer is shown. */
#define SHOWN_BYTES 40

void questions_init(struct questions *questions, const struct answers *last)
{
    *questions = (struct questions){.answers = *last, .at = 0};
}

const char *questions_prompt(const struct questions *questions, char *out)
{
    char text[ANSWER_TEXT_BYTES];
    if (questions->at == QUESTION_UNREACHABLE) {
        snprintf(out, QUESTION_PROMPT_BYTES,
                 "Enter to go on all the same, H for another host or port: ");
    } else if (questions->at == QUESTION_BEGIN) {
        snprintf(out, QUESTION_PROMPT_BYTES, "Press Enter to begin: ");
    } else {
        enum answer which = (enum answer)questions->at;
        snprintf(out, QUESTION_PROMPT_BYTES, "%s [%s]: ", answer_question(which),
                 answer_text(&questions->answers, which, text));
    }
    return out;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\r")] == '\0';
}

bool questions_answer(struct questions *questions, const char *line, char *why)
{
    bool blank = is_blank(line);
    char shown[SHOWN_BYTES];
    switch (questions->at) {
    case QUESTION_UNREACHABLE:
        if (!blank && strcmp(line, "H") != 0 && strcmp(line, "h") != 0) {
            snprintf(why, ANSWER_WHY_BYTES, "\"%s\" is neither Enter nor H",
                     lines_show(line, shown, sizeof shown));
            return false;
        }
        questions->at = blank ? ANSWER_PORT + 1 : ANSWER_METHOD;
        return true;
    case QUESTION_BEGIN:
        if (!blank) {
            snprintf(why, ANSWER_WHY_BYTES,
                     "\"%s\" is not Enter alone, which begins; Ctrl-D ends without beginning",
                     lines_show(line, shown, sizeof shown));
            return false;
        }
        questions->at = QUESTION_OVER;
        return true;
    default:
        if (!blank && !answer_take(&questions->answers, (enum answer)questions->at, line, why)) {
            return false;
        }
        questions->at =
            questions->at + 1 < ANSWERS_COUNT ? questions->at + 1 : (unsigned)QUESTION_BEGIN;
        return true;
    }
}

void questions_return(struct questions *questions, enum answer which)
{
    questions->at = which;
}

void questions_unreachable(struct questions *questions)
{
    questions->at = QUESTION_UNREACHABLE;
}
