/* NULL in every place of every function, and what else must not crash. */
#include "check.h"

#define INVALID(part, call) FAILS(CASTER_ERR_INVALID_ARGUMENT, part, call)

static void node_callback(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

static void callback(caster_t *caster, const caster_event_t *event, void *user_data) {
    (void)caster, (void)event, (void)user_data;
}

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
}

static void accessors_of_null_give_nothing(void) {
    CHECK(!caster_peer_id(NULL) && !caster_peer_id_json(NULL));
    CHECK(!caster_peer_address(NULL) && !caster_peer_meta_json(NULL) && !caster_peer_dup(NULL));
    CHECK(!caster_peer_first_seen_ms(NULL) && !caster_peer_last_seen_ms(NULL));
    CHECK(!caster_peer_is_suspect(NULL) && caster_peer_loss(NULL) == 0);
    CHECK(!caster_nodes_count(NULL) && !caster_nodes_get(NULL, 0));
    CHECK(!caster_event_type(NULL) && !caster_event_name(NULL) && !caster_event_peer(NULL));
    CHECK(!caster_event_message_json(NULL) && !caster_event_message_data(NULL));
    CHECK(!caster_event_message_size(NULL) && !caster_event_changed(NULL));
    CHECK(!caster_event_reason(NULL) && !caster_event_reason_name(NULL));
    CHECK(!caster_event_remote_address(NULL) && !caster_event_remote_port(NULL));
    CHECK(!caster_event_remote_size(NULL) && !caster_event_error_status(NULL));
    CHECK(!caster_event_error_text(NULL) && !caster_event_error_os(NULL));
    CHECK(!caster_event_conflict_id(NULL) && !caster_event_conflict_id_json(NULL));
    CHECK(!caster_event_conflict_address(NULL) && !caster_event_hint_text(NULL));
    CHECK(!caster_event_dup(NULL));
    CHECK(!caster_message_data(NULL) && !caster_message_size(NULL));
    CHECK(!caster_message_is_json(NULL) && !caster_message_remote_address(NULL));
    CHECK(!caster_message_remote_port(NULL));
    CHECK(!caster_node_is_up(NULL) && !caster_node_id(NULL) && !caster_is_bound(NULL));
    TEXT(caster_last_error(), ""); /* asking is no failure */
}

static void null_options_are_refused(void) {
    caster_options_t *options = caster_options_new_node();
    INVALID("options is NULL", caster_options_set_string(NULL, "id", "a"));
    INVALID("name is NULL", caster_options_set_string(options, NULL, "a"));
    INVALID("value is NULL", caster_options_set_string(options, "id", NULL));
    INVALID("not valid UTF-8", caster_options_set_string(options, "id", "\xff"));
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
    caster_options_free(options);
}

static void a_null_node_is_refused(void) {
    caster_nodes_t *nodes = NULL;
    caster_event_t *event = NULL;
    caster_peer_t *peer = NULL;
    char *text = NULL;
    size_t bytes = 7;
    int fd = 7;
    INVALID("node is NULL", caster_node_new(NULL, NULL));
    INVALID("node is NULL", caster_node_up(NULL));
    INVALID("node is NULL", caster_node_down(NULL));
    INVALID("node is NULL", caster_node_send_json(NULL, "1", &bytes));
    INVALID("node is NULL", caster_node_send_text(NULL, "a", &bytes));
    INVALID("node is NULL", caster_node_set_meta_json(NULL, "1"));
    INVALID("node is NULL", caster_node_meta_json(NULL, &text));
    INVALID("node is NULL", caster_node_nodes(NULL, &nodes));
    INVALID("node is NULL", caster_node_get(NULL, "a", &peer));
    INVALID("node is NULL", caster_node_stats_json(NULL, &text));
    INVALID("node is NULL", caster_node_poll(NULL, 0, &event));
    INVALID("node is NULL", caster_node_fd(NULL, &fd));
    CHECK(!nodes && !event && !peer && !text && bytes == 7 && fd == 7);
}

static void null_arguments_of_a_node_are_refused(void) {
    caster_node_t *node = NULL;
    OK(caster_node_new(NULL, &node));
    INVALID("json is NULL", caster_node_send_json(node, NULL, NULL));
    INVALID("text is NULL", caster_node_send_text(node, NULL, NULL));
    INVALID("json is NULL", caster_node_set_meta_json(node, NULL));
    INVALID("json is NULL", caster_node_meta_json(node, NULL));
    INVALID("nodes is NULL", caster_node_nodes(node, NULL));
    INVALID("id is NULL", caster_node_get(node, NULL, NULL));
    INVALID("peer is NULL", caster_node_get(node, "a", NULL));
    INVALID("json is NULL", caster_node_stats_json(node, NULL));
    INVALID("event is NULL", caster_node_poll(node, 0, NULL));
    INVALID("fd is NULL", caster_node_fd(node, NULL));
    caster_node_free(node);
}

static void a_null_caster_is_refused(void) {
    caster_t *caster = NULL;
    caster_event_t *event = NULL;
    char *text = NULL;
    size_t bytes = 7;
    int fd = 7;
    INVALID("caster is NULL", caster_new(NULL, NULL));
    INVALID("caster is NULL", caster_use_json(NULL));
    INVALID("caster is NULL", caster_use_hash(NULL, NULL, NULL));
    INVALID("caster is NULL", caster_use_crypto(NULL, NULL, NULL));
    INVALID("caster is NULL", caster_bind(NULL));
    INVALID("caster is NULL", caster_close(NULL));
    INVALID("caster is NULL", caster_send(NULL, NULL, 0, &bytes));
    INVALID("caster is NULL", caster_send_json(NULL, "1", &bytes));
    INVALID("caster is NULL", caster_stats_json(NULL, &text));
    INVALID("caster is NULL", caster_poll(NULL, 0, &event));
    INVALID("caster is NULL", caster_fd(NULL, &fd));
    CHECK(!text && !event && bytes == 7 && fd == 7);

    OK(caster_new(NULL, &caster));
    INVALID("data is NULL", caster_send(caster, NULL, 1, NULL));
    INVALID("json is NULL", caster_send_json(caster, NULL, NULL));
    INVALID("json is NULL", caster_stats_json(caster, NULL));
    INVALID("event is NULL", caster_poll(caster, 0, NULL));
    INVALID("fd is NULL", caster_fd(caster, NULL));
    caster_free(caster);
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
    INVALID("node is NULL", caster_node_on_hint(NULL, node_callback, &drops, count_drop));
    INVALID("node is NULL", caster_node_use(NULL, "a", pass, pass, &drops, count_drop));
    INVALID("caster is NULL", caster_on_message(NULL, callback, &drops, count_drop));
    INVALID("caster is NULL", caster_on_error(NULL, callback, &drops, count_drop));
    INVALID("caster is NULL", caster_use(NULL, "a", pass, pass, &drops, count_drop));
    CHECK(drops == 13);
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
    RUN(drop_hooks_run_also_when_a_handle_is_null);
    RUN(drop_hooks_run_also_when_a_middleware_is_refused);
    return 0;
}
