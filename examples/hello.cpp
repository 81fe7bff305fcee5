// Finds others, says who it found and what they say. Arguments: options as a JSON object.
#include <caster.h>
#include <csignal>
#include <ctime>
#include <iostream>
#include <memory>

template <auto Free> struct Freed { template <class T> void operator()(T *it) { Free(it); } };
using Options = std::unique_ptr<caster_options_t, Freed<caster_options_free>>;
using Node = std::unique_ptr<caster_node_t, Freed<caster_node_free>>;
using Event = std::unique_ptr<caster_event_t, Freed<caster_event_free>>;

static volatile std::sig_atomic_t stopped;

int main(int argc, char **argv) {
    Options options(caster_options_new_node());
    caster_node_t *made = nullptr;
    if (caster_options_set_json(options.get(), "meta", R"({"lang": "c++"})") ||
        (argc > 1 && caster_options_merge_json(options.get(), argv[1])) ||
        caster_node_new(options.get(), &made) || caster_node_up(made))
        return std::cerr << caster_last_error() << std::endl, 1;
    Node node(made); // says goodbye at the end of main
    for (int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { stopped = 1; });
    for (std::time_t said = 0; !stopped;) {
        if (said != std::time(nullptr)) caster_node_send_text(made, "hello from C++", nullptr);
        said = std::time(nullptr);
        caster_event_t *taken = nullptr;
        if (caster_node_poll(made, 100, &taken)) continue; // nothing yet
        Event event(taken);
        const char *text = caster_event_message_json(taken);
        if (!text) text = caster_event_reason_name(taken);
        if (!text) text = caster_peer_meta_json(caster_event_peer(taken));
        if (!text) text = caster_event_error_text(taken);
        const char *id = caster_peer_id(caster_event_peer(taken));
        std::cout << caster_event_name(taken) << ' ' << (id ? id : "-") << ' '
                  << (text ? text : "") << std::endl;
    }
}
