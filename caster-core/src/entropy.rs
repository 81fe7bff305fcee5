//! Random numbers of the system.

use crate::error::{Error, ErrorCode, Result};

/// Fills the bytes.
///
/// # Errors
/// [`ErrorCode::Io`] if the system has none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorCode::Io, format!("the system has no random numbers: {error}"))
    })
}

/// A number. Fails as [`fill`] does.
pub(crate) fn number() -> Result<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
