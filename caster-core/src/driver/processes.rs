//! The ends of other processes of this host, as the kernel reports them.
//!
//! Each process listens on an abstract socket that is named by the port of the group and its own
//! private port, in the network namespace. Each process connects to those of its peers on this
//! host. When a process ends, the kernel closes its ends of these connections. Nothing is ever
//! written to them.

use super::fork::{ClosedInChild, close_in_child};
use mio::event::Source;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

/// The number of processes that are watched.
const MAX: usize = 64;

/// The number of processes that may watch this one.
const MAX_WATCHERS: usize = 256;

/// The connections to other processes of this host.
pub(super) struct Processes {
    group_port: u16,
    registry: Registry,
    first: Token,
    listener: Listener,
    watched: Vec<Watched>,
    watchers: Vec<(UnixStream, ClosedInChild)>,
}

type Listener = (UnixListener, ClosedInChild);

struct Watched {
    port: u16,
    slot: usize,
    stream: UnixStream,
    ended: bool,
    _closed: ClosedInChild,
}

impl Processes {
    /// Listens. The tokens from `first` on are used. `None` where such sockets are not permitted.
    pub fn open(registry: &Registry, first: Token, group_port: u16, port: u16) -> Option<Self> {
        let registry = registry.try_clone().ok()?;
        let mut listener = UnixListener::bind_addr(&name(group_port, port)?).ok()?;
        listener.register(&registry, first, Interest::READABLE).ok()?;
        let closed = close_in_child(listener.as_raw_fd());
        let listener = (listener, closed);
        Some(Self { group_port, registry, first, listener, watched: vec![], watchers: vec![] })
    }

    /// Handles an event of one of its tokens.
    pub fn handle(&mut self, token: Token) {
        let Some(at) = token.0.checked_sub(self.first.0) else { return };
        if at == 0 {
            return self.accept();
        }
        if let Some(watched) = self.watched.iter_mut().find(|it| it.slot == at) {
            watched.ended |= has_ended(&mut watched.stream);
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.0.accept() {
            if self.watchers.len() >= MAX_WATCHERS {
                self.watchers.retain_mut(|(stream, _)| !has_ended(stream));
            }
            if self.watchers.len() < MAX_WATCHERS {
                let closed = close_in_child(stream.as_raw_fd());
                self.watchers.push((stream, closed));
            }
        }
    }

    /// Watches the processes that have these ports.
    pub fn watch(&mut self, ports: &[u16]) {
        for &port in ports {
            if self.watched.len() < MAX && !self.watched.iter().any(|it| it.port == port) {
                let watched = self.connect(port);
                self.watched.extend(watched);
            }
        }
    }

    /// The ports of the processes that have ended. All datagrams that they have sent must have been
    /// read: a process that closes its network has taken leave before.
    pub fn take_ended(&mut self) -> Vec<u16> {
        let mut ports = Vec::new();
        while let Some(at) = self.watched.iter().position(|it| it.ended) {
            let ended = self.watched.swap_remove(at);
            drop(ended.stream);
            // A process that has the port again has opened it before it said anything.
            match self.connect(ended.port) {
                Some(again) => self.watched.push(again),
                None => ports.push(ended.port),
            }
        }
        ports
    }

    /// `None` also if it cannot be told whether the process is there.
    fn connect(&self, port: u16) -> Option<Watched> {
        let slot = (1..=MAX).find(|slot| self.watched.iter().all(|it| it.slot != *slot))?;
        let mut stream = UnixStream::connect_addr(&name(self.group_port, port)?).ok()?;
        let token = Token(self.first.0 + slot);
        stream.register(&self.registry, token, Interest::READABLE).ok()?;
        let closed = close_in_child(stream.as_raw_fd());
        Some(Watched { port, slot, stream, ended: false, _closed: closed })
    }
}

fn name(group_port: u16, port: u16) -> Option<SocketAddr> {
    SocketAddr::from_abstract_name(format!("caster-{group_port}-{port}")).ok()
}

fn has_ended(stream: &mut UnixStream) -> bool {
    let mut nothing = [0; 64];
    loop {
        match stream.read(&mut nothing) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    /// Handles events until there are none for 100 ms.
    fn turn(poll: &mut Poll, processes: &mut [&mut Processes]) {
        let mut events = Events::with_capacity(16);
        loop {
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            if events.is_empty() {
                return;
            }
            for event in &events {
                for it in &mut *processes {
                    it.handle(event.token());
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_process_is_told_once_and_a_successor_is_no_end() {
        let mut poll = Poll::new().unwrap();
        let group = std::process::id() as u16;
        let open = |poll: &Poll, first, port| {
            Processes::open(poll.registry(), Token(first), group, port).unwrap()
        };
        let mut watcher = open(&poll, 100, 1);
        let mut other = open(&poll, 300, 2);
        watcher.watch(&[2, 3]);
        watcher.watch(&[2]);
        assert_eq!(watcher.watched.len(), 1, "nobody has port 3");
        turn(&mut poll, &mut [&mut watcher, &mut other]);
        assert!(watcher.take_ended().is_empty());
        drop(other);
        let mut successor = open(&poll, 500, 2);
        turn(&mut poll, &mut [&mut watcher, &mut successor]);
        assert!(watcher.take_ended().is_empty(), "the port is open again");
        turn(&mut poll, &mut [&mut watcher, &mut successor]);
        drop(successor);
        turn(&mut poll, &mut [&mut watcher]);
        assert_eq!(watcher.take_ended(), [2]);
        assert!(watcher.take_ended().is_empty());
    }

    #[test]
    fn who_connects_without_end_does_not_exhaust_it() {
        let mut poll = Poll::new().unwrap();
        let group = std::process::id() as u16;
        let mut listener = Processes::open(poll.registry(), Token(100), group, 11).unwrap();
        for _ in 0..2 * MAX_WATCHERS {
            drop(UnixStream::connect_addr(&name(group, 11).unwrap()));
            turn_once(&mut poll, &mut listener);
        }
        assert!(listener.watchers.len() <= MAX_WATCHERS);
        let mut watcher = Processes::open(poll.registry(), Token(300), group, 12).unwrap();
        watcher.watch(&[11]);
        turn(&mut poll, &mut [&mut listener, &mut watcher]);
        assert!(watcher.take_ended().is_empty(), "there is room for one that stays");
    }

    fn turn_once(poll: &mut Poll, processes: &mut Processes) {
        let mut events = Events::with_capacity(16);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().for_each(|event| processes.handle(event.token()));
    }
}
