//! The counters of IP that Linux gives in `/proc/net/snmp` and `/proc/net/snmp6`.

use std::fs::File;
use std::io::{self, Read};

/// One read takes all: they have less than 4 KiB, which the system does not tell in advance.
const ROOM: usize = 4096;

/// How often this host has failed to assemble a datagram from its fragments, over IPv4 and IPv6. A
/// file that cannot be read counts as 0.
pub(super) fn reassembly_failures() -> u64 {
    let read = |name: &str| -> io::Result<String> {
        let mut text = String::with_capacity(ROOM);
        File::open(format!("/proc/thread-self/net/{name}"))?.read_to_string(&mut text)?;
        Ok(text)
    };
    let v4 = read("snmp").ok().and_then(|text| of_table(&text, "Ip:", "ReasmFails"));
    let v6 = read("snmp6").ok().and_then(|text| of_list(&text, "Ip6ReasmFails"));
    v4.unwrap_or_default() + v6.unwrap_or_default()
}

/// A number from a pair of lines: the names of the columns, then the numbers.
fn of_table(text: &str, row: &str, column: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(row));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_ascii_whitespace().position(|name| name == column)?;
    numbers.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// A number from a list with a name and a number on each line.
fn of_list(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|&word| word == name)?;
        words.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_found_by_name() {
        let table = "Ip: Forwarding ReasmReqds ReasmFails FragOKs\n\
                     Ip: 1 41 7 0\n\
                     Icmp: ReasmFails\n\
                     Icmp: 9\n";
        assert_eq!(of_table(table, "Ip:", "ReasmFails"), Some(7));
        assert_eq!(of_table(table, "Ip:", "FragFails"), None);
        assert_eq!(of_table("Ip: ReasmFails\n", "Ip:", "ReasmFails"), None);
        assert_eq!(of_table("Ip: A ReasmFails\nIp: 1\n", "Ip:", "ReasmFails"), None);
        let list = "Ip6ReasmFailsOther \t 3\nIp6ReasmFails              \t5\n";
        assert_eq!(of_list(list, "Ip6ReasmFails"), Some(5));
        assert_eq!(of_list(list, "Ip6"), None);
        assert_eq!(of_list("Ip6ReasmFails\n", "Ip6ReasmFails"), None);
    }
}
