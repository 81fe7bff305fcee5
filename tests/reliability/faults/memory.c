/* The k-th allocation of a call fails, for each k. A call either returns as ever, or an error with a text, or the process ends
 * with SIGABRT after a line that says why: Rust ends a process that has no memory. It never ends by another signal, hangs,
 * or returns something wrong.
 *
 *   memory [MOST]     MOST: how many allocations of each call fail in turn */
#include <caster.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 12, SECONDS = 60 };

/* Allocations of this program and of its libraries come here. The functions with underscores are those of glibc. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_int left; /* The allocation with which it gets 0 fails. */

static int fails(void) {
    return atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1;
}

void *malloc(size_t size) {
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    return fails() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **to, size_t alignment, size_t size) {
    *to = fails() ? NULL : __libc_memalign(alignment, size);
    return *to ? 0 : ENOMEM;
}

static caster_options_t *options;
static caster_node_t *node;

/* 0, or what a call says that has failed. */
static int make_options(void) {
    options = caster_options_new_node();
    return options ? 0 : CASTER_ERR_INTERNAL;
}

static int set_options(void) {
    return caster_options_merge_json(options, "{\"port\": 23740, \"range\": \"host\", \"id\": \"subject\", \"meta\": {\"a\": [1, \"b\"]}}");
}

static int make_node(void) {
    return caster_node_new(options, &node);
}

static int up(void) {
    return caster_node_up(node);
}

static int set_meta(void) {
    return caster_node_set_meta_json(node, "{\"c\": {\"d\": 2}}");
}

static int send(void) {
    return caster_node_send_json(node, "{\"text\": \"hello\"}", NULL);
}

static int poll(void) {
    caster_event_t *event = NULL;
    int status = caster_node_poll(node, 20, &event);
    caster_event_free(event);
    return status == CASTER_ERR_TIMED_OUT ? 0 : status;
}

static int list(void) {
    caster_nodes_t *nodes = NULL;
    int status = caster_node_nodes(node, &nodes);
    if (!status && caster_nodes_count(nodes)) return puts("a node that is not there"), 99;
    caster_nodes_free(nodes);
    return status;
}

static int count(void) {
    char *stats = NULL;
    int status = caster_node_stats_json(node, &stats);
    if (!status && (!stats || *stats != '{')) return puts("no counters"), 99;
    caster_string_free(stats);
    return status;
}

static int down(void) {
    return caster_node_down(node);
}

static int release(void) {
    caster_node_free(node);
    caster_options_free(options);
    return 0;
}

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {
    {"options_new_node", make_options}, {"options_merge_json", set_options}, {"node_new", make_node},
    {"node_up", up},   {"node_set_meta_json", set_meta}, {"node_send_json", send}, {"node_poll", poll},
    {"node_nodes", list}, {"node_stats_json", count}, {"node_down", down}, {"node_free", release},
};

enum { CALLS = sizeof calls / sizeof *calls, ENDED = 0, TOLD = 1, WRONG = 2, BEYOND = 3 };

/* Makes all calls. One allocation of call `at` fails. The status of the process that runs it. */
static int life(int at, int number) {
    int n, reached = 0;
    alarm(SECONDS);
    for (n = 0; n < CALLS; n++) {
        int status;
        if (n == at) atomic_store(&left, number);
        status = calls[n].call();
        if (n == at) reached = atomic_exchange(&left, 0) == 0;
        if (!status) continue;
        if (n != at || status > 0) return WRONG;
        return caster_last_error() && *caster_last_error() ? TOLD : WRONG;
    }
    return reached ? ENDED : BEYOND;
}

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : MOST, at, number, failures = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (at = 0; at < CALLS; at++) {
        int as_ever = 0, told = 0, aborted = 0;
        for (number = 1; number <= most; number++) {
            char text[200] = "";
            int status, ends[2];
            ssize_t size;
            pid_t child;
            if (pipe(ends)) return perror("pipe"), 1;
            child = fork();
            if (child < 0) return perror("fork"), 1;
            if (!child) {
                dup2(ends[1], 2);
                _exit(life(at, number));
            }
            close(ends[1]);
            if (waitpid(child, &status, 0) != child) return perror("waitpid"), 1;
            size = read(ends[0], text, sizeof text - 1);
            close(ends[0]);
            if (size >= 0) text[size] = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == BEYOND) break;
            if (WIFEXITED(status) && WEXITSTATUS(status) == ENDED) as_ever++;
            else if (WIFEXITED(status) && WEXITSTATUS(status) == TOLD) told++;
            else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, "memory allocation of")) aborted++;
            else printf("%s, allocation %d: status %#x: %s\n", calls[at].name, number, status, text), failures++;
        }
        printf("%s: %d as ever, %d errors, %d aborts\n", calls[at].name, as_ever, told, aborted);
    }
    return failures != 0;
}
