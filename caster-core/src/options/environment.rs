//! Variables of the environment that limit or extend the options of all nodes of a process.

use super::range::{RANGES, Range};
use super::read::split_host;
use super::table::Kind;
use crate::environment::variable;
use crate::error::{Error, ErrorCode, Result};
use std::ffi::OsString;

/// Limits the range of every node and caster.
const RANGE: &str = "CASTER_RANGE";
/// Seeds of every node in addition to those of the options, separated by commas.
const SEEDS: &str = "CASTER_SEEDS";

/// The variables. An empty one is as good as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub range: Range,
    pub seeds: Vec<(String, Option<u16>)>,
}

impl Environment {
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if a variable has a value that is not accepted.
    pub fn of_process() -> Result<Self> {
        Self::read(variable)
    }

    pub(super) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name| variable(name).unwrap_or_default().to_string_lossy().trim().to_owned();
        let refused = |name: &str, value: &str, accepted: String| {
            let text = format!("variable {name}: {value:?} is refused; give {accepted}");
            Error::new(ErrorCode::InvalidOption, text)
        };
        let range = text(RANGE);
        let range = match range.as_str() {
            "" => Range::Any,
            word => {
                Range::of(word).ok_or_else(|| refused(RANGE, word, Kind::Word(RANGES).accepts()))?
            }
        };
        let seeds = text(SEEDS);
        let hosts = seeds.split(',').map(str::trim).filter(|host| !host.is_empty());
        let host = |text: &str| {
            let accepted = "\"host\", \"host:port\", \"[address]:port\" or \"[fe80::1%eth0]\", \
                            separated by commas";
            split_host(text).ok_or_else(|| refused(SEEDS, text, accepted.to_owned()))
        };
        Ok(Self { range, seeds: hosts.map(host).collect::<Result<_>>()? })
    }
}
