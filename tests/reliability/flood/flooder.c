/* Sends heartbeats of ever new ids to the group, and junk to one host, from many ports or addresses, at a given rate.
 *
 *   flooder HEARTBEATS JUNK HOST PORT SECONDS RATE [ADDRESS...]
 *
 * A file has datagrams, each behind its length in two bytes, the low one first. Each heartbeat is sent once, spread over
 * SECONDS. Each time that a junk datagram is sent, eight bytes of it are other ones. RATE is datagrams a second, all in all;
 * a machine that is slower sends as many as it can. Each batch goes from the next ADDRESS. Prints how many were sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 256, LARGEST = 2048, MOST_ADDRESSES = 256 };

struct file {
    unsigned char *at, *start, *end;
};

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static struct file read_file(const char *path) {
    struct file it;
    long size;
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END) || (size = ftell(in)) < 0 || fseek(in, 0, SEEK_SET)) give_up(path);
    it.start = it.at = malloc((size_t)size);
    if (!it.start || fread(it.start, 1, (size_t)size, in) != (size_t)size) give_up(path);
    it.end = it.start + size;
    fclose(in);
    return it;
}

/* Moves on to the next datagram; its length. */
static size_t next(struct file *in, unsigned char **data) {
    size_t length = in->at[0] | (size_t)in->at[1] << 8;
    *data = in->at + 2;
    in->at += 2 + length;
    return length;
}

static double now(void) {
    struct timespec it;
    clock_gettime(CLOCK_MONOTONIC, &it);
    return (double)it.tv_sec + 1e-9 * (double)it.tv_nsec;
}

static uint64_t draw(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int open_socket(const char *address) {
    struct sockaddr_in from = {.sin_family = AF_INET};
    int out = socket(AF_INET, SOCK_DGRAM, 0);
    struct ip_mreqn through = {.imr_ifindex = (int)if_nametoindex("eth0")};
    if (address) inet_pton(AF_INET, address, &from.sin_addr);
    if (out < 0 || bind(out, (struct sockaddr *)&from, sizeof from) ||
        setsockopt(out, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through))
        give_up(address ? address : "socket");
    return out;
}

int main(int count, char **words) {
    static unsigned char room[BATCH][LARGEST];
    static struct iovec pieces[BATCH];
    static struct mmsghdr batch[BATCH];
    struct sockaddr_in group = {.sin_family = AF_INET}, host = {.sin_family = AF_INET};
    struct file ids, junk;
    int sockets[MOST_ADDRESSES], opened = 0, turn = 0;
    unsigned long told = 0, sent = 0;
    double begin, seconds, rate, share;
    if (count < 7 || count - 7 > MOST_ADDRESSES) return 2;
    ids = read_file(words[1]);
    junk = read_file(words[2]);
    host.sin_addr.s_addr = inet_addr(words[3]);
    group.sin_addr.s_addr = inet_addr("224.0.0.42");
    group.sin_port = host.sin_port = htons((uint16_t)atoi(words[4]));
    seconds = atof(words[5]);
    rate = atof(words[6]);
    for (int at = 7; at < count; at++) sockets[opened++] = open_socket(words[at]);
    if (!opened) sockets[opened++] = open_socket(NULL);
    for (int at = 0; at < BATCH; at++) {
        batch[at].msg_hdr =
            (struct msghdr){.msg_namelen = sizeof group, .msg_iov = &pieces[at], .msg_iovlen = 1};
    }
    begin = now();
    while ((share = (now() - begin) / seconds) < 1) {
        unsigned long told_before = told;
        double early;
        int done = 0, of;
        for (of = 0; of < BATCH; of++) {
            unsigned char *data;
            size_t length;
            if (ids.at < ids.end && (double)(ids.at - ids.start) < share * (double)(ids.end - ids.start)) {
                length = next(&ids, &data);
                batch[of].msg_hdr.msg_name = &group;
                told++;
                pieces[of] = (struct iovec){data, length};
                continue;
            }
            if (junk.at == junk.end) junk.at = junk.start;
            length = next(&junk, &data);
            batch[of].msg_hdr.msg_name = &host;
            memcpy(room[of], data, length);
            if (length >= 8) {
                uint64_t other = draw();
                memcpy(room[of] + draw() % (length - 7), &other, 8);
            }
            pieces[of] = (struct iovec){room[of], length};
        }
        while (done < of) {
            int given = sendmmsg(sockets[turn], batch + done, (unsigned)(of - done), 0);
            if (given <= 0) give_up("sendmmsg");
            done += given;
        }
        turn = (turn + 1) % opened;
        sent += (unsigned long)of - (told - told_before);
        early = (double)(sent + told) / rate - (now() - begin);
        if (early > 0) {
            struct timespec pause = {0, (long)(early < 0.5 ? early * 1e9 : 5e8)};
            nanosleep(&pause, NULL);
        }
    }
    printf("{\"ids\": %lu, \"junk\": %lu, \"seconds\": %.3f}\n", told, sent, now() - begin);
    return 0;
}
