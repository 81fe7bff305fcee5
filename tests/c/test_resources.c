/* Descriptors, threads and counters over many lives, and what bad datagrams do. */
#include "check.h"

#include <fcntl.h>

static void note(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event;
    add(user_data);
}

static void up_and_down_again_leaks_nothing(void) {
    int i, before = descriptors(), threads_before = threads(), fd, up_descriptors = 0;
    caster_node_t *node = make_node("{}");
    OK(caster_node_fd(node, &fd));
    for (i = 0; i < 20; i++) {
        OK(caster_node_up(node));
        up_descriptors = up_descriptors ? up_descriptors : descriptors();
        CHECK(descriptors() == up_descriptors && threads() == threads_before + 1);
        OK(caster_node_send_text(node, "x", NULL));
        OK(caster_node_down(node));
        wait_for_threads(threads_before);
    }
    caster_node_free(node);
    CHECK(descriptors() == before);
    wait_for_threads(threads_before);
}

static void callbacks_have_one_thread_that_ends_with_the_node(void) {
    int i, before = descriptors(), threads_before = threads(), events = 0;
    caster_node_t *node = make_node("{}");
    OK(caster_node_on_up(node, note, &events, NULL));
    OK(caster_node_on_down(node, note, &events, NULL));
    CHECK(threads() == threads_before + 1);
    for (i = 0; i < 5; i++) {
        OK(caster_node_up(node));
        CHECK(threads() == threads_before + 2);
        OK(caster_node_down(node));
        wait_for_threads(threads_before + 1);
    }
    caster_node_free(node);
    wait_for_threads(threads_before);
    CHECK(descriptors() == before);
}

static void a_hundred_lives_leak_nothing(void) {
    int i, before = descriptors(), threads_before = threads();
    for (i = 0; i < 100; i++) {
        caster_node_t *node = make_node("{}");
        caster_t *caster = make_caster();
        OK(caster_node_up(node));
        OK(caster_bind(caster));
        caster_node_free(node);
        caster_free(caster);
    }
    CHECK(descriptors() == before);
    wait_for_threads(threads_before);
}

/* Every datagram received is in exactly one counter. */
static void check_sum(const caster_node_t *node) {
    char *json = NULL, *at;
    unsigned long dropped = 0;
    OK(caster_node_stats_json(node, &json));
    at = strstr(json, "\"dropped\":{");
    CHECK(at);
    for (at += strlen("\"dropped\":{"); *at != '}'; at++) {
        if (*at == ':') {
            dropped += strtoul(at + 1, NULL, 10);
        }
    }
    CHECK(number_after(json, "received") == number_after(json, "accepted") + dropped);
    caster_string_free(json);
}

static void garbage_is_counted_by_reason(void) {
    static const struct {
        const char *payload, *reason;
    } cases[] = {
        {"not json", "notJson"},
        {"null", "notAnObject"},
        {"[1]", "notAnObject"},
        {"{}", "noId"},
        {"{\"id\":null}", "noId"},
        {"{\"id\":{\"toString\":1}}", "badId"},
        {"{\"id\":\"ghost\",\"suicide\":true}", "unknownGoodbye"},
    };
    static const char *const odd_ids[] = {"hasOwnProperty", "__proto__", "constructor"};
    caster_node_t *node = make_node("{\"id\": \"me\", \"expose\": false}");
    caster_node_t *friend = make_node("{\"id\": \"friend\"}");
    caster_node_t *foreign = make_node("{\"id\": \"foreign\", \"hashSecret\": \"other\"}");
    caster_node_t *secret = make_node("{\"id\": \"secret\", \"crypto\": true, \"expose\": false}");
    caster_t *raw = make_caster(), *hashed = make_caster();
    caster_nodes_t *nodes = NULL;
    caster_event_t *event;
    size_t i;
    OK(caster_use_hash(hashed, NULL, NULL));
    OK(caster_bind(raw));
    OK(caster_bind(hashed));
    OK(caster_node_up(node));
    OK(caster_node_up(secret));

    OK(caster_send(raw, (const uint8_t *)"abc", 3, NULL));
    wait_for_stat(node, "truncated", 1);
    OK(caster_send(raw, NULL, 0, NULL));
    wait_for_stat(node, "truncated", 2);
    OK(caster_send(raw, (const uint8_t *)"forty bytes of which none is a good hash", 40, NULL));
    wait_for_stat(node, "hash", 1);
    wait_for_stat(secret, "decrypt", 2); /* an empty one and odd sizes do not decrypt */
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned long before = node_stat(node, cases[i].reason);
        const char *payload = cases[i].payload;
        OK(caster_send(hashed, (const uint8_t *)payload, strlen(payload), NULL));
        wait_for_stat(node, cases[i].reason, before + 1);
    }
    CHECK(node_stat(node, "accepted") == 0);
    for (i = 0; i < sizeof odd_ids / sizeof *odd_ids; i++) {
        char payload[64];
        sprintf(payload, "{\"id\":\"%s\",\"meta\":{}}", odd_ids[i]);
        OK(caster_send(hashed, (const uint8_t *)payload, strlen(payload), NULL));
        event = next_event(node, CASTER_EVENT_UP);
        TEXT(caster_peer_id(caster_event_peer(event)), odd_ids[i]);
        caster_event_free(event);
    }

    OK(caster_node_up(foreign));
    wait_for_stat(node, "hash", 3);
    OK(caster_node_up(friend));
    event = next_event(node, CASTER_EVENT_UP);
    TEXT(caster_peer_id(caster_event_peer(event)), "friend");
    caster_event_free(event);
    OK(caster_node_nodes(node, &nodes));
    CHECK(caster_nodes_count(nodes) == 4);
    caster_nodes_free(nodes);
    OK(caster_node_down(foreign));
    OK(caster_node_down(friend));
    caster_event_free(next_event(node, CASTER_EVENT_DOWN));
    OK(caster_node_down(node)); /* nothing is on its way any more */
    check_sum(node);
    caster_node_free(node);
    caster_node_free(friend);
    caster_node_free(foreign);
    caster_node_free(secret);
    caster_free(raw);
    caster_free(hashed);
}

static void descriptors_are_closed_on_exec(void) {
    caster_node_t *node = make_node("{}");
    char before[256];
    int fd, mine = 0;
    for (fd = 0; fd < 256; fd++) {
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    OK(caster_node_fd(node, &fd));
    OK(caster_node_up(node));
    for (fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !before[fd]) {
            CHECK(flags & FD_CLOEXEC);
            mine++;
        }
    }
    CHECK(mine >= 2);
    caster_node_free(node);
}

int main(void) {
    RUN(up_and_down_again_leaks_nothing);
    RUN(callbacks_have_one_thread_that_ends_with_the_node);
    RUN(a_hundred_lives_leak_nothing);
    RUN(garbage_is_counted_by_reason);
    RUN(descriptors_are_closed_on_exec);
    return 0;
}
