/* What is said before a run begins: which messages it will send and how many, as the seed's client
 * shows it, and a warning where they would not fit in memory. Written once, to a stream that is
 * lent; owns nothing. */
#include "preface.h"

#include <inttypes.h>
#include <stdlib.h>

#include "number.h"

/* From so many on it is said that they are held: the seed's client does from there. */
#define HELD_WORTH_A_NOTE 1000000u

/* Of the memory available, what texts may take: the rest is for the run, and for others. */
#define HELD_SHARE(available) ((available) - (available) / 4)

/* What of a long message is shown. */
#define SHOWN_BYTES 60u

/* The first column, as in the summary. */
#define LINE "%-13s"

uint64_t preface_held(const struct options *options)
{
    return options->shared ? options->messages : options->messages * options->connections;
}

static void say_too_many(const struct options *options, uint64_t available, FILE *out)
{
    char text[NUMBER_TEXT_BYTES];
    fprintf(out, "berthload: warning: %s messages need ",
            number_write(preface_held(options), text));
    fprintf(out, "%s of memory, ", number_write_bytes(options->held_bytes, text));
    fprintf(out, "and %s are available; so each is built when it is sent",
            number_write_bytes(available, text));
    if (!options->shared) {
        fprintf(out, " (with --long they need %s)",
                number_write_bytes(
                    message_texts_bytes(options->connections, options->messages, true), text));
    }
    fprintf(out, "\n");
}

static void say_many(const struct options *options, FILE *out)
{
    char text[NUMBER_TEXT_BYTES];
    fprintf(out, "berthload: note: %s messages are built and held in memory: ",
            number_write(preface_held(options), text));
    fprintf(out, "%s%s\n", number_write_bytes(options->held_bytes, text),
            options->shared ? "" : "; --long holds one array for all connections");
}

static void say_growth(const struct options *options, FILE *out)
{
    char first[NUMBER_TEXT_BYTES];
    char most[NUMBER_TEXT_BYTES];
    char usual[NUMBER_TEXT_BYTES];
    uint64_t within = message_growing_within(options->connections, options->messages,
                                             options->shared, DEFAULT_MESSAGE_MAX);
    if (within < options->messages) {
        fprintf(out,
                "berthload: note: from message %s on messages are larger than the %s bytes that a "
                "server such as berthd takes; the last has %s (berthd --max-message)\n",
                number_write(within + 1, first), number_write(DEFAULT_MESSAGE_MAX, usual),
                number_write(options->message_bytes, most));
    }
}

void preface_settle(struct options *options, uint64_t available, FILE *out)
{
    options->held = false;
    options->held_bytes = 0;
    if (!options->sized && options->messages != 0) {
        options->held_bytes =
            message_texts_bytes(options->connections, options->messages, options->shared);
        options->held = options->held_bytes <= HELD_SHARE(available);
        if (!options->held) {
            say_too_many(options, available, out);
        } else if (preface_held(options) > HELD_WORTH_A_NOTE && !options->quiet) {
            say_many(options, out);
        }
    }
    if (options->growing) {
        say_growth(options, out);
    }
}

/* A message's text, its beginning if it is long, and its size if that is not plain to see. */
static void write_message(const struct client *client, const char *name, uint32_t connection,
                          uint64_t index, FILE *out)
{
    struct message_cursor cursor;
    char size_text[NUMBER_TEXT_BYTES];
    message_cursor_at(&client->plan, &cursor, connection, index);
    uint32_t size = message_size(&client->plan, &cursor);
    if (client->plan.kind == MESSAGE_MARKED) {
        fprintf(out,
                LINE "message %" PRIu64 " of connection %" PRIu32
                     ": a mark and a pattern (%s bytes)\n",
                name, index, connection, number_write(size, size_text));
        return;
    }
    if (client->plan.kind == MESSAGE_PATTERN) {
        fprintf(out, LINE "%.*s and a pattern (%s bytes)\n", name, (int)cursor.text_bytes,
                cursor.text, number_write(size, size_text));
        return;
    }
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return; /* what follows will say so */
    }
    message_write(&client->plan, &cursor, size, bytes);
    fprintf(out, LINE "%.*s", name, (int)(size < SHOWN_BYTES ? size : SHOWN_BYTES), (char *)bytes);
    if (client->plan.kind == MESSAGE_GROWING) {
        fprintf(out, "%s (%s bytes)", size > SHOWN_BYTES ? "..." : "",
                number_write(size, size_text));
    }
    fprintf(out, "\n");
    free(bytes);
}

void preface_write(const struct client *client, FILE *out)
{
    const struct options *options = client->options;
    char text[NUMBER_TEXT_BYTES];
    write_message(client, "first", 1, 1, out);
    if (options->messages != 0) {
        write_message(client, "last", options->connections, options->messages, out);
    }
    fprintf(out, LINE "connections %s", "planned", number_write(options->connections, text));
    if (options->at_once < options->connections) {
        fprintf(out, ", at once %s", number_write(options->at_once, text));
    }
    if (options->messages != 0) {
        fprintf(out, ", messages each %s", number_write(options->messages, text));
        fprintf(out, ", in all %s\n", number_write(options->messages * options->connections, text));
    } else {
        fprintf(out, ", for %s\n", number_write_time(options->duration_ns, text));
    }
    if (client->plan.texts != NULL) {
        fprintf(out, LINE "%s messages", "built", number_write(preface_held(options), text));
        fprintf(out, ", %s", number_write_bytes(options->held_bytes, text));
        fprintf(out, ", in %s\n", number_write_time(client->build_ns, text));
    }
    fprintf(out, "\n");
    fflush(out);
}
