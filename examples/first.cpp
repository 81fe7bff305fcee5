#include <caster.hpp>
#include <iostream>

int main() {
    caster::Node node({{"meta", caster::Json{R"({"type": "printer"})"}}});
    node.up();
    while (auto event = node.next())
        if (event->type() == caster::Type::up) std::cout << event->peer().id() << " is up" << std::endl;
}
