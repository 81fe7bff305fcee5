//! The table of options: names, kinds, defaults and texts.

use crate::middleware::{crypto, hash};

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from `min` to `max`.
    Int {
        /// The smallest value that is accepted.
        min: u64,
        /// The largest value that is accepted.
        max: u64,
    },
    /// Milliseconds: a whole number from `min` to `max`.
    Millis {
        /// The smallest value that is accepted.
        min: u64,
        /// The largest value that is accepted.
        max: u64,
    },
    /// The id of a node: a string of 1 to 255 bytes.
    Id,
    /// Any JSON value but `0`, `""` and `false`.
    Json,
    /// Any string.
    Text,
    /// A multicast group, IPv4 or IPv6.
    Group,
    /// An IPv6 multicast group.
    Group6,
    /// An IP address of this host.
    Address,
    /// An array of names, addresses and patterns of network interfaces.
    Interfaces,
    /// A digest algorithm.
    HashAlgorithm,
    /// A cipher.
    CipherAlgorithm,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of hosts: names or addresses, each with a port or without.
    Hosts,
}

impl Kind {
    /// What is accepted, in words.
    pub fn accepts(self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Millis { min, max } => {
                format!("milliseconds, a whole number from {min} to {max}")
            }
            Kind::Id => "a string of 1 to 255 bytes".into(),
            Kind::Json => "any JSON value but 0, \"\" and false".into(),
            Kind::Text => "a string".into(),
            Kind::Group => "a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8)".into(),
            Kind::Group6 => "an IPv6 multicast address (ff00::/8)".into(),
            Kind::Interfaces => "an array of names, addresses or patterns of interfaces, as in \
                 [\"eth*\", \"!eth1\"]"
                .into(),
            Kind::Address => "an IP address of this host, or 0.0.0.0".into(),
            Kind::HashAlgorithm => format!("one of {}", hash::ALGORITHMS.join(", ")),
            Kind::CipherAlgorithm => {
                format!("aes128, aes192, aes256 or one of {}", crypto::ALGORITHMS.join(", "))
            }
            Kind::Hosts => {
                "an array of texts like \"host\", \"host:port\" or \"[address]:port\"".into()
            }
            Kind::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
        }
    }
}

/// One row of the table of options.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The name; the form with underscores (`hash_secret`) is accepted everywhere too.
    pub name: &'static str,
    /// Whether a plain caster has it. A node has all of them.
    pub caster: bool,
    /// What it holds.
    pub kind: Kind,
    /// The default as JSON.
    pub default: &'static str,
    /// What it does.
    pub text: &'static str,
}

const fn spec(
    name: &'static str,
    caster: bool,
    kind: Kind,
    default: &'static str,
    text: &'static str,
) -> Spec {
    Spec { name, caster, kind, default, text }
}

/// The longest interval that an option accepts: one day.
const DAY: u64 = 86_400_000;

/// Every option there is.
pub const TABLE: &[Spec] = &[
    spec(
        "id",
        false,
        Kind::Id,
        "null",
        "The id under which others know this node. By default `node` and random digits.",
    ),
    spec(
        "meta",
        false,
        Kind::Json,
        "null",
        "Metadata that goes out with every heartbeat and that others get with `up`.",
    ),
    spec(
        "expose",
        false,
        Kind::Bool,
        "true",
        "Whether heartbeats are sent. Without them a node sees others and is not seen, unless it \
         sends a message.",
    ),
    spec(
        "heartbeat",
        false,
        Kind::Millis { min: 10, max: DAY },
        "1000",
        "Interval of the heartbeats.",
    ),
    spec(
        "timeout",
        false,
        Kind::Millis { min: 10, max: DAY },
        "2000",
        "Silence after which a node is down. Never less than 2.5 times the interval at which that \
         node beats.",
    ),
    spec("multicast", true, Kind::Group, "\"224.0.0.42\"", "The multicast group."),
    spec(
        "address",
        true,
        Kind::Address,
        "\"0.0.0.0\"",
        "The local address of the one interface to use. `0.0.0.0` stands for all of them (see \
         `interfaces`); `127.0.0.1` keeps everything on this host.",
    ),
    spec(
        "interfaces",
        true,
        Kind::Interfaces,
        "null",
        "The interfaces to use: names, addresses, and patterns with `*` and `?`; what a `!` \
         precedes is left out. If nothing but that is given, all that are up and can multicast are \
         used, except point-to-point ones and those of containers and virtual machines (docker*, \
         br-*, veth*, cni*, flannel*, cali*, virbr*, vnet*); `[\"*\"]` has these too. The loopback \
         interface is always among them, unless it is left out by name. Interfaces that come, go or \
         change are followed.",
    ),
    spec(
        "multicast6",
        true,
        Kind::Group6,
        "null",
        "An IPv6 group to use beside the IPv4 one, on the same port.",
    ),
    spec("port", true, Kind::Int { min: 1, max: 65535 }, "10101", "The UDP port."),
    spec(
        "loopback",
        true,
        Kind::Bool,
        "true",
        "Whether programs on this host hear what is sent, the sender included.",
    ),
    spec(
        "ttl",
        true,
        Kind::Int { min: 1, max: 255 },
        "64",
        "How many routers a datagram may cross, plus one.",
    ),
    spec("hash", false, Kind::Bool, "true", "Whether every datagram carries a digest."),
    spec(
        "hashSecret",
        false,
        Kind::Text,
        "null",
        "The secret of the digest. Nodes with another one do not see each other. By default the \
         well-known one of caster 0.1.1.",
    ),
    spec("hashAlgorithm", false, Kind::HashAlgorithm, "\"sha1\"", "The algorithm of the digest."),
    spec(
        "crypto",
        false,
        Kind::Bool,
        "false",
        "Whether datagrams are encrypted the way caster 0.1.1 does it, which is no security.",
    ),
    spec(
        "cryptoKey",
        false,
        Kind::Text,
        "null",
        "The key of the encryption. By default the well-known one of caster 0.1.1.",
    ),
    spec("cryptoAlgorithm", false, Kind::CipherAlgorithm, "\"aes256\"", "The cipher."),
    spec(
        "self",
        false,
        Kind::Bool,
        "false",
        "Whether the node discovers and hears itself. In the npm package the default is true, as \
         in caster 0.1.1.",
    ),
    spec(
        "announce",
        false,
        Kind::Bool,
        "true",
        "Whether the first heartbeat is sent at once instead of after one interval.",
    ),
    spec(
        "compat",
        false,
        Kind::Word(&["0.1.1"]),
        "null",
        "`\"0.1.1\"` brings back what the code of caster 0.1.1 does against its own README: `hash` \
         is inverted, heartbeat and timeout are 2000 and 3000 by default, messages that are 0, \
         \"\" or false are dropped.",
    ),
    spec(
        "hashEra",
        false,
        Kind::Word(&["auto", "binary", "utf8"]),
        "\"auto\"",
        "How non-ASCII bytes enter the digest of what is sent: as Node.js 0.8 to 5 does it \
         (`binary`), as newer ones do (`utf8`), or as the first peer that is heard. Both are \
         understood.",
    ),
    spec(
        "seeds",
        false,
        Kind::Hosts,
        "[]",
        "Hosts to write to one by one, for networks without multicast: heartbeats and messages go \
         to them, and to everybody whom they know. Names are looked up again every 30 s. Without \
         a port it is the node's own.",
    ),
    spec(
        "maxNodes",
        false,
        Kind::Int { min: 1, max: 1_000_000 },
        "4096",
        "How many nodes are followed at once. When there are as many, new ones are turned away and \
         counted; those that are known stay.",
    ),
    spec(
        "maxNewNodes",
        false,
        Kind::Int { min: 1, max: 1_000_000 },
        "1000",
        "How many new nodes a second one address may bring. What is more is dropped and counted.",
    ),
    spec(
        "maxAnswers",
        false,
        Kind::Int { min: 1, max: 1000 },
        "50",
        "How many heartbeats a second are sent because others ask for one.",
    ),
    spec(
        "maxMeta",
        false,
        Kind::Int { min: 2, max: 65_000 },
        "8192",
        "Bytes of metadata, as JSON on the wire. More cannot be set, and is dropped and counted \
         when it comes.",
    ),
    spec(
        "maxMessage",
        false,
        Kind::Int { min: 2, max: 65_507 },
        "61440",
        "Bytes of a message, as JSON on the wire. More cannot be sent, and is dropped and counted \
         when it comes.",
    ),
    spec(
        "maxDepth",
        false,
        Kind::Int { min: 2, max: 10_000 },
        "512",
        "How deep arrays and objects may nest in what comes. What nests deeper is dropped and \
         counted. What a node sends may nest 64 deep.",
    ),
    spec(
        "maxDatagrams",
        true,
        Kind::Int { min: 1, max: 1_000_000_000 },
        "10000000",
        "How many datagrams a second from one address are looked at. What is more is dropped and \
         counted before anything is computed.",
    ),
    spec(
        "coalesce",
        true,
        Kind::Int { min: 0, max: 100 },
        "2",
        "For how many milliseconds at the most more is waited for when datagrams come thick and fast, \
         so that one wake serves many. On a quiet network nothing is waited for. 0 is never.",
    ),
    spec(
        "spin",
        true,
        Kind::Int { min: 0, max: 100_000 },
        "0",
        "For how many microseconds after a datagram more are looked for without sleeping: what comes \
         in that time is answered sooner, at the cost of a core for as long. Nothing is waited for \
         (`coalesce`) then. 0 is never.",
    ),
    spec(
        "receiveBuffer",
        true,
        Kind::Int { min: 4096, max: 1 << 30 },
        "4194304",
        "How many bytes of room are asked for, for datagrams that have come and were not read yet. \
         The default holds tens of thousands of heartbeats that come in one burst. The system grants \
         as much as it is set up to (`net.core.rmem_max` on Linux); what it granted is in the \
         statistics.",
    ),
    spec(
        "maxEvents",
        true,
        Kind::Int { min: 1, max: 10_000_000 },
        "16384",
        "How many events wait for the program. Messages beyond that are lost and counted; `up`, \
         `update` and `down` are merged for each node and never lost.",
    ),
    spec(
        "maxEventBytes",
        true,
        Kind::Int { min: 1024, max: 1 << 40 },
        "16777216",
        "How many bytes of messages wait for the program.",
    ),
    spec(
        "rawUtf8",
        false,
        Kind::Bool,
        "false",
        "Sends JSON as UTF-8 like caster 0.1.1 instead of ASCII with escapes. Peers of the other \
         hash era reject it.",
    ),
];

/// `hash_secret` for `hashSecret`.
pub fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The table as Markdown: what docs/options.md and the README show.
pub fn table_markdown() -> String {
    let mut out = String::from("| option | for | accepts | default | |\n|---|---|---|---|---|\n");
    for spec in TABLE {
        let scope = if spec.caster { "both" } else { "Node" };
        let accepts = spec.kind.accepts();
        let (name, default, text) = (spec.name, spec.default, spec.text);
        out.push_str(&format!("| `{name}` | {scope} | {accepts} | `{default}` | {text} |\n"));
    }
    out
}
