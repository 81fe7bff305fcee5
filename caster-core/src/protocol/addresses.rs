//! By which addresses a peer is heard, and which of them is called its address.

use super::engine::Now;
use crate::message::{Interface, Remote};
use crate::peer::{Peer, PeerAddress};
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How many addresses of a peer are kept.
const MAX_ADDRESSES: usize = 8;

/// Where something was heard from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub address: IpAddr,
    pub port: u16,
    pub interface: Option<Interface>,
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self { address, port: 0, interface: None }
    }
}

impl From<&Remote> for Origin {
    fn from(remote: &Remote) -> Self {
        let (address, port) = (remote.address.ip(), remote.address.port());
        Self { address, port, interface: remote.interface }
    }
}

impl From<SocketAddr> for Origin {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: address.port(), interface: None }
    }
}

impl Origin {
    /// Where it can be written to.
    pub fn sender(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    pub fn heard(self, now: Now) -> PeerAddress {
        let Self { address, interface, .. } = self;
        PeerAddress { address, interface, last_seen: now.unix_ms, heard: now.mono }
    }
}

impl Peer {
    /// Whether it was heard from this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|known| known.address == address)
    }

    /// It was heard from there. Returns whether its address is another one now: that is so when it
    /// was not heard from the one that it had for as long as `patience`.
    pub(crate) fn heard_from(&mut self, origin: Origin, now: Now, patience: Duration) -> bool {
        let index = |interface: &Option<Interface>| interface.map(|it| it.index());
        let known = self.addresses.iter_mut().find(|known| {
            known.address == origin.address && index(&known.interface) == index(&origin.interface)
        });
        // The usual case.
        if let Some(known) = known {
            *known = origin.heard(now);
            if origin.address == self.address && self.addresses.len() == 1 {
                return false;
            }
        } else {
            if self.addresses.len() >= MAX_ADDRESSES {
                let others = self.addresses.iter().enumerate();
                let others = others.filter(|(_, known)| known.address != self.address);
                if let Some((at, _)) = others.min_by_key(|(_, known)| known.heard) {
                    self.addresses.remove(at);
                } else {
                    self.addresses.pop();
                }
            }
            self.addresses.push(origin.heard(now));
        }
        let fresh = |known: &PeerAddress| now.mono <= known.heard + patience;
        let current = self.addresses.iter().filter(|known| known.address == self.address);
        let stays = { current }.any(fresh);
        let rank = |known: &PeerAddress| {
            let address = known.address;
            (fresh(known), !address.is_loopback(), address.is_ipv4(), known.heard)
        };
        let best = self.addresses.iter().max_by_key(|known| rank(known));
        let changed = match best {
            Some(best) if !stays && best.address != self.address => {
                self.address = best.address;
                true
            }
            _ => false,
        };
        let address = self.address;
        self.addresses.sort_by_key(|known| Reverse((known.address == address, rank(known))));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::NodeId;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
    }

    fn origin(address: &str, interface: u32) -> Origin {
        let interface = Some(Interface::new(interface, &format!("eth{interface}")));
        Origin { address: address.parse().unwrap(), port: 0, interface }
    }

    fn peer(origin: Origin) -> Peer {
        Peer {
            id: NodeId::new("x").unwrap(),
            address: origin.address,
            addresses: vec![origin.heard(at(0))],
            first_seen: 0,
            last_seen: 0,
            meta: None,
            suspect: false,
            loss_per_mille: 0,
        }
    }

    fn addresses(peer: &Peer) -> Vec<String> {
        peer.addresses.iter().map(|known| known.address.to_string()).collect()
    }

    #[test]
    fn the_address_stays_while_it_is_heard() {
        let mut peer = peer(origin("127.0.0.1", 1));
        for ms in (0..10_000).step_by(500) {
            for (address, interface) in [("127.0.0.1", 1), ("10.0.0.1", 2), ("fe80::1", 2)] {
                assert!(!peer.heard_from(origin(address, interface), at(ms), PATIENCE));
            }
        }
        assert_eq!(addresses(&peer), ["127.0.0.1", "10.0.0.1", "fe80::1"]);
        assert_eq!(peer.addresses[1].interface.unwrap().name(), "eth2");
        assert_eq!(peer.addresses[1].last_seen, 1_009_500);
    }

    #[test]
    fn when_it_falls_silent_the_best_of_the_others_takes_its_place() {
        let mut peer = peer(origin("10.0.0.1", 1));
        for ms in [0, 1900] {
            for address in ["10.0.1.1", "fe80::1", "127.0.0.1"] {
                assert!(!peer.heard_from(origin(address, 2), at(ms), PATIENCE));
            }
        }
        assert!(peer.heard_from(origin("fe80::1", 2), at(2001), PATIENCE));
        assert_eq!(addresses(&peer), ["10.0.1.1", "fe80::1", "127.0.0.1", "10.0.0.1"]);
        assert!(!peer.heard_from(origin("10.0.0.1", 1), at(2002), PATIENCE), "it is back too late");
        assert_eq!(peer.address, peer.addresses[0].address);
    }

    #[test]
    fn the_same_address_by_two_interfaces_is_two_ways_to_it() {
        let mut peer = peer(origin("10.0.0.1", 1));
        peer.heard_from(origin("10.0.0.1", 2), at(1), PATIENCE);
        assert_eq!(peer.addresses.len(), 2);
        assert!(!peer.heard_from(origin("10.0.0.1", 2), at(5000), PATIENCE));
    }

    #[test]
    fn their_number_is_bounded_and_the_address_is_always_among_them() {
        let mut peer = peer(origin("10.0.0.1", 1));
        for n in 0..100 {
            peer.heard_from(origin(&format!("10.0.1.{n}"), 1), at(n), PATIENCE);
            assert!(peer.addresses.len() <= MAX_ADDRESSES);
            assert_eq!(peer.addresses[0].address, peer.address);
        }
        for n in 0..100 {
            peer.heard_from(origin("10.0.0.1", n), at(200), PATIENCE);
            assert!(peer.addresses.len() <= MAX_ADDRESSES);
        }
    }
}
