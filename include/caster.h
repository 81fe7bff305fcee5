/*
 * caster.h: LAN discovery without a server.
 *
 * A node (caster_node_t) says with a heartbeat that it is there, follows the heartbeats of
 * others, and tells with events who came, changed and left, and what they said. Below it is a
 * multicast socket with a pipeline of middleware (caster_t), for programs that want only that.
 *
 * Everything here is made with a function whose name has `new` in it, used through a pointer to
 * an object of which only the library knows what is inside, and freed with the function whose
 * name has `free` in it. One thread of the library for all nodes of one network receives and
 * keeps time. Sending happens on the thread that sends.
 *
 * Events come in one of two ways; the first call decides which one it is for a node or caster:
 *
 *   - callbacks: caster_node_on_up and its like, called on another thread of the library, so
 *     that a slow callback stops no heartbeat;
 *   - polling: caster_node_poll on a thread of the program, if wanted beside a descriptor for
 *     poll, epoll or an event loop, from caster_node_fd.
 *
 * Events wait in a bounded queue, in the order in which they happened. If the program is too
 * slow, the newest messages are dropped, counted, and reported by an event of type error. up,
 * update and down are never lost: those of one node are merged.
 *
 * What holds for every function, unless it says otherwise:
 *
 *   - Strings are UTF-8 and end with a NUL. What the library is given it copies.
 *   - It may be called on any thread, on several at once, and inside callbacks.
 *   - An object must not be freed while another thread is in a call on it.
 *   - NULL where it must not be is an error, never a crash.
 *   - Outputs are written only when CASTER_OK is returned.
 *   - Nothing is thrown, and a fault inside the library is CASTER_ERR_INTERNAL.
 *   - After fork, the child must not use the objects of its parent, not even free them.
 */

#ifndef CASTER_H
#define CASTER_H

#include <stddef.h>
#include <stdint.h>

/** Marks everything that the library exports. */
#ifndef CASTER_API
#define CASTER_API
#endif

/** The version of this header; `caster_version` has that of the library. */
#define CASTER_VERSION "0.2.0"
#define CASTER_VERSION_MAJOR 0
#define CASTER_VERSION_MINOR 2
#define CASTER_VERSION_PATCH 0
/** 10000 * major + 100 * minor + patch. */
#define CASTER_VERSION_NUMBER 200

/** It went well. */
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
/** The port is held by somebody who does not share it. */
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


/**
 * A node was discovered. It has a peer.
 */
#define CASTER_EVENT_UP 1

/**
 * A node changed its metadata or its address. It has a peer, as it is now, and tells what
 * changed.
 */
#define CASTER_EVENT_UPDATE 2

/**
 * A node is gone. It has a peer, as it was last known, and a reason.
 */
#define CASTER_EVENT_DOWN 3

/**
 * A message came. On a node it has a peer and JSON; on a caster it has a remote and JSON or
 * bytes.
 */
#define CASTER_EVENT_MESSAGE 4

/**
 * Something that an operator can mend went wrong, or messages were lost because the program
 * took its events too slowly. The node or caster goes on. It has a status and a text.
 */
#define CASTER_EVENT_ERROR 5

/**
 * Two nodes have the same id, which may be that of this node. It has the id and an address. At
 * most once a minute for each id.
 */
#define CASTER_EVENT_CONFLICT 6

/**
 * This node hears nobody any more, or not even itself. It takes itself for cut off from the
 * network and holds back its verdicts: nodes that it no longer hears stay up for a while.
 */
#define CASTER_EVENT_ISOLATED 7

/**
 * This node hears others again.
 */
#define CASTER_EVENT_REJOINED 8

/**
 * Somebody on this port cannot be understood, as one with another secret. It has a text. It is no
 * error: other groups may share a port. Once in ten minutes for each address.
 */
#define CASTER_EVENT_HINT 9

/**
 * A flag of `caster_event_changed`: the metadata.
 */
#define CASTER_CHANGED_META 1

/**
 * A flag of `caster_event_changed`: the address.
 */
#define CASTER_CHANGED_ADDRESS 2

/**
 * Why a node is down: it said goodbye.
 */
#define CASTER_REASON_GOODBYE 1

/**
 * Why a node is down: it was silent for too long, and nobody else had heard it either.
 */
#define CASTER_REASON_TIMEOUT 2

/**
 * Why a node is down: it has started anew. An event of type up follows at once.
 */
#define CASTER_REASON_RESTART 3

/**
 * The layer below nodes: a multicast socket with a pipeline of middleware.
 *
 * Any thread, several at once. The program owns it.
 */
typedef struct caster_t caster_t;

/**
 * Something that happened. It does not change. What it has depends on its type; an accessor for
 * something that it does not have gives NULL or 0.
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
 * A node: says that it is there, knows who else is, and talks with them.
 *
 * Any thread, several at once. The program owns it.
 */
typedef struct caster_node_t caster_node_t;

/**
 * The nodes that were up at one moment. It does not change.
 *
 * Any thread, several at once.
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
 * What was known about another node at one moment. It does not change.
 *
 * Any thread, several at once.
 */
typedef struct caster_peer_t caster_peer_t;

/**
 * What a function returns: `CASTER_OK`, which is 0, or one of the negative `CASTER_ERR_*`.
 * Numbers are never reused and never change. A program should expect new ones.
 */
typedef int caster_status_t;

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
typedef void (*caster_node_event_fn_t)(caster_node_t *node,
                                       const caster_event_t *event,
                                       void *user_data);

/**
 * A function that says that `user_data` is no longer used and may be freed. It runs exactly
 * once for each registration, after the last call that gets this `user_data`, also when the
 * registration failed. It runs on whichever thread was last to use the registration, and never
 * under a lock of the library. NULL: nothing is to be freed.
 */
typedef void (*caster_drop_fn_t)(void *user_data);

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
typedef int (*caster_middleware_fn_t)(caster_message_t *message, void *user_data);

/**
 * A callback for events of a caster. All that is said about `caster_node_event_fn_t` holds for
 * it too.
 */
typedef void (*caster_event_fn_t)(caster_t *caster, const caster_event_t *event, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* Version -------------------------------------------------------------------------------- */

/**
 * The version of the library that the program runs with, as in `"0.2.0"`; that of the header it
 * was compiled with is `CASTER_VERSION`.
 *
 * Any thread, callbacks included. The string lives for ever. Never NULL.
 */
CASTER_API const char *caster_version(void);

/**
 * The version of the library as a number that can be compared: 10000 times the major number,
 * plus 100 times the minor one, plus the patch number; compare with `CASTER_VERSION_NUMBER`.
 *
 * Any thread, callbacks included.
 */
CASTER_API int caster_version_number(void);

/* Errors --------------------------------------------------------------------------------- */

/**
 * The name of a status, as in `"NOT_UP"`; `"OK"` for 0 and `"UNKNOWN"` for a number that is
 * none.
 *
 * Any thread, callbacks included. The string lives for ever. Never NULL.
 */
CASTER_API const char *caster_status_name(caster_status_t status);

/**
 * What a status means, in one English sentence. `caster_last_error` says what went wrong in
 * this very case.
 *
 * Any thread, callbacks included. The string lives for ever. Never NULL.
 */
CASTER_API const char *caster_status_text(caster_status_t status);

/**
 * What went wrong in the last call on this thread that failed, in English: names what was given
 * and what is accepted. An empty string if nothing has failed yet. A call that goes well leaves
 * it as it is. At most 1023 bytes of UTF-8.
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
 * Frees a string that the library gave away, which only functions with a `char **` do.
 *
 * Any thread, callbacks included. Once for each string. NULL: nothing happens.
 */
CASTER_API void caster_string_free(char *string);

/* Options -------------------------------------------------------------------------------- */

/**
 * Options for a node, with nothing set.
 *
 * Any thread, callbacks included. The caller owns the result and frees it with
 * `caster_options_free`. NULL only after a fault inside Caster.
 */
CASTER_API caster_options_t *caster_options_new_node(void);

/**
 * Options for a caster, with nothing set. A caster has fewer of them than a node.
 *
 * Any thread, callbacks included. The caller owns the result and frees it with
 * `caster_options_free`. NULL only after a fault inside Caster.
 */
CASTER_API caster_options_t *caster_options_new_caster(void);

/**
 * Frees options. Nodes and casters that were made with them keep what they need.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_options_free(caster_options_t *options);

/**
 * Sets an option that is text: `hashSecret`, `multicast`, `id` and so on. Use
 * `caster_options_set_bytes` for a key that is bytes.
 *
 * One thread at a time, callbacks included. `value` is UTF-8 and is copied. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if the value is not accepted,
 * `CASTER_ERR_UNKNOWN_OPTION` if there is no such option; the options are unchanged then, and
 * `caster_last_error` names the nearest one that there is.
 */
CASTER_API
caster_status_t caster_options_set_string(caster_options_t *options,
                                          const char *name,
                                          const char *value);

/**
 * Sets an option that is a whole number: `port`, `heartbeat` and so on.
 *
 * As `caster_options_set_string`.
 */
CASTER_API
caster_status_t caster_options_set_int(caster_options_t *options,
                                       const char *name,
                                       int64_t value);

/**
 * Sets an option that is true (`value` is not 0) or false (0): `loopback`, `expose` and so on.
 *
 * As `caster_options_set_string`.
 */
CASTER_API
caster_status_t caster_options_set_bool(caster_options_t *options,
                                        const char *name,
                                        int value);

/**
 * Sets any option from a JSON text; this is how `meta` is set. `null` puts an option back to
 * its default.
 *
 * As `caster_options_set_string`.
 */
CASTER_API
caster_status_t caster_options_set_json(caster_options_t *options,
                                        const char *name,
                                        const char *json);

/**
 * Sets `hashSecret` or `cryptoKey` from `size` bytes of any value.
 *
 * As `caster_options_set_string`; `data` may be NULL if `size` is 0.
 */
CASTER_API
caster_status_t caster_options_set_bytes(caster_options_t *options,
                                         const char *name,
                                         const uint8_t *data,
                                         size_t size);

/**
 * Sets options from a JSON object, as in `{"port": 10102, "meta": {"type": "http"}}`. What is
 * not in it stays as it is.
 *
 * As `caster_options_set_string`, but on an error options that were before the bad one in
 * alphabetical order are set.
 */
CASTER_API caster_status_t caster_options_merge_json(caster_options_t *options, const char *object);

/* Other nodes ---------------------------------------------------------------------------- */

/**
 * The id of the node. A NUL that an id may have in it reads as U+FFFD; `caster_peer_id_json` is
 * exact.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `peer`. NULL for
 * NULL.
 */
CASTER_API const char *caster_peer_id(const caster_peer_t *peer);

/**
 * The id of the node as a JSON string in ASCII, quotes included. Each id has one form, so that
 * two of them can be compared with `strcmp`.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *caster_peer_id_json(const caster_peer_t *peer);

/**
 * The IP address from which the node's last datagram came, as in `"192.168.1.7"`.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *caster_peer_address(const caster_peer_t *peer);

/**
 * The metadata of the node as a JSON text, or NULL if it never sent any. A node without
 * metadata sends `null`.
 *
 * As `caster_peer_id`.
 */
CASTER_API const char *caster_peer_meta_json(const caster_peer_t *peer);

/**
 * When the node was first heard: milliseconds since 1970 by the wall clock.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_peer_first_seen_ms(const caster_peer_t *peer);

/**
 * When the node was last heard: milliseconds since 1970 by the wall clock.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API uint64_t caster_peer_last_seen_ms(const caster_peer_t *peer);

/**
 * 1 if the node has been silent for too long and is being asked whether it is still there, else
 * 0. It is still among the nodes that are up, and soon down if nobody hears it.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_peer_is_suspect(const caster_peer_t *peer);

/**
 * How much of what the node sends is lost on the way: the part of its last heartbeats that did
 * not arrive, from 0 to 1. It is an estimate that follows the last few dozen, and 0 for nodes
 * that do not number their heartbeats, as those of caster 0.1.1.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API double caster_peer_loss(const caster_peer_t *peer);

/**
 * A copy of `peer`, to be kept for longer than the event or snapshot that it is part of.
 *
 * Any thread, callbacks included. The caller owns the copy and frees it with
 * `caster_peer_free`. NULL for NULL.
 */
CASTER_API caster_peer_t *caster_peer_dup(const caster_peer_t *peer);

/**
 * Frees a peer that the program owns: one from `caster_peer_dup` or `caster_node_find`. Those
 * that are part of an event or a snapshot go with it.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_peer_free(caster_peer_t *peer);

/**
 * How many nodes the snapshot has.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API size_t caster_nodes_count(const caster_nodes_t *nodes);

/**
 * One of the nodes of the snapshot, by its index from 0. The order means nothing.
 *
 * Any thread, callbacks included. The peer is borrowed: it lives as long as `nodes`. NULL for
 * NULL and for an index that is too large.
 */
CASTER_API const caster_peer_t *caster_nodes_get(const caster_nodes_t *nodes, size_t index);

/**
 * Frees a snapshot, with the peers in it.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_nodes_free(caster_nodes_t *nodes);

/* Events --------------------------------------------------------------------------------- */

/**
 * What happened: one of `CASTER_EVENT_*`. A program should pass over types that it does not
 * know.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_event_type(const caster_event_t *event);

/**
 * The type as a word: `"up"`, `"update"`, `"down"`, `"message"`, `"error"`, `"conflict"`,
 * `"isolated"`, `"rejoined"` or `"hint"`.
 *
 * Any thread, callbacks included. The string lives for ever. NULL for NULL.
 */
CASTER_API const char *caster_event_name(const caster_event_t *event);

/**
 * The node that the event is about: of `up`, `update`, `down` and, on a node, `message`.
 *
 * Any thread, callbacks included. The peer is borrowed: it lives as long as `event`;
 * `caster_peer_dup` copies it. NULL for NULL and if there is none.
 */
CASTER_API const caster_peer_t *caster_event_peer(const caster_event_t *event);

/**
 * The message as a JSON text, if it is JSON.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if there is no JSON.
 */
CASTER_API const char *caster_event_message_json(const caster_event_t *event);

/**
 * The message as bytes: `caster_event_message_size` of them, and a 0 behind them. JSON is UTF-8.
 *
 * Any thread, callbacks included. The bytes are borrowed: they live as long as `event`. NULL
 * for NULL and if there is no message.
 */
CASTER_API const uint8_t *caster_event_message_data(const caster_event_t *event);

/**
 * The size of the message in bytes.
 *
 * Any thread, callbacks included. 0 for NULL and if there is no message.
 */
CASTER_API size_t caster_event_message_size(const caster_event_t *event);

/**
 * What an update changed: `CASTER_CHANGED_*`, added up.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no update.
 */
CASTER_API int caster_event_changed(const caster_event_t *event);

/**
 * Why the node is down: one of `CASTER_REASON_*`.
 *
 * Any thread, callbacks included. 0 for NULL and if nothing is down.
 */
CASTER_API int caster_event_reason(const caster_event_t *event);

/**
 * Why the node is down, as a word: `"goodbye"`, `"timeout"` or `"restart"`.
 *
 * Any thread, callbacks included. The string lives for ever. NULL for NULL and if nothing is
 * down.
 */
CASTER_API const char *caster_event_reason_name(const caster_event_t *event);

/**
 * The id that two nodes have. A NUL that an id may have in it reads as U+FFFD;
 * `caster_event_conflict_id_json` is exact.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no conflict.
 */
CASTER_API const char *caster_event_conflict_id(const caster_event_t *event);

/**
 * The id that two nodes have as a JSON string in ASCII, quotes included, as in
 * `caster_peer_id_json`.
 *
 * As `caster_event_conflict_id`.
 */
CASTER_API const char *caster_event_conflict_id_json(const caster_event_t *event);

/**
 * The IP address of the node that was heard last of the two with the same id; if that is the id
 * of this node, the address of the other one.
 *
 * As `caster_event_conflict_id`.
 */
CASTER_API const char *caster_event_conflict_address(const caster_event_t *event);

/**
 * Who on this port cannot be understood, and what may be the cause, in English.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no hint.
 */
CASTER_API const char *caster_event_hint_text(const caster_event_t *event);

/**
 * The IP address from which a caster's message came, as in `"192.168.1.7"`.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and for all other events; those of a node have a peer.
 */
CASTER_API const char *caster_event_remote_address(const caster_event_t *event);

/**
 * The UDP port from which a caster's message came.
 *
 * Any thread, callbacks included. 0 for NULL and for all other events.
 */
CASTER_API int caster_event_remote_port(const caster_event_t *event);

/**
 * The size of a caster's message on the wire, in bytes.
 *
 * Any thread, callbacks included. 0 for NULL and for all other events.
 */
CASTER_API size_t caster_event_remote_size(const caster_event_t *event);

/**
 * What kind of error it is: one of `CASTER_ERR_*`.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no error.
 */
CASTER_API caster_status_t caster_event_error_status(const caster_event_t *event);

/**
 * What went wrong, in English.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
 * NULL and if it is no error.
 */
CASTER_API const char *caster_event_error_text(const caster_event_t *event);

/**
 * The operating system's number (`errno`) of the error, or 0 if it was not the system that
 * refused.
 *
 * Any thread, callbacks included. 0 for NULL and if it is no error.
 */
CASTER_API int caster_event_error_os(const caster_event_t *event);

/**
 * A copy of `event`, to be kept for longer than the callback that got it.
 *
 * Any thread, callbacks included. The caller owns the copy and frees it with
 * `caster_event_free`. NULL for NULL.
 */
CASTER_API caster_event_t *caster_event_dup(const caster_event_t *event);

/**
 * Frees an event that the program owns: one from `caster_node_poll`, `caster_poll` or
 * `caster_event_dup`. Never one that a callback got.
 *
 * Any thread, callbacks included. Once for each object. NULL: nothing happens.
 */
CASTER_API void caster_event_free(caster_event_t *event);

/* Nodes ---------------------------------------------------------------------------------- */

/**
 * Makes a node, which is not yet up. `options` may be NULL for the defaults, is only read, and
 * can be used again.
 *
 * Any thread, callbacks included. The caller owns `*node` and frees it with `caster_node_free`.
 * NULL for `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options do
 * not go together.
 */
CASTER_API caster_status_t caster_node_new(const caster_options_t *options, caster_node_t **node);

/**
 * Frees a node; one that is up goes down first, as in `caster_node_down`. When it returns, no
 * callback of the node runs any more and all drop hooks have run. In a callback (of any node or
 * caster) the node goes down at once, but callback threads do not wait for one another: the rest
 * happens when the node's own callback, if one runs, has returned, and after that none comes.
 *
 * Any thread, callbacks included, but not in a middleware of the node. Once for each node, and
 * no other thread may be in a call on it or make one later; a callback of the node that still
 * runs may. NULL: nothing happens.
 */
CASTER_API void caster_node_free(caster_node_t *node);

/**
 * Opens the socket, joins the group, starts the thread that receives and announces the node.
 *
 * Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 * `CASTER_ERR_ALREADY_UP`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the node is as
 * before.
 */
CASTER_API caster_status_t caster_node_up(caster_node_t *node);

/**
 * Says goodbye, closes the socket and ends the thread that receives. The node can go up again.
 * Events that wait can still be taken; a `caster_node_poll` that waits returns. It may take some
 * milliseconds: the goodbye is repeated, in case one is lost.
 *
 * Any thread, callbacks included, but not in a middleware of the node. NULL:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP` if it is not up. Every other error says
 * that the goodbye could not be sent; the node is down all the same.
 */
CASTER_API caster_status_t caster_node_down(caster_node_t *node);

/**
 * 1 if the node is up, else 0.
 *
 * Any thread, callbacks included. 0 for NULL.
 */
CASTER_API int caster_node_is_up(const caster_node_t *node);

/**
 * The id of the node.
 *
 * Any thread, callbacks included. The string is borrowed: it lives as long as `node`. NULL for
 * NULL.
 */
CASTER_API const char *caster_node_id(const caster_node_t *node);

/**
 * Sends one JSON text to all other nodes. `*bytes` becomes the size of the datagram on the
 * wire. It is sent when this returns; it does not wait for anybody.
 *
 * Any thread, callbacks included. `json` is UTF-8 and is copied. `bytes` may be NULL; any other
 * NULL, and what is not JSON: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP`,
 * `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
 * refused: nothing was sent.
 */
CASTER_API
caster_status_t caster_node_send_json(caster_node_t *node,
                                      const char *json,
                                      size_t *bytes);

/**
 * Sends a text to all other nodes. They get it as a JSON string.
 *
 * As `caster_node_send_json`.
 */
CASTER_API
caster_status_t caster_node_send_text(caster_node_t *node,
                                      const char *text,
                                      size_t *bytes);

/**
 * Replaces the metadata by a JSON text. If the node is up, the others hear of it at once.
 *
 * Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, and what is not JSON:
 * `CASTER_ERR_INVALID_ARGUMENT`; the metadata stays as it is.
 */
CASTER_API caster_status_t caster_node_set_meta_json(caster_node_t *node, const char *json);

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
 * Looks up one node by its id. `*peer` becomes NULL if no such node is up, which is no error.
 *
 * Any thread, callbacks included. The caller owns `*peer` and frees it with `caster_peer_free`.
 * NULL: `CASTER_ERR_INVALID_ARGUMENT`.
 */
CASTER_API
caster_status_t caster_node_find(const caster_node_t *node,
                                 const char *id,
                                 caster_peer_t **peer);

/**
 * The counters of the node as a JSON object: `received`, `accepted`, `dropped` (an object by
 * reason), `sent`, `sendErrors`, `eventsLost`, `errorsSuppressed`, `nodes`, `suspects`,
 * `probesSent`, `vouchesSent`, `answersMerged` and `foreign` (an object by address: datagrams
 * that could not be understood). Every datagram received is accepted or dropped.
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
CASTER_API
caster_status_t caster_node_poll(caster_node_t *node,
                                 int timeout_ms,
                                 caster_event_t **event);

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
CASTER_API
caster_status_t caster_node_on_up(caster_node_t *node,
                                  caster_node_event_fn_t callback,
                                  void *user_data,
                                  caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_UPDATE`: a node changed its metadata or its address.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_update(caster_node_t *node,
                                      caster_node_event_fn_t callback,
                                      void *user_data,
                                      caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_DOWN`: a node is gone.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_down(caster_node_t *node,
                                    caster_node_event_fn_t callback,
                                    void *user_data,
                                    caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_MESSAGE`: a node sent a message.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_message(caster_node_t *node,
                                       caster_node_event_fn_t callback,
                                       void *user_data,
                                       caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_ERROR`: something that an operator can mend went wrong.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_error(caster_node_t *node,
                                     caster_node_event_fn_t callback,
                                     void *user_data,
                                     caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_CONFLICT`: two nodes have the same id.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_conflict(caster_node_t *node,
                                        caster_node_event_fn_t callback,
                                        void *user_data,
                                        caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_ISOLATED`: this node takes itself for cut off.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_isolated(caster_node_t *node,
                                        caster_node_event_fn_t callback,
                                        void *user_data,
                                        caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_REJOINED`: this node hears others again.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_rejoined(caster_node_t *node,
                                        caster_node_event_fn_t callback,
                                        void *user_data,
                                        caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_HINT`: somebody on this port cannot be understood.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_node_on_hint(caster_node_t *node,
                                    caster_node_event_fn_t callback,
                                    void *user_data,
                                    caster_drop_fn_t drop);

/**
 * Adds a middleware of the program to the node, next to the wire: behind json, hash and crypto,
 * so that it gets bytes. All nodes of a group need the same. `caster_use` tells the rest.
 *
 * As `caster_use`.
 */
CASTER_API
caster_status_t caster_node_use(caster_node_t *node,
                                const char *name,
                                caster_middleware_fn_t tx,
                                caster_middleware_fn_t rx,
                                void *user_data,
                                caster_drop_fn_t drop);

/* Messages in a middleware --------------------------------------------------------------- */

/**
 * The bytes of the message: `caster_message_size` of them, with nothing behind them. JSON is
 * UTF-8.
 *
 * Only inside the middleware. The bytes are borrowed: they live until the message is set or the
 * middleware returns. NULL for NULL.
 */
CASTER_API const uint8_t *caster_message_data(const caster_message_t *message);

/**
 * The size of the message in bytes.
 *
 * Only inside the middleware. 0 for NULL.
 */
CASTER_API size_t caster_message_size(const caster_message_t *message);

/**
 * 1 if the message is a JSON text, 0 if it is bytes.
 *
 * Only inside the middleware. 0 for NULL.
 */
CASTER_API int caster_message_is_json(const caster_message_t *message);

/**
 * The IP address that an incoming message came from, as in `"192.168.1.7"`.
 *
 * Only inside the middleware. The string is borrowed until the middleware returns. NULL for
 * NULL and for an outgoing message.
 */
CASTER_API const char *caster_message_remote_address(const caster_message_t *message);

/**
 * The UDP port that an incoming message came from.
 *
 * Only inside the middleware. 0 for NULL and for an outgoing message.
 */
CASTER_API int caster_message_remote_port(const caster_message_t *message);

/**
 * Replaces the message by `size` bytes.
 *
 * Only inside the middleware. `data` is copied, may be part of the message itself, and may be
 * NULL if `size` is 0. Any other NULL: `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
 */
CASTER_API
caster_status_t caster_message_set_bytes(caster_message_t *message,
                                         const uint8_t *data,
                                         size_t size);

/**
 * Replaces the message by a JSON text.
 *
 * Only inside the middleware. `json` is UTF-8 and is copied. NULL, and what is not JSON:
 * `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
 */
CASTER_API caster_status_t caster_message_set_json(caster_message_t *message, const char *json);

/* Casters -------------------------------------------------------------------------------- */

/**
 * Makes a caster, which is not yet bound and has no middleware. `options` may be NULL for the
 * defaults, is only read, and can be used again. Options that are for nodes only are not looked
 * at.
 *
 * Any thread, callbacks included. The caller owns `*caster` and frees it with `caster_free`.
 * NULL for `caster`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options
 * do not go together.
 */
CASTER_API caster_status_t caster_new(const caster_options_t *options, caster_t **caster);

/**
 * Frees a caster; one that is bound is closed first. All that is said about `caster_node_free`
 * holds for it too.
 */
CASTER_API void caster_free(caster_t *caster);

/**
 * Adds the middleware json: JSON messages go out as JSON text in ASCII, and what comes in and
 * is JSON is JSON. Without it a caster sends and receives bytes.
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
 * Adds the middleware hash: a digest of a shared secret and the message goes in front of every
 * message; what comes in with another one is dropped and counted. It tells groups apart; it is
 * no security. NULL or an empty string for `secret` is the well-known one of caster 0.1.1, for
 * `algorithm` it is `sha1`.
 *
 * Any thread, callbacks included. Strings are UTF-8 and are copied. NULL for `caster`:
 * `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if there is no such algorithm;
 * `CASTER_ERR_MIDDLEWARE` if the caster has the middleware already.
 */
CASTER_API
caster_status_t caster_use_hash(caster_t *caster,
                                const char *secret,
                                const char *algorithm);

/**
 * Adds the middleware crypto: messages are encrypted the way caster 0.1.1 does it, which is no
 * security; what does not decrypt is dropped and counted. NULL or an empty string for `key` is
 * the well-known one of caster 0.1.1, for `algorithm` it is `aes256`.
 *
 * As `caster_use_hash`.
 */
CASTER_API
caster_status_t caster_use_crypto(caster_t *caster,
                                  const char *key,
                                  const char *algorithm);

/**
 * Adds a middleware of the program, next to the wire. `tx` changes messages on their way out,
 * `rx` on their way in; one of them may be NULL. `name` must be unique within the caster.
 *
 * Any thread, callbacks included. `name` is copied. `drop` says when `user_data` is no longer
 * used: when the caster was freed and no message is on its way any more, or when this failed.
 * NULL for `caster` or `name`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_MIDDLEWARE` if the
 * name is empty or already used, or both functions are NULL.
 */
CASTER_API
caster_status_t caster_use(caster_t *caster,
                           const char *name,
                           caster_middleware_fn_t tx,
                           caster_middleware_fn_t rx,
                           void *user_data,
                           caster_drop_fn_t drop);

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
CASTER_API int caster_is_bound(const caster_t *caster);

/**
 * Sends `size` bytes. `*bytes` becomes the size of the datagram on the wire. It is sent when
 * this returns; it does not wait for anybody.
 *
 * Any thread, callbacks included. `data` is copied and may be NULL if `size` is 0; `bytes` may
 * be NULL; any other NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_BOUND`,
 * `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
 * refused: nothing was sent.
 */
CASTER_API
caster_status_t caster_send(caster_t *caster,
                            const uint8_t *data,
                            size_t size,
                            size_t *bytes);

/**
 * Sends one JSON text; the caster needs the middleware json.
 *
 * As `caster_send`; `CASTER_ERR_INVALID_ARGUMENT` also for what is not JSON.
 */
CASTER_API caster_status_t caster_send_json(caster_t *caster, const char *json, size_t *bytes);

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
CASTER_API
caster_status_t caster_on_message(caster_t *caster,
                                  caster_event_fn_t callback,
                                  void *user_data,
                                  caster_drop_fn_t drop);

/**
 * Sets the callback for `CASTER_EVENT_ERROR`: something that an operator can mend went wrong.
 *
 * As `caster_node_on_up`.
 */
CASTER_API
caster_status_t caster_on_error(caster_t *caster,
                                caster_event_fn_t callback,
                                void *user_data,
                                caster_drop_fn_t drop);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CASTER_H */
