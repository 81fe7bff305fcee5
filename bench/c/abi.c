/* Our C library in the benchmarks.
 *
 *   abi receive way=callbacks|poll stack=raw|hash|crypto|node port=N
 *   abi send    stack=...|node port=N size=BYTES seconds=N [loopback=1]
 *   abi ping    stack=...|node port=N size=BYTES count=N
 *   abi pong    stack=...|node port=N size=BYTES
 *   abi idle    way=callbacks|poll port=N */
#include "bench.h"
#include <caster.h>

static int64_t cpu_before;
static volatile int64_t messages, first_ns, last_ns;
static int raw;
static caster_t *receiver;

static void check(caster_status_t status) {
    if (status) {
        fprintf(stderr, "%s\n", caster_last_error());
        exit(1);
    }
}

static long long rejected(void) {
    char *stats = NULL, *found = NULL;
    if (receiver && !caster_stats_json(receiver, &stats)) found = strstr(stats, "\"hash\":");
    long long count = found ? atoll(found + strlen("\"hash\":")) : 0;
    caster_string_free(stats);
    return count;
}

static void report(int done) {
    printf("{\"ev\":\"%s\",\"messages\":%lld,\"rejected\":%lld,\"first\":%lld,\"last\":%lld,\"cpu_us\":%lld}\n", done ? "done" : "report",
           (long long)messages, rejected(), (long long)first_ns, (long long)last_ns, (long long)(cpu_us() - cpu_before));
}

static void count(void) {
    if (!messages++) first_ns = now_ns();
    if (!(messages & 63)) last_ns = now_ns();
}

static void on_caster(caster_t *caster, const caster_event_t *event, void *user_data) {
    (void)caster, (void)event, (void)user_data;
    count();
}

static void on_node(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
    count();
}

static void on_peer(caster_node_t *node, const caster_event_t *event, void *user_data) {
    (void)node, (void)event, (void)user_data;
}

static int without_loopback;

static caster_options_t *options(caster_options_t *options, char **argv) {
    const char *more = argument(argv, "options", NULL);
    check(caster_options_set_int(options, "port", (int)number(argv, "port", 10101)));
    check(caster_options_set_int(options, "maxDatagrams", 1000000000));
    if (without_loopback) check(caster_options_set_bool(options, "loopback", 0));
    if (more) check(caster_options_merge_json(options, more));
    return options;
}

static caster_t *make_caster(char **argv) {
    const char *stack = argument(argv, "stack", "hash");
    caster_t *caster = NULL;
    check(caster_new(options(caster_options_new_caster(), argv), &caster));
    raw = !strcmp(stack, "raw");
    if (!raw) check(caster_use_json(caster)), check(caster_use_hash(caster, NULL, NULL));
    if (!strcmp(stack, "crypto")) check(caster_use_crypto(caster, NULL, NULL));
    return caster;
}

static caster_node_t *make_node(char **argv) {
    caster_node_t *node = NULL;
    caster_options_t *it = options(caster_options_new_node(), argv);
    check(caster_options_set_int(it, "maxNodes", 1000000));
    check(caster_options_set_int(it, "maxNewNodes", 1000000));
    check(caster_node_new(it, &node));
    caster_options_free(it);
    return node;
}

static void receive(char **argv) {
    enum { MOST = 256 };
    static caster_event_t *events[MOST];
    size_t taken;
    int poll = !strcmp(argument(argv, "way", "callbacks"), "poll");
    cpu_before = cpu_us();
    if (!strcmp(argument(argv, "stack", "hash"), "node")) {
        caster_node_t *node = make_node(argv);
        if (!poll) check(caster_node_on_message(node, on_node, NULL, NULL));
        check(caster_node_up(node));
        bench_ready(report);
        while (poll) {
            if (caster_node_poll_batch(node, 1000, events, MOST, &taken)) continue;
            for (size_t i = 0; i < taken; i++) {
                if (caster_event_message_json(events[i])) count();
                caster_event_free(events[i]);
            }
        }
    } else {
        caster_t *caster = receiver = make_caster(argv);
        if (!poll) check(caster_on_message(caster, on_caster, NULL, NULL));
        check(caster_bind(caster));
        bench_ready(report);
        while (poll) {
            if (caster_poll_batch(caster, 1000, events, MOST, &taken)) continue;
            for (size_t i = 0; i < taken; i++) {
                count();
                caster_event_free(events[i]);
            }
        }
    }
    for (;;) pause();
}

/* The sender and receiver of the rows of sending and of round trips: a caster, or a node with
 * stack=node, which puts its own envelope of the same size around a message. */
static caster_t *caster;
static caster_node_t *node;

static void open_party(char **argv) {
    if (strcmp(argument(argv, "stack", "hash"), "node")) {
        caster = make_caster(argv);
        check(caster_bind(caster));
        return;
    }
    char id[6];
    caster_options_t *it = options(caster_options_new_node(), argv);
    snprintf(id, sizeof id, "%-5s", argv[1]);
    check(caster_options_set_string(it, "id", id));
    check(caster_node_new(it, &node));
    caster_options_free(it);
    check(caster_node_up(node));
}

static int fill(char *out, char tag, int64_t sequence, int size) {
    const char *head = raw ? "" : node ? "\"" : "{\"id\":\"bench\",\"message\":\"";
    const char *tail = raw ? "" : node ? "\"" : "\"}";
    if (node) size -= (int)strlen("{\"id\":\"bench\",\"message\":}");
    return bench_fill(out, head, tag, sequence, size, tail);
}

static int send_one(char tag, int64_t sequence, int size) {
    static char text[MAX_DATAGRAM + 64];
    int length = fill(text, tag, sequence, size);
    size_t bytes;
    if (node) return caster_node_send_json(node, text, &bytes);
    return raw ? caster_send(caster, (const uint8_t *)text, (size_t)length, &bytes) : caster_send_json(caster, text, &bytes);
}

/* So many messages with one call. */
static int send_many(int batch, int64_t sequence, int size) {
    enum { MOST = 64 };
    static char texts[MOST][MAX_DATAGRAM + 64];
    const char *json[MOST];
    const uint8_t *data[MOST];
    size_t sizes[MOST], bytes;
    for (int i = 0; i < batch; i++) {
        sizes[i] = (size_t)fill(texts[i], 'Q', sequence + i, size);
        json[i] = texts[i];
        data[i] = (const uint8_t *)texts[i];
    }
    return raw ? caster_send_batch(caster, data, sizes, (size_t)batch, &bytes)
               : caster_send_batch_json(caster, json, (size_t)batch, &bytes);
}

static void send_all(char **argv) {
    int size = (int)number(argv, "size", 64), batch = (int)number(argv, "batch", 0);
    int64_t sent = 0, errors = 0, cpu, start, end;
    open_party(argv);
    cpu = cpu_us(), start = now_ns(), end = start + (int64_t)(number(argv, "seconds", 1) * 1e9);
    for (int64_t calls = 0; calls % 16 || now_ns() < end; calls++) {
        if (batch) *(send_many(batch, sent, size) ? &errors : &sent) += batch;
        else send_one('Q', sent, size) ? errors++ : sent++;
    }
    printf("{\"ev\":\"done\",\"sent\":%lld,\"seconds\":%.4f,\"cpu_us\":%lld,\"errors\":%lld}\n", (long long)sent,
           (double)(now_ns() - start) * 1e-9, (long long)(cpu_us() - cpu), (long long)errors);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void ping_pong(char **argv, int ping) {
    enum { WARM_UP = 200 };
    int size = (int)number(argv, "size", 64), amount = (int)number(argv, "count", 2000), n = 0, lost = 0;
    open_party(argv);
    int skip = raw ? 0 : node ? 1 : (int)strlen("{\"id\":\"bench\",\"message\":\"");
    int64_t *took = calloc((size_t)amount + WARM_UP, sizeof *took);
    bench_ready(report);
    for (int64_t sequence = 0; !ping || sequence < amount + WARM_UP; sequence++) {
        int64_t start = now_ns();
        if (ping) send_one('Q', sequence, size);
        for (;;) {
            caster_event_t *event;
            if (node ? caster_node_poll(node, 200, &event) : caster_poll(caster, 200, &event)) {
                if (!ping) continue;
                lost++;
                break;
            }
            const char *text = (const char *)(node ? (const void *)caster_event_message_json(event) : caster_event_message_data(event));
            int usable = text && (node ? strlen(text) : caster_event_message_size(event)) >= (size_t)skip + 9;
            char tag = usable ? text[skip] : 0;
            int64_t heard = usable ? strtoll(text + skip + 1, NULL, 10) : -1;
            caster_event_free(event);
            if (!ping && tag == 'Q') send_one('R', heard, size);
            if (!ping || tag != 'R' || heard != sequence) continue;
            if (sequence >= WARM_UP) took[n++] = now_ns() - start;
            break;
        }
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    printf("{\"ev\":\"done\",\"count\":%d,\"lost\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", n, lost,
           n ? (double)took[n / 2] / 1e3 : 0, n ? (double)took[n * 99 / 100] / 1e3 : 0);
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "abi receive|send|ping|pong|idle [...]\n"), 2;
    without_loopback = !strcmp(argv[1], "send") && !number(argv, "loopback", 0);
    if (!strcmp(argv[1], "receive")) receive(argv);
    else if (!strcmp(argv[1], "send")) send_all(argv);
    else if (!strcmp(argv[1], "ping")) ping_pong(argv, 1);
    else if (!strcmp(argv[1], "pong")) ping_pong(argv, 0);
    else if (!strcmp(argv[1], "idle")) {
        caster_node_t *node = make_node(argv);
        if (strcmp(argument(argv, "way", "poll"), "poll")) check(caster_node_on_up(node, on_peer, NULL, NULL));
        check(caster_node_up(node));
        puts("{\"ev\":\"ready\"}");
        fflush(stdout);
        for (;;) pause();
    } else return 2;
    return 0;
}
