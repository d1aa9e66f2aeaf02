/* The shortest server: every message is answered with itself. Messages have the seed's framing,
 * a 4-byte little-endian length in front. Try it:  example_echo 127.0.0.1:4444 */
#include <stdio.h>

#include <berth/berth.h>

static void echo(struct berth_conn *conn, const struct berth_message *message)
{
    (void)berth_reply(conn, message, message->data, message->size);
}

int main(int argc, char **argv)
{
    struct berth_protocol protocol = {.framing = berth_framing_seed(65536), .on_message = echo};
    struct berth_listen_options options = {.protocol = &protocol};
    struct berth_config config;
    struct berth_server *server = NULL;
    struct berth_error error;
    char text[BERTH_ADDRESS_TEXT_BYTES];

    berth_config_init(&config);
    if (berth_address_parse(argc > 1 ? argv[1] : "*:4444", &options.address) != BERTH_OK ||
        berth_server_create(&server, &config, &error) != BERTH_OK ||
        berth_listen(server, &options, &options.address, &error) != BERTH_OK ||
        berth_server_start(server, &error) != BERTH_OK) {
        fprintf(stderr, "the server did not start\n");
        berth_server_destroy(server);
        return 1;
    }
    printf("listening on %s\n", berth_address_format(&options.address, text, sizeof text));
    fflush(stdout);
    berth_server_wait(server, -1);
    berth_server_destroy(server);
    return 0;
}
