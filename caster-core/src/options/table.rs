//! The table of options: names, kinds, defaults and texts.

use super::range::RANGES;
use crate::middleware::{crypto, hash};

/// The kind of value of an option.
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
    /// The id of a node: a string of 1 to 255 bytes, and of at most 512 bytes as JSON.
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
    /// Description of the accepted values.
    pub fn accepts(self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Millis { min, max } => {
                format!("milliseconds, a whole number from {min} to {max}")
            }
            Kind::Id => {
                format!("a string of 1 to 255 bytes that takes at most {MAX_ID_JSON} as ASCII JSON")
            }
            Kind::Json => "any JSON value but 0, \"\" and false".into(),
            Kind::Text => "a string".into(),
            Kind::Group => "a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8)".into(),
            Kind::Group6 => "an IPv6 multicast address (ff00::/8)".into(),
            Kind::Interfaces => "an array of names, addresses or patterns of interfaces, as in \
                 [\"eth*\", \"!eth1\"]"
                .into(),
            Kind::Address => "an IP address of this host, as in 10.0.0.1 or fe80::1%eth0, or 0.0.0.0".into(),
            Kind::HashAlgorithm => format!("one of {}", hash::ALGORITHMS.join(", ")),
            Kind::CipherAlgorithm => {
                format!("aes128, aes192, aes256 or one of {}", crypto::ALGORITHMS.join(", "))
            }
            Kind::Hosts => {
                "an array of texts like \"host\", \"host:port\", \"[address]:port\" or \"[fe80::1%eth0]\"".into()
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
    /// Kind of the value.
    pub kind: Kind,
    /// The default as JSON.
    pub default: &'static str,
    /// Description, for the documentation.
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

/// Size in bytes of the longest id of the local node as JSON: beside it the envelope and the
/// extension fit into 1,232 bytes, the smallest datagram that every IPv6 path carries whole.
pub(crate) const MAX_ID_JSON: usize = 512;

/// The longest interval that an option accepts: one day.
const DAY: u64 = 86_400_000;

/// Every option there is.
pub const TABLE: &[Spec] = &[
    spec(
        "id",
        false,
        Kind::Id,
        "null",
        "The id of this node in the group. The default is `node` and random digits.",
    ),
    spec(
        "meta",
        false,
        Kind::Json,
        "null",
        "Metadata of this node. Every heartbeat contains it; peers get it with `up` and `update`.",
    ),
    spec(
        "expose",
        false,
        Kind::Bool,
        "true",
        "Whether heartbeats are sent. A node without heartbeats sees its peers and stays unseen, \
         unless it sends a message.",
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
        "Silence after which a peer is down. At least 2.5 times the heartbeat interval of that \
         peer.",
    ),
    spec("multicast", true, Kind::Group, "\"224.0.0.42\"", "The multicast group."),
    spec(
        "address",
        true,
        Kind::Address,
        "\"0.0.0.0\"",
        "The local address of the only interface to use. `0.0.0.0` selects all interfaces (see \
         `interfaces`); `127.0.0.1` restricts all traffic to this host.",
    ),
    spec(
        "interfaces",
        true,
        Kind::Interfaces,
        "null",
        "The interfaces to use: names, addresses, and patterns with `*` and `?`. A `!` in front \
         excludes an interface. By default, or if there are exclusions only, all interfaces that \
         are up and can multicast are used, except point-to-point ones and those of containers \
         and virtual machines (docker*, br-*, veth*, cni*, flannel*, cali*, virbr*, vnet*); \
         `[\"*\"]` includes these. The loopback interface is always used, unless it is excluded \
         by name. Changes of the interfaces are followed.",
    ),
    spec(
        "multicast6",
        true,
        Kind::Group6,
        "null",
        "An IPv6 group in addition to the IPv4 one, on the same port.",
    ),
    spec("port", true, Kind::Int { min: 1, max: 65535 }, "10101", "The UDP port."),
    spec(
        "loopback",
        true,
        Kind::Bool,
        "true",
        "Whether programs on this host receive the datagrams of this node, the node itself \
         included.",
    ),
    spec(
        "ttl",
        true,
        Kind::Int { min: 1, max: 255 },
        "64",
        "Maximum number of routers that a datagram may cross, plus one.",
    ),
    spec(
        "range",
        true,
        Kind::Word(RANGES),
        "null",
        "Limits how far datagrams go. `off`: nothing is sent or received. `host`: the loopback \
         interface only, as with the address `127.0.0.1`. `link`: the networks that the host is \
         connected to; no router is crossed. With each of them seeds beyond this host have no \
         effect. The environment variable CASTER_RANGE limits all nodes of a process in the same \
         way; the stricter of the two counts.",
    ),
    spec("hash", false, Kind::Bool, "true", "Whether every datagram carries a digest."),
    spec(
        "hashSecret",
        false,
        Kind::Text,
        "null",
        "The secret of the digest. Nodes with different secrets do not see each other. The \
         default is the well-known secret of caster 0.1.1.",
    ),
    spec("hashAlgorithm", false, Kind::HashAlgorithm, "\"sha1\"", "The algorithm of the digest."),
    spec(
        "crypto",
        false,
        Kind::Bool,
        "false",
        "Whether datagrams are encrypted in the way of caster 0.1.1, which is not security.",
    ),
    spec(
        "cryptoKey",
        false,
        Kind::Text,
        "null",
        "The key of the encryption. The default is the well-known key of caster 0.1.1.",
    ),
    spec("cryptoAlgorithm", false, Kind::CipherAlgorithm, "\"aes256\"", "The cipher."),
    spec(
        "realm",
        true,
        Kind::Text,
        "\"\"",
        "In secure mode: a text of at most 255 bytes. One key and realm are one group.",
    ),
    spec(
        "hmac",
        true,
        Kind::Bool,
        "false",
        "In secure mode: integrity without secrecy. Datagrams stay readable, and readable ones are \
         accepted.",
    ),
    spec(
        "plain",
        false,
        Kind::Word(&["accept", "send"]),
        "null",
        "In secure mode, for a migration: nodes without keys are peers, too, on `plainPort`. `accept`: \
         they are heard. `send`: all that this node sends is sent there as well, readable by anyone. A \
         peer that was believed sealed is not accepted plain again. `hash` and `crypto` are those of \
         the plain port.",
    ),
    spec(
        "plainPort",
        false,
        Kind::Int { min: 1, max: 65_534 },
        "10101",
        "The UDP port of the nodes without keys, with the option `plain`.",
    ),
    spec(
        "refusals",
        false,
        Kind::Word(&["believe"]),
        "null",
        "In secure mode a peer whose host refuses its port is down after the timeout, because any host \
         of the network can forge a refusal. `believe`: it is down at once, as without keys.",
    ),
    spec(
        "unproven",
        false,
        Kind::Word(&["deliver"]),
        "null",
        "In secure mode messages of a `Caster` are dropped, because it cannot prove that it is there now. \
         `deliver`: the program gets them, marked as not fresh, unless they name a node that is up. They \
         may be recordings.",
    ),
    spec(
        "signMessages",
        false,
        Kind::Bool,
        "false",
        "With an identity: messages are signed, too, so that no other member of the group can write them. \
         Each takes some 70 µs more to send, and some 80 to receive.",
    ),
    spec(
        "self",
        false,
        Kind::Bool,
        "false",
        "Whether the node discovers and hears itself. The npm package has the default true, as \
         caster 0.1.1.",
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
        "`\"0.1.1\"` restores the behaviour in which the code of caster 0.1.1 differs from its \
         README: `hash` is inverted, heartbeat and timeout are 2000 and 3000 by default, messages \
         that are 0, \"\" or false are dropped.",
    ),
    spec(
        "hashEra",
        false,
        Kind::Word(&["auto", "binary", "utf8"]),
        "\"auto\"",
        "Digest of non-ASCII bytes in sent datagrams: as Node.js 0.8 to 5 (`binary`), as newer \
         versions (`utf8`), or as the first peer that is heard (`auto`). Both are accepted from \
         peers.",
    ),
    spec(
        "originals",
        false,
        Kind::Word(&["auto", "expect", "never"]),
        "\"auto\"",
        "When the rules for peers that run caster 0.1.1 apply: heartbeats three times as often, large \
         metadata in every heartbeat, and large messages as IP fragments and not in pieces. `auto`: \
         while such a peer is there; `expect`: at all times, so that one that comes and is silent \
         sees this node at once; `never`: not at all.",
    ),
    spec(
        "seeds",
        false,
        Kind::Hosts,
        "[]",
        "Hosts that get heartbeats and messages by unicast, for networks without multicast; the \
         peers that they know get them, too. Names are resolved every 30 s. The default port is \
         that of the node.",
    ),
    spec(
        "maxNodes",
        false,
        Kind::Int { min: 1, max: 1_000_000 },
        "4096",
        "Maximum number of known nodes. At the limit, new nodes are rejected and counted; known \
         nodes stay.",
    ),
    spec(
        "maxNewNodes",
        false,
        Kind::Int { min: 1, max: 1_000_000 },
        "1000",
        "Maximum number of new nodes a second from one address. Excess nodes are dropped and \
         counted.",
    ),
    spec(
        "maxAnswers",
        false,
        Kind::Int { min: 1, max: 1000 },
        "50",
        "Maximum number of heartbeats a second that are sent on request of peers.",
    ),
    spec(
        "maxMeta",
        false,
        Kind::Int { min: 2, max: 65_000 },
        "8192",
        "Maximum size of metadata in bytes, as JSON on the wire. Larger metadata cannot be set, \
         and is dropped and counted when received.",
    ),
    spec(
        "maxMessage",
        false,
        Kind::Int { min: 2, max: 65_507 },
        "65507",
        "Maximum size of a message in bytes, as JSON on the wire. A larger message cannot be \
         sent, and is dropped and counted when received. The default is the size of the largest \
         UDP datagram, so that the datagram is the only limit, as in caster 0.1.1.",
    ),
    spec(
        "maxDepth",
        false,
        Kind::Int { min: 2, max: 10_000 },
        "512",
        "Maximum nesting of arrays and objects in received JSON. Deeper datagrams are dropped and \
         counted. The limit for sent JSON is 64.",
    ),
    spec(
        "maxDatagrams",
        true,
        Kind::Int { min: 1, max: 1_000_000_000 },
        "20000",
        "Maximum number of datagrams a second from one IP address. Excess datagrams are dropped \
         and counted before they are processed. Datagrams of known peers, by address and port, \
         are not limited. A Caster has no limit by default.",
    ),
    spec(
        "coalesce",
        true,
        Kind::Int { min: 0, max: 100 },
        "2",
        "Maximum delay in milliseconds of received datagrams under load, so that one wake-up \
         serves several of them. There is no delay at low rates. 0 disables it.",
    ),
    spec(
        "spin",
        true,
        Kind::Int { min: 0, max: 100_000 },
        "0",
        "Time in microseconds for which the thread polls after a datagram before it sleeps. \
         Datagrams in that time are processed sooner, at the cost of a processor core. Disables \
         `coalesce`. 0 disables polling.",
    ),
    spec(
        "unicastPort",
        false,
        Kind::Int { min: 0, max: 65_535 },
        "0",
        "The port of this process for unicast, which it does not share. Neither the port of the \
         group nor the one after it. 0: the first free of 21101 to 21132, or any.",
    ),
    spec(
        "receiveBuffer",
        true,
        Kind::Int { min: 4096, max: 1 << 30 },
        "4194304",
        "Requested size in bytes of the socket's receive buffer. The default holds a burst of \
         tens of thousands of heartbeats. The system may grant less (`net.core.rmem_max` on \
         Linux); the statistics contain the granted size.",
    ),
    spec(
        "maxEvents",
        true,
        Kind::Int { min: 1, max: 10_000_000 },
        "16384",
        "Maximum number of events in the queue. Excess messages are dropped and counted; `up`, \
         `update` and `down` are merged for each node and never lost.",
    ),
    spec(
        "maxEventBytes",
        true,
        Kind::Int { min: 1024, max: 1 << 40 },
        "16777216",
        "Maximum size in bytes of the messages in the queue.",
    ),
    spec(
        "rawUtf8",
        false,
        Kind::Bool,
        "false",
        "Whether JSON is sent as UTF-8, as by caster 0.1.1, instead of ASCII with escapes. Peers \
         of the other hash era reject it.",
    ),
];

impl Spec {
    /// Whether this is its name, or the same in snake case.
    #[inline(never)]
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name || snake(self.name).eq(name.chars())
    }

    /// Upper bound on the edits that make another name a misspelt one of this.
    pub(crate) fn typos(&self) -> usize {
        2.max(self.name.len() / 3)
    }
}

/// `hash_secret` for `hashSecret`.
pub fn snake_case(name: &str) -> String {
    snake(name).collect()
}

fn snake(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(|c| {
        c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()])
    })
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
