/*
 * The peer program of the C library: see ../README.md for what it takes and prints. It waits with
 * poll(2) for commands and events alike, in one thread.
 */
#define _POSIX_C_SOURCE 200809L

#include <caster.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static caster_node_t *node;

/* Writes `text` as a JSON string. */
static void put_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void end_line(void) {
    putchar('\n');
    fflush(stdout);
}

static void say(const char *event) {
    printf("{\"ev\":\"%s\"}", event);
    end_line();
}

static void tell(const char *event, const char *text) {
    printf("{\"ev\":\"%s\",\"text\":", event);
    put_string(text);
    putchar('}');
    end_line();
}

static void complain(const char *text) {
    tell("error", text);
}

/* Writes the fields of a peer, without braces. */
static void put_peer(const caster_peer_t *peer) {
    const char *meta = caster_peer_meta_json(peer);
    printf("\"id\":%s,\"address\":\"%s\",\"meta\":%s", caster_peer_id_json(peer),
           caster_peer_address(peer), meta ? meta : "null");
}

static void show(const caster_event_t *event) {
    const caster_peer_t *peer = caster_event_peer(event);
    const char *name = caster_event_name(event);
    switch (caster_event_type(event)) {
    case CASTER_EVENT_UP:
    case CASTER_EVENT_UPDATE:
        printf("{\"ev\":\"%s\",", name);
        put_peer(peer);
        break;
    case CASTER_EVENT_DOWN:
        printf("{\"ev\":\"down\",\"id\":%s,\"reason\":\"%s\"", caster_peer_id_json(peer),
               caster_event_reason_name(event));
        break;
    case CASTER_EVENT_MESSAGE:
        printf("{\"ev\":\"message\",\"id\":%s,\"signed\":%s,\"message\":%s", caster_peer_id_json(peer),
               caster_event_is_signed(event) ? "true" : "false", caster_event_message_json(event));
        break;
    case CASTER_EVENT_ERROR:
        complain(caster_event_error_text(event));
        return;
    case CASTER_EVENT_HINT:
        tell("hint", caster_event_hint_text(event));
        return;
    case CASTER_EVENT_ISOLATED:
    case CASTER_EVENT_REJOINED:
        printf("{\"ev\":\"%s\"", name);
        break;
    default:
        return;
    }
    putchar('}');
    end_line();
}

/* Shows all events that wait. */
static void show_events(void) {
    caster_event_t *event;
    while (caster_node_poll(node, 0, &event) == CASTER_OK) {
        show(event);
        caster_event_free(event);
    }
}

static void show_nodes(void) {
    caster_nodes_t *nodes;
    if (caster_node_nodes(node, &nodes)) {
        complain(caster_last_error());
        return;
    }
    printf("{\"ev\":\"nodes\",\"nodes\":[");
    for (size_t i = 0; i < caster_nodes_count(nodes); i++) {
        printf(i ? ",{" : "{");
        put_peer(caster_nodes_at(nodes, i));
        putchar('}');
    }
    printf("]}");
    end_line();
    caster_nodes_free(nodes);
}

static void show_stats(void) {
    char *stats;
    if (caster_node_stats_json(node, &stats)) {
        complain(caster_last_error());
        return;
    }
    printf("{\"ev\":\"stats\",\"stats\":%s}", stats);
    end_line();
    caster_string_free(stats);
}

static void send_json(const char *json) {
    size_t bytes;
    if (caster_node_send_json(node, json, &bytes)) {
        complain(caster_last_error());
        return;
    }
    printf("{\"ev\":\"sent\",\"bytes\":%zu}", bytes);
    end_line();
}

static void up(void) {
    if (caster_node_up(node)) {
        complain(caster_last_error());
    } else {
        say("ready");
    }
}

static void down(void) {
    if (caster_node_down(node)) {
        complain(caster_last_error());
    } else {
        show_events();
        say("gone");
    }
}

/* Reads 64 hexadecimal digits. */
static int read_key(const char *text, uint8_t key[32]) {
    for (int i = 0; i < 32; i++) {
        if (sscanf(text + 2 * i, "%2hhx", &key[i]) != 1) {
            return 0;
        }
    }
    return 1;
}

static void change_keys(caster_status_t (*change)(caster_node_t *, const uint8_t *, size_t),
                        const char *text) {
    uint8_t key[32];
    if (!read_key(text, key) || change(node, key, sizeof key)) {
        complain(caster_last_error());
        return;
    }
    say("keys");
}

static void show_identity(const char *id) {
    char *key = NULL;
    if (caster_node_identity_of(node, id, &key)) {
        complain(caster_last_error());
        return;
    }
    printf("{\"ev\":\"identity\",\"key\":\"%s\"}\n", key ? key : "");
    fflush(stdout);
    caster_string_free(key);
}

static void execute(const char *line) {
    if (strncmp(line, "send ", 5) == 0) {
        send_json(line + 5);
    } else if (strncmp(line, "add_key ", 8) == 0) {
        change_keys(caster_node_add_key, line + 8);
    } else if (strncmp(line, "use_key ", 8) == 0) {
        change_keys(caster_node_use_key, line + 8);
    } else if (strncmp(line, "remove_key ", 11) == 0) {
        change_keys(caster_node_remove_key, line + 11);
    } else if (strncmp(line, "identity ", 9) == 0) {
        show_identity(line + 9);
    } else if (strcmp(line, "down") == 0) {
        down();
    } else if (strcmp(line, "up") == 0) {
        up();
    } else if (strcmp(line, "nodes") == 0) {
        show_nodes();
    } else if (strcmp(line, "stats") == 0) {
        show_stats();
    } else if (strcmp(line, "drop") == 0) {
        caster_node_free(node);
        say("dropped");
        exit(0);
    } else if (strcmp(line, "quit") == 0) {
        exit(0);
    } else if (*line) {
        complain(line);
    }
}

/* Reads what there is of stdin and executes the lines that are complete; 0 at its end. */
static int read_commands(void) {
    static char *pending;
    static size_t length, capacity;
    if (capacity - length < 4096) {
        capacity = 2 * capacity + 8192;
        pending = realloc(pending, capacity);
        if (!pending) {
            abort();
        }
    }
    ssize_t got = read(STDIN_FILENO, pending + length, capacity - length);
    if (got < 0) {
        return errno == EINTR;
    }
    length += (size_t)got;
    char *line = pending;
    for (char *end; (end = memchr(line, '\n', length - (size_t)(line - pending))); line = end + 1) {
        *end = '\0';
        execute(line);
    }
    length -= (size_t)(line - pending);
    memmove(pending, line, length);
    if (got == 0) {
        free(pending);
    }
    return got > 0;
}

int main(int argc, char **argv) {
    caster_options_t *options = caster_options_new_node();
    int events;
    char *keys = getenv("CASTER_KEYS");
    for (char *key = keys ? strtok(keys, " ") : NULL; key; key = strtok(NULL, " ")) {
        if (caster_options_add_key_text(options, key)) {
            complain(caster_last_error());
            return 1;
        }
    }
    if (getenv("CASTER_IDENTITY") && caster_options_set_identity_text(options, getenv("CASTER_IDENTITY"))) {
        complain(caster_last_error());
        return 1;
    }
    char *trusted = getenv("CASTER_TRUST");
    for (char *key = trusted ? strtok(trusted, " ") : NULL; key; key = strtok(NULL, " ")) {
        if (caster_options_add_trusted(options, key)) {
            complain(caster_last_error());
            return 1;
        }
    }
    if ((argc > 1 && caster_options_merge_json(options, argv[1])) ||
        caster_node_new(options, &node) || caster_node_fd(node, &events)) {
        complain(caster_last_error());
        return 1;
    }
    caster_options_free(options);
    up();
    for (;;) {
        struct pollfd waits[] = {{events, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        if (poll(waits, 2, -1) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (waits[0].revents) {
            show_events();
        }
        if (waits[1].revents && !read_commands()) {
            break;
        }
    }
    if (caster_node_is_up(node)) {
        down();
    }
    caster_node_free(node);
    return 0;
}
