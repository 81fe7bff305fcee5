/* Many lives: descriptors, threads and memory are as before. Exits with nodes that live, and forks while nodes are
 * made and freed. CASTER_LIVES and CASTER_EXITS ask for more of them than the quick form has, and CASTER_MEMORY_KIB
 * allows more memory, which the quarantine of a sanitizer needs. */
#include "forked.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static const char *program;

static int number(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }

/* Resident memory in KiB. */
static long memory(void) {
    char line[128];
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fgets(line, sizeof line, file) && sscanf(line, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void live(int n) {
    caster_node_t *node = make_node("{\"id\": \"one of many\"}");
    caster_t *caster = make_caster();
    int drops = 0;
    if (n % 2) OK(caster_node_on_up(node, ignore, &drops, count_drop));
    OK(caster_use_json(caster));
    OK(caster_node_up(node));
    OK(caster_bind(caster));
    OK(caster_node_send_text(node, "hello", NULL));
    OK(caster_send_text(caster, "hello", NULL));
    if (n % 3) OK(caster_node_down(node));
    caster_node_free(node);
    caster_free(caster);
    CHECK(drops == n % 2);
}

static void many_lives_leave_nothing(void) {
    int n, lives = number("CASTER_LIVES", 300);
    int before = descriptors(), threads_before = threads();
    long after_some = 0, after_all;
    alarm(60 + (unsigned)lives / 10);
    for (n = 0; n < lives; n++) {
        if (n == lives / 3) after_some = memory();
        live(n);
    }
    after_all = memory();
    CHECK(descriptors() == before);
    wait_for_threads(threads_before);
    printf("  %d lives: %ld KiB, and %ld KiB after a third of them\n", lives, after_all, after_some);
    CHECK(after_all - after_some < number("CASTER_MEMORY_KIB", 4096));
}

/* The process ends with nodes that are up, with callbacks that run, and with threads in calls. */
static void *keep_sending(void *node) {
    while (caster_node_send_text(node, "x", NULL) != CASTER_ERR_INVALID_ARGUMENT) sleep_ms(1);
    return NULL;
}

static int end_with_live_nodes(int way) {
    enum { NODES = 100 };
    static caster_node_t *nodes[NODES];
    pthread_t thread;
    int n;
    for (n = 0; n < NODES; n++) {
        nodes[n] = make_node("{\"self\": true}");
        if (n % 2) OK(caster_node_on_message(nodes[n], ignore, NULL, NULL));
        OK(caster_node_up(nodes[n]));
    }
    CHECK(pthread_create(&thread, NULL, keep_sending, nodes[0]) == 0);
    sleep_ms(way % 7);
    if (way % 3 == 0) exit(0);
    if (way % 3 == 1) caster_node_free(nodes[1]), _exit(0);
    return 0; /* from main */
}

static void a_process_may_end_with_a_hundred_live_nodes(void) {
    int n, status, exits = number("CASTER_EXITS", 15);
    alarm(60 + (unsigned)exits);
    for (n = 0; n < exits; n++) {
        char way[16];
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            sprintf(way, "%d", n);
            execl(program, program, "end", way, (char *)NULL);
            _exit(127);
        }
        status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fprintf(stderr, "exit %d: status %x\n", n, status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static int stop;

static void *make_and_free(void *user_data) {
    (void)user_data;
    while (!get(&stop)) {
        caster_node_t *node = make_node("{}");
        caster_node_up(node);
        caster_node_free(node);
    }
    return NULL;
}

static void a_child_of_a_process_that_makes_and_frees_nodes_makes_its_own(void) {
    pthread_t threads[3];
    int n, status, forks = number("CASTER_EXITS", 40);
    alarm(60 + (unsigned)forks);
    set(&stop, 0);
    for (n = 0; n < 3; n++) CHECK(pthread_create(&threads[n], NULL, make_and_free, NULL) == 0);
    for (n = 0; n < forks; n++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) make_a_node_and_exit();
        status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    set(&stop, 1);
    for (n = 0; n < 3; n++) pthread_join(threads[n], NULL);
}

static void dlclose_leaves_a_hundred_live_nodes_alone(void) {
    enum { NODES = 100 };
    static caster_node_t *nodes[NODES];
    int n, times = number("CASTER_EXITS", 100);
    alarm(60 + (unsigned)times / 10);
    for (n = 0; n < NODES; n++) {
        nodes[n] = make_node("{\"self\": true}");
        OK(caster_node_up(nodes[n]));
    }
    for (n = 0; n < times; n++) {
        void *library = dlopen("libcaster.so.0", RTLD_NOW);
        CHECK(library && dlsym(library, "caster_node_new"));
        CHECK(dlclose(library) == 0);
    }
    for (n = 0; n < NODES; n++) {
        OK(caster_node_send_text(nodes[n], "still here", NULL));
        caster_event_free(next_event(nodes[n], CASTER_EVENT_MESSAGE));
    }
    for (n = 0; n < NODES; n++) caster_node_free(nodes[n]);
}

static void nothing(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event;
    add(user_data);
    sleep_ms(number("CASTER_BLOCK_MS", 1500));
}

/* Of a callback that blocks, other nodes, sending and the own heartbeats notice nothing. */
static void a_callback_that_blocks_delays_only_its_own_events(void) {
    caster_node_t *a = make_node("{\"id\": \"a\"}"), *b = make_node("{\"id\": \"b\"}");
    int calls = 0, n;
    long began;
    caster_event_t *event;
    OK(caster_node_on_message(a, nothing, &calls, NULL));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    caster_event_free(next_event(b, CASTER_EVENT_UP));
    OK(caster_node_send_text(b, "block", NULL));
    wait_for(&calls, 1);
    began = now_ms();
    for (n = 0; n < 20; n++) {
        OK(caster_node_send_text(a, "while it blocks", NULL));
        event = next_event(b, CASTER_EVENT_MESSAGE);
        caster_event_free(event);
    }
    CHECK(get(&calls) == 1 || now_ms() - began >= number("CASTER_BLOCK_MS", 1500));
    CHECK(caster_node_count(b) == 1);
    caster_node_free(b);
    caster_node_free(a);
}

int main(int count, char **arguments) {
    program = arguments[0];
    if (count == 3 && !strcmp(arguments[1], "end")) {
        alarm(60);
        return end_with_live_nodes(atoi(arguments[2]));
    }
    RUN(many_lives_leave_nothing);
    RUN(a_callback_that_blocks_delays_only_its_own_events);
    RUN(a_process_may_end_with_a_hundred_live_nodes);
    if (allocator_is_prepared) RUN(a_child_of_a_process_that_makes_and_frees_nodes_makes_its_own);
    RUN(dlclose_leaves_a_hundred_live_nodes_alone);
    return 0;
}
