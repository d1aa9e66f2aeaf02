/* A chat: what one client says, everybody in the room hears, the speaker included. Nobody asks for
 * anything here; messages go out when there is something to say. Who reads too slowly misses some,
 * and holds up nobody. Try it:  example_chat 127.0.0.1:4444 */
#include <stdio.h>

#include <berth/berth.h>

static void enter(struct berth_conn *conn)
{
    struct berth_group *room = berth_conn_context(conn);
    if (berth_group_join(room, conn) != BERTH_OK) {
        berth_close(conn);
    }
}

static void say(struct berth_conn *conn, const struct berth_message *message)
{
    struct berth_group *room = berth_conn_context(conn);
    (void)berth_group_send(room, message->data, message->size); /* too much at once: unheard */
}

int main(int argc, char **argv)
{
    struct berth_protocol protocol = {
        .framing = berth_framing_seed(4096), .on_open = enter, .on_message = say};
    struct berth_listen_options options = {.protocol = &protocol};
    struct berth_group_options room = {.name = "room", .slow = BERTH_SLOW_PAUSE};
    struct berth_group *group = NULL;
    struct berth_config config;
    struct berth_server *server = NULL;
    struct berth_error error;
    char text[BERTH_ADDRESS_TEXT_BYTES];

    berth_config_init(&config);
    if (berth_address_parse(argc > 1 ? argv[1] : "*:4444", &options.address) != BERTH_OK ||
        berth_server_create(&server, &config, &error) != BERTH_OK ||
        berth_group_create(server, &room, &group, &error) != BERTH_OK) {
        fprintf(stderr, "the server was not made\n");
        berth_server_destroy(server);
        return 1;
    }
    protocol.context = group;
    if (berth_listen(server, &options, &options.address, &error) != BERTH_OK ||
        berth_server_start(server, &error) != BERTH_OK) {
        fprintf(stderr, "the server did not start: %s\n", error.text);
        berth_server_destroy(server);
        return 1;
    }
    printf("listening on %s\n", berth_address_format(&options.address, text, sizeof text));
    fflush(stdout);
    berth_server_wait(server, -1);
    berth_server_destroy(server);
    return 0;
}
