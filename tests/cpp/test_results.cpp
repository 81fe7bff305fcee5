// caster.hpp without exceptions: compiled with -fno-exceptions -fno-rtti.
// flags: -fno-exceptions -fno-rtti
#include <caster.hpp>

#include "../c/check.h"

#include <string>
#include <type_traits>

#ifndef CASTER_NO_EXCEPTIONS
#error "exceptions are off, and caster.hpp has not noticed"
#endif

namespace {

using namespace std::chrono_literals;
using caster::Json;
using caster::Result;

static_assert(std::is_same_v<decltype(caster::Node::make()), Result<caster::Node>>);
static_assert(std::is_nothrow_move_constructible_v<caster::Node>);

caster::Node make(caster::Network &network, const caster::Options &options) {
    Result<caster::Node> node = network.node(options);
    CHECK(node);
    return std::move(node).value();
}

void what_is_wrong_is_a_result() {
    caster::Options bad{{"port", 0}, {"prot", 1}};
    bad.set("ttl", 3).set("nonsense", true);
    CHECK(bad.error() && bad.error()->code() == CASTER_ERR_INVALID_OPTION); // the first one
    Result<caster::Node> none = caster::Node::make(bad);
    CHECK(!none && !none.has_value() && none.error().name() == "INVALID_OPTION");
    CHECK(none.error().text().find("port") != std::string::npos);
    CHECK(!caster::Caster::make(bad));

    Result<caster::Node> node = caster::Node::make({{"address", "127.0.0.1"}});
    CHECK(node.has_value() && !node->is_up());
    Result<void> down = node->down();
    CHECK(!down && down.error().code() == CASTER_ERR_NOT_UP);
    Result<size_t> sent = node->send("nobody hears this");
    CHECK(!sent && sent.error().code() == CASTER_ERR_NOT_UP);
    CHECK(node->send("nor this").value_or(7) == 7);
    caster::Node owned = *std::move(node);
    CHECK(owned.middleware_json() == R"(["json","hash"])");
    CHECK(owned.use("mine", nullptr, [](caster::Message &) { return true; }));
    CHECK(!owned.use("mine", [](caster::Message &) {}, nullptr));
}

void nodes_find_each_other() {
    caster::Network network(1);
    caster::Node a = make(network, {{"id", "a"}, {"meta", Json{R"({"type": "http"})"}}});
    caster::Node b = make(network, {{"id", "b"}});
    CHECK(a.up() && b.up());
    Result<std::optional<caster::Event>> event = b.poll(10s);
    CHECK(event && *event);
    CHECK((*event)->type() == caster::Type::up && (*event)->peer().id() == "a");
    CHECK(b.nodes().size() == 1);
    size_t found = 0;
    for (auto const &peer : *b.find("type")) found += peer.id() == "a";
    CHECK(found == 1);
    CHECK(!b.find("type", Json{"http"}));
    CHECK(a.send(Json{"[1]"}) && network.advance(1ms));
    event = b.poll(0ms);
    CHECK(event && *event && (*event)->json() == "[1]");
    event = b.poll(0ms);
    CHECK(event && !*event); // nothing more, which is no error
    CHECK(b.fd() && !network.unplug("nobody") && b.down());
    CHECK(b.next() && !b.poll(0ms));
}

void callbacks_work() {
    static int ups;
    caster::Network network(1);
    caster::Node a = make(network, {{"id", "a"}}), b = make(network, {{"id", "b"}});
    CHECK(a.on_up([](caster::EventView event) { if (event.peer().id() == "b") add(&ups); }));
    CHECK(!a.poll(0ms));
    CHECK(a.up() && b.up() && network.advance(100ms));
    wait_for(&ups, 1);
}

} // namespace

int main() {
    RUN(what_is_wrong_is_a_result);
    RUN(nodes_find_each_other);
    RUN(callbacks_work);
}
