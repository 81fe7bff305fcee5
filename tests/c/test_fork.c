/* A forked child: handles of the parent are refused without a hang, and its own handles work. */
#include "check.h"

#include <sys/wait.h>

static void ignore(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

static void refused_in_child(caster_node_t *dispatched, caster_node_t *polled, caster_t *caster) {
    caster_event_t *event = NULL;
    size_t count = 0;
    int fd = -1;
    long start = now_ms();
    FAILS(CASTER_ERR_FORKED, "process", caster_node_up(polled));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_down(polled));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_send_text(polled, "a", NULL));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_set_meta_json(polled, "1"));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_poll(polled, -1, &event));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_poll_batch(polled, -1, &event, 1, &count));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_fd(polled, &fd));
    FAILS(CASTER_ERR_FORKED, "process", caster_node_on_up(dispatched, ignore, NULL, NULL));
    FAILS(CASTER_ERR_FORKED, "process", caster_bind(caster));
    FAILS(CASTER_ERR_FORKED, "process", caster_close(caster));
    FAILS(CASTER_ERR_FORKED, "process", caster_send(caster, (const uint8_t *)"a", 1, NULL));
    FAILS(CASTER_ERR_FORKED, "process", caster_poll(caster, -1, &event));
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

int main(void) {
    RUN(a_child_is_refused_and_does_not_hang);
    RUN(a_child_makes_its_own);
    return 0;
}
