//! A session of a sender: its random name, its counter and the random bits of its nonces.

use super::identity::{PublicKey, Salt};
use super::names::SenderId;
use crate::sha256::sha256;
use crate::sync::lock;
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
    state: Mutex<State>,
    surroundings: Arc<dyn Surroundings>,
    own: Arc<OwnSenders>,
    /// That of a node with an identity.
    public: Option<PublicKey>,
}

struct State {
    sender: SenderId,
    /// Of which the sender was made, if the node has an identity.
    salt: Salt,
    /// The sender before, and the one that comes next, once it is drawn.
    former: Option<SenderId>,
    next: Option<(SenderId, Salt)>,
    counter: u64,
    x: u32,
    drawn: Duration,
}

impl Session {
    pub(super) fn begin(
        surroundings: Arc<dyn Surroundings>,
        own: &Arc<OwnSenders>,
        public: Option<PublicKey>,
    ) -> Self {
        let (sender, salt) = draw_sender(&*surroundings, own, public);
        let (x, drawn) = (draw(&*surroundings), surroundings.now());
        let state = State { sender, salt, former: None, next: None, counter: 0, x, drawn };
        Self { state: Mutex::new(state), surroundings, own: own.clone(), public }
    }

    pub fn sender(&self) -> SenderId {
        lock(&self.state).sender
    }

    /// How many frames the present sender has sealed.
    pub fn sealed(&self) -> u64 {
        lock(&self.state).counter
    }

    /// The sender that comes next. Frames for it open from now on.
    pub fn draw_next(&self) -> SenderId {
        self.drawn_next().0
    }

    fn drawn_next(&self) -> (SenderId, Salt) {
        let mut state = lock(&self.state);
        let draw = || draw_sender(&*self.surroundings, &self.own, self.public);
        *state.next.get_or_insert_with(draw)
    }

    /// Seals as the next sender from now on. Frames for the one before still open.
    pub fn change(&self) -> SenderId {
        let (next, salt) = self.drawn_next();
        let (x, drawn) = (draw(&*self.surroundings), self.surroundings.now());
        let mut state = lock(&self.state);
        let former = Some(state.sender);
        let forgotten = state.former;
        *state = State { sender: next, salt, former, next: None, counter: 0, x, drawn };
        drop(state);
        lock(&self.own.0).retain(|sender| Some(*sender) != forgotten);
        next
    }

    /// The time of day less the monotonic time, in nanoseconds: it stays the same unless a clock is set, or the
    /// machine goes back to an earlier state.
    pub fn clocks(&self) -> i128 {
        self.surroundings.unix_nanos() as i128 - self.surroundings.now().as_nanos() as i128
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
    pub(super) fn next(&self, redraw: bool) -> (SenderId, Salt, u32, u64) {
        let now = self.surroundings.now();
        let mut state = lock(&self.state);
        if redraw || now.saturating_sub(state.drawn) >= REDRAWN_AFTER {
            (state.x, state.drawn) = (draw(&*self.surroundings), now);
        }
        state.counter += 1;
        (state.sender, state.salt, state.x, state.counter)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let state = lock(&self.state);
        let all = [Some(state.sender), state.former, state.next.map(|(sender, _)| sender)];
        lock(&self.own.0).retain(|sender| !all.contains(&Some(*sender)));
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.sender())
    }
}

/// A new sender. That of a node with an identity commits to its key, so that no other one can sign for it.
fn draw_sender(
    surroundings: &dyn Surroundings,
    own: &OwnSenders,
    public: Option<PublicKey>,
) -> (SenderId, Salt) {
    let (mut sender, mut salt) = (SenderId([0; 12]), Salt::default());
    match public {
        Some(key) => {
            surroundings.random(&mut salt.0);
            sender = key.sender(&salt);
        }
        None => surroundings.random(&mut sender.0),
    }
    lock(&own.0).push(sender);
    (sender, salt)
}

/// A machine that was restored may have the state of the kernel's generator again, but not its times.
fn draw(surroundings: &dyn Surroundings) -> u32 {
    let mut random = [0; 16];
    surroundings.random(&mut random);
    let digest = sha256(&[
        &random,
        &surroundings.now().as_nanos().to_be_bytes(),
        &surroundings.unix_nanos().to_be_bytes(),
    ]);
    u32::from_be_bytes(*digest.first_chunk().expect("32 bytes"))
}

/// Clocks and random numbers for tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) struct Clocks(Mutex<(Duration, u128, u64)>);

    impl Clocks {
        pub fn new(now: Duration) -> Arc<Self> {
            Arc::new(Self(Mutex::new((now, now.as_nanos(), 0))))
        }

        /// Both clocks go on by `time`, and the time of day is set by `set` beside that.
        pub fn pass(&self, time: Duration, set: Duration) {
            let mut clocks = lock(&self.0);
            clocks.0 += time;
            clocks.1 += (time + set).as_nanos();
        }
    }

    impl Surroundings for Clocks {
        fn now(&self) -> Duration {
            lock(&self.0).0
        }

        fn unix_nanos(&self) -> u128 {
            lock(&self.0).1
        }

        fn random(&self, bytes: &mut [u8]) {
            // As many different ones as tests draw.
            let drawn = &mut lock(&self.0).2;
            *drawn += 1;
            bytes.copy_from_slice(&sha256(&[&drawn.to_be_bytes()])[..bytes.len()]);
        }
    }
}
