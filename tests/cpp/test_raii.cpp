// The C API from C++: ownership with unique_ptr, lambdas as callbacks, strings that are copied out.
#include "../c/check.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace {

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T *object) const {
        Free(object);
    }
};

using Options = std::unique_ptr<caster_options_t, Deleter<caster_options_free>>;
using Node = std::unique_ptr<caster_node_t, Deleter<caster_node_free>>;
using Event = std::unique_ptr<caster_event_t, Deleter<caster_event_free>>;
using Nodes = std::unique_ptr<caster_nodes_t, Deleter<caster_nodes_free>>;
using Text = std::unique_ptr<char, Deleter<caster_string_free>>;

Node node(const std::string &json) { return Node(make_node(json.c_str())); }

// Data of a registration, deleted by its drop hook.
struct Listener {
    std::atomic<int> &ups, &alive;
    Listener(std::atomic<int> &ups, std::atomic<int> &alive) : ups(ups), alive(alive) { alive++; }
    ~Listener() { alive--; }
};

void listen(caster_node_t *node, std::atomic<int> &ups, std::atomic<int> &alive) {
    auto listener = std::make_unique<Listener>(ups, alive);
    OK(caster_node_on_up(
        node,
        [](caster_node_t *, const caster_event_t *event, void *user_data) {
            CHECK(caster_event_type(event) == CASTER_EVENT_UP);
            static_cast<Listener *>(user_data)->ups++;
        },
        listener.release(), [](void *user_data) { delete static_cast<Listener *>(user_data); }));
}

void lambdas_are_callbacks_and_drop_hooks_delete() {
    std::atomic<int> ups{0}, alive{0};
    {
        Node a = node(R"({"id": "a"})"), b = node(R"({"id": "b"})");
        listen(a.get(), ups, alive);
        listen(a.get(), ups, alive);
        CHECK(alive == 1);
        OK(caster_node_up(a.get()));
        OK(caster_node_up(b.get()));
        for (long end = now_ms() + DEADLINE_MS; ups < 1;) {
            CHECK(now_ms() < end);
            sleep_ms(5);
        }
    }
    CHECK(alive == 0);
}

void results_have_owners() {
    Node a = node(R"({"id": "a", "meta": {"lang": "c++"}})"), b = node(R"({"id": "b"})");
    OK(caster_node_up(b.get()));
    OK(caster_node_up(a.get()));
    Event up(next_event(b.get(), CASTER_EVENT_UP));
    CHECK(std::string(caster_peer_meta_json(caster_event_peer(up.get()))) == R"({"lang":"c++"})");
    caster_nodes_t *nodes = nullptr;
    OK(caster_node_nodes(b.get(), &nodes));
    Nodes snapshot(nodes);
    std::vector<std::string> ids;
    for (size_t i = 0; i < caster_nodes_count(snapshot.get()); i++) {
        ids.emplace_back(caster_peer_id(caster_nodes_at(snapshot.get(), i)));
    }
    CHECK(ids == std::vector<std::string>{"a"});
    char *json = nullptr;
    OK(caster_node_stats_json(b.get(), &json));
    Text stats(json);
    CHECK(std::string(stats.get()).find("\"received\":") != std::string::npos);
}

void errors_have_texts() {
    Options options(caster_options_new_node());
    CHECK(caster_options_set_int(options.get(), "prot", 1) == CASTER_ERR_UNKNOWN_OPTION);
    CHECK(std::string(caster_last_error()).find("did you mean \"port\"?") != std::string::npos);
}

} // namespace

int main() {
    RUN(lambdas_are_callbacks_and_drop_hooks_delete);
    RUN(results_have_owners);
    RUN(errors_have_texts);
}
