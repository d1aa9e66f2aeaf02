/* The console's entries. Any bytes are a command, nothing, or wrong with a note of one line; blanks
 * around them and the size of letters change nothing; and a known command with a word behind it is
 * not run.
 */
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "berthd/command.h"

static void check_note(const struct command *command)
{
    if (command->kind != COMMAND_WRONG) {
        FUZZ_CHECK(command->note[0] == '\0');
        return;
    }
    FUZZ_CHECK(memchr(command->note, '\0', sizeof command->note) != NULL);
    FUZZ_CHECK(command->note[0] == '\'');
    for (const char *at = command->note; *at != '\0'; at++) {
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
}

/* The same entry in other letters and with blanks around it. */
static void check_again(const uint8_t *data, size_t size, const struct command *first)
{
    char *text = malloc(size + 3);
    FUZZ_CHECK(text != NULL);
    text[0] = ' ';
    for (size_t i = 0; i < size; i++) {
        text[1 + i] = (char)((data[i] & 0x80) != 0 ? data[i] : toupper(data[i]));
    }
    text[1 + size] = '\t';
    text[2 + size] = '\r';
    struct command again;
    command_parse(text, size + 3, &again);
    check_note(&again);
    if (size + 3 <= COMMAND_BYTES_MAX) {
        FUZZ_CHECK(again.kind == first->kind && again.id == first->id);
    }
    free(text);
}

static void check_more(const uint8_t *data, size_t size)
{
    static const char more[] = " x";
    char *text = malloc(size + sizeof more);
    FUZZ_CHECK(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    memcpy(text + size, more, sizeof more - 1);
    struct command command;
    command_parse(text, size + sizeof more - 1, &command);
    FUZZ_CHECK(command.kind == COMMAND_WRONG);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command command;
    uint8_t *text = fuzz_copy(data, size);
    command_parse((const char *)text, size, &command);
    check_note(&command);
    FUZZ_CHECK(command.kind != COMMAND_KICK ? command.id == 0 || command.kind == COMMAND_WRONG
                                            : size > 4);
    FUZZ_CHECK(size <= COMMAND_BYTES_MAX || command.kind == COMMAND_WRONG);
    check_again(data, size, &command);
    check_more(data, size);
    free(text);
    return 0;
}
