/* Casters, the built-in middleware and middleware written in C. */
#include "check.h"

#include <poll.h>

/* A middleware that turns every byte around and puts a mark in front. */
struct mask {
    uint8_t byte;
    int tx, rx, drops;
};

static void drop_mask(void *user_data) { add(&((struct mask *)user_data)->drops); }

static int mask_tx(caster_message_t *message, void *user_data) {
    struct mask *mask = user_data;
    size_t i, size = caster_message_size(message);
    const uint8_t *data = caster_message_data(message);
    uint8_t *masked = malloc(size + 1);
    CHECK(masked && !caster_message_is_json(message) && !caster_message_remote_address(message));
    CHECK(caster_message_remote_port(message) == 0);
    masked[0] = '!';
    for (i = 0; i < size; i++) {
        masked[i + 1] = data[i] ^ mask->byte;
    }
    OK(caster_message_set_bytes(message, masked, size + 1));
    free(masked);
    add(&mask->tx);
    return 0;
}

static int mask_rx(caster_message_t *message, void *user_data) {
    struct mask *mask = user_data;
    size_t i, size = caster_message_size(message);
    const uint8_t *data = caster_message_data(message);
    uint8_t *plain;
    TEXT(caster_message_remote_address(message), "127.0.0.1");
    CHECK(caster_message_remote_port(message) > 0);
    add(&mask->rx);
    if (size < 1 || data[0] != '!') {
        return -1;
    }
    /* The message may be set from a part of itself. */
    OK(caster_message_set_bytes(message, data + 1, size - 1));
    data = caster_message_data(message);
    plain = malloc(size);
    CHECK(plain);
    for (i = 0; i < size - 1; i++) {
        plain[i] = data[i] ^ mask->byte;
    }
    OK(caster_message_set_bytes(message, plain, size - 1));
    free(plain);
    return 0;
}

static unsigned long caster_stat(const caster_t *caster, const char *key) {
    char *json = NULL;
    unsigned long number;
    OK(caster_stats_json(caster, &json));
    number = number_after(json, key);
    caster_string_free(json);
    return number;
}

static void bytes_arrive_as_they_were_sent(void) {
    caster_t *a = make_caster(), *b = make_caster();
    caster_event_t *event;
    size_t bytes = 7;
    FAILS(CASTER_ERR_NOT_BOUND, "not bound", caster_send(a, (const uint8_t *)"x", 1, &bytes));
    FAILS(CASTER_ERR_NOT_BOUND, "not bound", caster_close(a));
    FAILS(CASTER_ERR_NOT_BOUND, "not bound", caster_poll(a, -1, &event));
    CHECK(bytes == 7 && !caster_is_bound(a));
    OK(caster_bind(a));
    OK(caster_bind(b));
    FAILS(CASTER_ERR_ALREADY_BOUND, "already bound", caster_bind(a));
    CHECK(caster_is_bound(a));
    OK(caster_send(a, (const uint8_t *)"a\0\xff", 3, &bytes));
    CHECK(bytes == 3);
    event = next_message(b);
    CHECK(caster_event_message_size(event) == 3 && !caster_event_message_json(event));
    CHECK(memcmp(caster_event_message_data(event), "a\0\xff", 4) == 0); /* and a NUL */
    TEXT(caster_event_remote_address(event), "127.0.0.1");
    CHECK(caster_event_remote_port(event) == test_port() && caster_event_remote_size(event) == 3);
    CHECK(!caster_event_peer(event));
    caster_event_free(event);
    OK(caster_send(a, NULL, 0, &bytes));
    CHECK(bytes == 0);
    event = next_message(b);
    CHECK(caster_event_message_size(event) == 0 && caster_event_message_data(event));
    caster_event_free(event);
    FAILS(CASTER_ERR_MIDDLEWARE, "json", caster_send_json(a, "{}", NULL));
    OK(caster_close(a));
    OK(caster_bind(a));
    caster_free(a);
    caster_free(b);
}

static void json_hash_and_crypto_work_together(void) {
    caster_t *casters[2];
    caster_event_t *event;
    struct pollfd wait;
    int i;
    for (i = 0; i < 2; i++) {
        casters[i] = make_caster();
        OK(caster_use_json(casters[i]));
        FAILS(CASTER_ERR_INVALID_OPTION, "sha256", caster_use_hash(casters[i], "s", "sha3"));
        FAILS(CASTER_ERR_INVALID_OPTION, "aes128", caster_use_crypto(casters[i], "k", "des3"));
        OK(caster_use_hash(casters[i], "secret", "sha256"));
        FAILS(CASTER_ERR_MIDDLEWARE, "in use", caster_use_hash(casters[i], NULL, NULL));
        OK(caster_use_crypto(casters[i], "key", NULL));
        FAILS(CASTER_ERR_MIDDLEWARE, "in use", caster_use_json(casters[i]));
    }
    OK(caster_fd(casters[1], &wait.fd));
    wait.events = POLLIN;
    OK(caster_bind(casters[0]));
    OK(caster_bind(casters[1]));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "JSON", caster_send_json(casters[0], "{", NULL));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "JSON", caster_send_json(casters[0], "[NaN]", NULL));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "JSON", caster_send_json(casters[0], "-Infinity", NULL));
    OK(caster_send_json(casters[0], "{\"a\": [\"\xc3\xa9\"]}", NULL));
    CHECK(poll(&wait, 1, DEADLINE_MS) == 1);
    event = next_message(casters[1]);
    TEXT(caster_event_message_json(event), "{\"a\":[\"\\u00e9\"]}");
    caster_event_free(event);
    caster_free(casters[0]);
    caster_free(casters[1]);
}

static void a_middleware_in_c_changes_messages(void) {
    static struct mask masks[2] = {{0x5a, 0, 0, 0}, {0x5a, 0, 0, 0}};
    caster_t *a = make_caster(), *b = make_caster(), *plain = make_caster();
    caster_event_t *event;
    size_t bytes = 0;
    OK(caster_use_json(a));
    OK(caster_use(a, "mask", mask_tx, mask_rx, &masks[0], drop_mask));
    OK(caster_use_json(b));
    OK(caster_use(b, "mask", mask_tx, mask_rx, &masks[1], drop_mask));
    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_bind(plain));
    OK(caster_send_json(a, "[true]", &bytes));
    CHECK(bytes == 7 && get(&masks[0].tx) == 1);
    event = next_message(b);
    TEXT(caster_event_message_json(event), "[true]");
    caster_event_free(event);
    event = next_message(plain); /* what is on the wire */
    CHECK(caster_event_message_size(event) == 7);
    CHECK(memcmp(caster_event_message_data(event), "!\x01.(/?\x07", 7) == 0);
    caster_event_free(event);

    OK(caster_send(plain, (const uint8_t *)"[true]", 6, NULL)); /* without a mark */
    OK(caster_send_json(a, "2", NULL));
    event = next_message(b);
    TEXT(caster_event_message_json(event), "2");
    caster_event_free(event);
    CHECK(get(&masks[1].rx) == 3);
    CHECK(caster_stat(b, "middleware") == 1 && caster_stat(b, "accepted") == 2);
    CHECK(caster_stat(b, "received") == 3);
    caster_free(plain);
    caster_free(a);
    CHECK(masks[0].drops == 1 && masks[1].drops == 0);
    caster_free(b);
    CHECK(masks[0].drops == 1 && masks[1].drops == 1);
}

static int refuse(caster_message_t *message, void *user_data) {
    (void)message;
    add(user_data);
    return 42;
}

static void a_refusal_reaches_the_sender(void) {
    caster_t *caster = make_caster();
    int calls = 0;
    size_t bytes = 7;
    OK(caster_use(caster, "wall", refuse, NULL, &calls, NULL));
    OK(caster_bind(caster));
    FAILS(CASTER_ERR_MIDDLEWARE, "the middleware wall turned it away with 42",
          caster_send(caster, (const uint8_t *)"x", 1, &bytes));
    CHECK(calls == 1 && bytes == 7 && caster_stat(caster, "sent") == 0);
    caster_free(caster);
}

static int to_json(caster_message_t *message, void *user_data) {
    (void)user_data;
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not valid JSON", caster_message_set_json(message, "{"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "json is NULL", caster_message_set_json(message, NULL));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "message is NULL", caster_message_set_json(NULL, "1"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "data is NULL", caster_message_set_bytes(message, NULL, 1));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "message is NULL", caster_message_set_bytes(NULL, NULL, 0));
    CHECK(caster_message_size(message) == 1);
    OK(caster_message_set_json(message, "{\"made\":\"here\"}"));
    CHECK(caster_message_is_json(message) && caster_message_size(message) == 15);
    return 0;
}

static void a_middleware_may_make_json(void) {
    caster_t *a = make_caster(), *b = make_caster();
    caster_event_t *event;
    OK(caster_use(b, "made", NULL, to_json, NULL, NULL));
    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_send(a, (const uint8_t *)"x", 1, NULL));
    event = next_message(b);
    TEXT(caster_event_message_json(event), "{\"made\":\"here\"}");
    caster_event_free(event);
    caster_free(a);
    caster_free(b);
}

static void nodes_take_middleware_too(void) {
    static struct mask masks[2] = {{0x11, 0, 0, 0}, {0x11, 0, 0, 0}};
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    caster_node_t *stranger = make_node("{\"id\": \"stranger\"}");
    caster_event_t *event;
    caster_nodes_t *nodes = NULL;
    OK(caster_node_use(a, "mask", mask_tx, mask_rx, &masks[0], drop_mask));
    OK(caster_node_use(b, "mask", mask_tx, mask_rx, &masks[1], drop_mask));
    FAILS(CASTER_ERR_MIDDLEWARE, "in use",
          caster_node_use(b, "hash", mask_tx, mask_rx, NULL, NULL));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    OK(caster_node_up(stranger));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    OK(caster_node_send_json(a, "{\"deep\":[[]]}", NULL));
    event = next_event(b, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "{\"deep\":[[]]}");
    caster_event_free(event);
    wait_for_stat(b, "middleware", 2);
    wait_for_stat(stranger, "hash", 2);
    OK(caster_node_nodes(b, &nodes));
    CHECK(caster_nodes_count(nodes) == 1);
    caster_nodes_free(nodes);
    OK(caster_node_down(a)); /* the leave message passes the middleware, too */
    event = next_event(b, CASTER_EVENT_DOWN);
    CHECK(caster_event_reason(event) == CASTER_REASON_GOODBYE);
    caster_event_free(event);
    caster_node_free(stranger);
    caster_node_free(a);
    caster_node_free(b);
    CHECK(masks[0].drops == 1 && masks[1].drops == 1);
}

static int fail_heartbeats(caster_message_t *message, void *user_data) {
    (void)message;
    return get(user_data);
}

static void what_an_operator_can_mend_is_an_event(void) {
    caster_node_t *node = make_node("{}");
    caster_event_t *event;
    int broken = 1;
    OK(caster_node_use(node, "broken", fail_heartbeats, NULL, &broken, NULL));
    OK(caster_node_up(node));
    event = next_event(node, CASTER_EVENT_ERROR);
    TEXT(caster_event_name(event), "error");
    CHECK(caster_event_error_status(event) == CASTER_ERR_MIDDLEWARE);
    TEXT(caster_event_error_text(event), "the middleware broken turned it away with 1");
    CHECK(caster_event_error_os(event) == 0 && !caster_event_peer(event));
    caster_event_free(event);
    set(&broken, 0);
    caster_node_free(node);
}

int main(void) {
    RUN(bytes_arrive_as_they_were_sent);
    RUN(json_hash_and_crypto_work_together);
    RUN(a_middleware_in_c_changes_messages);
    RUN(a_refusal_reaches_the_sender);
    RUN(a_middleware_may_make_json);
    RUN(nodes_take_middleware_too);
    RUN(what_an_operator_can_mend_is_an_event);
    return 0;
}
