//! A session of a sender: its random name, its counter and the random bits of its nonces.

use super::names::SenderId;
use crate::sync::lock;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The part of the system that a session needs. The driver hands it in; a virtual network has its own.
pub(crate) trait Surroundings: Send + Sync {
    /// The monotonic time.
    fn now(&self) -> Duration;
    /// The time of day, in nanoseconds since 1970.
    fn unix_nanos(&self) -> u128;
    /// Fills the bytes with random ones. In a virtual network a seed repeats them.
    fn random(&self, bytes: &mut [u8]);
}

/// The random bits of the nonce are drawn again after this time.
const REDRAWN_AFTER: Duration = Duration::from_millis(100);

/// The sessions of this process that use one ring: frames for one receiver are for one of these.
#[derive(Debug, Default)]
pub(super) struct OwnSenders(Mutex<Vec<SenderId>>);

impl OwnSenders {
    pub fn all(&self) -> impl Iterator<Item = SenderId> + use<> {
        // There is one in nearly all programs; more than four are for the tests of many nodes.
        let own = lock(&self.0);
        let mut few = [None; 4];
        own.iter().zip(&mut few).for_each(|(&id, place)| *place = Some(id));
        let rest = own.get(4..).unwrap_or_default().to_vec();
        few.into_iter().flatten().chain(rest)
    }
}

/// One session: from `up` or `bind` to its end.
pub(crate) struct Session {
    sender: SenderId,
    counter: AtomicU64,
    x: Mutex<X>,
    surroundings: Arc<dyn Surroundings>,
    own: Arc<OwnSenders>,
}

struct X {
    value: u32,
    drawn: Duration,
}

impl Session {
    pub(super) fn begin(surroundings: Arc<dyn Surroundings>, own: &Arc<OwnSenders>) -> Self {
        let mut sender = SenderId([0; 12]);
        surroundings.random(&mut sender.0);
        lock(&own.0).push(sender);
        let x = X { value: draw(&*surroundings), drawn: surroundings.now() };
        Self {
            sender,
            counter: AtomicU64::new(0),
            x: Mutex::new(x),
            surroundings,
            own: own.clone(),
        }
    }

    pub fn sender(&self) -> SenderId {
        self.sender
    }

    /// Fills the bytes with random ones.
    pub fn random(&self, bytes: &mut [u8]) {
        self.surroundings.random(bytes);
    }

    pub fn now(&self) -> Duration {
        self.surroundings.now()
    }

    /// The nonce of the next frame: the random bits and the counter. The counter alone makes it unique;
    /// the random bits tell apart what two copies of one machine send.
    pub(super) fn next(&self, redraw: bool) -> (u32, u64) {
        let now = self.surroundings.now();
        let x = {
            let mut x = lock(&self.x);
            if redraw || now.saturating_sub(x.drawn) >= REDRAWN_AFTER {
                *x = X { value: draw(&*self.surroundings), drawn: now };
            }
            x.value
        };
        (x, self.counter.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.own.0).retain(|sender| *sender != self.sender);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.sender)
    }
}

/// A machine that was restored may have the state of the kernel's generator again, but not its times.
fn draw(surroundings: &dyn Surroundings) -> u32 {
    let mut random = [0; 16];
    surroundings.random(&mut random);
    let digest = Sha256::new()
        .chain_update(random)
        .chain_update(surroundings.now().as_nanos().to_be_bytes())
        .chain_update(surroundings.unix_nanos().to_be_bytes())
        .finalize();
    u32::from_be_bytes(*digest.first_chunk().expect("32 bytes"))
}
