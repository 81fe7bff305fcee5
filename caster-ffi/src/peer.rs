//! `caster_peer_t` and `caster_nodes_t`.

use crate::args::{free, into_raw, read, try_mut, try_optional_text, try_ref, try_text};
use crate::handle::give_text;
use crate::status::{Status, status};
use crate::text::{LazyText, c_string};
use caster_core::Result;
use std::ffi::{c_char, c_int};
use std::ptr::{null, null_mut};

/// A snapshot of a peer, which is immutable.
///
/// Any thread, several at once. One that is part of an event or a snapshot is borrowed and lives
/// as long as that; one from `caster_node_get` or `caster_peer_dup` belongs to the program.
#[derive(Clone)]
pub struct Peer {
    core: caster_core::Peer,
    id: LazyText,
    id_json: LazyText,
    address: LazyText,
    meta: LazyText,
    /// The texts of `core.addresses`: address and interface of each.
    addresses: Vec<(LazyText, LazyText)>,
}

impl From<caster_core::Peer> for Peer {
    fn from(core: caster_core::Peer) -> Self {
        let addresses = core.addresses.iter().map(|_| Default::default()).collect();
        Self {
            core,
            id: LazyText::default(),
            id_json: LazyText::default(),
            address: LazyText::default(),
            meta: LazyText::default(),
            addresses,
        }
    }
}

/// Nodes that were up at one moment. It does not change.
///
/// Any thread, several at once. The program owns it.
pub struct Nodes {
    peers: Vec<Peer>,
}

impl Nodes {
    /// A snapshot to be given to the program.
    pub(crate) fn hand_out(peers: Vec<caster_core::Peer>) -> *mut Self {
        let peers = peers.into_iter().map(Peer::from).collect();
        into_raw(Self { peers })
    }
}

/// @section Peers
///
/// The id of the node. A NUL that an id may have in it reads as U+FFFD; `caster_peer_id_json` is
/// exact.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `peer`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_id(peer: *const Peer) -> *const c_char {
    read!(peer, null(), |peer| peer.id.get(|| c_string(&peer.core.id.as_str())))
}

/// The id of the node as a JSON string in ASCII, quotes included. Each id has one form, so that
/// two of them can be compared with `strcmp`.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_id_json(peer: *const Peer) -> *const c_char {
    read!(peer, null(), |peer| peer.id_json.get(|| c_string(peer.core.id.as_json())))
}

/// The IP address at which the node is, as in `"192.168.1.7"` or `"fe80::1%eth0"`: the source of its
/// datagrams, and the best one if it is heard from several.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_address(peer: *const Peer) -> *const c_char {
    let address =
        |peer: &Peer| peer.address.get(|| c_string(&peer.core.scoped_address().to_string()));
    read!(peer, null(), address)
}

/// From how many addresses the node was heard, at most 8.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_address_count(peer: *const Peer) -> usize {
    read!(peer, 0, |peer| peer.addresses.len())
}

/// One of the addresses that the node was heard from, by its index from 0: the one of
/// `caster_peer_address` first, then from the best to the worst.
///
/// As `caster_peer_id`; NULL also for an index that is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_address_at(peer: *const Peer, index: usize) -> *const c_char {
    let address = |peer: &Peer| match (peer.core.addresses.get(index), peer.addresses.get(index)) {
        (Some(known), Some((text, _))) => {
            text.get(|| c_string(&known.scoped_address().to_string()))
        }
        _ => null(),
    };
    read!(peer, null(), address)
}

/// The interface of this host, as in `"eth0"`, by which datagrams from that address come in.
///
/// As `caster_peer_address_at`; NULL also if the interface is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_interface_at(
    peer: *const Peer,
    index: usize,
) -> *const c_char {
    let name = |peer: &Peer| {
        let known = peer.core.addresses.get(index).and_then(|known| known.interface);
        match (known, peer.addresses.get(index)) {
            (Some(interface), Some((_, text))) => text.get(|| c_string(interface.name())),
            _ => null(),
        }
    };
    read!(peer, null(), name)
}

/// When the node was last heard from that address: milliseconds since 1970 by the wall clock.
///
/// Any thread, callbacks included. 0 for NULL and for an index that is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_last_seen_at_ms(peer: *const Peer, index: usize) -> u64 {
    let seen = |peer: &Peer| peer.core.addresses.get(index).map_or(0, |known| known.last_seen);
    read!(peer, 0, seen)
}

/// The metadata of the node as a JSON text, or NULL if it never sent any. A node without
/// metadata sends `null`.
///
/// As `caster_peer_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_meta_json(peer: *const Peer) -> *const c_char {
    let meta = |peer: &Peer| match &peer.core.meta {
        Some(meta) => peer.meta.get(|| c_string(meta)),
        None => null(),
    };
    read!(peer, null(), meta)
}

/// 1 if the metadata of the node is an object that has `key`, and there the value `value_json` (a
/// JSON text; NULL for any value), else 0. Values are equal as `caster_node_find` says.
///
/// Any thread, callbacks included. Strings are UTF-8 and only read. 0 if `peer` or `key` is NULL,
/// and if `value_json` is not JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_meta_has(
    peer: *const Peer,
    key: *const c_char,
    value_json: *const c_char,
) -> c_int {
    let has = |peer: &Peer| -> Result<bool> {
        Ok(peer.core.meta_has(try_text!(key), try_optional_text!(value_json)))
    };
    read!(peer, 0, |peer| has(peer).unwrap_or(false).into())
}

/// When the node was first heard: milliseconds since 1970 by the wall clock.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_first_seen_ms(peer: *const Peer) -> u64 {
    read!(peer, 0, |peer| peer.core.first_seen)
}

/// When the node was last heard: milliseconds since 1970 by the wall clock.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_last_seen_ms(peer: *const Peer) -> u64 {
    read!(peer, 0, |peer| peer.core.last_seen)
}

/// 1 if the node has been silent for too long and is being asked whether it is still there, else
/// 0. It still counts as up, and becomes down soon unless it is heard.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_is_suspect(peer: *const Peer) -> c_int {
    read!(peer, 0, |peer| peer.core.suspect.into())
}

/// How much of what the node sends is lost on the way: the part of its last heartbeats that did
/// not arrive, from 0 to 1. It is an estimate that follows the last few dozen, and 0 for nodes
/// that do not number their heartbeats, as those of caster 0.1.1.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_loss(peer: *const Peer) -> f64 {
    read!(peer, 0.0, |peer| f64::from(peer.core.loss_per_mille) / 1000.0)
}

/// All of it as one JSON object: `id`, `address`, `firstSeen`, `lastSeen`, `addresses` (an array
/// of objects with `address`, `interface` and `lastSeen`) and, if there is any, `meta`; `suspect`
/// if it is, and `loss` if there is any.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_json(peer: *const Peer, json: *mut *mut c_char) -> Status {
    status(|| {
        let (peer, out) = (try_ref!(peer), try_mut!(json));
        let mut text = String::new();
        peer.core.write_json(&mut text);
        give_text(out, c_string(&text));
        Ok(())
    })
}

/// A copy of `peer`, to be kept for longer than the event or snapshot that it is part of.
///
/// Any thread, callbacks included. The caller owns the copy and frees it with
/// `caster_peer_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_dup(peer: *const Peer) -> *mut Peer {
    read!(peer, null_mut(), |peer| into_raw(peer.clone()))
}

/// Frees a peer that the program owns: one from `caster_peer_dup` or `caster_node_get`. Those
/// that are part of an event or a snapshot go with it.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_peer_free(peer: *mut Peer) {
    free!(peer);
}

/// How many nodes the snapshot has.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_count(nodes: *const Nodes) -> usize {
    read!(nodes, 0, |nodes| nodes.peers.len())
}

/// One of the nodes of the snapshot, by its index from 0. The order means nothing.
///
/// Any thread, callbacks included. The peer is borrowed: it lives as long as `nodes`. NULL for
/// NULL and for an index that is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_at(nodes: *const Nodes, index: usize) -> *const Peer {
    let get = |nodes: &Nodes| nodes.peers.get(index).map_or(null(), |peer| peer as *const Peer);
    read!(nodes, null(), get)
}

/// Frees a snapshot, with the peers in it.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_nodes_free(nodes: *mut Nodes) {
    free!(nodes);
}
