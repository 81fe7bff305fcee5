// Finds peers, prints their events and messages. Arguments: options as a JSON object.
#include <caster.hpp>
#include <csignal>
#include <iostream>

static volatile std::sig_atomic_t stopped;

int main(int argc, char **argv) try {
    using namespace std::chrono_literals;
    using Clock = std::chrono::steady_clock;
    caster::Options options{{"meta", caster::Json{R"({"lang": "c++"})"}}};
    if (argc > 1) options.merge(argv[1]);
    caster::Node node(options); // leaves at the end of main
    node.up();
    for (int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { stopped = 1; });
    for (auto next = Clock::now(); !stopped;) {
        if (Clock::now() >= next) {
            node.send("hello from C++");
            next = Clock::now() + 1s;
        }
        auto event = node.poll(100ms);
        if (!event) continue; // nothing yet
        std::cout << event->name() << ' ' << event->peer().id() << ' ';
        if (event->json())
            std::cout << *event->json();
        else if (event->type() == caster::Type::down)
            std::cout << event->reason_name();
        else if (auto meta = event->peer().meta_json())
            std::cout << *meta;
        else if (auto error = event->error())
            std::cout << error->text();
        std::cout << std::endl;
    }
} catch (const caster::Error &error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
