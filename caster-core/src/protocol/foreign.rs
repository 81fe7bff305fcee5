//! Other senders on the port: datagrams that do not belong here, by where they come from.
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
    last: Duration,
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
                Some("it sends without a digest: is the option hash off there?")
            }
            DropReason::Hash | DropReason::Truncated => {
                Some("is hashSecret or hashAlgorithm another there, or is crypto on?")
            }
            DropReason::Decrypt => {
                Some("is cryptoKey or cryptoAlgorithm another there, or is crypto off?")
            }
            DropReason::Seal => Some("does it use other keys or another realm?"),
            DropReason::Unsealed => Some("it does not seal: has it no keys?"),
            reason if is_of_no_node(reason) => None,
            _ => return None,
        };
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&from) {
            self.evict();
        }
        let source = self.sources.entry(from).or_default();
        source.count += 1;
        source.last = now;
        let cause = cause?;
        let recently = |last: Option<Duration>, pause| last.is_some_and(|last| now < last + pause);
        if recently(source.hinted, AGAIN) || recently(self.hinted, ANY) {
            return None;
        }
        source.hinted = Some(now);
        self.hinted = Some(now);
        Some(format!("{from} is on this port and cannot be understood: {cause}"))
    }

    /// Makes room for another source: the one that was heard least recently is forgotten.
    fn evict(&mut self) {
        let oldest = self.sources.iter().min_by_key(|(from, source)| (source.last, **from));
        if let Some(from) = oldest.map(|(from, _)| *from) {
            self.sources.remove(&from);
        }
    }

    /// How many datagrams came from where, the most first.
    pub fn counts(&self) -> Vec<(IpAddr, u64)> {
        let mut counts: Vec<_> =
            self.sources.iter().map(|(from, source)| (*from, source.count)).collect();
        sort_short(&mut counts, |&(from, count)| (std::cmp::Reverse(count), from));
        counts
    }
}

/// Whether the content is not that of a node, but of another program: no hint tells of that.
pub(crate) fn is_of_no_node(reason: DropReason) -> bool {
    use DropReason::{BadId, NoId, NotAnObject, NotJson, TooDeep};
    matches!(reason, NotJson | NotAnObject | NoId | BadId | TooDeep)
}

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
        assert_eq!(note(DropReason::Stale, b"x", 2, 100), None, "of a node");
        assert!(note(DropReason::Decrypt, b"x", 2, 100).unwrap().contains("cryptoKey"));
        assert_eq!(note(DropReason::Hash, b"x", 3, 101), None, "not so soon after the last");
        assert!(note(DropReason::Hash, b"x", 3, 111).unwrap().contains("hashSecret"));
        assert!(note(DropReason::Hash, b"{", 1, 601).is_some());
        assert_eq!(foreign.counts(), [(from(1), 3), (from(3), 2), (from(2), 1)]);
    }

    #[test]
    fn a_crowd_of_sources_takes_bounded_memory() {
        let mut foreign = Foreign::default();
        for n in 0..10_000u32 {
            foreign.note(DropReason::Hash, b"x", IpAddr::from(n.to_be_bytes()), Duration::ZERO);
        }
        assert_eq!(foreign.counts().len(), MAX_SOURCES);
    }

    #[test]
    fn what_is_of_no_node_is_counted_and_has_no_hint() {
        let (mut foreign, from) = (Foreign::default(), IpAddr::from([10, 0, 0, 1]));
        for &reason in DropReason::ALL.iter().filter(|reason| is_of_no_node(**reason)) {
            assert_eq!(foreign.note(reason, b"x", from, Duration::ZERO), None);
        }
        assert_eq!(foreign.counts(), [(from, 5)]);
        // It does not take the turn of a hint.
        assert!(foreign.note(DropReason::Hash, b"x", from, Duration::ZERO).is_some());
    }

    #[test]
    fn each_reason_has_its_question_and_other_drops_are_not_foreign() {
        let told = |reason, data: &[u8]| {
            let from = IpAddr::from([10, 0, 0, 1]);
            Foreign::default().note(reason, data, from, Duration::ZERO).unwrap_or_default()
        };
        for (reason, data, part) in [
            (DropReason::Hash, &b"{"[..], "option hash off"),
            (DropReason::Truncated, b"x", "hashSecret"),
            (DropReason::Decrypt, b"x", "cryptoKey"),
            (DropReason::Seal, b"x", "realm"),
            (DropReason::Unsealed, b"x", "no keys"),
        ] {
            let text = told(reason, data);
            assert!(text.contains("10.0.0.1") && text.contains(part), "{reason:?}: {text}");
        }
        assert_eq!(told(DropReason::NotJson, b"x"), "");
    }

    #[test]
    fn a_full_table_keeps_those_heard_last() {
        let mut foreign = Foreign::default();
        let mut note = |n: u32, secs| {
            let from = IpAddr::from(n.to_be_bytes());
            foreign.note(DropReason::Hash, b"x", from, Duration::from_secs(secs))
        };
        for n in 0..1000 {
            note(n, u64::from(n));
            note(5_000_000, u64::from(n));
        }
        let told = note(6_000_000, 1010);
        assert!(told.is_some(), "a newcomer is told of although the table is full");
        let counts = foreign.counts();
        assert_eq!(counts[0], (IpAddr::from(5_000_000u32.to_be_bytes()), 1000));
        assert_eq!(counts.len(), MAX_SOURCES);
        assert!(counts.iter().any(|(from, _)| *from == IpAddr::from(999u32.to_be_bytes())));
        assert!(!counts.iter().any(|(from, _)| *from == IpAddr::from(0u32.to_be_bytes())));
    }
}
