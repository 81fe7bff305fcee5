/* Every function of a node and of a caster on a handle that has to be refused. */
#ifndef REFUSED_H
#define REFUSED_H

#include "check.h"

/* The status that they have to return, and a part of the error text. */
struct refusal {
    caster_status_t status;
    const char *part;
};

static inline void ignore(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

#define REFUSED(call) FAILS(refusal.status, refusal.part, call)

static inline int pass(caster_message_t *message, void *user_data) {
    (void)message, (void)user_data;
    return 0;
}

/* Every function of a node that returns a status. */
static inline void refused_node(caster_node_t *node, struct refusal refusal) {
    static const uint8_t key[32] = {1};
    const char *texts[] = {"1"};
    caster_event_t *event = NULL;
    caster_nodes_t *nodes = NULL;
    caster_peer_t *peer = NULL;
    caster_stats_t stats = {.size = sizeof stats};
    char *json = NULL;
    size_t count = 0;
    int fd = -1;
    REFUSED(caster_node_up(node));
    REFUSED(caster_node_down(node));
    REFUSED(caster_node_send_json(node, "1", NULL));
    REFUSED(caster_node_send_batch(node, texts, 1, NULL));
    REFUSED(caster_node_send_text(node, "a", NULL));
    REFUSED(caster_node_send_bare(node, (const uint8_t *)"a", 1, NULL));
    REFUSED(caster_node_send_bare_json(node, "1", NULL));
    REFUSED(caster_node_set_meta_json(node, "1"));
    REFUSED(caster_node_update_meta_json(node, "{}"));
    REFUSED(caster_node_add_key(node, key, sizeof key));
    REFUSED(caster_node_use_key(node, key, sizeof key));
    REFUSED(caster_node_remove_key(node, key, sizeof key));
    REFUSED(caster_node_meta_json(node, &json));
    REFUSED(caster_node_nodes(node, &nodes));
    REFUSED(caster_node_get(node, "a", &peer));
    REFUSED(caster_node_find(node, "a", NULL, &nodes));
    REFUSED(caster_node_find_all(node, texts, NULL, 1, &nodes));
    REFUSED(caster_node_stats(node, &stats));
    REFUSED(caster_node_stats_json(node, &json));
    REFUSED(caster_node_poll(node, -1, &event));
    REFUSED(caster_node_poll_batch(node, -1, &event, 1, &count));
    REFUSED(caster_node_fd(node, &fd));
    REFUSED(caster_node_on_up(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_update(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_down(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_message(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_error(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_conflict(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_isolated(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_rejoined(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_settled(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_hint(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_reject(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_datagram(node, NULL, NULL, NULL));
    REFUSED(caster_node_watch_rejects(node, 1));
    REFUSED(caster_node_watch_datagrams(node, 1));
    REFUSED(caster_node_use(node, "a", pass, NULL, NULL, NULL));
    REFUSED(caster_node_clear_middleware(node));
    REFUSED(caster_node_middleware_json(node, &json));
    REFUSED(caster_node_use_json(node));
    REFUSED(caster_node_use_json_utf8(node));
    REFUSED(caster_node_use_hash(node, NULL, NULL));
    REFUSED(caster_node_use_hash_bytes(node, NULL, 0, NULL, NULL));
    REFUSED(caster_node_use_crypto(node, NULL, NULL));
    REFUSED(caster_node_use_crypto_bytes(node, NULL, 0, NULL));
    CHECK(!caster_node_is_up(node) && caster_node_count(node) == 0);
}

/* Every function of a caster that returns a status. */
static inline void refused_caster(caster_t *caster, struct refusal refusal) {
    const uint8_t *bytes[] = {(const uint8_t *)"a"};
    const char *texts[] = {"1"};
    const size_t sizes[] = {1};
    caster_event_t *event = NULL;
    caster_stats_t stats = {.size = sizeof stats};
    char *json = NULL;
    size_t count = 0;
    int fd = -1;
    REFUSED(caster_use_json(caster));
    REFUSED(caster_use_json_utf8(caster));
    REFUSED(caster_use_hash(caster, NULL, NULL));
    REFUSED(caster_use_hash_bytes(caster, NULL, 0, NULL, NULL));
    REFUSED(caster_use_crypto(caster, NULL, NULL));
    REFUSED(caster_use_crypto_bytes(caster, NULL, 0, NULL));
    REFUSED(caster_clear_middleware(caster));
    REFUSED(caster_middleware_json(caster, &json));
    REFUSED(caster_use(caster, "a", pass, NULL, NULL, NULL));
    REFUSED(caster_bind(caster));
    REFUSED(caster_close(caster));
    REFUSED(caster_send(caster, bytes[0], 1, NULL));
    REFUSED(caster_send_json(caster, "1", NULL));
    REFUSED(caster_send_batch(caster, bytes, sizes, 1, NULL));
    REFUSED(caster_send_batch_json(caster, texts, 1, NULL));
    REFUSED(caster_send_text(caster, "a", NULL));
    REFUSED(caster_stats(caster, &stats));
    REFUSED(caster_stats_json(caster, &json));
    REFUSED(caster_poll(caster, -1, &event));
    REFUSED(caster_poll_batch(caster, -1, &event, 1, &count));
    REFUSED(caster_fd(caster, &fd));
    REFUSED(caster_on_message(caster, NULL, NULL, NULL));
    REFUSED(caster_on_error(caster, NULL, NULL, NULL));
    REFUSED(caster_on_reject(caster, NULL, NULL, NULL));
    REFUSED(caster_watch_rejects(caster, 1));
    CHECK(!caster_is_bound(caster));
}

#endif
