/* Forks while a node is up: the child gets the code of forked handles, frees them and ends; the parent goes on. */
#define _POSIX_C_SOURCE 200809L
#include <caster.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignore(caster_node_t *node, const caster_event_t *event, void *data) {
    (void)node;
    (void)event;
    (void)data;
}

int main(void) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node;
    pid_t child;
    int status = -1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    caster_options_set_string(options, "id", "parent");
    caster_options_set_int(options, "heartbeat", 250);
    if (caster_node_new(options, &node) != CASTER_OK) return 2;
    caster_options_free(options);
    caster_node_on_up(node, ignore, NULL, NULL);
    if (caster_node_up(node) != CASTER_OK) return 3;
    child = fork();
    if (child == 0) {
        alarm(20);
        status = caster_node_send_text(node, "of the child", NULL);
        caster_node_free(node);
        _exit(status == CASTER_ERR_FORKED ? 7 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return 4;
    printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    getchar();
    caster_node_free(node);
    return 0;
}
