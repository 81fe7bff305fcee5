/* avahi-core (Debian libavahi-core-dev) in the benchmarks: what runs inside avahi-daemon.
 *
 *   avahi peer|idle id=NAME */
#include "../c/bench.h"
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/simple-watch.h>
#include <avahi-core/core.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>

#define TYPE "_bench._udp"

static AvahiSimplePoll *loop;
static AvahiServer *server;
static AvahiSEntryGroup *group;
static const char *id;

static void on_group(AvahiServer *s, AvahiSEntryGroup *g, AvahiEntryGroupState state, void *user_data) {
    (void)s, (void)g, (void)state, (void)user_data;
}

static void on_service(AvahiSServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                       const char *name, const char *type, const char *domain, AvahiLookupResultFlags flags, void *user_data) {
    (void)browser, (void)interface, (void)protocol, (void)type, (void)domain, (void)flags, (void)user_data;
    if (event != AVAHI_BROWSER_NEW && event != AVAHI_BROWSER_REMOVE) return;
    printf("{\"ev\":\"%s\",\"id\":\"%s\",\"t\":%lld}\n", event == AVAHI_BROWSER_NEW ? "up" : "down", name, (long long)now_ns());
    fflush(stdout);
}

static void on_server(AvahiServer *s, AvahiServerState state, void *user_data) {
    (void)user_data;
    if (state != AVAHI_SERVER_RUNNING || group) return;
    group = avahi_s_entry_group_new(s, on_group, NULL);
    avahi_server_add_service(s, group, AVAHI_IF_UNSPEC, AVAHI_PROTO_INET, 0, id, TYPE, NULL, NULL, 8080, NULL);
    avahi_s_entry_group_commit(group);
}

static void *listen_for_end(void *unused) {
    char line[64];
    (void)unused;
    while (read(0, line, sizeof line) > 0) {}
    avahi_simple_poll_quit(loop);
    return NULL;
}

int main(int argc, char **argv) {
    AvahiServerConfig config;
    pthread_t thread;
    int error;
    if (argc < 2) return 2;
    int64_t began = now_ns();
    id = argument(argv, "id", "idle");
    loop = avahi_simple_poll_new();
    avahi_server_config_init(&config);
    config.host_name = avahi_strdup(id);
    config.use_ipv6 = 0;
    config.publish_hinfo = 0;
    config.publish_workstation = 0;
    server = avahi_server_new(avahi_simple_poll_get(loop), &config, on_server, NULL, &error);
    if (!server) return fprintf(stderr, "avahi: %s\n", avahi_strerror(error)), 1;
    if (!group && avahi_server_get_state(server) == AVAHI_SERVER_RUNNING) on_server(server, AVAHI_SERVER_RUNNING, NULL);
    AvahiSServiceBrowser *browser =
        avahi_s_service_browser_new(server, AVAHI_IF_UNSPEC, AVAHI_PROTO_INET, TYPE, NULL, 0, on_service, NULL);
    printf("{\"ev\":\"ready\",\"began\":%lld}\n", (long long)began);
    fflush(stdout);
    if (!strcmp(argv[1], "peer") && pthread_create(&thread, NULL, listen_for_end, NULL)) fail("pthread_create");
    avahi_simple_poll_loop(loop);
    printf("{\"ev\":\"gone\",\"began\":%lld}\n", (long long)now_ns());
    avahi_s_service_browser_free(browser);
    avahi_server_free(server);
    return 0;
}
