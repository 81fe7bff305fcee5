/* Every kind of event, and in its callback all that a program may do to the node: free it, take it down and up
 * again, send on it, free the other nodes. */
#include "check.h"

struct scene {
    caster_network_t *network;
    caster_node_t *node, *friend, *other;
    void (*act)(struct scene *scene, caster_node_t *node);
    int kind, calls, drops, go, ups;
};

static void free_it(struct scene *scene, caster_node_t *node) {
    caster_node_free(node);
    FAILS(CASTER_ERR_NOT_UP, "not up", caster_node_send_text(node, "x", NULL)); /* it may still be used here */
    caster_node_free(node);
    CHECK(strstr(caster_last_error(), "node is being freed"));
    scene->node = NULL;
}
static void take_it_down(struct scene *scene, caster_node_t *node) {
    (void)scene;
    caster_node_down(node);
    CHECK(!caster_node_is_up(node));
}
static void take_it_down_and_up(struct scene *scene, caster_node_t *node) {
    take_it_down(scene, node);
    OK(caster_node_up(node));
}
static void send_on_it(struct scene *scene, caster_node_t *node) {
    (void)scene;
    OK(caster_node_send_text(node, "from a callback", NULL));
}
static void free_the_others(struct scene *scene, caster_node_t *node) {
    CHECK(caster_node_id(node));
    caster_node_free(scene->friend);
    caster_node_free(scene->other);
    caster_network_free(scene->network);
    scene->friend = scene->other = NULL;
    scene->network = NULL;
}

static void act(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct scene *scene = user_data;
    CHECK(caster_event_type(event) == scene->kind);
    if (get(&scene->calls) == 0) {
        scene->act(scene, node);
        add(&scene->calls);
    }
}

static void hold(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event;
    wait_for(&((struct scene *)user_data)->go, 1);
}

static void note_up(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event;
    add(&((struct scene *)user_data)->ups);
}

static void count_scene_drop(void *user_data) { add(&((struct scene *)user_data)->drops); }

static caster_node_t *virtual_node(caster_network_t *network, const char *json) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    OK(caster_options_merge_json(options, json));
    OK(caster_network_node(network, options, &node));
    caster_options_free(options);
    return node;
}

typedef caster_status_t (*on_t)(caster_node_t *, caster_node_event_fn_t, void *, caster_drop_fn_t);
static const struct {
    int kind;
    on_t on;
} kinds[] = {
    {CASTER_EVENT_UP, caster_node_on_up},
    {CASTER_EVENT_UPDATE, caster_node_on_update},
    {CASTER_EVENT_DOWN, caster_node_on_down},
    {CASTER_EVENT_MESSAGE, caster_node_on_message},
    {CASTER_EVENT_ERROR, caster_node_on_error},
    {CASTER_EVENT_CONFLICT, caster_node_on_conflict},
    {CASTER_EVENT_ISOLATED, caster_node_on_isolated},
    {CASTER_EVENT_REJOINED, caster_node_on_rejoined},
    {CASTER_EVENT_HINT, caster_node_on_hint},
    {CASTER_EVENT_REJECT, caster_node_on_reject},
    {CASTER_EVENT_DATAGRAM, caster_node_on_datagram},
    {CASTER_EVENT_SETTLED, caster_node_on_settled},
};

/* Whether something has to be done for the event, once the peer is up. */
static int is_triggered(int kind) {
    return kind == CASTER_EVENT_UPDATE || kind == CASTER_EVENT_DOWN || kind == CASTER_EVENT_MESSAGE ||
           kind == CASTER_EVENT_ERROR || kind == CASTER_EVENT_ISOLATED || kind == CASTER_EVENT_REJOINED;
}

/* Time passes until a callback was called. The network may be freed in it. */
static void until(const int *calls, caster_network_t *network) {
    long end = now_ms() + DEADLINE_MS;
    while (get(calls) == 0) {
        CHECK(now_ms() < end);
        caster_network_advance(network, 100);
        sleep_ms(1);
    }
}

static void play(struct scene *scene, on_t on) {
    caster_network_t *network = caster_network_new(3);
    caster_node_t *friend, *other;
    int n;
    scene->network = network;
    scene->node = virtual_node(network, "{\"id\": \"a\", \"maxEvents\": 2}");
    scene->friend = friend = virtual_node(network, "{\"id\": \"b\"}");
    scene->other = other = virtual_node(network, scene->kind == CASTER_EVENT_CONFLICT
                                                     ? "{\"id\": \"b\"}"
                                                     : "{\"id\": \"c\", \"hashSecret\": \"another\"}");
    OK(on(scene->node, act, scene, count_scene_drop));
    if (scene->kind == CASTER_EVENT_ERROR) OK(caster_node_on_message(scene->node, hold, scene, NULL));
    if (is_triggered(scene->kind)) OK(caster_node_on_up(scene->node, note_up, scene, NULL));
    OK(caster_node_up(scene->node));
    OK(caster_node_up(friend));
    OK(caster_node_up(other));
    /* An up that waits would be merged with what comes next. */
    if (is_triggered(scene->kind)) until(&scene->ups, network);
    switch (scene->kind) {
    case CASTER_EVENT_UPDATE:
        OK(caster_node_set_meta_json(friend, "7"));
        break;
    case CASTER_EVENT_DOWN:
        OK(caster_node_down(friend));
        break;
    case CASTER_EVENT_MESSAGE:
        OK(caster_node_send_text(friend, "hello", NULL));
        break;
    case CASTER_EVENT_ERROR:
        for (n = 0; n < 50; n++) OK(caster_node_send_text(friend, "more than the queue can hold", NULL));
        OK(caster_network_advance(network, 10));
        set(&scene->go, 1);
        break;
    case CASTER_EVENT_ISOLATED:
    case CASTER_EVENT_REJOINED:
        OK(caster_network_unplug(network, "a"));
        if (scene->kind == CASTER_EVENT_REJOINED) {
            OK(caster_network_advance(network, 60000));
            OK(caster_network_plug(network, "a"));
        }
        break;
    default:
        break;
    }
    until(&scene->calls, network);
    if (scene->node) {
        caster_node_free(scene->node);
    } else {
        wait_for(&scene->drops, 1); /* the dispatcher frees it */
    }
    CHECK(get(&scene->drops) == 1);
    if (scene->friend) caster_node_free(scene->friend);
    if (scene->other) caster_node_free(scene->other);
    if (scene->network) caster_network_free(scene->network);
}

static void in_every_callback(void (*what)(struct scene *, caster_node_t *)) {
    int before = threads();
    size_t n;
    for (n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        struct scene scene = {NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0};
        scene.act = what;
        scene.kind = kinds[n].kind;
        play(&scene, kinds[n].on);
    }
    wait_for_threads(before);
}

static void every_callback_may_free_its_node(void) { in_every_callback(free_it); }
static void every_callback_may_take_its_node_down(void) { in_every_callback(take_it_down); }
static void every_callback_may_take_its_node_down_and_up(void) { in_every_callback(take_it_down_and_up); }
static void every_callback_may_send(void) { in_every_callback(send_on_it); }
static void every_callback_may_free_all_others(void) { in_every_callback(free_the_others); }

int main(void) {
    RUN(every_callback_may_free_its_node);
    RUN(every_callback_may_take_its_node_down);
    RUN(every_callback_may_take_its_node_down_and_up);
    RUN(every_callback_may_send);
    RUN(every_callback_may_free_all_others);
    return 0;
}
