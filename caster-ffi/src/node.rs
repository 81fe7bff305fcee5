//! `caster_node_t`.

use crate::args::{
    self, Texts, free_handle, into_raw, optional_mut, optional_ref, read_pinned, try_handle,
    try_mut, try_optional_text, try_slice, try_slice_mut, try_stats, try_text, try_texts,
};
use crate::callback::{DropFn, UserData};
use crate::dispatch::{self, Delivery};
use crate::event::{self, Event};
use crate::handle::{self, Handle, Operations, forward_to_core, give_text, store};
use crate::middleware::MiddlewareFn;
use crate::options::Options;
use crate::peer::{Nodes, Peer};
use crate::stats::{self, Stats};
use crate::status::{Status, status};
use crate::table::{self, Kind};
use crate::text::c_string;
use caster_core::host::Progress;
use caster_core::middleware::{Json, Stage};
use caster_core::{Error, ErrorCode, JsText, Key, Message, NoEvent, NodeId, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::Duration;

/// A node: announces itself, discovers peers, and exchanges messages with them.
///
/// Any thread, several at once. The program owns it.
pub struct Node {
    core: caster_core::Node,
    id: CString,
    multicast: CString,
    address: CString,
    delivery: Delivery<Node>,
}

impl Node {
    /// A node to be given to the program.
    pub(crate) fn hand_out(core: caster_core::Node) -> Result<*mut Self> {
        let id = c_string(&core.id().as_str());
        let multicast = c_string(&core.multicast().to_string());
        let address = c_string(&core.scoped_address());
        let delivery = Delivery::new(core.event_source());
        table::insert(Self { core, id, multicast, address, delivery })
    }
}

/// @in Nodes
///
/// A callback for events of a node. `node` is the node that it was registered on, `event` is
/// borrowed until the callback returns, `user_data` is what was given at the registration.
///
/// Callbacks of a node run one at a time, in the order of the events, on a thread of the library
/// that belongs to this node. A callback may take its time, which delays nothing but the next
/// callback, and may call every function of the library except `caster_node_poll` on the same
/// node, `caster_node_free` on the same node included. A C++ exception that leaves it ends the
/// process with a message.
pub type NodeEventFn = Option<
    unsafe extern "C-unwind" fn(node: *mut Node, event: *const Event, user_data: *mut c_void),
>;

impl Operations for Node {
    fn send_message(&self, message: Message) -> Result<usize> {
        self.core.send_message(&message)
    }

    fn send_messages(&self, messages: Vec<Message>) -> Result<usize> {
        self.core.send_batch(&messages)
    }

    forward_to_core!();
}

impl Kind for Node {
    const KIND: u64 = 1;
    const NAME: &str = "node";
    const TYPE: &str = "caster_node_t";
}

impl Handle for Node {
    const DATAGRAM: c_int = event::CASTER_EVENT_DATAGRAM;

    fn delivery(&self) -> &Delivery<Self> {
        &self.delivery
    }

    fn next_event(&self, timeout: Option<Duration>) -> Result<caster_core::Event, NoEvent> {
        self.core.next_event(timeout)
    }

    fn closed() -> Error {
        Error::not_up()
    }

    fn watch(&self, kind: c_int, on: bool) {
        match kind {
            event::CASTER_EVENT_REJECT => self.core.watch_rejects(on),
            event::CASTER_EVENT_DATAGRAM => self.core.watch_datagrams(on),
            _ => {}
        }
    }

    fn shut_down(&self) {
        // The handle is being freed: there is no caller for the error.
        let _ = self.core.down();
    }
}

/// @section Nodes
///
/// Makes a node, which is not yet up. `options` may be NULL for the defaults, is only read, and
/// can be used again.
///
/// Any thread, callbacks included. The caller owns `*node` and frees it with `caster_node_free`.
/// NULL for `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options do
/// not go together, `CASTER_ERR_IO` if the system has no random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_new(options: *const Options, node: *mut *mut Node) -> Status {
    status(|| {
        let (options, out) = (optional_ref!(options), try_mut!(node));
        let defaults = caster_core::Options::for_node();
        let core = caster_core::Node::new(options.map_or(&defaults, |options| &options.core))?;
        *out = Node::hand_out(core)?;
        Ok(())
    })
}

/// Frees a node; one that is up goes down first, as in `caster_node_down`. When it returns, no
/// callback of the node runs any more and all drop hooks of callbacks have run. In a callback (of any node or
/// caster) the node goes down at once, but callback threads do not wait for one another: the rest
/// happens when the node's own callback, if one runs, has returned, and after that none comes.
///
/// Any thread, callbacks included, but not in a middleware of the node. Other threads may be in calls on
/// the node: those that wait return, and the last one releases it. Callbacks that still run may call functions on
/// it; any other call is refused from then on. A second call does nothing, and `caster_last_error` tells it. In a
/// forked child it returns at once and frees nothing. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_free(node: *mut Node) {
    free_handle!(node);
}

/// Opens the socket, joins the group, starts the thread that receives and announces the node.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
/// `CASTER_ERR_ALREADY_UP`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the node is as
/// before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_up(node: *mut Node) -> Status {
    status(|| handle::start(node, |node| node.core.up()))
}

/// Leaves the group, closes the socket and ends the thread that receives. The node can go up again.
/// Queued events can still be taken; a `caster_node_poll` that waits returns. The call may take some
/// milliseconds, because the leave message is repeated against loss.
///
/// Any thread, callbacks included, but not in a middleware of the node. NULL:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP` if it is not up. A leave message that cannot
/// be sent, because the network is gone for example, is counted in `sendErrors` and is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_down(node: *mut Node) -> Status {
    status(|| try_handle!(node).core.down())
}

/// 1 if the node is up, else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_is_up(node: *const Node) -> c_int {
    read_pinned!(node, 0, |node| node.core.is_up().into())
}

/// The id of the node.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `node`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_id(node: *const Node) -> *const c_char {
    read_pinned!(node, null(), |node| node.id.as_ptr())
}

/// The multicast group, as in `"224.0.0.42"`.
///
/// As `caster_node_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_multicast(node: *const Node) -> *const c_char {
    read_pinned!(node, null(), |node| node.multicast.as_ptr())
}

/// The local address given in the options, as in `"0.0.0.0"`, which stands for all interfaces.
///
/// As `caster_node_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_address(node: *const Node) -> *const c_char {
    read_pinned!(node, null(), |node| node.address.as_ptr())
}

/// The UDP port.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_port(node: *const Node) -> c_int {
    read_pinned!(node, 0, |node| node.core.port().into())
}

/// 1 if programs on this host receive the datagrams of this node, else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_loopback(node: *const Node) -> c_int {
    read_pinned!(node, 0, |node| node.core.loopback().into())
}

/// How many routers a datagram may cross, plus one.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_ttl(node: *const Node) -> c_int {
    read_pinned!(node, 0, |node| node.core.ttl().into())
}

/// 1 if the node sends heartbeats (the option `expose`), else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_is_exposed(node: *const Node) -> c_int {
    read_pinned!(node, 0, |node| node.core.is_exposed().into())
}

/// The interval of the heartbeats in milliseconds.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_heartbeat_ms(node: *const Node) -> u64 {
    read_pinned!(node, 0, |node| milliseconds(node.core.heartbeat()))
}

/// The minimum silence, in milliseconds, after which a peer is down.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_timeout_ms(node: *const Node) -> u64 {
    read_pinned!(node, 0, |node| milliseconds(node.core.timeout()))
}

/// Sends one JSON text to all other nodes. `*bytes` becomes the size of the datagram on the
/// wire. The call returns after the system has taken the datagram; it waits for no peer.
///
/// Any thread, callbacks included. `json` is UTF-8 and is copied. `bytes` may be NULL; any other
/// NULL, and what is not JSON: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP`,
/// `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
/// refused: nothing was sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_json(
    node: *mut Node,
    json: *const c_char,
    bytes: *mut usize,
) -> Status {
    status(|| handle::send_json(try_handle!(node), try_text!(json), optional_mut!(bytes)))
}

/// Sends `count` JSON texts to all other nodes, with as few calls of the system as it allows:
/// several times the rate of `caster_node_send_json`. On the wire they are single messages, in this
/// order. `*bytes` becomes the size of all datagrams on the wire.
///
/// As `caster_node_send_json`; `jsons` may be NULL if `count` is 0. `caster_last_error` names the
/// message that is wrong by its place, counted from 0. After `CASTER_ERR_IO` some may have been
/// sent, after any other error none was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_batch(
    node: *mut Node,
    jsons: *const *const c_char,
    count: usize,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let node = try_handle!(node);
        handle::send_batch_json(node, try_texts!(jsons, count, "json"), optional_mut!(bytes))
    })
}

/// Sends a text to all other nodes. Peers receive it as a JSON string.
///
/// As `caster_node_send_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_text(
    node: *mut Node,
    text: *const c_char,
    bytes: *mut usize,
) -> Status {
    status(|| handle::send_text(try_handle!(node), try_text!(text), optional_mut!(bytes)))
}

/// Sends `size` bytes as they are, through the middleware behind json, without the envelope that
/// names the sender. Peers interpret the content as a protocol message, so this is for tests and
/// for programs that implement the protocol of docs/wire.md themselves.
///
/// As `caster_node_send_json`; `data` may be NULL if `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_bare(
    node: *mut Node,
    data: *const u8,
    size: usize,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let (node, data) = (try_handle!(node), try_slice!(data, size));
        store(optional_mut!(bytes), sent(node.core.start_send_bare(Message::bytes(data))?)?)
    })
}

/// Sends one JSON text as it is, as `caster_node_send_bare` sends bytes.
///
/// As `caster_node_send_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_bare_json(
    node: *mut Node,
    json: *const c_char,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let (node, json) = (try_handle!(node), try_text!(json));
        store(optional_mut!(bytes), sent(node.core.start_send_bare(Message::json(json)?)?)?)
    })
}

/// Replaces the metadata by a JSON text. If the node is up, it announces the change to all peers at once.
///
/// Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, and what is not JSON:
/// `CASTER_ERR_INVALID_ARGUMENT`; the metadata stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_set_meta_json(node: *mut Node, json: *const c_char) -> Status {
    status(|| {
        let (node, json) = (try_handle!(node), try_text!(json));
        node.core.set_meta_json(json)
    })
}

/// Changes some members of the metadata, which is an object or null. `json` is an object: each member takes
/// the place of the one with its name, and null removes it. Changes of several threads do not undo each
/// other. If the node is up, it announces the change to all peers at once.
///
/// Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, what is not JSON, and metadata or
/// a change that is not an object: `CASTER_ERR_INVALID_ARGUMENT`; a result beyond `maxMeta`:
/// `CASTER_ERR_MESSAGE_TOO_LARGE`. The metadata stays as it is then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_update_meta_json(
    node: *mut Node,
    json: *const c_char,
) -> Status {
    status(|| {
        let (node, json) = (try_handle!(node), try_text!(json));
        node.core.update_meta_json(json).map(drop)
    })
}

/// Accepts one more key of secure mode, of 32 bytes. Add it on all nodes before one of them uses it.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if the
/// node was made without keys, has this one or eight already, or if this is not a key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_add_key(
    node: *mut Node,
    key: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), try_slice!(key, size));
        node.core.add_key(&Key::from_bytes(key)?)
    })
}

/// Seals with this key from now on.
///
/// As `caster_node_add_key`; `CASTER_ERR_INVALID_ARGUMENT` if the key was not added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_key(
    node: *mut Node,
    key: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), try_slice!(key, size));
        node.core.use_key(Key::from_bytes(key)?.id())
    })
}

/// Accepts this key no longer, in two timeouts from now on: nodes that still seal with it are not heard then.
///
/// As `caster_node_use_key`; `CASTER_ERR_INVALID_ARGUMENT` also if this node seals with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_remove_key(
    node: *mut Node,
    key: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), try_slice!(key, size));
        node.core.remove_key(Key::from_bytes(key)?.id())
    })
}

/// Accepts this key no longer, from now on: to exclude a node that has it.
///
/// As `caster_node_remove_key`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_remove_key_now(
    node: *mut Node,
    key: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), try_slice!(key, size));
        node.core.remove_key_now(Key::from_bytes(key)?.id())
    })
}

/// Gives a key of a peer to the program, or NULL if there is none.
fn give_key_of<K: ToString>(
    id: &str,
    to: &mut *mut c_char,
    key_of: impl FnOnce(&NodeId) -> Option<K>,
) -> Result<()> {
    *to = std::ptr::null_mut();
    if let Some(key) = key_of(&NodeId::new(id)?) {
        give_text(to, c_string(&key.to_string()));
    }
    Ok(())
}

/// The id of the key that a peer sends with: 8 hexadecimal digits. NULL in `*key` if the peer is not up, and
/// without keys.
///
/// Any thread, callbacks included. The caller owns `*key` and frees it with `caster_string_free`. NULL, and
/// what is not an id: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_key_of(
    node: *const Node,
    id: *const c_char,
    key: *mut *mut c_char,
) -> Status {
    status(|| {
        let (node, id, out) = (try_handle!(node), try_text!(id), try_mut!(key));
        give_key_of(id, out, |id| node.core.key_of(id))
    })
}

/// The identity of a peer: its public key as 64 hexadecimal digits. NULL in `*key` if the peer is not up or has
/// none, and if this node has neither an identity nor a list of those that it trusts.
///
/// As `caster_node_key_of`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_identity_of(
    node: *const Node,
    id: *const c_char,
    key: *mut *mut c_char,
) -> Status {
    status(|| {
        let (node, id, out) = (try_handle!(node), try_text!(id), try_mut!(key));
        give_key_of(id, out, |id| node.core.identity_of(id))
    })
}

/// Accepts a peer that is not up with another identity, or with none, the next time. With the option `plain` also
/// plain datagrams of one that was believed sealed. Otherwise neither is accepted as long as the node exists.
///
/// Any thread, callbacks included. NULL, and what is not an id: `CASTER_ERR_INVALID_ARGUMENT`. An id that was not
/// believed sealed, or is up: no effect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_forget_sealed(node: *mut Node, id: *const c_char) -> Status {
    status(|| {
        let (node, id) = (try_handle!(node), try_text!(id));
        node.core.forget_sealed(&NodeId::new(id)?);
        Ok(())
    })
}

/// The metadata of this node as a JSON text.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_meta_json(
    node: *const Node,
    json: *mut *mut c_char,
) -> Status {
    status(|| {
        let (node, out) = (try_handle!(node), try_mut!(json));
        give_text(out, c_string(&node.core.meta_json()));
        Ok(())
    })
}

/// A snapshot of the nodes that are up. Before the first `caster_node_up` it is empty; after
/// `caster_node_down` it is as it was last.
///
/// Any thread, callbacks included. The caller owns `*nodes` and frees it with
/// `caster_nodes_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_nodes(node: *const Node, nodes: *mut *mut Nodes) -> Status {
    status(|| {
        let (node, out) = (try_handle!(node), try_mut!(nodes));
        *out = Nodes::hand_out(node.core.nodes());
        Ok(())
    })
}

/// How many nodes are up.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_count(node: *const Node) -> usize {
    read_pinned!(node, 0, |node| node.core.node_count())
}

/// Looks up one node by its id. `*peer` becomes NULL if no such node is up, which is no error.
///
/// Any thread, callbacks included. The caller owns `*peer` and frees it with `caster_peer_free`.
/// NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_get(
    node: *const Node,
    id: *const c_char,
    peer: *mut *mut Peer,
) -> Status {
    status(|| {
        let (node, id, out) = (try_handle!(node), try_text!(id), try_mut!(peer));
        *out = node.core.node(id).map_or(null_mut(), |peer| into_raw(Peer::from(peer)));
        Ok(())
    })
}

/// When the node with this id was last heard: milliseconds since 1970 by the wall clock. It costs
/// less than `caster_node_get`.
///
/// Any thread, callbacks included. `id` is only read. 0 for NULL, and if no such node is up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_last_seen_ms(node: *const Node, id: *const c_char) -> u64 {
    let seen = |node: &Node| -> Result<Option<u64>> {
        Ok(node.core.last_seen(&NodeId::new(try_text!(id))?))
    };
    read_pinned!(node, 0, |node| seen(node).ok().flatten().unwrap_or(0))
}

/// Finds the nodes that are up whose metadata is an object with the key `key`, and there the
/// value `value_json`, a JSON text; NULL for any value. `"\"http\""` finds `{"type": "http"}`.
/// Texts that stand for the same value are equal: `1` is `1.0`, and neither blanks nor the order
/// of keys matter.
///
/// Any thread, callbacks included. Strings are UTF-8 and only read. The caller owns `*nodes`,
/// which may have no node in it, and frees it with `caster_nodes_free`. `value_json` may be NULL;
/// any other NULL, and what is not JSON: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_find(
    node: *const Node,
    key: *const c_char,
    value_json: *const c_char,
    nodes: *mut *mut Nodes,
) -> Status {
    let (keys, values, count) = (&raw const key, &raw const value_json, 1);
    status(|| {
        let (node, nodes) = (try_handle!(node), try_mut!(nodes));
        let keys = try_texts!(keys, count, "key");
        find(node, keys, Some(try_texts!(values, count, "value_json")), nodes)
    })
}

/// Finds the nodes that are up whose metadata is an object with all these keys: `count` of them,
/// with a value for each in `values_json` (NULL for any value).
///
/// As `caster_node_find`; `values_json` itself may be NULL if there are no values, `keys` too if
/// `count` is 0, which finds all nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_find_all(
    node: *const Node,
    keys: *const *const c_char,
    values_json: *const *const c_char,
    count: usize,
    nodes: *mut *mut Nodes,
) -> Status {
    status(|| {
        let (node, nodes) = (try_handle!(node), try_mut!(nodes));
        let keys = try_texts!(keys, count, "key");
        let values = match values_json.is_null() {
            true => None,
            false => Some(try_texts!(values_json, count, "value_json")),
        };
        find(node, keys, values, nodes)
    })
}

/// Copies the counters of the node into `*stats`, whose field `size` must be set to
/// `sizeof(caster_stats_t)`.
///
/// Any thread, callbacks included. NULL, and a `size` that is too small for anything:
/// `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_stats(node: *const Node, stats: *mut Stats) -> Status {
    status(|| {
        stats::write(&try_handle!(node).core.stats(), try_stats!(stats));
        Ok(())
    })
}

/// The counters of the node as a JSON object, with the names of `caster_stats_t` in camelCase,
/// but `dropped` is an object by reason. `foreign` is an object too: how many datagrams that could
/// not be understood came from which address. `interfaces` is an array of the interfaces of this
/// host, and empty while the node is down: objects with `name`, `index`, `addresses` (an array),
/// `mtu`, `up`, `joined`, `sent`, `received`, `echoes` (received from an address of the interface
/// itself) and `error`, the reason why the group could not be joined on it, or null.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_stats_json(
    node: *const Node,
    json: *mut *mut c_char,
) -> Status {
    status(|| handle::stats_json(try_handle!(node), try_mut!(json)))
}

/// Takes the next event, in the order in which they happened; waits for it for up to
/// `timeout_ms` milliseconds, or for as long as it takes if that is negative.
///
/// Any thread; several may poll, and each event goes to one of them. The caller owns `*event`
/// and frees it with `caster_event_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
/// `CASTER_ERR_TIMED_OUT` if no event came in time. `CASTER_ERR_NOT_UP` at once if the node is
/// down and its last event has been taken. `CASTER_ERR_EVENTS_TAKEN` if a callback was ever
/// registered on this node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_poll(
    node: *mut Node,
    timeout_ms: c_int,
    event: *mut *mut Event,
) -> Status {
    status(|| dispatch::poll_one(try_handle!(node), timeout_ms, try_mut!(event)))
}

/// Takes up to `capacity` events with one call: waits for the first as `caster_node_poll` does,
/// and takes what else is there. `events[0]` to `events[*count - 1]` are set.
///
/// As `caster_node_poll`. The caller owns each of the events and frees it with
/// `caster_event_free`. `capacity` is 1 at least; NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_poll_batch(
    node: *mut Node,
    timeout_ms: c_int,
    events: *mut *mut Event,
    capacity: usize,
    count: *mut usize,
) -> Status {
    status(|| {
        let (node, events) = (try_handle!(node), try_slice_mut!(events, capacity));
        let count = try_mut!(count);
        *count = dispatch::poll_batch(node, timeout_ms, events)?;
        Ok(())
    })
}

/// A file descriptor that is readable while events wait: for `poll`, `epoll` and event loops.
/// When it is, call `caster_node_poll` with a timeout of 0 until it returns
/// `CASTER_ERR_TIMED_OUT`. It stays the same through down and up; going down does not make it
/// readable.
///
/// Any thread, callbacks included. The descriptor is borrowed: it lives as long as `node`; do
/// not read from it and do not close it. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
/// `CASTER_ERR_EVENTS_TAKEN` if a callback was ever registered on this node. `CASTER_ERR_IO` if
/// the system has no descriptors left, and on systems without them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_fd(node: *mut Node, fd: *mut c_int) -> Status {
    status(|| {
        let (node, out) = (try_handle!(node), try_mut!(fd));
        *out = node.delivery.fd()?;
        Ok(())
    })
}

/// Sets the callback for `CASTER_EVENT_UP`: a node was discovered. A callback that was set
/// before is replaced; NULL for `callback` removes it. Events without a callback are dropped, so
/// set callbacks before `caster_node_up`.
///
/// The first callback starts the thread that calls them and decides that this node's events go
/// to callbacks; it cannot be polled from then on.
///
/// Any thread, callbacks included. `drop` says when `user_data` is no longer used: when the
/// callback was replaced or removed, the node freed, or the registration failed. NULL for
/// `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_EVENTS_TAKEN` if the node has ever been
/// polled or asked for its descriptor. `CASTER_ERR_IO` if no thread could be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_up(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_UP, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_UPDATE`: a node changed its metadata or its address.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_update(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_UPDATE, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_DOWN`: a node is gone.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_down(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_DOWN, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_MESSAGE`: a node sent a message.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_message(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_MESSAGE, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_ERROR`: an error that an operator can resolve.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_error(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_ERROR, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_CONFLICT`: two nodes have the same id.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_conflict(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_CONFLICT, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_ISOLATED`: this node appears cut off from the network.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_isolated(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_ISOLATED, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_REJOINED`: this node receives heartbeats of peers again.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_rejoined(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_REJOINED, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_SETTLED`: this node knows the peers that were up before it.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_settled(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_SETTLED, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_HINT`: datagrams of another sender on this port cannot be
/// understood.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_hint(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_HINT, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_REJECT`: a middleware rejected a datagram. Such events
/// are made while there is a callback.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_reject(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_REJECT, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_DATAGRAM`: the node received a datagram. Such events are
/// made while there is a callback.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_datagram(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(node, event::CASTER_EVENT_DATAGRAM, callback, user_data, drop)
}

/// Asks for events of type `CASTER_EVENT_REJECT` (`watch` is not 0), or no longer (0). For
/// programs that poll; a callback asks by itself.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_watch_rejects(node: *mut Node, watch: c_int) -> Status {
    status(|| {
        try_handle!(node).core.watch_rejects(watch != 0);
        Ok(())
    })
}

/// Asks for events of type `CASTER_EVENT_DATAGRAM`.
///
/// As `caster_node_watch_rejects`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_watch_datagrams(node: *mut Node, watch: c_int) -> Status {
    status(|| {
        try_handle!(node).core.watch_datagrams(watch != 0);
        Ok(())
    })
}

/// Adds a middleware of the program to the node, next to the wire: behind json, hash and crypto,
/// so that it gets bytes. All nodes of a group need the same. `caster_use` tells the rest.
///
/// As `caster_use`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use(
    node: *mut Node,
    name: *const c_char,
    tx: MiddlewareFn,
    rx: MiddlewareFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    status(|| handle::use_functions(try_handle!(node), try_text!(name), tx, rx, data))
}

/// Removes all middleware, so that others can be added in another order: json and what the
/// options `hash` and `crypto` stand for, too. To be called before `caster_node_up`; without the
/// middleware of its peers a node cannot read their datagrams.
///
/// Any thread, callbacks included. Messages that are on their way keep the pipeline that they
/// started with. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_clear_middleware(node: *mut Node) -> Status {
    status(|| try_handle!(node).core.set_stages(Vec::new()))
}

/// The names of the middleware of the node, from the program to the wire, as a JSON array.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_middleware_json(
    node: *const Node,
    json: *mut *mut c_char,
) -> Status {
    status(|| handle::middleware_json(try_handle!(node), try_mut!(json)))
}

/// Adds the middleware json to a node whose middleware was removed.
///
/// As `caster_use_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_json(node: *mut Node) -> Status {
    status(|| try_handle!(node).use_stage(Json::new().into()))
}

/// Adds the middleware json to a node whose middleware was removed; it sends UTF-8.
///
/// As `caster_use_json_utf8`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_json_utf8(node: *mut Node) -> Status {
    status(|| try_handle!(node).use_stage(Json::raw_utf8().into()))
}

/// Adds the middleware hash to a node whose middleware was removed.
///
/// As `caster_use_hash`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_hash(
    node: *mut Node,
    secret: *const c_char,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (node, secret) = (try_handle!(node), try_optional_text!(secret));
        let secret = secret.unwrap_or_default().into();
        handle::use_hash(node, secret, try_optional_text!(algorithm), None)
    })
}

/// Adds the middleware hash to a node whose middleware was removed, with a secret of bytes and an
/// era.
///
/// As `caster_use_hash_bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_hash_bytes(
    node: *mut Node,
    secret: *const u8,
    size: usize,
    algorithm: *const c_char,
    era: *const c_char,
) -> Status {
    status(|| {
        let (node, secret) = (try_handle!(node), JsText::from_latin1(try_slice!(secret, size)));
        handle::use_hash(node, secret, try_optional_text!(algorithm), try_optional_text!(era))
    })
}

/// Adds the middleware crypto to a node whose middleware was removed.
///
/// As `caster_use_crypto`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_crypto(
    node: *mut Node,
    key: *const c_char,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), try_optional_text!(key));
        handle::use_crypto(node, key.unwrap_or_default().into(), try_optional_text!(algorithm))
    })
}

/// Adds the middleware crypto to a node whose middleware was removed, with a key of bytes.
///
/// As `caster_use_crypto_bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_use_crypto_bytes(
    node: *mut Node,
    key: *const u8,
    size: usize,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (node, key) = (try_handle!(node), JsText::from_latin1(try_slice!(key, size)));
        handle::use_crypto(node, key, try_optional_text!(algorithm))
    })
}

/// Finds peers by keys and, where there are any, values of the metadata.
fn find(
    node: &Node,
    keys: Texts<'_>,
    mut values: Option<Texts<'_>>,
    nodes: &mut *mut Nodes,
) -> Result<()> {
    let mut wanted = Vec::new();
    for key in keys {
        let key = key?.ok_or_else(|| args::null("key"))?;
        let value = values.as_mut().and_then(Iterator::next).transpose()?.flatten();
        if let Some(Err(error)) = value.map(Message::json) {
            let why = error.message().replace("the message is", "it is");
            let text = format!("value_json of {key:?}: {why}; in JSON a text has quotation marks");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        wanted.push((key, value));
    }
    *nodes = Nodes::hand_out(node.core.find_all(&wanted));
    Ok(())
}

/// How many bytes were sent. There are no stages that a host runs in C.
fn sent(progress: Progress) -> Result<usize> {
    match progress {
        Progress::Done(bytes) => Ok(bytes),
        Progress::Host(_) => Err(Error::new(ErrorCode::Internal, "a stage of a host in C")),
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
