// caster.hpp with exceptions. Everything that takes time happens on a virtual network.
#include <caster.hpp>

#include "../c/check.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace std::chrono_literals;
using caster::Event;
using caster::EventView;
using caster::Json;
using caster::Type;

static_assert(!std::is_copy_constructible_v<caster::Node>);
static_assert(!std::is_constructible_v<caster::Value, double>);
static_assert(!std::is_constructible_v<caster::Value, float>);
static_assert(!std::is_constructible_v<caster::Value, void *>);
static_assert(!std::is_constructible_v<caster::Json::Part, void *>);
static_assert(!std::is_constructible_v<caster::Json::Part, char>);
static_assert(std::is_copy_constructible_v<caster::Json::Part>);
static_assert(std::is_constructible_v<caster::Value, bool>);
static_assert(std::is_constructible_v<caster::Value, unsigned>);
static_assert(!std::is_copy_constructible_v<caster::Caster>);
static_assert(!std::is_copy_constructible_v<caster::Network>);
static_assert(std::is_nothrow_move_constructible_v<caster::Node>);
static_assert(std::is_nothrow_move_assignable_v<caster::Node>);
static_assert(std::is_nothrow_move_constructible_v<caster::Caster>);
static_assert(std::is_nothrow_move_constructible_v<caster::Network>);
static_assert(std::is_nothrow_move_constructible_v<caster::Options>);
static_assert(std::is_nothrow_move_constructible_v<Event>);
static_assert(std::is_copy_constructible_v<Event> && std::is_copy_constructible_v<caster::Peer>);
#if __cplusplus >= 202002L
static_assert(std::random_access_iterator<caster::Nodes::iterator>);
#endif

// The error that `call` throws.
template <class F>
caster::Error error_of(F &&call) {
    try {
        call();
    } catch (const caster::Error &error) {
        return error;
    }
    fprintf(stderr, "nothing was thrown\n");
    exit(1);
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

Event wait_for_event(caster::Node &node, Type type) {
    for (int i = 0; i < 1000; i++) {
        std::optional<Event> event = node.poll(10s);
        CHECK(event);
        if (event->type() == type) return *std::move(event);
    }
    CHECK(false);
    return Event();
}

struct Pair {
    caster::Network network{1};
    caster::Node a = network.node({{"id", "a"}, {"meta", Json{R"({"type":"http","port":80})"}}});
    caster::Node b = network.node({{"id", "b"}});

    Pair() {
        a.up();
        b.up();
        CHECK(wait_for_event(a, Type::up).peer().id() == "b");
        CHECK(wait_for_event(b, Type::up).peer().id() == "a");
    }
};

void nodes_find_each_other() {
    Pair pair;
    CHECK(pair.a.is_up() && pair.a.id() == "a" && pair.a.node_count() == 1);
    std::vector<std::string> ids;
    for (auto const &peer : pair.b.nodes()) ids.emplace_back(peer.id());
    CHECK(ids == std::vector<std::string>{"a"});
    const caster::Nodes nodes = pair.b.nodes();
    CHECK(nodes.size() == 1 && !nodes.empty() && nodes[0].id_json() == "\"a\"");
    CHECK(nodes.begin()->address() == "10.0.0.1" && nodes.end() - nodes.begin() == 1);
    CHECK(!nodes[1] && nodes[1].id().empty());
    CHECK(std::any_of(nodes.begin(), nodes.end(), [](auto peer) { return peer.has("port"); }));

    std::optional<caster::Peer> peer = pair.b.node("a");
    CHECK(peer && peer->meta_json() == R"({"type":"http","port":80})");
    CHECK(peer->has("type", Json{"\"http\""}) && !peer->has("type", Json{"1"}));
    CHECK(peer->first_seen() <= peer->last_seen() && peer->last_seen() == pair.b.last_seen("a"));
    CHECK(!peer->is_suspect() && peer->loss() == 0.0 && has(peer->json(), "\"id\":\"a\""));
    CHECK(peer->addresses().size() == 1 && peer->addresses()[0].address == "10.0.0.1");
    CHECK(peer->addresses()[0].interface_name.empty());
    CHECK(!pair.b.node("nobody") && !pair.b.last_seen("nobody"));
    const caster::Peer kept = nodes[0].keep();
    const caster::Peer copy = kept;
    peer = copy;
    CHECK(copy.id() == "a" && kept.id() == "a" && peer->id() == "a");
}

void find_takes_keys_and_values() {
    Pair pair;
    CHECK(pair.b.find("type").size() == 1 && pair.b.find("name").empty());
    CHECK(pair.b.find("port", Json{"80"}).size() == 1);
    CHECK(pair.b.find({{"type", Json{"\"http\""}}, {"port"}}).size() == 1);
    CHECK(pair.b.find({{"type", Json{"\"db\""}}, {"port"}}).empty());
    for (auto const &peer : pair.b.find("type")) CHECK(peer.id() == "a");
    CHECK(error_of([&] { static_cast<void>(pair.b.find("type", Json{"http"})); }).code() ==
          CASTER_ERR_INVALID_ARGUMENT);
}

// Whether a text shows a key of the bytes 0x81 to 0xA0.
bool shows_the_key(std::string_view text) {
    return has(text, "8182838485868788") || has(text, "gYKDhIWGh4iJ") || has(text, "129, 130, 131") ||
           has(text, "\x81\x82\x83\x84");
}

void keys_seal_and_change_and_are_in_no_text() {
    std::vector<std::uint8_t> marker(32), next(32);
    for (std::size_t at = 0; at < 32; at++) {
        marker[at] = static_cast<std::uint8_t>(0x81 + at);
        next[at] = static_cast<std::uint8_t>(7 * at + 1);
    }
    static std::atomic<int> lines{0};
    caster::set_log(caster::Level::trace, [](caster::Level, std::string_view text) {
        CHECK(!shows_the_key(text));
        lines++;
    });
    caster::Network network;
    auto made = [&](std::string_view id) {
        caster::Options options{{"id", id}};
        options.add_key(caster::Bytes{marker.data(), marker.size()});
        return network.node(options);
    };
    caster::Node a = made("a"), b = made("b");
    a.up();
    b.up();
    network.advance(3s);
    CHECK(a.nodes().size() == 1 && b.nodes().size() == 1);
    const std::string key = a.key_of("b");
    CHECK(key.size() == 8 && a.key_of("c").empty());
    b.down();
    network.advance(1s);
    a.forget_sealed("b");
    b.up();
    network.advance(3s);
    CHECK(a.nodes().size() == 1);
    const caster::Bytes old{marker.data(), marker.size()}, later{next.data(), next.size()};
    for (const auto *text : {"add", "use", "remove"}) {
        for (caster::Node *node : {&a, &b}) {
            if (*text == 'a') node->add_key(later);
            if (*text == 'u') node->use_key(later);
            if (*text == 'r') node->remove_key(old);
        }
        network.advance(5s);
        a.send(text);
        network.advance(10ms);
        const Event event = wait_for_event(b, Type::message);
        CHECK(event.json() == '"' + std::string(text) + '"' && event.is_sealed() && event.is_fresh());
    }
    CHECK(a.key_of("b") != key);
    auto fails = [](auto &&call) {
        const caster::Error error = error_of(call);
        CHECK(!shows_the_key(error.what()));
        return error.code();
    };
    CHECK(fails([&] { a.remove_key(old); }) == CASTER_ERR_INVALID_ARGUMENT);
    CHECK(fails([&] { a.remove_key_now(later); }) == CASTER_ERR_INVALID_ARGUMENT);
    CHECK(fails([&] { a.add_key(later); }) == CASTER_ERR_INVALID_OPTION);
    CHECK(fails([&] { a.add_key({marker.data(), 31}); }) == CASTER_ERR_INVALID_OPTION);
    CHECK(!shows_the_key(a.stats_json()) && lines > 0);
    caster::set_log(caster::Level::off, nullptr);
    CHECK(shows_the_key("key 8182838485868788"));
}

void nodes_sign_and_verify() {
    std::vector<std::uint8_t> key(32), of_a(32), of_b(32);
    for (auto *seed : {&key, &of_a, &of_b}) CHECK(caster_generate_identity(seed->data()) == CASTER_OK);
    caster::Network network;
    auto made = [&](std::string_view id, const std::vector<std::uint8_t> &seed, std::string_view trusted) {
        caster::Options options{{"id", id}, {"signMessages", true}};
        options.add_key(caster::Bytes{key.data(), key.size()});
        options.set_identity(caster::Bytes{seed.data(), seed.size()});
        if (!trusted.empty()) options.add_trusted(trusted);
        return network.node(options);
    };
    const std::string public_b = caster::public_key({of_b.data(), of_b.size()});
    CHECK(public_b.size() == 64);
    caster::Node a = made("a", of_a, public_b), b = made("b", of_b, "");
    a.up();
    b.up();
    network.advance(3s);
    CHECK(a.identity_of("b") == public_b && a.identity_of("c").empty());
    b.send("hello");
    network.advance(10ms);
    CHECK(wait_for_event(a, Type::message).is_signed());
    const caster::Error error = error_of([&] { caster::Options().set_identity("no seed"); });
    CHECK(error.code() == CASTER_ERR_INVALID_OPTION);
}

void messages_arrive() {
    Pair pair;
    CHECK(pair.a.send("say \"\xc3\xa9\"") > 0);
    Event event = wait_for_event(pair.b, Type::message);
    CHECK(event.json() == R"("say \"\u00e9\"")" && event.name() == "message");
    CHECK(!event.is_sealed() && !event.is_fresh());
    CHECK(event.data().text() == *event.json() && event.peer().id() == "a");
    pair.a.send(Json{R"({"n": [1, null]})"});
    CHECK(wait_for_event(pair.b, Type::message).json() == R"({"n":[1,null]})");
    pair.a.send_batch({"1", "2", "3"});
    pair.network.advance(10ms);
    std::vector<Event> batch = pair.b.poll_batch(1s);
    CHECK(batch.size() == 3 && batch[2].json() == "3");
    const Event copy = event.keep();
    Event moved = std::move(event);
    event = copy;
    CHECK(moved.json() == copy.json() && event.json() == copy.json());
    CHECK(!pair.b.poll(0ms));
    CHECK(error_of([&] { pair.a.send(Json{"{"}); }).code() == CASTER_ERR_INVALID_ARGUMENT);
}

void a_nul_is_named_with_its_place() {
    Pair pair;
    const auto refused = [](auto call, const char *text) {
        const caster::Error error = error_of(call);
        return error.code() == CASTER_ERR_INVALID_ARGUMENT &&
               std::string(error.what()).find(text) != std::string::npos;
    };
    CHECK(refused([&] { pair.a.send(std::string_view("a\0b\0", 4)); },
                  "text has a NUL at byte 1; a text is UTF-8 without NUL"));
    CHECK(refused([&] { pair.a.send(Json{std::string("[1]\0", 4)}); }, "json has a NUL at byte 3"));
    CHECK(refused([&] { pair.a.send_batch({"[1]", std::string("[2]\0", 4)}); },
                  "has a NUL at byte 3"));
    CHECK(refused([&] { pair.a.send("\xff"); }, "0xFF, which is not valid UTF-8, at byte 0"));
    CHECK(!pair.a.node(std::string_view("b\0", 2)));
}

void changes_and_ends_are_told() {
    Pair pair;
    pair.a.set_meta(Json{"[7]"});
    CHECK(pair.a.meta_json() == "[7]");
    Event update = wait_for_event(pair.b, Type::update);
    CHECK(update.changed_meta() && !update.changed_address() && update.peer().meta_json() == "[7]");
    CHECK(error_of([&] { pair.a.update_meta(Json{"{}"}); }).name() == "INVALID_ARGUMENT");
    pair.a.set_meta(Json{"{\"load\":0,\"type\":\"db\"}"});
    pair.a.update_meta(Json{"{\"load\":0.5,\"type\":null}"});
    CHECK(pair.a.meta_json() == "{\"load\":0.5}");
    pair.network.unplug("a");
    Event down = wait_for_event(pair.b, Type::down);
    CHECK(down.reason() == caster::Reason::timeout && down.reason_name() == "timeout");
    pair.network.plug("a");
    wait_for_event(pair.b, Type::up);
    pair.a.down();
    CHECK(wait_for_event(pair.b, Type::down).reason() == caster::Reason::goodbye);
    CHECK(error_of([&] { pair.a.down(); }).name() == "NOT_UP");
    pair.b.down();
    while (pair.b.next()) {
    }
    CHECK(error_of([&] { static_cast<void>(pair.b.poll(1s)); }).code() == CASTER_ERR_NOT_UP);
}

void metadata_over_the_limit_is_refused_at_creation() {
    const Json large{'"' + std::string(9000, 'x') + '"'};
    const caster::Error error = error_of([&] { caster::Node({{"meta", large}}); });
    CHECK(error.code() == CASTER_ERR_INVALID_OPTION);
    CHECK(has(error.what(), "the metadata takes 9002 bytes; the option maxMeta allows 8192"));
    const caster::Node fits({{"meta", large}, {"maxMeta", 9002}});
    CHECK(fits.meta_json().size() == 9002);
}

void options_take_what_they_should() {
    using caster::Options;
    std::string text = "224.0.0.99";
    Options options{{"id", "x"},       {"heartbeat", 15500us}, {"timeout", 3s},
                    {"port", 10102},   {"expose", false},     {"multicast", text},
                    {"ttl", uint8_t{3}}, {"meta", Json{"{}"}}, {"hashSecret", caster::bytes("s")}};
    CHECK(error_of([&] { options.set("heartbeat", 2ms); }).code() == CASTER_ERR_INVALID_OPTION);
    options.set("heartbeat", 20500us).merge(R"({"maxNodes": 10})");
    const Options copy = options;
    Options other;
    other = copy;
    caster::Node node(other);
    CHECK(node.port() == 10102 && node.multicast() == text && node.ttl() == 3);
    CHECK(node.heartbeat() == 21ms && node.timeout() == 3s && !node.is_exposed());
    CHECK(node.address() == "0.0.0.0" && node.loopback() && !node.is_up());
    const caster::Error unknown = error_of([&] { options.set("prot", 1); });
    CHECK(unknown.code() == CASTER_ERR_UNKNOWN_OPTION && unknown.name() == "UNKNOWN_OPTION");
    CHECK(has(unknown.what(), "did you mean \"port\"?") && unknown.os_error() == 0);
    CHECK(unknown.syscall().empty());
    CHECK(error_of([] { Options(Json{"[1]"}); }).code() != CASTER_OK);
    CHECK(error_of([] { caster::Node bad({{"port", 0}}); }).code() == CASTER_ERR_INVALID_OPTION);
    CHECK(has(node.middleware_json(), "hash") && has(node.stats_json(), "\"received\":0"));
    CHECK(node.stats().size == sizeof(caster::Stats) && node.stats().received == 0);
}

void values_own_their_texts() {
    const auto long_text = [](const char *quote) { return quote + std::string(100, 'x') + quote; };
    const Json json{long_text("\"")};
    const caster::Value value = long_text("");
    const std::string_view view = "[1]";
    caster::Options options{{"meta", json}, {"hashSecret", value}};
    caster::Node node(options);
    CHECK(node.meta_json() == long_text("\""));
    node.set_meta(Json{view});
    CHECK(node.meta_json() == "[1]");
    const caster::Error plain = error_of([&] { options.set("meta", R"({"type": "http"})"); });
    CHECK(plain.code() == CASTER_ERR_INVALID_OPTION && has(plain.what(), "caster::Json"));
}

void json_is_made_of_values() {
    const std::string text = "a \"b\"\\\n\x01 \xc3\xa9";
    const Json nested = Json::array({1, -2, true, nullptr, "x", text, std::string_view("v"), Json::object({})});
    CHECK(nested.text == "[1,-2,true,null,\"x\",\"a \\\"b\\\"\\\\\\u000a\\u0001 \xc3\xa9\",\"v\",{}]");
    const Json object = Json::object({{"type", "http"}, {"port", uint16_t{8080}}, {"load", 0.1f}, {"in", nested}});
    CHECK(has(object.text, "{\"type\":\"http\",\"port\":8080,\"load\":0.1") && has(object.text, ",\"in\":[1,"));
    CHECK(Json::array({0.1, 1e300, -0.0, 1.0 / 3}).text == "[0.1,1e+300,-0,0.3333333333333333]");
    CHECK(Json::array({std::numeric_limits<uint64_t>::max()}).text == "[18446744073709551615]");
    std::vector<std::pair<std::string, Json::Part>> members;
    std::vector<Json::Part> parts;
    for (int i = 0; i < 3; i++) {
        members.emplace_back(std::string(1, static_cast<char>('a' + i)), i);
        parts.emplace_back(i * 0.5);
    }
    CHECK(Json::object(members).text == R"({"a":0,"b":1,"c":2})" && Json::array(parts).text == "[0,0.5,1]");
    CHECK(Json::array({}).text == "[]" && Json::object({{"a", "b"}}).text == R"({"a":"b"})");

    Pair pair;
    pair.a.send(Json::object({{"text", text}}));
    const Event heard = wait_for_event(pair.b, Type::message);
    CHECK(heard.json() && has(*heard.json(), "\\u000a\\u0001"));
    pair.a.set_meta(Json::object({{"a", 1}}));
    for (const double number : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        CHECK(error_of([&] { pair.a.send(Json::array({number})); }).code() == CASTER_ERR_INVALID_ARGUMENT);
        CHECK(error_of([&] { pair.a.set_meta(Json::object({{"x", number}})); }).code() == CASTER_ERR_INVALID_ARGUMENT);
        CHECK(error_of([&] { pair.a.update_meta(Json::object({{"x", number}})); }).code() ==
              CASTER_ERR_INVALID_ARGUMENT);
        CHECK(error_of([&] { caster::Options({{"meta", Json::array({number})}}); }).code() ==
              CASTER_ERR_INVALID_OPTION);
    }
    CHECK(pair.a.meta_json() == R"({"a":1})");
}

void a_value_owns_its_bytes() {
    std::optional<caster::Value> value;
    {
        const std::string secret(100, 's');
        value = caster::bytes(secret);
    }
    caster::Node node({{"hashSecret", *value}});
    CHECK(has(node.middleware_json(), "hash"));
}

void an_error_of_the_system_has_its_number() {
    caster::Node node({{"address", "203.0.113.1"}, {"port", test_port()}});
    const caster::Error error = error_of([&] { node.up(); });
    CHECK(error.code() == CASTER_ERR_IO && error.os_error() > 0 && !error.syscall().empty());
}

template <class Condition>
void wait_until(Condition &&condition) {
    for (long end = now_ms() + DEADLINE_MS; !condition();) {
        CHECK(now_ms() < end);
        sleep_ms(2);
    }
}

void lambdas_are_callbacks() {
    caster::Network network(1);
    caster::Node a = network.node({{"id", "a"}}), b = network.node({{"id", "b"}});
    auto alive = std::make_shared<int>(0);
    std::atomic<int> ups{0}, messages{0}, replaced{0};
    a.on_up([&, alive](EventView event) {
        CHECK(event.type() == Type::up && event.peer().id() == "b");
        ups++;
    });
    a.on_message([&replaced](EventView) { replaced++; });
    a.on_message([&messages, alive](EventView event) {
        CHECK(event.json() == "\"hi\"");
        messages++;
    });
    a.on_update([](auto &&) {});
    a.on_down([](auto &&) {});
    a.on_error([](auto &&) {});
    a.on_conflict([](auto &&) {});
    a.on_isolated([](auto &&) {});
    a.on_rejoined([](auto &&) {});
    a.on_settled([](auto &&) {});
    a.on_hint([](auto &&) {});
    a.on_reject([](auto &&) {});
    std::atomic<int> datagrams{0};
    a.on_datagram([&](EventView event) { datagrams += !event.remote_address().empty(); });
    CHECK(alive.use_count() == 3);
    caster::Node moved = std::move(a); // callbacks go with it
    moved.up();
    b.up();
    network.advance(100ms);
    b.send("hi");
    network.advance(100ms);
    wait_until([&] { return ups == 1 && messages == 1 && datagrams >= 2; });
    CHECK(error_of([&] { static_cast<void>(moved.poll(0ms)); }).code() == CASTER_ERR_EVENTS_TAKEN);
    moved.on_up(nullptr);
    wait_until([&] { return alive.use_count() == 2; });
    moved = network.node(); // frees the first one
    CHECK(alive.use_count() == 1 && replaced == 0);
}

void settled_comes_once_after_those_who_are_there() {
    caster::Network network(1);
    caster::Node a = network.node({{"id", "a"}}), b = network.node({{"id", "b"}});
    b.up();
    network.advance(1s);
    std::atomic<int> ups{0}, settled{0}, ups_before{-1}, last{0};
    a.on_up([&](EventView) { ups++; });
    a.on_message([&](EventView) { last++; });
    a.on_settled([&](EventView event) {
        CHECK(event.type() == Type::settled);
        ups_before = ups.load();
        settled++;
    });
    a.up();
    network.advance(10s);
    b.send("last");
    network.advance(100ms);
    wait_until([&] { return last == 1; });
    CHECK(settled == 1 && ups_before == 1);
    CHECK(wait_for_event(b, Type::settled).type() == Type::settled);
}

void exceptions_go_to_their_handler() {
    caster::Network network(1);
    caster::Node a = network.node({{"id", "a"}}), b = network.node({{"id", "b"}});
    std::atomic<int> caught{0}, after{0};
    a.on_exception([&](std::exception_ptr exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::runtime_error &error) {
            caught += std::string_view(error.what()) == "from a callback";
        }
    });
    a.on_up([](EventView) { throw std::runtime_error("from a callback"); });
    a.on_message([&](EventView) { after++; });
    a.up();
    b.up();
    network.advance(100ms);
    b.send("still there?");
    network.advance(100ms);
    wait_until([&] { return caught == 1 && after == 1; });
}

// A middleware as a class: every byte is changed, and counted by direction.
struct Mask {
    std::shared_ptr<std::atomic<int>> calls;
    void tx(caster::Message &message) {
        CHECK(!message.is_json() && message.remote_address().empty());
        flip(message);
    }
    bool rx(caster::Message &message) {
        CHECK(!message.remote_address().empty() && message.remote_port() > 0);
        CHECK(message.remote_size() > message.data().size && message.remote_interface().empty());
        flip(message);
        return true;
    }
    void flip(caster::Message &message) const {
        std::string text(message.data().text());
        for (char &c : text) c = static_cast<char>(c ^ 0x55);
        message.set(caster::bytes(text));
        ++*calls;
    }
};

void middleware_is_a_class_or_two_lambdas() {
    caster::Network network(1);
    auto calls = std::make_shared<std::atomic<int>>(0);
    {
        caster::Caster a = network.caster(), b = network.caster(), c = network.caster();
        a.use("mask", Mask{calls});
        b.use("mask", Mask{calls});
        a.use_hash("secret");
        b.use_hash(caster::bytes("secret"), "sha1", "auto");
        int refused = 0;
        c.use("refuse", [](caster::Message &) { return false; }, nullptr);
        c.use("count", nullptr, [&](caster::Message &) { refused++; });
        c.use("both", [](caster::Message &) {}, [](caster::Message &) { return true; });
        CHECK(c.middleware_json() == R"(["refuse","count","both"])");
        a.bind();
        b.bind();
        c.bind();
        CHECK(a.send(caster::bytes("ping")) > 4);
        std::optional<Event> event = b.poll(1s);
        CHECK(event && event->data().text() == "ping" && !event->json());
        CHECK(event->remote_address() == "10.0.0.1" && event->remote_port() == 10101);
        CHECK(event->remote_size() > 4 && event->remote_interface().empty());
        network.advance(10ms);
        CHECK(refused == 1 && *calls >= 2);
        CHECK(error_of([&] { c.send(caster::bytes("x")); }).code() == CASTER_ERR_MIDDLEWARE);
        CHECK(error_of([&] { a.use("mask", Mask{calls}); }).code() == CASTER_ERR_MIDDLEWARE);
        c.clear_middleware();
        c.use_json();
        CHECK(c.send("text") > 0 && c.send(Json{"[1]"}) > 0);
        c.send_batch(std::vector<std::string>{"1", "2"});
        c.send_batch(std::vector<caster::Bytes>{caster::bytes("3"), caster::bytes("4")});
        c.clear_middleware();
        c.use_json_utf8();
        c.use_crypto("key");
        CHECK(c.is_bound() && b.stats().received > 0);
        c.close();
    }
    CHECK(calls.use_count() == 1);
}

void a_middleware_may_throw() {
    caster::Network network(1);
    caster::Caster a = network.caster();
    std::atomic<int> caught{0};
    a.on_exception([&](std::exception_ptr) { caught++; });
    a.use("thrower", [](caster::Message &) { throw 7; }, nullptr);
    a.bind();
    CHECK(error_of([&] { a.send(caster::bytes("x")); }).code() == CASTER_ERR_MIDDLEWARE);
    CHECK(caught == 1);
}

void what_was_moved_from_is_refused() {
    caster::Network network(1);
    caster::Node a = network.node({{"id", "a"}});
    caster::Node b = std::move(a);
    CHECK(b && b.id() == "a");
    CHECK(!a && a.id().empty() && a.nodes().empty() && a.stats_json().empty()); // NOLINT
    CHECK(a.stats().received == 0 && !a.node("a") && a.meta_json().empty());
    CHECK(error_of([&] { a.up(); }).code() == CASTER_ERR_INVALID_ARGUMENT);
    CHECK(error_of([&] { a.on_up([](EventView) {}); }).code() == CASTER_ERR_INVALID_ARGUMENT);
    a = std::move(b);
    CHECK(a && !b);
}

void the_network_takes_durations() {
    Pair pair;
    const auto before = pair.network.now();
    pair.network.advance(1h);
    CHECK(pair.network.now() == before + 1h);
    pair.network.set_loss(0.1);
    pair.network.set_duplicates(0.1);
    pair.network.set_delay(5ms);
    CHECK(error_of([&] { pair.network.set_loss(2); }).code() == CASTER_ERR_INVALID_ARGUMENT);
    CHECK(error_of([&] { pair.network.unplug("nobody"); }).code() == CASTER_ERR_INVALID_ARGUMENT);
}

void a_descriptor_is_for_event_loops() {
    Pair pair;
    const int descriptor = pair.b.fd();
    CHECK(descriptor >= 0);
    pair.b.watch_rejects();
    pair.b.watch_datagrams();
    pair.a.send_bare(Json{"[]"});
    pair.a.send_bare(caster::bytes("{"));
    while (wait_for_event(pair.b, Type::datagram).remote_address() != "10.0.0.1") {
    } // its own come through its middleware, too
    caster::Node foreign = pair.network.node({{"hashSecret", "another"}});
    foreign.up();
    Event reject = wait_for_event(pair.b, Type::reject);
    CHECK(reject.error() && reject.error()->code() == CASTER_ERR_HASH_MISMATCH);
    CHECK(reject.remote_address() == "10.0.0.3" && !reject.peer());
}

void the_log_goes_to_a_lambda() {
    static std::atomic<int> lines{0};
    caster::set_log(caster::Level::trace, [](caster::Level level, std::string_view text) {
        if (level <= caster::Level::trace && !text.empty()) lines++;
    });
    Pair pair;
    CHECK(lines > 0);
    caster::set_log(caster::Level::off, nullptr);
    const int before = lines;
    pair.a.down();
    CHECK(lines == before && caster::version() == CASTER_VERSION_STRING);
}

} // namespace

int main() {
    RUN(nodes_find_each_other);
    RUN(find_takes_keys_and_values);
    RUN(keys_seal_and_change_and_are_in_no_text);
    RUN(nodes_sign_and_verify);
    RUN(messages_arrive);
    RUN(a_nul_is_named_with_its_place);
    RUN(changes_and_ends_are_told);
    RUN(metadata_over_the_limit_is_refused_at_creation);
    RUN(options_take_what_they_should);
    RUN(values_own_their_texts);
    RUN(json_is_made_of_values);
    RUN(a_value_owns_its_bytes);
    RUN(an_error_of_the_system_has_its_number);
    RUN(lambdas_are_callbacks);
    RUN(settled_comes_once_after_those_who_are_there);
    RUN(exceptions_go_to_their_handler);
    RUN(middleware_is_a_class_or_two_lambdas);
    RUN(a_middleware_may_throw);
    RUN(what_was_moved_from_is_refused);
    RUN(the_network_takes_durations);
    RUN(a_descriptor_is_for_event_loops);
    RUN(the_log_goes_to_a_lambda);
}
