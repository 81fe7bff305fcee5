//! The answers for Prometheus: its text format, and the targets of its HTTP service discovery.

use super::state::Counts;
use crate::show;
use caster_core::{DropReason, Peer, Stats};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The type of [`text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters and nodes in the text format of Prometheus.
pub fn text(counts: &Counts, stats: &Stats, peers: &[Peer]) -> String {
    let mut page = Page(String::new());
    let suspects = peers.iter().filter(|peer| peer.suspect).count();
    page.family("caster_nodes", "gauge", "Nodes that are up, by state.");
    page.sample("caster_nodes", &[("state", "alive")], peers.len() - suspects);
    page.sample("caster_nodes", &[("state", "suspect")], suspects);
    page.counter("caster_node_up_total", "Nodes that came up.", counts.up);
    page.family("caster_node_down_total", "counter", "Nodes that went down, by reason.");
    for (reason, count) in &counts.down {
        page.sample("caster_node_down_total", &[("reason", reason)], count);
    }
    page.counter("caster_messages_total", "Messages of nodes.", counts.messages);
    page.counter("caster_datagrams_received_total", "Datagrams received.", stats.received);
    page.family("caster_datagrams_dropped_total", "counter", "Datagrams dropped, by reason.");
    for reason in DropReason::ALL {
        let name = "caster_datagrams_dropped_total";
        page.sample(name, &[("reason", reason.key())], stats.dropped(*reason));
    }
    let full = "Datagrams that the system dropped because the receive buffer was full.";
    page.counter("caster_kernel_drops_total", full, stats.kernel_drops);
    let loss = "Share of the last heartbeats of a node that did not arrive.";
    page.per_node("caster_node_loss_ratio", loss, peers, |peer| {
        f64::from(peer.loss_per_mille) / 1000.0
    });
    let heard = "When a node was last heard.";
    page.per_node("caster_node_last_heard_timestamp_seconds", heard, peers, |peer| {
        peer.last_seen as f64 / 1000.0
    });
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn per_node(&mut self, name: &str, help: &str, peers: &[Peer], value: impl Fn(&Peer) -> f64) {
        self.family(name, "gauge", help);
        for peer in peers {
            let (id, address) = (peer.id.as_str(), peer.scoped_address().to_string());
            self.sample(name, &[("id", &id), ("address", &address)], value(peer));
        }
    }
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The targets for Prometheus: the nodes whose metadata has a port under this key. Plain values of the metadata
/// are labels.
pub fn targets(peers: &[Peer], port_key: &str) -> Value {
    peers.iter().filter_map(|peer| target(peer, port_key)).collect()
}

fn target(peer: &Peer, port_key: &str) -> Option<Value> {
    let meta = peer.parse_meta::<Map<String, Value>>().ok()?;
    let port = match meta.get(port_key)? {
        Value::String(text) => text.parse().ok()?,
        value => u16::try_from(value.as_u64()?).ok()?,
    };
    // A target has no scope.
    if matches!(peer.address, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return None;
    }
    let mut labels = BTreeMap::from([
        ("__meta_caster_id".to_owned(), peer.id.to_string()),
        ("__meta_caster_state".to_owned(), show::state(peer).to_owned()),
    ]);
    for (key, value) in &meta {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => continue,
        };
        labels.insert(format!("__meta_caster_meta_{}", label_name(key)), text);
    }
    let address = SocketAddr::new(peer.address, port).to_string();
    Some(json!({"targets": [address], "labels": labels}))
}

/// A key as a part of the name of a label: other characters become underscores.
fn label_name(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Node, Options, VirtualNetwork};
    use std::time::Duration;

    /// The observer of a group with these nodes.
    fn observed(nodes: &[(&str, Value)]) -> Node {
        let network = VirtualNetwork::new(1);
        let observer = network.node(&Options::for_node().with("expose", &false)).unwrap();
        observer.up().unwrap();
        let up = |(id, meta): &(&str, Value)| {
            let options = Options::for_node().with("id", *id).with("meta", meta);
            let node = network.node(&options).unwrap();
            node.up().unwrap();
            node
        };
        let _nodes: Vec<Node> = nodes.iter().map(up).collect();
        network.advance(Duration::from_secs(2));
        // They are dropped with the network; the observer has no time to notice.
        network.unplug(observer.id()).unwrap();
        observer
    }

    #[test]
    fn labels_cannot_be_broken_by_ids() {
        let observer = observed(&[("a\"} 1\n# \\", json!(null))]);
        let text = text(&Counts::default(), &observer.stats(), &observer.nodes());
        assert!(
            text.contains(r##"caster_node_loss_ratio{id="a\"} 1\n# \\",address="10.0.0.2"} 0"##),
            "{text}"
        );
        assert!(text.contains("caster_nodes{state=\"alive\"} 1\n"), "{text}");
    }

    #[test]
    fn targets_are_the_nodes_with_a_port() {
        let observer = observed(&[
            ("a", json!({"port": 8080, "type": "http", "deep": {"x": 1}, "a-b": true})),
            ("b", json!({"port": "9100"})),
            ("c", json!({"port": 70000})),
            ("d", json!({"type": "http"})),
            ("e", json!(["port"])),
        ]);
        let mut nodes = observer.nodes();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let found = targets(&nodes, "port");
        let addresses: Vec<&str> =
            found.as_array().unwrap().iter().map(|it| it["targets"][0].as_str().unwrap()).collect();
        assert_eq!(addresses, ["10.0.0.2:8080", "10.0.0.3:9100"]);
        let labels = &found[0]["labels"];
        assert_eq!(labels["__meta_caster_id"], "a");
        assert_eq!(labels["__meta_caster_meta_port"], "8080");
        assert_eq!(labels["__meta_caster_meta_a_b"], "true");
        assert_eq!(labels.get("__meta_caster_meta_deep"), None);
        assert_eq!(targets(&nodes, "other"), json!([]));
    }
}
