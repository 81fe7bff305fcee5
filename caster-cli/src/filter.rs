//! The conditions of `--where`.

use caster_core::Peer;
use std::fmt;
use std::str::FromStr;

/// One condition on the metadata of a node: `KEY`, `KEY=VALUE` or `KEY!=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    key: String,
    /// The JSON texts of which one has to be the value. Empty: any value.
    values: Vec<String>,
    negated: bool,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            None => (text, None),
            Some((key, value)) => (key, Some(value)),
        };
        let (key, negated) = match key.strip_suffix('!') {
            Some(key) if value.is_some() => (key, true),
            _ => (key, false),
        };
        if key.is_empty() {
            return Err("give KEY, KEY=VALUE or KEY!=VALUE, as in type=http".into());
        }
        let values = value.map(readings).unwrap_or_default();
        Ok(Self { text: text.into(), key: key.into(), values, negated })
    }
}

/// The JSON texts that a value on the command line stands for: `8080` is a number, and a string of digits.
fn readings(value: &str) -> Vec<String> {
    let text = serde_json::Value::from(value).to_string();
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(_) => vec![value.to_owned(), text],
        Err(_) => vec![text],
    }
}

impl Condition {
    /// Whether the metadata of the peer fulfils it.
    pub fn holds_for(&self, peer: &Peer) -> bool {
        let holds = match self.values.is_empty() {
            true => peer.meta_has(&self.key, None),
            false => self.values.iter().any(|value| peer.meta_has(&self.key, Some(value))),
        };
        holds != self.negated
    }
}

/// Conditions that all have to be fulfilled.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    /// Only nodes whose metadata has this key, or this key with this value
    ///
    /// KEY, KEY=VALUE or KEY!=VALUE; several conditions all have to be fulfilled. A value that is JSON equals
    /// the same JSON value and the same text: port=8080 finds {"port":8080} and {"port":"8080"}.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<Condition>,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.conditions.iter().map(|it| it.text.as_str()).collect();
        f.write_str(&texts.join(" "))
    }
}

impl Filter {
    /// Whether the peer is wanted.
    pub fn holds_for(&self, peer: &Peer) -> bool {
        self.conditions.iter().all(|condition| condition.holds_for(peer))
    }

    /// Replaces the conditions by those of one line, separated by spaces.
    ///
    /// # Errors
    /// The reason why one of them is not accepted.
    pub fn of_line(line: &str) -> Result<Self, String> {
        Self::of(line.split_whitespace())
    }

    /// A filter of these conditions.
    ///
    /// # Errors
    /// The reason why one of them is not accepted.
    pub fn of<'a>(conditions: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let conditions = conditions.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { conditions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Options, VirtualNetwork};

    /// Whether a node with this metadata fulfils these conditions.
    fn holds(conditions: &str, meta: serde_json::Value) -> bool {
        let network = VirtualNetwork::new(1);
        let peer = network.node(&Options::for_node().with("meta", &meta)).unwrap();
        let other = network.node(&Options::for_node().with("expose", &false)).unwrap();
        peer.up().unwrap();
        other.up().unwrap();
        other.ask().unwrap();
        network.advance(std::time::Duration::from_millis(100));
        let filter = Filter::of_line(conditions).unwrap();
        filter.holds_for(&other.nodes()[0])
    }

    #[test]
    fn a_value_is_json_or_text() {
        use serde_json::json;
        assert!(holds("port=8080", json!({"port": 8080})));
        assert!(holds("port=8080", json!({"port": "8080"})));
        assert!(holds("port=8080.0", json!({"port": 8080})));
        assert!(!holds("port=8080", json!({"port": 8081})));
        assert!(holds("up=true", json!({"up": true})));
        assert!(holds("tags=[1,2]", json!({"tags": [1, 2]})));
        assert!(holds("a=b=c", json!({"a": "b=c"})));
        assert!(holds("a=", json!({"a": ""})));
    }

    #[test]
    fn all_conditions_have_to_be_fulfilled_and_can_be_negated() {
        use serde_json::json;
        let meta = || json!({"type": "db", "zone": 1});
        assert!(holds("type", meta()) && !holds("kind", meta()));
        assert!(holds("type=db zone=1", meta()) && !holds("type=db zone=2", meta()));
        assert!(holds("zone!=2 kind!=x", meta()) && !holds("zone!=1", meta()));
        assert!(!holds("type", json!("type")) && holds("", json!("type")));
    }

    #[test]
    fn a_condition_needs_a_key() {
        for text in ["", "=1", "!=1"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
