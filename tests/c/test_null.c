/* NULL in every place of every function, and what else must not crash. */
#define CASTER_NO_NULLABILITY /* clang would complain about every line */
#include "check.h"

#define INVALID(part, call) FAILS(CASTER_ERR_INVALID_ARGUMENT, part, call)

static void node_callback(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

static void callback(caster_t *caster, const caster_event_t *event, void *user_data) {
    (void)caster, (void)event, (void)user_data;
}

static const uint8_t key[32] = {0x9D, 0x02, 0xF1, 0x80};

static int pass(caster_message_t *message, void *user_data) {
    (void)message, (void)user_data;
    return 0;
}

static void null_is_freed_without_effect(void) {
    caster_string_free(NULL);
    caster_options_free(NULL);
    caster_peer_free(NULL);
    caster_nodes_free(NULL);
    caster_event_free(NULL);
    caster_node_free(NULL);
    caster_free(NULL);
    caster_network_free(NULL);
}

static void accessors_of_null_give_nothing(void) {
    CHECK(!caster_peer_id(NULL) && !caster_peer_id_json(NULL));
    CHECK(!caster_peer_address(NULL) && !caster_peer_meta_json(NULL) && !caster_peer_dup(NULL));
    CHECK(!caster_peer_first_seen_ms(NULL) && !caster_peer_last_seen_ms(NULL));
    CHECK(!caster_peer_is_suspect(NULL) && caster_peer_loss(NULL) == 0);
    CHECK(!caster_peer_address_count(NULL) && !caster_peer_address_at(NULL, 0));
    CHECK(!caster_peer_interface_at(NULL, 0) && !caster_peer_last_seen_at_ms(NULL, 0));
    CHECK(!caster_peer_meta_has(NULL, "type", NULL));
    CHECK(!caster_nodes_count(NULL) && !caster_nodes_at(NULL, 0));
    CHECK(!caster_event_type(NULL) && !caster_event_name(NULL) && !caster_event_peer(NULL));
    CHECK(!caster_event_message_json(NULL) && !caster_event_message_data(NULL));
    CHECK(!caster_event_message_size(NULL) && !caster_event_changed(NULL));
    CHECK(!caster_event_reason(NULL) && !caster_event_reason_name(NULL));
    CHECK(!caster_event_remote_address(NULL) && !caster_event_remote_port(NULL));
    CHECK(!caster_event_remote_size(NULL) && !caster_event_error_status(NULL));
    CHECK(!caster_event_error_text(NULL) && !caster_event_error_os(NULL));
    CHECK(!caster_event_conflict_id(NULL) && !caster_event_conflict_id_json(NULL));
    CHECK(!caster_event_conflict_address(NULL) && !caster_event_hint_text(NULL));
    CHECK(!caster_event_remote_interface(NULL) && !caster_event_error_syscall(NULL));
    CHECK(!caster_event_dup(NULL) && !caster_options_dup(NULL));
    CHECK(!caster_message_data(NULL) && !caster_message_size(NULL));
    CHECK(!caster_message_is_json(NULL) && !caster_message_remote_address(NULL));
    CHECK(!caster_message_remote_port(NULL) && !caster_message_remote_interface(NULL));
    CHECK(!caster_message_remote_size(NULL));
    CHECK(!caster_node_multicast(NULL) && !caster_node_address(NULL) && !caster_node_port(NULL));
    CHECK(!caster_node_loopback(NULL) && !caster_node_ttl(NULL) && !caster_node_is_exposed(NULL));
    CHECK(!caster_node_heartbeat_ms(NULL) && !caster_node_timeout_ms(NULL));
    CHECK(!caster_node_count(NULL) && !caster_node_last_seen_ms(NULL, "a"));
    CHECK(!caster_multicast(NULL) && !caster_address(NULL) && !caster_port(NULL));
    CHECK(!caster_loopback(NULL) && !caster_ttl(NULL) && !caster_network_now_ms(NULL));
    CHECK(!caster_node_is_up(NULL) && !caster_node_id(NULL) && !caster_is_bound(NULL));
    CHECK(!caster_last_syscall());
    TEXT(caster_last_error(), ""); /* asking is no failure */
}

static void null_options_are_refused(void) {
    caster_options_t *options = caster_options_new_node();
    char *text = NULL;
    INVALID("options is NULL", caster_options_set_string(NULL, "id", "a"));
    INVALID("name is NULL", caster_options_set_string(options, NULL, "a"));
    INVALID("value is NULL", caster_options_set_string(options, "id", NULL));
    INVALID("value has 0xFF, which is not valid UTF-8, at byte 2; a text is UTF-8 without NUL",
            caster_options_set_string(options, "id", "ab\xff"));
    INVALID("value has a NUL at byte 1", caster_options_set_string(options, "id", "a\xc0\x80"));
    INVALID("options is NULL", caster_options_set_int(NULL, "port", 1));
    INVALID("name is NULL", caster_options_set_int(options, NULL, 1));
    INVALID("options is NULL", caster_options_set_bool(NULL, "hash", 1));
    INVALID("name is NULL", caster_options_set_bool(options, NULL, 1));
    INVALID("options is NULL", caster_options_set_json(NULL, "meta", "1"));
    INVALID("name is NULL", caster_options_set_json(options, NULL, "1"));
    INVALID("json is NULL", caster_options_set_json(options, "meta", NULL));
    INVALID("options is NULL", caster_options_merge_json(NULL, "{}"));
    INVALID("object is NULL", caster_options_merge_json(options, NULL));
    INVALID("options is NULL", caster_options_set_bytes(NULL, "cryptoKey", NULL, 0));
    INVALID("name is NULL", caster_options_set_bytes(options, NULL, NULL, 0));
    INVALID("data is NULL", caster_options_set_bytes(options, "cryptoKey", NULL, 1));
    OK(caster_options_set_bytes(options, "cryptoKey", NULL, 0));
    INVALID("options is NULL", caster_options_add_key(NULL, key, sizeof key));
    INVALID("key is NULL", caster_options_add_key(options, NULL, 32));
    FAILS(CASTER_ERR_INVALID_OPTION, "32", caster_options_add_key(options, NULL, 0));
    FAILS(CASTER_ERR_INVALID_OPTION, "32", caster_options_add_key(options, key, 31));
    INVALID("options is NULL", caster_options_add_key_text(NULL, "a"));
    INVALID("key is NULL", caster_options_add_key_text(options, NULL));
    INVALID("options is NULL", caster_options_add_key_file(NULL, "a"));
    INVALID("path is NULL", caster_options_add_key_file(options, NULL));
    INVALID("key is NULL", caster_generate_key(NULL));
    INVALID("seed is NULL", caster_generate_identity(NULL));
    INVALID("options is NULL", caster_options_set_identity(NULL, key, sizeof key));
    INVALID("seed is NULL", caster_options_set_identity(options, NULL, 32));
    INVALID("options is NULL", caster_options_set_identity_text(NULL, "a"));
    INVALID("seed is NULL", caster_options_set_identity_text(options, NULL));
    INVALID("options is NULL", caster_options_set_identity_file(NULL, "a"));
    INVALID("path is NULL", caster_options_set_identity_file(options, NULL));
    INVALID("options is NULL", caster_options_add_trusted(NULL, "a"));
    INVALID("key is NULL", caster_options_add_trusted(options, NULL));
    INVALID("seed is NULL", caster_public_key(NULL, 32, &text));
    INVALID("key is NULL", caster_public_key(key, sizeof key, NULL));
    caster_options_free(options);
}

static void a_null_node_is_refused(void) {
    caster_nodes_t *nodes = NULL;
    caster_event_t *event = NULL;
    caster_peer_t *peer = NULL;
    caster_stats_t stats;
    char *text = NULL;
    size_t bytes = 7;
    int fd = 7;
    INVALID("node is NULL", caster_node_new(NULL, NULL));
    INVALID("node is NULL", caster_node_up(NULL));
    INVALID("node is NULL", caster_node_down(NULL));
    INVALID("node is NULL", caster_node_send_json(NULL, "1", &bytes));
    INVALID("node is NULL", caster_node_send_text(NULL, "a", &bytes));
    INVALID("node is NULL", caster_node_set_meta_json(NULL, "1"));
    INVALID("node is NULL", caster_node_update_meta_json(NULL, "{}"));
    INVALID("node is NULL", caster_node_add_key(NULL, key, sizeof key));
    INVALID("node is NULL", caster_node_use_key(NULL, key, sizeof key));
    INVALID("node is NULL", caster_node_remove_key(NULL, key, sizeof key));
    INVALID("node is NULL", caster_node_remove_key_now(NULL, key, sizeof key));
    INVALID("node is NULL", caster_node_key_of(NULL, "a", &text));
    INVALID("node is NULL", caster_node_identity_of(NULL, "a", &text));
    INVALID("node is NULL", caster_node_forget_sealed(NULL, "a"));
    INVALID("node is NULL", caster_node_meta_json(NULL, &text));
    INVALID("node is NULL", caster_node_nodes(NULL, &nodes));
    INVALID("node is NULL", caster_node_get(NULL, "a", &peer));
    INVALID("node is NULL", caster_node_find(NULL, "a", NULL, &nodes));
    INVALID("node is NULL", caster_node_find_all(NULL, NULL, NULL, 0, &nodes));
    INVALID("node is NULL", caster_node_stats_json(NULL, &text));
    INVALID("node is NULL", caster_node_stats(NULL, &stats));
    INVALID("node is NULL", caster_node_send_bare(NULL, NULL, 0, &bytes));
    INVALID("node is NULL", caster_node_send_bare_json(NULL, "1", &bytes));
    INVALID("node is NULL", caster_node_watch_rejects(NULL, 1));
    INVALID("node is NULL", caster_node_watch_datagrams(NULL, 1));
    INVALID("node is NULL", caster_node_clear_middleware(NULL));
    INVALID("node is NULL", caster_node_middleware_json(NULL, &text));
    INVALID("node is NULL", caster_node_use_json(NULL));
    INVALID("node is NULL", caster_node_use_json_utf8(NULL));
    INVALID("node is NULL", caster_node_use_hash(NULL, NULL, NULL));
    INVALID("node is NULL", caster_node_use_crypto(NULL, NULL, NULL));
    INVALID("node is NULL", caster_node_use_hash_bytes(NULL, NULL, 0, NULL, NULL));
    INVALID("node is NULL", caster_node_use_crypto_bytes(NULL, NULL, 0, NULL));
    INVALID("node is NULL", caster_node_poll(NULL, 0, &event));
    INVALID("node is NULL", caster_node_poll_batch(NULL, 0, &event, 1, &bytes));
    INVALID("node is NULL", caster_node_send_batch(NULL, NULL, 0, &bytes));
    INVALID("node is NULL", caster_node_fd(NULL, &fd));
    INVALID("peer is NULL", caster_peer_json(NULL, &text));
    CHECK(!nodes && !event && !peer && !text && bytes == 7 && fd == 7);
}

static void null_arguments_of_a_node_are_refused(void) {
    caster_node_t *node = NULL;
    char *text = NULL;
    caster_nodes_t *nodes = NULL;
    caster_event_t *event = NULL;
    const char *const jsons[] = {"1", NULL};
    size_t count = 7;
    OK(caster_node_new(NULL, &node));
    INVALID("json is NULL", caster_node_send_json(node, NULL, NULL));
    INVALID("text is NULL", caster_node_send_text(node, NULL, NULL));
    INVALID("json is NULL", caster_node_set_meta_json(node, NULL));
    INVALID("json is NULL", caster_node_update_meta_json(node, NULL));
    INVALID("key is NULL", caster_node_add_key(node, NULL, 32));
    INVALID("key is NULL", caster_node_use_key(node, NULL, 32));
    INVALID("key is NULL", caster_node_remove_key(node, NULL, 32));
    INVALID("key is NULL", caster_node_remove_key_now(node, NULL, 32));
    INVALID("id is NULL", caster_node_key_of(node, NULL, &text));
    INVALID("id is NULL", caster_node_identity_of(node, NULL, &text));
    INVALID("id is NULL", caster_node_forget_sealed(node, NULL));
    INVALID("key is NULL", caster_node_key_of(node, "a", NULL));
    INVALID("key is NULL", caster_node_identity_of(node, "a", NULL));
    INVALID("json is NULL", caster_node_meta_json(node, NULL));
    INVALID("nodes is NULL", caster_node_nodes(node, NULL));
    INVALID("id is NULL", caster_node_get(node, NULL, NULL));
    INVALID("peer is NULL", caster_node_get(node, "a", NULL));
    INVALID("nodes is NULL", caster_node_find(node, "a", NULL, NULL));
    INVALID("key is NULL", caster_node_find(node, NULL, NULL, &nodes));
    INVALID("nodes is NULL", caster_node_find_all(node, NULL, NULL, 0, NULL));
    INVALID("keys is NULL", caster_node_find_all(node, NULL, NULL, 1, &nodes));
    INVALID("json is NULL", caster_node_middleware_json(node, NULL));
    INVALID("data is NULL", caster_node_send_bare(node, NULL, 1, NULL));
    INVALID("json is NULL", caster_node_send_bare_json(node, NULL, NULL));
    INVALID("secret is NULL", caster_node_use_hash_bytes(node, NULL, 1, NULL, NULL));
    INVALID("key is NULL", caster_node_use_crypto_bytes(node, NULL, 1, NULL));
    INVALID("json is NULL", caster_node_stats_json(node, NULL));
    INVALID("stats is NULL", caster_node_stats(node, NULL));
    CHECK(!nodes && !caster_node_last_seen_ms(node, NULL));
    INVALID("event is NULL", caster_node_poll(node, 0, NULL));
    INVALID("events is NULL", caster_node_poll_batch(node, 0, NULL, 1, &count));
    INVALID("count is NULL", caster_node_poll_batch(node, 0, &event, 1, NULL));
    INVALID("capacity is 0", caster_node_poll_batch(node, 0, NULL, 0, &count));
    INVALID("jsons is NULL", caster_node_send_batch(node, NULL, 1, NULL));
    INVALID("message 1: json is NULL", caster_node_send_batch(node, jsons, 2, NULL));
    INVALID("fd is NULL", caster_node_fd(node, NULL));
    caster_node_free(node);
}

static void a_null_caster_is_refused(void) {
    caster_t *caster = NULL;
    caster_event_t *event = NULL;
    caster_stats_t stats;
    char *text = NULL;
    const uint8_t *data = NULL;
    size_t bytes = 7, one = 1;
    int fd = 7;
    INVALID("caster is NULL", caster_new(NULL, NULL));
    INVALID("caster is NULL", caster_use_json(NULL));
    INVALID("caster is NULL", caster_use_hash(NULL, NULL, NULL));
    INVALID("caster is NULL", caster_use_crypto(NULL, NULL, NULL));
    INVALID("caster is NULL", caster_bind(NULL));
    INVALID("caster is NULL", caster_close(NULL));
    INVALID("caster is NULL", caster_send(NULL, NULL, 0, &bytes));
    INVALID("caster is NULL", caster_send_json(NULL, "1", &bytes));
    INVALID("caster is NULL", caster_use_json_utf8(NULL));
    INVALID("caster is NULL", caster_use_hash_bytes(NULL, NULL, 0, NULL, NULL));
    INVALID("caster is NULL", caster_use_crypto_bytes(NULL, NULL, 0, NULL));
    INVALID("caster is NULL", caster_clear_middleware(NULL));
    INVALID("caster is NULL", caster_middleware_json(NULL, &text));
    INVALID("caster is NULL", caster_send_text(NULL, "a", &bytes));
    INVALID("caster is NULL", caster_watch_rejects(NULL, 1));
    INVALID("caster is NULL", caster_stats(NULL, &stats));
    INVALID("caster is NULL", caster_stats_json(NULL, &text));
    INVALID("caster is NULL", caster_poll(NULL, 0, &event));
    INVALID("caster is NULL", caster_poll_batch(NULL, 0, &event, 1, &bytes));
    INVALID("caster is NULL", caster_send_batch(NULL, NULL, NULL, 0, &bytes));
    INVALID("caster is NULL", caster_send_batch_json(NULL, NULL, 0, &bytes));
    INVALID("caster is NULL", caster_fd(NULL, &fd));
    CHECK(!text && !event && bytes == 7 && fd == 7);

    OK(caster_new(NULL, &caster));
    INVALID("data is NULL", caster_send(caster, NULL, 1, NULL));
    INVALID("json is NULL", caster_send_json(caster, NULL, NULL));
    INVALID("text is NULL", caster_send_text(caster, NULL, NULL));
    INVALID("secret is NULL", caster_use_hash_bytes(caster, NULL, 1, NULL, NULL));
    INVALID("key is NULL", caster_use_crypto_bytes(caster, NULL, 1, NULL));
    INVALID("json is NULL", caster_middleware_json(caster, NULL));
    INVALID("stats is NULL", caster_stats(caster, NULL));
    INVALID("json is NULL", caster_stats_json(caster, NULL));
    INVALID("event is NULL", caster_poll(caster, 0, NULL));
    INVALID("data is NULL", caster_send_batch(caster, NULL, &one, 1, NULL));
    INVALID("sizes is NULL", caster_send_batch(caster, &data, NULL, 1, NULL));
    INVALID("message 0: data is NULL", caster_send_batch(caster, &data, &one, 1, NULL));
    INVALID("jsons is NULL", caster_send_batch_json(caster, NULL, 1, NULL));
    INVALID("events is NULL", caster_poll_batch(caster, 0, NULL, 1, &one));
    INVALID("fd is NULL", caster_fd(caster, NULL));
    caster_free(caster);
}

static void a_null_network_is_refused(void) {
    caster_network_t *network = caster_network_new(1);
    caster_node_t *node = NULL;
    caster_t *caster = NULL;
    INVALID("network is NULL", caster_network_node(NULL, NULL, &node));
    INVALID("network is NULL", caster_network_caster(NULL, NULL, &caster));
    INVALID("network is NULL", caster_network_advance(NULL, 1));
    INVALID("network is NULL", caster_network_set_loss(NULL, 0));
    INVALID("network is NULL", caster_network_set_duplicates(NULL, 0));
    INVALID("network is NULL", caster_network_set_delay(NULL, 0));
    INVALID("network is NULL", caster_network_unplug(NULL, "a"));
    INVALID("network is NULL", caster_network_plug(NULL, "a"));
    INVALID("node is NULL", caster_network_node(network, NULL, NULL));
    INVALID("caster is NULL", caster_network_caster(network, NULL, NULL));
    INVALID("id is NULL", caster_network_unplug(network, NULL));
    INVALID("id is NULL", caster_network_plug(network, NULL));
    CHECK(!node && !caster);
    caster_network_free(network);
}

static void drop_hooks_run_also_when_a_handle_is_null(void) {
    int drops = 0;
    INVALID("node is NULL", caster_node_on_up(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_update(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_down(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_message(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_error(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_conflict(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_isolated(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_rejoined(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_settled(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_hint(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_reject(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_on_datagram(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_use(NULL, "a", pass, pass, &drops, count_drop));
    INVALID("caster is NULL", caster_on_message(NULL, callback, &drops, count_drop));
    INVALID("caster is NULL", caster_on_error(NULL, callback, &drops, count_drop));
    INVALID("caster is NULL", caster_on_reject(NULL, callback, &drops, count_drop));
    INVALID("caster is NULL", caster_use(NULL, "a", pass, pass, &drops, count_drop));
    CHECK(drops == 17);
}

static void drop_hooks_run_also_when_a_middleware_is_refused(void) {
    int drops = 0;
    caster_t *caster = make_caster();
    INVALID("name is NULL", caster_use(caster, NULL, pass, pass, &drops, count_drop));
    FAILS(CASTER_ERR_MIDDLEWARE, "no functionality",
          caster_use(caster, "a", NULL, NULL, &drops, count_drop));
    FAILS(CASTER_ERR_MIDDLEWARE, "name not set",
          caster_use(caster, "", pass, NULL, &drops, count_drop));
    CHECK(drops == 3);
    OK(caster_use(caster, "a", pass, NULL, &drops, count_drop));
    CHECK(drops == 3);
    FAILS(CASTER_ERR_MIDDLEWARE, "already in use",
          caster_use(caster, "a", NULL, pass, &drops, count_drop));
    CHECK(drops == 4);
    caster_free(caster);
    CHECK(drops == 5);
}

int main(void) {
    RUN(accessors_of_null_give_nothing); /* first: it looks at the last error */
    RUN(null_is_freed_without_effect);
    RUN(null_options_are_refused);
    RUN(a_null_node_is_refused);
    RUN(null_arguments_of_a_node_are_refused);
    RUN(a_null_caster_is_refused);
    RUN(a_null_network_is_refused);
    RUN(drop_hooks_run_also_when_a_handle_is_null);
    RUN(drop_hooks_run_also_when_a_middleware_is_refused);
    return 0;
}
