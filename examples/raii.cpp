// The C++ wrapper: objects that clean up after themselves, lambdas as callbacks, durations, errors
// as exceptions. Arguments: options as a JSON object; `--selftest` runs two nodes on this machine.
#include <caster.hpp>

#include <condition_variable>
#include <iostream>
#include <mutex>
#include <string>
#include <unistd.h>

using namespace std::chrono_literals;
using caster::EventView;
using caster::Json;

namespace {

// State that callbacks share with main. Callbacks run on threads of the library, one for each node.
class Log {
public:
    void add(std::string line) {
        std::lock_guard guard(mutex_);
        std::cout << line << std::endl;
        lines_++;
        changed_.notify_all();
    }
    bool wait_for(int lines, std::chrono::seconds most) {
        std::unique_lock guard(mutex_);
        return changed_.wait_for(guard, most, [&] { return lines_ >= lines; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int lines_ = 0;
};

// A middleware as a class. Its copies are the library's, and go with the node.
struct Sized {
    std::size_t most;
    bool tx(caster::Message &message) const { return message.data().size <= most; }
};

caster::Node make(const caster::Options &options, Log &log) {
    caster::Node node(options);
    const std::string own(node.id());
    node.on_up([&log, own](EventView event) {
        log.add(own + " found " + std::string(event.peer().id()));
    });
    node.on_message([&log, own](EventView event) {
        log.add(own + " heard " + std::string(event.json().value_or("bytes")));
    });
    // Exceptions of callbacks arrive here instead of ending the program.
    node.on_exception([](std::exception_ptr) { std::cerr << "a callback has thrown\n"; });
    node.use("sized", Sized{1200});
    return node; // moved, callbacks and all
}

} // namespace

int main(int argc, char **argv) try {
    const std::string argument = argc > 1 ? argv[1] : "{}";
    const bool selftest = argument == "--selftest";
    caster::Options options{{"heartbeat", 500ms}, {"meta", Json{R"({"type": "demo"})"}}};
    if (selftest)
        options.set("address", "127.0.0.1").set("port", 22000 + getpid() * 43 % 10000);
    else
        options.merge(argument);

    Log log; // outlives the nodes, whose destructors wait for the last callback
    caster::Node node = make(options, log);
    node.up();
    if (!selftest) {
        for (;;) {
            node.send("hello from C++");
            log.wait_for(1 << 30, 1s);
            for (auto const &peer : node.nodes())
                std::cout << peer.id() << " at " << peer.address() << std::endl;
        }
    }
    caster::Node other = make(options, log);
    other.up();
    if (!log.wait_for(2, 10s)) return 1;
    node.send(Json{R"({"now": "we know each other"})"});
    if (!log.wait_for(3, 10s) || other.find("type").size() != 1) return 1;
    try {
        node.send(std::string(2000, 'x'));
    } catch (const caster::Error &error) {
        std::cout << error.name() << ": " << error.what() << std::endl;
        return error.code() == CASTER_ERR_MIDDLEWARE ? 0 : 1;
    }
    return 1;
} catch (const caster::Error &error) {
    std::cerr << error.name() << ": " << error.what() << std::endl;
    return 1;
}
