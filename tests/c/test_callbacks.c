/* Callbacks on the library's own thread, and what they may do. */
#include "check.h"

#include <pthread.h>

struct log {
    int calls, ups, updates, downs, messages, drops;
    char id[32], last[64];
    pthread_t thread;
};

static void count_log_drop(void *user_data) { add(&((struct log *)user_data)->drops); }

static void note(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct log *log = user_data;
    const char *id = caster_peer_id(caster_event_peer(event));
    CHECK(node && event && id);
    log->thread = pthread_self();
    strncpy(log->id, id, sizeof log->id - 1);
    switch (caster_event_type(event)) {
    case CASTER_EVENT_UP:
        add(&log->ups);
        break;
    case CASTER_EVENT_UPDATE:
        add(&log->updates);
        break;
    case CASTER_EVENT_DOWN:
        add(&log->downs);
        break;
    default:
        strncpy(log->last, caster_event_message_json(event), sizeof log->last - 1);
        add(&log->messages);
    }
    add(&log->calls);
}

static void note_everything(caster_node_t *node, struct log *log) {
    memset(log, 0, sizeof *log);
    OK(caster_node_on_up(node, note, log, count_log_drop));
    OK(caster_node_on_update(node, note, log, count_log_drop));
    OK(caster_node_on_down(node, note, log, count_log_drop));
    OK(caster_node_on_message(node, note, log, count_log_drop));
    OK(caster_node_on_error(node, note, log, count_log_drop));
}

static void events_reach_callbacks_on_another_thread(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    struct log log;
    note_everything(a, &log);
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&log.ups, 1);
    TEXT(log.id, "b");
    OK(caster_node_send_text(b, "hello", NULL));
    wait_for(&log.messages, 1);
    TEXT(log.last, "\"hello\"");
    CHECK(!pthread_equal(log.thread, pthread_self()));
    OK(caster_node_set_meta_json(b, "[7]"));
    wait_for(&log.updates, 1);
    OK(caster_node_down(b));
    wait_for(&log.downs, 1);
    CHECK(log.drops == 0);
    caster_node_free(a);
    CHECK(log.drops == 5);
    caster_node_free(b);
}

static void be_slow(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event;
    add(user_data);
    sleep_ms(1000);
    add(user_data);
}

static void a_slow_callback_stops_no_heartbeat(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}");
    caster_node_t *b = make_node("{\"id\": \"b\", \"timeout\": 100}");
    struct log log;
    int steps = 0;
    note_everything(b, &log);
    OK(caster_node_on_message(a, be_slow, &steps, NULL));
    OK(caster_node_up(b));
    OK(caster_node_up(a));
    wait_for(&log.ups, 1);
    wait_for_stat(b, "accepted", 5); /* b knows the heartbeat interval of a, and no longer waits */
    OK(caster_node_send_text(b, "wait", NULL));
    wait_for(&steps, 2);
    CHECK(get(&log.downs) == 0);
    caster_node_free(a);
    caster_node_free(b);
}

static void freeing_waits_for_the_callback_that_runs(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    int steps = 0, drops = 0;
    OK(caster_node_on_up(a, be_slow, &steps, NULL));
    OK(caster_node_on_down(a, be_slow, &drops, count_drop));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&steps, 1);
    caster_node_free(a);
    CHECK(get(&steps) == 2 && get(&drops) == 1);
    caster_node_free(b);
}

static void each_registration_is_dropped_once(void) {
    caster_node_t *node = make_node("{}");
    int first = 0, second = 0;
    OK(caster_node_on_message(node, be_slow, &first, count_drop));
    CHECK(first == 0);
    OK(caster_node_on_message(node, be_slow, &second, count_drop)); /* replaces it */
    CHECK(first == 1 && second == 0);
    OK(caster_node_on_message(node, NULL, NULL, NULL)); /* removes it */
    CHECK(first == 1 && second == 1);
    OK(caster_node_on_message(node, NULL, &second, count_drop)); /* nothing to remove */
    CHECK(second == 2);
    OK(caster_node_on_message(node, be_slow, &first, NULL)); /* no hook */
    caster_node_free(node);
    CHECK(first == 1 && second == 2);
}

struct freeing {
    int freed, drops;
};

static void drop_freeing(void *user_data) { add(&((struct freeing *)user_data)->drops); }

static void free_itself(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct freeing *freeing = user_data;
    CHECK(get(&freeing->freed) == 0); /* nothing comes after the first one */
    caster_node_free(node);
    CHECK(get(&freeing->drops) == 0); /* this callback still uses it */
    TEXT(caster_event_name(event), "message");
    add(&freeing->freed);
}

static void free_inside_callback_does_not_deadlock(void) {
    int before = threads(), descriptors_before = descriptors();
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    struct freeing freeing = {0, 0};
    struct log log;
    note_everything(b, &log);
    OK(caster_node_on_message(a, free_itself, &freeing, drop_freeing));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&log.ups, 1);
    OK(caster_node_send_text(b, "go", NULL));
    OK(caster_node_send_text(b, "again", NULL));
    wait_for(&freeing.drops, 1);
    wait_for(&log.downs, 1); /* the node left */
    caster_node_free(b);
    wait_for_threads(before);
    CHECK(descriptors() == descriptors_before);
    CHECK(freeing.freed == 1 && freeing.drops == 1);
}

struct pair {
    caster_node_t *other;
    int *both_inside;
    int drops;
};

static void drop_pair(void *user_data) { add(&((struct pair *)user_data)->drops); }

static void free_the_other(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct pair *pair = user_data;
    (void)event;
    add(pair->both_inside);
    wait_for(pair->both_inside, 2);
    caster_node_free(pair->other);
    CHECK(caster_node_id(node)); /* a callback may use its node until it returns */
}

static void two_callbacks_may_free_each_others_nodes(void) {
    int before = threads(), both_inside = 0;
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    struct pair of_a = {NULL, NULL, 0}, of_b = {NULL, NULL, 0};
    of_a.other = b;
    of_b.other = a;
    of_a.both_inside = of_b.both_inside = &both_inside;
    OK(caster_node_on_up(a, free_the_other, &of_a, drop_pair));
    OK(caster_node_on_up(b, free_the_other, &of_b, drop_pair));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&of_a.drops, 1);
    wait_for(&of_b.drops, 1);
    wait_for_threads(before);
    CHECK(of_a.drops == 1 && of_b.drops == 1);
}

static void go_down_and_up(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)event;
    CHECK(caster_node_is_up(node));
    OK(caster_node_down(node));
    CHECK(!caster_node_is_up(node));
    OK(caster_node_up(node));
    OK(caster_node_send_text(node, "back", NULL));
    add(user_data);
}

static void down_and_up_inside_callback_work(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    struct log log;
    int times = 0;
    note_everything(b, &log);
    OK(caster_node_on_message(a, go_down_and_up, &times, NULL));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&log.ups, 1);
    OK(caster_node_send_text(b, "go", NULL));
    wait_for(&times, 1);
    wait_for(&log.messages, 1);
    CHECK(get(&log.downs) == 1 && get(&log.ups) == 2);
    CHECK(caster_node_is_up(a));
    OK(caster_node_send_text(b, "go", NULL));
    wait_for(&times, 2);
    caster_node_free(a);
    caster_node_free(b);
}

static void use_everything(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct log *log = user_data;
    caster_nodes_t *nodes = NULL;
    caster_peer_t *peer = NULL;
    caster_event_t *polled = NULL;
    caster_node_t *another = NULL;
    char *json = NULL;
    (void)event;
    OK(caster_node_on_up(node, NULL, NULL, NULL)); /* removes this very callback */
    CHECK(log->drops == 0); /* which still runs */
    OK(caster_node_on_message(node, note, log, NULL));
    OK(caster_node_nodes(node, &nodes));
    CHECK(caster_nodes_count(nodes) == 1);
    caster_nodes_free(nodes);
    OK(caster_node_get(node, "b", &peer));
    TEXT(caster_peer_id(peer), "b");
    caster_peer_free(peer);
    OK(caster_node_stats_json(node, &json));
    caster_string_free(json);
    OK(caster_node_set_meta_json(node, "1"));
    OK(caster_node_send_json(node, "[1]", NULL));
    FAILS(CASTER_ERR_EVENTS_TAKEN, "callbacks", caster_node_poll(node, -1, &polled));
    OK(caster_node_new(NULL, &another));
    caster_node_free(another);
    add(&log->ups);
}

static void a_callback_may_call_everything(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    struct log log;
    memset(&log, 0, sizeof log);
    OK(caster_node_on_up(a, use_everything, &log, count_log_drop));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    wait_for(&log.ups, 1);
    wait_for(&log.drops, 1);
    OK(caster_node_send_text(b, "hello", NULL));
    wait_for(&log.messages, 1);
    caster_node_free(a);
    caster_node_free(b);
    CHECK(log.ups == 1 && log.drops == 1);
}

static void hear(caster_t *caster, const caster_event_t *event, void *user_data) {
    CHECK(caster_is_bound(caster));
    TEXT(caster_event_remote_address(event), "127.0.0.1");
    add(user_data);
    if (get(user_data) == 2) {
        caster_free(caster);
    }
}

static void casters_have_callbacks_too(void) {
    int before = threads(), calls = 0, drops = 0;
    caster_t *a = make_caster(), *b = make_caster();
    caster_event_t *event = NULL;
    OK(caster_on_message(a, hear, &calls, NULL));
    OK(caster_on_error(a, hear, &drops, count_drop));
    FAILS(CASTER_ERR_EVENTS_TAKEN, "callbacks", caster_poll(a, 0, &event));
    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_send(b, (const uint8_t *)"1", 1, NULL));
    OK(caster_send(b, (const uint8_t *)"2", 1, NULL));
    wait_for(&drops, 1);
    CHECK(calls == 2);
    caster_free(b);
    wait_for_threads(before);
}

int main(void) {
    RUN(events_reach_callbacks_on_another_thread);
    RUN(a_slow_callback_stops_no_heartbeat);
    RUN(freeing_waits_for_the_callback_that_runs);
    RUN(each_registration_is_dropped_once);
    RUN(free_inside_callback_does_not_deadlock);
    RUN(two_callbacks_may_free_each_others_nodes);
    RUN(down_and_up_inside_callback_work);
    RUN(a_callback_may_call_everything);
    RUN(casters_have_callbacks_too);
    return 0;
}
