//! The hints of the driver.

/// A condition of the host or of the configuration that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Own datagrams do not come back by the interfaces.
    NoEcho,
    /// Part of the option `interfaces`, and the names of the interfaces that exist.
    NoSuchInterface { pattern: String, names: String },
    /// The range permits no datagrams.
    RangeOff,
    /// The range of this name does not permit the seeds.
    SeedsIgnored { range: &'static str },
    /// These interfaces of containers are used for want of others.
    Containers { names: String },
}

impl Hint {
    pub fn text(&self) -> String {
        match self {
            Hint::NoEcho => {
                "own datagrams do not come back by any interface, as behind a firewall of \
                             this host: nodes of this host meet by the loopback interface"
                    .to_owned()
            }
            Hint::NoSuchInterface { pattern, names } => {
                format!(
                    "the option interfaces: {pattern:?} matches no interface; there are {names}"
                )
            }
            Hint::RangeOff => {
                "nothing is sent or received: the range is off (option range or CASTER_RANGE)"
                    .to_owned()
            }
            Hint::SeedsIgnored { range } => {
                format!(
                    "seeds beyond this host are ignored: the range is {range} (option range or \
                     CASTER_RANGE)"
                )
            }
            Hint::Containers { names } => {
                format!("there is no other network, so interfaces of containers are used: {names}")
            }
        }
    }
}
