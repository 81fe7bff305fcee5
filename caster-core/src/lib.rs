//! LAN discovery without a server: programs on a network find each other, know which are alive and
//! talk. Wire-compatible with the npm package `caster` 0.1.1.
//!
//! * [`Node`] discovers: it sends heartbeats, follows those of its peers and tells with events which
//!   peers came, changed and left, and their messages.
//! * [`Caster`] is the layer below: a multicast socket with a pipeline of [`middleware`].
//!
//! ```
//! use caster_core::{Event, Node, Options};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Service {
//!     kind: String,
//!     port: u16,
//! }
//!
//! # let loopback = std::net::Ipv4Addr::LOCALHOST;
//! let me = Service { kind: "printer".into(), port: 631 };
//! # let options = Options::for_node().address(loopback).port(40406);
//! # /*
//! let options = Options::for_node();
//! # */
//! let node = Node::new(&options.meta(&me).heartbeat(Duration::from_millis(500)))?;
//! node.up()?;
//! while let Ok(event) = node.next_event(Some(Duration::from_millis(50))) {
//!     match event {
//!         Event::Up(peer) => {
//!             let service: Service = peer.parse_meta()?;
//!             println!("{}: a {} at {}:{}", peer.id, service.kind, peer.address, service.port);
//!         }
//!         Event::Down { peer, reason } => println!("{} is down: {}", peer.id, reason.as_str()),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features, of which the last two are on by default:
//!
//! | feature | |
//! |---|---|
//! | `async` | `Node::stream` and `Caster::stream` have the events as a `futures_core::Stream`, for any runtime |
//! | `legacy-digests` | `md5` and `ripemd160` for the option `hashAlgorithm` |
//! | `legacy-ciphers` | the option `crypto` and [`middleware::Crypto`], the encryption of caster 0.1.1 |
//!
//! Event loops watch the descriptor of [`Node::events_fd`]. A clone of a node is another handle of it.
//!
//! One thread for each network receives, keeps time and fills a bounded queue for each node or
//! caster; the program takes events from it when it likes ([`Node::next_event`]). Sending happens on the
//! thread that sends. No code of the program runs on the inner thread, with one exception:
//! a [`middleware::Middleware`] of its own.

#![warn(clippy::disallowed_methods, missing_debug_implementations)]

mod caster;
mod departure;
mod driver;
mod entropy;
mod environment;
mod error;
mod finite;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod host;
mod jsonscan;
mod jsontext;
mod jstext;
mod message;
pub mod middleware;
mod node;
pub mod options;
mod peer;
mod plain;
mod protocol;
mod secure;
mod sha256;
mod shared;
mod sort;
mod stats;
#[cfg(feature = "async")]
mod stream;
mod sync;
mod transit;
mod virtual_network;

#[cfg(test)]
mod tests;

pub use caster::Caster;
#[cfg(unix)]
pub use driver::events_fd::EventsFd;
pub use driver::queue::NoEvent;
pub use error::{Error, ErrorCode, Result};
pub use jstext::{JsText, number_to_text};
pub use message::{Interface, Message, MessageKind, Remote, ScopedAddress};
pub use node::Node;
pub use options::{Dialect, Options};
pub use peer::{MAX_ID_BYTES, NodeId, Peer, PeerAddress, PeerAddresses, PeerDetails};
pub use protocol::event::{Changed, DownReason, Event};
pub use secure::identity::{Identity, PublicKey};
pub use secure::key::Key;
pub use secure::names::{KEY_BYTES, KeyId};
pub use stats::{DropReason, InterfaceStats, Stats};
#[cfg(feature = "async")]
pub use stream::EventStream;
pub use virtual_network::VirtualNetwork;

/// The version of this library, as in `0.2.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
