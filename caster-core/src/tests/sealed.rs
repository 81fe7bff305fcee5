//! The vectors of the sealed frame, which another implementation has written (tests/vectors/sealed.py).

use crate::secure::frame::{self, Class, Header, Malformed};
use crate::secure::key::Key;
use crate::secure::names::SenderId;
use crate::secure::schedule::Derived;
use crate::secure::suite::{Suite, keyed};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
    refused: Vec<Refused>,
    signed: Vec<Signed>,
}

#[derive(Deserialize)]
struct Case {
    key: String,
    realm: String,
    suite: u8,
    signed: bool,
    class: u8,
    to: Option<String>,
    sender: String,
    x: u32,
    counter: String,
    payload: String,
    key_id: String,
    group: String,
    sender_key: String,
    datagram: String,
}

#[derive(Deserialize)]
#[cfg_attr(not(feature = "identity"), allow(dead_code))]
struct Signed {
    #[serde(flatten)]
    frame: Case,
    seed: String,
    salt: String,
    public: String,
    all: bool,
    content: String,
    reason: String,
}

#[derive(Deserialize)]
struct Refused {
    key: String,
    realm: String,
    own: String,
    datagram: String,
    reason: String,
}

fn vectors() -> Vectors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sealed.json");
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    serde_json::from_str(&text).expect("they are JSON of this form")
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn sender(hex: &str) -> SenderId {
    SenderId(bytes(hex).try_into().expect("12 bytes"))
}

#[test]
fn each_case_is_sealed_and_opened_as_the_vectors_have_it() {
    let cases = vectors().cases;
    assert_eq!(cases.len(), 72);
    for case in cases {
        let key = Key::from_text(&case.key).unwrap();
        let derived = Derived::new(key.as_bytes(), &case.realm);
        assert_eq!(key.id().as_bytes()[..], bytes(&case.key_id));
        assert_eq!(derived.group[..], bytes(&case.group));
        let to = case.to.as_deref().map(sender);
        let header = Header {
            suite: Suite::from_number(case.suite).unwrap(),
            signed: case.signed,
            class: [Class::Data, Class::Heartbeat, Class::Presence][usize::from(case.class)],
            for_one: to.is_some(),
            sender: sender(&case.sender),
            x: case.x,
            counter: case.counter.parse().unwrap(),
        };
        let sender_key = derived.sender_key(header.suite, &header.sender, &case.realm);
        assert_eq!(sender_key[..], bytes(&case.sender_key));
        let cipher = keyed(header.suite, &sender_key);
        let mut datagram = bytes(&case.payload);
        frame::seal(&header, to, &derived, &*cipher, &mut datagram);
        assert_eq!(datagram, bytes(&case.datagram));
        assert_eq!(Header::read(&datagram), Ok(header));
        assert!(frame::hint_matches(&datagram, &derived));
        assert!(frame::open(&mut datagram, to, &derived, &*cipher));
        assert_eq!(datagram, bytes(&case.payload));
    }
}

/// The step at which a datagram is refused.
fn refused_at(case: &Refused) -> &'static str {
    let derived = Derived::new(Key::from_text(&case.key).unwrap().as_bytes(), &case.realm);
    let mut datagram = bytes(&case.datagram);
    let header = match Header::read(&datagram) {
        Err(Malformed::NotSealed) => return "not sealed",
        Err(Malformed::Version) => return "version",
        Err(Malformed::Suite) => return "suite",
        Err(Malformed::Class) => return "class",
        Err(Malformed::Content) => return "content",
        Ok(header) => header,
    };
    if !frame::hint_matches(&datagram, &derived) {
        return "hint";
    }
    let key = derived.sender_key(header.suite, &header.sender, &case.realm);
    let cipher = keyed(header.suite, &key);
    let to = header.for_one.then(|| sender(&case.own));
    match frame::open(&mut datagram, to, &derived, &*cipher) {
        true => "not at all",
        false => "tag",
    }
}

#[test]
fn each_refused_case_is_refused_at_its_step() {
    let cases = vectors().refused;
    assert_eq!(cases.len(), 66);
    for case in cases {
        assert_eq!(refused_at(&case), case.reason, "{}", case.datagram);
    }
}

#[cfg(feature = "identity")]
#[test]
fn each_signature_is_made_and_verified_as_the_vectors_have_it() {
    use crate::secure::identity::{Identity, Salt, Signature, Signer};
    let cases = vectors().signed;
    assert_eq!(cases.len(), 144);
    for Signed { frame, seed, salt, public, all, content, reason } in cases {
        let derived = Derived::new(Key::from_text(&frame.key).unwrap().as_bytes(), &frame.realm);
        let identity = Identity::from_text(&seed).unwrap();
        assert_eq!(identity.public_key().to_string(), public);
        let salt = Salt(bytes(&salt).try_into().unwrap());
        let datagram = bytes(&frame.datagram);
        let header = Header::read(&datagram).unwrap();
        let (to, head) = (frame.to.as_deref().map(sender), *datagram.first_chunk().unwrap());
        let cipher = keyed(header.suite, &bytes(&frame.sender_key).try_into().unwrap());
        let mut payload = datagram.clone();
        assert!(header.signed && frame::open(&mut payload, to, &derived, &*cipher));
        let digest = |signed: &[u8]| frame::digest(&head, to, &derived, signed);
        let signature = Signature::read(&payload, digest);
        let is_valid = |it: &Signature| it.is_valid(&header.sender);
        assert_eq!(signature.is_none(), reason == "unsigned");
        assert_eq!(signature.as_deref().is_some_and(is_valid), reason.is_empty(), "{reason}");
        if reason.is_empty() {
            let key = identity.public_key();
            assert_eq!(signature.map(|it| it.signer), Some(Signer { key, all }));
            assert_eq!(key.sender(&salt), header.sender);
            let mut made = bytes(&content);
            identity.append(all, &salt, &mut made);
            let digest = frame::digest(&head, to, &derived, &made);
            identity.sign(&digest, &mut made);
            assert_eq!(made, payload);
        }
    }
}
