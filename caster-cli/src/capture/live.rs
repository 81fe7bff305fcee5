//! The datagrams of the group as they arrive: those to its port and to its data port.

use super::Datagram;
use crate::failure::Failure;
use crate::network::NetworkArgs;
use caster_core::{Caster, Event, NoEvent, Node};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

/// The time between two looks at the second of the two sockets.
const LOOK: Duration = Duration::from_millis(20);

/// Listens to a group without being seen.
pub struct Listener {
    /// That of the group's port, and that of the data port.
    sockets: Vec<(Caster, SocketAddr)>,
}

impl Listener {
    /// Opens the ports of the group.
    ///
    /// # Errors
    /// The options are not accepted, or the network refuses.
    pub fn open(network: &NetworkArgs, node: &Node) -> Result<Self, Failure> {
        let mut sockets = Vec::new();
        for port in [Some(node.port()), node.port().checked_add(1)].into_iter().flatten() {
            let caster = Caster::new(&network.bare_options(port)?)?;
            caster.clear_stages();
            caster.bind()?;
            sockets.push((caster, SocketAddr::new(node.multicast(), port)));
        }
        Ok(Self { sockets })
    }

    /// The datagrams that have come by a moment; waits for the first. Empty after the time.
    ///
    /// # Errors
    /// The network was closed.
    pub fn next(&self, wait: Duration) -> Result<Vec<Datagram>, Failure> {
        let ends = Instant::now() + wait;
        let mut found = Vec::new();
        loop {
            for (at, (caster, to)) in self.sockets.iter().enumerate() {
                // The first one waits, and the others are looked at in between.
                let left = ends.saturating_duration_since(Instant::now());
                let wait =
                    if at == 0 && found.is_empty() { left.min(LOOK) } else { Duration::ZERO };
                let mut event = caster.next_event(Some(wait));
                while let Ok(happened) = event {
                    found.extend(datagram(&happened, *to));
                    crate::find::tell_trouble(&happened);
                    event = caster.next_event(Some(Duration::ZERO));
                }
                if let Err(end) = event
                    && end != NoEvent::TimedOut
                {
                    return Err(end.into());
                }
            }
            if !found.is_empty() || Instant::now() >= ends {
                return Ok(found);
            }
        }
    }
}

fn datagram(event: &Event, to: SocketAddr) -> Option<Datagram> {
    let Event::Datagram { message, remote } = event else { return None };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(Datagram {
        at: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        from: remote.address,
        to,
        interface: remote.interface.map(|it| it.name().to_owned()),
        data: message.data().to_vec(),
    })
}
