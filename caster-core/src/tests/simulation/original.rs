//! A model of caster 0.1.1, with the timers of its README.

use super::*;

pub struct Original {
    pub id: NodeId,
    pub heartbeat: Duration,
    pub timeout: Duration,
    pub next: Duration,
    pub peers: BTreeMap<NodeId, Duration>,
}

impl Original {
    pub fn hear(&mut self, text: &str, now: Duration) -> Option<(What, NodeId)> {
        let envelope = Envelope::parse(text).ok()?;
        let id = envelope.id.to_node_id();
        let what = match envelope.suicide {
            true => self.peers.remove(&id).map(|_| What::Down(DownReason::Goodbye)),
            false => self.peers.insert(id.clone(), now).is_none().then_some(What::Up),
        };
        what.map(|what| (what, id))
    }

    /// Looks for the dead once an interval. Returns them, and its own heartbeat.
    pub fn beat(&mut self, now: Duration) -> (Vec<NodeId>, String) {
        self.next += self.heartbeat;
        let late = now.saturating_sub(self.timeout);
        let silent = self.peers.extract_if(.., |_, heard| *heard < late);
        (silent.map(|(id, _)| id).collect(), envelope::heartbeat(&self.id, Some("null"), None))
    }
}
