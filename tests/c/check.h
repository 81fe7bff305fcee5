/*
 * Helpers of the test programs. A test program is one process: the first check that
 * fails ends it with status 1 and says where, and nothing runs for longer than a minute.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include <caster.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long to wait for anything that should happen. */
#define DEADLINE_MS 20000

#define CHECK(condition) check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
/* A call that has to go well. */
#define OK(call) check_status((call), CASTER_OK, #call, __FILE__, __LINE__)
/* A call that has to fail with this status, and an error text that has `part` in it. */
#define FAILS(status, part, call) check_failure((call), (status), (part), #call, __FILE__, __LINE__)
#define TEXT(text, expected) check_text((text), (expected), #text, __FILE__, __LINE__)

static inline void check(int holds, const char *what, const char *file, int line) {
    if (!holds) {
        fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
        exit(1);
    }
}

static inline void check_status(caster_status_t status, caster_status_t expected, const char *what,
                                const char *file, int line) {
    if (status != expected) {
        fprintf(stderr, "%s:%d: %s: %s instead of %s (last error: %s)\n", file, line, what,
                caster_status_name(status), caster_status_name(expected), caster_last_error());
        exit(1);
    }
}

static inline void check_failure(caster_status_t status, caster_status_t expected,
                                 const char *part, const char *what, const char *file, int line) {
    check_status(status, expected, what, file, line);
    if (!strstr(caster_last_error(), part)) {
        fprintf(stderr, "%s:%d: %s: \"%s\" does not say \"%s\"\n", file, line, what,
                caster_last_error(), part);
        exit(1);
    }
}

static inline void check_text(const char *text, const char *expected, const char *what,
                              const char *file, int line) {
    if (!text || strcmp(text, expected) != 0) {
        fprintf(stderr, "%s:%d: %s is \"%s\" instead of \"%s\"\n", file, line, what,
                text ? text : "(NULL)", expected);
        exit(1);
    }
}

/* Counters that several threads use. */
static inline void add(int *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST); }
static inline int get(const int *counter) { return __atomic_load_n(counter, __ATOMIC_SEQ_CST); }
static inline void set(int *counter, int to) { __atomic_store_n(counter, to, __ATOMIC_SEQ_CST); }

/* A drop hook that counts its calls in the int that user_data points to. */
static inline void count_drop(void *user_data) { add((int *)user_data); }

static inline long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(long ms) {
    struct timespec time;
    time.tv_sec = ms / 1000;
    time.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&time, NULL);
}

/* Waits until a counter has reached a number. */
static inline void wait_for(const int *counter, int number) {
    long end = now_ms() + DEADLINE_MS;
    while (get(counter) < number) {
        CHECK(now_ms() < end);
        sleep_ms(5);
    }
}

/* A group and port of this process alone. */
static inline const char *test_group(void) {
    static char group[32];
    if (!*group) {
        unsigned pid = (unsigned)getpid();
        sprintf(group, "239.%u.%u.%u", 1 + pid / 65536 % 250, pid / 256 % 256, pid % 256);
    }
    return group;
}

static inline int test_port(void) {
    static int port;
    if (!port) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        port = 22000 + (int)((unsigned long)(now.tv_nsec / 1000 + getpid() * 7919L) % 10000);
    }
    return port;
}

static inline void stay_on_loopback(caster_options_t *options) {
    OK(caster_options_set_string(options, "address", "127.0.0.1"));
    OK(caster_options_set_string(options, "multicast", test_group()));
    OK(caster_options_set_int(options, "port", test_port()));
}

/* A node on loopback; `json` has more options. */
static inline caster_node_t *make_node(const char *json) {
    caster_options_t *options = caster_options_new_node();
    caster_node_t *node = NULL;
    stay_on_loopback(options);
    OK(caster_options_set_int(options, "heartbeat", 100));
    OK(caster_options_merge_json(options, json));
    OK(caster_node_new(options, &node));
    caster_options_free(options);
    return node;
}

/* A caster on loopback, without middleware, not yet bound. */
static inline caster_t *make_caster(void) {
    caster_options_t *options = caster_options_new_caster();
    caster_t *caster = NULL;
    stay_on_loopback(options);
    OK(caster_new(options, &caster));
    caster_options_free(options);
    return caster;
}

/* The next event of this type; others are passed over. The caller frees it. */
static inline caster_event_t *next_event(caster_node_t *node, int type) {
    long end = now_ms() + DEADLINE_MS;
    for (;;) {
        caster_event_t *event = NULL;
        CHECK(now_ms() < end);
        OK(caster_node_poll(node, DEADLINE_MS, &event));
        if (caster_event_type(event) == type) {
            return event;
        }
        caster_event_free(event);
    }
}

/* Starts a node and takes its event settled, which has no values. Without a peer it is the first. */
static inline void up_and_settled(caster_node_t *node) {
    caster_event_t *event = NULL;
    OK(caster_node_up(node));
    OK(caster_node_poll(node, DEADLINE_MS, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_SETTLED);
    TEXT(caster_event_name(event), "settled");
    CHECK(!caster_event_peer(event) && !caster_event_message_json(event));
    CHECK(!caster_event_hint_text(event) && !caster_event_error_text(event));
    caster_event_free(event);
}

static inline caster_event_t *next_message(caster_t *caster) {
    caster_event_t *event = NULL;
    OK(caster_poll(caster, DEADLINE_MS, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_MESSAGE);
    return event;
}

static inline unsigned long number_after(const char *json, const char *key) {
    char quoted[64];
    const char *at;
    sprintf(quoted, "\"%s\":", key);
    at = strstr(json, quoted);
    CHECK(at);
    return strtoul(at + strlen(quoted), NULL, 10);
}

/* One of the counters of a node. */
static inline unsigned long node_stat(const caster_node_t *node, const char *key) {
    char *json = NULL;
    unsigned long number;
    OK(caster_node_stats_json(node, &json));
    number = number_after(json, key);
    caster_string_free(json);
    return number;
}

/* Waits until a counter of a node has reached a number. */
static inline void wait_for_stat(const caster_node_t *node, const char *key, unsigned long number) {
    long end = now_ms() + DEADLINE_MS;
    while (node_stat(node, key) < number) {
        if (now_ms() >= end) {
            fprintf(stderr, "%s is %lu and not %lu\n", key, node_stat(node, key), number);
            exit(1);
        }
        sleep_ms(5);
    }
}

/* How many entries a directory has: file descriptors, threads. */
static inline int entries(const char *path) {
    int count = 0;
    DIR *directory = opendir(path);
    CHECK(directory);
    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count;
}

#ifdef __SANITIZE_THREAD__
/* The runtime of the thread sanitizer starts a thread of its own beside the first one of the program: now. */
#include <pthread.h>
static inline void *no_work(void *nothing) { return nothing; }
static inline int threads(void) {
    static int started;
    pthread_t thread;
    if (!started) {
        started = 1;
        CHECK(pthread_create(&thread, NULL, no_work, NULL) == 0 && pthread_join(thread, NULL) == 0);
        sleep_ms(100);
    }
    return entries("/proc/self/task");
}
#else
static inline int threads(void) { return entries("/proc/self/task"); }
#endif
static inline int descriptors(void) { return entries("/proc/self/fd"); }

/* A thread that has ended may be listed for a moment longer. */
static inline void wait_for_threads(int number) {
    long end = now_ms() + DEADLINE_MS;
    while (threads() != number) {
        CHECK(now_ms() < end);
        sleep_ms(5);
    }
}

/* Runs one test and says so. */
#define RUN(test)              \
    do {                       \
        alarm(60);             \
        test();                \
        printf("  %s\n", #test); \
        fflush(stdout);        \
    } while (0)

#endif
