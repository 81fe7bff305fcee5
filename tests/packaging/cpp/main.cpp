// A program outside of this repository: two nodes of a network in memory find each other.
#include <caster.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#ifdef WITH_HPP
#include <caster.hpp>
#endif
#ifdef WITH_OTHER
extern "C" long other_sum(const long *numbers, std::size_t count);
extern "C" int other_catches();
#endif

template <auto Free> struct Freed {
    template <class T> void operator()(T *it) { Free(it); }
};
using Network = std::unique_ptr<caster_network_t, Freed<caster_network_free>>;
using Options = std::unique_ptr<caster_options_t, Freed<caster_options_free>>;
using Node = std::unique_ptr<caster_node_t, Freed<caster_node_free>>;
using Event = std::unique_ptr<caster_event_t, Freed<caster_event_free>>;

static Node node_on(caster_network_t *network, const char *id) {
    Options options(caster_options_new_node());
    caster_node_t *node = nullptr;
    if (caster_options_set_string(options.get(), "id", id) ||
        caster_network_node(network, options.get(), &node) || caster_node_up(node))
        std::cerr << id << ": " << caster_last_error() << std::endl;
    return Node(node);
}

int main() {
    Network network(caster_network_new(1));
    Node a = node_on(network.get(), "a"), b = node_on(network.get(), "b");
    caster_event_t *taken = nullptr;
    if (!a || !b || caster_node_poll(a.get(), 5000, &taken)) {
        std::cerr << "nobody was found: " << caster_last_error() << std::endl;
        return 1;
    }
    Event event(taken);
    std::string found = caster_peer_id(caster_event_peer(event.get()));
    if (found != "b" || std::strcmp(caster_version(), CASTER_VERSION_STRING) != 0) return 1;
#ifdef WITH_OTHER
    long numbers[] = {1, 2, 39};
    if (other_sum(numbers, 3) != 42 || !other_catches()) return 1;
#endif
    std::cout << "found with libcaster " << caster_version() << std::endl;
}
