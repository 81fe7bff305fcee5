//! An interface, as the system lists it.

use crate::message::Interface;
use std::net::{IpAddr, Ipv4Addr};

/// An interface as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Found {
    pub interface: Interface,
    pub up: bool,
    /// Whether there is a carrier.
    pub running: bool,
    pub multicast: bool,
    pub loopback: bool,
    pub point_to_point: bool,
    /// The largest IP packet; 1500 if the system does not tell it.
    pub mtu: usize,
    pub addresses: Vec<IpAddr>,
}

/// The MTU of Ethernet, of an interface that does not tell its own.
pub(in crate::driver) const USUAL_MTU: usize = 1500;

impl Found {
    pub fn has(&self, address: IpAddr) -> bool {
        // On Linux the whole of 127.0.0.0/8 belongs to the loopback interface.
        self.addresses.contains(&address) || (self.loopback && address.is_loopback())
    }

    pub fn first_v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    pub fn has_family(&self, v4: bool) -> bool {
        self.addresses.iter().any(|address| address.is_ipv4() == v4)
    }
}
