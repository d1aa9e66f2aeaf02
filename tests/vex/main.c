/* vex: a peer that misbehaves as a script says, and a relay that does it between two honest ends.
 *
 * It shares no code with src/ and knows the protocol from docs/PROTOCOL.md alone, so that a mistake
 * there cannot hide behind the same mistake here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "options.h"
#include "relay.h"
#include "report.h"
#include "script.h"

enum status { STATUS_GOOD = 0, STATUS_FAILED = 1, STATUS_WRONG = 2 };

static bool has_waits_for_frames(const struct script *script)
{
    for (uint32_t i = 0; i < script->steps_count; i++) {
        if (script->steps[i].verb == VERB_PING || script->steps[i].verb == VERB_REPLIES) {
            return true;
        }
    }
    return false;
}

static bool read_script(const struct options *options, struct script *script)
{
    struct script_error error = {""};
    bool read = script_parse(options->text, options->text_bytes, script, &error);
    bool fits = read && script_fits(script, options->text, options->framing.width, &error);
    if (fits && options->rule.are == REPLIES_ARE_BYTES && has_waits_for_frames(script)) {
        snprintf(error.text, sizeof error.text, "ping and replies need --replies other than bytes");
        fits = false;
    }
    if (!fits) {
        fprintf(stderr, "vex: %s\n", error.text);
    }
    if (read && !fits) {
        script_fini(script);
    }
    return fits;
}

static enum status run_script(const struct options *options, const struct script *script)
{
    const char *what = NULL;
    struct crowd *crowd = malloc(sizeof *crowd);
    int result = crowd == NULL ? -1 : crowd_run(crowd, options, script, &what);
    if (result != 0) {
        fprintf(stderr, "vex: there is not enough: %s\n", crowd == NULL ? "memory" : what);
        free(crowd);
        return STATUS_WRONG;
    }
    const struct tally *tally = &crowd->tally;
    FILE *people = options->json != NULL && strcmp(options->json, "-") == 0 ? stderr : stdout;
    bool good = report_line(people, options, tally);
    if (tally->failure[0] != '\0') {
        fprintf(stderr, "vex: first failure: %s\n", tally->failure);
    }
    good = (options->json == NULL || report_to(options->json, options, tally)) && good;
    good = report_is_good(tally) && good;
    free(crowd);
    return good ? STATUS_GOOD : STATUS_FAILED;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "relay") == 0) {
        return relay_main(argc - 2, argv + 2);
    }
    struct options options;
    enum options_result read = options_read(argc - 1, argv + 1, &options);
    if (read != OPTIONS_RUN) {
        return read == OPTIONS_ENDED ? STATUS_GOOD : STATUS_WRONG;
    }
    struct script script;
    enum status status = STATUS_WRONG;
    if (read_script(&options, &script)) {
        status = run_script(&options, &script);
        script_fini(&script);
    }
    options_fini(&options);
    return (int)status;
}
