//! Asking a host whether anybody there still has the port open.
//!
//! A datagram to a port that nobody listens on is refused by the host at once. Silence says
//! nothing: firewalls keep silent.

use super::clock;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a refusal is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many hosts are asked at a time.
const MAX: usize = 64;

/// The hosts that are being asked.
#[derive(Debug, Default)]
pub(super) struct PortProbes(Vec<(SocketAddr, UdpSocket, Duration)>);

impl PortProbes {
    /// Asks. That it cannot be asked is as good as no answer.
    pub fn send(&mut self, to: SocketAddr, data: &[u8]) {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let asked = || -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(to)?;
            socket.send(data)?;
            Ok(socket)
        };
        if self.0.len() < MAX
            && let Ok(socket) = asked()
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
    fn a_port_that_nobody_has_open_is_refused_and_an_open_one_is_not() -> Result<(), std::io::Error>
    {
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
