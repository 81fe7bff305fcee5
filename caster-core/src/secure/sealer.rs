//! Sealing and opening with a ring of keys: the work of the stage nearest the wire.

use super::ciphers::{Admission, Ciphers};
use super::frame::{self, Class, HEADER, Header, Malformed, OVERHEAD};
use super::identity::{Identities, Signature, TRAILER};
use super::key::Key;
use super::mark::Opened;
use super::names::{KeyId, SenderId};
use super::proof::Proof;
use super::schedule::{Derived, MAX_REALM};
use super::session::{OwnSenders, Session, Surroundings};
use super::suite::{Cipher, Suite, keyed};
use crate::error::{Error, ErrorCode, Result};
use crate::sync::{lock, read, write};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// The most keys in a ring: each of them costs every forged datagram a hint.
pub(crate) const MAX_KEYS: usize = 8;

/// Why a datagram was not opened. The difference is for local counters only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed(Malformed),
    /// No key and realm of the ring has this hint.
    Hint,
    Tag,
    /// It is readable (suite 3), and that was not allowed.
    Readable,
    /// The budget for unknown senders is used up.
    Budget,
}

/// One key of a ring.
struct RingKey {
    /// Never used again in this process for this ring.
    number: u32,
    derived: Arc<Derived>,
    /// It was removed, and is accepted for a short time only.
    is_closing: bool,
}

/// The keys that are accepted; the first one seals. One lock for them and the ciphers: of 150 ns for a small
/// datagram each lock takes 8.
#[derive(Default)]
struct Ring {
    keys: Vec<RingKey>,
    next: u32,
    ciphers: Ciphers,
}

/// A ring of keys with its realm, and the sessions that use it.
pub struct Sealer {
    realm: Box<str>,
    suite: Suite,
    /// Whether frames that are readable are taken.
    readable: bool,
    ring: Mutex<Ring>,
    identities: Identities,
    own: Arc<OwnSenders>,
    /// Of the last session; it has the time.
    surroundings: RwLock<Option<Arc<dyn Surroundings>>>,
    admission: Mutex<Admission>,
    hasher: foldhash::fast::RandomState,
}

impl Sealer {
    /// # Errors
    /// [`ErrorCode::InvalidOption`] without a key, with two equal ones, with more than [`MAX_KEYS`], or
    /// with a realm of more than 255 bytes.
    pub(crate) fn new(keys: &[Key], realm: &str, hmac: bool) -> Result<Self> {
        if keys.is_empty() {
            return Err(Error::new(ErrorCode::InvalidOption, "keys has no key"));
        }
        if realm.len() > MAX_REALM {
            let text = format!("realm has at most {MAX_REALM} bytes, and this has {}", realm.len());
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        let sealer = Self {
            realm: realm.into(),
            suite: if hmac { Suite::Hmac } else { Suite::preferred() },
            readable: hmac,
            ring: Mutex::default(),
            identities: Identities::default(),
            own: Arc::default(),
            surroundings: RwLock::default(),
            admission: Mutex::default(),
            hasher: Default::default(),
        };
        keys.iter().try_for_each(|key| sealer.add(key))?;
        Ok(sealer)
    }

    /// The same with identities.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the identity is one of the keys.
    pub(crate) fn with_identities(self, keys: &[Key], identities: Identities) -> Result<Self> {
        let own = identities.own.as_ref();
        if own.is_some_and(|own| keys.iter().any(|key| own.has_seed(key))) {
            let text = "option identity: it is one of the keys, which all members have";
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        Ok(Self { identities, ..self })
    }

    pub(crate) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// How many bytes a frame is larger than its payload, at most.
    pub(crate) fn overhead(&self) -> usize {
        OVERHEAD + if self.identities.own.is_some() { TRAILER } else { 0 }
    }

    /// Accepts one more key. One that was removed and is still accepted stays.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if it is in the ring, or the ring is full.
    pub(crate) fn add(&self, key: &Key) -> Result<()> {
        let derived = Arc::new(Derived::new(key.as_bytes(), &self.realm));
        let mut ring = lock(&self.ring);
        let refusal = |text: String| Err(Error::new(ErrorCode::InvalidOption, text));
        if let Some(known) = ring.keys.iter_mut().find(|it| it.derived.id == derived.id) {
            if std::mem::take(&mut known.is_closing) {
                return Ok(());
            }
            return refusal(format!("the key {} is in the ring already", derived.id));
        }
        if ring.keys.len() == MAX_KEYS {
            return refusal(format!("a ring has at most {MAX_KEYS} keys: remove one first"));
        }
        let number = ring.next;
        ring.next += 1;
        ring.keys.push(RingKey { number, derived, is_closing: false });
        Ok(())
    }

    /// Seals with this key from now on. Returns its number.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it is not in the ring.
    pub(crate) fn use_key(&self, id: KeyId) -> Result<u32> {
        let mut ring = lock(&self.ring);
        let at =
            ring.find(id).filter(|&at| !ring.keys[at].is_closing).ok_or_else(|| unknown(id))?;
        ring.keys[..=at].rotate_right(1);
        Ok(ring.keys[0].number)
    }

    /// This key is neither used nor announced from now on, and accepted until it is closed. Returns its
    /// number.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it is not in the ring, or seals.
    pub(crate) fn retire(&self, id: KeyId) -> Result<u32> {
        let mut ring = lock(&self.ring);
        let at = ring.find_unused(id)?;
        ring.keys[at].is_closing = true;
        Ok(ring.keys[at].number)
    }

    /// Closes a key that was retired, unless it was added again. Returns whether it is closed.
    pub(crate) fn close(&self, number: u32) -> bool {
        let mut ring = lock(&self.ring);
        let before = ring.keys.len();
        ring.keys.retain(|key| key.number != number || !key.is_closing);
        let is_closed = ring.keys.len() < before;
        if is_closed {
            ring.ciphers.forget_key(number);
        }
        is_closed
    }

    /// Accepts this key no longer. Returns its number.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it is not in the ring, or seals.
    pub(crate) fn remove(&self, id: KeyId) -> Result<u32> {
        let mut ring = lock(&self.ring);
        let at = ring.find_unused(id)?;
        let removed = ring.keys.remove(at).number;
        ring.ciphers.forget_key(removed);
        Ok(removed)
    }

    /// The number of the key that seals.
    pub(crate) fn sealing(&self) -> u32 {
        lock(&self.ring).keys.first().map_or(0, |key| key.number)
    }

    /// The beginning of the id of each key that does not seal: a sender names them, as it may use one next.
    pub(crate) fn next_keys(&self) -> Vec<u64> {
        let ring = lock(&self.ring);
        let next = ring.keys.iter().skip(1).filter(|key| !key.is_closing);
        next.map(|key| key.derived.id.beginning()).collect()
    }

    /// The number of the key whose id begins so.
    pub(crate) fn number_of(&self, beginning: u64) -> Option<u32> {
        let ring = lock(&self.ring);
        let key = ring.keys.iter().find(|key| key.derived.id.beginning() == beginning)?;
        Some(key.number)
    }

    /// The id of the key with this number.
    pub(crate) fn id_of(&self, number: u32) -> Option<KeyId> {
        let ring = lock(&self.ring);
        ring.keys.iter().find(|key| key.number == number).map(|key| key.derived.id)
    }

    /// The numbers of all keys.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        lock(&self.ring).keys.iter().map(|key| key.number).collect()
    }

    /// The ids of the keys; the first one seals.
    pub(crate) fn key_ids(&self) -> Vec<KeyId> {
        let ring = lock(&self.ring);
        ring.keys.iter().filter(|key| !key.is_closing).map(|key| key.derived.id).collect()
    }

    /// A new session of this process.
    pub(crate) fn begin(&self, surroundings: Arc<dyn Surroundings>) -> Session {
        *write(&self.surroundings) = Some(surroundings.clone());
        let public = self.identities.own.as_ref().map(|own| own.public_key());
        Session::begin(surroundings, &self.own, public)
    }

    /// Seals a payload in place. `to` is the receiver, if it is for one.
    pub(crate) fn seal(
        &self,
        session: &Session,
        class: Class,
        to: Option<SenderId>,
        payload: &mut Vec<u8>,
    ) {
        let suite = self.suite;
        let (sender, salt, x, counter) = session.next(class == Class::Heartbeat);
        let Identities { own, all, .. } = &self.identities;
        let signs = own.as_ref().filter(|_| class.is_control() || *all);
        let (signed, for_one) = (signs.is_some(), to.is_some());
        let header = Header { suite, signed, class, for_one, sender, x, counter };
        let (derived, cipher) = {
            let Ring { keys, ciphers, .. } = &mut *lock(&self.ring);
            let RingKey { number, derived, .. } =
                keys.first().expect("the key that seals is not removed");
            let name = (*number, suite, sender);
            let cipher = ciphers.get_or_put(name, || self.derive(derived, &header));
            (derived.clone(), cipher.clone())
        };
        if let Some(identity) = signs {
            identity.append(*all, &salt, payload);
            let header = header.write(&derived);
            identity.sign(&frame::digest(&header, to, &derived, payload), payload);
        }
        frame::seal(&header, to, &derived, &*cipher, payload);
    }

    /// Opens a datagram in place: it becomes the payload, without its signature. It stays as it is if it is
    /// refused.
    pub(crate) fn open(&self, datagram: &mut Vec<u8>) -> Result<Opened, Refused> {
        let header = Header::read(datagram).map_err(Refused::Malformed)?;
        if header.suite == Suite::Hmac && !self.readable {
            return Err(Refused::Readable);
        }
        let mut refused = Refused::Hint;
        let Ring { keys, ciphers, .. } = &mut *lock(&self.ring);
        for key in keys {
            if !frame::hint_matches(datagram, &key.derived) {
                continue;
            }
            let name = (key.number, header.suite, header.sender);
            let known = ciphers.get(&name);
            let derived = match known {
                Some(_) => None,
                None if !self.admit(&header) => return Err(Refused::Budget),
                None => Some(self.derive(&key.derived, &header)),
            };
            let Some(cipher) = known.or(derived.as_ref()) else { continue };
            refused = Refused::Tag;
            let verifies = header.signed && self.identities.verify();
            let head: Option<[u8; HEADER]> =
                if verifies { datagram.first_chunk().copied() } else { None };
            let Some(to) = self.open_for(&header, datagram, &key.derived, &**cipher) else {
                continue;
            };
            if let Some(cipher) = derived {
                ciphers.put(name, cipher);
            }
            let Header { sender, counter, class, signed, .. } = header;
            let mut signature = None;
            if let Some(head) = head {
                let digest = |payload: &[u8]| frame::digest(&head, to, &key.derived, payload);
                signature = Signature::read(datagram, digest);
            }
            if signed {
                datagram.truncate(datagram.len().saturating_sub(TRAILER));
            }
            let proof = Proof { key: key.number, sender, counter, class, to, signed };
            return Ok(Opened { proof, signature, block: Vec::new() });
        }
        Err(refused)
    }

    /// Opens a datagram for all, or for one of the sessions here. Returns for which of them.
    fn open_for(
        &self,
        header: &Header,
        datagram: &mut Vec<u8>,
        key: &Derived,
        cipher: &dyn Cipher,
    ) -> Option<Option<SenderId>> {
        if !header.for_one {
            return frame::open(datagram, None, key, cipher).then_some(None);
        }
        let to = self.own.all().find(|&to| frame::open(datagram, Some(to), key, cipher))?;
        Some(Some(to))
    }

    fn derive(&self, derived: &Derived, header: &Header) -> Arc<dyn Cipher> {
        let key = derived.sender_key(header.suite, &header.sender, &self.realm);
        keyed(header.suite, &key).into()
    }

    fn admit(&self, header: &Header) -> bool {
        let surroundings = read(&self.surroundings);
        let now = surroundings.as_ref().map_or(Duration::ZERO, |it| it.now());
        // A number that depends on the frame and a secret: a repeated frame is not given a second
        // chance within the same slot.
        let random = self.hasher.hash_one((header.sender, header.counter, header.x, now));
        lock(&self.admission).admit(now, random)
    }
}

impl Ring {
    fn find(&self, id: KeyId) -> Option<usize> {
        self.keys.iter().position(|key| key.derived.id == id)
    }

    /// A key that does not seal.
    fn find_unused(&self, id: KeyId) -> Result<usize> {
        let at = self.find(id).ok_or_else(|| unknown(id))?;
        if at == 0 {
            let text = format!("the key {id} seals: use another one first");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        Ok(at)
    }
}

fn unknown(id: KeyId) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("the key {id} is not in the ring"))
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({:?})", self.key_ids())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::OVERHEAD;
    use super::*;
    use crate::protocol::random::Random;
    use std::collections::BTreeSet;

    const NOW: Duration = Duration::from_secs(1);

    /// Time and random numbers of a test.
    struct Test(Mutex<(Duration, Random)>);

    impl Test {
        fn new(seed: u64) -> Arc<Self> {
            Arc::new(Self(Mutex::new((NOW, Random::new(seed)))))
        }
    }

    impl Surroundings for Test {
        fn now(&self) -> Duration {
            lock(&self.0).0
        }

        fn unix_nanos(&self) -> u128 {
            1
        }

        fn random(&self, bytes: &mut [u8]) {
            let random = &mut lock(&self.0).1;
            bytes.fill_with(|| random.next() as u8);
        }
    }

    fn keys(count: usize) -> Vec<Key> {
        (0..count).map(|_| Key::generate().unwrap()).collect()
    }

    fn opened(sealer: &Sealer, datagram: &[u8]) -> Result<(Proof, Vec<u8>), Refused> {
        let mut payload = datagram.to_vec();
        let opened = sealer.open(&mut payload);
        assert!(opened.is_ok() || payload == datagram, "it stays as it is");
        Ok((opened?.proof, payload))
    }

    fn sealed(sealer: &Sealer, session: &Session, to: Option<SenderId>, text: &str) -> Vec<u8> {
        let mut datagram = text.as_bytes().to_vec();
        sealer.seal(session, Class::Data, to, &mut datagram);
        assert_eq!(datagram.len(), text.len() + OVERHEAD);
        datagram
    }

    #[test]
    fn all_keys_of_a_ring_open_and_the_first_one_seals() {
        let keys = keys(3);
        let both = Sealer::new(&keys[..2], "", false).unwrap();
        let other = Sealer::new(&[keys[1].clone(), keys[0].clone()], "", false).unwrap();
        let stranger = Sealer::new(&keys[2..], "", false).unwrap();
        let session = both.begin(Test::new(1));
        let datagram = sealed(&both, &session, None, "hello");
        let (proof, payload) = opened(&other, &datagram).unwrap();
        assert_eq!((&payload[..], proof.counter, proof.key), (&b"hello"[..], 1, 1));
        assert_eq!(proof.sender, session.sender());
        assert_eq!(opened(&stranger, &datagram), Err(Refused::Hint));
        assert_eq!(opened(&both, &datagram).unwrap().0.key, 0);

        both.use_key(keys[1].id()).unwrap();
        let datagram = sealed(&both, &session, None, "hello");
        assert_eq!(opened(&other, &datagram).unwrap().0.key, 0);
        assert_eq!(opened(&other, &datagram).unwrap().0.counter, 2);
        assert_eq!(both.remove(keys[0].id()).unwrap(), 0);
        assert_eq!(both.key_ids(), [keys[1].id()]);
        let session = other.begin(Test::new(2));
        other.use_key(keys[0].id()).unwrap();
        let datagram = sealed(&other, &session, None, "hello");
        assert_eq!(opened(&both, &datagram), Err(Refused::Hint), "the key was removed");
    }

    #[test]
    fn rings_that_make_no_sense_are_refused() {
        let keys = keys(MAX_KEYS + 1);
        let code = |result: Result<()>| result.unwrap_err().code();
        let new = |keys: &[Key], realm: &str| Sealer::new(keys, realm, false).map(drop);
        assert_eq!(code(new(&[], "")), ErrorCode::InvalidOption);
        assert_eq!(code(new(&keys, "")), ErrorCode::InvalidOption);
        assert_eq!(code(new(&[keys[0].clone(), keys[0].clone()], "")), ErrorCode::InvalidOption);
        assert_eq!(code(new(&keys[..1], &"r".repeat(256))), ErrorCode::InvalidOption);
        let sealer = Sealer::new(&keys[..1], &"r".repeat(255), false).unwrap();
        assert_eq!(code(sealer.use_key(keys[1].id()).map(drop)), ErrorCode::InvalidArgument);
        assert_eq!(code(sealer.remove(keys[1].id()).map(drop)), ErrorCode::InvalidArgument);
        assert_eq!(code(sealer.remove(keys[0].id()).map(drop)), ErrorCode::InvalidArgument);
        for key in &keys[1..MAX_KEYS] {
            sealer.add(key).unwrap();
        }
        assert_eq!(code(sealer.add(&keys[MAX_KEYS])), ErrorCode::InvalidOption);
        // A key that comes back has another number: its former windows do not count for it.
        let number = sealer.remove(keys[1].id()).unwrap();
        sealer.add(&keys[1]).unwrap();
        assert_ne!(sealer.remove(keys[1].id()).unwrap(), number);
    }

    #[test]
    fn what_is_for_one_opens_for_the_session_that_it_is_for() {
        let keys = keys(1);
        let [a, b, c] = [1, 2, 3].map(|_| Sealer::new(&keys, "", false).unwrap());
        let from = a.begin(Test::new(1));
        let sessions: Vec<Session> = (10..16).map(|seed| b.begin(Test::new(seed))).collect();
        let stranger = c.begin(Test::new(99));
        for session in &sessions {
            let datagram = sealed(&a, &from, Some(session.sender()), "for one");
            assert_eq!(opened(&b, &datagram).unwrap().0.to, Some(session.sender()));
            assert_eq!(opened(&c, &datagram), Err(Refused::Tag));
        }
        let datagram = sealed(&a, &from, Some(stranger.sender()), "for one");
        assert_eq!(opened(&b, &datagram), Err(Refused::Tag));
        let ended = sessions[0].sender();
        drop(sessions);
        let datagram = sealed(&a, &from, Some(ended), "for one");
        assert_eq!(opened(&b, &datagram), Err(Refused::Tag), "that session has ended");
    }

    #[test]
    fn readable_frames_are_taken_only_where_they_are_sent() {
        let keys = keys(1);
        let secret = Sealer::new(&keys, "", false).unwrap();
        let readable = Sealer::new(&keys, "", true).unwrap();
        let session = readable.begin(Test::new(1));
        let datagram = sealed(&readable, &session, None, "hello");
        assert!(datagram.windows(5).any(|part| part == b"hello"));
        assert_eq!(opened(&secret, &datagram), Err(Refused::Readable));
        let session = secret.begin(Test::new(2));
        let datagram = sealed(&secret, &session, None, "hello");
        assert!(!datagram.windows(5).any(|part| part == b"hello"));
        assert_eq!(opened(&readable, &datagram).unwrap().1, b"hello");
    }

    #[test]
    fn a_session_repeats_no_nonce_and_draws_x_anew() {
        let sealer = Sealer::new(&keys(1), "", false).unwrap();
        let test = Test::new(5);
        let session = sealer.begin(test.clone());
        let mut xs = BTreeSet::new();
        let mut last = 0;
        let mut next = |beat: bool| {
            let (_, _, x, counter) = session.next(beat);
            assert_eq!(counter, last + 1);
            last = counter;
            xs.insert(x);
            xs.len()
        };
        assert_eq!((0..50).map(|_| next(false)).max(), Some(1));
        assert_eq!(next(true), 2, "a heartbeat");
        assert_eq!(next(false), 2);
        lock(&test.0).0 += Duration::from_millis(99);
        assert_eq!(next(false), 2);
        lock(&test.0).0 += Duration::from_millis(1);
        assert_eq!(next(false), 3, "100 ms later");
        let again = sealer.begin(test);
        assert_ne!(again.sender(), session.sender());
        assert_eq!(again.next(false).3, 1);
    }

    #[test]
    fn a_flood_of_recorded_headers_costs_a_bounded_number_of_derivations() {
        let keys = keys(1);
        let [a, b] = [1, 2].map(|_| Sealer::new(&keys, "", false).unwrap());
        let mut refused = [0; 2];
        for seed in 0..3000 {
            let session = a.begin(Test::new(seed));
            let mut datagram = sealed(&a, &session, None, "hello");
            *datagram.last_mut().unwrap() ^= 1;
            match opened(&b, &datagram) {
                Err(Refused::Tag) => refused[0] += 1,
                Err(Refused::Budget) => refused[1] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(refused, [1000, 2000], "a tenth of a second");
        let session = a.begin(Test::new(1));
        let mut datagram = sealed(&a, &session, None, "hello");
        assert_eq!(opened(&b, &datagram), Err(Refused::Budget));
        let later = Test::new(0);
        lock(&later.0).0 += Duration::from_secs(1);
        let _session = b.begin(later);
        assert!(b.open(&mut datagram).is_ok());
    }
}
