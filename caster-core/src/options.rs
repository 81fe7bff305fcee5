//! Options: one table, from which every language takes names, types, defaults and texts.

use crate::error::{Error, ErrorCode, Result};
use crate::jstext::{JsText, number_to_text};
use crate::middleware::{CryptoOptions, HashEra, HashOptions, crypto, hash, json};
use crate::peer::NodeId;
use crate::sort::SortedMap;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

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

/// Whose habits a set of options follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Everything is checked.
    #[default]
    Strict,
    /// The habits of caster 0.1.1: falsy values stand for the default, text is read as a number
    /// where one is due, an unknown key is a warning, `self` is on by default.
    Npm,
}

/// A value that has passed its row of the table.
#[derive(Debug, Clone)]
enum Value {
    Bool(bool),
    Int(u64),
    Id(NodeId),
    Json(Arc<str>),
    Text(JsText),
    Ip(IpAddr),
    Names(Arc<[String]>),
    Word(&'static str),
    Hosts(Vec<(String, Option<u16>)>),
}

/// A set of options for a node or a caster, checked as they are set.
#[derive(Debug, Clone, Default)]
pub struct Options {
    caster_only: bool,
    dialect: Dialect,
    given: SortedMap<&'static str, Value>,
    warnings: Vec<String>,
    /// The first thing that went wrong in a chain of builder calls.
    failed: Option<Error>,
}

impl Options {
    /// No options given: the defaults of a node.
    pub fn for_node() -> Self {
        Self::default()
    }

    /// No options given: the defaults of a caster.
    pub fn for_caster() -> Self {
        Self { caster_only: true, ..Self::default() }
    }

    /// The same options read with the habits of another language.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets options from a JSON object. `null` leaves an option at its default.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] or [`ErrorCode::UnknownOption`] for the first key that is not
    /// right; those before it are set.
    pub fn merge_json(&mut self, object: &str) -> Result<()> {
        let entries: BTreeMap<JsText, &RawValue> =
            serde_json::from_str(object).map_err(|error| {
                let text = format!("options have to be a JSON object: {error}");
                Error::new(ErrorCode::InvalidOption, text)
            })?;
        entries.iter().try_for_each(|(name, value)| self.set_json(&name.to_string(), value.get()))
    }

    /// Sets one option from a JSON text. `null` puts it back to its default.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the value is not accepted, [`ErrorCode::UnknownOption`] if
    /// there is no such option. The options are unchanged then.
    pub fn set_json(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(spec) = self.find(name) else {
            let error = self.unknown(name);
            if self.dialect == Dialect::Npm {
                self.warnings.push(error.message().into());
                return Ok(());
            }
            return Err(error);
        };
        match read(spec.kind, value.trim(), self.dialect, spec.name) {
            Ok(Some(value)) => self.given.insert(spec.name, value),
            Ok(None) => drop(self.given.remove(&spec.name)),
            Err(why) => {
                let secret = matches!(spec.kind, Kind::Text);
                let given = if secret { "this".into() } else { shorten(value.trim()) };
                let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                let accepts = spec.kind.accepts();
                let text =
                    format!("option {}: {given} is not accepted{why}; give {accepts}", spec.name);
                return Err(Error::new(ErrorCode::InvalidOption, text));
            }
        };
        Ok(())
    }

    /// Sets one option from any value that serde can write.
    ///
    /// # Errors
    /// As [`Options::set_json`].
    pub fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.set_json(name, &json::to_text(value)?)
    }

    /// Sets one option in a chain of calls. What goes wrong is reported when the options are used.
    #[must_use]
    pub fn with(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        if let Err(error) = self.set(name, value) {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// Sets a secret or key from UTF-16 units or bytes, which JSON could not carry.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if `name` is not an option that holds text.
    pub fn set_text(&mut self, name: &str, value: JsText) -> Result<()> {
        match self.find(name) {
            Some(Spec { name, kind: Kind::Text, .. }) => {
                self.given.insert(name, Value::Text(value));
                Ok(())
            }
            Some(spec) => {
                let text = format!("option {}: give {}", spec.name, spec.kind.accepts());
                Err(Error::new(ErrorCode::InvalidOption, text))
            }
            None => Err(self.unknown(name)),
        }
    }

    /// What was odd and let pass, in words; only [`Dialect::Npm`] lets anything pass.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn rows(&self) -> impl Iterator<Item = &'static Spec> {
        let caster_only = self.caster_only;
        TABLE.iter().filter(move |spec| spec.caster || !caster_only)
    }

    fn find(&self, name: &str) -> Option<&'static Spec> {
        self.rows().find(|spec| spec.name == name || snake_case(spec.name) == name)
    }

    fn unknown(&self, name: &str) -> Error {
        let what = if self.caster_only { "a caster" } else { "a node" };
        let nearest = self
            .rows()
            .map(|spec| {
                let (name, known) = (name.to_ascii_lowercase(), spec.name.to_ascii_lowercase());
                (strsim::osa_distance(&name, &known), spec.name)
            })
            .min()
            .filter(|&(distance, known)| distance <= 2.max(known.len() / 3));
        let hint = match nearest {
            Some((_, known)) => format!("did you mean {known:?}?"),
            None => {
                let names: Vec<&str> = self.rows().map(|spec| spec.name).collect();
                format!("there are {}", names.join(", "))
            }
        };
        let text = format!("{what} has no option {:?}; {hint}", shorten(name));
        Error::new(ErrorCode::UnknownOption, text)
    }

    /// What was given for this option. Two dozen places ask; one search is enough of code.
    #[inline(never)]
    fn value(&self, name: &'static str) -> Option<&Value> {
        self.given.get(&name)
    }

    fn bool(&self, name: &'static str, default: bool) -> bool {
        match self.value(name) {
            Some(Value::Bool(value)) => *value,
            _ => default,
        }
    }

    fn int(&self, name: &'static str, default: u64) -> u64 {
        match self.value(name) {
            Some(Value::Int(value)) => *value,
            _ => default,
        }
    }

    fn text(&self, name: &'static str) -> JsText {
        match self.value(name) {
            Some(Value::Text(value)) => value.clone(),
            _ => JsText::default(),
        }
    }

    fn word(&self, name: &'static str) -> Option<&'static str> {
        match self.value(name) {
            Some(Value::Word(value)) => Some(value),
            _ => None,
        }
    }

    fn ip(&self, name: &'static str) -> Option<IpAddr> {
        match self.value(name) {
            Some(Value::Ip(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn resolve_transport(&self) -> Result<TransportConfig> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let multicast = self.ip("multicast").unwrap_or(DEFAULT_GROUP);
        let any: IpAddr = match multicast {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let address = match self.ip("address") {
            Some(address) if address.is_ipv4() == multicast.is_ipv4() => address,
            Some(address) if address.is_unspecified() => any,
            Some(address) => {
                let text = format!(
                    "option address: {address} does not go with the group {multicast}; give an \
                     address of the same family"
                );
                return Err(Error::new(ErrorCode::InvalidOption, text));
            }
            None => any,
        };
        let multicast6 = match (self.ip("multicast6"), multicast) {
            (Some(IpAddr::V6(group)), IpAddr::V4(_)) => Some(group),
            (Some(group), IpAddr::V6(_)) if group != multicast => {
                let text = format!(
                    "option multicast6: {group} cannot be used beside {multicast}; give multicast \
                     an IPv4 address, or only one of the two"
                );
                return Err(Error::new(ErrorCode::InvalidOption, text));
            }
            _ => None,
        };
        let interfaces = match self.value("interfaces") {
            Some(Value::Names(names)) => names.clone(),
            _ => Arc::default(),
        };
        if !interfaces.is_empty() && !address.is_unspecified() {
            let text = format!(
                "option interfaces: the option address ({address}) names the interface already; \
                 give one of the two"
            );
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        Ok(TransportConfig {
            multicast,
            multicast6,
            interfaces,
            address,
            port: self.int("port", 10101) as u16,
            loopback: self.bool("loopback", true),
            ttl: self.int("ttl", 64) as u8,
            coalesce: Duration::from_millis(self.int("coalesce", 2)),
            spin: Duration::from_micros(self.int("spin", 0)),
            receive_buffer: self.int("receiveBuffer", 4 << 20) as usize,
        })
    }

    pub(crate) fn resolve_limits(&self) -> EndpointLimits {
        EndpointLimits {
            events: self.int("maxEvents", 16_384) as usize,
            bytes: self.int("maxEventBytes", 16 << 20) as usize,
            datagrams_per_second: self.int("maxDatagrams", 10_000_000) as u32,
        }
    }

    pub(crate) fn resolve_node(&self) -> Result<NodeConfig> {
        let transport = self.resolve_transport()?;
        let compat = self.word("compat") == Some("0.1.1");
        let (heartbeat, timeout) = if compat { (2000, 3000) } else { (1000, 2000) };
        let hash = match compat {
            true => !self.bool("hash", false),
            false => self.bool("hash", true),
        };
        let era = self.word("hashEra").map_or(Ok(HashEra::default()), str::parse)?;
        let algorithm = |name| self.word(name).unwrap_or_default().to_owned();
        Ok(NodeConfig {
            id: match self.value("id") {
                Some(Value::Id(id)) => id.clone(),
                _ => random_id(),
            },
            meta: match self.value("meta") {
                Some(Value::Json(meta)) => meta.clone(),
                _ => "null".into(),
            },
            expose: self.bool("expose", true),
            heartbeat: Duration::from_millis(self.int("heartbeat", heartbeat)),
            timeout: Duration::from_millis(self.int("timeout", timeout)),
            hash: hash.then(|| HashOptions {
                secret: self.text("hashSecret"),
                algorithm: algorithm("hashAlgorithm"),
                era,
            }),
            crypto: self.bool("crypto", false).then(|| CryptoOptions {
                key: self.text("cryptoKey"),
                algorithm: algorithm("cryptoAlgorithm"),
            }),
            observe_self: self.bool("self", self.dialect == Dialect::Npm),
            announce: self.bool("announce", true),
            drop_falsy_messages: compat,
            raw_utf8: self.bool("rawUtf8", false),
            extended: !compat,
            seeds: match self.value("seeds") {
                Some(Value::Hosts(hosts)) => {
                    let own = transport.port;
                    hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(own))).collect()
                }
                _ => Vec::new(),
            },
            transport,
            limits: self.resolve_limits(),
            budgets: Budgets {
                nodes: self.int("maxNodes", 4096) as usize,
                new_nodes_per_second: self.int("maxNewNodes", 1000) as u32,
                answers_per_second: self.int("maxAnswers", 50) as u32,
                meta: self.int("maxMeta", 8192) as usize,
                message: self.int("maxMessage", 61_440) as usize,
                depth: self.int("maxDepth", json::MAX_DEPTH as u64) as usize,
            },
        })
    }
}

/// The group of caster 0.1.1.
const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 42));

/// What a socket needs to know: those with the same of these share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransportConfig {
    pub multicast: IpAddr,
    /// Only beside an IPv4 group.
    pub multicast6: Option<Ipv6Addr>,
    pub interfaces: Arc<[String]>,
    pub address: IpAddr,
    pub port: u16,
    pub loopback: bool,
    pub ttl: u8,
    /// How long the thread may wait for more when there is much to receive.
    pub coalesce: Duration,
    /// For how long after a datagram the thread looks for more without sleeping.
    pub spin: Duration,
    /// How many bytes are asked of the system for datagrams that wait to be read.
    pub receive_buffer: usize,
}

/// All options of a node, resolved.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    pub transport: TransportConfig,
    pub id: NodeId,
    pub meta: Arc<str>,
    pub expose: bool,
    pub heartbeat: Duration,
    pub timeout: Duration,
    pub hash: Option<HashOptions>,
    pub crypto: Option<CryptoOptions>,
    pub observe_self: bool,
    pub announce: bool,
    pub drop_falsy_messages: bool,
    pub raw_utf8: bool,
    /// Whether heartbeats carry the extension: not among those who want 0.1.1 to the letter.
    pub extended: bool,
    /// Hosts to write to one by one.
    pub seeds: Vec<(String, u16)>,
    pub limits: EndpointLimits,
    pub budgets: Budgets,
}

/// What one node may cost another at the most.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    pub nodes: usize,
    pub new_nodes_per_second: u32,
    pub answers_per_second: u32,
    pub meta: usize,
    pub message: usize,
    pub depth: usize,
}

/// How much waits for the program, and how much is taken from one address, at the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointLimits {
    pub events: usize,
    pub bytes: usize,
    pub datagrams_per_second: u32,
}

/// The host and the port, if there is one, of `host`, `host:port`, `[address]:port` or an address.
fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    if text.parse::<IpAddr>().is_ok() {
        return Some((text.into(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|&port| port != 0)?)),
        None => (text, None),
    };
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    (!host.is_empty() && !host.contains([' ', '/'])).then(|| (host.into(), port))
}

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

/// `node` and random digits, like `node3951768756378442` of caster 0.1.1.
fn random_id() -> NodeId {
    let random = getrandom::u64().expect("the system has random numbers");
    NodeId::new(&format!("node{}", random % 10_000_000_000_000_000)).expect("short and not empty")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A JSON value as far as options look into it.
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(JsText),
    Other,
}

impl Json {
    fn parse(text: &str) -> Result<Json, Option<String>> {
        let bad = |error: serde_json::Error| Some(format!("not valid JSON: {error}"));
        json::validate(text).map_err(bad)?;
        Ok(match text.as_bytes()[0] {
            b'n' => Json::Null,
            b't' => Json::Bool(true),
            b'f' => Json::Bool(false),
            b'"' => Json::Text(serde_json::from_str(text).map_err(bad)?),
            b'[' | b'{' => Json::Other,
            // What is too large for a number is infinite, as in JavaScript.
            _ => Json::Number(text.parse().unwrap_or(f64::INFINITY)),
        })
    }

    /// Truthiness of JavaScript.
    fn truthy(&self) -> bool {
        match self {
            Json::Null => false,
            Json::Bool(value) => *value,
            Json::Number(value) => *value != 0.0 && !value.is_nan(),
            Json::Text(text) => !text.is_empty(),
            Json::Other => true,
        }
    }
}

/// Reads a value for a row of the table; `None` stands for the default. The error is an
/// explanation beyond "not accepted", if there is one.
fn read(
    kind: Kind,
    text: &str,
    dialect: Dialect,
    name: &str,
) -> Result<Option<Value>, Option<String>> {
    let value = Json::parse(text)?;
    let npm = dialect == Dialect::Npm;
    if matches!(value, Json::Null) {
        // In 0.1.1 only the absence of this one stands for the default.
        return Ok((npm && name == "expose").then_some(Value::Bool(false)));
    }
    // In 0.1.1 most options are read as `given || default`.
    let may_be_zero = matches!((kind, &value), (Kind::Int { min: 0, .. }, Json::Number(_)));
    let falsy_is_default = npm && kind != Kind::Bool && !may_be_zero && !value.truthy();
    if falsy_is_default {
        return Ok(None);
    }
    let plain_text = |value: &Json| match value {
        Json::Text(text) => Some(text.to_string()),
        _ => None,
    };
    Ok(Some(match kind {
        Kind::Bool => match value {
            Json::Bool(value) => Value::Bool(value),
            // 0.1.1 takes only real booleans for this one.
            _ if npm && name == "loopback" => return Ok(None),
            _ if npm => Value::Bool(value.truthy()),
            _ => return Err(None),
        },
        Kind::Int { min, max } | Kind::Millis { min, max } => {
            let number = match &value {
                Json::Number(number) => *number,
                Json::Text(text) if npm => text.to_string().trim().parse().map_err(|_| None)?,
                _ => return Err(None),
            };
            let whole = number.fract() == 0.0;
            if !whole || number < min as f64 || number > max as f64 {
                return Err(None);
            }
            Value::Int(number as u64)
        }
        Kind::Id => {
            let id = match value {
                Json::Text(text) => text,
                Json::Number(number) if npm => number_to_text(number).into(),
                Json::Bool(_) if npm => "true".into(),
                _ => return Err(None),
            };
            Value::Id(NodeId::from_js(&id).map_err(|_| None)?)
        }
        // In 0.1.1 these three stand for no metadata; elsewhere that would be a trap.
        Kind::Json if !value.truthy() => return Err(None),
        Kind::Json => {
            json::check_depth(text, "it").map_err(|error| Some(error.message().into()))?;
            Value::Json(json::compact(text).into())
        }
        Kind::Text => Value::Text(match value {
            Json::Text(text) => text,
            Json::Number(number) if npm => number_to_text(number).into(),
            Json::Bool(_) if npm => "true".into(),
            _ => return Err(None),
        }),
        Kind::Group => match plain_text(&value).and_then(|text| text.parse::<IpAddr>().ok()) {
            Some(group) if group.is_multicast() => Value::Ip(group),
            _ => return Err(None),
        },
        Kind::Group6 => match plain_text(&value).and_then(|text| text.parse::<Ipv6Addr>().ok()) {
            Some(group) if group.is_multicast() => Value::Ip(group.into()),
            _ => return Err(None),
        },
        Kind::Interfaces => {
            let names: Vec<String> = serde_json::from_str(text).map_err(|_| None)?;
            if names.iter().any(|name| name.trim_start_matches('!').is_empty()) {
                return Err(Some("an entry is empty".into()));
            }
            Value::Names(names.into())
        }
        Kind::Address => match plain_text(&value).and_then(|text| text.parse::<IpAddr>().ok()) {
            Some(address) if !address.is_multicast() => Value::Ip(address),
            _ => return Err(None),
        },
        Kind::HashAlgorithm => match plain_text(&value).map(|name| hash::find_algorithm(&name)) {
            Some(Ok(name)) => Value::Word(name),
            _ => return Err(None),
        },
        Kind::CipherAlgorithm => match plain_text(&value).map(|name| crypto::find_algorithm(&name))
        {
            Some(Ok(name)) => Value::Word(name),
            _ => return Err(None),
        },
        Kind::Hosts => {
            let hosts: Vec<String> = serde_json::from_str(text).map_err(|_| None)?;
            let hosts = hosts.iter().map(|text| split_host(text).ok_or(None));
            Value::Hosts(hosts.collect::<Result<_, Option<String>>>()?)
        }
        Kind::Word(words) => {
            let given = plain_text(&value).ok_or(None)?;
            Value::Word(words.iter().find(|&&word| word == given).ok_or(None)?)
        }
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        Options::for_node().merge_json(json).unwrap_err().message().to_owned()
    }

    #[test]
    fn the_defaults_of_the_table_are_the_defaults_in_force() {
        let mut given = Options::for_node();
        for spec in TABLE {
            given.set_json(spec.name, spec.default).unwrap();
        }
        let mut given = given.resolve_node().unwrap();
        let silent = Options::for_node().resolve_node().unwrap();
        assert!(given.id.as_str().starts_with("node") && silent.id.as_str().starts_with("node"));
        assert_ne!(given.id, silent.id);
        given.id = silent.id.clone();
        if let Some(hash) = &mut given.hash {
            hash.algorithm.clear();
        }
        assert_eq!(format!("{given:?}"), format!("{silent:?}"));
    }

    #[test]
    fn a_refusal_names_the_key_the_value_and_what_is_accepted() {
        let text = refusal(r#"{"ttl": 256}"#);
        assert_eq!(text, "option ttl: 256 is not accepted; give a whole number from 1 to 255");
        let text = refusal(r#"{"hashAlgorithm": "whirlpool"}"#);
        assert!(text.contains("whirlpool") && text.contains("sha256"), "{text}");
        for bad in [
            r#"{"port": 0}"#,
            r#"{"port": 70000}"#,
            r#"{"port": "10101"}"#,
            r#"{"heartbeat": 1.5}"#,
            r#"{"heartbeat": -1}"#,
            r#"{"multicast": "10.0.0.1"}"#,
            r#"{"address": "localhost"}"#,
            r#"{"id": ""}"#,
            r#"{"id": 5}"#,
            r#"{"meta": 0}"#,
            r#"{"id": {"a": 1}}"#,
            r#"{"expose": 1}"#,
            r#"{"compat": "0.1.2"}"#,
            r#"{"cryptoAlgorithm": "des3"}"#,
            r#"{"hashSecret": 5}"#,
            r#"{"seeds": "host"}"#,
            r#"{"seeds": ["host:0"]}"#,
            r#"{"seeds": ["host:x"]}"#,
            r#"{"seeds": [""]}"#,
            r#"{"interfaces": "eth0"}"#,
            r#"{"interfaces": [1]}"#,
            r#"{"interfaces": ["!"]}"#,
            r#"{"multicast6": "239.0.0.1"}"#,
        ] {
            let key = bad.split('"').nth(1).unwrap();
            assert!(refusal(bad).contains(&format!("option {key}:")), "{bad}");
        }
    }

    #[test]
    fn seeds_may_have_ports_and_be_addresses() {
        let seeds = ["db", "db:5", "10.0.0.1", "10.0.0.1:7", "::1", "[::1]:9"];
        let config = Options::for_node().with("seeds", &seeds).with("port", &3).resolve_node();
        let want = [("db", 3), ("db", 5), ("10.0.0.1", 3), ("10.0.0.1", 7), ("::1", 3), ("::1", 9)];
        assert_eq!(config.unwrap().seeds, want.map(|(host, port)| (host.to_owned(), port)));
    }

    #[test]
    fn a_secret_is_not_repeated_in_the_refusal() {
        assert!(!refusal(r#"{"hashSecret": ["hush"]}"#).contains("hush"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        assert!(refusal(r#"{"heartbeet": 1}"#).contains("did you mean \"heartbeat\"?"));
        assert!(refusal(r#"{"hash_secert": "x"}"#).contains("hashSecret"));
        assert!(refusal(r#"{"zzzzzzzzzzz": 1}"#).contains("there are id, meta"));
        let caster = Options::for_caster().set_json("meta", "1").unwrap_err();
        assert_eq!(caster.code(), ErrorCode::UnknownOption);
    }

    #[test]
    fn both_spellings_are_accepted() {
        let mut options = Options::for_node();
        options.merge_json(r#"{"hash_secret": "a", "cryptoKey": "b", "crypto": true}"#).unwrap();
        let config = options.resolve_node().unwrap();
        assert_eq!(config.hash.unwrap().secret, "a".into());
        assert_eq!(config.crypto.unwrap().key, "b".into());
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let refusal = |json| {
            let mut options = Options::for_caster();
            options.merge_json(json).unwrap();
            options.resolve_transport().unwrap_err().message().to_owned()
        };
        let text = refusal(r#"{"address": "127.0.0.1", "interfaces": ["eth0"]}"#);
        assert!(text.contains("127.0.0.1"), "{text}");
        let text = refusal(r#"{"multicast": "ff02::1", "multicast6": "ff02::2"}"#);
        assert!(text.contains("ff02::2"), "{text}");
    }

    #[test]
    fn npm_reads_options_as_0_1_1_did() {
        let mut options = Options::for_node().dialect(Dialect::Npm);
        options
            .merge_json(
                r#"{"port": "10102", "ttl": 0, "heartbeat": 0, "id": 0, "meta": "",
                    "coalesce": 0, "expose": null, "loopback": 0, "crypto": 1, "cryptoKey": "", "colour": "red"}"#,
            )
            .unwrap();
        assert!(options.warnings()[0].contains("\"colour\""));
        let config = options.resolve_node().unwrap();
        assert_eq!(config.transport.port, 10102);
        assert_eq!(config.transport.ttl, 64);
        assert!(config.transport.coalesce.is_zero(), "a number that was unknown to 0.1.1");
        assert!(config.transport.loopback && !config.expose && config.crypto.is_some());
        assert_eq!(config.heartbeat, Duration::from_secs(1));
        assert_eq!(&*config.meta, "null");
        assert!(config.observe_self);
        let mut options = Options::for_node().dialect(Dialect::Npm);
        options.merge_json(r#"{"id": 1e21}"#).unwrap();
        assert_eq!(options.resolve_node().unwrap().id, "1e+21");
    }

    #[test]
    fn compat_inverts_hash_and_slows_the_beat() {
        let hashes = |json| {
            let mut options = Options::for_node();
            options.merge_json(json).unwrap();
            options.resolve_node().unwrap().hash.is_some()
        };
        assert!(hashes("{}") && !hashes(r#"{"hash": false}"#));
        assert!(hashes(r#"{"compat": "0.1.1"}"#));
        assert!(!hashes(r#"{"compat": "0.1.1", "hash": true}"#));
        assert!(hashes(r#"{"compat": "0.1.1", "hash": false}"#));
        let compat = Options::for_node().with("compat", "0.1.1").resolve_node().unwrap();
        assert_eq!(compat.heartbeat, Duration::from_secs(2));
    }
}
