// A node inside an event loop of the program: the loop owns the thread, the node is one descriptor
// among others, and no callback comes from elsewhere. Arguments: options as a JSON object;
// `--selftest` runs two nodes in one loop on this machine.
#include <caster.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

namespace {

// The loop that a program has already: descriptors with handlers, and one timer. libuv, GLib, Qt,
// asio and epoll have the same under other names.
class Loop {
public:
    void watch(int descriptor, std::function<void()> handler) {
        handlers_[descriptor] = std::move(handler);
    }
    void every(std::chrono::milliseconds interval, std::function<void()> tick) {
        interval_ = interval;
        tick_ = std::move(tick);
    }
    void stop() { stopped_ = true; }
    void run() {
        auto next = std::chrono::steady_clock::now();
        while (!stopped_) {
            std::vector<pollfd> waits;
            for (auto const &entry : handlers_) waits.push_back({entry.first, POLLIN, 0});
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                next - std::chrono::steady_clock::now());
            ::poll(waits.data(), waits.size(), static_cast<int>(std::max(left, 0ms).count()));
            for (auto const &wait : waits)
                if (wait.revents) handlers_[wait.fd]();
            if (std::chrono::steady_clock::now() >= next) {
                tick_();
                next += interval_;
            }
        }
    }

private:
    std::map<int, std::function<void()>> handlers_;
    std::function<void()> tick_ = [] {};
    std::chrono::milliseconds interval_ = 1s;
    bool stopped_ = false;
};

// Joins a node to the loop. It never waits: the descriptor says when there is something.
void attach(Loop &loop, caster::Node &node, std::function<void(const caster::Event &)> handler) {
    loop.watch(node.fd(), [&node, handler = std::move(handler)] {
        while (auto event = node.poll(0ms)) handler(*event);
    });
}

} // namespace

int main(int argc, char **argv) try {
    const std::string argument = argc > 1 ? argv[1] : "{}";
    const bool selftest = argument == "--selftest";
    caster::Options options;
    if (selftest)
        options.set("address", "127.0.0.1").set("port", 22000 + getpid() * 47 % 10000);
    else
        options.merge(argument);

    Loop loop;
    caster::Node node(options), other(options);
    int heard = 0, ticks = 0;
    auto show = [&](const caster::Event &event) {
        std::cout << event.name() << ' ' << event.peer().id() << ' ' << event.json().value_or("")
                  << std::endl;
        if (event.type() == caster::Type::message && ++heard == 4 && selftest) loop.stop();
    };
    attach(loop, node, show);
    node.up();
    if (selftest) {
        attach(loop, other, show);
        other.up();
    }
    loop.every(selftest ? 50ms : 1s, [&] {
        node.send("tick");
        if (selftest) other.send("tock");
        if (++ticks == 200 && selftest) loop.stop();
    });
    loop.run();
    return selftest && heard < 4 ? 1 : 0;
} catch (const caster::Error &error) {
    std::cerr << error.name() << ": " << error.what() << std::endl;
    return 1;
}
