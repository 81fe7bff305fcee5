//! `caster web`: a page with the nodes, and the same for programs.

mod access;
mod metrics;
mod server;
mod state;

use crate::command::ending::signalled;
use crate::failure::{FOUND, Failure};
use crate::filter::Filter;
use crate::network::NetworkArgs;
use crate::show;
use access::Names;
use caster_core::{NoEvent, Node};
use state::State;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tiny_http::Server;

/// Show the nodes on a page, and to Prometheus
///
/// Serves / (the page), /api/nodes (JSON; ?where=CONDITION, ?id=ID), /metrics (Prometheus), /sd (Prometheus's
/// http_sd: ?where=CONDITION, ?port=KEY of the metadata) and /healthz. Nodes see nothing of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster web --port 8000 --where type=http
  caster web --address 0.0.0.0 --name dash.lan
  curl 'localhost:9464/sd?where=type%3Dhttp'

Exit status: 0 ended by a signal, 2 usage, 3 network.")]
pub struct Args {
    /// TCP port of the page; 0 takes a free one
    #[arg(id = "http-port", long = "port", value_name = "PORT", default_value_t = 9464)]
    http_port: u16,
    /// Address to listen on; other hosts reach the page only if this is one of the network
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Another name by which browsers and programs may call this server
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    network: NetworkArgs,
}

/// The time between two looks at the nodes: suspicion is no event.
const LOOK: Duration = Duration::from_millis(250);

/// The question is asked again after this time, as the first one may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A network that was not read for so many milliseconds is told by /healthz.
const STUCK: u64 = 10_000;

/// The data that the threads share.
struct Shared {
    node: Node,
    names: Names,
    filter: Filter,
    state: Mutex<State>,
    changed: Condvar,
    /// When the network was read last.
    read_at: AtomicU64,
    ended: Arc<AtomicBool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_healthy(&self) -> bool {
        show::unix_ms().saturating_sub(self.read_at.load(Ordering::Relaxed)) < STUCK
    }

    /// Waits for a version beyond this one. `None` at the end of the command, and `Some(None)` after `idle`.
    fn wait_beyond(
        &self,
        version: u64,
        is_first: bool,
        idle: Duration,
    ) -> Option<Option<(u64, serde_json::Value)>> {
        let has_ended = || self.ended.load(Ordering::Relaxed);
        let is_calm =
            |state: &mut State| state.timeline.version() == version && !is_first && !has_ended();
        let state = self.state();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, idle, is_calm)
            .unwrap_or_else(PoisonError::into_inner);
        if has_ended() {
            return None;
        }
        let newer = state.timeline.version();
        Some((newer != version || is_first).then(|| (newer, state.since(version, show::unix_ms()))))
    }
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = args.network.hidden()?;
    let ended = signalled()?;
    let place = SocketAddr::new(args.address, args.http_port);
    let server = Server::http(place).map_err(|error| {
        Failure::network(
            format!("{place}: {error}"),
            "--port chooses another port, and 0 a free one; --address another address.",
        )
    })?;
    let address = server.server_addr();
    node.ask()?;
    let shared = Arc::new(Shared {
        node,
        names: Names::new(args.address, &args.names),
        filter: args.filter.clone(),
        state: Mutex::default(),
        changed: Condvar::new(),
        read_at: AtomicU64::new(show::unix_ms()),
        ended,
    });
    anstream::eprintln!("http://{address}/");
    let answering = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || answer(&server, &shared))
    };
    let followed = follow(&shared);
    shared.ended.store(true, Ordering::Relaxed);
    shared.changed.notify_all();
    // It looks at the end ten times a second.
    let _ = answering.join();
    followed.map(|()| FOUND.into())
}

/// Takes requests until the end.
fn answer(server: &Server, shared: &Arc<Shared>) {
    let open = Arc::new(AtomicUsize::new(0));
    while !shared.ended.load(Ordering::Relaxed) {
        if let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(100)) {
            server::serve(request, shared, &open);
        }
    }
}

/// Follows the nodes until the end.
fn follow(shared: &Shared) -> Result<(), Failure> {
    let node = &shared.node;
    let started = Instant::now();
    let (mut again, mut looked) = (false, None::<Instant>);
    while !shared.ended.load(Ordering::Relaxed) {
        if !again && started.elapsed() >= ASK_AGAIN {
            again = true;
            node.ask()?;
        }
        let mut events = match node.next_event(Some(LOOK)) {
            Ok(event) => vec![event],
            Err(NoEvent::TimedOut) => Vec::new(),
            Err(end) => return Err(end.into()),
        };
        events.extend(std::iter::from_fn(|| node.event_source().try_next()));
        let now = show::unix_ms();
        shared.read_at.store(now, Ordering::Relaxed);
        let is_due = looked.is_none_or(|at| at.elapsed() >= LOOK);
        let peers = is_due.then(|| {
            let mut peers = node.nodes();
            peers.retain(|peer| shared.filter.holds_for(peer));
            looked = Some(Instant::now());
            peers
        });
        let mut state = shared.state();
        let before = state.timeline.version();
        events.iter().filter(|event| shared.wants(event)).for_each(|event| state.note(event, now));
        if let Some(peers) = peers {
            state.timeline.refresh(peers, now);
        }
        let is_new = state.timeline.version() != before;
        drop(state);
        if is_new {
            shared.changed.notify_all();
        }
    }
    Ok(())
}

impl Shared {
    /// Whether an event is about a wanted node, or about none.
    fn wants(&self, event: &caster_core::Event) -> bool {
        use caster_core::Event;
        match event {
            Event::Up(peer)
            | Event::Update { peer, .. }
            | Event::Down { peer, .. }
            | Event::Message { peer, .. } => self.filter.holds_for(peer),
            _ => true,
        }
    }
}
