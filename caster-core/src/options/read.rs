//! Reading options: values that are checked against the table as they are set.

use super::table::{Kind, MAX_ID_JSON, Spec, TABLE, snake_case};
use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::jstext::{JsText, number_to_text};
use crate::message::split_scope;
use crate::middleware::{crypto, hash};
use crate::peer::NodeId;
use crate::secure::identity::{Identity, PublicKey};
use crate::secure::key::Key;
use crate::sort::SortedMap;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

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
pub(super) enum Value {
    Bool(bool),
    Int(u64),
    Id(NodeId),
    Json(Arc<str>),
    Text(JsText),
    Ip(IpAddr),
    /// A link-local address with the name or number of its interface.
    Scoped(IpAddr, Arc<str>),
    Names(Arc<[String]>),
    Word(&'static str),
    Hosts(Vec<(String, Option<u16>)>),
}

/// A set of options for a node or a caster, checked as they are set.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(super) caster_only: bool,
    pub(super) dialect: Dialect,
    given: SortedMap<&'static str, Value>,
    warnings: Vec<String>,
    /// Keys come by a path of their own: texts of options end in logs.
    pub(super) keys: Vec<Key>,
    pub(super) identity: Option<Identity>,
    pub(super) trusted: Vec<PublicKey>,
    /// The first thing that went wrong in a chain of builder calls.
    pub(super) failed: Option<Error>,
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

    /// Turns secure mode on with these keys: the first one seals, all are accepted. They take the place
    /// of `hash` and `crypto`.
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        let before = self.keys.len();
        self.keys.extend(keys);
        if self.keys.len() == before {
            let text = "option keys: it is empty; give at least one key, or leave the option out";
            self.failed.get_or_insert(Error::new(ErrorCode::InvalidOption, text));
        }
        self
    }

    /// Adds a key of secure mode behind those that were added before.
    pub fn add_key(&mut self, key: Key) {
        self.keys.push(key);
    }

    /// In secure mode: the node signs what it says about itself, and verifies the signatures of others.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.set_identity(identity);
        self
    }

    /// As [`Options::identity`].
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// In secure mode: only nodes with these identities are peers. Without it each identity is trusted from its
    /// first use on.
    #[must_use]
    pub fn trust(mut self, trusted: impl IntoIterator<Item = PublicKey>) -> Self {
        let before = self.trusted.len();
        self.trusted.extend(trusted);
        if self.trusted.len() == before {
            let text =
                "option trust: it is empty; give at least one public key, or leave the option out";
            self.failed.get_or_insert(Error::new(ErrorCode::InvalidOption, text));
        }
        self
    }

    /// Adds an identity to those that are trusted.
    pub fn add_trusted(&mut self, key: PublicKey) {
        self.trusted.push(key);
    }

    /// Sets options from a JSON object. `null` leaves an option at its default.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] or [`ErrorCode::UnknownOption`] for the first key that is not
    /// right; those before it are set. [`ErrorCode::InvalidOption`] if one is given in both spellings;
    /// none is set then.
    pub fn merge_json(&mut self, object: &str) -> Result<()> {
        let entries: BTreeMap<JsText, &RawValue> =
            serde_json::from_str(object).map_err(|error| {
                let text = format!("options have to be a JSON object: {error}");
                Error::new(ErrorCode::InvalidOption, text)
            })?;
        self.check_spellings(entries.keys().map(JsText::to_string))?;
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
        let json = jsontext::to_text(value).map_err(|error| {
            Error::new(ErrorCode::InvalidOption, format!("option {name}: {}", error.message()))
        })?;
        self.set_json(name, &json)
    }

    /// Sets one option in a chain of calls. An error is reported when the options are used.
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

    /// Checks that no two of these names are spellings of one option, as `hashSecret` and `hash_secret`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] for the first option that is named twice.
    pub fn check_spellings(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        let mut seen = Vec::new();
        for name in names {
            let Some(spec) = self.find(name.as_ref()) else { continue };
            if seen.contains(&spec.name) {
                let (camel, snake) = (spec.name, snake_case(spec.name));
                let text = format!(
                    "option {camel}: it is given as {camel} and as {snake}; give one of them"
                );
                return Err(Error::new(ErrorCode::InvalidOption, text));
            }
            seen.push(spec.name);
        }
        Ok(())
    }

    /// Checks that no option is given that only nodes have.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownOption`] for the first one.
    pub(crate) fn check_for_caster(&self) -> Result<()> {
        let of_casters = Self::for_caster();
        let mut given = TABLE.iter().filter(|spec| self.value(spec.name).is_some());
        match given.find(|spec| !spec.caster) {
            Some(spec) => Err(of_casters.unknown(spec.name)),
            None => Ok(()),
        }
    }

    /// Warnings about values that were let pass; only [`Dialect::Npm`] lets any pass.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn rows(&self) -> impl Iterator<Item = &'static Spec> {
        let caster_only = self.caster_only;
        TABLE.iter().filter(move |spec| spec.caster || !caster_only)
    }

    fn find(&self, name: &str) -> Option<&'static Spec> {
        self.rows().find(|spec| spec.is_named(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let what = if self.caster_only { "a caster" } else { "a node" };
        let lower = name.to_ascii_lowercase();
        let length = lower.chars().count();
        let nearest = self
            .rows()
            // The distance is at least the difference of the lengths.
            .filter(|spec| length.abs_diff(spec.name.len()) <= spec.typos())
            .map(|spec| (strsim::osa_distance(&lower, &spec.name.to_ascii_lowercase()), spec))
            .min_by_key(|&(distance, spec)| (distance, spec.name))
            .filter(|&(distance, spec)| distance <= spec.typos());
        let hint = match nearest {
            _ if ["keys", "identity", "trust"].contains(&name) => {
                "keys are added one by one, and not as JSON: texts end in logs".into()
            }
            _ if self.caster_only && TABLE.iter().any(|spec| spec.is_named(name)) => {
                "it is an option of nodes".into()
            }
            Some((_, known)) => format!("did you mean {:?}?", known.name),
            None => {
                let names: Vec<&str> = self.rows().map(|spec| spec.name).collect();
                format!("there are {}", names.join(", "))
            }
        };
        let text = format!("{what} has no option {:?}; {hint}", shorten(name));
        Error::new(ErrorCode::UnknownOption, text)
    }

    /// The value given for this option. Two dozen places ask; one search is enough of code.
    #[inline(never)]
    pub(super) fn value(&self, name: &'static str) -> Option<&Value> {
        self.given.get(&name)
    }

    pub(super) fn bool(&self, name: &'static str, default: bool) -> bool {
        match self.value(name) {
            Some(Value::Bool(value)) => *value,
            _ => default,
        }
    }

    pub(super) fn int(&self, name: &'static str, default: u64) -> u64 {
        match self.value(name) {
            Some(Value::Int(value)) => *value,
            _ => default,
        }
    }

    pub(super) fn text(&self, name: &'static str) -> JsText {
        match self.value(name) {
            Some(Value::Text(value)) => value.clone(),
            _ => JsText::default(),
        }
    }

    pub(super) fn word(&self, name: &'static str) -> Option<&'static str> {
        match self.value(name) {
            Some(Value::Word(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn ip(&self, name: &'static str) -> Option<IpAddr> {
        match self.value(name) {
            Some(Value::Ip(value) | Value::Scoped(value, _)) => Some(*value),
            _ => None,
        }
    }

    /// The scope of an address.
    pub(super) fn scope(&self, name: &'static str) -> Option<Arc<str>> {
        match self.value(name) {
            Some(Value::Scoped(_, scope)) => Some(scope.clone()),
            _ => None,
        }
    }
}

/// The host and the port, if there is one, of `host`, `host:port`, `[address]:port` or an address.
pub(super) fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    if split_scope(text).is_some() {
        return Some((text.into(), None));
    }
    let number = |port: &str| port.parse().ok().filter(|&port| port != 0);
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        split_scope(host)?;
        let port = match rest {
            "" => None,
            _ => Some(number(rest.strip_prefix(':')?)?),
        };
        return Some((host.into(), port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(number(port)?)),
        None => (text, None),
    };
    (!host.is_empty() && !host.contains([' ', '/', '['])).then(|| (host.into(), port))
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
        jsontext::validate(text).map_err(bad)?;
        Ok(match text.as_bytes()[0] {
            b'n' => Json::Null,
            b't' => Json::Bool(true),
            b'f' => Json::Bool(false),
            b'"' => Json::Text(serde_json::from_str(text).map_err(bad)?),
            b'[' | b'{' => Json::Other,
            // A number that is too large is infinite, as in JavaScript.
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
            // "no" and "false" would be true.
            Json::Text(_) if npm && value.truthy() => return Err(None),
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
            let id = NodeId::from_js(&id).map_err(|_| None)?;
            let size = id.as_json().len();
            if size > MAX_ID_JSON {
                return Err(Some(format!("it takes {size} bytes as JSON")));
            }
            Value::Id(id)
        }
        // In 0.1.1 these three stand for no metadata; elsewhere that would be a trap.
        Kind::Json if !value.truthy() => return Err(None),
        Kind::Json => {
            jsontext::check_depth(text, "it").map_err(|error| Some(error.message().into()))?;
            Value::Json(jsontext::compact(text).into())
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
        Kind::Address => match plain_text(&value).as_deref().and_then(split_scope) {
            Some((address, Some(scope))) => Value::Scoped(address, scope.into()),
            Some((address, None)) if !address.is_multicast() => Value::Ip(address),
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
