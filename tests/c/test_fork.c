/* A forked child: handles of the parent are refused without a hang, and its own handles work. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>

static void ignore(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

#define REFUSED(call) FAILS(CASTER_ERR_FORKED, "process", call)

static int pass(caster_message_t *message, void *user_data) {
    (void)message, (void)user_data;
    return 0;
}

/* Every function of a node that returns a status. */
static void refused_node(caster_node_t *node) {
    const char *texts[] = {"1"};
    caster_event_t *event = NULL;
    caster_nodes_t *nodes = NULL;
    caster_peer_t *peer = NULL;
    caster_stats_t stats = {.size = sizeof stats};
    char *json = NULL;
    size_t count = 0;
    int fd = -1;
    REFUSED(caster_node_up(node));
    REFUSED(caster_node_down(node));
    REFUSED(caster_node_send_json(node, "1", NULL));
    REFUSED(caster_node_send_batch(node, texts, 1, NULL));
    REFUSED(caster_node_send_text(node, "a", NULL));
    REFUSED(caster_node_send_bare(node, (const uint8_t *)"a", 1, NULL));
    REFUSED(caster_node_send_bare_json(node, "1", NULL));
    REFUSED(caster_node_set_meta_json(node, "1"));
    REFUSED(caster_node_meta_json(node, &json));
    REFUSED(caster_node_nodes(node, &nodes));
    REFUSED(caster_node_get(node, "a", &peer));
    REFUSED(caster_node_find(node, "a", NULL, &nodes));
    REFUSED(caster_node_find_all(node, texts, NULL, 1, &nodes));
    REFUSED(caster_node_stats(node, &stats));
    REFUSED(caster_node_stats_json(node, &json));
    REFUSED(caster_node_poll(node, -1, &event));
    REFUSED(caster_node_poll_batch(node, -1, &event, 1, &count));
    REFUSED(caster_node_fd(node, &fd));
    REFUSED(caster_node_on_up(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_update(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_down(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_message(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_error(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_conflict(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_isolated(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_rejoined(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_settled(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_hint(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_reject(node, ignore, NULL, NULL));
    REFUSED(caster_node_on_datagram(node, NULL, NULL, NULL));
    REFUSED(caster_node_watch_rejects(node, 1));
    REFUSED(caster_node_watch_datagrams(node, 1));
    REFUSED(caster_node_use(node, "a", pass, NULL, NULL, NULL));
    REFUSED(caster_node_clear_middleware(node));
    REFUSED(caster_node_middleware_json(node, &json));
    REFUSED(caster_node_use_json(node));
    REFUSED(caster_node_use_json_utf8(node));
    REFUSED(caster_node_use_hash(node, NULL, NULL));
    REFUSED(caster_node_use_hash_bytes(node, NULL, 0, NULL, NULL));
    REFUSED(caster_node_use_crypto(node, NULL, NULL));
    REFUSED(caster_node_use_crypto_bytes(node, NULL, 0, NULL));
    CHECK(!caster_node_is_up(node) && caster_node_count(node) == 0);
}

/* Every function of a caster that returns a status. */
static void refused_caster(caster_t *caster) {
    const uint8_t *bytes[] = {(const uint8_t *)"a"};
    const char *texts[] = {"1"};
    const size_t sizes[] = {1};
    caster_event_t *event = NULL;
    caster_stats_t stats = {.size = sizeof stats};
    char *json = NULL;
    size_t count = 0;
    int fd = -1;
    REFUSED(caster_use_json(caster));
    REFUSED(caster_use_json_utf8(caster));
    REFUSED(caster_use_hash(caster, NULL, NULL));
    REFUSED(caster_use_hash_bytes(caster, NULL, 0, NULL, NULL));
    REFUSED(caster_use_crypto(caster, NULL, NULL));
    REFUSED(caster_use_crypto_bytes(caster, NULL, 0, NULL));
    REFUSED(caster_clear_middleware(caster));
    REFUSED(caster_middleware_json(caster, &json));
    REFUSED(caster_use(caster, "a", pass, NULL, NULL, NULL));
    REFUSED(caster_bind(caster));
    REFUSED(caster_close(caster));
    REFUSED(caster_send(caster, bytes[0], 1, NULL));
    REFUSED(caster_send_json(caster, "1", NULL));
    REFUSED(caster_send_batch(caster, bytes, sizes, 1, NULL));
    REFUSED(caster_send_batch_json(caster, texts, 1, NULL));
    REFUSED(caster_send_text(caster, "a", NULL));
    REFUSED(caster_stats(caster, &stats));
    REFUSED(caster_stats_json(caster, &json));
    REFUSED(caster_poll(caster, -1, &event));
    REFUSED(caster_poll_batch(caster, -1, &event, 1, &count));
    REFUSED(caster_fd(caster, &fd));
    REFUSED(caster_on_message(caster, NULL, NULL, NULL));
    REFUSED(caster_on_error(caster, NULL, NULL, NULL));
    REFUSED(caster_on_reject(caster, NULL, NULL, NULL));
    REFUSED(caster_watch_rejects(caster, 1));
    CHECK(!caster_is_bound(caster));
}

static void refused_in_child(caster_node_t *dispatched, caster_node_t *polled, caster_t *caster) {
    long start = now_ms();
    refused_node(dispatched);
    refused_node(polled);
    refused_caster(caster);
    caster_node_free(dispatched);
    caster_node_free(polled);
    caster_free(caster);
    CHECK(now_ms() - start < 5000);
}

static void a_child_is_refused_and_does_not_hang(void) {
    caster_node_t *dispatched = make_node("{}"), *polled = make_node("{}");
    caster_t *caster = make_caster();
    int status = -1;
    pid_t child;
    OK(caster_node_on_up(dispatched, ignore, NULL, NULL));
    OK(caster_node_up(dispatched));
    OK(caster_node_up(polled));
    OK(caster_bind(caster));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        refused_in_child(dispatched, polled, caster);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* The parent is not affected. */
    OK(caster_node_send_text(polled, "still here", NULL));
    caster_node_free(dispatched);
    caster_node_free(polled);
    caster_free(caster);
}

static void a_child_makes_its_own(void) {
    caster_node_t *parent = make_node("{}");
    int status = -1;
    pid_t child;
    OK(caster_node_up(parent));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        caster_node_t *own;
        alarm(20);
        own = make_node("{}");
        OK(caster_node_up(own));
        OK(caster_node_send_text(own, "from the child", NULL));
        caster_node_free(own);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    caster_node_free(parent);
}

static void *keep_busy(void *of) {
    caster_node_t *node = of;
    char *json = NULL;
    int n;
    for (n = 0; n < 3000; n++) {
        caster_node_send_text(node, "busy", NULL);
        caster_node_set_meta_json(node, "1");
        if (caster_node_stats_json(node, &json) == CASTER_OK) caster_string_free(json);
    }
    return NULL;
}

/* Forks while threads of the parent are in calls, so that locks are held in the child's copy. */
static void a_child_of_a_busy_process_does_not_hang(void) {
    caster_node_t *node = make_node("{\"self\": true}");
    pthread_t threads[3];
    int n, status;
    OK(caster_node_on_message(node, ignore, NULL, NULL));
    OK(caster_node_up(node));
    for (n = 0; n < 3; n++) CHECK(pthread_create(&threads[n], NULL, keep_busy, node) == 0);
    for (n = 0; n < 40; n++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            refused_node(node);
            caster_node_free(node);
            _exit(0);
        }
        status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    for (n = 0; n < 3; n++) pthread_join(threads[n], NULL);
    caster_node_free(node);
}

int main(void) {
    RUN(a_child_is_refused_and_does_not_hang);
    RUN(a_child_of_a_busy_process_does_not_hang);
    RUN(a_child_makes_its_own);
    return 0;
}
