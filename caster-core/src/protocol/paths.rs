//! By which addresses a peer is heard, and which of them is called its address.

use super::destination::LocalPort;
use super::time::{Moment, Now};
use crate::message::{Interface, Remote, ScopedAddress};
use crate::sort::sort_short;
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// How many addresses of a peer are kept.
const MAX_ADDRESSES: usize = 8;

/// The content that a datagram may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Any,
    /// A message of a program.
    Message {
        signed: bool,
    },
    /// Anything but that.
    Presence,
}

/// Where something was heard from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub address: IpAddr,
    pub port: u16,
    pub interface: Option<Interface>,
    /// The size of the datagram on the wire.
    pub size: usize,
    /// Whether the datagram was sent to the group: nothing that it says was said to this node alone.
    pub to_group: bool,
    /// Whether it was sent to the port of the group: by unicast, if the port of the process is out of reach.
    pub on_group_port: bool,
    /// In secure mode the class of its frame.
    pub content: Content,
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self {
            address,
            port: 0,
            interface: None,
            size: 0,
            to_group: false,
            on_group_port: false,
            content: Content::Any,
        }
    }
}

impl From<&Remote> for Origin {
    fn from(remote: &Remote) -> Self {
        let (address, port) = (remote.address.ip(), remote.address.port());
        let Remote { interface, size, to_group, on_group_port, .. } = *remote;
        Self { address, port, interface, size, to_group, on_group_port, content: Content::Any }
    }
}

impl From<SocketAddr> for Origin {
    fn from(address: SocketAddr) -> Self {
        // Of a heartbeat without a digest: what the simulation sends.
        let (address, port) = (address.ip(), address.port());
        Self {
            address,
            port,
            interface: None,
            size: 200,
            to_group: false,
            on_group_port: false,
            content: Content::Any,
        }
    }
}

impl Origin {
    /// Where it can be written to.
    pub fn sender(self) -> SocketAddr {
        match (self.address, self.interface) {
            (IpAddr::V6(ip), Some(interface)) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, self.port, 0, interface.index()).into()
            }
            (ip, _) => SocketAddr::new(ip, self.port),
        }
    }

    /// The port of this process that a datagram by unicast came to.
    pub fn local_port(self) -> LocalPort {
        match self.on_group_port && !self.to_group {
            true => LocalPort::Group,
            false => LocalPort::Private,
        }
    }

    pub fn scoped_address(self) -> ScopedAddress {
        ScopedAddress::new(self.address, self.interface)
    }

    fn path(self, now: Now) -> Path {
        let interface = self.interface.map_or(0, |interface| interface.index());
        Path {
            address: self.address,
            interface,
            last_seen: now.unix_ms,
            heard: now.mono.into(),
            by_silence: false,
        }
    }
}

/// A path by which a peer is heard: small, for there may be hundreds of thousands of peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub address: IpAddr,
    /// The number of the interface; 0 if it is not known.
    pub interface: u32,
    pub last_seen: u64,
    pub heard: Moment,
    /// Believed because the peer was silent at its other addresses.
    pub by_silence: bool,
}

/// The paths by which a peer is heard: the one that is its address first, then from the best to the
/// worst. Most are heard by one.
#[derive(Debug)]
#[allow(clippy::box_collection, reason = "a Vec would make every record larger")]
pub(crate) enum Paths {
    One(Path),
    Many(Box<Vec<Path>>),
}

impl Paths {
    pub fn new(origin: Origin, now: Now) -> Self {
        Self::One(origin.path(now))
    }

    pub fn as_slice(&self) -> &[Path] {
        match self {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        match self {
            Paths::One(path) => std::slice::from_mut(path).iter_mut(),
            Paths::Many(paths) => paths.iter_mut(),
        }
    }

    /// The address of the peer.
    pub fn address(&self) -> IpAddr {
        self.as_slice()[0].address
    }

    /// Whether it was heard from this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.as_slice().iter().any(|known| known.address == address)
    }

    /// Whether this address is believed only because the peer was silent at the others.
    pub fn is_by_silence(&self, address: IpAddr) -> bool {
        self.as_slice().iter().any(|known| known.address == address && known.by_silence)
    }

    /// Adds an address that is believed because the peer was silent at the others.
    pub fn add_by_silence(&mut self, origin: Origin, now: Now, patience: Duration) -> bool {
        let changed = self.heard_from(origin, now, patience);
        self.iter_mut()
            .filter(|path| path.address == origin.address)
            .for_each(|path| path.by_silence = true);
        changed
    }

    /// It was heard at `address`: if silence there had made others believed, these are given up.
    pub fn give_up_by_silence(&mut self, address: IpAddr) {
        let Paths::Many(paths) = self else { return };
        let former = |path: &Path| path.address == address && !path.by_silence;
        if paths.iter().any(former) {
            paths.retain(|path| !path.by_silence);
        }
    }

    /// It was heard from there. Returns whether its address is another one now: that is so when it
    /// was not heard from the one that it had for as long as `patience`.
    pub fn heard_from(&mut self, origin: Origin, now: Now, patience: Duration) -> bool {
        let new = origin.path(now);
        let is_same =
            |known: &Path| (known.address, known.interface) == (new.address, new.interface);
        let paths = match self {
            // The usual case.
            Paths::One(path) if is_same(path) => {
                *path = new;
                return false;
            }
            Paths::One(path) => {
                *self = Paths::Many(Box::new(vec![*path]));
                let Paths::Many(paths) = self else { unreachable!("it was just made that") };
                paths
            }
            Paths::Many(paths) => paths,
        };
        let before = paths[0].address;
        match paths.iter_mut().find(|known| is_same(known)) {
            Some(known) => *known = Path { by_silence: known.by_silence, ..new },
            None => {
                if paths.len() >= MAX_ADDRESSES {
                    let others = paths.iter().enumerate();
                    let others = others.filter(|(_, known)| known.address != before);
                    match others.min_by_key(|(_, known)| known.heard) {
                        Some((at, _)) => drop(paths.remove(at)),
                        None => drop(paths.pop()),
                    }
                }
                paths.push(new);
            }
        }
        let fresh = |known: &Path| now.mono <= known.heard.time() + patience;
        let stays = paths.iter().filter(|known| known.address == before).any(fresh);
        let rank = |known: &Path| {
            let address = known.address;
            (fresh(known), !address.is_loopback(), address.is_ipv4(), known.heard)
        };
        let best = paths.iter().max_by_key(|known| rank(known)).map(|known| known.address);
        let address = best.filter(|_| !stays).unwrap_or(before);
        sort_short(paths, |known| Reverse((known.address == address, rank(known))));
        address != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
    }

    fn origin(address: &str, interface: u32) -> Origin {
        let interface = Some(Interface::new(interface, &format!("eth{interface}")));
        Origin { interface, ..address.parse::<IpAddr>().unwrap().into() }
    }

    fn paths(origin: Origin) -> Paths {
        Paths::new(origin, at(0))
    }

    fn addresses(paths: &Paths) -> Vec<String> {
        paths.as_slice().iter().map(|known| known.address.to_string()).collect()
    }

    #[test]
    fn the_address_stays_while_it_is_heard() {
        let mut paths = paths(origin("127.0.0.1", 1));
        for ms in (0..10_000).step_by(500) {
            for (address, interface) in [("127.0.0.1", 1), ("10.0.0.1", 2), ("fe80::1", 2)] {
                assert!(!paths.heard_from(origin(address, interface), at(ms), PATIENCE));
            }
        }
        assert_eq!(addresses(&paths), ["127.0.0.1", "10.0.0.1", "fe80::1"]);
        assert_eq!(paths.as_slice()[1].interface, 2);
        assert_eq!(paths.as_slice()[1].last_seen, 1_009_500);
    }

    #[test]
    fn when_it_falls_silent_the_best_of_the_others_takes_its_place() {
        let mut paths = paths(origin("10.0.0.1", 1));
        for ms in [0, 1900] {
            for address in ["10.0.1.1", "fe80::1", "127.0.0.1"] {
                assert!(!paths.heard_from(origin(address, 2), at(ms), PATIENCE));
            }
        }
        assert!(paths.heard_from(origin("fe80::1", 2), at(2001), PATIENCE));
        assert_eq!(addresses(&paths), ["10.0.1.1", "fe80::1", "127.0.0.1", "10.0.0.1"]);
        assert!(
            !paths.heard_from(origin("10.0.0.1", 1), at(2002), PATIENCE),
            "it is back too late"
        );
        assert_eq!(paths.address(), paths.as_slice()[0].address);
    }

    #[test]
    fn the_same_address_by_two_interfaces_is_two_ways_to_it() {
        let mut paths = paths(origin("10.0.0.1", 1));
        paths.heard_from(origin("10.0.0.1", 2), at(1), PATIENCE);
        assert_eq!(paths.as_slice().len(), 2);
        assert!(!paths.heard_from(origin("10.0.0.1", 2), at(5000), PATIENCE));
    }

    #[test]
    fn their_number_is_bounded_and_the_address_is_always_among_them() {
        let mut paths = paths(origin("10.0.0.1", 1));
        for n in 0..100 {
            paths.heard_from(origin(&format!("10.0.1.{n}"), 1), at(n), PATIENCE);
            assert!(paths.as_slice().len() <= MAX_ADDRESSES);
            assert!(paths.has([10, 0, 0, 1].into()) || n > 0);
        }
        for n in 0..100 {
            paths.heard_from(origin("10.0.0.1", n), at(200), PATIENCE);
            assert!(paths.as_slice().len() <= MAX_ADDRESSES);
        }
    }

    #[test]
    fn an_address_believed_by_silence_is_given_up_when_a_former_one_is_heard() {
        let mut paths = paths(origin("10.0.0.1", 1));
        assert!(paths.add_by_silence(origin("10.0.0.2", 1), at(3000), Duration::ZERO));
        paths.give_up_by_silence([10, 0, 0, 2].into());
        assert_eq!(addresses(&paths), ["10.0.0.2", "10.0.0.1"]);
        paths.give_up_by_silence([10, 0, 0, 1].into());
        assert_eq!(addresses(&paths), ["10.0.0.1"]);
    }
}
