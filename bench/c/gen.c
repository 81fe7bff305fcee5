/* Sends ready-made datagrams to the group, round and round: as fast as it goes, at a rate, or all of
 * them at once in every period. It knows nothing of what is in them.
 *
 *   gen FILE port=N [rate=PER_SECOND] [period=MS] [seconds=N] [count=N] [gso=N]
 *
 * FILE has the datagrams one after the other, each behind its length in two bytes, the low one first.
 * With gso=N up to N of equal length are handed to the kernel in one call (UDP_SEGMENT); they are
 * ordinary datagrams on the wire. */
#include "bench.h"

#define MAX_BATCH 64

struct pool {
    size_t count;
    struct iovec *datagrams;
};

static struct pool load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), room = 0;
    rewind(file);
    unsigned char *data = malloc(size + 1);
    if (!data || fread(data, 1, size, file) != size) fail(path);
    fclose(file);
    struct pool pool = {0, NULL};
    for (size_t at = 0; at + 2 <= size;) {
        size_t length = data[at] | (size_t)data[at + 1] << 8;
        if (pool.count == room) {
            room = room ? 2 * room : 1024;
            pool.datagrams = realloc(pool.datagrams, room * sizeof *pool.datagrams);
            if (!pool.datagrams) fail("realloc");
        }
        pool.datagrams[pool.count++] = (struct iovec){data + at + 2, length};
        at += 2 + length;
    }
    return pool;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "gen FILE port=N [...]\n"), 2;
    struct pool pool = load(argv[1]);
    double rate = number(argv, "rate", 0), period = number(argv, "period", 0);
    double seconds = number(argv, "seconds", 1);
    int64_t count = (int64_t)number(argv, "count", 0);
    int gso = (int)number(argv, "gso", 0), batch = gso ? gso : 32;
    if (!pool.count || seconds > 300 || batch < 1 || batch > MAX_BATCH) return 2;

    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    unsigned char ttl = 64, loop = 1;
    struct sockaddr_in to = group_address((int)number(argv, "port", 10101));
    int large = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, 1);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, 1);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    prctl(PR_SET_TIMERSLACK, 1UL);

    struct mmsghdr many[MAX_BATCH];
    struct iovec parts[MAX_BATCH];
    memset(many, 0, sizeof many);
    for (int i = 0; i < MAX_BATCH; i++) many[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};

    int64_t cpu = cpu_us(), start = now_ns(), end = start + (int64_t)(seconds * 1e9);
    int64_t sent = 0, errors = 0, bytes = 0, now;
    while ((now = now_ns()) < end && (!count || sent < count)) {
        int64_t due = INT64_MAX;
        if (period > 0)
            due = ((int64_t)((double)(now - start) / (period * 1e6)) + 1) * (int64_t)pool.count;
        else if (rate > 0)
            due = (int64_t)((double)(now - start) * 1e-9 * rate) + 1;
        if (count && due > count) due = count;
        if (due <= sent) {
            double next = period > 0 ? (double)sent / (double)pool.count * period * 1e6
                                     : (double)sent * 1e9 / rate;
            if (start + (int64_t)next > end) break;
            sleep_until(start + (int64_t)next);
            continue;
        }
        int n = due - sent < batch ? (int)(due - sent) : batch;
        for (int i = 0; i < n; i++) parts[i] = pool.datagrams[(size_t)(sent + i) % pool.count];
        int taken;
        if (gso) {
            size_t length = parts[0].iov_len, total = length;
            int k = 1;
            while (k < n && parts[k].iov_len == length && total + length <= MAX_DATAGRAM) total += length, k++;
            union {
                char space[CMSG_SPACE(sizeof(uint16_t))];
                struct cmsghdr align;
            } control;
            struct msghdr one = {.msg_iov = parts, .msg_iovlen = (size_t)k, .msg_control = &control, .msg_controllen = sizeof control};
            struct cmsghdr *header = CMSG_FIRSTHDR(&one);
            uint16_t segment = (uint16_t)length;
            *header = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
            memcpy(CMSG_DATA(header), &segment, sizeof segment);
            taken = sendmsg(fd, &one, 0) < 0 ? -1 : k;
        } else {
            taken = sendmmsg(fd, many, (unsigned)n, 0);
        }
        if (taken < 0) {
            if (++errors > 1000000) fail("send");
            continue;
        }
        for (int i = 0; i < taken; i++) bytes += (int64_t)parts[i].iov_len;
        sent += taken;
    }
    double elapsed = (double)(now_ns() - start) * 1e-9;
    printf("{\"ev\":\"done\",\"sent\":%lld,\"seconds\":%.4f,\"cpu_us\":%lld,\"bytes\":%lld,\"errors\":%lld}\n",
           (long long)sent, elapsed, (long long)(cpu_us() - cpu), (long long)bytes, (long long)errors);
    return 0;
}
