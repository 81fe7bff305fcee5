//! Values of the core as Python objects.

use crate::stage::Transit;
use caster_core::host::Progress;
use caster_core::{Changed, Error, Event, Message, MessageKind, Peer, Remote};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// The exception for an error of the core: an object of one of the classes in `caster.errors`.
pub fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let (code, text) = (error.code().name(), error.message());
    py.import("caster.errors")?.call_method1("from_core", (code, text, error.os_error()))
}

/// An error of the core, to be raised.
pub fn failed(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A message on its way from Python: JSON text (`str`) or bytes.
#[derive(FromPyObject)]
pub enum Payload {
    /// JSON text.
    Json(String),
    /// Anything else.
    Bytes(PyBackedBytes),
}

impl Payload {
    pub fn into_message(self) -> caster_core::Result<Message> {
        match self {
            Payload::Json(text) => Message::json(text),
            Payload::Bytes(bytes) => Ok(Message::bytes(&*bytes)),
        }
    }

    /// The other way round.
    pub fn to_python<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
        Ok(match message.kind() {
            MessageKind::Json => PyString::from_bytes(py, message.data())?.into_any(),
            MessageKind::Bytes => PyBytes::new(py, message.data()).into_any(),
        })
    }
}

/// The number of bytes sent, or the message that waits for Python.
pub fn progress(py: Python<'_>, progress: Progress) -> PyResult<Bound<'_, PyAny>> {
    match progress {
        Progress::Done(bytes) => Ok(bytes.into_pyobject(py)?.into_any()),
        Progress::Host(transit) => Ok(Bound::new(py, Transit::new(transit))?.into_any()),
    }
}

/// `(id as JSON, address, first seen, last seen, metadata as JSON or None, whether it is suspect,
/// loss from 0 to 1)`.
pub fn peer_tuple<'py>(py: Python<'py>, peer: &Peer) -> PyResult<Bound<'py, PyTuple>> {
    let address = peer.address.to_string();
    let meta = peer.meta.as_deref();
    let loss = f64::from(peer.loss_per_mille) / 1000.0;
    (peer.id.as_json(), address, peer.first_seen, peer.last_seen, meta, peer.suspect, loss)
        .into_pyobject(py)
}

/// `(address, port, family, size)`.
pub fn remote_tuple<'py>(py: Python<'py>, remote: &Remote) -> PyResult<Bound<'py, PyTuple>> {
    let Remote { address, size, .. } = remote;
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    (address.ip().to_string(), address.port(), family, size).into_pyobject(py)
}

/// An event as a tuple that starts with a word for its kind; `None` for kinds that this package
/// does not know.
pub fn event_tuple(py: Python<'_>, event: Event) -> PyResult<Option<Bound<'_, PyTuple>>> {
    Ok(Some(match event {
        Event::Up(peer) => ("up", peer_tuple(py, &peer)?).into_pyobject(py)?,
        Event::Update { peer, changed } => {
            let Changed { meta, address, .. } = changed;
            let names = [(meta, "meta"), (address, "address")];
            let names = names.into_iter().filter(|(is, _)| *is).map(|(_, name)| name);
            let changed = PyTuple::new(py, names.collect::<Vec<_>>())?;
            ("update", peer_tuple(py, &peer)?, changed).into_pyobject(py)?
        }
        Event::Down { peer, reason } => {
            ("down", peer_tuple(py, &peer)?, reason.as_str()).into_pyobject(py)?
        }
        Event::Conflict { id, address } => {
            ("conflict", id.as_json(), address.to_string()).into_pyobject(py)?
        }
        Event::Isolated => ("isolated",).into_pyobject(py)?,
        Event::Rejoined => ("rejoined",).into_pyobject(py)?,
        Event::Hint(text) => ("hint", &*text).into_pyobject(py)?,
        Event::Message { message, peer } => {
            let payload = Payload::to_python(py, &message)?;
            ("message", payload, peer_tuple(py, &peer)?).into_pyobject(py)?
        }
        Event::Datagram { message, remote } => {
            let payload = Payload::to_python(py, &message)?;
            ("datagram", payload, remote_tuple(py, &remote)?).into_pyobject(py)?
        }
        Event::Error(error) => ("error", exception(py, &error)?).into_pyobject(py)?,
        Event::HostStage(transit) => ("stage", Transit::new(transit)).into_pyobject(py)?,
        _ => return Ok(None),
    }))
}
