/*
 * caster.hpp: LAN discovery without a server, for C++17 and newer. Everything is in this file, over
 * the C API of caster.h, which has the details: threads, limits, what each event means.
 *
 *     caster::Node node({{"address", "127.0.0.1"}, {"meta", caster::Json::object({{"type", "http"}})}});
 *     node.on_up([](caster::EventView event) { std::cout << event.peer().id() << " is up\n"; });
 *     node.up();
 *     for (auto const &peer : node.nodes()) std::cout << peer.id() << '\n';
 *
 * OBJECTS. Node, Caster and Network own what they are and can be moved, not copied; the destructor
 * of a node leaves the group. Event, Peer and Nodes own too, and Event and Peer can be copied. EventView
 * and PeerView borrow, and what they give (std::string_view) lives as long as what they borrow: in a
 * callback until it returns. keep() makes an owner of them. An object that was moved from can be
 * destroyed and assigned to; every call on it is CASTER_ERR_INVALID_ARGUMENT.
 *
 * ERRORS are thrown as caster::Error. With CASTER_NO_EXCEPTIONS defined, or exceptions turned off
 * (-fno-exceptions), nothing is thrown: what would throw returns a caster::Result instead, and
 * Node::make, Caster::make and Network::make stand for the constructors. `Returns<T>` in this file is
 * T or Result<T>.
 *
 * CALLBACKS are any callables, kept until they are replaced or their object is destroyed, and called
 * on a thread of the library, one at a time for each node. An exception that leaves one never gets
 * into the library: it goes to the function given to on_exception, or else ends the program
 * (std::terminate), as an exception does that leaves a thread.
 */
#ifndef CASTER_HPP
#define CASTER_HPP

#include <caster.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if !defined(CASTER_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#define CASTER_NO_EXCEPTIONS
#endif

namespace caster {
/* Two sets of names, so that files compiled with and without exceptions can be linked together. */
#ifdef CASTER_NO_EXCEPTIONS
inline namespace returning {
#else
inline namespace throwing {
#endif

/* Errors ------------------------------------------------------------------------------------ */

/** An error: a code of the table in caster.h, and a text that names the accepted values. */
class Error : public std::exception {
public:
    Error(caster_status_t code, std::string text, int os_error = 0, const char *syscall = nullptr)
        : code_(code), os_error_(os_error), syscall_(syscall), text_(std::move(text)) {}

    /** The last error of the calling thread, after a call that returned `code`. */
    [[nodiscard]] static Error last(caster_status_t code) {
        return Error(code, caster_last_error(), caster_last_os_error(), caster_last_syscall());
    }

    /** One of CASTER_ERR_*. */
    [[nodiscard]] caster_status_t code() const noexcept { return code_; }
    /** The name of the code, as in "NOT_UP". */
    [[nodiscard]] std::string_view name() const noexcept { return caster_status_name(code_); }
    /** The cause of this error, in English. */
    [[nodiscard]] const std::string &text() const noexcept { return text_; }
    [[nodiscard]] const char *what() const noexcept override { return text_.c_str(); }
    /** The number of the operating system's error (errno), or 0. */
    [[nodiscard]] int os_error() const noexcept { return os_error_; }
    /** The system call that failed, as in "bind", or an empty text. */
    [[nodiscard]] std::string_view syscall() const noexcept { return syscall_ ? syscall_ : ""; }

private:
    caster_status_t code_;
    int os_error_;
    const char *syscall_; /* static storage of the library */
    std::string text_;
};

/** A value, or why there is none. To ask for the one that is not there ends the program. */
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    [[nodiscard]] T &value() & noexcept { return *checked(std::get_if<0>(&content_)); }
    [[nodiscard]] const T &value() const & noexcept { return *checked(std::get_if<0>(&content_)); }
    /** By value, so that `for (auto const &peer : *node.find("type"))` is fine. */
    [[nodiscard]] T value() && noexcept { return std::move(*checked(std::get_if<0>(&content_))); }
    [[nodiscard]] T &operator*() & noexcept { return value(); }
    [[nodiscard]] const T &operator*() const & noexcept { return value(); }
    [[nodiscard]] T operator*() && noexcept { return std::move(*this).value(); }
    [[nodiscard]] T *operator->() noexcept { return &value(); }
    [[nodiscard]] const T *operator->() const noexcept { return &value(); }
    [[nodiscard]] T value_or(T otherwise) && {
        return has_value() ? std::move(*this).value() : std::move(otherwise);
    }

    [[nodiscard]] const Error &error() const & noexcept {
        return *checked(std::get_if<1>(&content_));
    }

private:
    template <class P>
    static P checked(P pointer) noexcept {
        if (!pointer) std::terminate();
        return pointer;
    }

    std::variant<T, Error> content_;
};

/** That it went well, or why it did not. */
template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const noexcept {
        if (error_) std::terminate();
    }
    [[nodiscard]] const Error &error() const noexcept {
        if (!error_) std::terminate();
        return *error_;
    }

private:
    std::optional<Error> error_;
};

#ifdef CASTER_NO_EXCEPTIONS
template <class T>
using Returns = Result<T>;
#else
template <class T>
using Returns = T;
#endif

namespace detail {

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T *object) const noexcept {
        Free(object);
    }
};

template <class T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

/** The outcome of a call that failed. */
template <class T>
Returns<T> fail(Error error) {
#ifdef CASTER_NO_EXCEPTIONS
    return Returns<T>(std::move(error));
#else
    throw error;
#endif
}

inline Returns<void> done(caster_status_t status) {
    if (status != CASTER_OK) return fail<void>(Error::last(status));
    return Returns<void>();
}

inline std::string_view text(const char *borrowed) noexcept {
    return borrowed ? std::string_view(borrowed) : std::string_view();
}

inline std::optional<std::string_view> optional_text(const char *borrowed) noexcept {
    if (!borrowed) return std::nullopt;
    return std::string_view(borrowed);
}

/** A string of the library's, copied and freed. */
inline std::string taken(char *given) {
    Owned<char, caster_string_free> owned(given);
    return given ? std::string(given) : std::string();
}

/**
 * A text for C: with a NUL behind it. One in it becomes what Java writes for it, which is not UTF-8:
 * the library says that there was a NUL and where.
 */
class Text {
public:
    explicit Text(std::string_view text) : copy_(text) {
        for (size_t at = 0; (at = copy_.find('\0', at)) != std::string::npos;) {
            copy_.replace(at, 1, "\xC0\x80");
        }
    }

    [[nodiscard]] const char *c_str() const noexcept { return copy_.c_str(); }

private:
    std::string copy_;
};

/** Many texts for C, which outlive this; only those with a NUL in them are copied. */
class Texts {
public:
    explicit Texts(const std::vector<std::string> &texts) {
        pointers_.reserve(texts.size());
        copies_.reserve(texts.size()); /* they must not move */
        for (const std::string &text : texts) {
            const bool whole = text.find('\0') == std::string::npos;
            pointers_.push_back(whole ? text.c_str() : copies_.emplace_back(text).c_str());
        }
    }
    Texts(const Texts &) = delete;
    Texts &operator=(const Texts &) = delete;

    [[nodiscard]] const char *const *data() const noexcept { return pointers_.data(); }
    [[nodiscard]] size_t size() const noexcept { return pointers_.size(); }

private:
    std::vector<Text> copies_;
    std::vector<const char *> pointers_;
};

/** Milliseconds for a timeout: rounded up; never negative, which would mean without limit. */
template <class Rep, class Period>
int timeout_ms(std::chrono::duration<Rep, Period> timeout) {
    using std::chrono::milliseconds;
    constexpr int most = std::numeric_limits<int>::max();
    if (timeout <= timeout.zero()) return 0;
    if (timeout >= std::chrono::duration<double, std::milli>(most)) return most;
    return static_cast<int>(std::chrono::ceil<milliseconds>(timeout).count());
}

inline std::chrono::system_clock::time_point time_of(uint64_t ms) {
    return std::chrono::system_clock::time_point(
        std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(ms)));
}

/** The sink of the exceptions of all callbacks of one object. */
class ExceptionSink {
public:
#ifndef CASTER_NO_EXCEPTIONS
    void set(std::function<void(std::exception_ptr)> handler) {
        std::lock_guard<std::mutex> guard(mutex_);
        handler_ = std::move(handler);
    }

    /** Called in a catch block. A handler that throws ends the program, too. */
    void take() noexcept {
        std::function<void(std::exception_ptr)> handler;
        {
            std::lock_guard<std::mutex> guard(mutex_);
            handler = handler_;
        }
        if (!handler) std::terminate();
        handler(std::current_exception());
    }

private:
    std::mutex mutex_;
    std::function<void(std::exception_ptr)> handler_;
#endif
};

/** Runs code of the program; false if it threw. */
template <class F>
bool guarded(ExceptionSink &sink, F &&run) noexcept {
#ifdef CASTER_NO_EXCEPTIONS
    static_cast<void>(sink);
    run();
    return true;
#else
    try {
        run();
        return true;
    } catch (...) {
        sink.take();
        return false;
    }
#endif
}

/** The data of a registration: the callable, and the sink of its exceptions. */
template <class F>
struct Kept {
    F callable;
    std::shared_ptr<ExceptionSink> sink;

    static void drop(void *kept) noexcept { delete static_cast<Kept *>(kept); }
};

template <class F>
using KeptOf = Kept<std::decay_t<F>>;

template <class F>
KeptOf<F> *keep(F &&callable, const std::shared_ptr<ExceptionSink> &sink) {
    return new KeptOf<F>{std::forward<F>(callable), sink};
}

} // namespace detail

/* Values ------------------------------------------------------------------------------------ */

/** Borrowed bytes. */
struct Bytes {
    const uint8_t *data = nullptr;
    size_t size = 0;

    [[nodiscard]] const uint8_t *begin() const noexcept { return data; }
    [[nodiscard]] const uint8_t *end() const noexcept { return size ? data + size : data; }
    [[nodiscard]] std::string_view text() const noexcept {
        if (!size) return std::string_view();
        return std::string_view(reinterpret_cast<const char *>(data), size);
    }
};

/** The bytes of a text, as in `caster.send(caster::bytes("ping"))`. */
[[nodiscard]] inline Bytes bytes(std::string_view text) noexcept {
    return Bytes{reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

/**
 * A text that is JSON, where a plain text would be a string. It owns the text.
 *
 *     Json{R"({"type": "http"})"}
 *     Json::object({{"type", "http"}, {"port", 8080}, {"load", 0.5}})
 *     Json::array({1, true, nullptr, Json::object({})})
 */
struct Json {
    class Part;
    using Member = std::pair<std::string_view, Part>;

    std::string text;

    /** An object with these members, in this order. */
    [[nodiscard]] static Json object(std::initializer_list<Member> members);
    /** The same with members that are made while the program runs. */
    [[nodiscard]] static Json object(const std::vector<std::pair<std::string, Part>> &members);
    /** An array of these values. */
    [[nodiscard]] static Json array(std::initializer_list<Part> parts);
    [[nodiscard]] static Json array(const std::vector<Part> &parts);

    /** From anything of which a std::string can be made. */
    template <class T, std::enable_if_t<std::is_constructible_v<std::string, T &&> &&
                                            !std::is_same_v<std::decay_t<T>, Json>,
                                        int> = 0>
    explicit Json(T &&from) : text(std::forward<T>(from)) {}
};

/**
 * A value inside of JSON: a text in UTF-8, a number, a truth, nullptr, or JSON. It owns what it is made of.
 *
 * A number that is not finite has no JSON form: every call that gets the JSON refuses it with
 * CASTER_ERR_INVALID_ARGUMENT or CASTER_ERR_INVALID_OPTION.
 */
class Json::Part {
public:
    Part(std::nullptr_t) : text_("null") {}
    Part(const char *text) : text_(quoted(text)) {}
    Part(std::string_view text) : text_(quoted(text)) {}
    Part(const std::string &text) : text_(quoted(text)) {}
    Part(Json json) : text_(std::move(json.text)) {}
    template <class T,
              std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, char>, int> = 0>
    Part(T value) : text_(written(value)) {}

    /** Its JSON text. */
    [[nodiscard]] const std::string &text() const noexcept { return text_; }

    /** A text as JSON. */
    [[nodiscard]] static std::string quoted(std::string_view text) {
        static const char digits[] = "0123456789abcdef";
        std::string out = "\"";
        for (const char c : text) {
            const auto code = static_cast<unsigned char>(c);
            if (code < 0x20) {
                out += "\\u00";
                out += digits[code / 16];
                out += digits[code % 16];
            } else {
                if (c == '"' || c == '\\') out += '\\';
                out += c;
            }
        }
        return out += '"';
    }

private:
    template <class T>
    static std::string written(T value) {
        if constexpr (std::is_same_v<T, bool>) {
            return value ? "true" : "false";
        } else if constexpr (std::is_integral_v<T>) {
            return std::to_string(value);
        } else {
            return shortest(static_cast<double>(value));
        }
    }

    /** As few digits as give the same number again. */
    static std::string shortest(double value) {
        char digits[40];
        for (int precision = 15; precision <= 17; precision++) {
            std::snprintf(digits, sizeof digits, "%.*g", precision, value);
            if (std::strtod(digits, nullptr) == value) break;
        }
        std::string out = digits;
        /* The point of some locales is a comma. */
        for (char &c : out) {
            if (c == ',') c = '.';
        }
        return out;
    }

    std::string text_;
};

namespace detail {

template <class Members>
Json object_of(const Members &members) {
    std::string out = "{";
    for (const auto &[name, part] : members) {
        if (out.size() > 1) out += ',';
        out += Json::Part::quoted(name) + ':' + part.text();
    }
    return Json{out + '}'};
}

template <class Parts>
Json array_of(const Parts &parts) {
    std::string out = "[";
    for (const Json::Part &part : parts) {
        if (out.size() > 1) out += ',';
        out += part.text();
    }
    return Json{out + ']'};
}

} // namespace detail

inline Json Json::object(std::initializer_list<Member> members) { return detail::object_of(members); }
inline Json Json::object(const std::vector<std::pair<std::string, Part>> &members) {
    return detail::object_of(members);
}
inline Json Json::array(std::initializer_list<Part> parts) { return detail::array_of(parts); }
inline Json Json::array(const std::vector<Part> &parts) { return detail::array_of(parts); }

/**
 * The value of an option: a text, a whole number, a truth, a duration, JSON, or bytes of a key. It owns
 * all of them. There is none of a floating-point number or of a pointer.
 */
class Value {
public:
    Value(const char *text) : content_(std::string(text)) {}
    Value(std::string_view text) : content_(std::string(text)) {}
    Value(std::string text) : content_(std::move(text)) {}
    Value(Json json) : content_(std::move(json)) {}
    Value(Bytes bytes) : content_(std::vector<uint8_t>(bytes.begin(), bytes.end())) {}
    template <class T, std::enable_if_t<std::is_same_v<T, bool>, int> = 0>
    Value(T truth) : content_(truth) {}
    template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
    Value(T number) : content_(static_cast<int64_t>(number)) {}
    /** In whole milliseconds, rounded up. */
    template <class Rep, class Period>
    Value(std::chrono::duration<Rep, Period> time)
        : content_(static_cast<int64_t>(
              std::chrono::ceil<std::chrono::duration<int64_t, std::milli>>(time).count())) {}

    template <class Visitor>
    decltype(auto) visit(Visitor &&visitor) const {
        return std::visit(std::forward<Visitor>(visitor), content_);
    }

private:
    std::variant<std::string, int64_t, bool, Json, std::vector<uint8_t>> content_;
};

/**
 * Options of a node or a caster; docs/options.md lists them. An option that is not set has its default.
 *
 *     caster::Options options{{"port", 10102}, {"heartbeat", 500ms}};
 *     options.set("hashSecret", "group").merge(R"({"maxNodes": 100})");
 *
 * An option that is not accepted throws. Without exceptions, the first error is kept, and Node::make
 * and Caster::make return it.
 */
class Options {
public:
    using Pair = std::pair<std::string_view, Value>;

    Options() : options_(caster_options_new_node()) {}
    Options(std::initializer_list<Pair> pairs) : Options() {
        for (const Pair &pair : pairs) set(pair.first, pair.second);
    }
    /** From one JSON object. */
    explicit Options(const Json &object) : Options() { merge(object.text); }

    Options(const Options &other)
        : options_(caster_options_dup(other.options_.get())), error_(other.error_) {}
    Options &operator=(const Options &other) {
        if (this != &other) *this = Options(other);
        return *this;
    }
    Options(Options &&) noexcept = default;
    Options &operator=(Options &&) noexcept = default;
    ~Options() = default;

    Options &set(std::string_view name, const Value &value) {
        detail::Text key(name);
        return note(value.visit([&](const auto &content) { return put(key.c_str(), content); }));
    }

    /** Sets what is in a JSON object. */
    Options &merge(std::string_view object) {
        return note(caster_options_merge_json(options_.get(), detail::Text(object).c_str()));
    }

    /** Turns secure mode on with a key of 32 bytes, or adds one: the first seals, all are accepted. */
    Options &add_key(Bytes key) {
        return note(caster_options_add_key(options_.get(), key.data, key.size));
    }
    /** The same with 64 hexadecimal digits, or 43 or 44 characters of base64. */
    Options &add_key(std::string_view key) {
        return note(caster_options_add_key_text(options_.get(), detail::Text(key).c_str()));
    }
    /** Adds all keys of a file that other users cannot read. */
    Options &add_key_file(std::string_view path) {
        return note(caster_options_add_key_file(options_.get(), detail::Text(path).c_str()));
    }

    /** In secure mode: the node signs with this identity, a seed of 32 bytes, and verifies the signatures of others. */
    Options &set_identity(Bytes seed) {
        return note(caster_options_set_identity(options_.get(), seed.data, seed.size));
    }
    /** The same with 64 hexadecimal digits, or 43 or 44 characters of base64. */
    Options &set_identity(std::string_view seed) {
        return note(caster_options_set_identity_text(options_.get(), detail::Text(seed).c_str()));
    }
    /** The same with a file of one line that other users cannot read. */
    Options &set_identity_file(std::string_view path) {
        return note(caster_options_set_identity_file(options_.get(), detail::Text(path).c_str()));
    }
    /** Only nodes with identities that were added are peers: a public key as text. */
    Options &add_trusted(std::string_view key) {
        return note(caster_options_add_trusted(options_.get(), detail::Text(key).c_str()));
    }

    /** The first thing that was not accepted. */
    [[nodiscard]] const std::optional<Error> &error() const noexcept { return error_; }
    /** For the C API. */
    [[nodiscard]] const caster_options_t *get() const noexcept { return options_.get(); }

private:
    caster_status_t put(const char *name, const std::string &text) {
        return caster_options_set_string(options_.get(), name, detail::Text(text).c_str());
    }
    caster_status_t put(const char *name, int64_t number) {
        return caster_options_set_int(options_.get(), name, number);
    }
    caster_status_t put(const char *name, bool truth) {
        return caster_options_set_bool(options_.get(), name, truth ? 1 : 0);
    }
    caster_status_t put(const char *name, const Json &json) {
        return caster_options_set_json(options_.get(), name, detail::Text(json.text).c_str());
    }
    caster_status_t put(const char *name, const std::vector<uint8_t> &bytes) {
        return caster_options_set_bytes(options_.get(), name, bytes.data(), bytes.size());
    }

    Options &note(caster_status_t status) {
        if (status == CASTER_OK || error_) return *this;
#ifdef CASTER_NO_EXCEPTIONS
        error_ = Error::last(status);
#else
        throw Error::last(status);
#endif
        return *this;
    }

    detail::Owned<caster_options_t, caster_options_free> options_;
    std::optional<Error> error_;
};

/* Peers ------------------------------------------------------------------------------------- */

/** One of the addresses of a node. */
struct Address {
    std::string_view address;
    std::string_view interface_name; /**< of this host, or empty if it is not known */
    std::chrono::system_clock::time_point last_seen;
};

class Peer;

/** A borrowed snapshot of a peer. It may be empty. */
class PeerView {
public:
    PeerView() = default;
    PeerView(const caster_peer_t *peer) noexcept : peer_(peer) {}

    /** Whether there is a peer. Every value of an empty view is empty or 0. */
    explicit operator bool() const noexcept { return peer_ != nullptr; }
    [[nodiscard]] std::string_view id() const noexcept { return detail::text(caster_peer_id(peer_)); }
    /** The id as a JSON string, which is exact. */
    [[nodiscard]] std::string_view id_json() const noexcept {
        return detail::text(caster_peer_id_json(peer_));
    }
    [[nodiscard]] std::string_view address() const noexcept {
        return detail::text(caster_peer_address(peer_));
    }
    /** All addresses, the best first. */
    [[nodiscard]] std::vector<Address> addresses() const {
        std::vector<Address> all;
        for (size_t at = 0; at < caster_peer_address_count(peer_); at++) {
            all.push_back({detail::text(caster_peer_address_at(peer_, at)),
                           detail::text(caster_peer_interface_at(peer_, at)),
                           detail::time_of(caster_peer_last_seen_at_ms(peer_, at))});
        }
        return all;
    }
    /** The metadata as a JSON text; nothing if it never sent any. */
    [[nodiscard]] std::optional<std::string_view> meta_json() const noexcept {
        return detail::optional_text(caster_peer_meta_json(peer_));
    }
    /** Whether the metadata is an object with this key. */
    [[nodiscard]] bool has(std::string_view key) const {
        return caster_peer_meta_has(peer_, detail::Text(key).c_str(), nullptr) != 0;
    }
    /** Whether the metadata is an object with this key and this value. */
    [[nodiscard]] bool has(std::string_view key, const Json &value) const {
        return caster_peer_meta_has(peer_, detail::Text(key).c_str(),
                                    detail::Text(value.text).c_str()) != 0;
    }
    [[nodiscard]] std::chrono::system_clock::time_point first_seen() const {
        return detail::time_of(caster_peer_first_seen_ms(peer_));
    }
    [[nodiscard]] std::chrono::system_clock::time_point last_seen() const {
        return detail::time_of(caster_peer_last_seen_ms(peer_));
    }
    [[nodiscard]] bool is_suspect() const noexcept { return caster_peer_is_suspect(peer_) != 0; }
    /** The part of its heartbeats that does not arrive, from 0 to 1. */
    [[nodiscard]] double loss() const noexcept { return caster_peer_loss(peer_); }
    /** All of it as one JSON object. */
    [[nodiscard]] std::string json() const {
        char *text = nullptr;
        if (!peer_ || caster_peer_json(peer_, &text) != CASTER_OK) return std::string();
        return detail::taken(text);
    }
    /** A copy that lives on its own. */
    [[nodiscard]] Peer keep() const;
    /** For the C API. */
    [[nodiscard]] const caster_peer_t *get() const noexcept { return peer_; }

private:
    const caster_peer_t *peer_ = nullptr;
};

/** A snapshot of a peer. */
class Peer : public PeerView {
public:
    Peer() = default;
    /** Takes over what the C API gave. */
    explicit Peer(caster_peer_t *owned) noexcept : PeerView(owned), owned_(owned) {}
    Peer(const Peer &other) : Peer(caster_peer_dup(other.get())) {}
    Peer(Peer &&other) noexcept : Peer(other.release()) {}
    Peer &operator=(Peer other) noexcept {
        owned_.swap(other.owned_);
        static_cast<PeerView &>(*this) = PeerView(owned_.get());
        return *this;
    }
    ~Peer() = default;

private:
    caster_peer_t *release() noexcept {
        static_cast<PeerView &>(*this) = PeerView();
        return owned_.release();
    }

    detail::Owned<caster_peer_t, caster_peer_free> owned_;
};

inline Peer PeerView::keep() const { return Peer(caster_peer_dup(peer_)); }

/** The nodes that were up at one moment: a range of PeerView. */
class Nodes {
public:
    class iterator {
    public:
        using iterator_category = std::random_access_iterator_tag;
        using value_type = PeerView;
        using difference_type = std::ptrdiff_t;
        using reference = PeerView;
        /** Keeps what `it->id()` asks. */
        class pointer {
        public:
            explicit pointer(PeerView peer) noexcept : peer_(peer) {}
            const PeerView *operator->() const noexcept { return &peer_; }

        private:
            PeerView peer_;
        };

        iterator() = default;
        iterator(const caster_nodes_t *nodes, difference_type at) noexcept
            : nodes_(nodes), at_(at) {}
        PeerView operator*() const noexcept { return (*this)[0]; }
        pointer operator->() const noexcept { return pointer(**this); }
        PeerView operator[](difference_type by) const noexcept {
            return PeerView(caster_nodes_at(nodes_, static_cast<size_t>(at_ + by)));
        }
        iterator &operator++() noexcept { return *this += 1; }
        iterator &operator--() noexcept { return *this -= 1; }
        iterator operator++(int) noexcept { return iterator(nodes_, at_++); }
        iterator operator--(int) noexcept { return iterator(nodes_, at_--); }
        iterator &operator+=(difference_type by) noexcept {
            at_ += by;
            return *this;
        }
        iterator &operator-=(difference_type by) noexcept { return *this += -by; }
        friend iterator operator+(iterator it, difference_type by) noexcept { return it += by; }
        friend iterator operator+(difference_type by, iterator it) noexcept { return it += by; }
        friend iterator operator-(iterator it, difference_type by) noexcept { return it -= by; }
        friend difference_type operator-(iterator a, iterator b) noexcept { return a.at_ - b.at_; }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }
        friend bool operator<(iterator a, iterator b) noexcept { return a.at_ < b.at_; }
        friend bool operator>(iterator a, iterator b) noexcept { return a.at_ > b.at_; }
        friend bool operator<=(iterator a, iterator b) noexcept { return a.at_ <= b.at_; }
        friend bool operator>=(iterator a, iterator b) noexcept { return a.at_ >= b.at_; }

    private:
        const caster_nodes_t *nodes_ = nullptr;
        difference_type at_ = 0;
    };
    using const_iterator = iterator;
    using value_type = PeerView;

    Nodes() = default;
    /** Takes over what the C API gave. */
    explicit Nodes(caster_nodes_t *owned) noexcept : nodes_(owned) {}

    [[nodiscard]] size_t size() const noexcept { return caster_nodes_count(nodes_.get()); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] PeerView operator[](size_t index) const noexcept {
        return PeerView(caster_nodes_at(nodes_.get(), index));
    }
    [[nodiscard]] iterator begin() const noexcept { return iterator(nodes_.get(), 0); }
    [[nodiscard]] iterator end() const noexcept {
        return iterator(nodes_.get(), static_cast<std::ptrdiff_t>(size()));
    }

private:
    detail::Owned<caster_nodes_t, caster_nodes_free> nodes_;
};

/* Events ------------------------------------------------------------------------------------ */

/** The type of an event. A program should ignore types that it does not know. */
enum class Type : int {
    none = 0,
    up = CASTER_EVENT_UP,
    update = CASTER_EVENT_UPDATE,
    down = CASTER_EVENT_DOWN,
    message = CASTER_EVENT_MESSAGE,
    error = CASTER_EVENT_ERROR,
    conflict = CASTER_EVENT_CONFLICT,
    isolated = CASTER_EVENT_ISOLATED,
    rejoined = CASTER_EVENT_REJOINED,
    hint = CASTER_EVENT_HINT,
    reject = CASTER_EVENT_REJECT,
    datagram = CASTER_EVENT_DATAGRAM,
    settled = CASTER_EVENT_SETTLED
};

/** Why a node is down. */
enum class Reason : int {
    none = 0,
    goodbye = CASTER_REASON_GOODBYE,
    timeout = CASTER_REASON_TIMEOUT,
    restart = CASTER_REASON_RESTART
};

class Event;

/** A borrowed event. Every value that the event does not have is empty or 0. */
class EventView {
public:
    EventView() = default;
    EventView(const caster_event_t *event) noexcept : event_(event) {}

    explicit operator bool() const noexcept { return event_ != nullptr; }
    [[nodiscard]] Type type() const noexcept { return static_cast<Type>(caster_event_type(event_)); }
    /** The type as a word, as in "up". */
    [[nodiscard]] std::string_view name() const noexcept {
        return detail::text(caster_event_name(event_));
    }
    /** The peer of the event; empty if it has none. */
    [[nodiscard]] PeerView peer() const noexcept { return PeerView(caster_event_peer(event_)); }
    /** The message as a JSON text, if it is JSON. */
    [[nodiscard]] std::optional<std::string_view> json() const noexcept {
        return detail::optional_text(caster_event_message_json(event_));
    }
    /** The message as bytes. */
    [[nodiscard]] Bytes data() const noexcept {
        return Bytes{caster_event_message_data(event_), caster_event_message_size(event_)};
    }
    /** Whether the message was sealed: its sender has a key of the group. */
    [[nodiscard]] bool is_sealed() const noexcept { return caster_event_is_sealed(event_) != 0; }
    /** Whether its sender has proven that it is there now. */
    [[nodiscard]] bool is_fresh() const noexcept { return caster_event_is_fresh(event_) != 0; }
    /** Whether the identity of its sender has signed it. */
    [[nodiscard]] bool is_signed() const noexcept { return caster_event_is_signed(event_) != 0; }
    /** Whether an update changed the metadata. */
    [[nodiscard]] bool changed_meta() const noexcept {
        return (caster_event_changed(event_) & CASTER_CHANGED_META) != 0;
    }
    /** Whether an update changed the address. */
    [[nodiscard]] bool changed_address() const noexcept {
        return (caster_event_changed(event_) & CASTER_CHANGED_ADDRESS) != 0;
    }
    [[nodiscard]] Reason reason() const noexcept {
        return static_cast<Reason>(caster_event_reason(event_));
    }
    /** The reason as a word, as in `"goodbye"`. */
    [[nodiscard]] std::string_view reason_name() const noexcept {
        return detail::text(caster_event_reason_name(event_));
    }
    [[nodiscard]] std::string_view conflict_id() const noexcept {
        return detail::text(caster_event_conflict_id(event_));
    }
    [[nodiscard]] std::string_view conflict_id_json() const noexcept {
        return detail::text(caster_event_conflict_id_json(event_));
    }
    [[nodiscard]] std::string_view conflict_address() const noexcept {
        return detail::text(caster_event_conflict_address(event_));
    }
    [[nodiscard]] std::string_view hint() const noexcept {
        return detail::text(caster_event_hint_text(event_));
    }
    [[nodiscard]] std::string_view remote_address() const noexcept {
        return detail::text(caster_event_remote_address(event_));
    }
    [[nodiscard]] std::string_view remote_interface() const noexcept {
        return detail::text(caster_event_remote_interface(event_));
    }
    [[nodiscard]] int remote_port() const noexcept { return caster_event_remote_port(event_); }
    [[nodiscard]] size_t remote_size() const noexcept { return caster_event_remote_size(event_); }
    /** The error of an event of type error or reject. */
    [[nodiscard]] std::optional<Error> error() const {
        const char *text = caster_event_error_text(event_);
        if (!text) return std::nullopt;
        return Error(caster_event_error_status(event_), text, caster_event_error_os(event_),
                     caster_event_error_syscall(event_));
    }
    /** A copy that lives on its own. */
    [[nodiscard]] Event keep() const;
    /** For the C API. */
    [[nodiscard]] const caster_event_t *get() const noexcept { return event_; }

private:
    const caster_event_t *event_ = nullptr;
};

/** An event. */
class Event : public EventView {
public:
    Event() = default;
    /** Takes over what the C API gave. */
    explicit Event(caster_event_t *owned) noexcept : EventView(owned), owned_(owned) {}
    Event(const Event &other) : Event(caster_event_dup(other.get())) {}
    Event(Event &&other) noexcept : Event(other.release()) {}
    Event &operator=(Event other) noexcept {
        owned_.swap(other.owned_);
        static_cast<EventView &>(*this) = EventView(owned_.get());
        return *this;
    }
    ~Event() = default;

private:
    caster_event_t *release() noexcept {
        static_cast<EventView &>(*this) = EventView();
        return owned_.release();
    }

    detail::Owned<caster_event_t, caster_event_free> owned_;
};

inline Event EventView::keep() const { return Event(caster_event_dup(event_)); }

/* Middleware -------------------------------------------------------------------------------- */

/** A message inside a middleware, which may change it until it returns. */
class Message {
public:
    explicit Message(caster_message_t *message) noexcept : message_(message) {}

    [[nodiscard]] Bytes data() const noexcept {
        return Bytes{caster_message_data(message_), caster_message_size(message_)};
    }
    /** Whether it is a JSON text; else it is bytes. */
    [[nodiscard]] bool is_json() const noexcept { return caster_message_is_json(message_) != 0; }
    /** Where it came from; empty for an outgoing one. */
    [[nodiscard]] std::string_view remote_address() const noexcept {
        return detail::text(caster_message_remote_address(message_));
    }
    [[nodiscard]] std::string_view remote_interface() const noexcept {
        return detail::text(caster_message_remote_interface(message_));
    }
    [[nodiscard]] int remote_port() const noexcept { return caster_message_remote_port(message_); }
    [[nodiscard]] size_t remote_size() const noexcept {
        return caster_message_remote_size(message_);
    }
    /** Replaces the message. The bytes may be part of it. */
    Returns<void> set(Bytes bytes) {
        return detail::done(caster_message_set_bytes(message_, bytes.data, bytes.size));
    }
    Returns<void> set(const Json &json) {
        return detail::done(caster_message_set_json(message_, detail::Text(json.text).c_str()));
    }
    /** For the C API. */
    [[nodiscard]] caster_message_t *get() const noexcept { return message_; }

private:
    caster_message_t *message_;
};

namespace detail {

/** 0 if the message passes. A function that returns void rejects no message. */
template <class F>
int pass(ExceptionSink &sink, F &function, Message &message) noexcept {
    int outcome = 1;
    const bool whole = guarded(sink, [&] {
        if constexpr (std::is_void_v<std::invoke_result_t<F &, Message &>>) {
            function(message);
            outcome = 0;
        } else {
            outcome = function(message) ? 0 : 1;
        }
    });
    return whole ? outcome : 1;
}

/** Two functions, of which one may be nullptr. */
template <class Tx, class Rx>
struct Functions {
    Tx tx;
    Rx rx;
};

template <class Rx>
struct Functions<std::nullptr_t, Rx> {
    std::nullptr_t none;
    Rx rx;
};
template <class Tx>
struct Functions<Tx, std::nullptr_t> {
    Tx tx;
    std::nullptr_t none;
};

template <class T, class = void>
struct HasTx : std::false_type {};
template <class T>
struct HasTx<T, std::void_t<decltype(std::declval<T &>().tx(std::declval<Message &>()))>>
    : std::true_type {};
template <class T, class = void>
struct HasRx : std::false_type {};
template <class T>
struct HasRx<T, std::void_t<decltype(std::declval<T &>().rx(std::declval<Message &>()))>>
    : std::true_type {};

/** An object with tx, rx or both: the functions for the C API. */
template <class T>
struct Stage {
    static int tx(caster_message_t *message, void *user_data) noexcept {
        auto &kept = *static_cast<Kept<T> *>(user_data);
        Message changed(message);
        auto function = [&](Message &it) { return kept.callable.tx(it); };
        return pass(*kept.sink, function, changed);
    }
    static int rx(caster_message_t *message, void *user_data) noexcept {
        auto &kept = *static_cast<Kept<T> *>(user_data);
        Message changed(message);
        auto function = [&](Message &it) { return kept.callable.rx(it); };
        return pass(*kept.sink, function, changed);
    }
    static constexpr caster_middleware_fn_t tx_or_null() noexcept {
        if constexpr (HasTx<T>::value) return &tx;
        return nullptr;
    }
    static constexpr caster_middleware_fn_t rx_or_null() noexcept {
        if constexpr (HasRx<T>::value) return &rx;
        return nullptr;
    }
};

} // namespace detail

/* Nodes and casters ------------------------------------------------------------------------- */

using Stats = caster_stats_t;

namespace detail {

/** The common base of Node and Caster. `C` names the functions of the C API. */
template <class C>
class Endpoint {
public:
    using Handle = typename C::Handle;

    Endpoint(const Endpoint &) = delete;
    Endpoint &operator=(const Endpoint &) = delete;

    /** Whether it is one, and not moved from. */
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /** For the C API. */
    [[nodiscard]] Handle *get() const noexcept { return handle_.get(); }

    [[nodiscard]] std::string_view multicast() const noexcept {
        return text(C::multicast(get()));
    }
    [[nodiscard]] std::string_view address() const noexcept { return text(C::address(get())); }
    [[nodiscard]] int port() const noexcept { return C::port(get()); }
    [[nodiscard]] bool loopback() const noexcept { return C::loopback(get()) != 0; }
    [[nodiscard]] int ttl() const noexcept { return C::ttl(get()); }

    /** The counters; all 0 for an object that was moved from. */
    [[nodiscard]] Stats stats() const noexcept {
        Stats stats{};
        stats.size = sizeof stats;
        if (handle_) C::stats(get(), &stats);
        return stats;
    }
    /** The counters as a JSON object, with the interfaces and where came from what cannot be understood. */
    [[nodiscard]] std::string stats_json() const { return string(C::stats_json); }
    /** The names of the middleware, from the program to the wire, as a JSON array. */
    [[nodiscard]] std::string middleware_json() const { return string(C::middleware_json); }

    /**
     * The next event; waits for it. Nothing if none came in time.
     * Errors: CASTER_ERR_NOT_UP (Node) or CASTER_ERR_NOT_BOUND (Caster) if it is down and its last
     * event was taken; CASTER_ERR_EVENTS_TAKEN if there are callbacks.
     */
    template <class Rep, class Period>
    Returns<std::optional<Event>> poll(std::chrono::duration<Rep, Period> timeout) {
        caster_event_t *event = nullptr;
        const caster_status_t status = C::poll(get(), timeout_ms(timeout), &event);
        if (status == CASTER_ERR_TIMED_OUT) return std::optional<Event>();
        if (status != CASTER_OK) return fail<std::optional<Event>>(Error::last(status));
        return std::optional<Event>(Event(event));
    }
    /** Up to `most` events; waits for the first one as poll does. */
    template <class Rep, class Period>
    Returns<std::vector<Event>> poll_batch(std::chrono::duration<Rep, Period> timeout,
                                           size_t most = 64) {
        std::vector<caster_event_t *> taken(most);
        std::vector<Event> events;
        events.reserve(most); /* nothing may throw once they are taken */
        size_t count = 0;
        const caster_status_t status =
            C::poll_batch(get(), timeout_ms(timeout), taken.data(), taken.size(), &count);
        if (status == CASTER_ERR_TIMED_OUT) return events;
        if (status != CASTER_OK) return fail<std::vector<Event>>(Error::last(status));
        for (size_t at = 0; at < count; at++) events.emplace_back(taken[at]);
        return events;
    }
    /** The next event; waits as long as it takes. Nothing once there will be none. */
    Returns<std::optional<Event>> next() {
        caster_event_t *event = nullptr;
        const caster_status_t status = C::poll(get(), -1, &event);
        if (status == C::closed || status == CASTER_ERR_TIMED_OUT) return std::optional<Event>();
        if (status != CASTER_OK) return fail<std::optional<Event>>(Error::last(status));
        return std::optional<Event>(Event(event));
    }
    /** A descriptor that is readable while events wait; then poll with 0 until nothing comes. */
    Returns<int> fd() {
        int descriptor = -1;
        const caster_status_t status = C::fd(get(), &descriptor);
        if (status != CASTER_OK) return fail<int>(Error::last(status));
        return descriptor;
    }

    /** Callbacks: any `void(EventView)`; nullptr removes one. Set them before up or bind. */
    template <class F>
    Returns<void> on_message(F &&f) {
        return on(C::on_message, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_error(F &&f) {
        return on(C::on_error, std::forward<F>(f));
    }
    /** Also asks for such events. */
    template <class F>
    Returns<void> on_reject(F &&f) {
        return on(C::on_reject, std::forward<F>(f));
    }
    /** Asks for events of type reject, for programs that poll. */
    Returns<void> watch_rejects(bool watch = true) {
        return done(C::watch_rejects(get(), watch ? 1 : 0));
    }

#ifndef CASTER_NO_EXCEPTIONS
    /**
     * Where exceptions go that leave callbacks and middleware of this object: called in the
     * thread that they left, where it must not throw. Without it they end the program.
     */
    void on_exception(std::function<void(std::exception_ptr)> handler) {
        sink_->set(std::move(handler));
    }
#endif

    /**
     * Adds a middleware of two functions, next to the wire: `tx` for messages on their way out,
     * `rx` on their way in; one may be nullptr. Each is `bool(caster::Message &)`, where false turns
     * the message away, or `void(caster::Message &)`. They are called on the threads that send and
     * receive, several at once, and must neither block nor use this object.
     */
    template <class Tx, class Rx>
    Returns<void> use(std::string_view name, Tx &&tx, Rx &&rx) {
        return add(name, Functions<std::decay_t<Tx>, std::decay_t<Rx>>{std::forward<Tx>(tx),
                                                                      std::forward<Rx>(rx)});
    }
    /** The same of an object that has such functions `tx`, `rx`, or both, as members. */
    template <class T>
    Returns<void> use(std::string_view name, T &&middleware) {
        return add(name, std::forward<T>(middleware));
    }
    Returns<void> clear_middleware() { return done(C::clear_middleware(get())); }
    Returns<void> use_json() { return done(C::use_json(get())); }
    Returns<void> use_json_utf8() { return done(C::use_json_utf8(get())); }
    /** Empty texts stand for the defaults. */
    Returns<void> use_hash(std::string_view secret = {}, std::string_view algorithm = {}) {
        return done(C::use_hash(get(), Text(secret).c_str(), Text(algorithm).c_str()));
    }
    /** A secret of bytes; `era` is "auto", "binary" or "utf8". */
    Returns<void> use_hash(Bytes secret, std::string_view algorithm = {},
                           std::string_view era = {}) {
        return done(C::use_hash_bytes(get(), secret.data, secret.size, Text(algorithm).c_str(),
                                      Text(era).c_str()));
    }
    Returns<void> use_crypto(std::string_view key = {}, std::string_view algorithm = {}) {
        return done(C::use_crypto(get(), Text(key).c_str(), Text(algorithm).c_str()));
    }
    Returns<void> use_crypto(Bytes key, std::string_view algorithm = {}) {
        return done(C::use_crypto_bytes(get(), key.data, key.size, Text(algorithm).c_str()));
    }

protected:
    explicit Endpoint(Handle *owned) : handle_(owned), sink_(std::make_shared<ExceptionSink>()) {}
    Endpoint(Endpoint &&) noexcept = default;
    Endpoint &operator=(Endpoint &&) noexcept = default;
    ~Endpoint() = default;

    template <class Register, class F>
    Returns<void> on(Register register_callback, F &&f) {
        if constexpr (std::is_same_v<std::decay_t<F>, std::nullptr_t>) {
            return done(register_callback(get(), nullptr, nullptr, nullptr));
        } else {
            using Kept = KeptOf<F>;
            auto trampoline = [](Handle *, const caster_event_t *event, void *user_data) {
                auto &kept = *static_cast<Kept *>(user_data);
                guarded(*kept.sink, [&] { kept.callable(EventView(event)); });
            };
            return done(register_callback(get(), trampoline, keep(std::forward<F>(f), sink()),
                                          Kept::drop));
        }
    }

    template <class Ask>
    std::string string(Ask ask) const {
        char *text = nullptr;
        if (!handle_ || ask(get(), &text) != CASTER_OK) return std::string();
        return taken(text);
    }

private:
    template <class T>
    Returns<void> add(std::string_view name, T &&middleware) {
        using Stage = detail::Stage<std::decay_t<T>>;
        static_assert(HasTx<std::decay_t<T>>::value || HasRx<std::decay_t<T>>::value,
                      "a middleware has a function tx(caster::Message &), rx, or both");
        return done(C::use(get(), Text(name).c_str(), Stage::tx_or_null(), Stage::rx_or_null(),
                           keep(std::forward<T>(middleware), sink()), KeptOf<T>::drop));
    }

    /** An object that was moved from has none; what is given to it is dropped at once. */
    const std::shared_ptr<ExceptionSink> &sink() {
        if (!sink_) sink_ = std::make_shared<ExceptionSink>();
        return sink_;
    }

    detail::Owned<Handle, C::free> handle_;
    std::shared_ptr<ExceptionSink> sink_;
};

/** Functions of the C API by what they do. */
struct NodeApi {
    using Handle = caster_node_t;
    static constexpr caster_status_t closed = CASTER_ERR_NOT_UP;
    static constexpr auto free = caster_node_free;
    static constexpr auto multicast = caster_node_multicast;
    static constexpr auto address = caster_node_address;
    static constexpr auto port = caster_node_port;
    static constexpr auto loopback = caster_node_loopback;
    static constexpr auto ttl = caster_node_ttl;
    static constexpr auto stats = caster_node_stats;
    static constexpr auto stats_json = caster_node_stats_json;
    static constexpr auto middleware_json = caster_node_middleware_json;
    static constexpr auto poll = caster_node_poll;
    static constexpr auto poll_batch = caster_node_poll_batch;
    static constexpr auto fd = caster_node_fd;
    static constexpr auto on_message = caster_node_on_message;
    static constexpr auto on_error = caster_node_on_error;
    static constexpr auto on_reject = caster_node_on_reject;
    static constexpr auto watch_rejects = caster_node_watch_rejects;
    static constexpr auto use = caster_node_use;
    static constexpr auto clear_middleware = caster_node_clear_middleware;
    static constexpr auto use_json = caster_node_use_json;
    static constexpr auto use_json_utf8 = caster_node_use_json_utf8;
    static constexpr auto use_hash = caster_node_use_hash;
    static constexpr auto use_hash_bytes = caster_node_use_hash_bytes;
    static constexpr auto use_crypto = caster_node_use_crypto;
    static constexpr auto use_crypto_bytes = caster_node_use_crypto_bytes;
};

struct CasterApi {
    using Handle = caster_t;
    static constexpr caster_status_t closed = CASTER_ERR_NOT_BOUND;
    static constexpr auto free = caster_free;
    static constexpr auto multicast = caster_multicast;
    static constexpr auto address = caster_address;
    static constexpr auto port = caster_port;
    static constexpr auto loopback = caster_loopback;
    static constexpr auto ttl = caster_ttl;
    static constexpr auto stats = caster_stats;
    static constexpr auto stats_json = caster_stats_json;
    static constexpr auto middleware_json = caster_middleware_json;
    static constexpr auto poll = caster_poll;
    static constexpr auto poll_batch = caster_poll_batch;
    static constexpr auto fd = caster_fd;
    static constexpr auto on_message = caster_on_message;
    static constexpr auto on_error = caster_on_error;
    static constexpr auto on_reject = caster_on_reject;
    static constexpr auto watch_rejects = caster_watch_rejects;
    static constexpr auto use = caster_use;
    static constexpr auto clear_middleware = caster_clear_middleware;
    static constexpr auto use_json = caster_use_json;
    static constexpr auto use_json_utf8 = caster_use_json_utf8;
    static constexpr auto use_hash = caster_use_hash;
    static constexpr auto use_hash_bytes = caster_use_hash_bytes;
    static constexpr auto use_crypto = caster_use_crypto;
    static constexpr auto use_crypto_bytes = caster_use_crypto_bytes;
};

} // namespace detail

/** A node: announces itself, discovers peers, and exchanges messages with them. */
class Node : public detail::Endpoint<detail::NodeApi> {
public:
    /** Takes over what the C API gave. */
    explicit Node(caster_node_t *owned) : Endpoint(owned) {}
    Node(Node &&) noexcept = default;
    Node &operator=(Node &&) noexcept = default;
    /** Leaves the group and waits for a running callback; inside a callback it does not wait. */
    ~Node() = default;

    /** A node that is not yet up. */
    static Returns<Node> make(const Options &options = {}) {
        if (options.error()) return detail::fail<Node>(*options.error());
        caster_node_t *made = nullptr;
        const caster_status_t status = caster_node_new(options.get(), &made);
        if (status != CASTER_OK) return detail::fail<Node>(Error::last(status));
        return Node(made);
    }
#ifndef CASTER_NO_EXCEPTIONS
    explicit Node(const Options &options = {}) : Node(make(options)) {}
    Node(std::initializer_list<Options::Pair> options) : Node(Options(options)) {}
#endif

    /** Opens the socket and announces the node. */
    Returns<void> up() { return detail::done(caster_node_up(get())); }
    /**
     * Leaves the group and closes the socket. The node can go up again. A leave that cannot be
     * sent is counted and is no error.
     */
    Returns<void> down() { return detail::done(caster_node_down(get())); }
    [[nodiscard]] bool is_up() const noexcept { return caster_node_is_up(get()) != 0; }
    [[nodiscard]] std::string_view id() const noexcept {
        return detail::text(caster_node_id(get()));
    }
    [[nodiscard]] bool is_exposed() const noexcept { return caster_node_is_exposed(get()) != 0; }
    [[nodiscard]] std::chrono::milliseconds heartbeat() const {
        return std::chrono::milliseconds(
            static_cast<std::chrono::milliseconds::rep>(caster_node_heartbeat_ms(get())));
    }
    [[nodiscard]] std::chrono::milliseconds timeout() const {
        return std::chrono::milliseconds(
            static_cast<std::chrono::milliseconds::rep>(caster_node_timeout_ms(get())));
    }

    /** Sends a text as a JSON string to all peers. Returns the number of bytes on the wire. */
    Returns<size_t> send(std::string_view text) {
        size_t sent = 0;
        return count(caster_node_send_text(get(), detail::Text(text).c_str(), &sent), sent);
    }
    Returns<size_t> send(const Json &json) {
        size_t sent = 0;
        return count(caster_node_send_json(get(), detail::Text(json.text).c_str(), &sent), sent);
    }
    /** Sends many JSON texts with few calls of the system. */
    Returns<size_t> send_batch(const std::vector<std::string> &jsons) {
        const detail::Texts texts(jsons);
        size_t sent = 0;
        return count(caster_node_send_batch(get(), texts.data(), texts.size(), &sent), sent);
    }
    /** Sends bytes without the envelope that names the sender; see caster_node_send_bare. */
    Returns<size_t> send_bare(Bytes bytes) {
        size_t sent = 0;
        return count(caster_node_send_bare(get(), bytes.data, bytes.size, &sent), sent);
    }
    Returns<size_t> send_bare(const Json &json) {
        size_t sent = 0;
        const detail::Text text(json.text);
        return count(caster_node_send_bare_json(get(), text.c_str(), &sent), sent);
    }

    /** Accepts one more key of secure mode. Add it on all nodes before one of them uses it. */
    Returns<void> add_key(Bytes key) {
        return detail::done(caster_node_add_key(get(), key.data, key.size));
    }
    /** Seals with this key from now on. */
    Returns<void> use_key(Bytes key) {
        return detail::done(caster_node_use_key(get(), key.data, key.size));
    }
    /** Accepts this key no longer, in two timeouts from now on. */
    Returns<void> remove_key(Bytes key) {
        return detail::done(caster_node_remove_key(get(), key.data, key.size));
    }
    /** Accepts this key no longer, from now on: to exclude a node that has it. */
    Returns<void> remove_key_now(Bytes key) {
        return detail::done(caster_node_remove_key_now(get(), key.data, key.size));
    }
    /** The id of the key that a peer sends with, empty if the peer is not up. */
    [[nodiscard]] std::string key_of(std::string_view id) const { return text_of(caster_node_key_of, id); }
    /** The identity of a peer: its public key, empty if the peer is not up or has none. */
    [[nodiscard]] std::string identity_of(std::string_view id) const {
        return text_of(caster_node_identity_of, id);
    }

    /** Accepts a peer that is not up with another identity, or plain although it was sealed, the next time. */
    Returns<void> forget_sealed(std::string_view id) {
        return detail::done(caster_node_forget_sealed(get(), detail::Text(id).c_str()));
    }

    /** Replaces the metadata and announces it to all peers. */
    Returns<void> set_meta(const Json &meta) {
        return detail::done(caster_node_set_meta_json(get(), detail::Text(meta.text).c_str()));
    }
    /** Changes some members of the metadata, as caster_node_update_meta_json does, and announces it. */
    Returns<void> update_meta(const Json &changes) {
        return detail::done(caster_node_update_meta_json(get(), detail::Text(changes.text).c_str()));
    }
    [[nodiscard]] std::string meta_json() const { return string(caster_node_meta_json); }

    /** The nodes that are up, as they are now. */
    [[nodiscard]] Nodes nodes() const {
        caster_nodes_t *found = nullptr;
        if (!*this || caster_node_nodes(get(), &found) != CASTER_OK) return Nodes();
        return Nodes(found);
    }
    [[nodiscard]] size_t node_count() const noexcept { return caster_node_count(get()); }
    /** The node with this id, if it is up. */
    [[nodiscard]] std::optional<Peer> node(std::string_view id) const {
        caster_peer_t *found = nullptr;
        const detail::Text text(id);
        if (!*this || caster_node_get(get(), text.c_str(), &found) != CASTER_OK || !found) {
            return std::nullopt;
        }
        return Peer(found);
    }
    [[nodiscard]] std::optional<std::chrono::system_clock::time_point>
    last_seen(std::string_view id) const {
        const uint64_t ms = caster_node_last_seen_ms(get(), detail::Text(id).c_str());
        if (ms == 0) return std::nullopt;
        return detail::time_of(ms);
    }
    /** A key of the metadata, with a value or with any. */
    struct Match {
        std::string_view key;
        std::optional<Json> value = std::nullopt;
    };
    /** The nodes that are up whose metadata has this key. */
    [[nodiscard]] Returns<Nodes> find(std::string_view key) const { return find({Match{key}}); }
    /** The nodes that are up whose metadata has this key and this value. */
    [[nodiscard]] Returns<Nodes> find(std::string_view key, const Json &value) const {
        return find({Match{key, value}});
    }
    /** The nodes that are up whose metadata has all of these. */
    [[nodiscard]] Returns<Nodes> find(std::initializer_list<Match> all) const {
        std::vector<detail::Text> texts;
        std::vector<const char *> keys, values;
        texts.reserve(2 * all.size()); /* they must not move */
        for (const Match &match : all) {
            keys.push_back(texts.emplace_back(match.key).c_str());
            values.push_back(match.value ? texts.emplace_back(match.value->text).c_str()
                                         : nullptr);
        }
        caster_nodes_t *found = nullptr;
        const caster_status_t status =
            caster_node_find_all(get(), keys.data(), values.data(), keys.size(), &found);
        if (status != CASTER_OK) return detail::fail<Nodes>(Error::last(status));
        return Nodes(found);
    }

    template <class F>
    Returns<void> on_up(F &&f) {
        return on(caster_node_on_up, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_update(F &&f) {
        return on(caster_node_on_update, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_down(F &&f) {
        return on(caster_node_on_down, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_conflict(F &&f) {
        return on(caster_node_on_conflict, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_isolated(F &&f) {
        return on(caster_node_on_isolated, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_rejoined(F &&f) {
        return on(caster_node_on_rejoined, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_settled(F &&f) {
        return on(caster_node_on_settled, std::forward<F>(f));
    }
    template <class F>
    Returns<void> on_hint(F &&f) {
        return on(caster_node_on_hint, std::forward<F>(f));
    }
    /** Also asks for such events. */
    template <class F>
    Returns<void> on_datagram(F &&f) {
        return on(caster_node_on_datagram, std::forward<F>(f));
    }
    /** Asks for events of type datagram, for programs that poll. */
    Returns<void> watch_datagrams(bool watch = true) {
        return detail::done(caster_node_watch_datagrams(get(), watch ? 1 : 0));
    }

private:
    using TextOf = caster_status_t(const caster_node_t *, const char *, char **);
    std::string text_of(TextOf *read, std::string_view id) const {
        char *text = nullptr;
        if (!*this || read(get(), detail::Text(id).c_str(), &text) != CASTER_OK || !text) return {};
        std::string found = text;
        caster_string_free(text);
        return found;
    }
    static Returns<size_t> count(caster_status_t status, const size_t &sent) {
        if (status != CASTER_OK) return detail::fail<size_t>(Error::last(status));
        return sent;
    }
};

/** The layer below nodes: a multicast socket with a pipeline of middleware. */
class Caster : public detail::Endpoint<detail::CasterApi> {
public:
    /** Takes over what the C API gave. */
    explicit Caster(caster_t *owned) : Endpoint(owned) {}
    Caster(Caster &&) noexcept = default;
    Caster &operator=(Caster &&) noexcept = default;
    ~Caster() = default;

    /** A caster that is not yet bound, without middleware. */
    static Returns<Caster> make(const Options &options = {}) {
        if (options.error()) return detail::fail<Caster>(*options.error());
        caster_t *made = nullptr;
        const caster_status_t status = caster_new(options.get(), &made);
        if (status != CASTER_OK) return detail::fail<Caster>(Error::last(status));
        return Caster(made);
    }
#ifndef CASTER_NO_EXCEPTIONS
    explicit Caster(const Options &options = {}) : Caster(make(options)) {}
    Caster(std::initializer_list<Options::Pair> options) : Caster(Options(options)) {}
#endif

    /** Opens the socket and joins the group. */
    Returns<void> bind() { return detail::done(caster_bind(get())); }
    Returns<void> close() { return detail::done(caster_close(get())); }
    [[nodiscard]] bool is_bound() const noexcept { return caster_is_bound(get()) != 0; }

    /** Sends bytes. Returns how many are on the wire. */
    Returns<size_t> send(Bytes data) {
        size_t sent = 0;
        return count(caster_send(get(), data.data, data.size, &sent), sent);
    }
    /** Sends many messages with few calls of the system. */
    Returns<size_t> send_batch(const std::vector<Bytes> &messages) {
        std::vector<const uint8_t *> data;
        std::vector<size_t> sizes;
        for (const Bytes &message : messages) {
            data.push_back(message.data);
            sizes.push_back(message.size);
        }
        size_t sent = 0;
        return count(caster_send_batch(get(), data.data(), sizes.data(), data.size(), &sent), sent);
    }
    /** Sends many JSON texts; needs the middleware json. */
    Returns<size_t> send_batch(const std::vector<std::string> &jsons) {
        const detail::Texts texts(jsons);
        size_t sent = 0;
        return count(caster_send_batch_json(get(), texts.data(), texts.size(), &sent), sent);
    }
    /** Sends JSON; needs the middleware json. */
    Returns<size_t> send(const Json &json) {
        size_t sent = 0;
        return count(caster_send_json(get(), detail::Text(json.text).c_str(), &sent), sent);
    }
    /** Sends a text as a JSON string; needs the middleware json. */
    Returns<size_t> send(std::string_view text) {
        size_t sent = 0;
        return count(caster_send_text(get(), detail::Text(text).c_str(), &sent), sent);
    }

private:
    static Returns<size_t> count(caster_status_t status, const size_t &sent) {
        if (status != CASTER_OK) return detail::fail<size_t>(Error::last(status));
        return sent;
    }
};

/* Virtual networks -------------------------------------------------------------------------- */

/** A network in memory with a clock of its own, for tests; see caster_network_t. */
class Network {
public:
    explicit Network(uint64_t seed = 1) : network_(caster_network_new(seed)) {}

    /** A node on it, which is not yet up. */
    Returns<Node> node(const Options &options = {}) {
        if (options.error()) return detail::fail<Node>(*options.error());
        caster_node_t *made = nullptr;
        const caster_status_t status = caster_network_node(get(), options.get(), &made);
        if (status != CASTER_OK) return detail::fail<Node>(Error::last(status));
        return Node(made);
    }
    /** A caster on it, which is not yet bound. */
    Returns<Caster> caster(const Options &options = {}) {
        if (options.error()) return detail::fail<Caster>(*options.error());
        caster_t *made = nullptr;
        const caster_status_t status = caster_network_caster(get(), options.get(), &made);
        if (status != CASTER_OK) return detail::fail<Caster>(Error::last(status));
        return Caster(made);
    }
    /** Advances the clock; all events of that time happen on this thread. */
    Returns<void> advance(std::chrono::milliseconds time) {
        return detail::done(caster_network_advance(get(), unsigned_ms(time)));
    }
    [[nodiscard]] std::chrono::milliseconds now() const {
        return std::chrono::milliseconds(
            static_cast<std::chrono::milliseconds::rep>(caster_network_now_ms(get())));
    }
    /** The share of datagrams that is lost, from 0 to 1. */
    Returns<void> set_loss(double share) {
        return detail::done(caster_network_set_loss(get(), share));
    }
    /** The share of datagrams that arrives twice, from 0 to 1. */
    Returns<void> set_duplicates(double share) {
        return detail::done(caster_network_set_duplicates(get(), share));
    }
    /** The upper bound of the additional delay of datagrams. */
    Returns<void> set_delay(std::chrono::milliseconds most) {
        return detail::done(caster_network_set_delay(get(), unsigned_ms(most)));
    }
    /** Cuts the node with this id off. */
    Returns<void> unplug(std::string_view id) {
        return detail::done(caster_network_unplug(get(), detail::Text(id).c_str()));
    }
    Returns<void> plug(std::string_view id) {
        return detail::done(caster_network_plug(get(), detail::Text(id).c_str()));
    }
    /** For the C API. */
    [[nodiscard]] caster_network_t *get() const noexcept { return network_.get(); }

private:
    static uint64_t unsigned_ms(std::chrono::milliseconds time) noexcept {
        return time.count() > 0 ? static_cast<uint64_t>(time.count()) : 0;
    }

    detail::Owned<caster_network_t, caster_network_free> network_;
};

/* Log and version --------------------------------------------------------------------------- */

enum class Level : int {
    off = CASTER_LOG_OFF,
    error = CASTER_LOG_ERROR,
    warn = CASTER_LOG_WARN,
    info = CASTER_LOG_INFO,
    debug = CASTER_LOG_DEBUG,
    trace = CASTER_LOG_TRACE
};

/**
 * Sets the function that gets the log of the whole process: `void(Level, std::string_view)`. It is
 * called on the thread that logs, must not block and must not use the library; an exception that
 * leaves it ends the program. nullptr ends logging.
 */
template <class F>
Returns<void> set_log(Level level, F &&f) {
    if constexpr (std::is_same_v<std::decay_t<F>, std::nullptr_t>) {
        return detail::done(caster_set_log(static_cast<int>(level), nullptr, nullptr, nullptr));
    } else {
        using Kept = detail::KeptOf<F>;
        auto trampoline = [](int its_level, const char *text, void *user_data) noexcept {
            static_cast<Kept *>(user_data)->callable(static_cast<Level>(its_level),
                                                     std::string_view(text));
        };
        return detail::done(caster_set_log(static_cast<int>(level), trampoline,
                                           detail::keep(std::forward<F>(f), nullptr),
                                           Kept::drop));
    }
}

/** The version of the library that the program runs with, as in "0.2.0". */
[[nodiscard]] inline std::string_view version() noexcept { return caster_version(); }

/** The public key of an identity, given its seed: others trust it with `Options::add_trusted`. */
[[nodiscard]] inline std::string public_key(Bytes seed) {
    char *key = nullptr;
    if (caster_public_key(seed.data, seed.size, &key) != CASTER_OK) return {};
    std::string made = key;
    caster_string_free(key);
    return made;
}

} // inline namespace
} // namespace caster

#endif /* CASTER_HPP */
