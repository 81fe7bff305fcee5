//! The names of the option `seeds`: looked up, and again, on a thread of their own, because
//! looking up may take long.

use super::endpoint::Endpoint;
use super::protocol::Protocol;
use super::thread::{lock, spawn};
use crate::protocol::time::Now;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often names are looked up: they may lead elsewhere by then.
const AGAIN: Duration = Duration::from_secs(30);

/// Looks up as long as it lives.
pub(crate) struct Lookup(Arc<Stop>);

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for so long. Whether it has been stopped.
    fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.stopped), time, |it| !*it);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        *lock(&self.0.stopped) = true;
        self.0.changed.notify_one();
    }
}

/// Tells the protocol where these hosts are, now and, if there are names among them, again and
/// again. A host that cannot be found is tried again next time.
pub(crate) fn follow<P: Protocol>(
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
    // Without the thread the names are not followed; the addresses are.
    let spawned = spawn("caster-seeds", Box::new(run));
    spawned.ok().map(|_| lookup)
}
