//! Resolution of the names in the option `seeds`, on a thread of its own, because it may block.

use super::endpoint::Endpoint;
use super::protocol::SizedProtocol;
use super::thread::spawn;
use crate::protocol::time::Now;
use crate::sync::{lock, wait_while};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

/// Interval of the resolution: the addresses of a name may change.
const AGAIN: Duration = Duration::from_secs(30);

/// Resolves names until it is dropped.
pub(crate) struct Lookup(Arc<Stop>);

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for this time. Returns whether it has been stopped.
    fn wait(&self, time: Duration) -> bool {
        *wait_while(&self.changed, lock(&self.stopped), time, |stopped| !*stopped)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        *lock(&self.0.stopped) = true;
        self.0.changed.notify_one();
    }
}

/// Passes the addresses of these hosts to the protocol, now and, if there are names among them, after
/// each resolution. A name that cannot be resolved is tried again the next time.
pub(crate) fn follow<P: SizedProtocol>(
    endpoint: &Arc<Endpoint<P>>,
    hosts: &[(String, u16)],
    tell: fn(&mut P, &[SocketAddr], Now),
) -> Option<Lookup> {
    let literal = |(host, port): &(String, u16)| {
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, *port))
    };
    let addresses: Vec<SocketAddr> = hosts.iter().filter_map(literal).collect();
    if !addresses.is_empty() {
        endpoint.update(|protocol, now| tell(protocol, &addresses, now));
    }
    if addresses.len() == hosts.len() || endpoint.is_virtual() {
        return None;
    }
    let lookup = Lookup(Arc::default());
    let stop = lookup.0.clone();
    let endpoint = Arc::downgrade(endpoint);
    let hosts = hosts.to_vec();
    let run = move || {
        loop {
            let found =
                hosts.iter().filter_map(|host| (host.0.as_str(), host.1).to_socket_addrs().ok());
            let addresses: Vec<SocketAddr> = found.flatten().collect();
            let Some(endpoint) = Weak::upgrade(&endpoint) else { return };
            if *lock(&stop.stopped) {
                return;
            }
            endpoint.update(|protocol, now| tell(protocol, &addresses, now));
            drop(endpoint);
            if stop.wait(AGAIN) {
                return;
            }
        }
    };
    // Without the thread the names have no effect; the literal addresses do.
    let spawned = spawn("caster-seeds", Box::new(run));
    spawned.ok().map(|_| lookup)
}
