#include <caster.h>
#include <stdio.h>
#include <unistd.h>

static void found(caster_node_t *node, const caster_event_t *event, void *user_data) {
    printf("%s is up\n", caster_peer_id(caster_event_peer(event)));
    (void)node, (void)user_data;
}

int main(void) {
    caster_node_t *node = NULL;
    if (caster_node_new(NULL, &node) || caster_node_on_up(node, found, NULL, NULL) || caster_node_up(node))
        return puts(caster_last_error());
    sleep(60);
    caster_node_free(node); /* leaves */
    return 0;
}
