//! `caster_event_t`.

use crate::args::{free, into_raw, read};
use crate::peer::Peer;
use crate::source::Source;
use crate::status::{self, Status};
use crate::text::c_string;
use caster_core::{Changed, DownReason, Error, MessageKind, NodeId, ScopedAddress};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{null, null_mut};

/// @in Events
///
/// A peer was discovered. The event has the peer.
pub const CASTER_EVENT_UP: c_int = 1;
/// @in Events
///
/// A peer changed its metadata or its address. The event has the peer in its new state, and flags
/// for the changes.
pub const CASTER_EVENT_UPDATE: c_int = 2;
/// @in Events
///
/// A peer is gone. The event has the peer in its last known state, and a reason.
pub const CASTER_EVENT_DOWN: c_int = 3;
/// @in Events
///
/// A message was received. On a node it has a peer and JSON; on a caster it has a remote and JSON or
/// bytes.
pub const CASTER_EVENT_MESSAGE: c_int = 4;
/// @in Events
///
/// An error that an operator can resolve, or messages were lost because the program took its events
/// too slowly. The node or caster continues. The event has a status and a text.
pub const CASTER_EVENT_ERROR: c_int = 5;
/// @in Events
///
/// Two nodes have the same id, which may be that of this node. It has the id and an address. At
/// most once a minute for each id.
pub const CASTER_EVENT_CONFLICT: c_int = 6;
/// @in Events
///
/// This node no longer receives any datagrams of peers, or not even its own. It appears cut off from
/// the network and withholds transitions to down: silent peers stay up for a while.
pub const CASTER_EVENT_ISOLATED: c_int = 7;
/// @in Events
///
/// This node receives datagrams of peers again.
pub const CASTER_EVENT_REJOINED: c_int = 8;
/// @in Events
///
/// Datagrams of another sender on this port cannot be understood, for example because of another
/// secret. The event has a text. It is not an error: other groups may share a port. At most once in
/// ten minutes for each address.
pub const CASTER_EVENT_HINT: c_int = 9;

/// @in Events
///
/// A middleware rejected a datagram. The event has a status, a text and a remote. It is made on
/// request only: with `caster_node_watch_rejects` or `caster_watch_rejects`, or with a callback.
pub const CASTER_EVENT_REJECT: c_int = 10;
/// @in Events
///
/// A node received a datagram; this is its content behind the middleware, before the node looks
/// at it. It has a remote and JSON or bytes. It is made on request only: with
/// `caster_node_watch_datagrams`, or with a callback.
pub const CASTER_EVENT_DATAGRAM: c_int = 11;
/// @in Events
///
/// The answers to the first heartbeat of this node have arrived: the node knows the peers that were
/// up before it. Once after each `caster_node_up`, within 3 s. The event has no values.
pub const CASTER_EVENT_SETTLED: c_int = 12;

/// How many kinds of events there are.
pub(crate) const KINDS: usize = 12;

/// @in Events
///
/// A flag of `caster_event_changed`: the metadata.
pub const CASTER_CHANGED_META: c_int = 1;
/// @in Events
///
/// A flag of `caster_event_changed`: the address.
pub const CASTER_CHANGED_ADDRESS: c_int = 2;

/// @in Events
///
/// Why a peer is down: it left.
pub const CASTER_REASON_GOODBYE: c_int = 1;
/// @in Events
///
/// Why a peer is down: it was silent for too long, and no other peer corroborated it.
pub const CASTER_REASON_TIMEOUT: c_int = 2;
/// @in Events
///
/// Why a peer is down: it has restarted. An event of type up follows at once.
pub const CASTER_REASON_RESTART: c_int = 3;

/// An event, which is immutable. Its values depend on its type; an accessor of a value that the event
/// does not have returns NULL or 0.
///
/// Any thread, several at once. An event from `caster_node_poll` or `caster_poll` belongs to the
/// program; one that a callback gets is borrowed until the callback returns.
#[derive(Clone)]
pub struct Event {
    kind: c_int,
    peer: Option<Peer>,
    content: Option<Content>,
    changed: Changed,
    reason: Option<DownReason>,
    source: Option<Source>,
    error: Option<(CString, Error)>,
    conflict: Option<Conflict>,
    hint: Option<CString>,
}

#[derive(Clone)]
struct Conflict {
    id: CString,
    id_json: CString,
    address: CString,
}

impl Conflict {
    fn new(id: &NodeId, address: ScopedAddress) -> Self {
        Self {
            id: c_string(&id.as_str()),
            id_json: c_string(id.as_json()),
            address: c_string(&address.to_string()),
        }
    }
}

/// A message with a NUL behind it, which is not part of it.
#[derive(Clone)]
struct Content {
    data: Vec<u8>,
    is_json: bool,
    is_sealed: bool,
    is_fresh: bool,
    is_signed: bool,
}

impl Content {
    fn new(message: caster_core::Message) -> Self {
        let is_json = message.kind() == MessageKind::Json;
        let (is_sealed, is_fresh) = (message.is_sealed(), message.is_fresh());
        let is_signed = message.is_signed();
        let mut data = message.into_data();
        data.push(0);
        Self { data, is_json, is_sealed, is_fresh, is_signed }
    }

    fn size(&self) -> usize {
        self.data.len() - 1
    }
}

impl Event {
    /// `None` for events that C programs do not get. `datagram` is what a datagram is called here.
    pub(crate) fn new(event: caster_core::Event, datagram: c_int) -> Option<Self> {
        use caster_core::Event as Core;
        let mut this = Self {
            kind: 0,
            peer: None,
            content: None,
            changed: Changed::default(),
            reason: None,
            source: None,
            error: None,
            conflict: None,
            hint: None,
        };
        match event {
            Core::Up(peer) => {
                this.kind = CASTER_EVENT_UP;
                this.peer = Some(peer.into());
            }
            Core::Update { peer, changed } => {
                this.kind = CASTER_EVENT_UPDATE;
                this.peer = Some(peer.into());
                this.changed = changed;
            }
            Core::Down { peer, reason } => {
                this.kind = CASTER_EVENT_DOWN;
                this.peer = Some(peer.into());
                this.reason = Some(reason);
            }
            Core::Conflict { id, address } => {
                this.kind = CASTER_EVENT_CONFLICT;
                this.conflict = Some(Conflict::new(&id, address));
            }
            Core::Isolated => this.kind = CASTER_EVENT_ISOLATED,
            Core::Rejoined => this.kind = CASTER_EVENT_REJOINED,
            Core::Settled => this.kind = CASTER_EVENT_SETTLED,
            Core::Hint(text) => {
                this.kind = CASTER_EVENT_HINT;
                this.hint = Some(c_string(&text));
            }
            Core::Message { message, peer } => {
                this.kind = CASTER_EVENT_MESSAGE;
                this.peer = Some(peer.into());
                this.content = Some(Content::new(message));
            }
            Core::Datagram { message, remote } => {
                this.kind = datagram;
                this.content = Some(Content::new(message));
                this.source = Some(Source::new(remote));
            }
            Core::Error(error) => {
                this.kind = CASTER_EVENT_ERROR;
                this.error = Some((c_string(error.message()), error));
            }
            Core::Reject { error, remote } => {
                this.kind = CASTER_EVENT_REJECT;
                this.error = Some((c_string(error.message()), error));
                this.source = Some(Source::new(remote));
            }
            _ => return None,
        }
        Some(this)
    }

    pub(crate) fn kind(&self) -> c_int {
        self.kind
    }
}

/// @section Events
///
/// The type: one of `CASTER_EVENT_*`. A program should ignore types that it does not know.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_type(event: *const Event) -> c_int {
    read!(event, 0, |event| event.kind)
}

/// The type as a word: `"up"`, `"update"`, `"down"`, `"message"`, `"error"`, `"conflict"`,
/// `"isolated"`, `"rejoined"`, `"hint"`, `"reject"`, `"datagram"` or `"settled"`.
///
/// Any thread, callbacks included. The string is static. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_name(event: *const Event) -> *const c_char {
    let name = |event: &Event| {
        match event.kind {
            CASTER_EVENT_UP => c"up",
            CASTER_EVENT_UPDATE => c"update",
            CASTER_EVENT_DOWN => c"down",
            CASTER_EVENT_MESSAGE => c"message",
            CASTER_EVENT_CONFLICT => c"conflict",
            CASTER_EVENT_ISOLATED => c"isolated",
            CASTER_EVENT_REJOINED => c"rejoined",
            CASTER_EVENT_HINT => c"hint",
            CASTER_EVENT_REJECT => c"reject",
            CASTER_EVENT_DATAGRAM => c"datagram",
            CASTER_EVENT_SETTLED => c"settled",
            _ => c"error",
        }
        .as_ptr()
    };
    read!(event, null(), name)
}

/// The node that the event is about: of `up`, `update`, `down` and, on a node, `message`.
///
/// Any thread, callbacks included. The peer is borrowed: it lives as long as `event`;
/// `caster_peer_dup` copies it. NULL for NULL and if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_peer(event: *const Event) -> *const Peer {
    let peer = |event: &Event| event.peer.as_ref().map_or(null(), |peer| peer as *const Peer);
    read!(event, null(), peer)
}

/// The message as a JSON text, if it is JSON.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
/// NULL and if there is no JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_message_json(event: *const Event) -> *const c_char {
    let json = |event: &Event| match &event.content {
        Some(Content { data, is_json: true, .. }) => data.as_ptr().cast(),
        _ => null(),
    };
    read!(event, null(), json)
}

/// The message as bytes: `caster_event_message_size` of them, and a 0 behind them. JSON is UTF-8.
///
/// Any thread, callbacks included. The bytes are borrowed: they live as long as `event`. NULL
/// for NULL and if there is no message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_message_data(event: *const Event) -> *const u8 {
    let data =
        |event: &Event| event.content.as_ref().map_or(null(), |content| content.data.as_ptr());
    read!(event, null(), data)
}

/// The size of the message in bytes.
///
/// Any thread, callbacks included. 0 for NULL and if there is no message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_message_size(event: *const Event) -> usize {
    read!(event, 0, |event| event.content.as_ref().map_or(0, Content::size))
}

/// Whether the message was sealed: its sender has a key of the group.
///
/// Any thread, callbacks included. 0 for NULL and if there is no message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_is_sealed(event: *const Event) -> c_int {
    read!(event, 0, |event| event.content.as_ref().is_some_and(|it| it.is_sealed).into())
}

/// Whether the sender of the message has proven that it is there now. A sealed message that is not fresh may be
/// a recording.
///
/// Any thread, callbacks included. 0 for NULL and if there is no message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_is_fresh(event: *const Event) -> c_int {
    read!(event, 0, |event| event.content.as_ref().is_some_and(|it| it.is_fresh).into())
}

/// Whether the identity of the sender has signed the message. Then no other member of the group has written it.
///
/// Any thread, callbacks included. 0 for NULL and if there is no message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_is_signed(event: *const Event) -> c_int {
    read!(event, 0, |event| event.content.as_ref().is_some_and(|it| it.is_signed).into())
}

/// The changes of an update: a bitwise or of `CASTER_CHANGED_*`.
///
/// Any thread, callbacks included. 0 for NULL and if it is no update.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_changed(event: *const Event) -> c_int {
    let changed = |event: &Event| {
        let flag = |is, flag| if is { flag } else { 0 };
        flag(event.changed.meta, CASTER_CHANGED_META)
            | flag(event.changed.address, CASTER_CHANGED_ADDRESS)
    };
    read!(event, 0, changed)
}

/// Why the node is down: one of `CASTER_REASON_*`.
///
/// Any thread, callbacks included. 0 for NULL and if nothing is down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_reason(event: *const Event) -> c_int {
    let reason = |event: &Event| event.reason.map_or(0, |reason| reason_of(reason).0);
    read!(event, 0, reason)
}

/// Why the node is down, as a word: `"goodbye"`, `"timeout"` or `"restart"`.
///
/// Any thread, callbacks included. The string is static. NULL for NULL and if nothing is
/// down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_reason_name(event: *const Event) -> *const c_char {
    let reason = |event: &Event| event.reason.map_or(null(), |reason| reason_of(reason).1.as_ptr());
    read!(event, null(), reason)
}

fn reason_of(reason: DownReason) -> (c_int, &'static CStr) {
    match reason {
        DownReason::Goodbye => (CASTER_REASON_GOODBYE, c"goodbye"),
        DownReason::Restart => (CASTER_REASON_RESTART, c"restart"),
        _ => (CASTER_REASON_TIMEOUT, c"timeout"),
    }
}

/// The id that two nodes have. A NUL that an id may have in it reads as U+FFFD;
/// `caster_event_conflict_id_json` is exact.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
/// NULL and if it is no conflict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_conflict_id(event: *const Event) -> *const c_char {
    read!(event, null(), |event| conflict_text(event, |it| &it.id))
}

/// The id that two nodes have as a JSON string in ASCII, quotes included, as in
/// `caster_peer_id_json`.
///
/// As `caster_event_conflict_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_conflict_id_json(event: *const Event) -> *const c_char {
    read!(event, null(), |event| conflict_text(event, |it| &it.id_json))
}

/// The IP address of the node that was heard last of the two with the same id; if that is the id
/// of this node, the address of the other one.
///
/// As `caster_event_conflict_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_conflict_address(event: *const Event) -> *const c_char {
    read!(event, null(), |event| conflict_text(event, |it| &it.address))
}

fn conflict_text(event: &Event, text: impl FnOnce(&Conflict) -> &CString) -> *const c_char {
    event.conflict.as_ref().map_or(null(), |conflict| text(conflict).as_ptr())
}

/// The address whose datagrams cannot be understood, and the likely cause, in English.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
/// NULL and if it is no hint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_hint_text(event: *const Event) -> *const c_char {
    let text = |event: &Event| event.hint.as_ref().map_or(null(), |text| text.as_ptr());
    read!(event, null(), text)
}

/// The IP address from which a datagram came, as in `"192.168.1.7"` or `"fe80::1%eth0"`: that of a caster's message,
/// of `datagram` and of `reject`.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
/// NULL and for all other events; a node's message has a peer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_remote_address(event: *const Event) -> *const c_char {
    read!(event, null(), |event| event.source.as_ref().map_or(null(), Source::address))
}

/// The interface of this host by which that datagram came in, as in `"eth0"`.
///
/// As `caster_event_remote_address`; NULL also if the interface is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_remote_interface(event: *const Event) -> *const c_char {
    read!(event, null(), |event| event.source.as_ref().map_or(null(), Source::interface))
}

/// The UDP port from which that datagram came.
///
/// Any thread, callbacks included. 0 for NULL and for all other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_remote_port(event: *const Event) -> c_int {
    read!(event, 0, |event| event.source.as_ref().map_or(0, Source::port))
}

/// The size of that datagram on the wire, in bytes.
///
/// Any thread, callbacks included. 0 for NULL and for all other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_remote_size(event: *const Event) -> usize {
    read!(event, 0, |event| event.source.as_ref().map_or(0, Source::size))
}

/// The status of an event of type `error` or `reject`: one of `CASTER_ERR_*`.
///
/// Any thread, callbacks included. 0 for NULL and if it is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_error_status(event: *const Event) -> Status {
    let code = |event: &Event| event.error.as_ref().map_or(0, |(_, e)| status::of(e.code()));
    read!(event, 0, code)
}

/// The text of an event of type `error` or `reject`, in English.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `event`. NULL for
/// NULL and if it is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_error_text(event: *const Event) -> *const c_char {
    let text = |event: &Event| event.error.as_ref().map_or(null(), |(text, _)| text.as_ptr());
    read!(event, null(), text)
}

/// The operating system's number (`errno`) of the error, or 0 if it was not the system that
/// refused.
///
/// Any thread, callbacks included. 0 for NULL and if it is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_error_os(event: *const Event) -> c_int {
    let os = |event: &Event| event.error.as_ref().and_then(|(_, e)| e.os_error()).unwrap_or(0);
    read!(event, 0, os)
}

/// The name of the system call that refused, as in `"sendto"`.
///
/// Any thread, callbacks included. The string is static. NULL for NULL, if it is no error
/// and if it was not the system that refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_error_syscall(event: *const Event) -> *const c_char {
    let name = |event: &Event| event.error.as_ref().map_or(null(), |(_, e)| status::syscall_of(e));
    read!(event, null(), name)
}

/// A copy of `event`, to be kept for longer than the callback that got it.
///
/// Any thread, callbacks included. The caller owns the copy and frees it with
/// `caster_event_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_dup(event: *const Event) -> *mut Event {
    read!(event, null_mut(), |event| into_raw(event.clone()))
}

/// Frees an event that the program owns: one from `caster_node_poll`, `caster_poll` or
/// `caster_event_dup`. Never one that a callback got.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_event_free(event: *mut Event) {
    free!(event);
}
