/* A node that meets another one although a system call fails. Says what failed. Its status is 0 if it has met the other
 * one, heard it, and gone down.
 *
 *   program OPTIONS ID OTHER [ATTEMPTS]     OTHER: the id of the other node; "" for that one itself, which stays */
#include <caster.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ATTEMPTS = 200, ATTEMPTS_OF_OTHER = 40000, PAUSE_MS = 20 };

static caster_node_t *node;

/* A failure is told with its text, which is never empty. */
static int fails(const char *call, caster_status_t status) {
    const char *text = caster_last_error();
    if (!status) return 0;
    printf("%s: %s: %s\n", call, caster_status_name(status), text ? text : "");
    if (!text || !*text) _exit(3);
    return 1;
}

/* Takes the events that wait. Returns whether one is a message of the other node. */
static int heard(const char *other) {
    caster_event_t *event = NULL;
    int found = 0;
    while (!caster_node_poll(node, 0, &event) && event) {
        const char *id = caster_peer_id(caster_event_peer(event));
        if (caster_event_type(event) == CASTER_EVENT_MESSAGE) found |= id && !strcmp(id, other);
        if (caster_event_type(event) == CASTER_EVENT_ERROR) printf("event: %s\n", caster_event_error_text(event));
        caster_event_free(event);
        event = NULL;
    }
    return found;
}

int main(int argc, char **argv) {
    caster_options_t *options;
    int n, attempts, met = 0;
    if (argc < 4) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (chdir("/the program begins")) puts("begins");
    options = caster_options_new_node();
    if (!options) return puts("no memory"), 4;
    attempts = argc > 4 ? atoi(argv[4]) : *argv[3] ? ATTEMPTS : ATTEMPTS_OF_OTHER;
    for (n = 0; n < attempts && !met; n++, usleep(PAUSE_MS * 1000)) {
        struct pollfd events = {-1, POLLIN, 0};
        if (!node && (fails("merge", caster_options_merge_json(options, argv[1])) ||
                      fails("set", caster_options_set_string(options, "id", argv[2])) ||
                      fails("new", caster_node_new(options, &node)))) continue;
        if (!caster_node_is_up(node) && fails("up", caster_node_up(node))) continue;
        if (fails("fd", caster_node_fd(node, &events.fd))) continue;
        if (fails("send", caster_node_send_text(node, "hello", NULL))) continue;
        /* By the descriptor, as event loops do. */
        if (poll(&events, 1, PAUSE_MS) == 1) met |= heard(argv[3]);
    }
    if (!met) return puts("never met"), 5;
    if (fails("down", caster_node_down(node))) return 6;
    caster_node_free(node);
    caster_options_free(options);
    return 0;
}
