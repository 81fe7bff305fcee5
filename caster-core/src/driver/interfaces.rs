//! The selection of network interfaces.

use super::sys::found::Found;
use crate::message::split_scope;
use crate::options::TransportConfig;
use std::net::IpAddr;
use std::sync::Arc;
use wildmatch::WildMatch;

/// Interfaces of containers and virtual machines, which are used only if a pattern names them.
const PLUMBING: &[&str] =
    &["docker*", "br-*", "veth*", "cni*", "flannel*", "cali*", "virbr*", "vnet*"];

/// The interfaces to use.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    /// The interface with this address, and with this name or number if there is one.
    Address(IpAddr, Option<Arc<str>>),
    /// Those that the option `interfaces` selects.
    Patterns { patterns: Arc<[String]>, send_on_loopback: bool },
}

impl Choice {
    pub fn of(config: &TransportConfig) -> Self {
        match config.address.is_unspecified() {
            false => Choice::Address(config.address, config.scope.clone()),
            true => Choice::Patterns {
                patterns: config.interfaces.clone(),
                send_on_loopback: config.loopback,
            },
        }
    }

    /// Returns whether to join on this interface.
    pub fn joins(&self, found: &Found) -> bool {
        match self {
            Choice::Address(address, scope) => has(found, *address, scope.as_deref()),
            Choice::Patterns { patterns, .. } => {
                found.up && (found.multicast || found.loopback) && chosen(patterns, found)
            }
        }
    }

    /// The interfaces to join on. If there is no other network, these are those of containers, unless
    /// a pattern excludes them.
    pub fn select<'a>(&self, all: &'a [Found]) -> (Vec<&'a Found>, Vec<&'a Found>) {
        let selected: Vec<&Found> = all.iter().filter(|found| self.joins(found)).collect();
        let Choice::Patterns { patterns, .. } = self else { return (selected, Vec::new()) };
        let names_some = patterns.iter().any(|pattern| !pattern.starts_with('!'));
        if names_some || selected.iter().any(|found| !found.loopback) {
            return (selected, Vec::new());
        }
        let usable = |found: &&Found| {
            let is_network = found.up && found.multicast && !found.addresses.is_empty();
            is_network && !found.loopback && !found.point_to_point && !excluded(patterns, found)
        };
        (selected, all.iter().filter(usable).collect())
    }

    /// The patterns for which there is no interface, if that looks like a mistake: a name, or all of
    /// the patterns.
    pub fn unmatched(&self, all: &[Found]) -> Vec<&str> {
        let Choice::Patterns { patterns, .. } = self else { return Vec::new() };
        let wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
        let (matched, mut unmatched): (Vec<&str>, Vec<&str>) = wanted
            .map(String::as_str)
            .partition(|pattern| all.iter().any(|found| fits(pattern, found)));
        if !matched.is_empty() {
            unmatched.retain(|pattern| !pattern.contains(['*', '?']));
        }
        unmatched
    }

    /// Returns whether to send on this interface, which is joined.
    pub fn sends(&self, found: &Found) -> bool {
        match self {
            Choice::Address(..) => true,
            // The option `loopback` of a socket has no effect on the loopback interface.
            Choice::Patterns { send_on_loopback, .. } => !found.loopback || *send_on_loopback,
        }
    }

    /// Returns whether the loopback interface alone is selected, which does not change.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Choice::Address(address, _) if address.is_loopback())
    }
}

/// Returns whether the interface has this address, and this name or number if there is one.
pub(super) fn has(found: &Found, address: IpAddr, scope: Option<&str>) -> bool {
    found.has(address) && scope.is_none_or(|scope| found.interface.is(scope))
}

fn chosen(patterns: &[String], found: &Found) -> bool {
    let mut wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
    if excluded(patterns, found) {
        return false;
    }
    match wanted.peek() {
        _ if found.loopback => true,
        Some(_) => wanted.any(|pattern| fits(pattern, found)),
        None => {
            let name = found.interface.name();
            !found.point_to_point && !PLUMBING.iter().any(|pattern| matches_pattern(pattern, name))
        }
    }
}

fn excluded(patterns: &[String], found: &Found) -> bool {
    patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(|it| fits(it, found))
}

/// Returns whether a pattern, without its exclamation mark, is for this interface.
fn fits(pattern: &str, found: &Found) -> bool {
    match split_scope(pattern) {
        Some((address, scope)) => has(found, address, scope),
        None => matches_pattern(pattern, found.interface.name()),
    }
}

/// Returns whether a shell pattern matches: `*` stands for any characters, `?` for one. The time is
/// proportional to the product of the lengths.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Interface;
    use std::net::Ipv4Addr;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in
            [("eth0", "eth0"), ("eth*", "eth"), ("e*0", "eth0"), ("*", "x"), ("e??0", "eth0")]
        {
            assert!(matches_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("eth0", "eth01"), ("eth*", "wlan0"), ("e*1", "eth0"), ("e?0", "eth0"), ("", "x")]
        {
            assert!(!matches_pattern(pattern, name), "{pattern} {name}");
        }
    }

    /// A matcher that tries every split takes exponential time with these.
    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let name = "a".repeat(4096);
        let pattern = "*a".repeat(512);
        assert!(matches_pattern(&pattern, &name));
        assert!(!matches_pattern(&format!("{pattern}*b"), &name));
        assert!(!matches_pattern(&format!("{}b", "*?".repeat(512)), &name));
        assert!(!matches_pattern(&"?".repeat(4095), &name));
        assert!(matches_pattern(&"*".repeat(4096), ""));
    }

    fn found(name: &str) -> Found {
        Found {
            mtu: 1500,
            interface: Interface::new(1, name),
            up: true,
            running: true,
            multicast: name != "lo",
            loopback: name == "lo",
            point_to_point: name.starts_with("tun"),
            addresses: vec![if name == "lo" { [127, 0, 0, 1] } else { [10, 0, 0, 1] }.into()],
        }
    }

    fn joined(patterns: &[&str]) -> String {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let choice = Choice::Patterns { patterns, send_on_loopback: true };
        let all = ["lo", "eth0", "eth1", "docker0", "tun0"].map(found);
        let joined = all.iter().filter(|found| choice.joins(found));
        joined.map(|found| found.interface.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_link_local_address_selects_an_interface_by_its_scope() {
        let address: IpAddr = "fe80::1".parse().unwrap();
        let on = |index, name| Found {
            interface: Interface::new(index, name),
            addresses: vec![address],
            ..found(name)
        };
        let both = [on(2, "eth0"), on(3, "eth1")];
        let names = |choice: Choice| {
            let joined = both.iter().filter(|found| choice.joins(found));
            joined.map(|found| found.interface.name()).collect::<Vec<_>>().join(" ")
        };
        let by_address =
            |scope: Option<&str>| names(Choice::Address(address, scope.map(Arc::from)));
        assert_eq!(by_address(Some("eth1")), "eth1");
        assert_eq!(by_address(Some("2")), "eth0");
        assert_eq!(by_address(Some("eth2")), "");
        assert_eq!(by_address(None), "eth0 eth1");
        let by_pattern = |pattern: &str| {
            let patterns = [pattern.to_owned()].into();
            names(Choice::Patterns { patterns, send_on_loopback: true })
        };
        assert_eq!(by_pattern("fe80::1%eth1"), "eth1");
        assert_eq!(by_pattern("!fe80::1%eth1"), "eth0");
        assert_eq!(by_pattern("fe80::2%eth1"), "");
    }

    #[test]
    fn the_option_chooses_interfaces() {
        assert_eq!(joined(&[]), "lo eth0 eth1");
        assert_eq!(joined(&["!eth1"]), "lo eth0");
        assert_eq!(joined(&["eth*", "!eth0"]), "lo eth1");
        assert_eq!(joined(&["*"]), "lo eth0 eth1 docker0 tun0");
        assert_eq!(joined(&["docker0", "tun?"]), "lo docker0 tun0");
        assert_eq!(joined(&["!lo", "!eth*"]), "");
        assert_eq!(joined(&["10.0.0.1", "!tun0", "!docker*"]), "lo eth0 eth1");
    }

    fn choice(patterns: &[&str]) -> Choice {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Choice::Patterns { patterns, send_on_loopback: true }
    }

    #[test]
    fn interfaces_of_containers_are_used_if_there_is_no_other_network() {
        let router = ["lo", "br-lan", "docker0", "tun0"].map(found);
        let used = |patterns: &[&str], all: &[Found]| {
            let (_, containers) = choice(patterns).select(all);
            containers.iter().map(|it| it.interface.name()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(used(&[], &router), "br-lan docker0");
        assert_eq!(used(&["!docker*"], &router), "br-lan");
        assert_eq!(used(&["eth0"], &router), "", "the option names others");
        assert_eq!(used(&[], &["lo", "eth0", "br-lan"].map(found)), "");
        assert_eq!(used(&[], &[found("lo"), Found { up: false, ..found("br-lan") }]), "");
    }

    #[test]
    fn a_name_without_interface_is_unmatched() {
        let all = ["lo", "eth0", "eth1"].map(found);
        assert_eq!(choice(&["eht0"]).unmatched(&all), ["eht0"]);
        assert_eq!(choice(&["eth0", "eht1", "wlan*"]).unmatched(&all), ["eht1"]);
        assert_eq!(choice(&["wlan*", "!eth9"]).unmatched(&all), ["wlan*"]);
        assert!(choice(&["eth*", "10.0.0.1"]).unmatched(&all).is_empty());
        assert!(choice(&[]).unmatched(&all).is_empty());
    }

    #[test]
    fn one_that_is_down_or_cannot_multicast_is_not_used() {
        let choice = Choice::Patterns { patterns: Arc::default(), send_on_loopback: false };
        assert!(!choice.joins(&Found { up: false, ..found("eth0") }));
        assert!(!choice.joins(&Found { multicast: false, ..found("eth0") }));
        assert!(choice.joins(&found("lo")) && !choice.sends(&found("lo")));
    }

    #[test]
    fn an_address_chooses_the_interface_that_has_it() {
        let choice = |address: [u8; 4]| Choice::Address(address.into(), None);
        assert!(choice([127, 0, 0, 9]).joins(&found("lo")));
        assert!(choice([10, 0, 0, 1]).joins(&found("eth0")));
        assert!(!choice([10, 0, 0, 2]).joins(&found("eth0")));
    }

    #[test]
    fn this_host_has_a_loopback_interface() {
        let all = crate::driver::sys::calls::list().unwrap();
        let loopback = all.iter().find(|found| found.has(Ipv4Addr::LOCALHOST.into())).unwrap();
        assert!(loopback.loopback && loopback.up && loopback.interface.index() > 0);
    }
}
