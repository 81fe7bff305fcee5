//! Port probes: datagrams that show whether a port of a host is still open.
//!
//! A host refuses a datagram to a closed port at once. No reply means nothing: firewalls drop
//! datagrams silently.

use super::clock;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Time to wait for a refusal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Maximum number of probes at a time.
const MAX: usize = 64;

/// The probes that wait for a refusal.
#[derive(Debug, Default)]
pub(super) struct PortProbes(Vec<(SocketAddr, UdpSocket, Duration)>);

impl PortProbes {
    /// Sends a probe. A probe that cannot be sent counts as not refused.
    pub fn send(&mut self, to: SocketAddr, data: &[u8]) {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let probe = || -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(to)?;
            socket.send(data)?;
            Ok(socket)
        };
        if self.0.len() < MAX
            && let Ok(socket) = probe()
        {
            self.0.push((to, socket, clock::monotonic() + PATIENCE));
        }
    }

    /// The ports that were refused since the last time.
    pub fn refused(&mut self) -> Vec<SocketAddr> {
        let now = clock::monotonic();
        let mut refused = Vec::new();
        self.0.retain(|(port, socket, until)| {
            let error = socket.take_error().ok().flatten();
            let is_refusal = error.is_some_and(|it| it.kind() == ErrorKind::ConnectionRefused);
            if is_refusal {
                refused.push(*port);
            }
            !is_refusal && now < *until
        });
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_refused_and_an_open_one_is_not() -> Result<(), std::io::Error> {
        let open = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut probes = PortProbes::default();
        probes.send(open.local_addr()?, b"x");
        assert!(probes.refused().is_empty());
        probes.send(closed, b"x");
        let start = clock::monotonic();
        while probes.refused() != [closed] {
            assert!(clock::monotonic() - start < PATIENCE, "no refusal came");
        }
        assert!(probes.refused().is_empty());
        Ok(())
    }
}
