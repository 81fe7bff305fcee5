//! Faults of nodes, hosts and cables.

use super::*;

impl Simulation {
    /// The process is killed; its host goes on.
    pub fn crash(&mut self, host: usize) {
        self.hosts[host].program = None;
        self.hosts[host].waiting.clear();
        self.hosts[host].paused = false;
    }

    /// The host loses its power.
    pub fn power_off(&mut self, host: usize) {
        let processes = 0..self.hosts.len();
        for process in processes.filter(|&it| self.hosts[it].on == host).collect::<Vec<_>>() {
            self.crash(process);
        }
        self.hosts[host].kernel.runs = false;
    }

    pub fn leave(&mut self, host: usize) {
        if let Some(Program::Caster(engine)) = &mut self.hosts[host].program {
            engine.stop();
            let goodbye: Rc<str> = engine.leave_message().into();
            for _ in 0..3 {
                self.send(host, goodbye.clone());
            }
        }
        self.crash(host);
    }

    pub fn pause(&mut self, host: usize) {
        self.hosts[host].paused = true;
    }

    pub fn resume(&mut self, host: usize) {
        self.hosts[host].paused = false;
        self.hosts[host].sound_since = self.now;
        while let Some((source, number, text)) = self.hosts[host].waiting.pop_front() {
            self.hear(host, source, number, &text);
        }
        self.wake(host);
    }

    pub fn unplug(&mut self, host: usize) {
        self.hosts[host].unplugged = true;
    }

    pub fn plug(&mut self, host: usize) {
        self.hosts[host].unplugged = false;
        self.hosts[host].sound_since = self.now;
    }

    /// Nothing from the one reaches the other any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Cuts one direction of half of the pairs. Of each peer that a node does not hear, at least two
    /// others are heard that hear the peer: the word of one alone does not count for long.
    pub fn cut_half_of_the_pairs(&mut self) {
        for a in 0..self.hosts.len() {
            for b in 0..a {
                match self.random.next() % 4 {
                    0 => self.cut(a, b),
                    1 => self.cut(b, a),
                    _ => {}
                }
            }
        }
        let all = 0..self.hosts.len();
        let cut = |cuts: &BTreeSet<_>, from, to| from == to || cuts.contains(&(from, to));
        for (from, to) in self.cuts.clone() {
            let cuts = &self.cuts;
            let between = all.clone().filter(|&it| !cut(cuts, from, it) && !cut(cuts, it, to));
            if between.count() < 2 {
                self.cuts.remove(&(from, to));
            }
        }
    }

    /// All cables lead everywhere again.
    pub fn mend_cables(&mut self) {
        self.cuts.clear();
        for host in &mut self.hosts {
            host.side = 0;
            host.sound_since = self.now;
        }
    }

    /// The host gets these addresses in place of those that it had, as a change by DHCP.
    pub fn readdress(&mut self, host: usize, addresses: Vec<IpAddr>) {
        let now = self.clock(host);
        self.copies |= addresses.len() > 1;
        self.hosts[host].addresses = addresses.clone();
        self.engine(host).interfaces(&addresses, None, now);
        self.settle(host);
    }

    /// The id and incarnation of one node on another host, as after the clone of a virtual machine.
    pub fn clone_to_new_host(&mut self, seed: u64, of: usize) -> usize {
        let clone = self.add(Options::for_node());
        self.hosts[clone].config.id = self.id(of);
        self.hosts[clone].port = self.hosts[of].port;
        self.start_with(clone, seed);
        clone
    }

    /// A heartbeat in the name of node `of` with its incarnation and count, after `change`.
    pub fn heartbeat_of(
        &mut self,
        of: usize,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> String {
        let id = self.id(of);
        let leave: serde_json::Value =
            serde_json::from_str(&self.engine(of).leave_message()).unwrap();
        let (b, n) = (&leave["caster"]["b"], &leave["caster"]["n"]);
        let mut value = serde_json::json!({
            "id": id.as_str(), "meta": null, "caster": {"b": b, "n": n, "h": 1000, "c": 12}
        });
        change(&mut value);
        value.to_string()
    }
}
