/*
 * Caster inside a loop that is there already: a game that draws a frame every 16 ms and takes what
 * the network has brought in between, without a thread or a callback of its own. Each player sends
 * its position with every tenth frame. Arguments: options as a JSON object; `--selftest` plays two
 * players against each other for a moment.
 */
#define _POSIX_C_SOURCE 200809L
#include <caster.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MS 16

struct player {
    caster_node_t *node;
    int position, others_seen, moves_seen;
};

static volatile sig_atomic_t stopped;
static void stop(int number) { stopped = number; }

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes what there is and never waits: a frame is not late because of the network. */
static void take_events(struct player *player) {
    caster_event_t *events[32];
    size_t count = 0, i;
    if (caster_node_poll_batch(player->node, 0, events, 32, &count)) {
        return; /* nothing there */
    }
    for (i = 0; i < count; i++) {
        if (caster_event_type(events[i]) == CASTER_EVENT_UP) {
            player->others_seen++;
        } else if (caster_event_type(events[i]) == CASTER_EVENT_MESSAGE) {
            player->moves_seen++;
            printf("%s: %s is at %s\n", caster_node_id(player->node),
                   caster_peer_id(caster_event_peer(events[i])),
                   caster_event_message_json(events[i]));
        }
        caster_event_free(events[i]);
    }
}

static void update(struct player *player, long frame) {
    char position[16];
    player->position++;
    if (frame % 10 == 0) {
        snprintf(position, sizeof position, "%d", player->position);
        caster_node_send_json(player->node, position, NULL);
    }
}

int main(int argc, char **argv) {
    const int selftest = argc > 1 && strcmp(argv[1], "--selftest") == 0;
    const int players = selftest ? 2 : 1;
    struct player player[2];
    caster_options_t *options = caster_options_new_node();
    long frame, next;
    int i, failed = 0;

    memset(player, 0, sizeof player);
    if (selftest) {
        failed |= caster_options_set_string(options, "address", "127.0.0.1") != CASTER_OK;
        failed |= caster_options_set_int(options, "port", 22000 + (getpid() * 41) % 10000) != 0;
    } else if (argc > 1) {
        failed |= caster_options_merge_json(options, argv[1]) != CASTER_OK;
    }
    for (i = 0; i < players && !failed; i++) {
        failed = caster_node_new(options, &player[i].node) || caster_node_up(player[i].node);
    }
    if (failed) {
        fprintf(stderr, "%s\n", caster_last_error());
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    next = now_ms();
    for (frame = 0; !failed && !stopped; frame++) {
        long left;
        for (i = 0; i < players; i++) {
            take_events(&player[i]);
            update(&player[i], frame);
        }
        fflush(stdout); /* here a game would draw */
        next += FRAME_MS;
        left = next - now_ms();
        if (left > 0) {
            poll(NULL, 0, (int)left); /* other work of the loop */
        }
        if (selftest && player[0].moves_seen > 2 && player[1].moves_seen > 2) {
            break;
        }
        failed = selftest && frame > 600;
    }
    for (i = 0; i < players; i++) {
        failed |= selftest && player[i].others_seen != 1;
        caster_node_free(player[i].node);
    }
    caster_options_free(options);
    return failed;
}
