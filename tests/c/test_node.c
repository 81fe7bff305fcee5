/* Two nodes in one process that take their events by polling. */
#include "check.h"

#include <poll.h>
#include <pthread.h>

/* Two nodes that know each other, with metadata. */
static void meet(caster_node_t **a, caster_node_t **b) {
    caster_event_t *event;
    *a = make_node("{\"id\": \"a\", \"meta\": {\"lang\": \"c\", \"n\": [1, null]}}");
    *b = make_node("{\"id\": \"b\"}");
    OK(caster_node_up(*a));
    OK(caster_node_up(*b));
    event = next_event(*a, CASTER_EVENT_UP);
    TEXT(caster_peer_id(caster_event_peer(event)), "b");
    caster_event_free(event);
    event = next_event(*b, CASTER_EVENT_UP);
    TEXT(caster_peer_id(caster_event_peer(event)), "a");
    caster_event_free(event);
}

static void nodes_find_each_other_with_metadata(void) {
    caster_node_t *a = make_node("{\"id\": \"a\", \"meta\": {\"lang\": \"c\", \"n\": [1, null]}}");
    caster_node_t *b = make_node("{\"id\": \"b\\u0000\\\"\"}");
    caster_event_t *event, *copy;
    caster_peer_t *kept;
    const caster_peer_t *peer;
    OK(caster_node_up(b));
    OK(caster_node_up(a)); /* its announcement has the metadata */

    event = next_event(b, CASTER_EVENT_UP);
    TEXT(caster_event_name(event), "up");
    peer = caster_event_peer(event);
    TEXT(caster_peer_id(peer), "a");
    TEXT(caster_peer_id_json(peer), "\"a\"");
    TEXT(caster_peer_address(peer), "127.0.0.1");
    TEXT(caster_peer_meta_json(peer), "{\"lang\":\"c\",\"n\":[1,null]}");
    CHECK(caster_peer_first_seen_ms(peer) > 1600000000000u);
    CHECK(caster_peer_last_seen_ms(peer) >= caster_peer_first_seen_ms(peer));
    CHECK(!caster_event_message_json(event) && !caster_event_reason(event));
    copy = caster_event_dup(event);
    kept = caster_peer_dup(peer);
    caster_event_free(event);
    TEXT(caster_peer_id(caster_event_peer(copy)), "a");
    TEXT(caster_peer_meta_json(kept), "{\"lang\":\"c\",\"n\":[1,null]}");
    caster_event_free(copy);
    caster_peer_free(kept);

    event = next_event(a, CASTER_EVENT_UP);
    peer = caster_event_peer(event);
    TEXT(caster_peer_id(peer), "b\xef\xbf\xbd\"");
    TEXT(caster_peer_id_json(peer), "\"b\\u0000\\\"\"");
    TEXT(caster_peer_meta_json(peer), "null");
    caster_event_free(event);
    caster_node_free(a);
    caster_node_free(b);
}

static void snapshots_and_lookups_tell_who_is_there(void) {
    caster_node_t *a, *b;
    caster_nodes_t *nodes = NULL;
    caster_peer_t *peer = NULL;
    meet(&a, &b);
    OK(caster_node_nodes(b, &nodes));
    CHECK(caster_nodes_count(nodes) == 1);
    TEXT(caster_peer_id(caster_nodes_at(nodes, 0)), "a");
    CHECK(!caster_nodes_at(nodes, 1));
    OK(caster_node_get(b, "a", &peer));
    TEXT(caster_peer_id(peer), "a");
    caster_peer_free(peer);
    OK(caster_node_get(b, "nobody", &peer));
    CHECK(!peer);
    caster_node_free(a);
    caster_node_free(b);
    TEXT(caster_peer_address(caster_nodes_at(nodes, 0)), "127.0.0.1");
    caster_nodes_free(nodes);
}

static void messages_arrive_as_they_were_sent(void) {
    static const char *const messages[] = {
        "\"hello\"",
        "{\"caf\xc3\xa9\":\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\":[[{}],{\"x\":{\"y\":[null]}}]}",
        "[1,-2.5,1e3,true,false]",
        "0",
        "\"\"",
        "false",
    };
    static const char *const received[] = {
        "\"hello\"",
        "{\"caf\\u00e9\":\"\\u20ac\",\"\\ud83d\\ude00\":[[{}],{\"x\":{\"y\":[null]}}]}",
        "[1,-2.5,1e3,true,false]",
        "0",
        "\"\"",
        "false",
    };
    caster_node_t *a, *b;
    caster_event_t *event;
    size_t i, bytes;
    meet(&a, &b);
    for (i = 0; i < sizeof messages / sizeof *messages; i++) {
        bytes = 0;
        OK(caster_node_send_json(a, messages[i], &bytes));
        CHECK(bytes > strlen(messages[i]));
        event = next_event(b, CASTER_EVENT_MESSAGE);
        TEXT(caster_event_message_json(event), received[i]);
        CHECK(caster_event_message_size(event) == strlen(received[i]));
        CHECK(memcmp(caster_event_message_data(event), received[i], strlen(received[i])) == 0);
        TEXT(caster_peer_id(caster_event_peer(event)), "a");
        CHECK(!caster_event_remote_address(event));
        caster_event_free(event);
    }
    OK(caster_node_send_text(a, "say \"\xc3\xa9\"", NULL));
    event = next_event(b, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "\"say \\\"\\u00e9\\\"\"");
    caster_event_free(event);
    caster_node_free(a);
    caster_node_free(b);
}

static void bad_messages_are_refused(void) {
    caster_node_t *a, *b;
    size_t bytes = 7;
    char *large = malloc(70001);
    CHECK(large);
    meet(&a, &b);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not valid JSON", caster_node_send_json(a, "{a:1}", &bytes));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not valid JSON", caster_node_send_json(a, "", &bytes));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "the number 1e999 is beyond", caster_node_send_json(a, "[1e999]", &bytes));
    memset(large, 'x', 70000);
    large[70000] = '\0';
    FAILS(CASTER_ERR_MESSAGE_TOO_LARGE, "the message takes 70", caster_node_send_text(a, large, &bytes));
    CHECK(bytes == 7);
    OK(caster_node_down(a));
    FAILS(CASTER_ERR_NOT_UP, "Node is not up", caster_node_send_json(a, "1", &bytes));
    free(large);
    caster_node_free(a);
    caster_node_free(b);
}

static void new_metadata_is_an_update(void) {
    caster_node_t *a, *b;
    caster_event_t *event;
    char *meta = NULL;
    meet(&a, &b);
    OK(caster_node_set_meta_json(a, "{ \"v\": 2 }"));
    do {
        event = next_event(b, CASTER_EVENT_UPDATE);
        CHECK(caster_event_changed(event) == CASTER_CHANGED_META);
        meta = strdup(caster_peer_meta_json(caster_event_peer(event)));
        caster_event_free(event);
        CHECK(meta);
        if (strcmp(meta, "{\"v\":2}") == 0) {
            break;
        }
        free(meta);
    } while (1);
    free(meta);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not valid JSON", caster_node_set_meta_json(a, "{"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "the number -1e999 is beyond", caster_node_set_meta_json(a, "{\"a\": -1e999}"));
    OK(caster_node_update_meta_json(a, "{ \"w\": [1], \"v\": null }"));
    OK(caster_node_update_meta_json(a, "{\"v\":2}"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not valid JSON", caster_node_update_meta_json(a, "{"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "the change is not an object", caster_node_update_meta_json(a, "[1]"));
    OK(caster_node_meta_json(a, &meta));
    TEXT(meta, "{\"v\":2,\"w\":[1]}");
    caster_string_free(meta);
    OK(caster_node_set_meta_json(a, "{\"v\":2}"));
    OK(caster_node_meta_json(a, &meta));
    TEXT(meta, "{\"v\":2}");
    caster_string_free(meta);
    caster_node_free(a);
    caster_node_free(b);
}

static void a_goodbye_is_seen_and_coming_back_too(void) {
    caster_node_t *a, *b;
    caster_event_t *event;
    meet(&a, &b);
    CHECK(caster_node_is_up(a));
    FAILS(CASTER_ERR_ALREADY_UP, "Node already up", caster_node_up(a));
    OK(caster_node_down(a));
    CHECK(!caster_node_is_up(a));
    FAILS(CASTER_ERR_NOT_UP, "Node is not up", caster_node_down(a));
    event = next_event(b, CASTER_EVENT_DOWN);
    TEXT(caster_peer_id(caster_event_peer(event)), "a");
    CHECK(caster_event_reason(event) == CASTER_REASON_GOODBYE);
    TEXT(caster_event_reason_name(event), "goodbye");
    caster_event_free(event);
    OK(caster_node_up(a));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    caster_node_free(a); /* leaves the group, too */
    event = next_event(b, CASTER_EVENT_DOWN);
    CHECK(caster_event_reason(event) == CASTER_REASON_GOODBYE);
    caster_event_free(event);
    caster_node_free(b);
}

static void silence_is_a_timeout(void) {
    caster_node_t *a = make_node("{\"id\": \"a\", \"expose\": false}");
    caster_node_t *b = make_node("{\"id\": \"b\", \"timeout\": 100}");
    caster_event_t *event;
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    OK(caster_node_send_text(a, "once", NULL)); /* it is heard once, and sends no heartbeat */
    event = next_event(b, CASTER_EVENT_DOWN);
    TEXT(caster_peer_id(caster_event_peer(event)), "a");
    CHECK(caster_event_reason(event) == CASTER_REASON_TIMEOUT);
    TEXT(caster_event_reason_name(event), "timeout");
    caster_event_free(event);
    caster_node_free(a);
    caster_node_free(b);
}

static void polling_ends_with_a_status(void) {
    caster_node_t *node = make_node("{\"heartbeat\": 60000}");
    caster_event_t *event = NULL;
    FAILS(CASTER_ERR_NOT_UP, "not up", caster_node_poll(node, -1, &event));
    up_and_settled(node);
    FAILS(CASTER_ERR_TIMED_OUT, "no event", caster_node_poll(node, 0, &event));
    FAILS(CASTER_ERR_TIMED_OUT, "no event", caster_node_poll(node, 20, &event));
    CHECK(!event);
    caster_node_free(node);
}

static void *take_down_soon(void *node) {
    sleep_ms(100);
    OK(caster_node_down((caster_node_t *)node));
    return NULL;
}

static void going_down_ends_a_wait(void) {
    caster_node_t *node = make_node("{\"heartbeat\": 60000}");
    caster_event_t *event = NULL;
    pthread_t thread;
    up_and_settled(node);
    CHECK(pthread_create(&thread, NULL, take_down_soon, node) == 0);
    FAILS(CASTER_ERR_NOT_UP, "not up", caster_node_poll(node, -1, &event));
    pthread_join(thread, NULL);
    caster_node_free(node);
}

static void the_descriptor_is_readable_while_events_wait(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}");
    caster_node_t *b = make_node("{\"id\": \"b\", \"expose\": false, \"heartbeat\": 60000}");
    caster_event_t *event = NULL;
    struct pollfd wait;
    int again = -1;
    OK(caster_node_fd(b, &wait.fd));
    wait.events = POLLIN;
    up_and_settled(b);
    CHECK(poll(&wait, 1, 0) == 0);
    OK(caster_node_up(a));
    CHECK(poll(&wait, 1, DEADLINE_MS) == 1 && wait.revents == POLLIN);
    OK(caster_node_poll(b, 0, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_UP);
    caster_event_free(event);
    CHECK(poll(&wait, 1, 0) == 0);
    OK(caster_node_send_text(a, "1", NULL));
    OK(caster_node_send_text(a, "2", NULL));
    CHECK(poll(&wait, 1, DEADLINE_MS) == 1);
    caster_event_free(next_event(b, CASTER_EVENT_MESSAGE));
    caster_event_free(next_event(b, CASTER_EVENT_MESSAGE));
    CHECK(poll(&wait, 1, 0) == 0);
    OK(caster_node_down(b));
    OK(caster_node_up(b));
    OK(caster_node_fd(b, &again));
    CHECK(again == wait.fd);
    caster_node_free(a);
    caster_node_free(b);
}

static void nothing(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

static void polling_and_callbacks_do_not_mix(void) {
    caster_node_t *node = make_node("{}");
    caster_event_t *event = NULL;
    int fd = -1, drops = 0;
    CHECK(caster_node_poll(node, 0, &event) == CASTER_ERR_NOT_UP);
    FAILS(CASTER_ERR_EVENTS_TAKEN, "polled", caster_node_on_up(node, nothing, &drops, count_drop));
    CHECK(drops == 1);
    caster_node_free(node);

    node = make_node("{}");
    OK(caster_node_on_up(node, nothing, NULL, NULL));
    FAILS(CASTER_ERR_EVENTS_TAKEN, "callbacks", caster_node_poll(node, 0, &event));
    FAILS(CASTER_ERR_EVENTS_TAKEN, "callbacks", caster_node_fd(node, &fd));
    OK(caster_node_on_up(node, NULL, NULL, NULL));
    FAILS(CASTER_ERR_EVENTS_TAKEN, "callbacks", caster_node_fd(node, &fd));
    CHECK(!event && fd == -1);
    caster_node_free(node);
}

int main(void) {
    RUN(nodes_find_each_other_with_metadata);
    RUN(snapshots_and_lookups_tell_who_is_there);
    RUN(messages_arrive_as_they_were_sent);
    RUN(bad_messages_are_refused);
    RUN(new_metadata_is_an_update);
    RUN(a_goodbye_is_seen_and_coming_back_too);
    RUN(silence_is_a_timeout);
    RUN(polling_ends_with_a_status);
    RUN(going_down_ends_a_wait);
    RUN(the_descriptor_is_readable_while_events_wait);
    RUN(polling_and_callbacks_do_not_mix);
    return 0;
}
