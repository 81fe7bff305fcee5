//! The stages of a pipeline: what happens to a message between the program and the wire.

#![forbid(unsafe_code)]

#[cfg_attr(not(feature = "legacy-ciphers"), path = "crypto_absent.rs")]
pub mod crypto;
pub mod hash;
pub mod json;
pub(crate) mod pipeline;
pub mod secure;
pub(crate) mod stage;

pub use crypto::{Crypto, CryptoOptions};
pub use hash::{Hash, HashEra, HashOptions};
pub use json::Json;
pub use secure::{Secure, SecureOptions};

pub use stage::{HostStage, Incoming, Middleware, Reject, Stage};
