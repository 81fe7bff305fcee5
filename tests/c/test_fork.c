/* A forked child: handles of the parent are refused without a hang, and its own handles work. */
#include "forked.h"

#include <pthread.h>
#include <sys/wait.h>

static const struct refusal forked = {CASTER_ERR_FORKED, "process"};

static void refused_in_child(caster_node_t *dispatched, caster_node_t *polled, caster_t *caster) {
    long start = now_ms();
    refused_node(dispatched, forked);
    refused_node(polled, forked);
    refused_caster(caster, forked);
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
    if (child == 0) make_a_node_and_exit();
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    caster_node_free(parent);
}

static int forked_often;

static void *keep_busy(void *of) {
    caster_node_t *node = of;
    char *json = NULL;
    while (!get(&forked_often)) {
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
            refused_node(node, forked);
            caster_node_free(node);
            _exit(0);
        }
        status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    set(&forked_often, 1);
    for (n = 0; n < 3; n++) pthread_join(threads[n], NULL);
    caster_node_free(node);
}

int main(void) {
    RUN(a_child_is_refused_and_does_not_hang);
    if (allocator_is_prepared) RUN(a_child_of_a_busy_process_does_not_hang);
    if (a_child_may_have_threads) RUN(a_child_makes_its_own);
    return 0;
}
