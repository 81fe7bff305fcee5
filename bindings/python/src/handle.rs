//! `Handle`: a node or a caster of the core.

use crate::convert::{Payload, failed};
use crate::events;
use crate::interpreter::{is_ending, outside};
use crate::network::Network;
use crate::records;
use crate::signal::{self, Signal};
use crate::stage::Stage;
use crate::text::Text;
use crate::transit::{Transit, progress};
use caster_core::host::{EventSource, Progress};
use caster_core::middleware::HostStage;
use caster_core::{
    Caster, Error, ErrorCode, Identity, Key, Message, NoEvent, Node, NodeId, Options, PublicKey,
    Result, VirtualNetwork,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The longest wait without a check for signals.
const SLICE: Duration = Duration::from_millis(100);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

enum Core {
    Node(Box<Node>),
    Caster(Caster),
}

macro_rules! either {
    ($core:expr, $endpoint:ident => $body:expr) => {
        match $core {
            Core::Node($endpoint) => $body,
            Core::Caster($endpoint) => $body,
        }
    };
}

/// A node or a caster of the core. In a forked child every method raises.
#[pyclass(frozen, module = "caster._caster")]
pub struct Handle {
    /// `None` only while it is dropped.
    core: Option<Core>,
    network: Option<VirtualNetwork>,
    source: EventSource,
    /// Raised by the core's waker.
    wake: OnceLock<Arc<Signal>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let core = self.core.take();
        // Closing takes some milliseconds, in which other threads may run.
        Python::attach(|py| outside(py, || drop(core)));
    }
}

impl Handle {
    fn new(core: Core, network: Option<&Bound<'_, Network>>) -> Self {
        let network = network.map(|network| network.get().0.clone());
        let source = either!(&core, endpoint => endpoint.event_source());
        source.set_transits_apart(true);
        Self { core: Some(core), network, source, wake: OnceLock::new() }
    }

    fn core(&self, py: Python<'_>) -> PyResult<&Core> {
        self.source.check_process().map_err(|error| failed(py, &error))?;
        Ok(self.core.as_ref().expect("it is there until it is dropped"))
    }

    /// Calls the core without the GIL.
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Core) -> Result<R> + Send,
    ) -> PyResult<R> {
        let core = self.core(py)?;
        outside(py, || contained(|| work(core))).map_err(|error| failed(py, &error))
    }

    /// Calls a node of the core without the GIL; raises if this is a caster.
    fn with_node<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Node) -> Result<R> + Send,
    ) -> PyResult<R> {
        self.with(py, |core| match core {
            Core::Node(node) => work(node),
            Core::Caster(_) => Err(Error::new(ErrorCode::InvalidArgument, "this is not a node")),
        })
    }

    fn events(&self, py: Python<'_>) -> PyResult<&EventSource> {
        self.core(py).map(|_| &self.source)
    }

    /// Waits in slices until `next` has a result, and checks for signals meanwhile; or `once`, without
    /// slices. `None` if the source is closed; `Some(None)` after `left`.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        mut left: Duration,
        once: bool,
        next: impl Fn(Duration) -> std::result::Result<T, NoEvent> + Sync,
    ) -> PyResult<Option<Option<T>>> {
        loop {
            if is_ending() {
                return Ok(None);
            }
            let slice = left.min(SLICE);
            match outside(py, || next(slice)) {
                Ok(found) => return Ok(Some(Some(found))),
                Err(NoEvent::Closed) => return Ok(None),
                Err(NoEvent::TimedOut) => left -= slice,
                Err(NoEvent::Forked) => self.core(py).map(drop)?,
            }
            if once {
                return Ok(Some(None));
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(Some(None));
            }
        }
    }
}

/// A timeout in seconds; without one, or longer than a `Duration`, it is the longest.
fn duration(timeout: Option<f64>) -> Duration {
    timeout
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        .unwrap_or(Duration::MAX)
}

/// Returns a panic as an error.
fn contained<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let text = format!("a fault inside caster: {text}");
        Err(Error::new(ErrorCode::Internal, text))
    })
}

/// A key of secure mode: 32 bytes, or text.
fn read_key(py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Key> {
    let read = match key.cast::<PyBytes>() {
        Ok(bytes) => Key::from_bytes(bytes.as_bytes()),
        Err(_) => Key::from_text(&key.extract::<String>()?),
    };
    read.map_err(|error| failed(py, &error))
}

/// A new key of 32 random bytes.
#[pyfunction]
pub fn generate_key(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    let key = Key::generate().map_err(|error| failed(py, &error))?;
    Ok(PyBytes::new(py, key.as_bytes()))
}

/// The seed of a new identity: 32 random bytes.
#[pyfunction]
pub fn generate_identity(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    generate_key(py)
}

/// An identity: its seed of 32 bytes, or text.
fn read_identity(py: Python<'_>, seed: &Bound<'_, PyAny>) -> PyResult<Identity> {
    let seed = read_key(py, seed)?;
    Identity::from_bytes(seed.as_bytes()).map_err(|error| failed(py, &error))
}

/// The public key of an identity, as 64 hexadecimal digits: others trust it with the option `trust`.
#[pyfunction]
pub fn public_key(py: Python<'_>, seed: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(read_identity(py, seed)?.public_key().to_string())
}

/// A public key: 32 bytes, or text.
fn read_public_key(py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<PublicKey> {
    let read = match key.cast::<PyBytes>() {
        Ok(bytes) => PublicKey::from_bytes(bytes.as_bytes()),
        Err(_) => PublicKey::from_text(&key.extract::<String>()?),
    };
    read.map_err(|error| failed(py, &error))
}

/// Sets options by name: JSON texts, or bytes for secrets and keys.
fn read_options(
    py: Python<'_>,
    mut options: Options,
    given: &Bound<'_, PyDict>,
) -> PyResult<Options> {
    let names: Vec<String> = given.keys().extract()?;
    options.check_spellings(&names).map_err(|error| failed(py, &error))?;
    for (name, value) in given {
        let name: String = name.extract()?;
        if name == "keys" {
            let keys = value.try_iter()?.map(|key| read_key(py, &key?));
            options = options.keys(keys.collect::<PyResult<Vec<_>>>()?);
            continue;
        }
        if name == "identity" {
            options.set_identity(read_identity(py, &value)?);
            continue;
        }
        if name == "trust" {
            let keys = value.try_iter()?.map(|key| read_public_key(py, &key?));
            options = options.trust(keys.collect::<PyResult<Vec<_>>>()?);
            continue;
        }
        let set = match value.cast::<PyBytes>() {
            Ok(bytes) => options.set_text(&name, bytes.extract::<Text>()?.0),
            Err(_) => options.set_json(&name, &value.extract::<String>()?),
        };
        set.map_err(|error| failed(py, &error))?;
    }
    Ok(options)
}

#[pymethods]
impl Handle {
    #[staticmethod]
    #[pyo3(signature = (options, network=None))]
    fn node(
        py: Python<'_>,
        options: &Bound<'_, PyDict>,
        network: Option<&Bound<'_, Network>>,
    ) -> PyResult<Self> {
        let options = read_options(py, Options::for_node(), options)?;
        let node = contained(|| match network {
            Some(network) => network.get().0.node(&options),
            None => Node::new(&options),
        });
        let node = node.map_err(|error| failed(py, &error))?;
        Ok(Self::new(Core::Node(Box::new(node)), network))
    }

    #[staticmethod]
    #[pyo3(signature = (options, network=None))]
    fn caster(
        py: Python<'_>,
        options: &Bound<'_, PyDict>,
        network: Option<&Bound<'_, Network>>,
    ) -> PyResult<Self> {
        let options = read_options(py, Options::for_caster(), options)?;
        let caster = contained(|| match network {
            Some(network) => network.get().0.caster(&options),
            None => Caster::new(&options),
        });
        let caster = caster.map_err(|error| failed(py, &error))?;
        Ok(Self::new(Core::Caster(caster), network))
    }

    /// Raises if this belongs to another process.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.core(py).map(drop)
    }

    fn open(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |core| match core {
            Core::Node(node) => node.up(),
            Core::Caster(caster) => caster.bind(),
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |core| match core {
            Core::Node(node) => node.down(),
            Core::Caster(caster) => caster.close(),
        })
    }

    #[getter]
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |core| {
            Ok(match core {
                Core::Node(node) => node.is_up(),
                Core::Caster(caster) => caster.is_bound(),
            })
        })
    }

    /// Raises if a node is not up.
    fn check_up(&self, py: Python<'_>) -> PyResult<()> {
        self.with_node(py, |node| match node.is_up() {
            true => Ok(()),
            false => Err(Error::not_up()),
        })
    }

    /// Raises if a node is not up, or a caster is not bound.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |core| match core {
            Core::Node(node) if !node.is_up() => Err(Error::not_up()),
            Core::Caster(caster) if !caster.is_bound() => Err(Error::not_bound()),
            _ => Ok(()),
        })
    }

    fn send<'py>(&self, py: Python<'py>, message: Payload) -> PyResult<Bound<'py, PyAny>> {
        let message = message.into_message();
        let sent = self.with(py, |core| match core {
            Core::Node(node) => node.start_send(Some(&message)),
            Core::Caster(caster) => caster.start_send(message),
        })?;
        progress(py, sent)
    }

    /// Sends all of them; returns the number of bytes on the wire.
    fn send_batch(&self, py: Python<'_>, messages: Vec<Payload>) -> PyResult<usize> {
        let messages: Vec<Message> = messages.into_iter().map(Payload::into_message).collect();
        self.with(py, |core| match core {
            Core::Node(node) => node.send_batch(&messages),
            Core::Caster(caster) => caster.send_batch(messages),
        })
    }

    fn resume<'py>(
        &self,
        py: Python<'py>,
        transit: &Transit,
        message: Payload,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut transit = transit.take()?;
        transit.set_message(message.into_message());
        let resumed: Progress =
            self.with(py, |core| either!(core, endpoint => endpoint.resume(transit)))?;
        progress(py, resumed)
    }

    fn fail(&self, py: Python<'_>, transit: &Transit, why: &str) -> PyResult<()> {
        let transit = transit.take()?;
        self.with(py, |core| {
            either!(core, endpoint => endpoint.fail(transit, why));
            Ok(())
        })
    }

    fn use_stage(&self, py: Python<'_>, stage: &Stage) -> PyResult<()> {
        let stage = stage.inner().clone();
        self.with(py, |core| either!(core, endpoint => endpoint.use_stage(stage)))
    }

    fn use_host_stage(
        &self,
        py: Python<'_>,
        name: &str,
        token: u64,
        tx: bool,
        rx: bool,
    ) -> PyResult<()> {
        let stage = HostStage { name: name.into(), token, tx, rx };
        self.with(py, |core| either!(core, endpoint => endpoint.use_stage(stage)))
    }

    #[getter]
    fn stage_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |core| Ok(either!(core, endpoint => endpoint.stage_names())))
    }

    /// Takes up to `limit` events. Waits for the first for `timeout` seconds, or without a limit,
    /// and checks for signals meanwhile. Returns `None` if the queue is empty and closed. On a virtual
    /// network `advance` lets virtual time pass, for at most a day.
    ///
    /// With `interrupts`, a value of that attribute, it also ends at the next `interrupt`; it checks for
    /// no signals then, so it is for threads that do not handle them.
    #[pyo3(signature = (limit, timeout, advance=true, interrupts=None))]
    fn take<'py>(
        &self,
        py: Python<'py>,
        limit: usize,
        timeout: Option<f64>,
        advance: bool,
        interrupts: Option<u32>,
    ) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let source = self.events(py)?;
        let core = self.core(py)?;
        let advance = advance && self.network.is_some();
        let left = if advance { duration(timeout).min(DAY) } else { duration(timeout) };
        let next = |slice| match (advance, interrupts) {
            (true, _) => either!(core, endpoint => endpoint.next_event(Some(slice))),
            (false, None) => source.next_timeout(Some(slice)),
            (false, Some(interrupts)) => source.next_or_interrupt(None, interrupts),
        };
        let first = match self.wait(py, left, interrupts.is_some(), next)? {
            Some(Some(first)) => first,
            Some(None) => return Ok(Some(Vec::new())),
            None => return Ok(None),
        };
        let mut batch = vec![first];
        source.take_batch(&mut batch, limit.saturating_sub(1));
        let mut taken = Vec::with_capacity(batch.len());
        for event in batch {
            events::push(py, event, &mut taken)?;
        }
        Ok(Some(taken))
    }

    /// Takes up to `limit` messages that are suspended at middleware written in Python. Waits for
    /// the first as `take` does, by the clock of the system. Returns `None` if none will come.
    #[pyo3(signature = (limit, timeout, interrupts=None))]
    fn take_transits(
        &self,
        py: Python<'_>,
        limit: usize,
        timeout: Option<f64>,
        interrupts: Option<u32>,
    ) -> PyResult<Option<Vec<Transit>>> {
        let source = self.events(py)?;
        let next = |slice| match interrupts {
            None => source.next_transit(Some(slice)),
            Some(interrupts) => source.next_transit_or_interrupt(None, interrupts),
        };
        let first = self.wait(py, duration(timeout), interrupts.is_some(), next)?;
        let Some(first) = first else { return Ok(None) };
        let mut transits: Vec<_> = first.into_iter().collect();
        let more = limit.saturating_sub(transits.len());
        source.take_transits(&mut transits, more);
        Ok(Some(transits.into_iter().map(Transit::new).collect()))
    }

    /// A descriptor that becomes readable when a suspended message is queued and when this is
    /// closed. `clear_wake` makes it unreadable again.
    fn wake_fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let source = self.events(py)?;
        if self.wake.get().is_none() {
            let signal = Arc::new(Signal::new()?);
            if self.wake.set(signal.clone()).is_ok() {
                source.set_waker(Some(Arc::new(move || signal.raise())));
            }
        }
        Ok(self.wake.get().map_or(-1, |signal| signal.fileno()))
    }

    fn clear_wake(&self) {
        if let Some(signal) = self.wake.get() {
            signal.clear();
        }
    }

    /// Starts to close; the core goes on. `is_closed` says when it is done.
    fn start_close(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |core| match core {
            Core::Node(node) => node.start_down(),
            Core::Caster(caster) => caster.close(),
        })
    }

    #[getter]
    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.events(py)?.is_open())
    }

    /// The number of calls of `interrupt`.
    #[getter]
    fn interrupts(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.events(py)?.interrupts())
    }

    /// Ends the waits of other threads in `take` and `take_transits` that have got `interrupts`.
    fn interrupt(&self) {
        self.source.interrupt();
    }

    /// The number of queued events.
    #[getter]
    fn waiting(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.events(py)?.len())
    }

    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        signal::fileno_of(self.events(py)?)
    }

    fn stats_json(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |core| Ok(either!(core, endpoint => endpoint.stats().to_json())))
    }

    #[getter]
    fn multicast(&self, py: Python<'_>) -> PyResult<String> {
        Ok(either!(self.core(py)?, endpoint => endpoint.multicast().to_string()))
    }

    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        Ok(either!(self.core(py)?, endpoint => endpoint.scoped_address()))
    }

    #[getter]
    fn port(&self, py: Python<'_>) -> PyResult<u16> {
        Ok(either!(self.core(py)?, endpoint => endpoint.port()))
    }

    #[getter]
    fn id_json(&self, py: Python<'_>) -> PyResult<String> {
        self.with_node(py, |node| Ok(node.id().as_json().to_owned()))
    }

    #[getter]
    fn meta_json(&self, py: Python<'_>) -> PyResult<String> {
        self.with_node(py, |node| Ok(node.meta_json().to_string()))
    }

    fn add_key(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let key = read_key(py, key)?;
        self.with_node(py, |node| node.add_key(&key))
    }

    fn use_key(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let id = read_key(py, key)?.id();
        self.with_node(py, |node| node.use_key(id))
    }

    fn remove_key(&self, py: Python<'_>, key: &Bound<'_, PyAny>, now: bool) -> PyResult<()> {
        let id = read_key(py, key)?.id();
        self.with_node(py, |node| if now { node.remove_key_now(id) } else { node.remove_key(id) })
    }

    fn key_of(&self, py: Python<'_>, id: &str) -> PyResult<Option<String>> {
        self.with_node(py, |node| Ok(node.key_of(&NodeId::new(id)?).map(|key| key.to_string())))
    }

    fn identity_of(&self, py: Python<'_>, id: &str) -> PyResult<Option<String>> {
        self.with_node(py, |node| {
            Ok(node.identity_of(&NodeId::new(id)?).map(|key| key.to_string()))
        })
    }

    fn forget_sealed(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        self.with_node(py, |node| Ok(node.forget_sealed(&NodeId::new(id)?)))
    }

    fn key_ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with_node(py, |node| Ok(node.key_ids().iter().map(ToString::to_string).collect()))
    }

    fn set_meta(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        self.with_node(py, |node| node.set_meta_json(json))
    }

    fn update_meta(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        self.with_node(py, |node| node.update_meta_json(json).map(drop))
    }

    #[getter]
    fn heartbeat(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_node(py, |node| Ok(node.heartbeat().as_millis() as u64))
    }

    #[getter]
    fn timeout(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_node(py, |node| Ok(node.timeout().as_millis() as u64))
    }

    #[getter]
    fn expose(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_node(py, |node| Ok(node.is_exposed()))
    }

    /// The peers by id.
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let peers = self.with_node(py, |node| Ok(node.nodes()))?;
        events::peers_dict(py, peers)
    }

    /// The peers whose metadata has all these keys, with the values that are given.
    fn find<'py>(
        &self,
        py: Python<'py>,
        wanted: Vec<(String, Option<String>)>,
    ) -> PyResult<Vec<Bound<'py, records::Peer>>> {
        let found = self.with_node(py, |node| {
            let wanted = wanted.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
            Ok(node.find_all(&wanted.collect::<Vec<_>>()))
        })?;
        found.into_iter().map(|peer| Bound::new(py, records::Peer::of(peer))).collect()
    }

    #[getter]
    fn node_count(&self, py: Python<'_>) -> PyResult<usize> {
        self.with_node(py, |node| Ok(node.node_count()))
    }

    /// The peer with this id.
    fn peer(&self, py: Python<'_>, id: &Bound<'_, PyString>) -> PyResult<Option<records::Peer>> {
        let id = Text::of(id)?.0;
        let peer = self.with_node(py, |node| {
            let Ok(id) = NodeId::from_js(&id) else { return Ok(None) };
            let text = id.as_str();
            Ok(match text.contains('\u{FFFD}') {
                // It may stand for a lone surrogate.
                true => node.nodes().into_iter().find(|peer| peer.id == id),
                false => node.node(&text),
            })
        })?;
        Ok(peer.map(records::Peer::of))
    }
}

/// The table of options: name, whether a caster has it, and its kind.
#[pyfunction]
pub fn option_table() -> Vec<(&'static str, bool, String)> {
    let rows = caster_core::options::TABLE.iter();
    rows.map(|spec| (spec.name, spec.caster, format!("{:?}", spec.kind))).collect()
}

/// Panics as a fault of the core would; for the tests of this package.
#[pyfunction]
pub fn fault(py: Python<'_>, text: &str) -> PyResult<()> {
    outside(py, || contained(|| -> Result<()> { panic!("{text}") }))
        .map_err(|error| failed(py, &error))
}
