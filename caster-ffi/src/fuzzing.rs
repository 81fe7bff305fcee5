//! Sequences of calls of the C functions, as the bytes of a fuzzer have it. Compiled for tests and fuzzers only.
//!
//! Nodes and casters are on virtual networks, so that no socket is opened. Handles are kept after they were freed and
//! are used again; plain memory is used as the header allows it.

use crate::caster::*;
use crate::event::*;
use crate::middleware::*;
use crate::network::*;
use crate::node::*;
use crate::options::*;
use crate::peer::*;
use crate::stats::Stats;
use crate::status::*;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The statuses that there are.
const STATUSES: std::ops::RangeInclusive<c_int> = -18..=0;
const INVALID_ARGUMENT: c_int = -3;

/// How many objects of a kind there are at once.
const MOST: usize = 6;

/// Makes the calls. At the end all is freed, and each drop hook has run once.
pub fn calls(data: &[u8]) {
    let mut run = Run { bytes: data, ..Run::default() };
    for _ in 0..256 {
        if run.bytes.is_empty() {
            break;
        }
        run.step();
    }
    run.end();
}

/// A handle, and whether the library has to know it.
struct Handle<T> {
    pointer: *mut T,
    lives: bool,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Handle<T> {}

#[derive(Default)]
struct Run<'a> {
    bytes: &'a [u8],
    networks: Vec<Handle<Network>>,
    nodes: Vec<Handle<Node>>,
    casters: Vec<Handle<Caster>>,
    options: Vec<*mut Options>,
    events: Vec<*mut Event>,
    peers: Vec<*mut Peer>,
    snapshots: Vec<*mut Nodes>,
    hooks: usize,
    dropped: Box<AtomicUsize>,
}

unsafe extern "C-unwind" fn count(dropped: *mut c_void) {
    // SAFETY: it is the counter of a run, which lives until all hooks have run.
    unsafe { &*dropped.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C-unwind" fn look(node: *mut Node, event: *const Event, _: *mut c_void) {
    // SAFETY: the event lives until the callback returns.
    unsafe {
        assert!(!caster_event_name(event).is_null());
        caster_node_send_text(node, c"from a callback".as_ptr(), null_mut());
    }
}

unsafe extern "C-unwind" fn look_at_message(_: *mut Caster, event: *const Event, _: *mut c_void) {
    // SAFETY: the event lives until the callback returns.
    assert!(!unsafe { caster_event_name(event) }.is_null());
}

/// Turns away some messages, and changes others.
unsafe extern "C-unwind" fn stage(message: *mut Message, _: *mut c_void) -> c_int {
    // SAFETY: the message lives until the middleware returns, and so do its bytes until it is set.
    unsafe {
        let (data, size) = (caster_message_data(message), caster_message_size(message));
        if size % 7 == 0 {
            return 1;
        }
        if size % 3 == 0 {
            return caster_message_set_bytes(message, data, size - 1);
        }
        if size % 5 == 0 { caster_message_set_json(message, c"[1]".as_ptr()) } else { 0 }
    }
}

impl Run<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    /// Bytes of the input, up to 255.
    fn raw(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.bytes.len());
        let (raw, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        raw.to_vec()
    }

    /// A string: one that makes sense, or bytes of the input, which may be no UTF-8. `None` is NULL.
    fn text(&mut self) -> Option<CString> {
        const KNOWN: [&str; 14] = [
            "a",
            "b",
            "1",
            "{}",
            "{\"type\":\"http\"}",
            "null",
            "[1,2]",
            "\"text\"",
            "port",
            "meta",
            "id",
            "hashSecret",
            "md5",
            "heartbeat",
        ];
        match self.byte() {
            0 => None,
            1..200 => {
                let at = usize::from(self.byte()) % KNOWN.len();
                CString::new(KNOWN[at]).ok()
            }
            _ => {
                let mut raw = self.raw();
                raw.retain(|&byte| byte != 0);
                CString::new(raw).ok()
            }
        }
    }

    fn hook(&mut self) -> *mut c_void {
        self.hooks += 1;
        (&raw const *self.dropped).cast_mut().cast()
    }

    fn pick<T: Copy>(&mut self, of: impl Fn(&Self) -> &Vec<T>) -> Option<T> {
        let at = usize::from(self.byte());
        let all = of(self);
        (!all.is_empty()).then(|| all[at % all.len()])
    }

    /// A handle: a live one, a freed one, NULL, or one of another kind.
    fn node(&mut self) -> Handle<Node> {
        match self.byte() {
            255 => Handle { pointer: null_mut(), lives: false },
            254 => match self.pick(|run| &run.casters) {
                Some(other) => Handle { pointer: other.pointer.cast(), lives: false },
                None => Handle { pointer: null_mut(), lives: false },
            },
            253 => {
                let value = usize::from(self.byte()) << 8 | usize::from(self.byte());
                Handle { pointer: std::ptr::without_provenance_mut(value & !1), lives: false }
            }
            _ => {
                self.pick(|run| &run.nodes).unwrap_or(Handle { pointer: null_mut(), lives: false })
            }
        }
    }

    fn caster(&mut self) -> Handle<Caster> {
        match self.byte() {
            255 => match self.pick(|run| &run.nodes) {
                Some(other) => Handle { pointer: other.pointer.cast(), lives: false },
                None => Handle { pointer: null_mut(), lives: false },
            },
            _ => self
                .pick(|run| &run.casters)
                .unwrap_or(Handle { pointer: null_mut(), lives: false }),
        }
    }

    fn network(&mut self) -> Handle<Network> {
        self.pick(|run| &run.networks).unwrap_or(Handle { pointer: null_mut(), lives: false })
    }

    fn options(&mut self) -> *mut Options {
        self.pick(|run| &run.options).unwrap_or(null_mut())
    }

    fn end(mut self) {
        // SAFETY: each is freed once, or is a handle, which is checked.
        unsafe {
            for node in &self.nodes {
                caster_node_free(node.pointer);
                assert_eq!(caster_node_up(node.pointer), INVALID_ARGUMENT);
            }
            for caster in &self.casters {
                caster_free(caster.pointer);
                assert_eq!(caster_bind(caster.pointer), INVALID_ARGUMENT);
            }
            for network in &self.networks {
                caster_network_free(network.pointer);
            }
            self.options.drain(..).for_each(|options| caster_options_free(options));
            self.events.drain(..).for_each(|event| caster_event_free(event));
            self.peers.drain(..).for_each(|peer| caster_peer_free(peer));
            self.snapshots.drain(..).for_each(|nodes| caster_nodes_free(nodes));
        }
        assert_eq!(self.dropped.load(Ordering::SeqCst), self.hooks, "each hook runs once");
    }

    fn step(&mut self) {
        let group = self.below(16);
        // SAFETY: strings live until the call returns; plain memory is used before it is freed, on this thread;
        // handles are checked.
        unsafe {
            match group {
                0 => self.change_networks(),
                1 | 2 => self.change_nodes(),
                3 => self.change_casters(),
                4 | 5 => self.change_options(),
                6 | 7 => self.send(),
                8 | 9 => self.take(),
                10 => self.find(),
                11 => self.look(),
                12 => self.add_stages(),
                13 => self.set_callbacks(),
                14 => self.advance(),
                _ => self.change_meta(),
            }
        }
        assert!(!caster_last_error().is_null());
    }

    unsafe fn change_networks(&mut self) {
        match self.below(4) {
            0..=2 if self.networks.len() < MOST => {
                let pointer = caster_network_new(self.byte().into());
                assert!(!pointer.is_null());
                self.networks.push(Handle { pointer, lives: true });
            }
            _ => {
                let network = self.network();
                // SAFETY: handles are checked.
                unsafe { caster_network_free(network.pointer) };
                let same = |other: &&mut Handle<Network>| other.pointer == network.pointer;
                self.networks.iter_mut().filter(same).for_each(|handle| handle.lives = false);
            }
        }
    }

    unsafe fn change_nodes(&mut self) {
        let kind = self.below(8);
        // SAFETY: as in `step`.
        unsafe {
            if kind < 4 && self.nodes.len() < MOST {
                let (network, options) = (self.network(), self.options());
                let mut pointer = null_mut();
                let status = caster_network_node(network.pointer, options, &raw mut pointer);
                check(status, network.lives);
                assert_eq!(status == 0, !pointer.is_null());
                if status == 0 {
                    self.nodes.push(Handle { pointer, lives: true });
                }
                return;
            }
            let node = self.node();
            match kind {
                0..=4 => {
                    check(caster_node_up(node.pointer), node.lives);
                }
                5 => check(caster_node_down(node.pointer), node.lives),
                6 => {
                    caster_node_free(node.pointer);
                    if node.lives {
                        let same = |other: &&mut Handle<Node>| other.pointer == node.pointer;
                        self.nodes.iter_mut().filter(same).for_each(|handle| handle.lives = false);
                    }
                }
                _ => {
                    let up = caster_node_is_up(node.pointer);
                    assert!(node.lives || up == 0);
                    assert_eq!(caster_node_id(node.pointer).is_null(), !node.lives);
                    assert_eq!(caster_node_address(node.pointer).is_null(), !node.lives);
                    assert_eq!(caster_node_port(node.pointer) == 0, !node.lives);
                }
            }
        }
    }

    unsafe fn change_casters(&mut self) {
        let kind = self.below(8);
        // SAFETY: as in `step`.
        unsafe {
            if kind < 3 && self.casters.len() < MOST {
                let network = self.network();
                let mut pointer = null_mut();
                let status = caster_network_caster(network.pointer, null(), &raw mut pointer);
                check(status, network.lives);
                if status == 0 {
                    self.casters.push(Handle { pointer, lives: true });
                }
                return;
            }
            let caster = self.caster();
            match kind {
                0..=4 => check(caster_bind(caster.pointer), caster.lives),
                5 => check(caster_close(caster.pointer), caster.lives),
                6 => {
                    caster_free(caster.pointer);
                    if caster.lives {
                        let same = |other: &&mut Handle<Caster>| other.pointer == caster.pointer;
                        self.casters
                            .iter_mut()
                            .filter(same)
                            .for_each(|handle| handle.lives = false);
                    }
                }
                _ => assert_eq!(caster_multicast(caster.pointer).is_null(), !caster.lives),
            }
        }
    }

    unsafe fn change_options(&mut self) {
        let kind = self.below(10);
        // SAFETY: as in `step`.
        unsafe {
            if kind < 3 && self.options.len() < MOST {
                self.options.push(match kind {
                    0 => caster_options_new_caster(),
                    _ => caster_options_new_node(),
                });
                return;
            }
            let (options, name, value) = (self.options(), self.text(), self.text());
            let (name, value) = (pointer(&name), pointer(&value));
            let raw = self.raw();
            let number = self.byte().into();
            let lives = !options.is_null();
            match kind {
                0..=2 => check(caster_options_merge_json(options, value), lives),
                3 => check(caster_options_set_string(options, name, value), lives),
                4 => check(caster_options_set_int(options, name, number), lives),
                5 => check(caster_options_set_bool(options, name, number as c_int & 1), lives),
                6 => check(caster_options_set_json(options, name, value), lives),
                7 => check(caster_options_set_bytes(options, name, raw.as_ptr(), raw.len()), lives),
                8 => check(caster_options_add_key(options, raw.as_ptr(), raw.len()), lives),
                _ => {
                    caster_options_free(options);
                    self.options.retain(|&other| other != options);
                }
            }
        }
    }

    unsafe fn send(&mut self) {
        let kind = self.below(9);
        let (node, caster) = (self.node(), self.caster());
        let (text, other, raw) = (self.text(), self.text(), self.raw());
        let texts = [pointer(&text), pointer(&other)];
        let datas = [raw.as_ptr(), raw.as_ptr()];
        let sizes = [raw.len(), raw.len() / 2];
        let mut bytes = usize::MAX;
        // SAFETY: as in `step`.
        let status = unsafe {
            let (n, c, to) = (node.pointer, caster.pointer, &raw mut bytes);
            match kind {
                0 => caster_node_send_json(n, texts[0], to),
                1 => caster_node_send_text(n, texts[0], to),
                2 => caster_node_send_batch(n, texts.as_ptr(), 2, to),
                3 => caster_node_send_bare(n, raw.as_ptr(), raw.len(), to),
                4 => caster_node_send_bare_json(n, texts[0], to),
                5 => caster_send(c, raw.as_ptr(), raw.len(), to),
                6 => caster_send_json(c, texts[0], to),
                7 => caster_send_batch(c, datas.as_ptr(), sizes.as_ptr(), 2, to),
                _ => caster_send_text(c, texts[0], to),
            }
        };
        check(status, if kind < 5 { node.lives } else { caster.lives });
        assert_eq!(status == 0, bytes != usize::MAX, "outputs are written only with CASTER_OK");
    }

    unsafe fn take(&mut self) {
        let kind = self.below(5);
        let (node, caster) = (self.node(), self.caster());
        let mut events = [null_mut(); 4];
        let mut count = 0;
        // SAFETY: as in `step`.
        unsafe {
            match kind {
                0 | 1 => {
                    let status = caster_node_poll(node.pointer, 0, &raw mut events[0]);
                    check(status, node.lives);
                    count = usize::from(status == 0);
                }
                2 => {
                    let status = caster_node_poll_batch(
                        node.pointer,
                        c_int::from(self.byte()),
                        events.as_mut_ptr(),
                        events.len(),
                        &raw mut count,
                    );
                    check(status, node.lives);
                }
                3 => {
                    let status = caster_poll(caster.pointer, 0, &raw mut events[0]);
                    check(status, caster.lives);
                    count = usize::from(status == 0);
                }
                _ => {
                    if let Some(event) = self.events.pop() {
                        caster_event_free(event);
                    }
                }
            }
        }
        for &event in &events {
            assert_eq!(event.is_null(), count == 0);
            count = count.saturating_sub(1);
            if !event.is_null() {
                self.events.push(event);
            }
        }
        while self.events.len() > 32 {
            // SAFETY: it is freed once.
            unsafe { caster_event_free(self.events.remove(0)) };
        }
    }

    unsafe fn find(&mut self) {
        let kind = self.below(6);
        let node = self.node();
        let (key, value) = (self.text(), self.text());
        let (key, value) = (pointer(&key), pointer(&value));
        let (mut nodes, mut peer): (*mut Nodes, *mut Peer) = (null_mut(), null_mut());
        // SAFETY: as in `step`.
        unsafe {
            match kind {
                0 => check(caster_node_nodes(node.pointer, &raw mut nodes), node.lives),
                1 => check(caster_node_find(node.pointer, key, value, &raw mut nodes), node.lives),
                2 => check(caster_node_get(node.pointer, key, &raw mut peer), node.lives),
                3 => {
                    if let Some(nodes) = self.snapshots.pop() {
                        caster_nodes_free(nodes);
                    }
                }
                4 => {
                    if let Some(peer) = self.peers.pop() {
                        caster_peer_free(peer);
                    }
                }
                _ => {
                    let nodes = self.pick(|run| &run.snapshots).unwrap_or(null_mut());
                    let inside = caster_nodes_at(nodes, self.byte().into());
                    peer = caster_peer_dup(inside);
                    assert_eq!(peer.is_null(), inside.is_null());
                }
            }
        }
        if !nodes.is_null() {
            self.snapshots.push(nodes);
        }
        if !peer.is_null() {
            self.peers.push(peer);
        }
        while self.snapshots.len() > 8 {
            // SAFETY: it is freed once.
            unsafe { caster_nodes_free(self.snapshots.remove(0)) };
        }
        while self.peers.len() > 8 {
            // SAFETY: as above.
            unsafe { caster_peer_free(self.peers.remove(0)) };
        }
    }

    /// Reads all of an event and of a peer.
    unsafe fn look(&mut self) {
        let event = self.pick(|run| &run.events).unwrap_or(null_mut());
        let peer = self.pick(|run| &run.peers).unwrap_or(null_mut());
        // SAFETY: both live.
        unsafe {
            assert_eq!(caster_event_name(event).is_null(), event.is_null());
            let of_event = caster_event_peer(event);
            for peer in [peer.cast_const(), of_event] {
                assert_eq!(caster_peer_id(peer).is_null(), peer.is_null());
                assert_eq!(caster_peer_id_json(peer).is_null(), peer.is_null());
                assert_eq!(caster_peer_address(peer).is_null(), peer.is_null());
                caster_peer_meta_json(peer);
                for at in 0..=caster_peer_address_count(peer) {
                    caster_peer_address_at(peer, at);
                    caster_peer_interface_at(peer, at);
                    caster_peer_last_seen_at_ms(peer, at);
                }
            }
            let copy = caster_event_dup(event);
            assert_eq!(caster_event_type(copy), caster_event_type(event));
            caster_event_free(copy);
        }
    }

    unsafe fn add_stages(&mut self) {
        let kind = self.below(8);
        let (node, caster, text) = (self.node(), self.caster(), self.text());
        let (text, raw) = (pointer(&text), self.raw());
        // SAFETY: as in `step`.
        unsafe {
            match kind {
                0 => check(caster_use_json(caster.pointer), caster.lives),
                1 => check(caster_use_hash(caster.pointer, text, null()), caster.lives),
                2 => check(
                    caster_use_crypto_bytes(caster.pointer, raw.as_ptr(), raw.len(), null()),
                    caster.lives,
                ),
                3 => {
                    let data = self.hook();
                    let status = caster_use(
                        caster.pointer,
                        text,
                        Some(stage),
                        Some(stage),
                        data,
                        Some(count),
                    );
                    check(status, caster.lives);
                }
                4 => {
                    let data = self.hook();
                    let status =
                        caster_node_use(node.pointer, text, Some(stage), None, data, Some(count));
                    check(status, node.lives);
                }
                5 => check(caster_node_use_hash(node.pointer, text, text), node.lives),
                6 => check(caster_node_clear_middleware(node.pointer), node.lives),
                _ => check(caster_clear_middleware(caster.pointer), caster.lives),
            }
        }
    }

    /// A callback starts a thread, so one call in eight sets one.
    unsafe fn set_callbacks(&mut self) {
        let (kind, node, caster) = (self.below(8), self.node(), self.caster());
        // SAFETY: as in `step`.
        unsafe {
            match kind {
                0 => {
                    let data = self.hook();
                    let status = caster_node_on_up(node.pointer, Some(look), data, Some(count));
                    check(status, node.lives);
                }
                1 => {
                    let data = self.hook();
                    let status =
                        caster_on_message(caster.pointer, Some(look_at_message), data, Some(count));
                    check(status, caster.lives);
                }
                2 | 3 => {
                    let data = self.hook();
                    let status = caster_node_on_message(node.pointer, None, data, Some(count));
                    check(status, node.lives);
                }
                4 | 5 => check(caster_node_watch_rejects(node.pointer, 1), node.lives),
                6 => check(caster_node_watch_datagrams(node.pointer, 1), node.lives),
                _ => check(caster_watch_rejects(caster.pointer, 1), caster.lives),
            }
        }
    }

    unsafe fn advance(&mut self) {
        let (kind, network, id) = (self.below(8), self.network(), self.text());
        let number = self.byte();
        // SAFETY: as in `step`.
        unsafe {
            match kind {
                0..=3 => {
                    let status = caster_network_advance(network.pointer, u64::from(number) * 20);
                    check(status, network.lives);
                }
                4 => {
                    let share = f64::from(number) / 200.0;
                    check(caster_network_set_loss(network.pointer, share), network.lives);
                }
                5 => check(caster_network_set_delay(network.pointer, number.into()), network.lives),
                6 => check(caster_network_unplug(network.pointer, pointer(&id)), network.lives),
                _ => check(caster_network_plug(network.pointer, pointer(&id)), network.lives),
            }
        }
    }

    unsafe fn change_meta(&mut self) {
        let (kind, node, text) = (self.below(6), self.node(), self.text());
        let raw = self.raw();
        let mut out: *mut c_char = null_mut();
        let mut stats = Stats::default();
        // SAFETY: as in `step`.
        unsafe {
            let status = match kind {
                0 => caster_node_set_meta_json(node.pointer, pointer(&text)),
                1 => caster_node_update_meta_json(node.pointer, pointer(&text)),
                2 => caster_node_meta_json(node.pointer, &raw mut out),
                3 => caster_node_stats_json(node.pointer, &raw mut out),
                4 => caster_node_add_key(node.pointer, raw.as_ptr(), raw.len()),
                _ => {
                    stats.size = size_of::<Stats>();
                    caster_node_stats(node.pointer, &raw mut stats)
                }
            };
            check(status, node.lives);
            assert!(status != 0 || !(2..4).contains(&kind) || !out.is_null());
            caster_string_free(out);
        }
    }
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

/// The status of a call on a handle: it is one that there is, and a handle that does not live is refused.
fn check(status: Status, lives: bool) {
    assert!(STATUSES.contains(&status), "{status}");
    assert!(lives || status == INVALID_ARGUMENT, "{status} on a handle that does not live");
    assert_ne!(status, -15, "a fault inside");
}

#[cfg(test)]
mod tests {
    use super::calls;
    use std::path::Path;

    #[test]
    fn the_corpus_of_calls() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/c_calls");
        let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
        let mut count = 0;
        for file in files {
            calls(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 5);
    }

    #[test]
    fn calls_in_any_order_keep_the_contract_of_the_header() {
        let mut state = 88172645463325252_u64;
        for _ in 0..3000 {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let data: Vec<u8> = (0..100).flat_map(|_| next().to_le_bytes()).collect();
            calls(&data);
        }
    }
}
