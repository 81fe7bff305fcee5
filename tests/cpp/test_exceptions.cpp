// A C++ exception that leaves a callback, a middleware or a drop hook ends the process with a
// message, in an orderly way: each is tried in a process of its own.
#define CASTER_NO_NULLABILITY // it passes NULL where it must not
#include "../c/check.h"

#include <caster.hpp>

#include <csignal>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>

namespace {

void throw_in_callback(caster_node_t *, const caster_event_t *, void *) {
    throw std::runtime_error("from a callback");
}

int throw_in_middleware(caster_message_t *, void *) {
    throw std::runtime_error("from a middleware");
}

void throw_in_drop_hook(void *) { throw std::runtime_error("from a drop hook"); }

void callback() {
    caster_node_t *a = make_node(R"({"id": "a"})"), *b = make_node(R"({"id": "b"})");
    OK(caster_node_on_up(a, throw_in_callback, nullptr, nullptr));
    OK(caster_node_up(a));
    OK(caster_node_up(b));
    sleep_ms(DEADLINE_MS);
}

void middleware() {
    caster_t *caster = make_caster();
    OK(caster_use(caster, "thrower", throw_in_middleware, nullptr, nullptr, nullptr));
    OK(caster_bind(caster));
    caster_send(caster, nullptr, 0, nullptr);
}

void drop_hook() { caster_use(nullptr, "a", nullptr, nullptr, nullptr, throw_in_drop_hook); }

// caster.hpp without on_exception: it ends where an exception that leaves a thread would end.
void wrapped_callback() {
    caster::Network network;
    caster::Node a = network.node(), b = network.node();
    a.on_up([](caster::EventView) { throw std::runtime_error("from a lambda"); });
    a.up();
    b.up();
    network.advance(std::chrono::seconds(1));
    sleep_ms(DEADLINE_MS);
}

// Runs `child` in a process of its own, which has to end with SIGABRT and this on stderr.
void aborts(void (*child)(), const std::string &message) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        child();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[256];
    for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;) {
        said.append(part, static_cast<size_t>(got));
    }
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        said.find(message) == std::string::npos) {
        fprintf(stderr, "the child ended with %d and said: %s\n", status, said.c_str());
        exit(1);
    }
}

const char *const MESSAGE = "Rust cannot catch foreign exceptions";

void an_exception_in_a_callback_ends_the_process() { aborts(callback, MESSAGE); }
void an_exception_in_a_middleware_ends_the_process() { aborts(middleware, MESSAGE); }
void an_exception_in_a_drop_hook_ends_the_process() { aborts(drop_hook, MESSAGE); }

void an_exception_in_a_lambda_without_a_handler_ends_the_process() {
    aborts(wrapped_callback, "from a lambda");
}

// A child that is forked in the scope of a node: calls throw FORKED, and the destructor of the
// child's copy neither hangs nor replaces the child's exception.
void a_forked_child_keeps_its_own_exception() {
    caster::Node node{{"address", "127.0.0.1"}, {"port", test_port()}};
    node.on_up([](caster::EventView) {});
    node.up();
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(20);
        int status = 1;
        caster_status_t refused = CASTER_OK;
        try {
            caster::Node copy = std::move(node);
            try {
                copy.down();
            } catch (const caster::Error &error) {
                refused = error.code();
            }
            throw std::runtime_error("of the child");
        } catch (const std::runtime_error &error) {
            const bool is_own = std::string(error.what()) == "of the child";
            if (is_own && refused == CASTER_ERR_FORKED) status = 7;
        }
        _exit(status);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    node.down();
}

} // namespace

int main() {
    RUN(a_forked_child_keeps_its_own_exception);
    RUN(an_exception_in_a_lambda_without_a_handler_ends_the_process);
    RUN(an_exception_in_a_callback_ends_the_process);
    RUN(an_exception_in_a_middleware_ends_the_process);
    RUN(an_exception_in_a_drop_hook_ends_the_process);
}
