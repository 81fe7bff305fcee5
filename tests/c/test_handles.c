/* Pointers that were freed or that never were what they are taken for: all of them are refused. */
#include "refused.h"

#include <pthread.h>

static const struct refusal freed_node = {CASTER_ERR_INVALID_ARGUMENT, "node was freed, or is no caster_node_t"};
static const struct refusal freed_caster = {CASTER_ERR_INVALID_ARGUMENT, "caster was freed, or is no caster_t"};

/* Every accessor of a node. */
static void nothing_of_node(const caster_node_t *node) {
    CHECK(!caster_node_is_up(node) && !caster_node_id(node) && !caster_node_multicast(node));
    CHECK(!caster_node_address(node) && !caster_node_port(node) && !caster_node_loopback(node));
    CHECK(!caster_node_ttl(node) && !caster_node_is_exposed(node) && !caster_node_heartbeat_ms(node));
    CHECK(!caster_node_timeout_ms(node) && !caster_node_count(node) && !caster_node_last_seen_ms(node, "a"));
}

static void nothing_of_caster(const caster_t *caster) {
    CHECK(!caster_is_bound(caster) && !caster_multicast(caster) && !caster_address(caster));
    CHECK(!caster_port(caster) && !caster_loopback(caster) && !caster_ttl(caster));
}

static void refused_network(caster_network_t *network) {
    static const struct refusal refusal = {CASTER_ERR_INVALID_ARGUMENT, "network was freed, or is no caster_network_t"};
    caster_node_t *node = NULL;
    caster_t *caster = NULL;
    REFUSED(caster_network_node(network, NULL, &node));
    REFUSED(caster_network_caster(network, NULL, &caster));
    REFUSED(caster_network_advance(network, 1));
    REFUSED(caster_network_set_loss(network, 0));
    REFUSED(caster_network_set_duplicates(network, 0));
    REFUSED(caster_network_set_delay(network, 0));
    REFUSED(caster_network_unplug(network, "a"));
    REFUSED(caster_network_plug(network, "a"));
    CHECK(!caster_network_now_ms(network) && !node && !caster);
    caster_network_free(network);
    CHECK(strstr(caster_last_error(), refusal.part));
}

static void a_freed_node_is_refused_by_every_function(void) {
    caster_node_t *node = make_node("{}");
    OK(caster_node_up(node));
    caster_node_free(node);
    refused_node(node, freed_node);
    nothing_of_node(node);
}

static void a_freed_caster_is_refused_by_every_function(void) {
    caster_t *caster = make_caster();
    OK(caster_bind(caster));
    caster_free(caster);
    refused_caster(caster, freed_caster);
    nothing_of_caster(caster);
}

static void a_freed_network_is_refused_by_every_function(void) {
    caster_network_t *network = caster_network_new(1);
    caster_network_free(network);
    refused_network(network);
}

static void a_second_free_does_nothing_and_says_so(void) {
    caster_node_t *node = make_node("{}"), *next;
    caster_t *caster = make_caster();
    caster_node_free(node);
    next = make_node("{}"); /* in the same place */
    caster_node_free(node);
    CHECK(strstr(caster_last_error(), freed_node.part));
    OK(caster_node_up(next));
    CHECK(next != node && caster_node_is_up(next));
    refused_node(node, freed_node);
    caster_node_free(next);
    caster_free(caster);
    caster_free(caster);
    CHECK(strstr(caster_last_error(), freed_caster.part));
}

/* A thousand lives later, in the same places, each old pointer is still refused. */
static void an_old_pointer_never_becomes_another_node(void) {
    static caster_node_t *old[1000];
    size_t i;
    for (i = 0; i < sizeof old / sizeof *old; i++) {
        old[i] = make_node("{}");
        caster_node_free(old[i]);
    }
    for (i = 0; i < sizeof old / sizeof *old; i++) {
        FAILS(CASTER_ERR_INVALID_ARGUMENT, freed_node.part, caster_node_up(old[i]));
        CHECK(i == 0 || old[i] != old[i - 1]);
    }
}

static void what_is_something_else_is_refused(void) {
    caster_node_t *node = make_node("{}");
    caster_t *caster = make_caster();
    caster_options_t *options = caster_options_new_node();
    caster_network_t *network = caster_network_new(1);
    uint64_t random = 88172645463325252u;
    int i, local = 0;
    OK(caster_node_up(node));
    refused_node((caster_node_t *)caster, freed_node);
    refused_node((caster_node_t *)network, freed_node);
    refused_node((caster_node_t *)options, freed_node);
    refused_node((caster_node_t *)&local, freed_node);
    refused_node((caster_node_t *)(uintptr_t)1, freed_node);
    refused_node((caster_node_t *)UINTPTR_MAX, freed_node);
    refused_caster((caster_t *)node, freed_caster);
    refused_caster((caster_t *)options, freed_caster);
    refused_network((caster_network_t *)node);
    caster_node_free((caster_node_t *)caster);
    caster_free((caster_t *)node);
    for (i = 0; i < 100000; i++) {
        caster_node_t *guess;
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        guess = (caster_node_t *)(uintptr_t)(i % 2 ? random : (random & 0xFFFF) ^ (uintptr_t)node);
        if (guess != node) caster_node_free(guess);
    }
    CHECK(caster_node_is_up(node) && !caster_is_bound(caster));
    OK(caster_node_send_text(node, "still here", NULL));
    caster_options_free(options);
    caster_network_free(network);
    caster_node_free(node);
    caster_free(caster);
}

struct waiting {
    caster_node_t *node;
    caster_t *caster;
    int ready;
};

static void *wait_for_event(void *user_data) {
    struct waiting *waiting = user_data;
    caster_event_t *event = NULL;
    caster_status_t status;
    add(&waiting->ready);
    while ((status = caster_node_poll(waiting->node, -1, &event)) == CASTER_OK) caster_event_free(event);
    /* It waited, or it came too late. */
    CHECK(status == CASTER_ERR_NOT_UP || status == CASTER_ERR_INVALID_ARGUMENT);
    return NULL;
}

static void *wait_for_message(void *user_data) {
    struct waiting *waiting = user_data;
    caster_event_t *event = NULL;
    caster_status_t status;
    add(&waiting->ready);
    while ((status = caster_poll(waiting->caster, -1, &event)) == CASTER_OK) caster_event_free(event);
    CHECK(status == CASTER_ERR_NOT_BOUND || status == CASTER_ERR_INVALID_ARGUMENT);
    return NULL;
}

static void freeing_ends_the_polls_of_other_threads(void) {
    int round, n, before = descriptors();
    for (round = 0; round < 10; round++) {
        struct waiting waiting = {NULL, NULL, 0};
        pthread_t threads[4];
        waiting.node = make_node("{}");
        waiting.caster = make_caster();
        OK(caster_node_up(waiting.node));
        OK(caster_bind(waiting.caster));
        for (n = 0; n < 4; n++)
            CHECK(pthread_create(&threads[n], NULL, n % 2 ? wait_for_event : wait_for_message, &waiting) == 0);
        wait_for(&waiting.ready, 4);
        sleep_ms(round * 2);
        caster_node_free(waiting.node);
        caster_free(waiting.caster);
        for (n = 0; n < 4; n++) pthread_join(threads[n], NULL);
    }
    CHECK(descriptors() == before);
}

/* Eight threads make, use and free the same few nodes in any order. */
#define SHARED 4
static caster_node_t *shared[SHARED];
static int made, dropped, frees, seconds;

static void *do_anything(void *user_data) {
    unsigned seed = (unsigned)(uintptr_t)user_data;
    long end = now_ms() + seconds * 1000;
    while (now_ms() < end) {
        int place = rand_r(&seed) % SHARED;
        caster_node_t *node = __atomic_load_n(&shared[place], __ATOMIC_SEQ_CST), *mine;
        caster_event_t *event = NULL;
        caster_nodes_t *nodes = NULL;
        switch (rand_r(&seed) % 12) {
        case 0:
        case 1:
            caster_node_up(node);
            break;
        case 2:
            caster_node_down(node);
            break;
        case 3:
            if (caster_node_poll(node, 1, &event) == CASTER_OK) caster_event_free(event);
            break;
        case 4:
            caster_node_set_meta_json(node, "1");
            break;
        case 5:
            if (caster_node_nodes(node, &nodes) == CASTER_OK) caster_nodes_free(nodes);
            break;
        case 6:
            caster_node_on_message(node, ignore, &dropped, count_drop);
            add(&made);
            break;
        case 7:
            caster_node_free(node);
            mine = make_node(rand_r(&seed) % 2 ? "{}" : "{\"self\": true}");
            add(&made);
            /* A callback, or it is polled. Whether it is registered or refused, its hook runs once. */
            caster_node_on_up(mine, ignore, &dropped, count_drop);
            node = __atomic_exchange_n(&shared[place], mine, __ATOMIC_SEQ_CST);
            caster_node_free(node);
            add(&frees);
            break;
        default:
            caster_node_send_text(node, "x", NULL);
        }
    }
    return NULL;
}

static void eight_threads_may_do_anything_at_once(void) {
    int n, threads_before = threads(), before = descriptors();
    pthread_t threads[8];
    seconds = getenv("CASTER_SECONDS") ? atoi(getenv("CASTER_SECONDS")) : 3;
    alarm(60 + 2 * (unsigned)seconds);
    made = dropped = frees = 0;
    for (n = 0; n < SHARED; n++) shared[n] = make_node("{}");
    for (n = 0; n < 8; n++)
        CHECK(pthread_create(&threads[n], NULL, do_anything, (void *)(uintptr_t)(n + 1)) == 0);
    for (n = 0; n < 8; n++) pthread_join(threads[n], NULL);
    for (n = 0; n < SHARED; n++) caster_node_free(shared[n]);
    CHECK(frees > 0);
    CHECK(get(&made) == get(&dropped));
    wait_for_threads(threads_before);
    CHECK(descriptors() == before);
}

int main(void) {
    RUN(a_freed_node_is_refused_by_every_function);
    RUN(a_freed_caster_is_refused_by_every_function);
    RUN(a_freed_network_is_refused_by_every_function);
    RUN(a_second_free_does_nothing_and_says_so);
    RUN(an_old_pointer_never_becomes_another_node);
    RUN(what_is_something_else_is_refused);
    RUN(freeing_ends_the_polls_of_other_threads);
    RUN(eight_threads_may_do_anything_at_once);
    return 0;
}
