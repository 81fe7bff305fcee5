/* A network in memory with a clock of its own: what takes minutes takes no time here. */
#include "check.h"

#include <poll.h>

static caster_node_t *virtual_node(caster_network_t *network, const char *json) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    OK(caster_options_merge_json(options, json));
    OK(caster_network_node(network, options, &node));
    caster_options_free(options);
    return node;
}

/* Two nodes, `a` and `b`, that know each other. */
static void meet(caster_network_t *network, caster_node_t **a, caster_node_t **b) {
    *a = virtual_node(network, "{\"id\": \"a\", \"meta\": {\"type\": \"http\", \"port\": 80}}");
    *b = virtual_node(network, "{\"id\": \"b\"}");
    OK(caster_node_up(*a));
    OK(caster_node_up(*b));
    caster_event_free(next_event(*a, CASTER_EVENT_UP));
    caster_event_free(next_event(*b, CASTER_EVENT_UP));
}

static void nothing_of_the_system_is_used(void) {
    int threads_before = threads(), descriptors_before = descriptors();
    caster_network_t *network = caster_network_new(1);
    caster_node_t *a, *b;
    meet(network, &a, &b);
    CHECK(threads() == threads_before && descriptors() == descriptors_before);
    caster_node_free(a);
    caster_node_free(b);
    caster_network_free(network);
}

static void polling_lets_time_pass(void) {
    caster_network_t *network = caster_network_new(1);
    caster_event_t *event = NULL;
    caster_node_t *a, *b;
    uint64_t before;
    long began;
    meet(network, &a, &b);
    caster_event_free(next_event(a, CASTER_EVENT_SETTLED));
    before = caster_network_now_ms(network);
    began = now_ms();
    FAILS(CASTER_ERR_TIMED_OUT, "no event", caster_node_poll(a, 300 * 1000, &event));
    CHECK(caster_network_now_ms(network) == before + 300 * 1000);
    CHECK(now_ms() - began < DEADLINE_MS);
    CHECK(caster_node_count(a) == 1);
    caster_node_free(a);
    caster_node_free(b);
    caster_network_free(network);
}

static void time_stands_still_until_it_advances(void) {
    caster_network_t *network = caster_network_new(1);
    caster_event_t *event = NULL;
    caster_node_t *a, *b;
    struct pollfd wait;
    meet(network, &a, &b);
    OK(caster_node_fd(b, &wait.fd));
    wait.events = POLLIN;
    OK(caster_node_send_text(a, "hello", NULL));
    CHECK(poll(&wait, 1, 0) == 0);
    OK(caster_network_advance(network, 1));
    CHECK(poll(&wait, 1, 0) == 1);
    OK(caster_node_poll(b, 0, &event));
    TEXT(caster_event_message_json(event), "\"hello\"");
    caster_event_free(event);
    caster_node_free(a);
    caster_node_free(b);
    caster_network_free(network);
}

static void an_unplugged_node_is_a_timeout_and_comes_back(void) {
    caster_network_t *network = caster_network_new(1);
    caster_event_t *event;
    caster_node_t *a, *b;
    meet(network, &a, &b);
    OK(caster_network_unplug(network, "b"));
    event = next_event(a, CASTER_EVENT_DOWN);
    TEXT(caster_event_reason_name(event), "timeout");
    caster_event_free(event);
    OK(caster_network_plug(network, "b"));
    caster_event_free(next_event(a, CASTER_EVENT_UP));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "nobody", caster_network_unplug(network, "nobody"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "nobody", caster_network_plug(network, "nobody"));

    OK(caster_network_unplug(network, "b")); /* and to free it now is a crash */
    caster_node_free(b);
    event = next_event(a, CASTER_EVENT_DOWN);
    CHECK(caster_event_reason(event) == CASTER_REASON_TIMEOUT);
    caster_event_free(event);
    caster_node_free(a);
    caster_network_free(network);
}

static void loss_and_duplicates_are_as_set(void) {
    caster_network_t *network = caster_network_new(7);
    caster_stats_t stats;
    caster_node_t *a, *b;
    uint64_t before;
    int i;
    meet(network, &a, &b);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "from 0 to 1", caster_network_set_loss(network, 1.5));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "from 0 to 1", caster_network_set_duplicates(network, -1));
    OK(caster_network_advance(network, 10)); /* nothing is on its way any more */
    stats.size = sizeof stats;
    OK(caster_node_stats(b, &stats));
    before = stats.received;
    OK(caster_network_set_loss(network, 1));
    for (i = 0; i < 10; i++) {
        OK(caster_node_send_text(a, "lost", NULL));
    }
    OK(caster_network_advance(network, 10));
    OK(caster_node_stats(b, &stats));
    CHECK(stats.received == before);

    OK(caster_network_set_loss(network, 0));
    OK(caster_network_set_duplicates(network, 1));
    OK(caster_network_set_delay(network, 5));
    for (i = 0; i < 10; i++) {
        OK(caster_node_send_text(a, "twice", NULL));
    }
    OK(caster_network_advance(network, 20));
    OK(caster_node_stats(b, &stats));
    CHECK(stats.received >= before + 20);
    caster_node_free(a);
    caster_node_free(b);
    caster_network_free(network);
}

/* The events of a node in two minutes of an unreliable network, as text. */
static void story(uint64_t seed, char *text, size_t size) {
    caster_network_t *network = caster_network_new(seed);
    caster_event_t *event = NULL;
    caster_node_t *a, *b, *c;
    size_t used = 0;
    *text = 0;
    OK(caster_network_set_loss(network, 0.4));
    OK(caster_network_set_delay(network, 50));
    a = virtual_node(network, "{\"id\": \"a\"}");
    b = virtual_node(network, "{\"id\": \"b\"}");
    c = virtual_node(network, "{\"id\": \"c\"}");
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    OK(caster_node_up(c));
    while (caster_network_now_ms(network) < 120 * 1000) {
        OK(caster_node_send_text(b, "tick", NULL));
        while (caster_node_poll(a, 1000, &event) == CASTER_OK) {
            used += (size_t)snprintf(text + used, used < size ? size - used : 0, "%lu %s %s\n",
                                     (unsigned long)caster_network_now_ms(network),
                                     caster_event_name(event),
                                     caster_peer_id(caster_event_peer(event)));
            caster_event_free(event);
            CHECK(used < size);
        }
    }
    caster_node_free(a);
    caster_node_free(b);
    caster_node_free(c);
    caster_network_free(network);
}

static void the_same_seed_tells_the_same_story(void) {
    static char first[256 * 1024], again[256 * 1024], another[256 * 1024];
    story(1, first, sizeof first);
    story(1, again, sizeof again);
    story(2, another, sizeof another);
    CHECK(strlen(first) > 500);
    CHECK(strcmp(first, again) == 0);
    CHECK(strcmp(first, another) != 0);
}

static void casters_are_on_it_too(void) {
    caster_network_t *network = caster_network_new(1);
    caster_t *a = NULL, *b = NULL;
    caster_event_t *event;
    OK(caster_network_caster(network, NULL, &a));
    OK(caster_network_caster(network, NULL, &b));
    OK(caster_use_json(a));
    OK(caster_use_json(b));
    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_send_text(a, "hello", NULL));
    event = next_message(b);
    TEXT(caster_event_message_json(event), "\"hello\"");
    TEXT(caster_event_remote_address(event), "10.0.0.1");
    CHECK(!caster_event_remote_interface(event));
    caster_event_free(event);
    caster_network_free(network); /* they keep what they need */
    OK(caster_send_text(b, "still there", NULL));
    caster_event_free(next_message(a));
    caster_free(a);
    caster_free(b);
}

static void hear(caster_node_t *node, const caster_event_t *event, void *user_data) {
    CHECK(node && event);
    add(user_data);
}

static void callbacks_work_on_it(void) {
    caster_network_t *network = caster_network_new(1);
    int ups = 0;
    caster_node_t *a = virtual_node(network, "{\"id\": \"a\"}");
    caster_node_t *b = virtual_node(network, "{\"id\": \"b\"}");
    OK(caster_node_on_up(a, hear, &ups, NULL));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    OK(caster_network_advance(network, 1000));
    wait_for(&ups, 1);
    caster_node_free(a);
    caster_node_free(b);
    caster_network_free(network);
}

int main(void) {
    RUN(nothing_of_the_system_is_used);
    RUN(polling_lets_time_pass);
    RUN(time_stands_still_until_it_advances);
    RUN(an_unplugged_node_is_a_timeout_and_comes_back);
    RUN(loss_and_duplicates_are_as_set);
    RUN(the_same_seed_tells_the_same_story);
    RUN(casters_are_on_it_too);
    RUN(callbacks_work_on_it);
    return 0;
}
