/* A program outside of this repository: two nodes on 127.0.0.1 find each other and one says something. */
#include <caster.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef WITH_OTHER
long other_sum(const long *numbers, size_t count);
int other_catches(void);
#endif

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, caster_last_error());
    return 1;
}

/* An unused UDP port. */
static int free_port(void) {
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(socket_fd, (struct sockaddr *)&address, sizeof address) ||
        getsockname(socket_fd, (struct sockaddr *)&address, &size))
        return -1;
    close(socket_fd);
    return ntohs(address.sin_port);
}

static caster_node_t *node_on(int port, const char *id) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    if (caster_options_set_string(options, "address", "127.0.0.1") ||
        caster_options_set_string(options, "id", id) ||
        caster_options_set_int(options, "port", port) || caster_node_new(options, &node) ||
        caster_node_up(node))
        fail(id);
    caster_options_free(options);
    return node;
}

int main(void) {
    int port = free_port(), found = 0, heard = 0;
    caster_node_t *a = node_on(port, "a"), *b = node_on(port, "b");
    if (!a || !b) return 1;
    for (int tries = 0; tries < 100 && !(found && heard); tries++) {
        caster_event_t *event = NULL;
        if (caster_node_poll(a, 200, &event) == CASTER_OK) {
            const char *id = caster_peer_id(caster_event_peer(event));
            const char *name = caster_event_name(event);
            if (id && !strcmp(id, "b") && !strcmp(name, "up")) found = 1;
            if (id && !strcmp(id, "b") && !strcmp(name, "message")) heard = 1;
            caster_event_free(event);
        }
        if (found && !heard && caster_node_send_text(b, "hello", NULL)) return fail("send");
    }
    caster_node_free(b);
    caster_node_free(a);
    if (!found || !heard) return fprintf(stderr, "found %d, heard %d\n", found, heard), 1;
    if (strcmp(caster_version(), CASTER_VERSION_STRING) != 0) return fail("version");
#ifdef WITH_OTHER
    long numbers[] = {1, 2, 39};
    if (other_sum(numbers, 3) != 42 || !other_catches()) return fail("the other library");
#endif
    printf("found and heard with libcaster %s\n", caster_version());
    return 0;
}
