/* Command lines, by a table: --name VALUE or --name=VALUE, flags, and what stands alone, in order.
 */
#ifndef BERTH_TESTS_VEX_ARGUMENTS_H
#define BERTH_TESTS_VEX_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum argument_kind {
    ARGUMENT_NUMBER, /* uint64_t, low to high */
    ARGUMENT_RANGE,  /* struct range: N or N..M, each low to high */
    ARGUMENT_SHARE,  /* uint64_t, in billionths: a decimal from 0 to 1 */
    ARGUMENT_TIME,   /* uint64_t, in nanoseconds: a decimal of seconds, low to high */
    ARGUMENT_TEXT,   /* const char * */
};

#define BILLION UINT64_C(1000000000)

struct argument {
    const char *name; /* with its dashes; NULL: the next that stands alone, which must be there */
    enum argument_kind kind;
    void *out;
    uint64_t low;
    uint64_t high;
};

/* Reads all of them; the first that is wrong is said on stderr, after `program`. `again` is called
 * for a TEXT whose out is NULL, each time it is given: for options that may be repeated. */
struct arguments {
    const char *program;
    const struct argument *table;
    size_t count;
    bool (*again)(void *context, const char *name, const char *value);
    void *context;
};
bool arguments_read(const struct arguments *arguments, int argc, char **argv);

/* A number in decimal, all of the text. */
bool arguments_number(const char *text, uint64_t *out);

#endif
