/*
 * Events by a descriptor, with epoll: many nodes in one thread. Arguments: options as a JSON object;
 * `--selftest` ends when all nodes have found each other.
 */
#define _GNU_SOURCE
#include <caster.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NODES 3

int main(int argc, char **argv) {
    const int selftest = argc > 1 && strcmp(argv[1], "--selftest") == 0;
    caster_options_t *options = caster_options_new_node();
    caster_node_t *nodes[NODES] = {NULL};
    int loop = epoll_create1(EPOLL_CLOEXEC), found = 0, turns = 0, failed = loop < 0, i;

    if (selftest) {
        failed |= caster_options_set_string(options, "address", "127.0.0.1") != CASTER_OK;
        failed |= caster_options_set_int(options, "port", 22000 + getpid() % 10000) != CASTER_OK;
    } else if (argc > 1) {
        failed |= caster_options_merge_json(options, argv[1]) != CASTER_OK;
    }
    for (i = 0; i < NODES && !failed; i++) { /* options can be used again */
        struct epoll_event interest = {0};
        int descriptor = -1;
        interest.events = EPOLLIN;
        failed = caster_node_new(options, &nodes[i]) || caster_node_fd(nodes[i], &descriptor);
        interest.data.ptr = nodes[i];
        failed = failed || epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &interest) ||
                 caster_node_up(nodes[i]);
    }
    if (failed) {
        fprintf(stderr, "%s\n", caster_last_error());
    }
    while (!failed) {
        struct epoll_event ready[NODES];
        int count = epoll_wait(loop, ready, NODES, 100);
        for (i = 0; i < count; i++) {
            caster_node_t *node = ready[i].data.ptr;
            caster_event_t *event = NULL;
            /* The descriptor stays readable until all events are taken. */
            while (caster_node_poll(node, 0, &event) == CASTER_OK) {
                const char *id = caster_peer_id(caster_event_peer(event));
                printf("%s: %s %s\n", caster_node_id(node), caster_event_name(event), id ? id : "");
                found += caster_event_type(event) == CASTER_EVENT_UP;
                caster_event_free(event);
            }
        }
        fflush(stdout);
        if (selftest && (found == NODES * (NODES - 1) || ++turns == 100)) {
            failed = found != NODES * (NODES - 1);
            break;
        }
    }
    for (i = 0; i < NODES; i++) {
        caster_node_free(nodes[i]); /* its descriptor goes with it, and epoll forgets it */
    }
    caster_options_free(options);
    close(loop);
    return failed;
}
