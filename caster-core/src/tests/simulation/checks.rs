//! The events that observers are told, and whether they are true and in time.

use super::*;

/// How long it takes at most until a death is told, at the defaults: 2.5 s and the last delays.
pub const IN_TIME: Duration = ms(2700);

/// The same when all of two or more peers fall silent at once and no host refuses a port.
pub const IN_TIME_OF_ALL: Duration = ms(8500);

/// With loss, another node may corroborate a heartbeat that it heard last.
pub const MORE_WITH_LOSS: Duration = secs(2);

/// Something that an observer was told about a node.
#[derive(Debug, Clone)]
pub struct Told {
    pub at: Duration,
    pub observer: usize,
    pub what: What,
    pub about: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Up,
    Down(DownReason),
    Update,
    Conflict,
    Message,
    Isolated,
    Rejoined,
}

/// A node that is gone: those that can know it have to be told by then.
#[derive(Debug, Clone)]
pub struct Death {
    of: usize,
    start: u32,
    at: Duration,
    within: Duration,
    /// The observers, and which start of each.
    observers: Vec<(usize, u32)>,
}

impl Simulation {
    pub fn tell(&mut self, observer: usize, what: What, about: NodeId) {
        let line = format!("{:?} {observer} {what:?} {about}", self.now);
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if self.prints.0 {
            println!("{line}");
        }
        let known = &mut self.hosts[observer].known;
        let alternates = match what {
            What::Up => known.insert(about.clone()),
            What::Down(_) => known.remove(&about),
            What::Update | What::Message => known.contains(&about),
            _ => true,
        };
        if !alternates {
            self.problems.push(format!("not in turn: {line}"));
        }
        self.told.push(Told { at: self.now, observer, what, about });
    }

    /// Every live node must see every live node that it is connected to, and no other node for
    /// longer than it takes to notice.
    pub fn check_everybody_sees_everybody(&mut self, when: &str) {
        for observer in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let both_run = [observer, other]
                    .iter()
                    .all(|&host| self.hosts[host].program.is_some() && !self.hosts[host].paused);
                if observer == other || !both_run || !self.reaches(other, observer) {
                    continue;
                }
                let id = self.id(other);
                if !self.hosts[observer].known.contains(&id) {
                    self.problems.push(format!("{when}: {observer} does not see {id}"));
                }
            }
        }
    }

    /// This node has just died, or nothing of it arrives any more. All that know it, run and are not
    /// cut off have to be told within this time, unless something happens to them meanwhile; those that
    /// were isolated, within this time after that.
    pub fn expect_down(&mut self, of: usize, within: Duration) {
        let id = self.id(of);
        let observers = (0..self.hosts.len()).filter(|&observer| observer != of);
        let observers = observers
            .filter(|&it| self.hosts[it].program.is_some() && self.hosts[it].known.contains(&id))
            .map(|it| (it, self.hosts[it].start))
            .collect();
        let start = self.hosts[of].start;
        self.deaths.push(Death { of, start, at: self.now, within, observers });
        let death = self.deaths.len() - 1;
        self.schedule(self.now + within, Happening::Check { death });
    }

    pub fn check_death(&mut self, number: usize) {
        let death = self.deaths[number].clone();
        let id = self.id(death.of);
        // It is back, or heard again.
        if self.hosts[death.of].start != death.start || self.hosts[death.of].sound_since > death.at
        {
            return;
        }
        for (observer, start) in death.observers {
            let it = &self.hosts[observer];
            let sound = it.start == start
                && it.program.is_some()
                && !it.paused
                && !it.unplugged
                && it.sound_since <= death.at;
            let told = self.told.iter().rev().take_while(|told| told.at >= death.at);
            let mut rejoined = told.filter(|told| told.what == What::Rejoined);
            let back = rejoined.find(|told| told.observer == observer).map(|told| told.at);
            if sound && it.known.contains(&id) {
                // Peers that fell silent with all others have a new timeout then.
                if let Some(due) = back.map(|at| at + death.within).filter(|due| *due > self.now) {
                    self.schedule(due, Happening::Check { death: number });
                    continue;
                }
                let after = self.now - death.at;
                let line = format!("{observer} still sees {id}, {after:?} after its end");
                if self.prints.0 {
                    println!("{line}");
                }
                self.problems.push(line);
            }
        }
        let told = self.told.iter().rev().take_while(|told| told.at >= death.at);
        let downs = told.filter(|told| told.about == id && matches!(told.what, What::Down(_)));
        let slowest = downs.map(|told| told.at - death.at).max().unwrap_or_default();
        self.slowest = self.slowest.max(slowest);
    }

    /// No live node still has this one in its table.
    pub fn assert_gone(&self, dead: usize, when: &str) {
        let id = self.id(dead);
        for (observer, host) in self.hosts.iter().enumerate() {
            let sees = host.program.is_some() && !host.paused && host.known.contains(&id);
            assert!(!sees, "{when}: {observer} still sees {id}");
        }
    }

    pub fn no_downs(&self, since: usize, when: &str) -> Result<u64, String> {
        match self.downs_since(since) {
            downs if downs.is_empty() => Ok(self.trace),
            downs => Err(format!("{when}: {downs:?}")),
        }
    }

    pub fn assert_no_downs(&self, since: usize, when: &str) {
        self.no_downs(since, when).unwrap();
    }

    pub fn assert_no_problems(&self, when: &str) {
        assert!(self.problems.is_empty(), "{when}: {}", self.problems.join("\n"));
    }

    pub fn downs_by_timeout(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.what == What::Down(DownReason::Timeout))
    }

    /// Downs for any reason, told since then.
    pub fn downs_since(&self, told: usize) -> Vec<&Told> {
        self.told[told..].iter().filter(|told| matches!(told.what, What::Down(_))).collect()
    }

    pub fn told_of(&self, what: What, about: &NodeId) -> usize {
        self.told.iter().filter(|told| told.what == what && told.about == *about).count()
    }
}
