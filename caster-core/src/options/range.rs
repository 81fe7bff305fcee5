//! How far datagrams may go.

/// The words of the option `range`, and of the variable `CASTER_RANGE`.
pub(super) const RANGES: &[&str] = &["off", "host", "link"];

/// How far datagrams go, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Range {
    /// Nothing is sent or received.
    Off,
    /// The loopback interface only.
    Host,
    /// No router is crossed.
    Link,
    #[default]
    Any,
}

impl Range {
    /// The range of this name.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "off" => Some(Range::Off),
            "host" => Some(Range::Host),
            "link" => Some(Range::Link),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Range::Off => "off",
            Range::Host => "host",
            Range::Link => "link",
            Range::Any => "any",
        }
    }
}
