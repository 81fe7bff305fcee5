//! Who else is on the port: datagrams that do not belong here, by where they come from.
//!
//! Other groups on one port are normal. They are counted, and told of as a hint, once for each
//! source and not too often, because a wrong secret looks the same.

use crate::sort::sort_short;
use crate::stats::DropReason;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// How many sources are told apart.
const MAX_SOURCES: usize = 256;

/// How often one source is told of, and how often any.
const AGAIN: Duration = Duration::from_secs(600);
const ANY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Foreign {
    sources: HashMap<IpAddr, Source>,
    hinted: Option<Duration>,
}

#[derive(Debug, Default)]
struct Source {
    count: u64,
    hinted: Option<Duration>,
}

impl Foreign {
    /// Counts a datagram; returns what to tell of it, if it is time to tell.
    pub fn note(
        &mut self,
        reason: DropReason,
        data: &[u8],
        from: IpAddr,
        now: Duration,
    ) -> Option<String> {
        let cause = match reason {
            DropReason::Hash | DropReason::Truncated if data.starts_with(b"{") => {
                "it sends without a digest: is the option hash off there?"
            }
            DropReason::Hash | DropReason::Truncated => {
                "is hashSecret or hashAlgorithm another there, or is crypto on?"
            }
            DropReason::Decrypt => {
                "is cryptoKey or cryptoAlgorithm another there, or is crypto off?"
            }
            _ => return None,
        };
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&from) {
            return None;
        }
        let source = self.sources.entry(from).or_default();
        source.count += 1;
        let recently = |last: Option<Duration>, pause| last.is_some_and(|last| now < last + pause);
        if recently(source.hinted, AGAIN) || recently(self.hinted, ANY) {
            return None;
        }
        source.hinted = Some(now);
        self.hinted = Some(now);
        Some(format!("{from} is on this port and cannot be understood: {cause}"))
    }

    /// How many datagrams came from where, the most first.
    pub fn counts(&self) -> Vec<(IpAddr, u64)> {
        let mut counts: Vec<_> =
            self.sources.iter().map(|(from, source)| (*from, source.count)).collect();
        sort_short(&mut counts, |&(from, count)| (std::cmp::Reverse(count), from));
        counts
    }
}

/// How much has come from each address in this second.
#[derive(Debug, Default)]
pub(crate) struct PerSource {
    second: u64,
    /// Who came last, and how often so far: it is likely to come again.
    last: Option<(IpAddr, u32)>,
    counts: HashMap<IpAddr, u32>,
}

impl PerSource {
    /// Whether one more from this address is within the limit.
    pub fn admit(&mut self, from: IpAddr, limit: u32, now: Duration) -> bool {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.last = None;
            self.counts.clear();
        }
        if let Some((last, count)) = &mut self.last
            && *last == from
        {
            *count += 1;
            return *count <= limit;
        }
        if let Some((last, count)) = self.last.take() {
            self.counts.insert(self.key(last), count);
        }
        let count = self.counts.get(&self.key(from)).map_or(1, |count| count + 1);
        self.last = Some((from, count));
        count <= limit
    }

    /// With as many addresses as this in a second, the address tells nothing any more.
    fn key(&self, from: IpAddr) -> IpAddr {
        let tells = self.counts.len() < MAX_SOURCES || self.counts.contains_key(&from);
        if tells { from } else { UNKNOWN }
    }
}

const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_is_counted_and_told_of_once() {
        let mut foreign = Foreign::default();
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut note = |reason, data: &[u8], n, secs| {
            foreign.note(reason, data, from(n), Duration::from_secs(secs))
        };
        let text = note(DropReason::Hash, b"{\"id\":1}", 1, 0).unwrap();
        assert!(text.starts_with("10.0.0.1 ") && text.contains("without a digest"), "{text}");
        assert_eq!(note(DropReason::Hash, b"{", 1, 100), None);
        assert_eq!(note(DropReason::NotJson, b"x", 2, 100), None);
        assert!(note(DropReason::Decrypt, b"x", 2, 100).unwrap().contains("cryptoKey"));
        assert_eq!(note(DropReason::Hash, b"x", 3, 101), None, "not so soon after the last");
        assert!(note(DropReason::Hash, b"x", 3, 111).unwrap().contains("hashSecret"));
        assert!(note(DropReason::Hash, b"{", 1, 601).is_some());
        assert_eq!(foreign.counts(), [(from(1), 3), (from(3), 2), (from(2), 1)]);
    }

    #[test]
    fn one_address_brings_only_so_much_a_second() {
        let mut newcomers = PerSource::default();
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let admitted =
            (0..100).filter(|_| newcomers.admit(from(1), 10, Duration::from_secs(5))).count();
        assert_eq!(admitted, 10);
        assert!(newcomers.admit(from(2), 10, Duration::from_secs(5)));
        assert!(newcomers.admit(from(1), 10, Duration::from_secs(6)));
    }

    #[test]
    fn a_crowd_of_sources_takes_bounded_memory() {
        let mut foreign = Foreign::default();
        for n in 0..10_000u32 {
            foreign.note(DropReason::Hash, b"x", IpAddr::from(n.to_be_bytes()), Duration::ZERO);
        }
        assert_eq!(foreign.counts().len(), MAX_SOURCES);
    }
}
