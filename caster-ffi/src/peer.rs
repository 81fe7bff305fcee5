//! `caster_peer_t` and `caster_nodes_t`.

use crate::args::c_string;
use crate::status;
use std::ffi::{CString, c_char, c_int};
use std::ptr::{null, null_mut};

/// What was known about another node at one moment. It does not change.
///
/// Any thread, several at once.
#[derive(Clone)]
pub struct Peer {
    id: CString,
    id_json: CString,
    address: CString,
    meta: Option<CString>,
    first_seen: u64,
    last_seen: u64,
    suspect: bool,
    loss: f64,
}

impl From<caster_core::Peer> for Peer {
    fn from(peer: caster_core::Peer) -> Self {
        Self {
            id: c_string(&peer.id.as_str()),
            id_json: c_string(peer.id.as_json()),
            address: c_string(&peer.address.to_string()),
            meta: peer.meta.as_deref().map(c_string),
            first_seen: peer.first_seen,
            last_seen: peer.last_seen,
            suspect: peer.suspect,
            loss: f64::from(peer.loss_per_mille) / 1000.0,
        }
    }
}

/// The nodes that were up at one moment. It does not change.
///
/// Any thread, several at once.
pub struct Nodes {
    pub(crate) peers: Vec<Peer>,
}

/// @section Other nodes
///
/// The id of the node. A NUL that an id may have in it reads as U+FFFD; `caster_peer_id_json` is
/// exact.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `peer`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_id(peer: *const Peer) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { read(peer, null(), |peer| peer.id.as_ptr()) }
}

/// The id of the node as a JSON string in ASCII, quotes included. Each id has one form, so that
/// two of them can be compared with `strcmp`.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_id_json(peer: *const Peer) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { read(peer, null(), |peer| peer.id_json.as_ptr()) }
}

/// The IP address from which the node's last datagram came, as in `"192.168.1.7"`.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_address(peer: *const Peer) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { read(peer, null(), |peer| peer.address.as_ptr()) }
}

/// The metadata of the node as a JSON text, or NULL if it never sent any. A node without
/// metadata sends `null`.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_meta_json(peer: *const Peer) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { read(peer, null(), |peer| peer.meta.as_ref().map_or(null(), |meta| meta.as_ptr())) }
}

/// When the node was first heard: milliseconds since 1970 by the wall clock.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_first_seen_ms(peer: *const Peer) -> u64 {
    // SAFETY: the rules of the header.
    unsafe { read(peer, 0, |peer| peer.first_seen) }
}

/// When the node was last heard: milliseconds since 1970 by the wall clock.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_last_seen_ms(peer: *const Peer) -> u64 {
    // SAFETY: the rules of the header.
    unsafe { read(peer, 0, |peer| peer.last_seen) }
}

/// 1 if the node has been silent for too long and is being asked whether it is still there, else
/// 0. It is still among the nodes that are up, and soon down if nobody hears it.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_is_suspect(peer: *const Peer) -> c_int {
    // SAFETY: the rules of the header.
    unsafe { read(peer, 0, |peer| peer.suspect.into()) }
}

/// How much of what the node sends is lost on the way: the part of its last heartbeats that did
/// not arrive, from 0 to 1. It is an estimate that follows the last few dozen, and 0 for nodes
/// that do not number their heartbeats, as those of caster 0.1.1.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_loss(peer: *const Peer) -> f64 {
    // SAFETY: the rules of the header.
    unsafe { read(peer, 0.0, |peer| peer.loss) }
}

/// A copy of `peer`, to be kept for longer than the event or snapshot that it is part of.
///
/// Any thread, callbacks included. The caller owns the copy and frees it with
/// `caster_peer_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_dup(peer: *const Peer) -> *mut Peer {
    // SAFETY: the rules of the header.
    unsafe { read(peer, null_mut(), |peer| Box::into_raw(Box::new(peer.clone()))) }
}

/// Frees a peer that the program owns: one from `caster_peer_dup` or `caster_node_find`. Those
/// that are part of an event or a snapshot go with it.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_free(peer: *mut Peer) {
    status::value((), || {
        if !peer.is_null() {
            // SAFETY: the program owns it, and it came from `Box::into_raw`.
            drop(unsafe { Box::from_raw(peer) });
        }
        Ok(())
    });
}

/// How many nodes the snapshot has.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_count(nodes: *const Nodes) -> usize {
    // SAFETY: the rules of the header.
    unsafe { read(nodes, 0, |nodes| nodes.peers.len()) }
}

/// One of the nodes of the snapshot, by its index from 0. The order means nothing.
///
/// Any thread, callbacks included. The peer is borrowed: it lives as long as `nodes`. NULL for
/// NULL and for an index that is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_get(nodes: *const Nodes, index: usize) -> *const Peer {
    let get = |nodes: &Nodes| nodes.peers.get(index).map_or(null(), |peer| peer as *const Peer);
    // SAFETY: the rules of the header.
    unsafe { read(nodes, null(), get) }
}

/// Frees a snapshot, with the peers in it.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_free(nodes: *mut Nodes) {
    status::value((), || {
        if !nodes.is_null() {
            // SAFETY: the program owns it, and it came from `Box::into_raw`.
            drop(unsafe { Box::from_raw(nodes) });
        }
        Ok(())
    });
}

/// Reads something from an object, or gives `otherwise` for NULL.
///
/// # Safety
/// `object` is NULL or points to a live `T`.
pub(crate) unsafe fn read<T, R: Copy>(
    object: *const T,
    otherwise: R,
    read: impl FnOnce(&T) -> R,
) -> R {
    // SAFETY: passed on to the caller.
    match unsafe { object.as_ref() } {
        Some(object) => status::value(otherwise, || Ok(read(object))),
        None => otherwise,
    }
}
