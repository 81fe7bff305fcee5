//! `caster_stats_t`.

use crate::args;
use caster_core::{DropReason, Error, ErrorCode, Result};
use std::mem::{offset_of, size_of};

/// @in Nodes
///
/// The counters of a node or caster since it was made. They continue through down and up. When
/// nothing is on its way, `received` is `accepted` plus `dropped`, and `dropped` is the sum of
/// those by reason, `dropped_*`.
///
/// The program sets `size` to `sizeof(caster_stats_t)` before each call, and the library writes no
/// more than that. New versions add fields at the end and never change the others, so a program
/// and a library of different versions understand each other: what the library does not know
/// becomes 0.
///
/// One thread at a time. The program owns it.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// The size of this structure in bytes, set by the program.
    pub size: usize,
    /// Datagrams taken from the socket. Own messages do not come back on Linux, unless another node
    /// of the process shares the socket or the option `self` is set.
    pub received: u64,
    /// Datagrams that had their effect.
    pub accepted: u64,
    /// Datagrams that had no effect, for any reason.
    pub dropped: u64,
    /// Datagrams given to the socket.
    pub sent: u64,
    /// Datagrams that the socket refused.
    pub send_errors: u64,
    /// How often a single interface refused a datagram over IPv4.
    pub send_errors4: u64,
    /// How often a single interface refused a datagram over IPv6.
    pub send_errors6: u64,
    /// Datagrams that the system dropped because the socket's buffer was full. Only Linux tells.
    pub kernel_drops: u64,
    /// Datagrams to single hosts that came back. Only Linux tells.
    pub undelivered: u64,
    /// The size of the socket's receive buffer in bytes; 0 before it was first opened.
    pub receive_buffer: u64,
    /// Messages that the program never saw because its event queue was full.
    pub events_lost: u64,
    /// Errors that were not told because one of the same kind had been told within a second.
    pub errors_suppressed: u64,
    /// Nodes that are known just now.
    pub nodes: u64,
    /// Those among them that are being asked whether they are still there.
    pub suspects: u64,
    /// How often a suspect was asked.
    pub probes_sent: u64,
    /// Indirect acknowledgements sent: corroborations of peers that another node suspects.
    pub vouches_sent: u64,
    /// How often one heartbeat answered more than one request.
    pub answers_merged: u64,
    /// Dropped: shorter than the digest that should be in front.
    pub dropped_truncated: u64,
    /// Dropped: the digest does not match.
    pub dropped_hash: u64,
    /// Dropped: it does not decrypt.
    pub dropped_decrypt: u64,
    /// Dropped: the payload is not JSON.
    pub dropped_not_json: u64,
    /// Dropped: the payload is JSON, but not an object.
    pub dropped_not_an_object: u64,
    /// Dropped: there is no id.
    pub dropped_no_id: u64,
    /// Dropped: the id is an array, an object or longer than 255 bytes.
    pub dropped_bad_id: u64,
    /// Dropped: arrays and objects nest too deep.
    pub dropped_too_deep: u64,
    /// Dropped: metadata or a message is larger than allowed.
    pub dropped_too_large: u64,
    /// Dropped: its address brings more new nodes a second than allowed.
    pub dropped_too_many_new: u64,
    /// Dropped: its address sends more datagrams a second than allowed.
    pub dropped_too_many: u64,
    /// Dropped: sent by this node itself.
    pub dropped_own: u64,
    /// Dropped: a leave message of an unknown peer.
    pub dropped_unknown_goodbye: u64,
    /// Dropped: a leave message that the named peer did not send.
    pub dropped_foreign_goodbye: u64,
    /// Dropped: late, from an incarnation of a node that is gone.
    pub dropped_stale: u64,
    /// Dropped: a new node, and the table is full.
    pub dropped_table_full: u64,
    /// Dropped: from outside, and the node is on the loopback interface only.
    pub dropped_off_interface: u64,
    /// Dropped: a middleware of the program turned it away.
    pub dropped_middleware: u64,
    /// Dropped: it was lost in the event queue.
    pub dropped_queue_full: u64,
    /// Dropped: the library, or a middleware of the program, had a fault over it.
    pub dropped_fault: u64,
    /// Dropped: the same datagram has already arrived on another path.
    pub dropped_copy: u64,
    /// Dropped: its count of heartbeats is higher than the elapsed time allows, or its proof of
    /// leaving differs from the one that the peer announced.
    pub dropped_implausible: u64,
    /// Dropped: from an address that the peer has not used and has not confirmed.
    pub dropped_unconfirmed: u64,
    /// Dropped: a piece of a message from no known peer, or of which the place is not known.
    pub dropped_stray_piece: u64,
    /// Dropped: a frame or a piece that is malformed, or contradicts another piece.
    pub dropped_bad_piece: u64,
    /// Dropped: a piece that was there already, or came too late.
    pub dropped_repeated_piece: u64,
    /// Dropped: a piece for which there was no room. 8 MiB wait for each sender, 64 MiB in all.
    pub dropped_piece_overflow: u64,
    /// Datagrams sent that are larger than the MTU of an interface, and so travel as IP fragments.
    pub oversized: u64,
    /// Pieces of messages sent, without repairs.
    pub pieces_sent: u64,
    /// Pieces of messages received that were new.
    pub pieces_received: u64,
    /// Pieces sent again because a peer missed them.
    pub repairs_sent: u64,
    /// Questions for missing pieces sent.
    pub nacks_sent: u64,
    /// Messages in pieces that were given up because pieces were missing for a second.
    pub incomplete: u64,
    /// How often this host has failed to assemble a datagram from its fragments, since this was first
    /// opened: the datagrams of all programs of the host. Only Linux tells.
    pub reassembly_failures: u64,
    /// Dropped: not a sealed datagram of a known version, in secure mode.
    pub dropped_unsealed: u64,
    /// Dropped: sealed with another key or for another realm, forged, or damaged.
    pub dropped_seal: u64,
    /// Dropped: a repeated sealed datagram, or one that was held back.
    pub dropped_replayed: u64,
    /// Dropped: sealed, but its sender has not proven that it is there now.
    pub dropped_unproven: u64,
    /// Dropped: sealed for another node of this process.
    pub dropped_for_another: u64,
    /// Calls to the system that receive datagrams, or wait for them, and failed.
    pub receive_errors: u64,
    /// Nodes that have no keys, in migration to secure mode; they are among `nodes`.
    pub plain_nodes: u64,
    /// Dropped: plain, and its sender was believed sealed before.
    pub dropped_downgrade: u64,
    /// Dropped: sealed, and its signature is missing or false, or its id belongs to another identity.
    pub dropped_identity: u64,
}

impl From<&caster_core::Stats> for Stats {
    fn from(stats: &caster_core::Stats) -> Self {
        macro_rules! copy {
            (
                driver { $($(#[$d:meta])* $counted:ident, $c:literal;)* }
                added { $($(#[$t:meta])* $told:ident, $o:literal;)* }
                reasons { $($(#[$r:meta])* $variant:ident, $field:ident, $k:literal;)* }
            ) => {
                Self {
                    size: size_of::<Self>(),
                    $($counted: stats.$counted,)*
                    $($told: stats.$told,)*
                    dropped: stats.dropped_total(),
                    $($field: stats.dropped(DropReason::$variant),)*
                }
            };
        }
        caster_core::counters!(copy)
    }
}

/// With the first counter in it.
const SMALLEST: usize = offset_of!(Stats, received) + size_of::<u64>();
/// No version will have more; what is larger was not set.
const LARGEST: usize = 16 * 1024;

/// The bytes of the program's structure, which may be smaller or larger than [`Stats`].
///
/// # Safety
/// `stats` is NULL, or points to as many bytes as its first field says, which have no other user
/// during `'a`.
pub(crate) unsafe fn bytes_of<'a>(stats: *mut Stats) -> Result<&'a mut [u8]> {
    // SAFETY: as promised by the caller; only the first field is read.
    let size = *unsafe { args::borrow(stats.cast::<usize>(), "stats")? };
    if !(SMALLEST..=LARGEST).contains(&size) {
        let known = size_of::<Stats>();
        let text = format!("stats.size is {size}; set it to sizeof(caster_stats_t), here {known}");
        return Err(Error::new(ErrorCode::InvalidArgument, text));
    }
    // SAFETY: as promised by the caller.
    unsafe { args::slice_mut(stats.cast(), size, "stats") }
}

/// Writes the counters to the program's structure. Fields that this version does not have become 0.
pub(crate) fn write(stats: &caster_core::Stats, to: &mut [u8]) {
    let known = Stats { size: to.len(), ..Stats::from(stats) };
    // SAFETY: the structure consists of integers without padding.
    let known =
        unsafe { std::slice::from_raw_parts((&raw const known).cast::<u8>(), size_of::<Stats>()) };
    let both = to.len().min(known.len());
    to[..both].copy_from_slice(&known[..both]);
    to[both..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snake_case(name: &str) -> String {
        name.chars().fold(String::new(), |mut out, c| {
            if c.is_uppercase() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
            out
        })
    }

    /// `name: number` pairs of the derived `Debug`.
    fn fields(stats: &Stats) -> Vec<(String, u64)> {
        let text = format!("{stats:?}");
        let inside = text.trim_start_matches("Stats { ").trim_end_matches(" }");
        let pairs = inside.split(", ").map(|pair| pair.split_once(": ").expect("a pair"));
        pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
    }

    /// `"name":number` pairs of the core, in its order, those of `dropped` with it in front.
    fn counters(stats: &caster_core::Stats) -> Vec<(String, u64)> {
        let json = stats.to_json();
        let (inside, _) = json.split_once(",\"foreign\"").expect("foreign is last");
        let mut prefix = "";
        let mut out = Vec::new();
        for pair in inside.trim_start_matches('{').split(',') {
            let mut pair = pair;
            if let Some(first) = pair.strip_prefix("\"dropped\":{") {
                (prefix, pair) = ("dropped_", first);
            }
            let (name, number) = pair.trim_end_matches('}').split_once(':').expect("a pair");
            let name = format!("{prefix}{}", snake_case(name.trim_matches('"')));
            out.push((name, number.trim_end_matches('}').parse().unwrap()));
            if pair.ends_with('}') {
                prefix = "";
            }
        }
        out
    }

    #[test]
    fn every_counter_of_the_core_has_its_field() {
        let node = caster_core::Node::new(&caster_core::Options::for_node()).unwrap();
        let mut core = node.stats();
        (core.received, core.accepted, core.sent, core.send_errors) = (1, 2, 3, 4);
        (core.send_errors4, core.send_errors6, core.kernel_drops) = (5, 6, 7);
        (core.undelivered, core.receive_buffer, core.events_lost) = (8, 9, 10);
        (core.errors_suppressed, core.nodes, core.suspects) = (11, 12, 13);
        (core.probes_sent, core.vouches_sent, core.answers_merged) = (14, 15, 16);
        (core.oversized, core.pieces_sent, core.pieces_received) = (17, 18, 19);
        (core.repairs_sent, core.nacks_sent, core.incomplete) = (20, 21, 22);
        (core.reassembly_failures, core.receive_errors) = (23, 24);
        let mut expected = counters(&core);
        let of_no_reason = expected.iter().filter(|(_, number)| *number > 0).count();
        assert_eq!(of_no_reason, 24, "a new counter needs a number of its own above");
        expected.push(("size".into(), size_of::<Stats>() as u64));
        expected.push(("dropped".into(), 0));
        expected.sort();
        let mut found = fields(&Stats::from(&core));
        assert_eq!(size_of::<Stats>(), 8 * found.len());
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn no_more_is_written_than_the_program_has() {
        let node = caster_core::Node::new(&caster_core::Options::for_node()).unwrap();
        let mut core = node.stats();
        (core.received, core.accepted) = (1, 2);
        let ours = size_of::<Stats>();
        for size in [SMALLEST, SMALLEST + 4, SMALLEST + 8, ours, ours + 8, LARGEST] {
            let mut place = vec![u64::MAX; LARGEST / 8 + 1];
            place[0] = size as u64;
            // SAFETY: the place is large enough, and aligned.
            write(&core, unsafe { bytes_of(place.as_mut_ptr().cast()) }.unwrap());
            assert_eq!((place[0], place[1]), (size as u64, 1));
            let bytes: Vec<u8> = place.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert!(bytes[ours.min(size)..size].iter().all(|&byte| byte == 0), "{size}");
            assert!(bytes[size..].iter().all(|&byte| byte == 0xff), "{size}");
        }
        for size in [0, SMALLEST - 1, LARGEST + 1, usize::MAX] {
            let mut place = Stats { size, ..Stats::default() };
            // SAFETY: it is a structure of its own.
            let error = unsafe { bytes_of(&mut place) }.unwrap_err();
            assert!(error.message().contains("sizeof(caster_stats_t)"), "{error}");
        }
    }
}
