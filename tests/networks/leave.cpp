// Leaves while the network is gone, by down() and by a destructor. Both have to succeed.
#include <caster.hpp>

#include <cstdio>
#include <cstdlib>

int main() {
    const caster::Options options{{"heartbeat", 60000}, {"timeout", 120000}};
    caster::Node node(options), dropped(options);
    node.up();
    dropped.up();
    for (const char *command : {"ip link set eth0 down", "ip link set lo down"}) {
        if (std::system(command) != 0) return 2;
    }
    node.down();
    dropped = caster::Node(options);
    std::printf("down %d\n", node.stats().send_errors > 0);
}
