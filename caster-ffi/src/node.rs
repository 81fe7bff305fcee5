//! `caster_node_t`.

use crate::args::{self, DropFn, UserData, c_string};
use crate::dispatch::{self, Callback, Delivery, Handle};
use crate::event::{self, Event};
use crate::middleware::{self, MiddlewareFn};
use crate::options::Options;
use crate::peer::{Nodes, Peer, read};
use crate::status::{self, Status};
use caster_core::{Error, ErrorCode, Message, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null;

/// A node: says that it is there, knows who else is, and talks with them.
///
/// Any thread, several at once. The program owns it.
pub struct Node {
    core: caster_core::Node,
    id: CString,
    delivery: Delivery<Node>,
}

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

impl Handle for Node {
    fn delivery(&self) -> &Delivery<Self> {
        &self.delivery
    }

    fn shut_down(&self) {
        // Nobody is left who could hear what went wrong.
        let _ = self.core.down();
    }
}

fn not_up() -> Error {
    Error::new(ErrorCode::NotUp, "Node is not up")
}

/// @section Nodes
///
/// Makes a node, which is not yet up. `options` may be NULL for the defaults, is only read, and
/// can be used again.
///
/// Any thread, callbacks included. The caller owns `*node` and frees it with `caster_node_free`.
/// NULL for `node`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options do
/// not go together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_new(options: *const Options, node: *mut *mut Node) -> Status {
    status::status(|| {
        // SAFETY: the rules of the header.
        let (options, out) = unsafe { (options.as_ref(), args::borrow_mut(node, "node")?) };
        let defaults = caster_core::Options::for_node();
        let core = caster_core::Node::new(options.map_or(&defaults, |options| &options.core))?;
        let id = c_string(&core.id().as_str());
        let delivery = Delivery::new(core.event_source());
        *out = Box::into_raw(Box::new(Node { core, id, delivery }));
        Ok(())
    })
}

/// Frees a node; one that is up goes down first, as in `caster_node_down`. When it returns, no
/// callback of the node runs any more and all drop hooks have run. In a callback (of any node or
/// caster) the node goes down at once, but callback threads do not wait for one another: the rest
/// happens when the node's own callback, if one runs, has returned, and after that none comes.
///
/// Any thread, callbacks included, but not in a middleware of the node. Once for each node, and
/// no other thread may be in a call on it or make one later; a callback of the node that still
/// runs may. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_free(node: *mut Node) {
    status::value((), || {
        if !node.is_null() {
            // SAFETY: the rules of the header.
            unsafe { dispatch::free(node) };
        }
        Ok(())
    });
}

/// Opens the socket, joins the group, starts the thread that receives and announces the node.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
/// `CASTER_ERR_ALREADY_UP`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the node is as
/// before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_up(node: *mut Node) -> Status {
    // SAFETY: the rules of the header.
    status::status(|| unsafe { args::borrow(node, "node")? }.core.up())
}

/// Says goodbye, closes the socket and ends the thread that receives. The node can go up again.
/// Events that wait can still be taken; a `caster_node_poll` that waits returns. It may take some
/// milliseconds: the goodbye is repeated, in case one is lost.
///
/// Any thread, callbacks included, but not in a middleware of the node. NULL:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_UP` if it is not up. Every other error says
/// that the goodbye could not be sent; the node is down all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_down(node: *mut Node) -> Status {
    // SAFETY: the rules of the header.
    status::status(|| unsafe { args::borrow(node, "node")? }.core.down())
}

/// 1 if the node is up, else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_is_up(node: *const Node) -> c_int {
    // SAFETY: the rules of the header.
    unsafe { read(node, 0, |node| node.core.is_up().into()) }
}

/// The id of the node.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `node`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_id(node: *const Node) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { read(node, null(), |node| node.id.as_ptr()) }
}

/// Sends one JSON text to all other nodes. `*bytes` becomes the size of the datagram on the
/// wire. It is sent when this returns; it does not wait for anybody.
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, json) = unsafe { (args::borrow(node, "node")?, args::text(json, "json")?) };
        let sent = node.core.send_message(&Message::json(json)?)?;
        // SAFETY: the rules of the header.
        unsafe { store(bytes, sent) };
        Ok(())
    })
}

/// Sends a text to all other nodes. They get it as a JSON string.
///
/// As `caster_node_send_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_send_text(
    node: *mut Node,
    text: *const c_char,
    bytes: *mut usize,
) -> Status {
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, text) = unsafe { (args::borrow(node, "node")?, args::text(text, "text")?) };
        let sent = node.core.send(text)?;
        // SAFETY: the rules of the header.
        unsafe { store(bytes, sent) };
        Ok(())
    })
}

/// Replaces the metadata by a JSON text. If the node is up, the others hear of it at once.
///
/// Any thread, callbacks included. `json` is UTF-8 and is copied. NULL, and what is not JSON:
/// `CASTER_ERR_INVALID_ARGUMENT`; the metadata stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_set_meta_json(node: *mut Node, json: *const c_char) -> Status {
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, json) = unsafe { (args::borrow(node, "node")?, args::text(json, "json")?) };
        node.core.set_meta_json(json)
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, out) = unsafe { (args::borrow(node, "node")?, args::borrow_mut(json, "json")?) };
        *out = c_string(&node.core.meta_json()).into_raw();
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, out) =
            unsafe { (args::borrow(node, "node")?, args::borrow_mut(nodes, "nodes")?) };
        let peers = node.core.nodes().into_iter().map(Peer::from).collect();
        *out = Box::into_raw(Box::new(Nodes { peers }));
        Ok(())
    })
}

/// Looks up one node by its id. `*peer` becomes NULL if no such node is up, which is no error.
///
/// Any thread, callbacks included. The caller owns `*peer` and frees it with `caster_peer_free`.
/// NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_find(
    node: *const Node,
    id: *const c_char,
    peer: *mut *mut Peer,
) -> Status {
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, id, out) = unsafe {
            (args::borrow(node, "node")?, args::text(id, "id")?, args::borrow_mut(peer, "peer")?)
        };
        let found = node.core.node(id).map(|peer| Box::into_raw(Box::new(peer.into())));
        *out = found.unwrap_or(std::ptr::null_mut());
        Ok(())
    })
}

/// The counters of the node as a JSON object: `received`, `accepted`, `dropped` (an object by
/// reason), `sent`, `sendErrors`, `eventsLost`, `errorsSuppressed`, `nodes`, `suspects`,
/// `probesSent`, `vouchesSent`, `answersMerged` and `foreign` (an object by address: datagrams
/// that could not be understood). Every datagram received is accepted or dropped.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_stats_json(
    node: *const Node,
    json: *mut *mut c_char,
) -> Status {
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, out) = unsafe { (args::borrow(node, "node")?, args::borrow_mut(json, "json")?) };
        *out = c_string(&node.core.stats().to_json()).into_raw();
        Ok(())
    })
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, out) =
            unsafe { (args::borrow(node, "node")?, args::borrow_mut(event, "event")?) };
        let event = node.delivery.poll(timeout_ms, not_up)?;
        *out = Box::into_raw(Box::new(event));
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, out) = unsafe { (args::borrow(node, "node")?, args::borrow_mut(fd, "fd")?) };
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
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_UP, callback, data) })
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
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_UPDATE, callback, data) })
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
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_DOWN, callback, data) })
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
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_MESSAGE, callback, data) })
}

/// Sets the callback for `CASTER_EVENT_ERROR`: something that an operator can mend went wrong.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_error(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_ERROR, callback, data) })
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
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_CONFLICT, callback, data) })
}

/// Sets the callback for `CASTER_EVENT_ISOLATED`: this node takes itself for cut off.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_isolated(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_ISOLATED, callback, data) })
}

/// Sets the callback for `CASTER_EVENT_REJOINED`: this node hears others again.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_rejoined(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_REJOINED, callback, data) })
}

/// Sets the callback for `CASTER_EVENT_HINT`: somebody on this port cannot be understood.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_node_on_hint(
    node: *mut Node,
    callback: NodeEventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    // SAFETY: the rules of the header.
    status::status(|| unsafe { on(node, event::CASTER_EVENT_HINT, callback, data) })
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
    status::status(|| {
        // SAFETY: the rules of the header.
        let (node, name) = unsafe { (args::borrow(node, "node")?, args::text(name, "name")?) };
        middleware::add(name, tx, rx, data, |stage| node.core.use_stage(stage))
    })
}

/// # Safety
/// `node` is NULL or a live node.
unsafe fn on(
    node: *mut Node,
    kind: c_int,
    callback: Option<Callback<Node>>,
    data: UserData,
) -> Result<()> {
    // SAFETY: passed on to the caller.
    let delivery = &unsafe { args::borrow(node, "node")? }.delivery;
    delivery.on(node, kind, callback, data)
}

/// Writes a result that the program may not want.
///
/// # Safety
/// `to` is NULL or a place for a number.
pub(crate) unsafe fn store(to: *mut usize, number: usize) {
    // SAFETY: passed on to the caller.
    if let Some(to) = unsafe { to.as_mut() } {
        *to = number;
    }
}
