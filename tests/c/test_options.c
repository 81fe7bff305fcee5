/* Versions, statuses, errors and options. */
#include "check.h"

#include <pthread.h>

static void versions_agree(void) {
    char text[32];
    TEXT(caster_version(), CASTER_VERSION_STRING);
    CHECK(caster_version_number() == CASTER_VERSION_NUMBER);
    sprintf(text, "%d.%d.%d", CASTER_VERSION_MAJOR, CASTER_VERSION_MINOR, CASTER_VERSION_PATCH);
    TEXT(text, CASTER_VERSION_STRING);
}

static void statuses_have_names_and_texts(void) {
    caster_status_t status = -1;
    TEXT(caster_status_name(CASTER_OK), "OK");
    TEXT(caster_status_name(CASTER_ERR_NOT_UP), "NOT_UP");
    TEXT(caster_status_name(CASTER_ERR_EVENTS_TAKEN), "EVENTS_TAKEN");
    TEXT(caster_status_name(CASTER_ERR_FORKED), "FORKED");
    TEXT(caster_status_name(1), "UNKNOWN");
    TEXT(caster_status_name(-9999), "UNKNOWN");
    TEXT(caster_status_text(CASTER_ERR_UNKNOWN_OPTION), "There is no option of that name.");
    for (; strcmp(caster_status_name(status), "UNKNOWN") != 0; status--) {
        CHECK(strlen(caster_status_text(status)) > 10);
    }
    CHECK(status < CASTER_ERR_EVENTS_TAKEN);
}

static void refusals_name_the_option_and_what_is_accepted(void) {
    caster_options_t *options = caster_options_new_node();
    FAILS(CASTER_ERR_INVALID_OPTION,
          "option ttl: 256 is not accepted; give a whole number from 1 to 255",
          caster_options_set_int(options, "ttl", 256));
    FAILS(CASTER_ERR_INVALID_OPTION, "option port: -1",
          caster_options_set_int(options, "port", -1));
    FAILS(CASTER_ERR_INVALID_OPTION, "option hash: \"yes\" is not accepted; give true or false",
          caster_options_set_string(options, "hash", "yes"));
    FAILS(CASTER_ERR_INVALID_OPTION, "sha256",
          caster_options_set_string(options, "hashAlgorithm", "whirlpool"));
    FAILS(CASTER_ERR_INVALID_OPTION, "option meta",
          caster_options_set_json(options, "meta", "{\"a\":"));
    FAILS(CASTER_ERR_INVALID_OPTION, "JSON object", caster_options_merge_json(options, "[1]"));
    caster_options_free(options);
}

static void unknown_options_get_the_nearest_known_one(void) {
    caster_options_t *options = caster_options_new_node();
    caster_options_t *few = caster_options_new_caster();
    FAILS(CASTER_ERR_UNKNOWN_OPTION, "did you mean \"heartbeat\"?",
          caster_options_set_int(options, "heartbeet", 1));
    FAILS(CASTER_ERR_UNKNOWN_OPTION, "did you mean \"hashSecret\"?",
          caster_options_merge_json(options, "{\"hash_secert\": \"x\"}"));
    FAILS(CASTER_ERR_UNKNOWN_OPTION, "a caster has no option \"meta\"",
          caster_options_set_json(few, "meta", "1"));
    caster_options_free(options);
    caster_options_free(few);
}

static void metadata_is_not_taken_from_the_text_of_an_object(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    char *meta = NULL;
    FAILS(CASTER_ERR_INVALID_OPTION, "option meta: this text is JSON; give it to caster_options_set_json",
          caster_options_set_string(options, "meta", " {\"type\": \"http\"}"));
    FAILS(CASTER_ERR_INVALID_OPTION, "option meta",
          caster_options_set_string(options, "meta", "[1]"));
    OK(caster_options_set_string(options, "id", "[1]"));
    OK(caster_options_set_string(options, "meta", "[not JSON"));
    OK(caster_node_new(options, &node));
    OK(caster_node_meta_json(node, &meta));
    TEXT(meta, "\"[not JSON\"");
    caster_string_free(meta);
    caster_node_free(node);
    caster_options_free(options);
}

static void one_option_has_one_spelling(void) {
    caster_options_t *options = caster_options_new_node();
    FAILS(CASTER_ERR_INVALID_OPTION, "it is given as hashSecret and as hash_secret",
          caster_options_merge_json(options, "{\"hashSecret\": \"a\", \"hash_secret\": \"b\"}"));
    caster_options_free(options);
}

static void a_caster_has_no_options_of_nodes(void) {
    caster_options_t *options = caster_options_new_node();
    caster_t *caster = NULL;
    OK(caster_options_set_int(options, "heartbeat", 500));
    FAILS(CASTER_ERR_UNKNOWN_OPTION, "a caster has no option \"heartbeat\"",
          caster_new(options, &caster));
    OK(caster_options_set_json(options, "heartbeat", "null"));
    OK(caster_new(options, &caster));
    caster_free(caster);
    caster_options_free(options);
}

static void all_setters_reach_the_node(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    char *meta = NULL;
    stay_on_loopback(options);
    OK(caster_options_set_string(options, "id", "n\xc3\xa9"));
    OK(caster_options_set_bool(options, "crypto", 2));
    OK(caster_options_set_bytes(options, "crypto_key", (const uint8_t *)"a\0\xff", 3));
    FAILS(CASTER_ERR_INVALID_OPTION, "option port",
          caster_options_set_bytes(options, "port", (const uint8_t *)"1", 1));
    OK(caster_options_set_json(options, "meta", "{ \"a\" : [1, \"\xe2\x82\xac\"] }"));
    OK(caster_options_merge_json(options, "{\"expose\": false, \"ttl\": null}"));
    OK(caster_node_new(options, &node));
    TEXT(caster_node_id(node), "n\xc3\xa9");
    OK(caster_node_meta_json(node, &meta));
    TEXT(meta, "{\"a\":[1,\"\\u20ac\"]}");
    caster_string_free(meta);
    caster_node_free(node);

    /* The options can be used again, and null takes one back. */
    OK(caster_options_set_json(options, "id", "null"));
    OK(caster_node_new(options, &node));
    CHECK(strncmp(caster_node_id(node), "node", 4) == 0);
    caster_node_free(node);
    caster_options_free(options);
}

static void options_that_do_not_go_together_are_refused(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = (caster_node_t *)options;
    OK(caster_options_set_string(options, "multicast", "ff02::42"));
    OK(caster_options_set_string(options, "address", "127.0.0.1"));
    FAILS(CASTER_ERR_INVALID_OPTION, "same family", caster_node_new(options, &node));
    CHECK(node == (caster_node_t *)options); /* outputs are written only on success */
    caster_options_free(options);
}

static void text_too_large_for_a_heartbeat_is_refused(void) {
    static const char prefix[] = "{\"meta\": \"";
    static char json[9100];
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    caster_stats_t stats;
    strcpy(json, prefix);
    memset(json + strlen(prefix), 'x', 9000);
    strcpy(json + strlen(prefix) + 9000, "\"}");
    OK(caster_options_merge_json(options, json));
    FAILS(CASTER_ERR_INVALID_OPTION,
          "option meta: the metadata takes 9002 bytes; the option maxMeta allows 8192",
          caster_node_new(options, &node));
    OK(caster_options_set_int(options, "maxMeta", 9002));
    OK(caster_node_new(options, &node));
    stats.size = sizeof stats;
    OK(caster_node_stats(node, &stats));
    CHECK(stats.dropped_implausible == 0 && stats.dropped_unconfirmed == 0);
    caster_node_free(node);
    json[0] = '\0';
    while (strlen(json) < 200) {
        strcat(json, "\xc3\xa9");
    }
    FAILS(CASTER_ERR_INVALID_OPTION, "it takes 602 bytes as JSON",
          caster_options_set_string(options, "id", json));
    caster_options_free(options);
}

static void *fail_elsewhere(void *unused) {
    (void)unused;
    TEXT(caster_last_error(), "");
    CHECK(caster_node_up(NULL) == CASTER_ERR_INVALID_ARGUMENT);
    TEXT(caster_last_error(), "node is NULL");
    return NULL;
}

static void each_thread_has_its_own_last_error(void) {
    pthread_t thread;
    CHECK(caster_bind(NULL) == CASTER_ERR_INVALID_ARGUMENT);
    CHECK(pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0);
    pthread_join(thread, NULL);
    TEXT(caster_last_error(), "caster is NULL");
}

static void the_last_error_can_be_printed_with_the_call_that_fails(void) {
    char line[256];
    snprintf(line, sizeof line, "%d %s", caster_node_down(NULL), caster_last_error());
    TEXT(line, "-3 node is NULL");
}

static void the_error_of_the_system_has_its_number(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    OK(caster_options_set_string(options, "address", "203.0.113.1")); /* no interface has it */
    OK(caster_node_new(options, &node));
    FAILS(CASTER_ERR_IO, "203.0.113.1", caster_node_up(node));
    CHECK(caster_last_os_error() > 0);
    CHECK(!caster_node_is_up(node));
    FAILS(CASTER_ERR_NOT_UP, "Node is not up", caster_node_down(node));
    CHECK(caster_last_os_error() == 0);
    caster_node_free(node);
    caster_options_free(options);
}

int main(void) {
    RUN(versions_agree);
    RUN(statuses_have_names_and_texts);
    RUN(refusals_name_the_option_and_what_is_accepted);
    RUN(unknown_options_get_the_nearest_known_one);
    RUN(metadata_is_not_taken_from_the_text_of_an_object);
    RUN(one_option_has_one_spelling);
    RUN(a_caster_has_no_options_of_nodes);
    RUN(all_setters_reach_the_node);
    RUN(options_that_do_not_go_together_are_refused);
    RUN(text_too_large_for_a_heartbeat_is_refused);
    RUN(each_thread_has_its_own_last_error);
    RUN(the_last_error_can_be_printed_with_the_call_that_fails);
    RUN(the_error_of_the_system_has_its_number);
    return 0;
}
