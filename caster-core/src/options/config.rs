//! The meaning of the options: resolved configurations, and which options go together.

use super::environment::Environment;
use super::range::Range;
use super::read::{Dialect, Options, Value};
use crate::entropy;
use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::jstext::JsText;
use crate::middleware::{CryptoOptions, HashEra, HashOptions, SecureOptions, json};
use crate::peer::NodeId;
use crate::secure::identity::Identities;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

impl Options {
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
            scope: self.scope("address"),
            port: self.int("port", self.default_port().into()) as u16,
            loopback: self.bool("loopback", true),
            ttl: self.int("ttl", 64) as u8,
            coalesce: Duration::from_millis(self.int("coalesce", 2)),
            spin: Duration::from_micros(self.int("spin", 0)),
            receive_buffer: self.int("receiveBuffer", 4 << 20) as usize,
            private_port: None,
            one_port: !self.keys.is_empty(),
            range: self.word("range").and_then(Range::of).unwrap_or_default(),
        })
    }

    /// The port of a node for unicast.
    fn resolve_private_port(&self, transport: &TransportConfig) -> Result<PrivatePort> {
        let port = self.int("unicastPort", 0) as u16;
        if port != 0 && (port == transport.port || Some(port) == transport.port.checked_add(1)) {
            let group = transport.port;
            let text = format!(
                "option unicastPort: {port} belongs to the group, whose port is {group}, as does \
                 the one after it; give another port, or 0"
            );
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        let is_seeded = self.value("seeds").is_some();
        let ttl = Some(transport.ttl).filter(|&ttl| !is_seeded && ttl != SYSTEM_TTL);
        Ok(PrivatePort { port: (port != 0).then_some(port), ttl })
    }

    pub(crate) fn resolve_limits(&self) -> EndpointLimits {
        let datagrams = if self.caster_only { u32::MAX } else { 20_000 };
        EndpointLimits {
            events: self.int("maxEvents", 16_384) as usize,
            bytes: self.int("maxEventBytes", 16 << 20) as usize,
            datagrams_per_second: self.int("maxDatagrams", datagrams.into()) as u32,
        }
    }

    fn default_port(&self) -> u16 {
        if self.keys.is_empty() { ORIGINALS_PORT } else { SECURE_PORT }
    }

    /// The options of secure mode, which exclude some of the others.
    pub(crate) fn resolve_secure(
        &self,
        transport: &TransportConfig,
    ) -> Result<Option<SecureOptions>> {
        let refusal = |text: &str| Err(Error::new(ErrorCode::InvalidOption, text));
        if self.keys.is_empty() {
            if self.identity.is_some() || !self.trusted.is_empty() {
                let name = if self.identity.is_some() { "identity" } else { "trust" };
                return refusal(&format!("option {name}: it needs keys"));
            }
            let is_on = |name: &'static str| match self.value(name) {
                Some(Value::Text(text)) => *text != JsText::default(),
                Some(Value::Bool(on)) => *on,
                given => given.is_some(),
            };
            return match OF_KEYS.into_iter().find(|name| is_on(name)) {
                Some(name) => refusal(&format!("option {name}: it needs keys")),
                None => Ok(None),
            };
        }
        // In migration they are those of the plain port.
        let is_plain = self.word("plain").is_some();
        let replaced = [
            "hash",
            "hashSecret",
            "hashAlgorithm",
            "hashEra",
            "crypto",
            "cryptoKey",
            "cryptoAlgorithm",
            "compat",
        ];
        let kept = |name: &str| is_plain && name != "compat";
        let given = |name: &&'static str| self.value(name).is_some() && !kept(name);
        if let Some(name) = replaced.into_iter().find(given) {
            return refusal(&format!("option {name}: keys take its place; give one of the two"));
        }
        if transport.port == ORIGINALS_PORT {
            return refusal(
                "option port: 10101 is the port of caster 0.1.1, and a sealed datagram ends its \
                 processes; leave the option out, or give another port",
            );
        }
        let realm = String::from_utf8_lossy(&self.text("realm").to_utf8()).into_owned();
        Ok(Some(SecureOptions { keys: self.keys.clone(), realm, hmac: self.bool("hmac", false) }))
    }

    /// A bare caster says nothing about itself that could be signed.
    pub(crate) fn refuse_identities(&self) -> Result<()> {
        let name = match (&self.identity, self.trusted.is_empty()) {
            (Some(_), _) => "identity",
            (None, false) => "trust",
            (None, true) => return Ok(()),
        };
        let text = format!("option {name}: only nodes have identities");
        Err(Error::new(ErrorCode::InvalidOption, text))
    }

    /// The identity of a node, and those that it trusts.
    fn resolve_identities(&self) -> Result<Identities> {
        let all = self.bool("signMessages", false);
        if all && self.identity.is_none() {
            let text = "option signMessages: it needs an identity";
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        let (own, trusted) = (self.identity.clone(), self.trusted.clone());
        Ok(Identities { own, all, trusted })
    }

    /// The plain half of a node in migration, given the sealed one.
    fn resolve_plain(&self, sealed: &NodeConfig) -> Result<Option<Box<NodeConfig>>> {
        let port = self.int("plainPort", ORIGINALS_PORT.into()) as u16;
        let own = sealed.transport.port;
        let Some(plain) = self.word("plain") else {
            if port == ORIGINALS_PORT {
                return Ok(None);
            }
            let text = "option plainPort: it needs the option plain";
            return Err(Error::new(ErrorCode::InvalidOption, text));
        };
        if port == own || port.checked_add(1) == Some(own) {
            let text = format!(
                "option plainPort: {port} and the port after it belong to the plain group, and {own} is \
                 the port of the sealed one; give another port"
            );
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        let mut half = sealed.clone();
        half.transport.port = port;
        half.transport.one_port = false;
        if let Some(private) = &mut half.transport.private_port {
            private.port = None;
        }
        half.secure = None;
        half.identities = Identities::default();
        half.expose &= plain == "send";
        half.observe_self = false;
        half.originals = self.when_originals();
        Ok(Some(Box::new(half)))
    }

    fn when_originals(&self) -> Originals {
        match self.word("originals") {
            Some("expect") => Originals::Expect,
            Some("never") => Originals::Never,
            _ => Originals::Auto,
        }
    }

    /// Refuses the secret `name` while `stage` is off: one that has no effect is a mistake.
    fn refuse_unused(&self, name: &'static str, stage: &str, is_on: bool) -> Result<()> {
        if is_on || self.value(name).is_none() {
            return Ok(());
        }
        let text =
            format!("option {name}: {stage} is off; set {stage} to true, or leave {name} out");
        Err(Error::new(ErrorCode::InvalidOption, text))
    }

    pub(crate) fn resolve_node(&self) -> Result<NodeConfig> {
        let mut transport = self.resolve_transport()?;
        let secure = self.resolve_secure(&transport)?;
        let compat = self.word("compat") == Some("0.1.1");
        if !compat {
            transport.private_port = Some(self.resolve_private_port(&transport)?);
        }
        let (heartbeat, timeout) = if compat { (2000, 3000) } else { (1000, 2000) };
        let hash = match compat {
            true => !self.bool("hash", false),
            false => self.bool("hash", true),
        };
        let crypto = self.bool("crypto", false);
        if secure.is_none() && !compat {
            self.refuse_unused("hashSecret", "hash", hash)?;
            self.refuse_unused("cryptoKey", "crypto", crypto)?;
        }
        let era = self.word("hashEra").map_or(Ok(HashEra::default()), str::parse)?;
        let algorithm = |name| self.word(name).unwrap_or_default().to_owned();
        let meta: Arc<str> = match self.value("meta") {
            Some(Value::Json(meta)) => meta.clone(),
            _ => "null".into(),
        };
        let max_meta = self.int("maxMeta", 8192) as usize;
        let size = jsontext::wire_size(&meta, max_meta);
        if size > max_meta {
            let text = format!(
                "option meta: the metadata takes {size} bytes; the option maxMeta allows {max_meta}"
            );
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        let mut config = NodeConfig {
            id: match self.value("id") {
                Some(Value::Id(id)) => id.clone(),
                _ => random_id()?,
            },
            meta,
            expose: self.bool("expose", true),
            heartbeat: Duration::from_millis(self.int("heartbeat", heartbeat)),
            timeout: Duration::from_millis(self.int("timeout", timeout)),
            hash: hash.then(|| HashOptions {
                secret: self.text("hashSecret"),
                algorithm: algorithm("hashAlgorithm"),
                era,
            }),
            crypto: crypto.then(|| CryptoOptions {
                key: self.text("cryptoKey"),
                algorithm: algorithm("cryptoAlgorithm"),
            }),
            secure,
            identities: self.resolve_identities()?,
            observe_self: self.bool("self", self.dialect == Dialect::Npm),
            announce: self.bool("announce", true),
            drop_falsy_messages: compat,
            raw_utf8: self.bool("rawUtf8", false),
            originals: match self.keys.is_empty() {
                true => self.when_originals(),
                // They cannot read what is sealed.
                false => Originals::Never,
            },
            extended: !compat,
            seeds: match self.value("seeds") {
                Some(Value::Hosts(hosts)) => {
                    let own = transport.port;
                    hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(own))).collect()
                }
                _ => Vec::new(),
            },
            ignores_seeds: false,
            transport,
            limits: self.resolve_limits(),
            budgets: Budgets {
                nodes: self.int("maxNodes", 4096) as usize,
                new_nodes_per_second: self.int("maxNewNodes", 1000) as u32,
                answers_per_second: self.int("maxAnswers", 50) as u32,
                meta: max_meta,
                message: self.int("maxMessage", 65_507) as usize,
                depth: self.int("maxDepth", json::MAX_DEPTH as u64) as usize,
            },
            believes_refusals: self.word("refusals").is_some(),
            delivers_unproven: self.word("unproven").is_some(),
            plain: None,
        };
        config.plain = self.resolve_plain(&config)?;
        Ok(config)
    }
}

/// The group of caster 0.1.1.
const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 42));

/// The port of caster 0.1.1.
const ORIGINALS_PORT: u16 = 10101;

/// Options that only secure mode has.
const OF_KEYS: [&str; 6] = ["realm", "hmac", "plain", "refusals", "unproven", "signMessages"];

/// The port of secure mode.
const SECURE_PORT: u16 = 10103;

/// The TTL that systems give to unicast by default. It is not set where it is wanted: nodes with and
/// without seeds then share their sockets.
const SYSTEM_TTL: u8 = 64;

/// The port of a process for unicast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrivatePort {
    /// `None`: one that is free.
    pub port: Option<u16>,
    /// How far unicast goes. `None`: as far as the system sends it.
    pub ttl: Option<u8>,
}

/// The configuration of a socket. Endpoints with the same one share a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransportConfig {
    pub multicast: IpAddr,
    /// Only beside an IPv4 group.
    pub multicast6: Option<Ipv6Addr>,
    pub interfaces: Arc<[String]>,
    pub address: IpAddr,
    /// The name or number of the interface of a link-local address.
    pub scope: Option<Arc<str>>,
    pub port: u16,
    pub loopback: bool,
    pub ttl: u8,
    /// How long the thread may wait for more when there is much to receive.
    pub coalesce: Duration,
    /// Duration after a datagram in which the thread looks for more without sleeping.
    pub spin: Duration,
    /// How many bytes are asked of the system for datagrams that wait to be read.
    pub receive_buffer: usize,
    /// A bare caster has no port of its own.
    pub private_port: Option<PrivatePort>,
    /// Data goes to the port of the group, too: in secure mode no process of caster 0.1.1 is there.
    pub one_port: bool,
    pub range: Range,
}

impl TransportConfig {
    /// Limits it to the range of the options and of the environment. Virtual networks have no range.
    pub fn limit(&mut self, environment: &Environment) {
        self.range = self.range.min(environment.range);
        match self.range {
            Range::Host => {
                self.address = match self.multicast {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                self.scope = None;
                self.interfaces = Arc::default();
            }
            Range::Link => self.ttl = 1,
            Range::Off | Range::Any => {}
        }
    }

    /// The option `address`, with its scope.
    pub fn scoped_address(&self) -> String {
        match &self.scope {
            Some(scope) => format!("{}%{scope}", self.address),
            None => self.address.to_string(),
        }
    }
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
    /// Takes the place of `hash` and `crypto`.
    pub secure: Option<SecureOptions>,
    /// Beside it.
    pub identities: Identities,
    pub observe_self: bool,
    pub announce: bool,
    pub drop_falsy_messages: bool,
    pub raw_utf8: bool,
    pub originals: Originals,
    /// Whether heartbeats carry the extension: not with `compat`.
    pub extended: bool,
    /// Hosts to write to one by one.
    pub seeds: Vec<(String, u16)>,
    /// Whether the range has removed seeds.
    pub ignores_seeds: bool,
    pub limits: EndpointLimits,
    pub budgets: Budgets,
    /// In secure mode: a refused port is a death at once.
    pub believes_refusals: bool,
    /// In secure mode: messages of bare casters are delivered.
    pub delivers_unproven: bool,
    /// In migration to secure mode: the half of the node that has no keys.
    pub plain: Option<Box<NodeConfig>>,
}

impl NodeConfig {
    /// Adds the seeds of the environment, and limits the node to the range of both.
    pub fn limit(&mut self, environment: &Environment) {
        if let Some(plain) = &mut self.plain {
            plain.limit(environment);
        }
        self.transport.limit(environment);
        let own = self.transport.port;
        for (host, port) in &environment.seeds {
            let seed = (host.clone(), port.unwrap_or(own));
            if !self.seeds.contains(&seed) {
                self.seeds.push(seed);
            }
        }
        let all = self.seeds.len();
        if self.transport.range < Range::Any {
            // Names are not resolved: even that would leave the host.
            self.seeds.retain(|(host, _)| host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()));
        }
        self.ignores_seeds = self.seeds.len() < all;
        if let Some(private) = &mut self.transport.private_port {
            match self.transport.range {
                Range::Link => private.ttl = Some(1),
                _ if !self.seeds.is_empty() => private.ttl = None,
                _ => {}
            }
        }
    }
}

impl NodeConfig {
    /// A seed of a node in migration is one of both halves, by either of their ports.
    pub fn pair_seeds(&mut self) {
        let Some(plain) = &mut self.plain else { return };
        let ports = (self.transport.port, plain.transport.port);
        let of_port = |seeds: &mut Vec<(String, u16)>, from: u16, to: u16| {
            for (_, port) in seeds.iter_mut().filter(|(_, port)| *port == from) {
                *port = to;
            }
        };
        of_port(&mut self.seeds, ports.1, ports.0);
        of_port(&mut plain.seeds, ports.0, ports.1);
    }
}

/// When the rules for peers that run caster 0.1.1 apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Originals {
    /// While one is there.
    Auto,
    /// At all times.
    Expect,
    Never,
}

/// The most that one node may cost another.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    pub nodes: usize,
    pub new_nodes_per_second: u32,
    pub answers_per_second: u32,
    pub meta: usize,
    pub message: usize,
    pub depth: usize,
}

/// How much waits for the program, and how much is taken from one address, at the most; `u32::MAX`
/// datagrams are no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointLimits {
    pub events: usize,
    pub bytes: usize,
    pub datagrams_per_second: u32,
}

/// `node` and random digits, like `node3951768756378442` of caster 0.1.1.
fn random_id() -> Result<NodeId> {
    NodeId::new(&format!("node{}", entropy::number()? % 10_000_000_000_000_000))
}
