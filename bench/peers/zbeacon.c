/* zbeacon of CZMQ (Debian libczmq-dev) in the benchmarks: UDP broadcast beacons.
 *
 *   zbeacon peer|idle id=NAME port=N */
#include "../c/bench.h"
#include <czmq.h>

static int64_t began;
static volatile int leaving;

static void report(int done) {
    if (done) {
        leaving = 1;
        printf("{\"ev\":\"gone\",\"began\":%lld}\n", (long long)now_ns());
    }
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *id = argument(argv, "id", "idle");
    began = now_ns();
    zactor_t *beacon = zactor_new(zbeacon, NULL);
    zsock_send(beacon, "si", "CONFIGURE", (int)number(argv, "port", 10101));
    char *host = zstr_recv(beacon);
    if (!host || !*host) return fprintf(stderr, "no interface for beacons\n"), 1;
    zsock_send(beacon, "ss", "SUBSCRIBE", "");
    zsock_send(beacon, "sbi", "PUBLISH", id, strlen(id), 1000);
    printf("{\"ev\":\"ready\",\"began\":%lld}\n", (long long)began);
    fflush(stdout);
    if (!strcmp(argv[1], "idle"))
        for (;;) pause();
    bench_report = report;
    pthread_t thread;
    if (pthread_create(&thread, NULL, bench_listen, NULL)) fail("pthread_create");
    for (int known = 0; !leaving;) { /* it has no memory of its own: the first beacon is news */
        char *address = zstr_recv(beacon), *what = zstr_recv(beacon);
        if (!address || !what) break;
        if (!known && strcmp(what, id)) {
            known = 1;
            printf("{\"ev\":\"up\",\"id\":\"%s\",\"t\":%lld}\n", what, (long long)now_ns());
            fflush(stdout);
        }
        zstr_free(&address);
        zstr_free(&what);
    }
    return 0;
}
