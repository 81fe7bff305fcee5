//! The Rust programs of the benchmarks: the core as receiver, sender, ping, pong, follower and idle
//! node, and the maker of the datagrams that all are fed with. bench/README.md has the
//! protocol between such a program and `bench.py`.

mod pool;
mod process;

use caster_core::host::EventSource;
use caster_core::middleware::{Crypto, Hash, Json};
use caster_core::{Caster, Event, Message, NoEvent, Node, Options};
use process::{Arguments, cpu_us, monotonic_ns, tell};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const WARM_UP: u64 = 200;

/// The number of bytes that a node with an id of five characters adds to a message.
const ENVELOPE: usize = r#"{"id":"bench","message":}"#.len();

/// How many events are taken from the queue at once.
const BATCH: usize = 256;

fn main() -> Result<()> {
    let arguments = Arguments::of_process();
    match arguments.role() {
        "pool" => pool::write(&arguments),
        "receive" => receive(&arguments),
        "send" => send(&arguments),
        "ping" => ping(&arguments),
        "pong" => pong(&arguments),
        "follow" => follow(&arguments),
        "idle" => idle(&arguments),
        "crowd" => crowd(&arguments),
        "peer" => peer(&arguments),
        other => Err(format!("no role {other:?}").into()),
    }
}

/// The limits that protect a program on a hostile network are far above what a benchmark sends
/// only if they are raised.
fn options(base: Options, arguments: &Arguments) -> Result<Options> {
    let mut options =
        base.with("port", &arguments.number("port", 10101.0)).with("maxDatagrams", &1_000_000_000);
    options.merge_json(arguments.text("options", "{}"))?;
    Ok(options)
}

fn node(arguments: &Arguments) -> Result<Node> {
    let mut base = Options::for_node().with("maxNodes", &1_000_000).with("maxNewNodes", &1_000_000);
    if ["ping", "pong", "send"].contains(&arguments.role()) {
        // As long as the id in the other stacks.
        base = base.with("id", &format!("{:5}", arguments.role()));
    }
    if arguments.text("stack", "") == "crypto" {
        base = base.with("crypto", &true);
    }
    Ok(Node::new(&options(base, arguments)?)?)
}

/// A caster with the stages that the argument `stack` names: `raw`, `hash` or `crypto`.
fn caster(arguments: &Arguments) -> Result<Caster> {
    let base = Options::for_caster()
        .with("port", &arguments.number("port", 10101.0))
        .with("maxDatagrams", &1_000_000_000)
        .with("loopback", &(arguments.role() != "send" || arguments.number("loopback", 0.0) > 0.0))
        .with("spin", &arguments.number("spin", 0.0));
    let caster = Caster::new(&base)?;
    let stack = arguments.text("stack", "hash");
    if stack != "raw" {
        caster.use_stage(Json::new())?;
        caster.use_stage(Hash::new(&Default::default())?)?;
    }
    if stack == "crypto" {
        caster.use_stage(Crypto::new(&Default::default())?)?;
    }
    caster.bind()?;
    Ok(caster)
}

/// The sender and receiver of the rows of sending and of round trips: a caster, or a node with the
/// stack `node`.
enum Party {
    Caster(Caster),
    Node(Box<Node>),
}

impl Party {
    fn open(arguments: &Arguments) -> Result<Self> {
        if arguments.text("stack", "hash") != "node" {
            return Ok(Self::Caster(caster(arguments)?));
        }
        let node = node(arguments)?;
        node.up()?;
        Ok(Self::Node(Box::new(node)))
    }

    fn send(&self, message: Message) -> Result<()> {
        match self {
            Self::Caster(caster) => caster.send_message(message)?,
            Self::Node(node) => node.send_message(&message)?,
        };
        Ok(())
    }

    fn send_batch(&self, messages: Vec<Message>) -> Result<()> {
        match self {
            Self::Caster(caster) => caster.send_batch(messages)?,
            Self::Node(node) => node.send_batch(&messages)?,
        };
        Ok(())
    }

    fn next_event(&self, timeout: Option<Duration>) -> std::result::Result<Event, NoEvent> {
        match self {
            Self::Caster(caster) => caster.next_event(timeout),
            Self::Node(node) => node.next_event(timeout),
        }
    }
}

/// The number of datagrams received.
#[derive(Default)]
struct Tally {
    messages: AtomicU64,
    ups: AtomicU64,
    downs: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

impl Tally {
    fn take(&self, event: &Event) {
        match event {
            Event::Datagram { .. } | Event::Message { .. } => self.take_message(),
            Event::Up(_) => {
                self.ups.fetch_add(1, Ordering::Relaxed);
            }
            Event::Down { .. } => {
                self.downs.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn take_message(&self) {
        if self.messages.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.store(monotonic_ns(), Ordering::Relaxed);
        }
    }

    /// Takes all events until the source is closed.
    fn run(&self, events: &EventSource) {
        let mut batch = Vec::new();
        loop {
            while events.take_batch(&mut batch, BATCH) > 0 {
                batch.drain(..).for_each(|event| self.take(&event));
            }
            self.last.store(monotonic_ns(), Ordering::Relaxed);
            match events.next_timeout(Some(Duration::from_secs(1))) {
                Ok(event) => self.take(&event),
                Err(NoEvent::Closed | NoEvent::Forked) => return,
                Err(NoEvent::TimedOut) => {}
            }
        }
    }
}

fn receive(arguments: &Arguments) -> Result<()> {
    let tally = Arc::<Tally>::default();
    let (events, stats): (_, Box<dyn Fn() -> String + Send>) = match arguments.text("stack", "hash")
    {
        "node" => {
            let node = node(arguments)?;
            node.up()?;
            (node.event_source(), Box::new(move || node.stats().to_json()))
        }
        _ => {
            let caster = caster(arguments)?;
            (caster.event_source(), Box::new(move || caster.stats().to_json()))
        }
    };
    report_on_request(tally.clone(), stats);
    tally.run(&events);
    Ok(())
}

fn follow(arguments: &Arguments) -> Result<()> {
    let tally = Arc::<Tally>::default();
    let node = node(arguments)?;
    node.up()?;
    let events = node.event_source();
    report_on_request(tally.clone(), Box::new(move || node.stats().to_json()));
    tally.run(&events);
    Ok(())
}

fn report_on_request(tally: Arc<Tally>, stats: Box<dyn Fn() -> String + Send>) {
    let before = cpu_us();
    process::serve(move |event| {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats: serde_json::Value = serde_json::from_str(&stats()).unwrap_or_default();
        let rejected = stats["dropped"]["hash"].as_u64();
        tell(&json!({
            "ev": event,
            "messages": read(&tally.messages),
            "rejected": rejected,
            "ups": read(&tally.ups),
            "downs": read(&tally.downs),
            "first": tally.first.load(Ordering::Relaxed),
            "last": tally.last.load(Ordering::Relaxed),
            "cpu_us": cpu_us() - before,
            "private_kb": process::private_kb(),
            "stats": stats,
        }));
    });
}

/// A message of the given size on the wire before digest and encryption.
fn payload(stack: &str, tag: char, sequence: u64, size: usize) -> Vec<u8> {
    let (head, tail) = match stack {
        "raw" => ("", ""),
        // The rest comes from the node.
        "node" => ("\"", "\""),
        _ => ("{\"id\":\"bench\",\"message\":\"", "\"}"),
    };
    let size = if stack == "node" { size.saturating_sub(ENVELOPE) } else { size };
    let mut text = Vec::with_capacity(size);
    text.extend_from_slice(head.as_bytes());
    text.push(tag as u8);
    text.extend((0..8).rev().map(|place| b'0' + (sequence / 10u64.pow(place) % 10) as u8));
    text.resize(size.saturating_sub(tail.len()).max(text.len()), b'x');
    text.extend_from_slice(tail.as_bytes());
    text
}

fn as_message(stack: &str, payload: Vec<u8>) -> Result<Message> {
    match stack {
        "raw" => Ok(Message::bytes(payload)),
        _ => Ok(Message::json(String::from_utf8(payload)?)?),
    }
}

fn send(arguments: &Arguments) -> Result<()> {
    let stack = arguments.text("stack", "hash");
    let size = arguments.number("size", 64.0) as usize;
    let seconds = Duration::from_secs_f64(arguments.number("seconds", 1.0));
    let party = Party::open(arguments)?;
    let (mut sent, mut errors) = (0u64, 0u64);
    let (cpu, start) = (cpu_us(), monotonic_ns());
    let end = start + seconds.as_nanos() as i64;
    let batch = arguments.number("batch", 0.0) as u64;
    while monotonic_ns() < end {
        if batch > 0 {
            let message = |n| as_message(stack, payload(stack, 'Q', sent + n, size));
            match party.send_batch((0..batch).map(message).collect::<Result<Vec<_>>>()?) {
                Ok(_) => sent += batch,
                Err(_) => errors += batch,
            }
            continue;
        }
        for _ in 0..16 {
            match party.send(as_message(stack, payload(stack, 'Q', sent, size))?) {
                Ok(_) => sent += 1,
                Err(_) => errors += 1,
            }
        }
    }
    let seconds = (monotonic_ns() - start) as f64 / 1e9;
    tell(
        &json!({"ev": "done", "sent": sent, "errors": errors, "seconds": seconds, "cpu_us": cpu_us() - cpu}),
    );
    Ok(())
}

/// The tag and number of a message that [`payload`] made.
fn tag_and_sequence(message: &Message) -> Option<(u8, u64)> {
    const HEAD: &[u8] = b"{\"id\":\"bench\",\"message\":\"";
    let data = message.data();
    let text = data.strip_prefix(HEAD).or(data.strip_prefix(b"\"")).unwrap_or(data);
    let number = std::str::from_utf8(text.get(1..9)?).ok()?.parse().ok()?;
    Some((text[0], number))
}

fn ping(arguments: &Arguments) -> Result<()> {
    let stack = arguments.text("stack", "hash");
    let size = arguments.number("size", 64.0) as usize;
    let count = arguments.number("count", 2000.0) as u64;
    let party = Party::open(arguments)?;
    tell(&json!({"ev": "ready"}));
    let (mut took, mut lost) = (Vec::new(), 0);
    for sequence in 0..count + WARM_UP {
        let start = monotonic_ns();
        party.send(as_message(stack, payload(stack, 'Q', sequence, size))?)?;
        loop {
            match party.next_event(Some(Duration::from_millis(200))) {
                Ok(Event::Datagram { message, .. } | Event::Message { message, .. })
                    if tag_and_sequence(&message) == Some((b'R', sequence)) =>
                {
                    if sequence >= WARM_UP {
                        took.push(monotonic_ns() - start);
                    }
                    break;
                }
                Ok(_) => {}
                Err(_) => {
                    lost += 1;
                    break;
                }
            }
        }
    }
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).map_or(0.0, |&ns| ns as f64 / 1e3);
    tell(
        &json!({"ev": "done", "count": took.len(), "lost": lost, "p50_us": at(50), "p99_us": at(99)}),
    );
    Ok(())
}

fn pong(arguments: &Arguments) -> Result<()> {
    let stack = arguments.text("stack", "hash");
    let size = arguments.number("size", 64.0) as usize;
    let party = Party::open(arguments)?;
    process::serve(|_| {});
    while let Ok(event) = party.next_event(None) {
        let (Event::Datagram { message, .. } | Event::Message { message, .. }) = event else {
            continue;
        };
        if let Some((b'Q', sequence)) = tag_and_sequence(&message) {
            party.send(as_message(stack, payload(stack, 'R', sequence, size))?)?;
        }
    }
    Ok(())
}

/// A node that does nothing but be there, until it is killed.
fn idle(arguments: &Arguments) -> Result<()> {
    let node = node(arguments)?;
    node.up()?;
    tell(&json!({"ev": "ready"}));
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Many nodes in this process.
fn crowd(arguments: &Arguments) -> Result<()> {
    let count = arguments.number("count", 1000.0) as usize;
    let nodes = (0..count).map(|_| node(arguments)).collect::<Result<Vec<_>>>()?;
    for node in &nodes {
        node.up()?;
    }
    let before = cpu_us();
    process::serve(move |event| {
        let known: Vec<usize> = nodes.iter().map(Node::node_count).collect();
        let mut downs = 0;
        for node in &nodes {
            while let Some(event) = node.event_source().try_next() {
                downs += usize::from(matches!(event, Event::Down { .. }));
            }
        }
        tell(&json!({
            "ev": event,
            "fewest": known.iter().min(),
            "downs": downs,
            "cpu_us": cpu_us() - before,
            "private_kb": process::private_kb(),
        }));
    });
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// A node that tells which nodes come and go, and when; it goes down when standard input ends.
fn peer(arguments: &Arguments) -> Result<()> {
    let node = Arc::new(node(arguments)?);
    let began = monotonic_ns();
    node.up()?;
    let events = node.event_source();
    tell(&json!({"ev": "ready", "began": began, "id": node.id().as_str()}));
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
        let began = monotonic_ns();
        let _ = node.down();
        tell(&json!({"ev": "gone", "began": began}));
        std::process::exit(0);
    });
    loop {
        match events.next_timeout(None) {
            Ok(Event::Up(peer)) => {
                tell(&json!({"ev": "up", "id": peer.id.as_str(), "t": monotonic_ns()}));
            }
            Ok(Event::Down { peer, .. }) => {
                tell(&json!({"ev": "down", "id": peer.id.as_str(), "t": monotonic_ns()}));
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
