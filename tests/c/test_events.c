/* The three ways to get events: each keeps the order, and tells what a slow program has lost. */
#include "check.h"

#include <poll.h>

#define MESSAGES 2000
#define ROOM 100 /* the option maxEvents of the listener */

/* The events that a consumer has seen. */
struct seen {
    int ups, downs, messages, next, lagged, in_order, started, go;
    uint64_t lost;
};

static void start_looking(struct seen *seen) {
    memset(seen, 0, sizeof *seen);
    seen->in_order = 1;
}

static void look_at(struct seen *seen, const caster_event_t *event) {
    int number;
    switch (caster_event_type(event)) {
    case CASTER_EVENT_UP:
        seen->in_order &= seen->ups == seen->downs; /* they alternate */
        add(&seen->ups);
        break;
    case CASTER_EVENT_DOWN:
        seen->in_order &= seen->ups == seen->downs + 1;
        add(&seen->downs); /* the last: another thread waits for it */
        break;
    case CASTER_EVENT_MESSAGE:
        number = atoi(caster_event_message_json(event));
        seen->in_order &= number >= seen->next;
        seen->next = number + 1;
        add(&seen->messages);
        break;
    case CASTER_EVENT_ERROR:
        CHECK(caster_event_error_status(event) == CASTER_ERR_LAGGED);
        CHECK(strstr(caster_event_error_text(event), "lost"));
        CHECK(!caster_event_error_syscall(event) && !caster_event_error_os(event));
        add(&seen->lagged);
        break;
    default:
        break;
    }
}

static void say_numbers(caster_node_t *node, int from, int to) {
    char number[16];
    for (; from < to; from++) {
        sprintf(number, "%d", from);
        OK(caster_node_send_json(node, number, NULL));
        if (from % 50 == 0) {
            sleep_ms(1); /* the socket's buffer is not what is tested here */
        }
    }
}

static caster_node_t *make_speaker(void) {
    return make_node("{\"id\": \"speaker\", \"self\": true, \"heartbeat\": 1000}");
}

static caster_node_t *make_listener(int room) {
    char json[100];
    sprintf(json, "{\"id\": \"listener\", \"expose\": false, \"maxEvents\": %d}", room);
    return make_node(json);
}

static uint64_t lost(const caster_node_t *node) {
    caster_stats_t stats;
    stats.size = sizeof stats;
    OK(caster_node_stats(node, &stats));
    return stats.events_lost;
}

/* Waits until the node has received everything that the speaker, which is down, has sent. */
static void wait_until_heard(const caster_node_t *listener) {
    long end = now_ms() + DEADLINE_MS;
    while (caster_node_count(listener) > 0) {
        CHECK(now_ms() < end);
        sleep_ms(5);
    }
}

static void take_all(caster_node_t *node, struct seen *seen, int timeout_ms) {
    caster_event_t *event = NULL;
    while (caster_node_poll(node, timeout_ms, &event) == CASTER_OK) {
        look_at(seen, event);
        caster_event_free(event);
    }
}

static void take_until_up(caster_node_t *node, struct seen *seen) {
    caster_event_t *event = NULL;
    int ups = seen->ups;
    while (seen->ups == ups) {
        OK(caster_node_poll(node, DEADLINE_MS, &event));
        look_at(seen, event);
        caster_event_free(event);
    }
}

static void polling_keeps_the_order(void) {
    caster_node_t *listener = make_listener(100000), *speaker = make_speaker();
    struct seen seen;
    start_looking(&seen);
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    say_numbers(speaker, 0, MESSAGES);
    OK(caster_node_down(speaker));
    wait_until_heard(listener);
    take_all(listener, &seen, 0);
    CHECK(seen.in_order && seen.messages == MESSAGES && seen.ups == 1 && seen.downs == 1);
    CHECK(seen.lagged == 0 && lost(listener) == 0);
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void who_polls_too_slowly_is_told_what_is_lost(void) {
    caster_node_t *listener = make_listener(ROOM), *speaker = make_speaker();
    struct seen seen;
    int round;
    start_looking(&seen);
    OK(caster_node_up(listener));
    for (round = 0; round < 3; round++) { /* it comes and goes, and no event is taken */
        OK(caster_node_up(speaker));
        say_numbers(speaker, round * MESSAGES, (round + 1) * MESSAGES);
        OK(caster_node_down(speaker));
    }
    wait_until_heard(listener);
    take_all(listener, &seen, 0);
    CHECK(seen.in_order && seen.messages > 0 && seen.messages <= ROOM);
    CHECK(seen.lagged == 1 && seen.ups == seen.downs); /* pairs may have vanished */
    CHECK(lost(listener) == (uint64_t)(3 * MESSAGES - seen.messages));
    OK(caster_node_up(speaker)); /* and it goes on */
    take_until_up(listener, &seen);
    say_numbers(speaker, 3 * MESSAGES, 3 * MESSAGES + 5);
    OK(caster_node_down(speaker));
    wait_until_heard(listener);
    take_all(listener, &seen, 0);
    CHECK(seen.in_order && seen.ups == seen.downs && seen.next == 3 * MESSAGES + 5);
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void a_descriptor_keeps_the_order_and_tells_what_is_lost(void) {
    caster_node_t *listener = make_listener(ROOM), *speaker = make_speaker();
    struct seen seen;
    struct pollfd wait;
    long end = now_ms() + DEADLINE_MS;
    int number;
    start_looking(&seen);
    OK(caster_node_fd(listener, &wait.fd));
    wait.events = POLLIN;
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    for (number = 0; number < 20; number++) { /* fast enough: nothing is lost */
        say_numbers(speaker, number, number + 1);
        while (seen.next <= number) {
            CHECK(now_ms() < end);
            CHECK(poll(&wait, 1, DEADLINE_MS) == 1 && wait.revents == POLLIN);
            take_all(listener, &seen, 0);
        }
    }
    CHECK(seen.in_order && lost(listener) == 0);
    say_numbers(speaker, seen.next, MESSAGES);
    OK(caster_node_down(speaker));
    wait_until_heard(listener);
    CHECK(poll(&wait, 1, 0) == 1);
    take_all(listener, &seen, 0);
    CHECK(poll(&wait, 1, 0) == 0);
    CHECK(seen.in_order && seen.lagged == 1 && seen.ups == 1 && seen.downs == 1);
    CHECK(lost(listener) == (uint64_t)(MESSAGES - seen.messages));
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void a_pair_that_vanishes_leaves_nothing_to_be_read(void) {
    caster_node_t *listener = make_listener(1), *speaker = make_speaker();
    struct pollfd wait;
    OK(caster_node_fd(listener, &wait.fd));
    wait.events = POLLIN;
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    CHECK(poll(&wait, 1, DEADLINE_MS) == 1);
    OK(caster_node_down(speaker)); /* came and went before an event was taken */
    wait_until_heard(listener);
    CHECK(poll(&wait, 1, 0) == 0);
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void look(caster_node_t *node, const caster_event_t *event, void *user_data) {
    struct seen *seen = user_data;
    CHECK(node);
    add(&seen->started);
    wait_for(&seen->go, 1);
    look_at(seen, event);
}

static void look_for_everything(caster_node_t *node, struct seen *seen) {
    OK(caster_node_on_up(node, look, seen, NULL));
    OK(caster_node_on_down(node, look, seen, NULL));
    OK(caster_node_on_message(node, look, seen, NULL));
    OK(caster_node_on_error(node, look, seen, NULL));
}

static void callbacks_keep_the_order(void) {
    caster_node_t *listener = make_listener(100000), *speaker = make_speaker();
    struct seen seen;
    start_looking(&seen);
    seen.go = 1;
    look_for_everything(listener, &seen);
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    say_numbers(speaker, 0, MESSAGES);
    OK(caster_node_down(speaker));
    wait_for(&seen.downs, 1);
    CHECK(seen.in_order && seen.messages == MESSAGES && seen.ups == 1 && lost(listener) == 0);
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void a_slow_callback_is_told_what_is_lost(void) {
    caster_node_t *listener = make_listener(ROOM), *speaker = make_speaker();
    struct seen seen;
    start_looking(&seen);
    look_for_everything(listener, &seen);
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    wait_for(&seen.started, 1); /* and there it stays */
    say_numbers(speaker, 0, MESSAGES);
    OK(caster_node_down(speaker));
    wait_until_heard(listener);
    set(&seen.go, 1);
    wait_for(&seen.downs, 1);
    wait_for(&seen.lagged, 1);
    CHECK(seen.in_order && seen.messages > 0 && seen.messages <= ROOM && seen.ups == 1);
    CHECK(lost(listener) == (uint64_t)(MESSAGES - seen.messages));
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void what_is_borrowed_can_be_kept(void) {
    caster_node_t *listener = make_listener(100), *speaker = make_speaker();
    caster_event_t *event, *kept_event;
    caster_peer_t *kept_peer;
    OK(caster_node_up(listener));
    OK(caster_node_up(speaker));
    caster_event_free(next_event(listener, CASTER_EVENT_UP));
    OK(caster_node_send_text(speaker, "keep me", NULL));
    event = next_event(listener, CASTER_EVENT_MESSAGE);
    kept_event = caster_event_dup(event);
    kept_peer = caster_peer_dup(caster_event_peer(event));
    caster_event_free(event);
    caster_node_free(speaker);
    caster_node_free(listener);
    TEXT(caster_event_message_json(kept_event), "\"keep me\"");
    TEXT(caster_peer_id(kept_peer), "speaker");
    caster_event_free(kept_event);
    caster_peer_free(kept_peer);
}

static void many_are_sent_and_taken_with_one_call(void) {
    const char *jsons[100], *bad[] = {"1", "{"};
    const uint8_t *data[] = {(const uint8_t *)"a", NULL, (const uint8_t *)"ccc"};
    size_t sizes[] = {1, 0, 3};
    char numbers[100][8];
    caster_node_t *listener = make_listener(100000), *speaker = make_speaker();
    caster_t *a = make_caster(), *b = make_caster();
    caster_event_t *events[64];
    struct seen seen;
    size_t i, count, bytes = 0, calls = 0;
    for (i = 0; i < 100; i++) {
        sprintf(numbers[i], "%d", (int)i);
        jsons[i] = numbers[i];
    }
    start_looking(&seen);
    up_and_settled(listener);
    OK(caster_node_up(speaker));
    OK(caster_node_send_batch(speaker, jsons, 100, &bytes));
    CHECK(bytes > 100 * strlen("{\"id\":\"speaker\"}"));
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "message 1: ", caster_node_send_batch(speaker, bad, 2, NULL));
    OK(caster_node_send_batch(speaker, NULL, 0, NULL));
    OK(caster_node_down(speaker));
    wait_until_heard(listener);
    while (seen.downs == 0) {
        OK(caster_node_poll_batch(listener, DEADLINE_MS, events, 64, &count));
        CHECK(count >= 1 && count <= 64);
        for (i = 0; i < count; i++) {
            look_at(&seen, events[i]);
            caster_event_free(events[i]);
        }
        calls++;
    }
    CHECK(seen.in_order && seen.messages == 100 && calls == 2); /* 102 events */
    CHECK(caster_node_poll_batch(listener, 0, events, 64, &count) == CASTER_ERR_TIMED_OUT);
    caster_node_free(speaker);
    caster_node_free(listener);

    OK(caster_bind(a));
    OK(caster_bind(b));
    OK(caster_send_batch(a, data, sizes, 3, &bytes));
    CHECK(bytes == 4);
    for (i = 0; i < 3; i += count) {
        size_t at;
        OK(caster_poll_batch(b, DEADLINE_MS, events, 64, &count));
        for (at = 0; at < count; at++) {
            CHECK(caster_event_message_size(events[at]) == sizes[i + at]);
            caster_event_free(events[at]);
        }
    }
    OK(caster_use_json(a));
    OK(caster_send_batch_json(a, jsons, 2, NULL));
    TEXT((const char *)caster_event_message_data(events[0] = next_message(b)), "0");
    caster_event_free(events[0]);
    caster_event_free(next_message(b));
    caster_free(a);
    caster_free(b);
}

static void rejects_and_datagrams_are_for_those_who_ask(void) {
    caster_node_t *listener = make_listener(100), *speaker = make_speaker();
    caster_node_t *foreign = make_node("{\"id\": \"foreign\", \"hashSecret\": \"other\"}");
    caster_event_t *event = NULL;
    OK(caster_node_up(listener));
    OK(caster_node_up(foreign));
    wait_for_stat(listener, "hash", 1);
    while (caster_node_poll(listener, 0, &event) == CASTER_OK) { /* rejects were not requested */
        int type = caster_event_type(event);
        CHECK(type == CASTER_EVENT_HINT || type == CASTER_EVENT_SETTLED);
        caster_event_free(event);
    }
    OK(caster_node_watch_rejects(listener, 1));
    OK(caster_node_send_text(foreign, "you cannot read this", NULL));
    event = next_event(listener, CASTER_EVENT_REJECT);
    TEXT(caster_event_name(event), "reject");
    CHECK(caster_event_error_status(event) == CASTER_ERR_HASH_MISMATCH);
    CHECK(*caster_event_error_text(event));
    TEXT(caster_event_remote_address(event), "127.0.0.1");
    TEXT(caster_event_remote_interface(event), "lo");
    /* A message leaves from the private port of its process, a heartbeat from that of the group. */
    CHECK(caster_event_remote_port(event) > 0);
    CHECK(caster_event_remote_size(event) > 20 && !caster_event_peer(event));
    caster_event_free(event);
    OK(caster_node_watch_rejects(listener, 0));
    caster_node_free(foreign);

    OK(caster_node_watch_datagrams(listener, 1));
    OK(caster_node_up(speaker));
    event = next_event(listener, CASTER_EVENT_DATAGRAM);
    TEXT(caster_event_name(event), "datagram");
    CHECK(strstr(caster_event_message_json(event), "\"id\":\"speaker\""));
    TEXT(caster_event_remote_interface(event), "lo");
    CHECK(!caster_event_peer(event));
    caster_event_free(event);
    OK(caster_node_watch_datagrams(listener, 0));
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void count_node_events(caster_node_t *node, const caster_event_t *event, void *user_data) {
    CHECK(node && caster_event_remote_address(event));
    add(user_data);
}

static void count_events(caster_t *caster, const caster_event_t *event, void *user_data) {
    CHECK(caster && caster_event_type(event) == CASTER_EVENT_REJECT);
    add(user_data);
}

static void callbacks_ask_by_themselves(void) {
    caster_node_t *listener = make_listener(100), *speaker = make_speaker();
    caster_t *hashed = make_caster(), *raw = make_caster();
    int rejects = 0, datagrams = 0, of_the_caster = 0, before;
    OK(caster_node_on_reject(listener, count_node_events, &rejects, NULL));
    OK(caster_node_on_datagram(listener, count_node_events, &datagrams, NULL));
    OK(caster_use_hash(hashed, "another secret", NULL));
    OK(caster_on_reject(hashed, count_events, &of_the_caster, NULL));
    OK(caster_bind(hashed));
    OK(caster_bind(raw));
    OK(caster_node_up(listener));
    OK(caster_send(raw, (const uint8_t *)"what is this", 12, NULL));
    wait_for(&rejects, 1);
    wait_for(&of_the_caster, 1);
    OK(caster_node_up(speaker));
    wait_for(&datagrams, 1);
    OK(caster_node_on_reject(listener, NULL, NULL, NULL)); /* and no longer */
    before = get(&rejects);
    OK(caster_send(raw, (const uint8_t *)"what is this", 12, NULL));
    wait_for_stat(listener, "truncated", 2);
    CHECK(get(&rejects) == before);
    caster_free(hashed);
    caster_free(raw);
    caster_node_free(speaker);
    caster_node_free(listener);
}

static void who_polls_a_caster_may_ask_for_rejects(void) {
    caster_t *hashed = make_caster(), *raw = make_caster();
    caster_event_t *event = NULL;
    OK(caster_use_hash(hashed, NULL, NULL));
    OK(caster_watch_rejects(hashed, 1));
    OK(caster_bind(hashed));
    OK(caster_bind(raw));
    OK(caster_send(raw, (const uint8_t *)"what is this", 12, NULL));
    OK(caster_poll(hashed, DEADLINE_MS, &event));
    CHECK(caster_event_type(event) == CASTER_EVENT_REJECT);
    CHECK(caster_event_remote_size(event) == 12);
    caster_event_free(event);
    caster_free(hashed);
    caster_free(raw);
}

int main(void) {
    RUN(polling_keeps_the_order);
    RUN(who_polls_too_slowly_is_told_what_is_lost);
    RUN(a_descriptor_keeps_the_order_and_tells_what_is_lost);
    RUN(a_pair_that_vanishes_leaves_nothing_to_be_read);
    RUN(callbacks_keep_the_order);
    RUN(a_slow_callback_is_told_what_is_lost);
    RUN(what_is_borrowed_can_be_kept);
    RUN(many_are_sent_and_taken_with_one_call);
    RUN(rejects_and_datagrams_are_for_those_who_ask);
    RUN(callbacks_ask_by_themselves);
    RUN(who_polls_a_caster_may_ask_for_rejects);
    return 0;
}
