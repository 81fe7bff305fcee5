/*
 * A registry of services without a server: a provider announces its service in its metadata, a client
 * searches for it by key.
 *
 *     registry offer '{"service": "db", "port": 5432}' [OPTIONS]     until the input ends
 *     registry find db [OPTIONS]                                     prints address and port
 *     registry --selftest                                            both, on this machine alone
 */
#define _POSIX_C_SOURCE 200809L
#include <caster.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A node with this metadata; NULL and a message on errors. A client has `meta` NULL
 * and sends no heartbeats. */
static caster_node_t *start(const char *meta, const char *json) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    if (caster_options_merge_json(options, json) ||
        (meta ? caster_options_set_json(options, "meta", meta)
              : caster_options_set_bool(options, "expose", 0)) ||
        caster_node_new(options, &node) || caster_node_up(node)) {
        fprintf(stderr, "%s\n", caster_last_error());
        caster_node_free(node);
        node = NULL;
    }
    caster_options_free(options);
    return node;
}

/* Prints all providers of this service; returns their number, or -1. */
static int find(const caster_node_t *node, const char *service) {
    caster_nodes_t *found = NULL;
    char value[100];
    size_t i, count;
    snprintf(value, sizeof value, "\"%s\"", service); /* as JSON */
    if (caster_node_find(node, "service", value, &found)) {
        fprintf(stderr, "%s\n", caster_last_error());
        return -1;
    }
    count = caster_nodes_count(found);
    for (i = 0; i < count; i++) {
        const caster_peer_t *peer = caster_nodes_at(found, i);
        printf("%s at %s: %s\n", caster_peer_id(peer), caster_peer_address(peer),
               caster_peer_meta_json(peer));
    }
    caster_nodes_free(found);
    return (int)count;
}

/* Waits until the service is there: a provider announces it within a heartbeat. */
static int find_soon(const caster_node_t *node, const char *service) {
    const struct timespec pause = {0, 50 * 1000 * 1000};
    int tries, count = 0;
    for (tries = 0; count == 0 && tries < 100; tries++) {
        nanosleep(&pause, NULL);
        count = find(node, service);
    }
    return count > 0 ? 0 : 1;
}

static int selftest(void) {
    char json[100];
    caster_node_t *db, *web, *client;
    int failed;
    snprintf(json, sizeof json, "{\"address\": \"127.0.0.1\", \"port\": %d}",
             22000 + (int)((unsigned long)getpid() * 37 % 10000));
    db = start("{\"service\": \"db\", \"port\": 5432}", json);
    web = start("{\"service\": \"web\", \"port\": 80}", json);
    client = start(NULL, json);
    failed = !db || !web || !client || find_soon(client, "db") || find_soon(client, "web") ||
             find(client, "mail") != 0;
    caster_node_free(client);
    caster_node_free(web);
    caster_node_free(db);
    return failed;
}

int main(int argc, char **argv) {
    const char *options = argc > 3 ? argv[3] : "{}";
    caster_node_t *node;
    int status = 1;
    if (argc > 1 && strcmp(argv[1], "--selftest") == 0) {
        return selftest();
    }
    if (argc < 3 || (strcmp(argv[1], "offer") != 0 && strcmp(argv[1], "find") != 0)) {
        fprintf(stderr, "usage: %s offer METADATA | find SERVICE [OPTIONS]\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "find") == 0) {
        node = start(NULL, options);
        status = node ? find_soon(node, argv[2]) : 1;
    } else if ((node = start(argv[2], options))) {
        while (getchar() != EOF) {
        }
        status = 0;
    }
    caster_node_free(node);
    return status;
}
