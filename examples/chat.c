/*
 * A chat without a server: what one types, all read. Arguments: a name, then options as a JSON
 * object; `--selftest` lets two of them talk to each other.
 *
 * One thread: poll(2) waits for lines of the terminal and for events of the node.
 */
#define _POSIX_C_SOURCE 200809L
#include <caster.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A running node. Its id is the name, so that messages need not contain the sender. */
static caster_node_t *join(const char *name, const char *json) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    if (caster_options_merge_json(options, json) ||
        caster_options_set_string(options, "id", name) ||
        caster_options_set_json(options, "meta", "{\"app\": \"chat\"}") ||
        caster_node_new(options, &node) || caster_node_up(node)) {
        fprintf(stderr, "%s\n", caster_last_error());
        caster_node_free(node);
        node = NULL;
    }
    caster_options_free(options);
    return node;
}

/* Shows all events that wait. Returns how many of them were messages. */
static int show(caster_node_t *node) {
    caster_event_t *event = NULL;
    int messages = 0;
    while (caster_node_poll(node, 0, &event) == CASTER_OK) {
        const char *who = caster_peer_id(caster_event_peer(event));
        switch (caster_event_type(event)) {
        case CASTER_EVENT_UP:
            printf("* %s is here\n", who);
            break;
        case CASTER_EVENT_DOWN:
            printf("* %s is gone (%s)\n", who, caster_event_reason_name(event));
            break;
        case CASTER_EVENT_MESSAGE:
            printf("%s: %s\n", who, caster_event_message_json(event));
            messages++;
            break;
        case CASTER_EVENT_HINT:
            printf("* %s\n", caster_event_hint_text(event));
            break;
        default: /* a program passes over what it does not know */
            break;
        }
        caster_event_free(event);
    }
    fflush(stdout);
    return messages;
}

/* Until the input ends. */
static int chat(const char *name, const char *json) {
    caster_node_t *node = join(name, json);
    struct pollfd wait[2] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}};
    char line[1000];
    int status = 0;
    if (!node || caster_node_fd(node, &wait[1].fd)) {
        status = 1;
    }
    while (status == 0 && poll(wait, 2, -1) > 0) {
        if (wait[1].revents) {
            show(node);
        }
        if (wait[0].revents) {
            if (!fgets(line, sizeof line, stdin)) {
                break;
            }
            line[strcspn(line, "\n")] = 0;
            if (*line && caster_node_send_text(node, line, NULL)) {
                printf("* not sent: %s\n", caster_last_error());
            }
        }
    }
    caster_node_free(node); /* leaves */
    return status;
}

static int selftest(void) {
    char json[100];
    int heard = 0, tries;
    caster_node_t *ann, *bob;
    /* On this machine alone, on a port of this process. */
    snprintf(json, sizeof json, "{\"address\": \"127.0.0.1\", \"port\": %d}",
             22000 + (int)((unsigned long)getpid() * 31 % 10000));
    ann = join("ann", json);
    bob = join("bob", json);
    for (tries = 0; ann && bob && heard < 2 && tries < 200; tries++) {
        const struct timespec pause = {0, 50 * 1000 * 1000};
        if (tries == 1) {
            caster_node_send_text(ann, "hello, bob", NULL);
            caster_node_send_text(bob, "hello, ann", NULL);
        }
        nanosleep(&pause, NULL);
        heard += show(ann) + show(bob);
    }
    caster_node_free(ann);
    caster_node_free(bob);
    return heard == 2 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--selftest") == 0) {
        return selftest();
    }
    if (argc < 2) {
        fprintf(stderr, "usage: %s NAME [OPTIONS]\n", argv[0]);
        return 2;
    }
    return chat(argv[1], argc > 2 ? argv[2] : "{}");
}
