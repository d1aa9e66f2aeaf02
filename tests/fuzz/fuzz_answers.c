/* The answers to berthload's questions: the input's first byte chooses a question, the rest is the
 * answer. What is taken reads the same when it is offered and taken again; what is refused changes
 * nothing; and what is said of it can be shown on a terminal. Then the input as a whole, line by
 * line, goes through all the questions. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "berthload/answers.h"
#include "berthload/questions.h"

static bool same(const struct answers *one, const struct answers *other)
{
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        char a[ANSWER_TEXT_BYTES];
        char b[ANSWER_TEXT_BYTES];
        answer_text(one, (enum answer)i, a);
        answer_text(other, (enum answer)i, b);
        if (strcmp(a, b) != 0) {
            return false;
        }
    }
    return true;
}

static void check_why(const char *why)
{
    size_t bytes = strnlen(why, ANSWER_WHY_BYTES);
    FUZZ_CHECK(bytes > 0 && bytes < ANSWER_WHY_BYTES);
    for (size_t i = 0; i < bytes; i++) {
        FUZZ_CHECK((unsigned char)why[i] >= ' ' && why[i] != 0x7f);
    }
}

static void take_one(struct answers *answers, enum answer which, const char *line)
{
    char why[ANSWER_WHY_BYTES] = "";
    char text[ANSWER_TEXT_BYTES];
    struct answers before = *answers;
    if (!answer_take(answers, which, line, why)) {
        FUZZ_CHECK(same(&before, answers));
        check_why(why);
        return;
    }
    struct answers again = *answers;
    answer_text(answers, which, text);
    FUZZ_CHECK(text[0] != '\0');
    FUZZ_CHECK(answer_take(&again, which, text, why));
    FUZZ_CHECK(same(answers, &again));
}

static void answer_all(const char *line, size_t lines)
{
    struct answers answers;
    struct questions questions;
    char why[ANSWER_WHY_BYTES];
    char prompt[QUESTION_PROMPT_BYTES];
    answers_default(&answers);
    questions_init(&questions, &answers);
    for (size_t i = 0; i < lines && questions.at != QUESTION_OVER; i++) {
        unsigned at = questions.at;
        memset(prompt, '~', sizeof prompt);
        FUZZ_CHECK(strnlen(questions_prompt(&questions, prompt), sizeof prompt) < sizeof prompt);
        bool taken = questions_answer(&questions, line, why);
        FUZZ_CHECK(taken == (questions.at != at));
        if (!taken) {
            check_why(why);
        }
        line += strlen(line) + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[1024];
    struct answers answers;
    if (size == 0 || size > sizeof text - 1) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    answers_default(&answers);
    take_one(&answers, (enum answer)(data[0] % ANSWERS_COUNT), text + 1);
    take_one(&answers, ANSWER_METHOD, text + 1);
    take_one(&answers, ANSWER_HOST, text + 1);
    size_t lines = 1;
    for (char *at = text; (at = strchr(at, '\n')) != NULL && at < text + size; at++) {
        *at = '\0';
        lines++;
    }
    answer_all(text, 1);
    answer_all(text, memchr(data, '\0', size) == NULL ? lines : 1);
    return 0;
}
