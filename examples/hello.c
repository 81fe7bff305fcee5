/* Finds peers, prints their events and messages. Arguments: options as a JSON object. */
#include <caster.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static void stop(int number) { stopped = number; }

static void show(caster_node_t *node, const caster_event_t *event, void *user_data) {
    const char *id = caster_peer_id(caster_event_peer(event));
    const char *text = caster_event_message_json(event);
    if (!text) text = caster_event_reason_name(event);
    if (!text) text = caster_peer_meta_json(caster_event_peer(event));
    printf("%s %s %s\n", caster_event_name(event), id, text ? text : "");
    fflush(stdout);
    (void)node, (void)user_data;
}

int main(int argc, char **argv) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    if (caster_options_set_json(options, "meta", "{\"lang\": \"c\"}") ||
        (argc > 1 && caster_options_merge_json(options, argv[1])) ||
        caster_node_new(options, &node) || caster_node_on_up(node, show, NULL, NULL) ||
        caster_node_on_update(node, show, NULL, NULL) ||
        caster_node_on_down(node, show, NULL, NULL) ||
        caster_node_on_message(node, show, NULL, NULL) || caster_node_up(node)) {
        fprintf(stderr, "%s\n", caster_last_error());
        return 1;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    for (; !stopped; sleep(1)) caster_node_send_text(node, "hello from C", NULL);
    caster_node_free(node); /* leaves */
    caster_options_free(options);
    return 0;
}
