/*
 * How a node handles silence, loss, restarts, shared ids and foreign traffic. The other nodes are played by a caster,
 * which says what the test wants when the test wants it.
 */
#include "check.h"

static caster_t *make_voice(void) {
    caster_t *voice = make_caster();
    OK(caster_use_json(voice));
    OK(caster_use_hash(voice, NULL, NULL));
    OK(caster_bind(voice));
    return voice;
}

/* A heartbeat. `incarnation` changes with a restart, `count` grows within one. */
static void beat(caster_t *voice, const char *id, int incarnation, int count, int interval_ms) {
    char json[128];
    sprintf(json, "{\"id\":\"%s\",\"meta\":1,\"caster\":{\"b\":%d,\"n\":%d,\"h\":%d}}", id, incarnation,
            count, interval_ms);
    OK(caster_send_json(voice, json, NULL));
}

static int is_suspect(const caster_node_t *node, const char *id) {
    caster_peer_t *peer = NULL, *copy;
    int suspect;
    OK(caster_node_get(node, id, &peer));
    CHECK(peer);
    suspect = caster_peer_is_suspect(peer);
    copy = caster_peer_dup(peer);
    CHECK(caster_peer_is_suspect(copy) == suspect);
    caster_peer_free(copy);
    caster_peer_free(peer);
    return suspect;
}

static double loss_of(const caster_node_t *node, const char *id) {
    caster_peer_t *peer = NULL, *copy;
    double loss;
    OK(caster_node_get(node, id, &peer));
    CHECK(peer);
    copy = caster_peer_dup(peer);
    caster_peer_free(peer);
    loss = caster_peer_loss(copy);
    caster_peer_free(copy);
    return loss;
}

static void a_restart_is_down_and_up(void) {
    caster_node_t *node = make_node("{\"heartbeat\": 60000}");
    caster_t *voice = make_voice();
    caster_event_t *event;
    up_and_settled(node);
    beat(voice, "a", 1, 0, 100);
    caster_event_free(next_event(node, CASTER_EVENT_UP));
    beat(voice, "a", 2, 0, 100);
    OK(caster_node_poll(node, DEADLINE_MS, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_DOWN);
    TEXT(caster_peer_id(caster_event_peer(event)), "a");
    CHECK(caster_event_reason(event) == CASTER_REASON_RESTART);
    TEXT(caster_event_reason_name(event), "restart");
    caster_event_free(event);
    OK(caster_node_poll(node, DEADLINE_MS, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_UP);
    TEXT(caster_peer_id(caster_event_peer(event)), "a");
    caster_event_free(event);
    caster_node_free(node);
    caster_free(voice);
}

static void two_nodes_with_one_id_are_a_conflict(void) {
    static const char *const twin = "{\"id\": \"tw\\u0000in\"}";
    caster_node_t *nodes[3];
    caster_event_t *event, *copy;
    size_t i;
    nodes[0] = make_node("{\"id\": \"watcher\"}");
    nodes[1] = make_node(twin);
    nodes[2] = make_node(twin);
    for (i = 0; i < 3; i++) {
        OK(caster_node_up(nodes[i]));
    }
    /* All nodes get the event, both of the conflict included. */
    for (i = 0; i < 3; i++) {
        event = next_event(nodes[i], CASTER_EVENT_CONFLICT);
        copy = caster_event_dup(event);
        caster_event_free(event);
        TEXT(caster_event_name(copy), "conflict");
        TEXT(caster_event_conflict_id(copy), "tw\xef\xbf\xbdin");
        TEXT(caster_event_conflict_id_json(copy), "\"tw\\u0000in\"");
        TEXT(caster_event_conflict_address(copy), "127.0.0.1");
        CHECK(!caster_event_peer(copy) && !caster_event_reason(copy));
        caster_event_free(copy);
    }
    OK(caster_node_send_text(nodes[1], "hello", NULL));
    event = next_event(nodes[0], CASTER_EVENT_MESSAGE);
    CHECK(!caster_event_conflict_id(event) && !caster_event_conflict_id_json(event));
    CHECK(!caster_event_conflict_address(event));
    caster_event_free(event);
    for (i = 0; i < 3; i++) {
        caster_node_free(nodes[i]);
    }
}

static void a_suspect_is_marked_until_it_is_heard(void) {
    caster_node_t *node = make_node("{}");
    caster_t *voice = make_voice();
    OK(caster_node_up(node));
    /* A peer with one heartbeat a minute is not given up before this test ends. */
    beat(voice, "a", 1, 0, 60000);
    caster_event_free(next_event(node, CASTER_EVENT_UP));
    CHECK(is_suspect(node, "a") == 0);
    /* A leave message of another sender is ignored, but the peer is probed. */
    OK(caster_send_json(voice, "{\"id\":\"a\",\"suicide\":true,\"caster\":{\"b\":2}}", NULL));
    wait_for_stat(node, "foreignGoodbye", 1);
    CHECK(is_suspect(node, "a") == 1);
    beat(voice, "a", 1, 1, 60000);
    wait_for_stat(node, "accepted", 2);
    CHECK(is_suspect(node, "a") == 0);
    caster_node_free(node);
    caster_free(voice);
}

static void heartbeats_that_do_not_arrive_are_loss(void) {
    caster_node_t *node = make_node("{}");
    caster_t *voice = make_voice();
    double loss;
    OK(caster_node_up(node));
    beat(voice, "a", 1, 0, 60000);
    beat(voice, "a", 1, 1, 60000);
    wait_for_stat(node, "accepted", 2);
    CHECK(loss_of(node, "a") == 0);
    beat(voice, "a", 1, 50, 60000);
    wait_for_stat(node, "accepted", 3);
    loss = loss_of(node, "a");
    CHECK(loss > 0.5 && loss < 1);
    beat(voice, "a", 1, 51, 60000);
    wait_for_stat(node, "accepted", 4);
    CHECK(loss_of(node, "a") < loss);
    caster_node_free(node);
    caster_free(voice);
}

static void who_has_another_secret_is_hinted_at(void) {
    /* Five intervals without a peer, which cause another hint, do not pass. */
    caster_node_t *node = make_node("{\"heartbeat\": 60000}");
    caster_node_t *foreign = make_node("{\"id\": \"foreign\", \"hashSecret\": \"another\"}");
    caster_event_t *event, *copy;
    up_and_settled(node);
    OK(caster_node_up(foreign));
    event = next_event(node, CASTER_EVENT_HINT);
    copy = caster_event_dup(event);
    caster_event_free(event);
    TEXT(caster_event_name(copy), "hint");
    CHECK(strstr(caster_event_hint_text(copy), "127.0.0.1 "));
    CHECK(strstr(caster_event_hint_text(copy), "hashSecret"));
    CHECK(!caster_event_peer(copy) && !caster_event_error_text(copy));
    CHECK(!caster_event_error_status(copy) && !caster_event_conflict_id(copy));
    caster_event_free(copy);
    /* Once for each address. */
    wait_for_stat(node, "hash", 5);
    CHECK(caster_node_poll(node, 0, &event) == CASTER_ERR_TIMED_OUT);
    caster_node_free(foreign);
    caster_node_free(node);
}

struct calls {
    int ups, downs, conflicts, isolated, rejoined, settled, hints, drops;
};

static void drop_calls(void *user_data) { add(&((struct calls *)user_data)->drops); }

static void note(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct calls *calls = user_data;
    (void)node;
    switch (caster_event_type(event)) {
    case CASTER_EVENT_UP:
        add(&calls->ups);
        break;
    case CASTER_EVENT_DOWN:
        add(&calls->downs);
        break;
    case CASTER_EVENT_CONFLICT:
        TEXT(caster_event_conflict_id(event), "a");
        CHECK(!caster_event_hint_text(event));
        add(&calls->conflicts);
        break;
    case CASTER_EVENT_ISOLATED:
        TEXT(caster_event_name(event), "isolated");
        CHECK(!caster_event_peer(event));
        add(&calls->isolated);
        break;
    case CASTER_EVENT_REJOINED:
        TEXT(caster_event_name(event), "rejoined");
        CHECK(!caster_event_peer(event));
        add(&calls->rejoined);
        break;
    case CASTER_EVENT_SETTLED:
        TEXT(caster_event_name(event), "settled");
        add(&calls->settled);
        break;
    case CASTER_EVENT_HINT:
        CHECK(strstr(caster_event_hint_text(event), "127.0.0.1 "));
        add(&calls->hints);
        break;
    default:
        CHECK(!"an event of this type");
    }
}

static void who_no_longer_hears_anybody_is_isolated(void) {
    caster_node_t *node = make_node("{\"timeout\": 500}");
    caster_t *voice = make_voice();
    caster_t *plain = make_caster();
    struct calls calls;
    memset(&calls, 0, sizeof calls);
    OK(caster_node_on_up(node, note, &calls, drop_calls));
    OK(caster_node_on_down(node, note, &calls, drop_calls));
    OK(caster_node_on_conflict(node, note, &calls, drop_calls));
    OK(caster_node_on_isolated(node, note, &calls, drop_calls));
    OK(caster_node_on_rejoined(node, note, &calls, drop_calls));
    OK(caster_node_on_settled(node, note, &calls, drop_calls));
    OK(caster_node_on_hint(node, note, &calls, drop_calls));
    OK(caster_node_up(node));
    beat(voice, "a", 1, 0, 100);
    beat(voice, "b", 1, 0, 100);
    beat(voice, "a", 1, 1, 100);
    beat(voice, "b", 1, 1, 100);
    wait_for(&calls.ups, 2);
    wait_for(&calls.isolated, 1);
    CHECK(get(&calls.downs) == 0 && get(&calls.rejoined) == 0);
    wait_for(&calls.settled, 1);
    CHECK(is_suspect(node, "a") && is_suspect(node, "b"));
    beat(voice, "a", 1, 2, 100);
    wait_for(&calls.rejoined, 1);
    CHECK(get(&calls.isolated) == 1);
    /* Two of the same name: a new life, and the old one that goes on. */
    CHECK(get(&calls.conflicts) == 0);
    beat(voice, "a", 2, 0, 100);
    beat(voice, "a", 1, 3, 100);
    wait_for(&calls.conflicts, 1);
    /* A sender without a digest. */
    CHECK(get(&calls.hints) == 0);
    OK(caster_bind(plain));
    OK(caster_send(plain, (const uint8_t *)"{}", 2, NULL));
    wait_for(&calls.hints, 1);
    caster_free(plain);
    caster_node_free(node);
    CHECK(calls.drops == 7);
    caster_free(voice);
}

static void a_full_table_takes_no_more_nodes(void) {
    caster_node_t *node = make_node("{\"maxNodes\": 1}");
    caster_t *voice = make_voice();
    caster_nodes_t *nodes = NULL;
    OK(caster_node_up(node));
    beat(voice, "a", 1, 0, 60000);
    beat(voice, "a", 1, 1, 60000);
    beat(voice, "b", 1, 0, 60000);
    wait_for_stat(node, "tableFull", 1);
    OK(caster_node_nodes(node, &nodes));
    CHECK(caster_nodes_count(nodes) == 1);
    CHECK(!caster_peer_is_suspect(caster_nodes_at(nodes, 0)));
    caster_nodes_free(nodes);
    caster_node_free(node);
    caster_free(voice);
}

int main(void) {
    RUN(a_restart_is_down_and_up);
    RUN(two_nodes_with_one_id_are_a_conflict);
    RUN(a_suspect_is_marked_until_it_is_heard);
    RUN(heartbeats_that_do_not_arrive_are_loss);
    RUN(who_has_another_secret_is_hinted_at);
    RUN(who_no_longer_hears_anybody_is_isolated);
    RUN(a_full_table_takes_no_more_nodes);
    return 0;
}
