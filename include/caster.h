/*
 * caster.h: LAN discovery without a server.
 *
 * A node (caster_node_t) announces itself with heartbeats, follows the heartbeats of its peers, and
 * reports joins, changes, leaves and messages as events. Below it, a caster (caster_t) is a multicast
 * socket with a pipeline of middleware. Objects are opaque: a function with `new` in its name creates
 * one, and a function with `free` in its name frees it. One thread of the library receives and keeps
 * time for all nodes of a network; sending happens on the calling thread. docs/c-api.md is a tutorial;
 * docs/options.md lists the options.
 *
 * EVENTS. A program takes events in one of three ways. The first call decides between callbacks and
 * polling for a node or caster; the descriptor belongs to polling:
 *
 *   - callbacks: caster_node_on_up and similar functions. A dispatcher thread of this node or caster
 *     calls them one at a time; a slow callback does not delay heartbeats;
 *   - polling: caster_node_poll waits on the calling thread, up to its timeout;
 *   - a descriptor: caster_node_fd is readable while events wait, for poll, epoll, libuv, GLib or
 *     a game loop, which then call caster_node_poll with a timeout of 0.
 *
 * ORDER AND LOSS. Events are delivered in the order in which they happened. They wait in a bounded
 * queue (options maxEvents and maxEventBytes). When it is full, the newest messages are dropped and
 * counted (events_lost), and an error event with CASTER_ERR_LAGGED follows once the queue has been
 * emptied. up, update and down are never lost: those of one node are merged, so that up and down
 * always alternate.
 *
 * MEMORY. The library copies its arguments. Pointers from callbacks and accessors are borrowed: an
 * event is valid until its callback returns, a part of an event, a peer or a snapshot as long as the
 * whole. caster_event_dup and caster_peer_dup make copies. A pointer that a function writes to an
 * output (caster_event_t **, char **) is owned by the caller, and the caller frees it.
 *
 * The following applies to every function, unless its comment states otherwise:
 *
 *   - Strings are UTF-8 and end with a NUL.
 *   - It may be called on any thread, on several threads at once, and inside callbacks.
 *   - Nodes, casters and virtual networks are checked. Their pointers are numbers and not addresses. A call
 *     on one that was freed, or on a pointer that is none of that type, is CASTER_ERR_INVALID_ARGUMENT; an
 *     accessor returns NULL or 0, and a second caster_node_free does nothing; caster_last_error tells it. One
 *     may be freed while other threads are in calls on it: waiting calls return, and memory is released by the
 *     last one.
 *   - All other objects, and strings, are plain memory: they must not be freed twice, be used after that, or
 *     be freed while another thread is in a call on them.
 *   - NULL for an argument that must not be NULL is an error, never a crash.
 *   - Outputs are written only if CASTER_OK is returned.
 *   - It never throws; a fault inside the library is CASTER_ERR_INTERNAL.
 *   - After fork, nodes and casters of the parent are of no use to the child: functions that return a
 *     status return CASTER_ERR_FORKED, and freeing one returns at once. The child makes its own.
 *   - The library is never unloaded: dlclose has no effect.
 *
 * A comment that begins with "As" and a name includes the rules of that function about threads,
 * ownership, NULL and errors.
 */

#ifndef CASTER_H
#define CASTER_H

#include <stddef.h>
#include <stdint.h>

/** Marks the exported functions of the library. */
#ifndef CASTER_API
#define CASTER_API
#endif

/** Marks what is deprecated: since which version, and what to use instead. Both are strings. */
#if defined(__GNUC__)
#define CASTER_DEPRECATED(since, use) __attribute__((deprecated("since " since ": use " use)))
#elif defined(_MSC_VER)
#define CASTER_DEPRECATED(since, use) __declspec(deprecated("since " since ": use " use))
#else
#define CASTER_DEPRECATED(since, use)
#endif

/**
 * Nullability of pointers, for compilers that check it (clang). A pointer without annotation must not
 * be NULL; pointers behind a pointer have no annotation. CASTER_NO_NULLABILITY, defined before this
 * file is included, disables it.
 */
#if defined(__clang__) && !defined(CASTER_NO_NULLABILITY)
#define CASTER_NULLABLE _Nullable
#define CASTER_NONNULL _Nonnull
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang diagnostic ignored "-Wnullability-completeness"
#pragma clang assume_nonnull begin
#else
#define CASTER_NULLABLE
#define CASTER_NONNULL
#endif

/* Version of this header -------------------------------------------------------------------- */

/** The version of this header; `caster_version` has that of the library. */
#define CASTER_VERSION_STRING "0.2.0"
#define CASTER_VERSION_MAJOR 0
#define CASTER_VERSION_MINOR 2
#define CASTER_VERSION_PATCH 0
/** 10000 * major + 100 * minor + patch. */
#define CASTER_VERSION_NUMBER 200

/* Status codes ------------------------------------------------------------------------------ */

/** Success. */
#define CASTER_OK 0
/** An option has a value that is not accepted. */
#define CASTER_ERR_INVALID_OPTION (-1)
/** There is no option of that name. */
#define CASTER_ERR_UNKNOWN_OPTION (-2)
/** An argument of a call is not what it has to be (JSON that does not parse, for example). */
#define CASTER_ERR_INVALID_ARGUMENT (-3)
/** `up` on a node that is up. */
#define CASTER_ERR_ALREADY_UP (-4)
/** `down`, `send` on a node that is not up. */
#define CASTER_ERR_NOT_UP (-5)
/** `bind` on a caster that is bound. */
#define CASTER_ERR_ALREADY_BOUND (-6)
/** `close`, `send` on a caster that is not bound. */
#define CASTER_ERR_NOT_BOUND (-7)
/** The operating system refused; the error has its number. */
#define CASTER_ERR_IO (-8)
/** Another program holds the port and does not share it. */
#define CASTER_ERR_ADDRESS_IN_USE (-9)
/** The datagram would be larger than 65,507 bytes. */
#define CASTER_ERR_MESSAGE_TOO_LARGE (-10)
/** A received datagram does not carry the digest it should. */
#define CASTER_ERR_HASH_MISMATCH (-11)
/** A received datagram does not decrypt. */
#define CASTER_ERR_DECRYPT (-12)
/** A middleware failed or was used wrongly. */
#define CASTER_ERR_MIDDLEWARE (-13)
/** The event queue was full: messages were dropped. */
#define CASTER_ERR_LAGGED (-14)
/** A fault inside Caster itself. Please report it. */
#define CASTER_ERR_INTERNAL (-15)
/** A wait ended without the thing that was waited for. */
#define CASTER_ERR_TIMED_OUT (-16)
/** The events are already taken in another way: by callbacks, or by polling. */
#define CASTER_ERR_EVENTS_TAKEN (-17)
/** It belongs to the process that made it; a forked child makes its own. */
#define CASTER_ERR_FORKED (-18)

/* Types ------------------------------------------------------------------------------------- */

/**
 * The layer below nodes: a multicast socket with a pipeline of middleware.
 *
 * Any thread, several at once. The program owns it.
 */
typedef struct caster_t caster_t;

/**
 * An event, which is immutable. Its values depend on its type; an accessor of a value that the event
 * does not have returns NULL or 0.
 *
 * Any thread, several at once. An event from `caster_node_poll` or `caster_poll` belongs to the
 * program; one that a callback gets is borrowed until the callback returns.
 */
typedef struct caster_event_t caster_event_t;

/**
 * A message that a middleware gets to change: bytes, or a JSON text.
 *
 * Only the thread that the middleware was called on, until it returns.
 */
typedef struct caster_message_t caster_message_t;

/**
 * A network in memory with a clock of its own, for tests: they take no real time, need no
 * privileges, send nothing to a real network and, with ids given, are reproducible.
 *
 * Its nodes and casters are ordinary ones with an address of their own each (`10.0.0.1` and so
 * on); they receive each other's datagrams if group and port are the same. No socket is opened and no name
 * looked up. Time stands still but for `caster_network_advance`, and for `caster_node_poll` and
 * `caster_poll`, which let time pass instead of waiting: datagrams arrive and timers run then, in
 * their order, on the thread that called. A descriptor of such a handle is readable as ever, and
 * callbacks are called on a thread of their own as ever; polling is what makes a test exact.
 *
 * Any thread, several at once, but not in a middleware. The program owns it; its nodes and
 * casters keep what they need, so it may be freed before them.
 */
typedef struct caster_network_t caster_network_t;

/**
 * A node: announces itself, discovers peers, and exchanges messages with them.
 *
 * Any thread, several at once. The program owns it.
 */
typedef struct caster_node_t caster_node_t;

/**
 * Nodes that were up at one moment. It does not change.
 *
 * Any thread, several at once. The program owns it.
 */
typedef struct caster_nodes_t caster_nodes_t;

/**
 * Options of a node or a caster. docs/options.md lists them. A name can be written with
 * underscores too (`hash_secret` for `hashSecret`).
 *
 * One thread at a time.
 */
typedef struct caster_options_t caster_options_t;

/**
 * A snapshot of a peer, which is immutable.
 *
 * Any thread, several at once. One that is part of an event or a snapshot is borrowed and lives
 * as long as that; one from `caster_node_get` or `caster_peer_dup` belongs to the program.
 */
typedef struct caster_peer_t caster_peer_t;

/**
 * The result of a function: `CASTER_OK`, which is 0, or one of the negative `CASTER_ERR_*`.
 * Numbers are never reused and never change. A program should expect new ones.
 */
typedef int caster_status_t;

/**
 * A function that tells the program that `user_data` is no longer used and may be freed. The library
 * calls it exactly once for each registration, after the last call that gets this `user_data`, also
 * if the registration failed. The call is made on the thread that used the registration last, and
 * never under a lock of the library. NULL: there is nothing to free.
 */
typedef void (*caster_drop_fn_t)(void *CASTER_NULLABLE user_data);

/**
 * A function of a middleware. 0: the message goes on, as the function has left it. Anything
 * else: it is turned away. An outgoing message is not sent then, and the sender gets
 * `CASTER_ERR_MIDDLEWARE`; an incoming one is dropped and counted under `middleware`.
 *
 * It is called directly: `tx` on the thread that sends, and on the library's own for heartbeats;
 * `rx` on the thread that receives. So it can be called on several threads at once, it must not
 * block (nothing is received meanwhile), and it must not call functions on the node or caster
 * that it belongs to. `message` is borrowed until it returns. A C++ exception that leaves it
 * ends the process with a message.
 */
typedef int (*caster_middleware_fn_t)(caster_message_t *message, void *CASTER_NULLABLE user_data);

#ifdef __cplusplus
extern "C" {
#endif

/* Version ----------------------------------------------------------------------------------- */

/**
 * The version of the library that the program runs with, as in `"0.2.0"`; that of the header it
 * was compiled with is `CASTER_VERSION_STRING`.
 *
 * Any thread, callbacks included. The string is static. Never NULL.
 */
CASTER_API const char *caster_version(void);

/**
 * The version of the library as a number that can be compared: 10000 times the major number,
 * plus 100 times the minor one, plus the patch number; compare with `CASTER_VERSION_NUMBER`.
 *
 * Any thread, callbacks included.
 */
CASTER_API int caster_version_number(void);

/* Errors ------------------------------------------------------------------------------------ */

/**
 * The name of a status, as in `"NOT_UP"`; `"OK"` for 0 and `"UNKNOWN"` for a number that is
 * none.
 *
 * Any thread, callbacks included. The string is static. Never NULL.
 */
CASTER_API const char *caster_status_name(caster_status_t status);

/**
 * The meaning of a status, in one English sentence. `caster_last_error` describes the cause of a
 * failed call.
 *
 * Any thread, callbacks included. The string is static. Never NULL.
 */
CASTER_API const char *caster_status_text(caster_status_t status);

/**
 * The error text of the last failed call on this thread, in English. It names the given value and
 * the accepted ones. An empty string before the first failure. A successful call leaves it
 * unchanged. At most 1023 bytes of UTF-8.
 *
 * Any thread, callbacks included; each thread has its own. The buffer belongs to the library
 * and is valid until the thread ends; the next call that fails on this thread overwrites it.
 * Never NULL.
 */
CASTER_API const char *caster_last_error(void);

/**
 * The operating system's number (`errno`) of the error that `caster_last_error` tells about, or
 * 0 if it was not the system that refused.
 *
 * Any thread, callbacks included; each thread has its own.
 */
CASTER_API int caster_last_os_error(void);

/**
 * The name of the system call that refused, as in `"bind"`, of the error that
 * `caster_last_error` tells about.
 *
 * Any thread, callbacks included; each thread has its own. The string is static. NULL if it
 * was not the system that refused.
 */
CASTER_API const char *CASTER_NULLABLE caster_last_syscall(void);

/**
 * Frees a string that the library gave away, which only functions with a `char **` do.
 *
 * Any thread, callbacks included. Once for each string. NULL: nothing happens.
 */
CASTER_API void caster_string_free(char *CASTER_NULLABLE string);

/* Log --------------------------------------------------------------------------------------- */

/** Nothing is logged. */
#define CASTER_LOG_OFF 0
/** Errors. */
#define CASTER_LOG_ERROR 1
/**
 * Conditions that an operator may want to resolve: errors that the program gets as events, hints,
 * conflicts, isolation.
 */
#define CASTER_LOG_WARN 2
/** Nodes of this program that go up and down. */
#define CASTER_LOG_INFO 3
/** Peers and interfaces that come and go. */
#define CASTER_LOG_DEBUG 4
/** Every rejected datagram. */
#define CASTER_LOG_TRACE 5

/**
 * A function that gets the log: `level` is one of `CASTER_LOG_*`, `text` one line in English and
 * UTF-8, without a line feed at its end, borrowed until the function returns.
 *
 * It is called on the thread that logs, threads of the library included, and on several at once.
 * It must not block and must not call the library: locks may be held. A C++ exception that
 * leaves it ends the process with a message.
 */
typedef void (*caster_log_fn_t)(int level, const char *text, void *CASTER_NULLABLE user_data);

/**
 * Sets the function that gets the log of all nodes and casters of the process, down to `level`,
 * one of `CASTER_LOG_*`. There is one at a time: one that was set before is replaced; NULL or
 * `CASTER_LOG_OFF` ends logging, which is how it starts. Nothing depends on the wording of what
 * is logged; what a program needs to know comes as an event.
 *
 * Any thread, callbacks included, but not in `callback` itself. `drop` says when `user_data` is
 * no longer used: when the function was replaced and no call of it runs any more, or when this
 * failed. `CASTER_ERR_INVALID_ARGUMENT` if there is no such level; the log stays as it is.
 */
CASTER_API caster_status_t caster_set_log(
    int level,
    caster_log_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/* Options ----------------------------------------------------------------------------------- */

/**
 * The options of a node, with nothing set.
 *
 * Any thread, callbacks included. The caller owns the result and frees it with
 * `caster_options_free`. NULL only after a fault inside Caster.
 */
CASTER_API caster_options_t *CASTER_NULLABLE caster_options_new_node(void);

/**
 * Options for a caster, with nothing set. A caster has fewer of them than a node.
 *
 * Any thread, callbacks included. The caller owns the result and frees it with
 * `caster_options_free`. NULL only after a fault inside Caster.
 */
CASTER_API caster_options_t *CASTER_NULLABLE caster_options_new_caster(void);

/**
 * Frees options. Nodes and casters that were made with them keep what they need.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_options_free(caster_options_t *CASTER_NULLABLE options);

/**
 * A copy of `options`, which has nothing to do with them any more.
 *
 * Any thread, callbacks included, though no other may change `options` meanwhile. The caller
 * owns the copy and frees it with `caster_options_free`. NULL for NULL.
 */
CASTER_API caster_options_t *CASTER_NULLABLE caster_options_dup(
    const caster_options_t *CASTER_NULLABLE options);

/**
 * Sets an option that is text: `hashSecret`, `multicast`, `id` and so on. Use
 * `caster_options_set_bytes` for a key that is bytes, and `caster_options_set_json` for metadata.
 *
 * One thread at a time, callbacks included. `value` is UTF-8 and is copied. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if the value is not accepted, or if
 * metadata is given that is the text of a JSON object or array,
 * `CASTER_ERR_UNKNOWN_OPTION` if there is no such option; the options are unchanged then, and
 * `caster_last_error` names the nearest one that there is.
 */
CASTER_API caster_status_t caster_options_set_string(
    caster_options_t *options,
    const char *name,
    const char *value);

/**
 * Sets an option that is a whole number: `port`, `heartbeat` and so on.
 *
 * As `caster_options_set_string`.
 */
CASTER_API caster_status_t caster_options_set_int(
    caster_options_t *options,
    const char *name,
    int64_t value);

/**
 * Sets an option that is true (`value` is not 0) or false (0): `loopback`, `expose` and so on.
 *
 * As `caster_options_set_string`.
 */
CASTER_API caster_status_t caster_options_set_bool(
    caster_options_t *options,
    const char *name,
    int value);

/**
 * Sets any option from a JSON text; this is how `meta` is set. `null` puts an option back to
 * its default.
 *
 * As `caster_options_set_string`.
 */
CASTER_API caster_status_t caster_options_set_json(
    caster_options_t *options,
    const char *name,
    const char *json);

/**
 * Sets `hashSecret` or `cryptoKey` from `size` bytes of any value.
 *
 * As `caster_options_set_string`; `data` may be NULL if `size` is 0.
 */
CASTER_API caster_status_t caster_options_set_bytes(
    caster_options_t *options,
    const char *name,
    const uint8_t *CASTER_NULLABLE data,
    size_t size);

/**
 * Turns secure mode on with a key of 32 bytes, or adds one: the first key seals, all are accepted.
 *
 * As `caster_options_set_string`; the key is copied, and the copy is cleared when it is no longer used.
 * `CASTER_ERR_INVALID_OPTION` if there are not 32 bytes, or if they are a text.
 */
CASTER_API caster_status_t caster_options_add_key(
    caster_options_t *options,
    const uint8_t *key,
    size_t size);

/**
 * The same with a key as text: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url.
 *
 * As `caster_options_add_key`.
 */
CASTER_API caster_status_t caster_options_add_key_text(caster_options_t *options, const char *key);

/**
 * Adds all keys of a file, in its order: one text per line. Lines that begin with `#` are skipped.
 *
 * As `caster_options_add_key`. `CASTER_ERR_INVALID_OPTION` if a line is not a key, or if other users can
 * read or change the file; `CASTER_ERR_IO` if it cannot be read. No key is added then.
 */
CASTER_API caster_status_t caster_options_add_key_file(caster_options_t *options, const char *path);

/**
 * Writes a new key of 32 random bytes to `key`.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_IO` if the system has no
 * random numbers.
 */
CASTER_API caster_status_t caster_generate_key(uint8_t *key);

/**
 * In secure mode: the node signs what it says about itself with this identity, a seed of 32 bytes, and verifies
 * the signatures of others.
 *
 * As `caster_options_add_key`. It takes the place of one that was set before.
 */
CASTER_API caster_status_t caster_options_set_identity(
    caster_options_t *options,
    const uint8_t *seed,
    size_t size);

/**
 * The same with a seed as text: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url.
 *
 * As `caster_options_set_identity`.
 */
CASTER_API caster_status_t caster_options_set_identity_text(
    caster_options_t *options,
    const char *seed);

/**
 * The same with a file of one line, as a key file.
 *
 * As `caster_options_add_key_file`.
 */
CASTER_API caster_status_t caster_options_set_identity_file(
    caster_options_t *options,
    const char *path);

/**
 * In secure mode: only nodes with identities that were added are peers. `key` is a public key as text: 64
 * hexadecimal digits, or 43 or 44 characters of base64 or base64url. Without it each identity is trusted from its
 * first use on.
 *
 * As `caster_options_add_key_text`.
 */
CASTER_API caster_status_t caster_options_add_trusted(caster_options_t *options, const char *key);

/**
 * Writes the seed of a new identity to `seed`: 32 random bytes.
 *
 * As `caster_generate_key`.
 */
CASTER_API caster_status_t caster_generate_identity(uint8_t *seed);

/**
 * The public key of an identity, as 64 hexadecimal digits: others trust it with `caster_options_add_trusted`.
 *
 * Any thread, callbacks included. The caller owns `*key` and frees it with `caster_string_free`. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if this is not a seed.
 */
CASTER_API caster_status_t caster_public_key(const uint8_t *seed, size_t size, char **key);

/**
 * Sets options from a JSON object, as in `{"port": 10102, "meta": {"type": "http"}}`. Options that it does
 * not name stay unchanged.
 *
 * As `caster_options_set_string`, but on an error options that were before the bad one in
 * alphabetical order are set.
 */
CASTER_API caster_status_t caster_options_merge_json(caster_options_t *options, const char *object);

/* Peers ------------------------------------------------------------------------------------- */

/**
 * The id of the node. A NUL that an id may have in it reads as U+FFFD; `caster_peer_id_json` is
 * exact.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `peer`. NULL for
 * NULL.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_id(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * The id of the node as a JSON string in ASCII, quotes included. Each id has one form, so that
 * two of them can be compared with `strcmp`.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_id_json(
    const caster_peer_t *CASTER_NULLABLE peer);

/**
 * The IP address at which the node is, as in `"192.168.1.7"` or `"fe80::1%eth0"`: the source of its
 * datagrams, and the best one if it is heard from several.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_address(
    const caster_peer_t *CASTER_NULLABLE peer);

/**
 * From how many addresses the node was heard, at most 8.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API size_t caster_peer_address_count(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * One of the addresses that the node was heard from, by its index from 0: the one of
 * `caster_peer_address` first, then from the best to the worst.
 *
 * As `caster_peer_id`; NULL also for an index that is too large.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_address_at(
    const caster_peer_t *CASTER_NULLABLE peer,
    size_t index);

/**
 * The interface of this host, as in `"eth0"`, by which datagrams from that address come in.
 *
 * As `caster_peer_address_at`; NULL also if the interface is not known.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_interface_at(
    const caster_peer_t *CASTER_NULLABLE peer,
    size_t index);

/**
 * When the node was last heard from that address: milliseconds since 1970 by the wall clock.
 *
 * Any thread, callbacks included. 0 for NULL and for an index that is too large.
 */
CASTER_API uint64_t caster_peer_last_seen_at_ms(
    const caster_peer_t *CASTER_NULLABLE peer,
    size_t index);

/**
 * The metadata of the node as a JSON text, or NULL if it never sent any. A node without
 * metadata sends `null`.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_peer_meta_json(
    const caster_peer_t *CASTER_NULLABLE peer);

/**
 * 1 if the metadata of the node is an object that has `key`, and there the value `value_json` (a
 * JSON text; NULL for any value), else 0. Values are equal as `caster_node_find` says.
 *
 * Any thread, callbacks included. Strings are UTF-8 and only read. 0 if `peer` or `key` is NULL,
 * and if `value_json` is not JSON.
 */
CASTER_API int caster_peer_meta_has(
    const caster_peer_t *CASTER_NULLABLE peer,
    const char *CASTER_NULLABLE key,
    const char *CASTER_NULLABLE value_json);

/**
 * When the node was first heard: milliseconds since 1970 by the wall clock.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_peer_first_seen_ms(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * When the node was last heard: milliseconds since 1970 by the wall clock.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_peer_last_seen_ms(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * 1 if the node has been silent for too long and is being asked whether it is still there, else
 * 0. It still counts as up, and becomes down soon unless it is heard.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_peer_is_suspect(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * How much of what the node sends is lost on the way: the part of its last heartbeats that did
 * not arrive, from 0 to 1. It is an estimate that follows the last few dozen, and 0 for nodes
 * that do not number their heartbeats, as those of caster 0.1.1.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API double caster_peer_loss(const caster_peer_t *CASTER_NULLABLE peer);

/**
 * All of it as one JSON object: `id`, `address`, `firstSeen`, `lastSeen`, `addresses` (an array
 * of objects with `address`, `interface` and `lastSeen`) and, if there is any, `meta`; `suspect`
 * if it is, and `loss` if there is any.
 *
 * Any thread, callbacks included. The caller owns `*json` and frees it with
 * `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_peer_json(const caster_peer_t *peer, char **json);

/**
 * A copy of `peer`, to be kept for longer than the event or snapshot that it is part of.
 *
 * Any thread, callbacks included. The caller owns the copy and frees it with
 * `caster_peer_free`. NULL for NULL.
 */
CASTER_API caster_peer_t *CASTER_NULLABLE caster_peer_dup(
    const caster_peer_t *CASTER_NULLABLE peer);

/**
 * Frees a peer that the program owns: one from `caster_peer_dup` or `caster_node_get`. Those
 * that are part of an event or a snapshot go with it.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_peer_free(caster_peer_t *CASTER_NULLABLE peer);

/**
 * How many nodes the snapshot has.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API size_t caster_nodes_count(const caster_nodes_t *CASTER_NULLABLE nodes);

/**
 * One of the nodes of the snapshot, by its index from 0. The order means nothing.
 *
 * Any thread, callbacks included. The peer is borrowed: it lives as long as `nodes`. NULL for
 * NULL and for an index that is too large.
 */
CASTER_API const caster_peer_t *CASTER_NULLABLE caster_nodes_at(
    const caster_nodes_t *CASTER_NULLABLE nodes,
    size_t index);

/**
 * Frees a snapshot, with the peers in it.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_nodes_free(caster_nodes_t *CASTER_NULLABLE nodes);

/* Events ------------------------------------------------------------------------------------ */

/** A peer was discovered. The event has the peer. */
#define CASTER_EVENT_UP 1
/**
 * A peer changed its metadata or its address. The event has the peer in its new state, and flags
 * for the changes.
 */
#define CASTER_EVENT_UPDATE 2
/** A peer is gone. The event has the peer in its last known state, and a reason. */
#define CASTER_EVENT_DOWN 3
/**
 * A message was received. On a node it has a peer and JSON; on a caster it has a remote and JSON or
 * bytes.
 */
#define CASTER_EVENT_MESSAGE 4
/**
 * An error that an operator can resolve, or messages were lost because the program took its events
 * too slowly. The node or caster continues. The event has a status and a text.
 */
#define CASTER_EVENT_ERROR 5
/**
 * Two nodes have the same id, which may be that of this node. It has the id and an address. At
 * most once a minute for each id.
 */
#define CASTER_EVENT_CONFLICT 6
/**
 * This node no longer receives any datagrams of peers, or not even its own. It appears cut off from
 * the network and withholds transitions to down: silent peers stay up for a while.
 */
#define CASTER_EVENT_ISOLATED 7
/** This node receives datagrams of peers again. */
#define CASTER_EVENT_REJOINED 8
/**
 * Datagrams of another sender on this port cannot be understood, for example because of another
 * secret. The event has a text. It is not an error: other groups may share a port. At most once in
 * ten minutes for each address.
 */
#define CASTER_EVENT_HINT 9
/**
 * A middleware rejected a datagram. The event has a status, a text and a remote. It is made on
 * request only: with `caster_node_watch_rejects` or `caster_watch_rejects`, or with a callback.
 */
#define CASTER_EVENT_REJECT 10
/**
 * A node received a datagram; this is its content behind the middleware, before the node looks
 * at it. It has a remote and JSON or bytes. It is made on request only: with
 * `caster_node_watch_datagrams`, or with a callback.
 */
#define CASTER_EVENT_DATAGRAM 11
/**
 * The answers to the first heartbeat of this node have arrived: the node knows the peers that were
 * up before it. Once after each `caster_node_up`, within 3 s. The event has no values.
 */
#define CASTER_EVENT_SETTLED 12
/** A flag of `caster_event_changed`: the metadata. */
#define CASTER_CHANGED_META 1
/** A flag of `caster_event_changed`: the address. */
#define CASTER_CHANGED_ADDRESS 2
/** Why a peer is down: it left. */
#define CASTER_REASON_GOODBYE 1
/** Why a peer is down: it was silent for too long, and no other peer corroborated it. */
#define CASTER_REASON_TIMEOUT 2
/** Why a peer is down: it has restarted. An event of type up follows at once. */
#define CASTER_REASON_RESTART 3

/**
 * The type: one of `CASTER_EVENT_*`. A program should ignore types that it does not know.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_event_type(const caster_event_t *CASTER_NULLABLE event);

/**
 * The type as a word: `"up"`, `"update"`, `"down"`, `"message"`, `"error"`, `"conflict"`,
 * `"isolated"`, `"rejoined"`, `"hint"`, `"reject"`, `"datagram"` or `"settled"`.
 *
 * Any thread, callbacks included. The string is static. NULL for NULL.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_name(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The node that the event is about: of `up`, `update`, `down` and, on a node, `message`.
 *
 * Any thread, callbacks included. The peer is borrowed: it lives as long as `event`;
 * `caster_peer_dup` copies it. NULL for NULL and if there is none.
 */
CASTER_API const caster_peer_t *CASTER_NULLABLE caster_event_peer(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The message as a JSON text, if it is JSON.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if there is no JSON.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_message_json(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The message as bytes: `caster_event_message_size` of them, and a 0 behind them. JSON is UTF-8.
 *
 * Any thread, callbacks included. The bytes are borrowed: they live as long as `event`. NULL
 * for NULL and if there is no message.
 */
CASTER_API const uint8_t *CASTER_NULLABLE caster_event_message_data(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The size of the message in bytes.
 *
 * Any thread, callbacks included. 0 for NULL and if there is no message.
 */
CASTER_API size_t caster_event_message_size(const caster_event_t *CASTER_NULLABLE event);

/**
 * Whether the message was sealed: its sender has a key of the group.
 *
 * Any thread, callbacks included. 0 for NULL and if there is no message.
 */
CASTER_API int caster_event_is_sealed(const caster_event_t *CASTER_NULLABLE event);

/**
 * Whether the sender of the message has proven that it is there now. A sealed message that is not fresh may be
 * a recording.
 *
 * Any thread, callbacks included. 0 for NULL and if there is no message.
 */
CASTER_API int caster_event_is_fresh(const caster_event_t *CASTER_NULLABLE event);

/**
 * Whether the identity of the sender has signed the message. Then no other member of the group has written it.
 *
 * Any thread, callbacks included. 0 for NULL and if there is no message.
 */
CASTER_API int caster_event_is_signed(const caster_event_t *CASTER_NULLABLE event);

/**
 * The changes of an update: a bitwise or of `CASTER_CHANGED_*`.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no update.
 */
CASTER_API int caster_event_changed(const caster_event_t *CASTER_NULLABLE event);

/**
 * Why the node is down: one of `CASTER_REASON_*`.
 *
 * Any thread, callbacks included. 0 for NULL and if nothing is down.
 */
CASTER_API int caster_event_reason(const caster_event_t *CASTER_NULLABLE event);

/**
 * Why the node is down, as a word: `"goodbye"`, `"timeout"` or `"restart"`.
 *
 * Any thread, callbacks included. The string is static. NULL for NULL and if nothing is
 * down.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_reason_name(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The id that two nodes have. A NUL that an id may have in it reads as U+FFFD;
 * `caster_event_conflict_id_json` is exact.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no conflict.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_conflict_id(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The id that two nodes have as a JSON string in ASCII, quotes included, as in
 * `caster_peer_id_json`.
 *
 * As `caster_event_conflict_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_conflict_id_json(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The IP address of the node that was heard last of the two with the same id; if that is the id
 * of this node, the address of the other one.
 *
 * As `caster_event_conflict_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_conflict_address(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The address whose datagrams cannot be understood, and the likely cause, in English.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no hint.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_hint_text(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The IP address from which a datagram came, as in `"192.168.1.7"` or `"fe80::1%eth0"`: that of a caster's message,
 * of `datagram` and of `reject`.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and for all other events; a node's message has a peer.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_remote_address(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The interface of this host by which that datagram came in, as in `"eth0"`.
 *
 * As `caster_event_remote_address`; NULL also if the interface is not known.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_remote_interface(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The UDP port from which that datagram came.
 *
 * Any thread, callbacks included. 0 for NULL and for all other events.
 */
CASTER_API int caster_event_remote_port(const caster_event_t *CASTER_NULLABLE event);

/**
 * The size of that datagram on the wire, in bytes.
 *
 * Any thread, callbacks included. 0 for NULL and for all other events.
 */
CASTER_API size_t caster_event_remote_size(const caster_event_t *CASTER_NULLABLE event);

/**
 * The status of an event of type `error` or `reject`: one of `CASTER_ERR_*`.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no error.
 */
CASTER_API caster_status_t caster_event_error_status(const caster_event_t *event);

/**
 * The text of an event of type `error` or `reject`, in English.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no error.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_error_text(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * The operating system's number (`errno`) of the error, or 0 if it was not the system that
 * refused.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no error.
 */
CASTER_API int caster_event_error_os(const caster_event_t *CASTER_NULLABLE event);

/**
 * The name of the system call that refused, as in `"sendto"`.
 *
 * Any thread, callbacks included. The string is static. NULL for NULL, if it is no error
 * and if it was not the system that refused.
 */
CASTER_API const char *CASTER_NULLABLE caster_event_error_syscall(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * A copy of `event`, to be kept for longer than the callback that got it.
 *
 * Any thread, callbacks included. The caller owns the copy and frees it with
 * `caster_event_free`. NULL for NULL.
 */
CASTER_API caster_event_t *CASTER_NULLABLE caster_event_dup(
    const caster_event_t *CASTER_NULLABLE event);

/**
 * Frees an event that the program owns: one from `caster_node_poll`, `caster_poll` or
 * `caster_event_dup`. Never one that a callback got.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_event_free(caster_event_t *CASTER_NULLABLE event);

/* Nodes ------------------------------------------------------------------------------------- */

/**
 * The counters of a node or caster since it was made. They continue through down and up. When
 * nothing is on its way, `received` is `accepted` plus `dropped`, and `dropped` is the sum of
 * those by reason, `dropped_*`.
 *
 * The program sets `size` to `sizeof(caster_stats_t)` before each call, and the library writes no
 * more than that. New versions add fields at the end and never change the others, so a program
 * and a library of different versions understand each other: what the library does not know
 * becomes 0.
 *
 * One thread at a time. The program owns it.
 */
typedef struct {
  /**
   * The size of this structure in bytes, set by the program.
   */
  size_t size;
  /**
   * Datagrams taken from the socket. Own messages do not come back on Linux, unless another node
   * of the process shares the socket or the option `self` is set.
   */
  uint64_t received;
  /**
   * Datagrams that had their effect.
   */
  uint64_t accepted;
  /**
   * Datagrams that had no effect, for any reason.
   */
  uint64_t dropped;
  /**
   * Datagrams given to the socket.
   */
  uint64_t sent;
  /**
   * Datagrams that the socket refused.
   */
  uint64_t send_errors;
  /**
   * How often a single interface refused a datagram over IPv4.
   */
  uint64_t send_errors4;
  /**
   * How often a single interface refused a datagram over IPv6.
   */
  uint64_t send_errors6;
  /**
   * Datagrams that the system dropped because the socket's buffer was full. Only Linux tells.
   */
  uint64_t kernel_drops;
  /**
   * Datagrams to single hosts that came back. Only Linux tells.
   */
  uint64_t undelivered;
  /**
   * The size of the socket's receive buffer in bytes; 0 before it was first opened.
   */
  uint64_t receive_buffer;
  /**
   * Messages that the program never saw because its event queue was full.
   */
  uint64_t events_lost;
  /**
   * Errors that were not told because one of the same kind had been told within a second.
   */
  uint64_t errors_suppressed;
  /**
   * Nodes that are known just now.
   */
  uint64_t nodes;
  /**
   * Those among them that are being asked whether they are still there.
   */
  uint64_t suspects;
  /**
   * How often a suspect was asked.
   */
  uint64_t probes_sent;
  /**
   * Indirect acknowledgements sent: corroborations of peers that another node suspects.
   */
  uint64_t vouches_sent;
  /**
   * How often one heartbeat answered more than one request.
   */
  uint64_t answers_merged;
  /**
   * Dropped: shorter than the digest that should be in front.
   */
  uint64_t dropped_truncated;
  /**
   * Dropped: the digest does not match.
   */
  uint64_t dropped_hash;
  /**
   * Dropped: it does not decrypt.
   */
  uint64_t dropped_decrypt;
  /**
   * Dropped: the payload is not JSON.
   */
  uint64_t dropped_not_json;
  /**
   * Dropped: the payload is JSON, but not an object.
   */
  uint64_t dropped_not_an_object;
  /**
   * Dropped: there is no id.
   */
  uint64_t dropped_no_id;
  /**
   * Dropped: the id is an array, an object or longer than 255 bytes.
   */
  uint64_t dropped_bad_id;
  /**
   * Dropped: arrays and objects nest too deep.
   */
  uint64_t dropped_too_deep;
  /**
   * Dropped: metadata or a message is larger than allowed.
   */
  uint64_t dropped_too_large;
  /**
   * Dropped: its address brings more new nodes a second than allowed.
   */
  uint64_t dropped_too_many_new;
  /**
   * Dropped: its address sends more datagrams a second than allowed.
   */
  uint64_t dropped_too_many;
  /**
   * Dropped: sent by this node itself.
   */
  uint64_t dropped_own;
  /**
   * Dropped: a leave message of an unknown peer.
   */
  uint64_t dropped_unknown_goodbye;
  /**
   * Dropped: a leave message that the named peer did not send.
   */
  uint64_t dropped_foreign_goodbye;
  /**
   * Dropped: late, from an incarnation of a node that is gone.
   */
  uint64_t dropped_stale;
  /**
   * Dropped: a new node, and the table is full.
   */
  uint64_t dropped_table_full;
  /**
   * Dropped: from outside, and the node is on the loopback interface only.
   */
  uint64_t dropped_off_interface;
  /**
   * Dropped: a middleware of the program turned it away.
   */
  uint64_t dropped_middleware;
  /**
   * Dropped: it was lost in the event queue.
   */
  uint64_t dropped_queue_full;
  /**
   * Dropped: the library, or a middleware of the program, had a fault over it.
   */
  uint64_t dropped_fault;
  /**
   * Dropped: the same datagram has already arrived on another path.
   */
  uint64_t dropped_copy;
  /**
   * Dropped: its count of heartbeats is higher than the elapsed time allows, or its proof of
   * leaving differs from the one that the peer announced.
   */
  uint64_t dropped_implausible;
  /**
   * Dropped: from an address that the peer has not used and has not confirmed.
   */
  uint64_t dropped_unconfirmed;
  /**
   * Dropped: a piece of a message from no known peer, or of which the place is not known.
   */
  uint64_t dropped_stray_piece;
  /**
   * Dropped: a frame or a piece that is malformed, or contradicts another piece.
   */
  uint64_t dropped_bad_piece;
  /**
   * Dropped: a piece that was there already, or came too late.
   */
  uint64_t dropped_repeated_piece;
  /**
   * Dropped: a piece for which there was no room. 8 MiB wait for each sender, 64 MiB in all.
   */
  uint64_t dropped_piece_overflow;
  /**
   * Datagrams sent that are larger than the MTU of an interface, and so travel as IP fragments.
   */
  uint64_t oversized;
  /**
   * Pieces of messages sent, without repairs.
   */
  uint64_t pieces_sent;
  /**
   * Pieces of messages received that were new.
   */
  uint64_t pieces_received;
  /**
   * Pieces sent again because a peer missed them.
   */
  uint64_t repairs_sent;
  /**
   * Questions for missing pieces sent.
   */
  uint64_t nacks_sent;
  /**
   * Messages in pieces that were given up because pieces were missing for a second.
   */
  uint64_t incomplete;
  /**
   * How often this host has failed to assemble a datagram from its fragments, since this was first
   * opened: the datagrams of all programs of the host. Only Linux tells.
   */
  uint64_t reassembly_failures;
  /**
   * Dropped: not a sealed datagram of a known version, in secure mode.
   */
  uint64_t dropped_unsealed;
  /**
   * Dropped: sealed with another key or for another realm, forged, or damaged.
   */
  uint64_t dropped_seal;
  /**
   * Dropped: a repeated sealed datagram, or one that was held back.
   */
  uint64_t dropped_replayed;
  /**
   * Dropped: sealed, but its sender has not proven that it is there now.
   */
  uint64_t dropped_unproven;
  /**
   * Dropped: sealed for another node of this process.
   */
  uint64_t dropped_for_another;
  /**
   * Calls to the system that receive datagrams, or wait for them, and failed.
   */
  uint64_t receive_errors;
  /**
   * Nodes that have no keys, in migration to secure mode; they are among `nodes`.
   */
  uint64_t plain_nodes;
  /**
   * Dropped: plain, and its sender was believed sealed before.
   */
  uint64_t dropped_downgrade;
  /**
   * Dropped: sealed, and its signature is missing or false, or its id belongs to another identity.
   */
  uint64_t dropped_identity;
} caster_stats_t;

/**
 * A callback for events of a node. `node` is the node that it was registered on, `event` is
 * borrowed until the callback returns, `user_data` is what was given at the registration.
 *
 * Callbacks of a node run one at a time, in the order of the events, on a thread of the library
 * that belongs to this node. A callback may take its time, which delays nothing but the next
 * callback, and may call every function of the library except `caster_node_poll` on the same
 * node, `caster_node_free` on the same node included. A C++ exception that leaves it ends the
 * process with a message.
 */
typedef void (*caster_node_event_fn_t)(
    caster_node_t *node,
    const caster_event_t *event,
    void *CASTER_NULLABLE user_data);

/**
 * Makes a node, which is not yet up. `options` may be NULL for the defaults, is only read, and
 * can be used again.
 *
 * Any thread, callbacks included. The caller owns `*node` and frees it with `caster_node_free`.
 * NULL for `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options do
 * not go together, `CASTER_ERR_IO` if the system has no random numbers.
 */
CASTER_API caster_status_t caster_node_new(
    const caster_options_t *CASTER_NULLABLE options,
    caster_node_t **node);

/**
 * Frees a node; one that is up goes down first, as in `caster_node_down`. When it returns, no
 * callback of the node runs any more and all drop hooks of callbacks have run. In a callback (of any node or
 * caster) the node goes down at once, but callback threads do not wait for one another: the rest
 * happens when the node's own callback, if one runs, has returned, and after that none comes.
 *
 * Any thread, callbacks included, but not in a middleware of the node. Other threads may be in calls on
 * the node: those that wait return, and the last one releases it. Callbacks that still run may call functions on
 * it; any other call is refused from then on. A second call does nothing, and `caster_last_error` tells it. In a
 * forked child it returns at once and frees nothing. NULL: nothing happens.
 */
CASTER_API void caster_node_free(caster_node_t *CASTER_NULLABLE node);

/**
 * Opens the socket, joins the group, starts the thread that receives and announces the node.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 * `CASTER_ERR_ALREADY_UP`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the node is as
 * before.
 */
CASTER_API caster_status_t caster_node_up(caster_node_t *node);

/**
 * Leaves the group, closes the socket and ends the thread that receives. The node can go up again.
 * Queued events can still be taken; a `caster_node_poll` that waits returns. The call may take some
 * milliseconds, because the leave message is repeated against loss.
 *
 * Any thread, callbacks included, but not in a middleware of the node. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP` if it is not up. A leave message that cannot
 * be sent, because the network is gone for example, is counted in `sendErrors` and is no error.
 */
CASTER_API caster_status_t caster_node_down(caster_node_t *node);

/**
 * 1 if the node is up, else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_is_up(const caster_node_t *CASTER_NULLABLE node);

/**
 * The id of the node.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `node`. NULL for
 * NULL.
 */
CASTER_API const char *CASTER_NULLABLE caster_node_id(const caster_node_t *CASTER_NULLABLE node);

/**
 * The multicast group, as in `"224.0.0.42"`.
 *
 * As `caster_node_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_node_multicast(
    const caster_node_t *CASTER_NULLABLE node);

/**
 * The local address given in the options, as in `"0.0.0.0"`, which stands for all interfaces.
 *
 * As `caster_node_id`.
 */
CASTER_API const char *CASTER_NULLABLE caster_node_address(
    const caster_node_t *CASTER_NULLABLE node);

/**
 * The UDP port.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_port(const caster_node_t *CASTER_NULLABLE node);

/**
 * 1 if programs on this host receive the datagrams of this node, else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_loopback(const caster_node_t *CASTER_NULLABLE node);

/**
 * How many routers a datagram may cross, plus one.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_ttl(const caster_node_t *CASTER_NULLABLE node);

/**
 * 1 if the node sends heartbeats (the option `expose`), else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_is_exposed(const caster_node_t *CASTER_NULLABLE node);

/**
 * The interval of the heartbeats in milliseconds.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_node_heartbeat_ms(const caster_node_t *CASTER_NULLABLE node);

/**
 * The minimum silence, in milliseconds, after which a peer is down.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_node_timeout_ms(const caster_node_t *CASTER_NULLABLE node);

/**
 * Sends one JSON text to all other nodes. `*bytes` becomes the size of the datagram on the
 * wire. The call returns after the system has taken the datagram; it waits for no peer.
 *
 * Any thread, callbacks included. `json` is UTF-8 and is copied. `bytes` may be NULL; any other
 * NULL, and what is not JSON: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP`,
 * `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
 * refused: nothing was sent.
 */
CASTER_API caster_status_t caster_node_send_json(
    caster_node_t *node,
    const char *json,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends `count` JSON texts to all other nodes, with as few calls of the system as it allows:
 * several times the rate of `caster_node_send_json`. On the wire they are single messages, in this
 * order. `*bytes` becomes the size of all datagrams on the wire.
 *
 * As `caster_node_send_json`; `jsons` may be NULL if `count` is 0. `caster_last_error` names the
 * message that is wrong by its place, counted from 0. After `CASTER_ERR_IO` some may have been
 * sent, after any other error none was.
 */
CASTER_API caster_status_t caster_node_send_batch(
    caster_node_t *node,
    const char *const *CASTER_NULLABLE jsons,
    size_t count,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends a text to all other nodes. Peers receive it as a JSON string.
 *
 * As `caster_node_send_json`.
 */
CASTER_API caster_status_t caster_node_send_text(
    caster_node_t *node,
    const char *text,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends `size` bytes as they are, through the middleware behind json, without the envelope that
 * names the sender. Peers interpret the content as a protocol message, so this is for tests and
 * for programs that implement the protocol of docs/wire.md themselves.
 *
 * As `caster_node_send_json`; `data` may be NULL if `size` is 0.
 */
CASTER_API caster_status_t caster_node_send_bare(
    caster_node_t *node,
    const uint8_t *CASTER_NULLABLE data,
    size_t size,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends one JSON text as it is, as `caster_node_send_bare` sends bytes.
 *
 * As `caster_node_send_json`.
 */
CASTER_API caster_status_t caster_node_send_bare_json(
    caster_node_t *node,
    const char *json,
    size_t *CASTER_NULLABLE bytes);

/**
 * Replaces the metadata by a JSON text. If the node is up, it announces the change to all peers at once.
 *
 * Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, and what is not JSON:
 * `CASTER_ERR_INVALID_ARGUMENT`; the metadata stays as it is.
 */
CASTER_API caster_status_t caster_node_set_meta_json(caster_node_t *node, const char *json);

/**
 * Changes some members of the metadata, which is an object or null. `json` is an object: each member takes
 * the place of the one with its name, and null removes it. Changes of several threads do not undo each
 * other. If the node is up, it announces the change to all peers at once.
 *
 * Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, what is not JSON, and metadata or
 * a change that is not an object: `CASTER_ERR_INVALID_ARGUMENT`; a result beyond `maxMeta`:
 * `CASTER_ERR_MESSAGE_TOO_LARGE`. The metadata stays as it is then.
 */
CASTER_API caster_status_t caster_node_update_meta_json(caster_node_t *node, const char *json);

/**
 * Accepts one more key of secure mode, of 32 bytes. Add it on all nodes before one of them uses it.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if the
 * node was made without keys, has this one or eight already, or if this is not a key.
 */
CASTER_API caster_status_t caster_node_add_key(
    caster_node_t *node,
    const uint8_t *key,
    size_t size);

/**
 * Seals with this key from now on.
 *
 * As `caster_node_add_key`; `CASTER_ERR_INVALID_ARGUMENT` if the key was not added.
 */
CASTER_API caster_status_t caster_node_use_key(
    caster_node_t *node,
    const uint8_t *key,
    size_t size);

/**
 * Accepts this key no longer, in two timeouts from now on: nodes that still seal with it are not heard then.
 *
 * As `caster_node_use_key`; `CASTER_ERR_INVALID_ARGUMENT` also if this node seals with it.
 */
CASTER_API caster_status_t caster_node_remove_key(
    caster_node_t *node,
    const uint8_t *key,
    size_t size);

/**
 * Accepts this key no longer, from now on: to exclude a node that has it.
 *
 * As `caster_node_remove_key`.
 */
CASTER_API caster_status_t caster_node_remove_key_now(
    caster_node_t *node,
    const uint8_t *key,
    size_t size);

/**
 * The id of the key that a peer sends with: 8 hexadecimal digits. NULL in `*key` if the peer is not up, and
 * without keys.
 *
 * Any thread, callbacks included. The caller owns `*key` and frees it with `caster_string_free`. NULL, and
 * what is not an id: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_key_of(
    const caster_node_t *node,
    const char *id,
    char **key);

/**
 * The identity of a peer: its public key as 64 hexadecimal digits. NULL in `*key` if the peer is not up or has
 * none, and if this node has neither an identity nor a list of those that it trusts.
 *
 * As `caster_node_key_of`.
 */
CASTER_API caster_status_t caster_node_identity_of(
    const caster_node_t *node,
    const char *id,
    char **key);

/**
 * Accepts a peer that is not up with another identity, or with none, the next time. With the option `plain` also
 * plain datagrams of one that was believed sealed. Otherwise neither is accepted as long as the node exists.
 *
 * Any thread, callbacks included. NULL, and what is not an id: `CASTER_ERR_INVALID_ARGUMENT`. An id that was not
 * believed sealed, or is up: no effect.
 */
CASTER_API caster_status_t caster_node_forget_sealed(caster_node_t *node, const char *id);

/**
 * The metadata of this node as a JSON text.
 *
 * Any thread, callbacks included. The caller owns `*json` and frees it with
 * `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_meta_json(const caster_node_t *node, char **json);

/**
 * A snapshot of the nodes that are up. Before the first `caster_node_up` it is empty; after
 * `caster_node_down` it is as it was last.
 *
 * Any thread, callbacks included. The caller owns `*nodes` and frees it with
 * `caster_nodes_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_nodes(const caster_node_t *node, caster_nodes_t **nodes);

/**
 * How many nodes are up.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API size_t caster_node_count(const caster_node_t *CASTER_NULLABLE node);

/**
 * Looks up one node by its id. `*peer` becomes NULL if no such node is up, which is no error.
 *
 * Any thread, callbacks included. The caller owns `*peer` and frees it with `caster_peer_free`.
 * NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_get(
    const caster_node_t *node,
    const char *id,
    caster_peer_t **peer);

/**
 * When the node with this id was last heard: milliseconds since 1970 by the wall clock. It costs
 * less than `caster_node_get`.
 *
 * Any thread, callbacks included. `id` is only read. 0 for NULL, and if no such node is up.
 */
CASTER_API uint64_t caster_node_last_seen_ms(
    const caster_node_t *CASTER_NULLABLE node,
    const char *CASTER_NULLABLE id);

/**
 * Finds the nodes that are up whose metadata is an object with the key `key`, and there the
 * value `value_json`, a JSON text; NULL for any value. `"\"http\""` finds `{"type": "http"}`.
 * Texts that stand for the same value are equal: `1` is `1.0`, and neither blanks nor the order
 * of keys matter.
 *
 * Any thread, callbacks included. Strings are UTF-8 and only read. The caller owns `*nodes`,
 * which may have no node in it, and frees it with `caster_nodes_free`. `value_json` may be NULL;
 * any other NULL, and what is not JSON: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_find(
    const caster_node_t *node,
    const char *key,
    const char *CASTER_NULLABLE value_json,
    caster_nodes_t **nodes);

/**
 * Finds the nodes that are up whose metadata is an object with all these keys: `count` of them,
 * with a value for each in `values_json` (NULL for any value).
 *
 * As `caster_node_find`; `values_json` itself may be NULL if there are no values, `keys` too if
 * `count` is 0, which finds all nodes.
 */
CASTER_API caster_status_t caster_node_find_all(
    const caster_node_t *node,
    const char *const *CASTER_NULLABLE keys,
    const char *const *CASTER_NULLABLE values_json,
    size_t count,
    caster_nodes_t **nodes);

/**
 * Copies the counters of the node into `*stats`, whose field `size` must be set to
 * `sizeof(caster_stats_t)`.
 *
 * Any thread, callbacks included. NULL, and a `size` that is too small for anything:
 * `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_stats(const caster_node_t *node, caster_stats_t *stats);

/**
 * The counters of the node as a JSON object, with the names of `caster_stats_t` in camelCase,
 * but `dropped` is an object by reason. `foreign` is an object too: how many datagrams that could
 * not be understood came from which address. `interfaces` is an array of the interfaces of this
 * host, and empty while the node is down: objects with `name`, `index`, `addresses` (an array),
 * `mtu`, `up`, `joined`, `sent`, `received`, `echoes` (received from an address of the interface
 * itself) and `error`, the reason why the group could not be joined on it, or null.
 *
 * Any thread, callbacks included. The caller owns `*json` and frees it with
 * `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_stats_json(const caster_node_t *node, char **json);

/**
 * Takes the next event, in the order in which they happened; waits for it for up to
 * `timeout_ms` milliseconds, or for as long as it takes if that is negative.
 *
 * Any thread; several may poll, and each event goes to one of them. The caller owns `*event`
 * and frees it with `caster_event_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 * `CASTER_ERR_TIMED_OUT` if no event came in time. `CASTER_ERR_NOT_UP` at once if the node is
 * down and its last event has been taken. `CASTER_ERR_EVENTS_TAKEN` if a callback was ever
 * registered on this node.
 */
CASTER_API caster_status_t caster_node_poll(
    caster_node_t *node,
    int timeout_ms,
    caster_event_t **event);

/**
 * Takes up to `capacity` events with one call: waits for the first as `caster_node_poll` does,
 * and takes what else is there. `events[0]` to `events[*count - 1]` are set.
 *
 * As `caster_node_poll`. The caller owns each of the events and frees it with
 * `caster_event_free`. `capacity` is 1 at least; NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_poll_batch(
    caster_node_t *node,
    int timeout_ms,
    caster_event_t **events,
    size_t capacity,
    size_t *count);

/**
 * A file descriptor that is readable while events wait: for `poll`, `epoll` and event loops.
 * When it is, call `caster_node_poll` with a timeout of 0 until it returns
 * `CASTER_ERR_TIMED_OUT`. It stays the same through down and up; going down does not make it
 * readable.
 *
 * Any thread, callbacks included. The descriptor is borrowed: it lives as long as `node`; do
 * not read from it and do not close it. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 * `CASTER_ERR_EVENTS_TAKEN` if a callback was ever registered on this node. `CASTER_ERR_IO` if
 * the system has no descriptors left, and on systems without them.
 */
CASTER_API caster_status_t caster_node_fd(caster_node_t *node, int *fd);

/**
 * Sets the callback for `CASTER_EVENT_UP`: a node was discovered. A callback that was set
 * before is replaced; NULL for `callback` removes it. Events without a callback are dropped, so
 * set callbacks before `caster_node_up`.
 *
 * The first callback starts the thread that calls them and decides that this node's events go
 * to callbacks; it cannot be polled from then on.
 *
 * Any thread, callbacks included. `drop` says when `user_data` is no longer used: when the
 * callback was replaced or removed, the node freed, or the registration failed. NULL for
 * `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_EVENTS_TAKEN` if the node has ever been
 * polled or asked for its descriptor. `CASTER_ERR_IO` if no thread could be started.
 */
CASTER_API caster_status_t caster_node_on_up(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_UPDATE`: a node changed its metadata or its address.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_update(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_DOWN`: a node is gone.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_down(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_MESSAGE`: a node sent a message.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_message(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_ERROR`: an error that an operator can resolve.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_error(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_CONFLICT`: two nodes have the same id.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_conflict(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_ISOLATED`: this node appears cut off from the network.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_isolated(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_REJOINED`: this node receives heartbeats of peers again.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_rejoined(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_SETTLED`: this node knows the peers that were up before it.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_settled(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_HINT`: datagrams of another sender on this port cannot be
 * understood.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_hint(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_REJECT`: a middleware rejected a datagram. Such events
 * are made while there is a callback.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_reject(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_DATAGRAM`: the node received a datagram. Such events are
 * made while there is a callback.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_node_on_datagram(
    caster_node_t *node,
    caster_node_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Asks for events of type `CASTER_EVENT_REJECT` (`watch` is not 0), or no longer (0). For
 * programs that poll; a callback asks by itself.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_watch_rejects(caster_node_t *node, int watch);

/**
 * Asks for events of type `CASTER_EVENT_DATAGRAM`.
 *
 * As `caster_node_watch_rejects`.
 */
CASTER_API caster_status_t caster_node_watch_datagrams(caster_node_t *node, int watch);

/**
 * Adds a middleware of the program to the node, next to the wire: behind json, hash and crypto,
 * so that it gets bytes. All nodes of a group need the same. `caster_use` tells the rest.
 *
 * As `caster_use`.
 */
CASTER_API caster_status_t caster_node_use(
    caster_node_t *node,
    const char *name,
    caster_middleware_fn_t CASTER_NULLABLE tx,
    caster_middleware_fn_t CASTER_NULLABLE rx,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Removes all middleware, so that others can be added in another order: json and what the
 * options `hash` and `crypto` stand for, too. To be called before `caster_node_up`; without the
 * middleware of its peers a node cannot read their datagrams.
 *
 * Any thread, callbacks included. Messages that are on their way keep the pipeline that they
 * started with. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_clear_middleware(caster_node_t *node);

/**
 * The names of the middleware of the node, from the program to the wire, as a JSON array.
 *
 * Any thread, callbacks included. The caller owns `*json` and frees it with
 * `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_node_middleware_json(const caster_node_t *node, char **json);

/**
 * Adds the middleware json to a node whose middleware was removed.
 *
 * As `caster_use_json`.
 */
CASTER_API caster_status_t caster_node_use_json(caster_node_t *node);

/**
 * Adds the middleware json to a node whose middleware was removed; it sends UTF-8.
 *
 * As `caster_use_json_utf8`.
 */
CASTER_API caster_status_t caster_node_use_json_utf8(caster_node_t *node);

/**
 * Adds the middleware hash to a node whose middleware was removed.
 *
 * As `caster_use_hash`.
 */
CASTER_API caster_status_t caster_node_use_hash(
    caster_node_t *node,
    const char *CASTER_NULLABLE secret,
    const char *CASTER_NULLABLE algorithm);

/**
 * Adds the middleware hash to a node whose middleware was removed, with a secret of bytes and an
 * era.
 *
 * As `caster_use_hash_bytes`.
 */
CASTER_API caster_status_t caster_node_use_hash_bytes(
    caster_node_t *node,
    const uint8_t *CASTER_NULLABLE secret,
    size_t size,
    const char *CASTER_NULLABLE algorithm,
    const char *CASTER_NULLABLE era);

/**
 * Adds the middleware crypto to a node whose middleware was removed.
 *
 * As `caster_use_crypto`.
 */
CASTER_API caster_status_t caster_node_use_crypto(
    caster_node_t *node,
    const char *CASTER_NULLABLE key,
    const char *CASTER_NULLABLE algorithm);

/**
 * Adds the middleware crypto to a node whose middleware was removed, with a key of bytes.
 *
 * As `caster_use_crypto_bytes`.
 */
CASTER_API caster_status_t caster_node_use_crypto_bytes(
    caster_node_t *node,
    const uint8_t *CASTER_NULLABLE key,
    size_t size,
    const char *CASTER_NULLABLE algorithm);

/* Middleware -------------------------------------------------------------------------------- */

/**
 * The bytes of the message: `caster_message_size` of them, with nothing behind them. JSON is
 * UTF-8.
 *
 * Only inside the middleware. The bytes are borrowed: they live until the message is set or the
 * middleware returns. NULL for NULL.
 */
CASTER_API const uint8_t *CASTER_NULLABLE caster_message_data(
    const caster_message_t *CASTER_NULLABLE message);

/**
 * The size of the message in bytes.
 *
 * Only inside the middleware. 0 for NULL.
 */
CASTER_API size_t caster_message_size(const caster_message_t *CASTER_NULLABLE message);

/**
 * 1 if the message is a JSON text, 0 if it is bytes.
 *
 * Only inside the middleware. 0 for NULL.
 */
CASTER_API int caster_message_is_json(const caster_message_t *CASTER_NULLABLE message);

/**
 * The IP address that an incoming message came from, as in `"192.168.1.7"`.
 *
 * Only inside the middleware. The string is borrowed until the middleware returns. NULL for
 * NULL and for an outgoing message.
 */
CASTER_API const char *CASTER_NULLABLE caster_message_remote_address(
    const caster_message_t *CASTER_NULLABLE message);

/**
 * The interface of this host by which an incoming message came in, as in `"eth0"`.
 *
 * As `caster_message_remote_address`; NULL also if the interface is not known.
 */
CASTER_API const char *CASTER_NULLABLE caster_message_remote_interface(
    const caster_message_t *CASTER_NULLABLE message);

/**
 * The UDP port that an incoming message came from.
 *
 * Only inside the middleware. 0 for NULL and for an outgoing message.
 */
CASTER_API int caster_message_remote_port(const caster_message_t *CASTER_NULLABLE message);

/**
 * The size of the datagram that an incoming message came in, in bytes.
 *
 * Only inside the middleware. 0 for NULL and for an outgoing message.
 */
CASTER_API size_t caster_message_remote_size(const caster_message_t *CASTER_NULLABLE message);

/**
 * Replaces the message by `size` bytes.
 *
 * Only inside the middleware. `data` is copied, may be part of the message itself, and may be
 * NULL if `size` is 0. Any other NULL: `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
 */
CASTER_API caster_status_t caster_message_set_bytes(
    caster_message_t *message,
    const uint8_t *CASTER_NULLABLE data,
    size_t size);

/**
 * Replaces the message by a JSON text.
 *
 * Only inside the middleware. `json` is UTF-8 and is copied. NULL, and what is not JSON:
 * `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
 */
CASTER_API caster_status_t caster_message_set_json(caster_message_t *message, const char *json);

/* Casters ----------------------------------------------------------------------------------- */

/**
 * A callback for events of a caster. All that is said about `caster_node_event_fn_t` holds for
 * it too.
 */
typedef void (*caster_event_fn_t)(
    caster_t *caster,
    const caster_event_t *event,
    void *CASTER_NULLABLE user_data);

/**
 * Makes a caster, which is not yet bound and has no middleware. `options` may be NULL for the
 * defaults, is only read, and can be used again.
 *
 * Any thread, callbacks included. The caller owns `*caster` and frees it with `caster_free`.
 * NULL for `caster`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options
 * do not go together, `CASTER_ERR_UNKNOWN_OPTION` if one is set that only nodes have,
 * `CASTER_ERR_IO` if the system has no random numbers.
 */
CASTER_API caster_status_t caster_new(
    const caster_options_t *CASTER_NULLABLE options,
    caster_t **caster);

/**
 * Frees a caster; one that is bound is closed first. All that is said about `caster_node_free`
 * holds for it too.
 */
CASTER_API void caster_free(caster_t *CASTER_NULLABLE caster);

/**
 * Adds the middleware json: JSON messages go out as JSON text in ASCII, and received JSON text
 * becomes a JSON message. Without it a caster sends and receives bytes.
 *
 * The middleware that was added first is next to the program, the last one next to the wire;
 * the order of caster 0.1.1 is json, hash, crypto. Messages that are on their way keep the
 * pipeline that they started with.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_MIDDLEWARE`
 * if the caster has it already.
 */
CASTER_API caster_status_t caster_use_json(caster_t *caster);

/**
 * Adds the middleware json; what it sends is UTF-8, as in caster 0.1.1, instead of ASCII with
 * escapes. Peers of the other digest era reject what is not ASCII.
 *
 * As `caster_use_json`.
 */
CASTER_API caster_status_t caster_use_json_utf8(caster_t *caster);

/**
 * Adds the middleware hash: a digest of a shared secret and the message goes in front of every
 * message; a received datagram with another digest is dropped and counted. It separates groups; it
 * is not security. NULL or an empty string for `secret` is the well-known one of caster 0.1.1, for
 * `algorithm` it is `sha1`.
 *
 * Any thread, callbacks included. Strings are UTF-8 and are copied. NULL for `caster`:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if there is no such algorithm;
 * `CASTER_ERR_MIDDLEWARE` if the caster has the middleware already.
 */
CASTER_API caster_status_t caster_use_hash(
    caster_t *caster,
    const char *CASTER_NULLABLE secret,
    const char *CASTER_NULLABLE algorithm);

/**
 * Adds the middleware hash with a secret of `size` bytes of any value, and an era: how bytes
 * from 0x80 on enter the digest of what is sent. It is `"auto"`, `"binary"` (as in Node.js 0.8 to
 * 5) or `"utf8"` (as in newer ones); NULL or an empty string is `"auto"`, as the first peer that
 * is heard. Both are understood.
 *
 * As `caster_use_hash`; `secret` may be NULL if `size` is 0, which is the well-known one.
 */
CASTER_API caster_status_t caster_use_hash_bytes(
    caster_t *caster,
    const uint8_t *CASTER_NULLABLE secret,
    size_t size,
    const char *CASTER_NULLABLE algorithm,
    const char *CASTER_NULLABLE era);

/**
 * Adds the middleware crypto: messages are encrypted as in caster 0.1.1, which is not
 * security; a datagram that does not decrypt is dropped and counted. NULL or an empty string for `key` is
 * the well-known one of caster 0.1.1, for `algorithm` it is `aes256`.
 *
 * As `caster_use_hash`.
 */
CASTER_API caster_status_t caster_use_crypto(
    caster_t *caster,
    const char *CASTER_NULLABLE key,
    const char *CASTER_NULLABLE algorithm);

/**
 * Adds the middleware crypto with a key of `size` bytes of any value.
 *
 * As `caster_use_hash`; `key` may be NULL if `size` is 0, which is the well-known one.
 */
CASTER_API caster_status_t caster_use_crypto_bytes(
    caster_t *caster,
    const uint8_t *CASTER_NULLABLE key,
    size_t size,
    const char *CASTER_NULLABLE algorithm);

/**
 * Removes all middleware, so that others can be added.
 *
 * Any thread, callbacks included. Messages that are on their way keep the pipeline that they
 * started with. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_clear_middleware(caster_t *caster);

/**
 * The names of the middleware, from the program to the wire, as a JSON array.
 *
 * Any thread, callbacks included. The caller owns `*json` and frees it with
 * `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_middleware_json(const caster_t *caster, char **json);

/**
 * Adds a middleware of the program, next to the wire. `tx` changes messages on their way out,
 * `rx` on their way in; one of them may be NULL. `name` must be unique within the caster.
 *
 * Any thread, callbacks included. `name` is copied. `drop` says when `user_data` is no longer
 * used: when the caster was freed and no message is on its way any more, or when this failed.
 * NULL for `caster` or `name`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_MIDDLEWARE` if the
 * name is empty or already used, or both functions are NULL.
 */
CASTER_API caster_status_t caster_use(
    caster_t *caster,
    const char *name,
    caster_middleware_fn_t CASTER_NULLABLE tx,
    caster_middleware_fn_t CASTER_NULLABLE rx,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Opens the socket, joins the group and starts the thread that receives.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 * `CASTER_ERR_ALREADY_BOUND`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the caster is as
 * before.
 */
CASTER_API caster_status_t caster_bind(caster_t *caster);

/**
 * Closes the socket and ends the thread that receives. The caster can be bound again. Events
 * that wait can still be taken; a `caster_poll` that waits returns.
 *
 * Any thread, callbacks included, but not in a middleware of the caster. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_BOUND` if it is not bound.
 */
CASTER_API caster_status_t caster_close(caster_t *caster);

/**
 * 1 if the caster is bound, else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_is_bound(const caster_t *CASTER_NULLABLE caster);

/**
 * The multicast group, as in `"224.0.0.42"`.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `caster`. NULL for
 * NULL.
 */
CASTER_API const char *CASTER_NULLABLE caster_multicast(const caster_t *CASTER_NULLABLE caster);

/**
 * The local address given in the options, as in `"0.0.0.0"`, which stands for all interfaces.
 *
 * As `caster_multicast`.
 */
CASTER_API const char *CASTER_NULLABLE caster_address(const caster_t *CASTER_NULLABLE caster);

/**
 * The UDP port.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_port(const caster_t *CASTER_NULLABLE caster);

/**
 * 1 if programs on this host receive the datagrams of this caster, else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_loopback(const caster_t *CASTER_NULLABLE caster);

/**
 * How many routers a datagram may cross, plus one.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_ttl(const caster_t *CASTER_NULLABLE caster);

/**
 * Sends `size` bytes. `*bytes` becomes the size of the datagram on the wire. The call
 * returns after the system has taken the datagram; it waits for no peer.
 *
 * Any thread, callbacks included. `data` is copied and may be NULL if `size` is 0; `bytes` may
 * be NULL; any other NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_BOUND`,
 * `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
 * refused: nothing was sent.
 */
CASTER_API caster_status_t caster_send(
    caster_t *caster,
    const uint8_t *CASTER_NULLABLE data,
    size_t size,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends one JSON text; the caster needs the middleware json.
 *
 * As `caster_send`; `CASTER_ERR_INVALID_ARGUMENT` also for what is not JSON.
 */
CASTER_API caster_status_t caster_send_json(
    caster_t *caster,
    const char *json,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends `count` messages of bytes, with as few calls of the system as it allows: several times
 * the rate of `caster_send`. On the wire they are single datagrams, in this order. `data[i]` has
 * `sizes[i]` bytes. `*bytes` becomes the size of all datagrams on the wire.
 *
 * As `caster_send`; `data` and `sizes` may be NULL if `count` is 0. `caster_last_error` names the
 * message that is wrong by its place, counted from 0. After `CASTER_ERR_IO` some may have been
 * sent, after any other error none was.
 */
CASTER_API caster_status_t caster_send_batch(
    caster_t *caster,
    const uint8_t *const *CASTER_NULLABLE data,
    const size_t *CASTER_NULLABLE sizes,
    size_t count,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends `count` JSON texts, as `caster_send_batch` sends bytes; the caster needs the middleware
 * json.
 *
 * As `caster_send_batch`; `CASTER_ERR_INVALID_ARGUMENT` also for what is not JSON.
 */
CASTER_API caster_status_t caster_send_batch_json(
    caster_t *caster,
    const char *const *CASTER_NULLABLE jsons,
    size_t count,
    size_t *CASTER_NULLABLE bytes);

/**
 * Sends a text, which arrives as a JSON string; the caster needs the middleware json.
 *
 * As `caster_send`; `text` is UTF-8.
 */
CASTER_API caster_status_t caster_send_text(
    caster_t *caster,
    const char *text,
    size_t *CASTER_NULLABLE bytes);

/**
 * Copies the counters of the caster into `*stats`.
 *
 * As `caster_node_stats`. Counters of nodes only are 0.
 */
CASTER_API caster_status_t caster_stats(const caster_t *caster, caster_stats_t *stats);

/**
 * The counters of the caster, as `caster_node_stats_json` gives them.
 *
 * As `caster_node_stats_json`.
 */
CASTER_API caster_status_t caster_stats_json(const caster_t *caster, char **json);

/**
 * Takes the next event.
 *
 * As `caster_node_poll`, with `CASTER_ERR_NOT_BOUND` if the caster is closed.
 */
CASTER_API caster_status_t caster_poll(caster_t *caster, int timeout_ms, caster_event_t **event);

/**
 * Takes up to `capacity` events with one call.
 *
 * As `caster_node_poll_batch`, with `CASTER_ERR_NOT_BOUND` if the caster is closed. The caller
 * owns each of the events and frees it with `caster_event_free`.
 */
CASTER_API caster_status_t caster_poll_batch(
    caster_t *caster,
    int timeout_ms,
    caster_event_t **events,
    size_t capacity,
    size_t *count);

/**
 * A file descriptor that is readable while events wait.
 *
 * As `caster_node_fd`.
 */
CASTER_API caster_status_t caster_fd(caster_t *caster, int *fd);

/**
 * Sets the callback for `CASTER_EVENT_MESSAGE`: a message came.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_on_message(
    caster_t *caster,
    caster_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_ERROR`: an error that an operator can resolve.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_on_error(
    caster_t *caster,
    caster_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Sets the callback for `CASTER_EVENT_REJECT`: a middleware rejected a datagram. Such events
 * are made while there is a callback.
 *
 * As `caster_node_on_up`.
 */
CASTER_API caster_status_t caster_on_reject(
    caster_t *caster,
    caster_event_fn_t CASTER_NULLABLE callback,
    void *CASTER_NULLABLE user_data,
    caster_drop_fn_t CASTER_NULLABLE drop);

/**
 * Asks for events of type `CASTER_EVENT_REJECT` (`watch` is not 0), or no longer (0). For
 * programs that poll; a callback asks by itself.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_watch_rejects(caster_t *caster, int watch);

/* Virtual networks -------------------------------------------------------------------------- */

/**
 * A network without nodes. `seed` is for everything random: loss, delay, and when nodes answer
 * each other. The same seed and the same calls give the same events.
 *
 * Any thread, callbacks included. The caller owns the result and frees it with
 * `caster_network_free`. NULL only after a fault inside Caster.
 */
CASTER_API caster_network_t *CASTER_NULLABLE caster_network_new(uint64_t seed);

/**
 * Frees a network. Nodes and casters on it stay usable and connected.
 *
 * Any thread, callbacks included, during calls of other threads on it, too. A second call does nothing, and
 * `caster_last_error` tells it. NULL: nothing happens.
 */
CASTER_API void caster_network_free(caster_network_t *CASTER_NULLABLE network);

/**
 * Makes a node on the network, which is not yet up. The options `address`, `interfaces`,
 * `multicast6`, `ttl` and `range` have no effect; seeds are addresses.
 *
 * As `caster_node_new`; NULL for `network`: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_network_node(
    caster_network_t *network,
    const caster_options_t *CASTER_NULLABLE options,
    caster_node_t **node);

/**
 * Makes a caster on the network, which is not yet bound. The options `address`, `interfaces`,
 * `multicast6`, `ttl` and `range` have no effect.
 *
 * As `caster_new`; NULL for `network`: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_network_caster(
    caster_network_t *network,
    const caster_options_t *CASTER_NULLABLE options,
    caster_t **caster);

/**
 * Lets `ms` milliseconds pass: everything that falls into them happens, in order, on this
 * thread. Events wait in their queues.
 *
 * Any thread, callbacks included, but not in a middleware. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_network_advance(caster_network_t *network, uint64_t ms);

/**
 * The clock of the network: how many milliseconds have passed since it was made.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_network_now_ms(const caster_network_t *CASTER_NULLABLE network);

/**
 * Sets which share of the datagrams is lost, from 0 to 1, drawn for each receiver by itself. At
 * first 0.
 *
 * Any thread, callbacks included. NULL, and what is not from 0 to 1:
 * `CASTER_ERR_INVALID_ARGUMENT`; it stays as it was.
 */
CASTER_API caster_status_t caster_network_set_loss(caster_network_t *network, double share);

/**
 * Sets which share of the datagrams arrives twice, from 0 to 1. At first 0.
 *
 * As `caster_network_set_loss`.
 */
CASTER_API caster_status_t caster_network_set_duplicates(caster_network_t *network, double share);

/**
 * Sets by how many milliseconds datagrams are late at the most, in addition to 0.1 ms; with it
 * they overtake each other. At first 0.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_network_set_delay(caster_network_t *network, uint64_t most_ms);

/**
 * Cuts the node with this id off: what it sends is lost, and it receives nothing. To free it
 * afterwards is a crash, as the others see it.
 *
 * Any thread, callbacks included. `id` is only read. NULL, and an id of which no node was made
 * on this network: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API caster_status_t caster_network_unplug(caster_network_t *network, const char *id);

/**
 * Connects the node with this id again.
 *
 * As `caster_network_unplug`.
 */
CASTER_API caster_status_t caster_network_plug(caster_network_t *network, const char *id);

#ifdef __cplusplus
} /* extern "C" */
#endif

#if defined(__clang__) && !defined(CASTER_NO_NULLABILITY)
#pragma clang assume_nonnull end
#pragma clang diagnostic pop
#endif

#endif  /* CASTER_H */
