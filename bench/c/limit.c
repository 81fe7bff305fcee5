/* The limit that the kernel sets: nothing but system calls and the stack's hash and cipher work,
 * done by OpenSSL. No JSON is parsed.
 *
 *   limit receive way=recvfrom|recvmmsg|gro stack=raw|hash|crypto port=N [batch=64]
 *   limit send    way=sendto|sendmmsg|gso   stack=... port=N size=BYTES seconds=N [batch=64] [loopback=1] [member=1]
 *   limit ping    stack=... port=N size=BYTES count=N [spin=1]
 *   limit pong    stack=... port=N size=BYTES [spin=1]
 *   limit idle    stack=... port=N */
#include "stack.h"
#include <sys/epoll.h>

#define MAX_BATCH 64

static struct codec codec;
static int64_t cpu_before;
static volatile int64_t messages, rejected, first_ns, last_ns;

static int open_socket(int port, int bound, int loopback) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1, large = 4 << 20;
    unsigned char ttl = 64;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in group = group_address(port);
    struct ip_mreq membership = {.imr_multiaddr = group.sin_addr};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, 1);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    if (!bound) {
        unsigned char loop = (unsigned char)loopback; /* as the others: what comes back would be counted, too */
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, 1);
        if (connect(fd, (struct sockaddr *)&group, sizeof group)) fail("connect");
        return fd;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
    if (bind(fd, (struct sockaddr *)&any, sizeof any)) fail("bind");
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership)) fail("join");
    return fd;
}

static void report(int done) {
    printf("{\"ev\":\"%s\",\"messages\":%lld,\"rejected\":%lld,\"first\":%lld,\"last\":%lld,\"cpu_us\":%lld}\n",
           done ? "done" : "report", (long long)messages, (long long)rejected, (long long)first_ns,
           (long long)last_ns, (long long)(cpu_us() - cpu_before));
}

static void take(const unsigned char *data, int length) {
    const unsigned char *payload;
    if (codec_in(&codec, data, length, &payload) < 0) rejected++;
    else messages++;
}

static void receive(char **argv) {
    const char *way = argument(argv, "way", "recvmmsg");
    int batch = (int)number(argv, "batch", 64), gro = !strcmp(way, "gro"), one = 1;
    int fd = open_socket((int)number(argv, "port", 10101), 1, 1);
    static unsigned char buffers[MAX_BATCH][65536];
    static struct iovec parts[MAX_BATCH];
    static struct mmsghdr many[MAX_BATCH];
    static struct sockaddr_in from[MAX_BATCH];
    static union {
        char space[64];
        struct cmsghdr align;
    } control[MAX_BATCH];
    if (gro && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof one)) fail("UDP_GRO");
    cpu_before = cpu_us();
    bench_ready(report);
    if (!strcmp(way, "recvfrom"))
        for (;;) {
            socklen_t size = sizeof from[0];
            ssize_t length = recvfrom(fd, buffers[0], sizeof buffers[0], 0, (struct sockaddr *)from, &size);
            if (length < 0) continue;
            if (!first_ns) first_ns = now_ns();
            take(buffers[0], (int)length);
            if (!(messages & 63)) last_ns = now_ns();
        }
    for (;;) {
        for (int i = 0; i < batch; i++) {
            parts[i] = (struct iovec){buffers[i], sizeof buffers[i]};
            many[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
            if (gro) many[i].msg_hdr.msg_control = &control[i], many[i].msg_hdr.msg_controllen = sizeof control[i];
        }
        int n = recvmmsg(fd, many, (unsigned)batch, MSG_WAITFORONE, NULL);
        if (n <= 0) continue;
        if (!first_ns) first_ns = now_ns();
        for (int i = 0; i < n; i++) {
            int total = (int)many[i].msg_len, segment = total;
            if (gro)
                for (struct cmsghdr *it = CMSG_FIRSTHDR(&many[i].msg_hdr); it; it = CMSG_NXTHDR(&many[i].msg_hdr, it))
                    if (it->cmsg_level == IPPROTO_UDP && it->cmsg_type == UDP_GRO) memcpy(&segment, CMSG_DATA(it), sizeof segment);
            if (segment <= 0) segment = total;
            for (int at = 0; at < total; at += segment)
                take(buffers[i] + at, total - at < segment ? total - at : segment);
        }
        last_ns = now_ns();
    }
}

/* A payload like those of all others: {"id":"bench","message":"Q00000001xxx"}, or without the JSON
 * around it on the raw stack. */
static int fill(unsigned char *out, char tag, int64_t sequence, int size) {
    const char *head = codec.stack == RAW ? "" : "{\"id\":\"bench\",\"message\":\"";
    const char *tail = codec.stack == RAW ? "" : "\"}";
    return bench_fill((char *)out, head, tag, sequence, size, tail);
}

static void send_all(char **argv) {
    const char *way = argument(argv, "way", "sendmmsg");
    int gso = !strcmp(way, "gso"), batch = strcmp(way, "sendto") ? (int)number(argv, "batch", 64) : 1;
    int size = (int)number(argv, "size", 64), fd = open_socket((int)number(argv, "port", 10101), 0, number(argv, "loopback", 0) > 0);
    double seconds = number(argv, "seconds", 1);
    unsigned char *payload = malloc(MAX_DATAGRAM + 64), *wire = malloc((size_t)MAX_BATCH * (MAX_DATAGRAM + 64));
    static struct iovec parts[MAX_BATCH];
    static struct mmsghdr many[MAX_BATCH];
    int length = codec_out(&codec, payload, fill(payload, 'Q', 0, size), wire);
    if (gso) {
        if (batch * length > MAX_DATAGRAM) batch = MAX_DATAGRAM / length;
        if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &length, sizeof length)) fail("UDP_SEGMENT");
    }
    /* A member of the group gets a copy of its own, which the kernel drops here as nothing reads it. */
    if (number(argv, "member", 0) > 0) open_socket((int)number(argv, "port", 10101), 1, 1);
    int64_t sent = 0, errors = 0, cpu = cpu_us(), start = now_ns(), end = start + (int64_t)(seconds * 1e9);
    for (int64_t calls = 0; calls % 16 || now_ns() < end; calls++) {
        size_t at = 0;
        for (int i = 0; i < batch; i++) { /* every message is made again, as a program would have to */
            length = codec_out(&codec, payload, fill(payload, 'Q', sent + i, size), wire + at);
            parts[i] = (struct iovec){wire + at, (size_t)length};
            many[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
            at += (size_t)length;
        }
        int taken;
        if (gso || batch == 1) taken = send(fd, wire, at, 0) < 0 ? -1 : batch;
        else taken = sendmmsg(fd, many, (unsigned)batch, 0);
        if (taken < 0) {
            if (++errors > 1000000) fail("send");
            continue;
        }
        sent += taken;
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
    int port = (int)number(argv, "port", 10101), size = (int)number(argv, "size", 64);
    int count = (int)number(argv, "count", 2000), flags = number(argv, "spin", 0) > 0 ? MSG_DONTWAIT : 0;
    int fd = open_socket(port, 1, 1), skip = codec.stack == RAW ? 0 : (int)strlen("{\"id\":\"bench\",\"message\":\"");
    struct sockaddr_in group = group_address(port);
    struct timeval wait = {0, 200000};
    static unsigned char payload[MAX_DATAGRAM + 64], wire[MAX_DATAGRAM + 64], in[MAX_DATAGRAM + 64];
    int64_t *took = calloc((size_t)count + WARM_UP, sizeof *took);
    int n = 0, lost = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    bench_ready(report);
    for (int64_t sequence = 0; !ping || sequence < count + WARM_UP; sequence++) {
        int64_t start = now_ns();
        if (ping) {
            int length = codec_out(&codec, payload, fill(payload, 'Q', sequence, size), wire);
            sendto(fd, wire, (size_t)length, 0, (struct sockaddr *)&group, sizeof group);
        }
        for (;;) {
            const unsigned char *text;
            ssize_t length = recv(fd, in, sizeof in, flags);
            if (length < 0) {
                if (!ping || now_ns() - start < 200000000) continue;
                lost++;
                break;
            }
            if (codec_in(&codec, in, (int)length, &text) < skip + 9) continue;
            int64_t heard = strtoll((const char *)text + skip + 1, NULL, 10);
            if (ping && text[skip] == 'R' && heard == sequence) {
                if (sequence >= WARM_UP) took[n++] = now_ns() - start;
                break;
            }
            if (!ping && text[skip] == 'Q') {
                int out = codec_out(&codec, payload, fill(payload, 'R', heard, size), wire);
                sendto(fd, wire, (size_t)out, 0, (struct sockaddr *)&group, sizeof group);
            }
        }
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    printf("{\"ev\":\"done\",\"count\":%d,\"lost\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", n, lost,
           n ? (double)took[n / 2] / 1e3 : 0, n ? (double)took[n * 99 / 100] / 1e3 : 0);
}

/* A node that is alone: it sends one heartbeat a second and hears itself. */
static void idle(char **argv) {
    int port = (int)number(argv, "port", 10101), fd = open_socket(port, 1, 1), poll = epoll_create1(0);
    struct sockaddr_in group = group_address(port);
    struct epoll_event event = {.events = EPOLLIN};
    static unsigned char payload[MAX_DATAGRAM + 64], wire[MAX_DATAGRAM + 64], in[MAX_DATAGRAM + 64];
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    puts("{\"ev\":\"ready\"}");
    fflush(stdout);
    for (int64_t sequence = 0, next = now_ns();;) {
        int64_t left = (next - now_ns()) / 1000000;
        if (epoll_wait(poll, &event, 1, left > 0 ? (int)left : 0) > 0) {
            ssize_t length = recv(fd, in, sizeof in, MSG_DONTWAIT);
            if (length > 0) take(in, (int)length);
        } else if (now_ns() >= next - 1000000) {
            int length = codec_out(&codec, payload, fill(payload, 'Q', ++sequence, 60), wire);
            sendto(fd, wire, (size_t)length, 0, (struct sockaddr *)&group, sizeof group);
            next += 1000000000;
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "limit receive|send|ping|pong|idle [...]\n"), 2;
    codec_init(&codec, argument(argv, "stack", "raw"));
    if (!strcmp(argv[1], "receive")) receive(argv);
    else if (!strcmp(argv[1], "send")) send_all(argv);
    else if (!strcmp(argv[1], "ping")) ping_pong(argv, 1);
    else if (!strcmp(argv[1], "pong")) ping_pong(argv, 0);
    else if (!strcmp(argv[1], "idle")) idle(argv);
    else return 2;
    return 0;
}
