/* State that a program can read: counters, the log, other nodes by their metadata, its own settings. */
#include "check.h"

#include <stddef.h>

static void counters_are_those_of_the_json(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    caster_stats_t stats;
    char *json = NULL;
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    OK(caster_node_send_text(a, "hello", NULL));
    caster_event_free(next_event(b, CASTER_EVENT_MESSAGE));
    OK(caster_node_send_bare(a, (const uint8_t *)"[]", 2, NULL));
    OK(caster_node_send_bare(a, (const uint8_t *)"{", 1, NULL));
    OK(caster_node_send_bare_json(a, "{\"id\":[]}", NULL));
    wait_for_stat(b, "badId", 1);
    OK(caster_node_stats_json(b, &json));
    CHECK(strstr(json, "\"interfaces\":[{\"name\":\"lo\",\"index\":") != NULL);
    CHECK(strstr(json, "\"joined\":true,") != NULL);
    caster_string_free(json);
    OK(caster_node_down(a));
    OK(caster_node_down(b)); /* nothing changes any more */
    stats.size = sizeof stats;
    OK(caster_node_stats(b, &stats));
    OK(caster_node_stats_json(b, &json));
#define SAME(field, key) CHECK(stats.field == number_after(json, key))
    SAME(received, "received");
    SAME(accepted, "accepted");
    SAME(sent, "sent");
    SAME(receive_buffer, "receiveBuffer");
    SAME(dropped_not_json, "notJson");
    SAME(dropped_not_an_object, "notAnObject");
    SAME(dropped_bad_id, "badId");
    SAME(dropped_own, "own");
    SAME(reassembly_failures, "reassemblyFailures");
#undef SAME
    CHECK(stats.dropped_not_json == 1 && stats.dropped_not_an_object == 1);
    CHECK(stats.dropped_bad_id == 1 && stats.receive_buffer > 0);
    CHECK(stats.received == stats.accepted + stats.dropped);
    caster_string_free(json);
    caster_node_free(a);
    caster_node_free(b);
}

static void no_more_is_written_than_the_size_says(void) {
    caster_node_t *node = make_node("{}");
    caster_t *caster = make_caster();
    struct {
        caster_stats_t stats;
        uint64_t behind[4];
    } place;
    /* A program that was compiled with an older header. */
    memset(&place, 0xff, sizeof place);
    place.stats.size = offsetof(caster_stats_t, sent);
    OK(caster_node_stats(node, &place.stats));
    CHECK(place.stats.received == 0 && place.stats.dropped == 0);
    CHECK(place.stats.sent == UINT64_MAX && place.behind[0] == UINT64_MAX);
    /* And one with a newer one. */
    memset(&place, 0xff, sizeof place);
    place.stats.size = sizeof place;
    OK(caster_stats(caster, &place.stats));
    CHECK(place.stats.sent == 0 && place.behind[0] == 0 && place.behind[3] == 0);
    place.stats.size = 0;
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "sizeof(caster_stats_t)",
          caster_node_stats(node, &place.stats));
    place.stats.size = sizeof place.stats;
    OK(caster_stats(caster, &place.stats));
    caster_free(caster);
    caster_node_free(node);
}

struct lines {
    int count, worst, infos, interfaces, drops, bad;
};

static void note_line(int level, const char *text, void *user_data) {
    struct lines *lines = user_data;
    add(&lines->count);
    if (!text || !*text || level < CASTER_LOG_ERROR || level > CASTER_LOG_TRACE) {
        add(&lines->bad);
    }
    if (level == CASTER_LOG_INFO) {
        add(&lines->infos);
    }
    if (text && strstr(text, "joined the group on lo")) {
        add(&lines->interfaces);
    }
    if (level > get(&lines->worst)) {
        set(&lines->worst, level);
    }
}

static void drop_lines(void *user_data) { add(&((struct lines *)user_data)->drops); }

static void the_log_goes_to_one_function(void) {
    struct lines all = {0, 0, 0, 0, 0, 0}, some = {0, 0, 0, 0, 0, 0};
    caster_node_t *node = make_node("{\"id\": \"logged\"}");
    int before;
    OK(caster_set_log(CASTER_LOG_TRACE, note_line, &all, drop_lines));
    OK(caster_node_up(node));
    wait_for(&all.interfaces, 1);
    CHECK(all.infos > 0 && all.drops == 0 && all.bad == 0);
    OK(caster_set_log(CASTER_LOG_INFO, note_line, &some, drop_lines));
    wait_for(&all.drops, 1);
    before = get(&all.count);
    OK(caster_node_down(node));
    wait_for(&some.infos, 1);
    CHECK(some.worst == CASTER_LOG_INFO && get(&all.count) == before);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "from 0 to 5", caster_set_log(6, note_line, &all, drop_lines));
    CHECK(get(&all.drops) == 2 && get(&some.drops) == 0);
    OK(caster_set_log(CASTER_LOG_OFF, NULL, NULL, NULL));
    wait_for(&some.drops, 1);
    before = get(&some.count);
    OK(caster_node_up(node));
    OK(caster_set_log(CASTER_LOG_DEBUG, NULL, NULL, NULL));
    OK(caster_node_down(node));
    CHECK(get(&some.count) == before && some.bad == 0 && all.bad == 0);
    CHECK(CASTER_LOG_WARN == 2);
    caster_node_free(node);
}

/* How many nodes are found, and that each has this id. */
static size_t find(const caster_node_t *node, const char *key, const char *value, const char *id) {
    caster_nodes_t *nodes = NULL;
    size_t i, count;
    OK(caster_node_find(node, key, value, &nodes));
    count = caster_nodes_count(nodes);
    for (i = 0; i < count; i++) {
        if (id) {
            TEXT(caster_peer_id(caster_nodes_at(nodes, i)), id);
        }
    }
    caster_nodes_free(nodes);
    return count;
}

static void nodes_are_found_by_their_metadata(void) {
    static const char *const both[] = {"type", "port"};
    static const char *const values[] = {"\"http\"", NULL};
    static const char *const bad[] = {"\"http\"", "{"};
    static const char *const metas[] = {"{\"type\": \"http\", \"port\": 80}", "{\"type\": \"db\"}",
                                        "\"type\""};
    caster_network_t *network = caster_network_new(1);
    caster_node_t *node = NULL, *others[3];
    caster_nodes_t *nodes = NULL;
    caster_peer_t *peer = NULL;
    size_t i;
    OK(caster_network_node(network, NULL, &node));
    OK(caster_node_up(node));
    for (i = 0; i < 3; i++) {
        caster_options_t *options = caster_options_new_node(), *copy;
        char id[8];
        sprintf(id, "n%d", (int)i);
        OK(caster_options_set_string(options, "id", id));
        copy = caster_options_dup(options);
        OK(caster_options_set_string(options, "id", "somebody else")); /* not in the copy */
        OK(caster_options_set_json(copy, "meta", metas[i]));
        OK(caster_network_node(network, copy, &others[i]));
        caster_options_free(options);
        caster_options_free(copy);
        OK(caster_node_up(others[i]));
    }
    OK(caster_network_advance(network, 100));
    CHECK(caster_node_count(node) == 3);
    CHECK(find(node, "type", NULL, NULL) == 2);
    CHECK(find(node, "type", "\"http\"", "n0") == 1);
    CHECK(find(node, "port", " 80.0", "n0") == 1);
    CHECK(find(node, "port", "81", NULL) == 0 && find(node, "name", NULL, NULL) == 0);
    OK(caster_node_find_all(node, both, values, 2, &nodes));
    CHECK(caster_nodes_count(nodes) == 1);
    CHECK(caster_peer_meta_has(caster_nodes_at(nodes, 0), "type", "\"http\"") == 1);
    CHECK(caster_peer_meta_has(caster_nodes_at(nodes, 0), "type", NULL) == 1);
    CHECK(caster_peer_meta_has(caster_nodes_at(nodes, 0), "type", "\"db\"") == 0);
    CHECK(caster_peer_meta_has(caster_nodes_at(nodes, 0), NULL, NULL) == 0);
    caster_nodes_free(nodes);
    OK(caster_node_find_all(node, both, NULL, 1, &nodes));
    CHECK(caster_nodes_count(nodes) == 2);
    caster_nodes_free(nodes);
    OK(caster_node_find_all(node, NULL, NULL, 0, &nodes));
    CHECK(caster_nodes_count(nodes) == 3);
    caster_nodes_free(nodes);
    nodes = NULL;
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "JSON", caster_node_find(node, "type", "http", &nodes));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "\"port\"", caster_node_find_all(node, both, bad, 2, &nodes));
    CHECK(!nodes);

    OK(caster_node_get(node, "n0", &peer));
    CHECK(caster_node_last_seen_ms(node, "n0") == caster_peer_last_seen_ms(peer));
    CHECK(caster_node_last_seen_ms(node, "n0") > 0 && caster_node_last_seen_ms(node, "nobody") == 0);
    caster_peer_free(peer);
    caster_node_free(node);
    for (i = 0; i < 3; i++) {
        caster_node_free(others[i]);
    }
    caster_network_free(network);
}

static void a_peer_has_its_addresses(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\", \"meta\": [1]}");
    caster_event_t *event;
    const caster_peer_t *peer;
    char *json = NULL;
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    event = next_event(a, CASTER_EVENT_UP);
    peer = caster_event_peer(event);
    CHECK(caster_peer_address_count(peer) == 1);
    TEXT(caster_peer_address_at(peer, 0), "127.0.0.1");
    TEXT(caster_peer_interface_at(peer, 0), "lo");
    CHECK(caster_peer_last_seen_at_ms(peer, 0) == caster_peer_last_seen_ms(peer));
    CHECK(!caster_peer_address_at(peer, 1) && !caster_peer_interface_at(peer, 1));
    CHECK(!caster_peer_last_seen_at_ms(peer, 1));
    OK(caster_peer_json(peer, &json));
    CHECK(strstr(json, "{\"id\":\"b\",\"address\":\"127.0.0.1\",") == json);
    CHECK(strstr(json, "\"interface\":\"lo\"") && strstr(json, "\"meta\":[1]}"));
    caster_string_free(json);
    caster_event_free(event);
    caster_node_free(a);
    caster_node_free(b);
}

static void a_node_tells_its_settings(void) {
    caster_node_t *node = make_node("{\"heartbeat\": 250, \"timeout\": 5000, \"ttl\": 3}");
    caster_node_t *hidden = make_node("{\"expose\": false, \"loopback\": false}");
    caster_t *caster = make_caster();
    TEXT(caster_node_multicast(node), test_group());
    TEXT(caster_node_address(node), "127.0.0.1");
    CHECK(caster_node_port(node) == test_port() && caster_node_ttl(node) == 3);
    CHECK(caster_node_heartbeat_ms(node) == 250 && caster_node_timeout_ms(node) == 5000);
    CHECK(caster_node_loopback(node) == 1 && caster_node_is_exposed(node) == 1);
    CHECK(caster_node_loopback(hidden) == 0 && caster_node_is_exposed(hidden) == 0);
    TEXT(caster_multicast(caster), test_group());
    TEXT(caster_address(caster), "127.0.0.1");
    CHECK(caster_port(caster) == test_port() && caster_ttl(caster) == 64);
    CHECK(caster_loopback(caster) == 1);
    caster_free(caster);
    caster_node_free(hidden);
    caster_node_free(node);
}

static int pass(caster_message_t *message, void *user_data) {
    struct lines *lines = user_data;
    if (caster_message_remote_address(message)) {
        if (strcmp(caster_message_remote_interface(message), "lo") != 0 ||
            caster_message_remote_size(message) == 0 ||
            caster_message_remote_port(message) == 0) {
            add(&lines->bad);
        }
        /* The others come by unicast, from the port of a process. */
        if (caster_message_remote_port(message) == test_port()) {
            add(&lines->count);
        }
    } else if (caster_message_remote_interface(message) || caster_message_remote_size(message)) {
        add(&lines->bad);
    }
    return 0;
}

static void names(const caster_node_t *node, const caster_t *caster, const char *expected) {
    char *json = NULL;
    if (node) {
        OK(caster_node_middleware_json(node, &json));
    } else {
        OK(caster_middleware_json(caster, &json));
    }
    TEXT(json, expected);
    caster_string_free(json);
}

static void middleware_can_be_replaced(void) {
    static const uint8_t key[] = {0, 200, 17, 255};
    struct lines lines = {0, 0, 0, 0, 0, 0};
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    caster_t *caster = make_caster();
    caster_event_t *event;
    names(a, NULL, "[\"json\",\"hash\"]");
    OK(caster_node_use(a, "pass", pass, pass, &lines, drop_lines));
    names(a, NULL, "[\"json\",\"hash\",\"pass\"]");
    OK(caster_node_clear_middleware(a));
    CHECK(lines.drops == 1);
    names(a, NULL, "[]");
    OK(caster_node_use_json(a));
    OK(caster_node_use_crypto_bytes(a, key, sizeof key, "aes-128-ctr"));
    OK(caster_node_use_hash_bytes(a, key, sizeof key, "sha256", "binary"));
    OK(caster_node_use(a, "pass", pass, pass, &lines, drop_lines));
    names(a, NULL, "[\"json\",\"crypto\",\"hash\",\"pass\"]");
    OK(caster_node_clear_middleware(b));
    OK(caster_node_use_json_utf8(b));
    OK(caster_node_use_crypto_bytes(b, key, sizeof key, "aes-128-ctr"));
    OK(caster_node_use_hash_bytes(b, key, sizeof key, "sha256", NULL));
    FAILS(CASTER_ERR_MIDDLEWARE, "already in use", caster_node_use_json(b));
    FAILS(CASTER_ERR_INVALID_OPTION, "auto, binary or utf8",
          caster_node_use_hash_bytes(b, NULL, 0, NULL, "era"));

    OK(caster_use_json_utf8(caster));
    OK(caster_use_crypto_bytes(caster, key, sizeof key, "aes-128-ctr"));
    OK(caster_use_hash_bytes(caster, key, sizeof key, "sha256", "auto"));
    names(NULL, caster, "[\"json\",\"crypto\",\"hash\"]");
    OK(caster_bind(caster));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    OK(caster_node_send_text(b, "na\xc3\xafve", NULL));
    event = next_event(a, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "\"na\xc3\xafve\"");
    caster_event_free(event);
    caster_event_free(next_message(caster));
    CHECK(get(&lines.count) > 0 && get(&lines.bad) == 0);
    OK(caster_clear_middleware(caster));
    names(NULL, caster, "[]");
    OK(caster_node_clear_middleware(b));
    OK(caster_node_use_crypto(b, NULL, NULL));
    OK(caster_node_use_hash(b, "text", NULL));
    names(b, NULL, "[\"crypto\",\"hash\"]");
    caster_node_free(a);
    CHECK(lines.drops == 2);
    caster_node_free(b);
    caster_free(caster);
}

static void the_system_call_that_refused_has_a_name(void) {
    caster_options_t *options = caster_options_new_caster();
    caster_t *caster = NULL;
    OK(caster_options_set_string(options, "address", "203.0.113.77")); /* not of this host */
    OK(caster_options_set_int(options, "port", test_port()));
    OK(caster_new(options, &caster));
    CHECK(caster_bind(caster) == CASTER_ERR_IO);
    CHECK(caster_last_os_error() != 0 && caster_last_syscall() && *caster_last_syscall());
    CHECK(caster_close(caster) == CASTER_ERR_NOT_BOUND);
    CHECK(!caster_last_syscall());
    caster_free(caster);
    caster_options_free(options);
}

int main(void) {
    RUN(counters_are_those_of_the_json);
    RUN(no_more_is_written_than_the_size_says);
    RUN(the_log_goes_to_one_function);
    RUN(nodes_are_found_by_their_metadata);
    RUN(a_peer_has_its_addresses);
    RUN(a_node_tells_its_settings);
    RUN(middleware_can_be_replaced);
    RUN(the_system_call_that_refused_has_a_name);
    return 0;
}
