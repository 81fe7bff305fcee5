//! `caster_network_t`.

use crate::args::{optional_ref, read_pinned, try_mut, try_pinned, try_text};
use crate::caster::Caster;
use crate::node::Node;
use crate::options::Options;
use crate::status::{self, Status, status};
use crate::table::{self, Kind};
use caster_core::{Error, ErrorCode, NodeId, Result, VirtualNetwork};
use std::ffi::c_char;
use std::ptr::null_mut;
use std::time::Duration;

/// A network in memory with a clock of its own, for tests: they take no real time, need no
/// privileges, send nothing to a real network and, with ids given, are reproducible.
///
/// Its nodes and casters are ordinary ones with an address of their own each (`10.0.0.1` and so
/// on); they receive each other's datagrams if group and port are the same. No socket is opened and no name
/// looked up. Time stands still but for `caster_network_advance`, and for `caster_node_poll` and
/// `caster_poll`, which let time pass instead of waiting: datagrams arrive and timers run then, in
/// their order, on the thread that called. A descriptor of such a handle is readable as ever, and
/// callbacks are called on a thread of their own as ever; polling is what makes a test exact.
///
/// Any thread, several at once, but not in a middleware. The program owns it; its nodes and
/// casters keep what they need, so it may be freed before them.
pub struct Network {
    core: VirtualNetwork,
}

impl Kind for Network {
    const KIND: u64 = 3;
    const NAME: &str = "network";
    const TYPE: &str = "caster_network_t";
}

/// @section Virtual networks
///
/// A network without nodes. `seed` is for everything random: loss, delay, and when nodes answer
/// each other. The same seed and the same calls give the same events.
///
/// Any thread, callbacks included. The caller owns the result and frees it with
/// `caster_network_free`. NULL only after a fault inside Caster.
#[unsafe(no_mangle)]
pub extern "C" fn caster_network_new(seed: u64) -> *mut Network {
    status::value(null_mut(), || table::insert(Network { core: VirtualNetwork::new(seed) }))
}

/// Frees a network. Nodes and casters on it stay usable and connected.
///
/// Any thread, callbacks included, during calls of other threads on it, too. A second call does nothing, and
/// `caster_last_error` tells it. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_free(network: *mut Network) {
    status::value((), || if network.is_null() { Ok(()) } else { table::free(network) });
}

/// Makes a node on the network, which is not yet up. The options `address`, `interfaces`,
/// `multicast6`, `ttl` and `range` have no effect; seeds are addresses.
///
/// As `caster_node_new`; NULL for `network`: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_node(
    network: *mut Network,
    options: *const Options,
    node: *mut *mut Node,
) -> Status {
    status(|| {
        let (network, options, out) =
            (try_pinned!(network), optional_ref!(options), try_mut!(node));
        let defaults = caster_core::Options::for_node();
        let options = options.map_or(&defaults, |options| &options.core);
        *out = Node::hand_out(network.core.node(options)?)?;
        Ok(())
    })
}

/// Makes a caster on the network, which is not yet bound. The options `address`, `interfaces`,
/// `multicast6`, `ttl` and `range` have no effect.
///
/// As `caster_new`; NULL for `network`: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_caster(
    network: *mut Network,
    options: *const Options,
    caster: *mut *mut Caster,
) -> Status {
    status(|| {
        let (network, options, out) =
            (try_pinned!(network), optional_ref!(options), try_mut!(caster));
        let defaults = caster_core::Options::for_caster();
        let options = options.map_or(&defaults, |options| &options.core);
        *out = Caster::hand_out(network.core.caster(options)?)?;
        Ok(())
    })
}

/// Lets `ms` milliseconds pass: everything that falls into them happens, in order, on this
/// thread. Events wait in their queues.
///
/// Any thread, callbacks included, but not in a middleware. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_advance(network: *mut Network, ms: u64) -> Status {
    status(|| {
        let network = try_pinned!(network);
        network.core.advance(Duration::from_millis(ms));
        Ok(())
    })
}

/// The clock of the network: how many milliseconds have passed since it was made.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_now_ms(network: *const Network) -> u64 {
    let now = |network: &Network| network.core.now().as_millis().try_into().unwrap_or(u64::MAX);
    read_pinned!(network, 0, now)
}

/// Sets which share of the datagrams is lost, from 0 to 1, drawn for each receiver by itself. At
/// first 0.
///
/// Any thread, callbacks included. NULL, and what is not from 0 to 1:
/// `CASTER_ERR_INVALID_ARGUMENT`; it stays as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_set_loss(network: *mut Network, share: f64) -> Status {
    status(|| {
        let network = try_pinned!(network);
        network.core.set_loss(checked(share)?);
        Ok(())
    })
}

/// Sets which share of the datagrams arrives twice, from 0 to 1. At first 0.
///
/// As `caster_network_set_loss`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_set_duplicates(
    network: *mut Network,
    share: f64,
) -> Status {
    status(|| {
        let network = try_pinned!(network);
        network.core.set_duplicates(checked(share)?);
        Ok(())
    })
}

fn checked(share: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    let share = caster_core::number_to_text(share);
    let text = format!("the share is {share}; it is a number from 0 to 1");
    Err(Error::new(ErrorCode::InvalidArgument, text))
}

/// Sets by how many milliseconds datagrams are late at the most, in addition to 0.1 ms; with it
/// they overtake each other. At first 0.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_set_delay(network: *mut Network, most_ms: u64) -> Status {
    status(|| {
        let network = try_pinned!(network);
        network.core.set_delay(Duration::from_millis(most_ms));
        Ok(())
    })
}

/// Cuts the node with this id off: what it sends is lost, and it receives nothing. To free it
/// afterwards is a crash, as the others see it.
///
/// Any thread, callbacks included. `id` is only read. NULL, and an id of which no node was made
/// on this network: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_unplug(network: *mut Network, id: *const c_char) -> Status {
    status(|| {
        let (network, id) = (try_pinned!(network), try_text!(id));
        network.core.unplug(&NodeId::new(id)?)
    })
}

/// Connects the node with this id again.
///
/// As `caster_network_unplug`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_network_plug(network: *mut Network, id: *const c_char) -> Status {
    status(|| {
        let (network, id) = (try_pinned!(network), try_text!(id));
        network.core.plug(&NodeId::new(id)?)
    })
}
