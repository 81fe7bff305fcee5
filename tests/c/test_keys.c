/* Secure mode: keys change while nodes talk, casters are sealed, and a key is in no text. */
#include "check.h"

/* A key that is easy to recognize, and what a text may show of it. */
static uint8_t marker[32];
static char hex[65];

static void check_hidden(const char *text) {
    char upper[17];
    int at;
    if (!text) {
        return;
    }
    for (at = 0; at < 16; at++) {
        upper[at] = hex[at] >= 'a' ? (char)(hex[at] - 'a' + 'A') : hex[at];
    }
    upper[16] = 0;
    if (strstr(text, "8182838485868788") || strstr(text, upper) ||
        strstr(text, "gYKDhIWGh4iJ") || strstr(text, "129, 130, 131") || strstr(text, "129,130,131") ||
        strstr(text, "\x81\x82\x83\x84")) {
        fprintf(stderr, "the key is in: %s\n", text);
        exit(1);
    }
}

static void note_line(int level, const char *text, void *lines) {
    (void)level;
    check_hidden(text);
    add((int *)lines);
}

#define HIDDEN(call) (CHECK((call) != CASTER_OK), check_hidden(caster_last_error()))

static caster_node_t *sealed_node(const char *json, const uint8_t *key) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    stay_on_loopback(options);
    OK(caster_options_set_int(options, "heartbeat", 200));
    OK(caster_options_set_int(options, "timeout", 3000));
    OK(caster_options_merge_json(options, json));
    OK(caster_options_add_key(options, key, 32));
    OK(caster_node_new(options, &node));
    caster_options_free(options);
    return node;
}

static void await_key(const caster_node_t *node, const char *id, char *other) {
    long end = now_ms() + DEADLINE_MS;
    for (;;) {
        char *key = NULL;
        OK(caster_node_key_of(node, id, &key));
        if (key && strcmp(key, other) != 0) {
            CHECK(strlen(key) == 8);
            strcpy(other, key);
            caster_string_free(key);
            return;
        }
        caster_string_free(key);
        CHECK(now_ms() < end);
        sleep_ms(20);
    }
}

static void keys_change_while_nodes_talk(void) {
    uint8_t old[32], new[32];
    caster_node_t *a, *b, *plain = make_node("{\"id\": \"plain\"}");
    caster_event_t *event;
    char key[9] = "", former[9], *none = NULL;
    OK(caster_generate_key(old));
    OK(caster_generate_key(new));
    CHECK(memcmp(old, new, 32) != 0);
    a = sealed_node("{\"id\": \"a\"}", old);
    b = sealed_node("{\"id\": \"b\"}", old);
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    caster_event_free(next_event(a, CASTER_EVENT_UP));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    await_key(a, "b", key);
    strcpy(former, key);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "not in the ring", caster_node_use_key(a, new, 32));
    OK(caster_node_add_key(a, new, 32));
    OK(caster_node_add_key(b, new, 32));
    sleep_ms(1000); /* heartbeats name the keys that may come next */
    OK(caster_node_use_key(a, new, 32));
    OK(caster_node_use_key(b, new, 32));
    await_key(a, "b", key);
    CHECK(strcmp(key, former) != 0);
    OK(caster_node_send_text(a, "under the new key", NULL));
    event = next_event(b, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "\"under the new key\"");
    caster_event_free(event);
    OK(caster_node_remove_key(a, old, 32));
    OK(caster_node_remove_key_now(b, old, 32));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "seals", caster_node_remove_key(a, new, 32));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "seals", caster_node_remove_key_now(a, new, 32));
    OK(caster_node_send_text(a, "and after", NULL));
    event = next_event(b, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "\"and after\"");
    caster_event_free(event);
    OK(caster_node_key_of(a, "z", &none));
    CHECK(!none);
    FAILS(CASTER_ERR_INVALID_OPTION, "without keys", caster_node_add_key(plain, new, 32));
    caster_node_free(a);
    caster_node_free(b);
    caster_node_free(plain);
}

static void await_nodes(const caster_node_t *node, size_t count) {
    long end = now_ms() + DEADLINE_MS;
    while (caster_node_count(node) != count) {
        CHECK(now_ms() < end);
        sleep_ms(20);
    }
}

/* A node in migration has peers with keys and peers without. */
static void a_node_in_migration_knows_old_and_sealed_ones(void) {
    uint8_t key[32];
    char *of = NULL, json[80];
    caster_stats_t stats;
    caster_options_t *options = caster_options_new_node();
    caster_node_t *both, *new, *old = NULL;
    OK(caster_generate_key(key));
    stay_on_loopback(options);
    OK(caster_options_set_int(options, "port", test_port() + 2));
    OK(caster_options_merge_json(options, "{\"id\": \"old\", \"heartbeat\": 200, \"timeout\": 3000}"));
    OK(caster_node_new(options, &old));
    caster_options_free(options);
    sprintf(json, "{\"id\": \"both\", \"plain\": \"send\", \"plainPort\": %d}", test_port() + 2);
    both = sealed_node(json, key);
    new = sealed_node("{\"id\": \"new\"}", key);
    OK(caster_node_up(old));
    OK(caster_node_up(both));
    OK(caster_node_up(new));
    await_nodes(both, 2);
    await_nodes(old, 1);
    await_nodes(new, 1);
    OK(caster_node_key_of(both, "old", &of));
    CHECK(!of);
    stats.size = sizeof(stats);
    OK(caster_node_stats(both, &stats));
    CHECK(stats.nodes == 2 && stats.plain_nodes == 1);
    OK(caster_node_forget_sealed(both, "new")); /* it is up: no effect */
    OK(caster_node_down(new));
    await_nodes(both, 1);
    OK(caster_node_forget_sealed(both, "new"));
    caster_node_free(old);
    caster_node_free(both);
    caster_node_free(new);
}

/* Nodes take nothing from a bare caster, because it cannot prove that it is there now, unless an option says so. */
static void casters_are_sealed_and_nodes_take_nothing_from_them(void) {
    caster_options_t *options = caster_options_new_caster();
    caster_node_t *node = sealed_node("{\"id\": \"n\"}", marker), *peer;
    caster_t *a = NULL, *b = NULL, *plain = make_caster();
    caster_event_t *event;
    char *json = NULL;
    stay_on_loopback(options);
    OK(caster_options_add_key(options, marker, 32));
    OK(caster_new(options, &a));
    OK(caster_new(options, &b));
    OK(caster_use_json(a));
    OK(caster_use_json(b));
    OK(caster_use_json(plain));
    OK(caster_middleware_json(a, &json));
    CHECK(strstr(json, "json") < strstr(json, "secure"));
    caster_string_free(json);
    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_bind(plain));
    OK(caster_send_json(plain, "{\"id\":\"x\",\"message\":\"forged\"}", NULL));
    OK(caster_send_json(a, "{\"id\":\"x\",\"message\":1}", NULL));
    event = next_message(b);
    TEXT(caster_event_message_json(event), "{\"id\":\"x\",\"message\":1}");
    caster_event_free(event);
    OK(caster_node_up(node));
    sleep_ms(300);
    OK(caster_send_json(a, "{\"id\":\"x\",\"message\":2}", NULL));
    event = next_event(node, CASTER_EVENT_HINT);
    CHECK(strstr(caster_event_hint_text(event), "a bare caster"));
    caster_event_free(event);
    wait_for_stat(node, "unproven", 1);
    OK(caster_node_down(node));
    caster_node_free(node);
    node = sealed_node("{\"id\": \"n\", \"unproven\": \"deliver\"}", marker);
    peer = sealed_node("{\"id\": \"m\"}", marker);
    OK(caster_node_up(node));
    OK(caster_node_up(peer));
    await_nodes(node, 1);
    await_nodes(peer, 1);
    OK(caster_send_json(a, "{\"id\":\"x\",\"message\":3}", NULL));
    event = next_event(node, CASTER_EVENT_MESSAGE);
    TEXT(caster_peer_id(caster_event_peer(event)), "x");
    TEXT(caster_event_message_json(event), "3");
    CHECK(caster_event_is_sealed(event) == 1 && caster_event_is_fresh(event) == 0);
    caster_event_free(event);
    OK(caster_node_send_json(peer, "4", NULL));
    event = next_event(node, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "4");
    CHECK(caster_event_is_sealed(event) == 1 && caster_event_is_fresh(event) == 1);
    caster_event_free(event);
    CHECK(caster_event_is_sealed(NULL) == 0 && caster_event_is_fresh(NULL) == 0);
    caster_node_free(peer);
    caster_options_free(options);
    caster_free(a);
    caster_free(b);
    caster_free(plain);
    caster_node_free(node);
}

static caster_node_t *signing_node(const char *json, const uint8_t *seed, const char *trusted) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    stay_on_loopback(options);
    OK(caster_options_set_int(options, "heartbeat", 200));
    OK(caster_options_set_int(options, "timeout", 3000));
    OK(caster_options_set_bool(options, "signMessages", 1));
    OK(caster_options_merge_json(options, json));
    OK(caster_options_add_key(options, marker, 32));
    OK(caster_options_set_identity(options, seed, 32));
    if (trusted) {
        OK(caster_options_add_trusted(options, trusted));
    }
    OK(caster_node_new(options, &node));
    caster_options_free(options);
    return node;
}

/* A member that takes the id of another one has no effect, and a list keeps others out. */
static void nodes_sign_and_verify(void) {
    uint8_t of_a[32], of_b[32], of_c[32];
    char *public_a = NULL, *public_b = NULL, *found = NULL;
    caster_node_t *a, *b, *c;
    caster_event_t *event;
    OK(caster_generate_identity(of_a));
    OK(caster_generate_identity(of_b));
    OK(caster_generate_identity(of_c));
    CHECK(memcmp(of_a, of_b, 32) != 0);
    OK(caster_public_key(of_a, 32, &public_a));
    OK(caster_public_key(of_b, 32, &public_b));
    CHECK(strlen(public_a) == 64 && strcmp(public_a, public_b) != 0);
    FAILS(CASTER_ERR_INVALID_OPTION, "32", caster_public_key(of_a, 31, &found));
    CHECK(found == NULL);
    a = signing_node("{\"id\": \"a\"}", of_a, public_b);
    b = signing_node("{\"id\": \"b\"}", of_b, NULL);
    c = signing_node("{\"id\": \"b\"}", of_c, NULL);
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    await_nodes(a, 1);
    await_nodes(b, 1);
    OK(caster_node_identity_of(a, "b", &found));
    TEXT(found, public_b);
    caster_string_free(found);
    OK(caster_node_identity_of(a, "z", &found));
    CHECK(found == NULL);
    OK(caster_node_up(c));
    wait_for_stat(a, "identity", 3);
    OK(caster_node_send_json(c, "\"forged\"", NULL));
    OK(caster_node_send_json(b, "1", NULL));
    event = next_event(a, CASTER_EVENT_MESSAGE);
    TEXT(caster_event_message_json(event), "1");
    CHECK(caster_event_is_signed(event) == 1 && caster_event_is_fresh(event) == 1);
    caster_event_free(event);
    CHECK(caster_event_is_signed(NULL) == 0);
    caster_string_free(public_a);
    caster_string_free(public_b);
    caster_node_free(a);
    caster_node_free(b);
    caster_node_free(c);
}

static void a_key_is_in_no_text(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *a = sealed_node("{\"id\": \"a\"}", marker), *b = sealed_node("{\"id\": \"b\"}", marker);
    char *json = NULL, text[80];
    HIDDEN(caster_options_add_key(options, marker, 31));
    HIDDEN(caster_options_add_key_text(options, hex + 1));
    sprintf(text, "%sx", hex);
    HIDDEN(caster_options_add_key_text(options, text));
    HIDDEN(caster_options_set_string(options, "keys", hex));
    HIDDEN(caster_options_set_string(options, "key", hex));
    HIDDEN(caster_options_set_bytes(options, "keys", marker, 32));
    HIDDEN(caster_options_add_key_file(options, hex + 60));
    HIDDEN(caster_options_set_identity(options, marker, 31));
    HIDDEN(caster_options_set_identity_text(options, hex + 1));
    HIDDEN(caster_options_set_string(options, "identity", hex));
    HIDDEN(caster_options_set_identity_file(options, hex + 60));
    HIDDEN(caster_public_key(marker, 31, &json));
    OK(caster_options_set_identity(options, marker, 32));
    OK(caster_options_add_key(options, marker, 32));
    caster_node_t *none = NULL;
    HIDDEN(caster_node_new(options, &none)); /* the seed is one of the keys */
    HIDDEN(caster_node_add_key(a, marker, 32));
    HIDDEN(caster_node_add_key(a, marker, 31));
    HIDDEN(caster_node_use_key(a, marker, 30));
    HIDDEN(caster_node_remove_key(a, marker, 32));
    HIDDEN(caster_node_remove_key_now(a, marker, 32));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    caster_event_free(next_event(a, CASTER_EVENT_UP));
    OK(caster_node_send_text(a, "hello", NULL));
    wait_for_stat(b, "accepted", 2);
    OK(caster_node_stats_json(a, &json));
    check_hidden(json);
    caster_string_free(json);
    OK(caster_node_middleware_json(a, &json));
    check_hidden(json);
    caster_string_free(json);
    OK(caster_node_meta_json(a, &json));
    check_hidden(json);
    caster_string_free(json);
    OK(caster_node_down(b));
    OK(caster_node_down(a));
    caster_options_free(options);
    caster_node_free(a);
    caster_node_free(b);
}

int main(void) {
    int at, lines = 0;
    for (at = 0; at < 32; at++) {
        marker[at] = (uint8_t)(0x81 + at);
        sprintf(hex + 2 * at, "%02x", marker[at]);
    }
    OK(caster_set_log(CASTER_LOG_TRACE, note_line, &lines, NULL));
    a_key_is_in_no_text();
    casters_are_sealed_and_nodes_take_nothing_from_them();
    keys_change_while_nodes_talk();
    nodes_sign_and_verify();
    a_node_in_migration_knows_old_and_sealed_ones();
    CHECK(get(&lines) > 20);
    OK(caster_set_log(CASTER_LOG_OFF, NULL, NULL, NULL));
    return 0;
}
