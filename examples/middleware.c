/*
 * A middleware in C: every datagram carries a version in front, and others are rejected. All
 * programs of a group need the same middleware. Runs on a virtual network: no socket, no waiting.
 */
#include <caster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* State of both directions. The library calls `forget` after its last use. */
struct stamp {
    uint8_t version;
    int added, refused;
};

/* On the way out: called on the thread that sends. */
static int add_version(caster_message_t *message, void *user_data) {
    struct stamp *stamp = user_data;
    size_t size = caster_message_size(message);
    uint8_t *stamped = malloc(size + 1);
    int failed = !stamped;
    if (!failed) {
        stamped[0] = stamp->version;
        memcpy(stamped + 1, caster_message_data(message), size);
        failed = caster_message_set_bytes(message, stamped, size + 1) != CASTER_OK;
        stamp->added++;
    }
    free(stamped);
    return failed; /* anything but 0 rejects the message: the sender gets an error */
}

/* On the way in: called on the thread that receives. */
static int check_version(caster_message_t *message, void *user_data) {
    struct stamp *stamp = user_data;
    const uint8_t *data = caster_message_data(message);
    size_t size = caster_message_size(message);
    if (size == 0 || data[0] != stamp->version) {
        stamp->refused++;
        return 1; /* dropped, and counted under `middleware` */
    }
    return caster_message_set_bytes(message, data + 1, size - 1) != CASTER_OK;
}

static void forget(void *user_data) {
    struct stamp *stamp = user_data;
    printf("version %d: %d stamped, %d refused\n", stamp->version, stamp->added, stamp->refused);
    free(stamp);
}

static caster_t *make(caster_network_t *network, uint8_t version) {
    struct stamp *stamp = calloc(1, sizeof *stamp);
    caster_t *caster = NULL;
    if (!stamp || caster_network_caster(network, NULL, &caster)) {
        exit(1);
    }
    stamp->version = version;
    /* json is next to the program, this stage next to the wire. */
    if (caster_use_json(caster) ||
        caster_use(caster, "version", add_version, check_version, stamp, forget) ||
        caster_bind(caster)) {
        fprintf(stderr, "%s\n", caster_last_error());
        exit(1);
    }
    return caster;
}

int main(void) { /* it takes no arguments; --selftest is what it does anyway */
    caster_network_t *network = caster_network_new(1);
    caster_t *one = make(network, 1), *another = make(network, 1), *old = make(network, 0);
    caster_event_t *event = NULL;
    caster_stats_t stats;
    int failed = caster_send_text(one, "hello", NULL) || caster_poll(another, 1000, &event) ||
                 strcmp(caster_event_message_json(event), "\"hello\"") != 0;
    caster_event_free(event);
    failed |= caster_network_advance(network, 10) != CASTER_OK;
    stats.size = sizeof stats;
    failed |= caster_stats(old, &stats) || stats.dropped_middleware != 1;
    caster_free(one);
    caster_free(another);
    caster_free(old);
    caster_network_free(network);
    return failed;
}
