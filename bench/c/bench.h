/* Shared by the C programs of the benchmarks: arguments, time, CPU time, and the two commands that
 * they understand on standard input (a line asks for a report, the end of it ends the program). */
#ifndef CASTER_BENCH_H
#define CASTER_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define GROUP "224.0.0.42"
#define MAX_DATAGRAM 65507

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* The value of `name=value` among the arguments, or a default. */
static inline const char *argument(char **argv, const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (; *argv; argv++)
        if (!strncmp(*argv, name, length) && (*argv)[length] == '=') return *argv + length + 1;
    return otherwise;
}

static inline double number(char **argv, const char *name, double otherwise) {
    const char *text = argument(argv, name, NULL);
    return text ? atof(text) : otherwise;
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void sleep_until(int64_t ns) {
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* CPU time of the whole process, user and system, in microseconds. */
static inline int64_t cpu_us(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000LL + use.ru_utime.tv_usec +
           use.ru_stime.tv_usec;
}

/* Writes a payload of `size` bytes: the head, a tag with eight digits, x up to the tail. Returns its length. By
 * hand, as sprintf would take longer than some of what is measured. */
static inline int bench_fill(char *out, const char *head, char tag, int64_t sequence, int size, const char *tail) {
    enum { DIGITS = 8 };
    int n = (int)strlen(head), end = (int)strlen(tail), room = size - end;
    memcpy(out, head, (size_t)n);
    out[n++] = tag;
    for (int at = DIGITS; at-- > 0; sequence /= 10) out[n + at] = (char)('0' + sequence % 10);
    n += DIGITS;
    if (n < room) memset(out + n, 'x', (size_t)(room - n)), n = room;
    memcpy(out + n, tail, (size_t)end + 1);
    return n + end;
}

/* Calls `report(0)` for each line on standard input, `report(1)` at its end, and exits then. */
static void (*bench_report)(int done);
static inline void *bench_listen(void *unused) {
    char line[64];
    (void)unused;
    while (read(0, line, sizeof line) > 0) {
        bench_report(0);
        fflush(stdout);
    }
    bench_report(1);
    fflush(stdout);
    _exit(0);
}
static inline void bench_ready(void (*report)(int done)) {
    pthread_t thread;
    bench_report = report;
    if (pthread_create(&thread, NULL, bench_listen, NULL)) fail("pthread_create");
    puts("{\"ev\":\"ready\"}");
    fflush(stdout);
}

static inline struct sockaddr_in group_address(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, GROUP, &to.sin_addr);
    return to;
}

#endif
