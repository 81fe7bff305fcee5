/*
 * The peer program of the C++ header: see ../README.md for what it takes and prints. Events come by callbacks, on
 * the thread of the library; commands are read by the main thread.
 */
#include <caster.hpp>

#include <array>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>

namespace {

std::mutex printing;

void put(const std::string &line) {
    const std::lock_guard<std::mutex> lock(printing);
    std::cout << line << std::endl;
}

void say(std::string_view event) { put("{\"ev\":\"" + std::string(event) + "\"}"); }

void tell(std::string_view event, std::string_view text) {
    const std::string quoted = caster::Json::array({text}).text;
    put("{\"ev\":\"" + std::string(event) + "\",\"text\":" + quoted.substr(1, quoted.size() - 2) + "}");
}

/* The fields of a peer, without braces. */
std::string fields(caster::PeerView peer) {
    return "\"id\":" + std::string(peer.id_json()) + ",\"address\":\"" + std::string(peer.address()) +
           "\",\"meta\":" + std::string(peer.meta_json().value_or("null"));
}

void show_peer(caster::EventView event) {
    put("{\"ev\":\"" + std::string(event.name()) + "\"," + fields(event.peer()) + "}");
}

void show_down(caster::EventView event) {
    put("{\"ev\":\"down\",\"id\":" + std::string(event.peer().id_json()) + ",\"reason\":\"" +
        std::string(event.reason_name()) + "\"}");
}

void show_message(caster::EventView event) {
    put("{\"ev\":\"message\",\"id\":" + std::string(event.peer().id_json()) +
        ",\"signed\":" + (event.is_signed() ? "true" : "false") +
        ",\"message\":" + std::string(event.json().value_or("null")) + "}");
}

/* Reads 64 hexadecimal digits. */
std::array<uint8_t, 32> read_key(std::string_view text) {
    std::array<uint8_t, 32> key{};
    for (size_t at = 0; at < key.size(); at++) {
        key[at] = static_cast<uint8_t>(std::stoul(std::string(text.substr(2 * at, 2)), nullptr, 16));
    }
    return key;
}

void show_nodes(const caster::Node &node) {
    std::string all;
    for (const caster::PeerView peer : node.nodes()) all += (all.empty() ? "{" : ",{") + fields(peer) + "}";
    put("{\"ev\":\"nodes\",\"nodes\":[" + all + "]}");
}

void execute(caster::Node &node, std::string_view command, const std::string &rest) {
    const auto key = [&] { return read_key(rest); };
    if (command == "send") {
        put("{\"ev\":\"sent\",\"bytes\":" + std::to_string(node.send(caster::Json{rest})) + "}");
    } else if (command == "add_key") {
        const auto bytes = key();
        node.add_key({bytes.data(), bytes.size()});
        say("keys");
    } else if (command == "use_key") {
        const auto bytes = key();
        node.use_key({bytes.data(), bytes.size()});
        say("keys");
    } else if (command == "remove_key") {
        const auto bytes = key();
        node.remove_key({bytes.data(), bytes.size()});
        say("keys");
    } else if (command == "identity") {
        put("{\"ev\":\"identity\",\"key\":\"" + node.identity_of(rest) + "\"}");
    } else if (command == "up") {
        node.up();
        say("ready");
    } else if (command == "down") {
        node.down();
        say("gone");
    } else if (command == "nodes") {
        show_nodes(node);
    } else if (command == "stats") {
        put("{\"ev\":\"stats\",\"stats\":" + node.stats_json() + "}");
    } else if (command == "quit") {
        std::_Exit(0);
    } else if (!command.empty()) {
        tell("error", command);
    }
}

} // namespace

int main(int argc, char **argv) try {
    caster::Options options;
    if (const char *keys = std::getenv("CASTER_KEYS")) {
        std::istringstream words(keys);
        for (std::string key; words >> key;) options.add_key(key);
    }
    if (const char *seed = std::getenv("CASTER_IDENTITY")) options.set_identity(seed);
    if (const char *trusted = std::getenv("CASTER_TRUST")) {
        std::istringstream words(trusted);
        for (std::string key; words >> key;) options.add_trusted(key);
    }
    if (argc > 1) options.merge(argv[1]);
    caster::Node node(options);
    node.on_up(show_peer);
    node.on_update(show_peer);
    node.on_down(show_down);
    node.on_message(show_message);
    node.on_hint([](caster::EventView event) { tell("hint", event.hint()); });
    node.on_error([](caster::EventView event) {
        if (const auto error = event.error()) tell("error", error->text());
    });
    node.up();
    say("ready");
    for (std::string line; std::getline(std::cin, line);) {
        const size_t end = line.find(' ');
        const std::string rest = end == std::string::npos ? "" : line.substr(end + 1);
        try {
            execute(node, std::string_view(line).substr(0, end), rest);
        } catch (const caster::Error &error) {
            tell("error", error.text());
        }
    }
    if (node.is_up()) {
        node.down();
        say("gone");
    }
} catch (const caster::Error &error) {
    tell("error", error.text());
    return 1;
}
