//! The facts about this host that the system tells in files.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The kind of an interface, as far as its name and its flags tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Loopback,
    Ethernet,
    Wifi,
    /// A virtual private network, or another point-to-point link.
    Vpn,
    /// The bridge of containers or virtual machines, or the host's end of a cable to one.
    Container,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Ethernet => "ethernet",
            Self::Wifi => "wifi",
            Self::Vpn => "vpn",
            Self::Container => "container",
        }
    }
}

/// A bridge of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    pub snooping: bool,
    pub querier: bool,
}

/// The facts about this host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    kinds: BTreeMap<String, Kind>,
    /// The IGMP version by interface.
    pub igmp: BTreeMap<String, String>,
    pub bridges: Vec<Bridge>,
    /// Whether a route leads to the group; `None` if the system does not tell.
    pub has_route: Option<bool>,
    /// The number of UDP sockets of other programs on the port of the group.
    pub others_on_port: usize,
    /// The largest receive buffer that the system grants without rights.
    pub rmem_max: Option<u64>,
}

impl Host {
    /// Looks at the host. Sockets of this process must not be open yet.
    pub fn look(group: IpAddr, port: u16) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let wireless = read("/proc/net/wireless");
        let mut host = Self {
            igmp: igmp_versions(&read("/proc/net/igmp")),
            bridges: bridges(),
            others_on_port: ["/proc/net/udp", "/proc/net/udp6"]
                .iter()
                .map(|path| sockets_on(&read(path), port))
                .sum(),
            rmem_max: read("/proc/sys/net/core/rmem_max").trim().parse().ok(),
            ..Self::default()
        };
        if let IpAddr::V4(group) = group {
            let routes = read("/proc/net/route");
            host.has_route = (!routes.is_empty()).then(|| has_route(&routes, group));
        }
        for address in getifaddrs().into_iter().flatten() {
            let kind = kind_of(&address.interface_name, address.flags, &wireless);
            host.kinds.insert(address.interface_name, kind);
        }
        host
    }

    /// A host with one interface of this kind and a large receive buffer, for tests.
    #[cfg(test)]
    pub fn with_kind(interface: &str, kind: Kind) -> Self {
        let kinds = [(interface.to_owned(), kind)].into();
        Self { kinds, rmem_max: Some(4_194_304), ..Self::default() }
    }

    pub fn kind(&self, interface: &str) -> Kind {
        self.kinds.get(interface).copied().unwrap_or(Kind::Ethernet)
    }
}

fn kind_of(name: &str, flags: InterfaceFlags, wireless: &str) -> Kind {
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    if flags.contains(InterfaceFlags::IFF_LOOPBACK) {
        return Kind::Loopback;
    }
    if begins(&[
        "docker", "br-", "veth", "cni", "flannel", "cali", "virbr", "vnet", "podman", "lxc",
    ]) {
        return Kind::Container;
    }
    let is_vpn = begins(&["wg", "tun", "tap", "tailscale", "zt", "ppp", "utun", "nordlynx"]);
    if is_vpn || flags.contains(InterfaceFlags::IFF_POINTOPOINT) {
        return Kind::Vpn;
    }
    let in_list = wireless.lines().any(|line| line.trim_start().starts_with(&format!("{name}:")));
    if in_list || begins(&["wl"]) { Kind::Wifi } else { Kind::Ethernet }
}

/// Reads /proc/net/igmp: a line for each interface, with lines for its groups below.
fn igmp_versions(text: &str) -> BTreeMap<String, String> {
    let interfaces = text.lines().skip(1).filter(|line| !line.starts_with(char::is_whitespace));
    let version = |line: &str| {
        let (left, right) = line.split_once(':')?;
        let name = left.split_whitespace().nth(1)?;
        Some((name.to_owned(), right.split_whitespace().nth(1)?.to_owned()))
    };
    interfaces.filter_map(version).collect()
}

/// The number of sockets in /proc/net/udp with this local port.
fn sockets_on(text: &str, port: u16) -> usize {
    let suffix = format!(":{port:04X}");
    let local = |line: &&str| {
        line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(&suffix))
    };
    text.lines().skip(1).filter(local).count()
}

/// Whether /proc/net/route has a route to this address. Numbers are those of the processor's byte order.
fn has_route(text: &str, to: Ipv4Addr) -> bool {
    let to = u32::from_ne_bytes(to.octets());
    text.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| u32::from_str_radix(text, 16).ok());
        // Flag 0x200: the route refuses.
        let refuses = number(3).is_some_and(|flags| flags & 0x200 != 0);
        number(1).zip(number(7)).is_some_and(|(place, mask)| to & mask == place) && !refuses
    })
}

fn bridges() -> Vec<Bridge> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let is_on = |name: &str| {
            let text = fs::read_to_string(entry.path().join("bridge").join(name)).ok()?;
            Some(text.trim() != "0")
        };
        if let (Some(snooping), Some(querier)) =
            (is_on("multicast_snooping"), is_on("multicast_querier"))
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push(Bridge { name, snooping, querier });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        let igmp = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    4\teth0      :     2      V2\n\t\t\t\t2A0000E0     1 0:00000000\t\t0\n";
        let versions = igmp_versions(igmp);
        assert_eq!(versions["lo"], "V3");
        assert_eq!(versions["eth0"], "V2");
        let udp = "  sl  local_address rem_address   st\n\
                   1: 00000000:2775 00000000:0000 07 0\n 2: 0100007F:0035 00000000:0000 07 0\n";
        assert_eq!((sockets_on(udp, 10101), sockets_on(udp, 53), sockets_on(udp, 54)), (1, 1, 0));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_found() {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let route = |line: &str| has_route(&format!("{head}{line}"), Ipv4Addr::new(224, 0, 0, 42));
        assert!(route("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"));
        assert!(route("eth0\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\t0\t0\t0\n"));
        assert!(!route("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"));
        assert!(!route("*\t000000E0\t00000000\t0200\t0\t0\t0\t000000F0\t0\t0\t0\n"));
        assert!(!route(""));
    }

    #[test]
    fn kinds_follow_from_names_and_flags() {
        let none = InterfaceFlags::empty();
        let kind = |name: &str| kind_of(name, none, "Inter-| sta-|\n radio0: 0000\n");
        assert_eq!(kind("docker0"), Kind::Container);
        assert_eq!(kind("br-3fa"), Kind::Container);
        assert_eq!(kind("wg0"), Kind::Vpn);
        assert_eq!(kind("wlan0"), Kind::Wifi);
        assert_eq!(kind("radio0"), Kind::Wifi);
        assert_eq!(kind("enp3s0"), Kind::Ethernet);
        assert_eq!(kind_of("x", InterfaceFlags::IFF_POINTOPOINT, ""), Kind::Vpn);
        assert_eq!(kind_of("lo", InterfaceFlags::IFF_LOOPBACK, ""), Kind::Loopback);
    }
}
