//! The classes of events and of what they carry: frozen records, like Python's frozen dataclasses.
//!
//! They are written in Rust because a program may get hundreds of thousands a second. Fields that
//! are expensive and seldom read (the sender of a message, metadata) are made on first access.

use crate::convert::json_value;
use caster_core as core;
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

/// A value that is made at most once, possibly on first access.
pub type Cell = PyOnceLock<Py<PyAny>>;
pub type Object<'py> = PyResult<Bound<'py, PyAny>>;

fn filled(py: Python<'_>, value: Py<PyAny>) -> Cell {
    let cell = Cell::new();
    let _ = cell.set(py, value);
    cell
}

fn get_or<'py>(py: Python<'py>, cell: &Cell, make: impl FnOnce() -> Object<'py>) -> Object<'py> {
    cell.get_or_try_init(py, || make().map(Bound::unbind)).map(|value| value.bind(py).clone())
}

/// Behaviour of all records: they are equal if their fields are, immutable, and can be matched,
/// hashed, copied and pickled.
trait Record {
    const FIELDS: &'static [&'static str];
    /// Fields that hold any JSON value, which may not be hashable.
    const UNHASHED: &'static [&'static str];

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>>;

    fn hash(&self, py: Python<'_>) -> PyResult<isize> {
        let values = self.values(py)?;
        let kept = Self::FIELDS.iter().zip(values.iter());
        let kept = kept.filter(|(field, _)| !Self::UNHASHED.contains(field));
        PyTuple::new(py, kept.map(|(_, value)| value).collect::<Vec<_>>())?.hash()
    }

    fn repr(&self, py: Python<'_>, class: &str) -> PyResult<String> {
        let mut parts = Vec::new();
        for (field, value) in Self::FIELDS.iter().zip(self.values(py)?.iter()) {
            parts.push(format!("{field}={}", value.repr()?.to_string_lossy()));
        }
        Ok(format!("{class}({})", parts.join(", ")))
    }

    /// A record with some values replaced.
    fn replaced<'py>(
        &self,
        py: Python<'py>,
        class: Bound<'py, PyType>,
        changes: Option<&Bound<'py, PyDict>>,
    ) -> Object<'py> {
        let all = PyDict::new(py);
        for (field, value) in Self::FIELDS.iter().zip(self.values(py)?.iter()) {
            all.set_item(field, value)?;
        }
        if let Some(changes) = changes {
            all.update(changes.as_mapping())?;
        }
        class.call((), Some(&all))
    }
}

fn frozen(py: Python<'_>, what: &str, name: &Bound<'_, PyString>) -> PyErr {
    let text = format!("cannot {what} field {name:?}");
    let class = py.import("dataclasses").and_then(|module| module.getattr("FrozenInstanceError"));
    match class.and_then(|class| class.call1((text,))) {
        Ok(error) => PyErr::from_value(error),
        Err(_) => PyAttributeError::new_err("it cannot be changed"),
    }
}

macro_rules! record {
    (
        $class:ident, fields: [$($field:ident),*], unhashed: [$($unhashed:ident),*], $(name: $name:literal,)?
        { $($methods:tt)* }
    ) => {
        impl Record for $class {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
            const UNHASHED: &'static [&'static str] = &[$(stringify!($unhashed)),*];

            fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                let values: Vec<Bound<'py, PyAny>> = vec![$(self.$field(py)?),*];
                PyTuple::new(py, values)
            }
        }

        #[pymethods]
        impl $class {
            $($methods)*

            $(
                #[classattr]
                #[allow(non_upper_case_globals, reason = "Python's name for it")]
                const name: &'static str = $name;
            )?

            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
                PyTuple::new(py, Self::FIELDS)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.repr(py, stringify!($class))
            }

            fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
                self.hash(py)
            }

            fn __richcmp__<'py>(
                &self,
                py: Python<'py>,
                other: &Bound<'py, PyAny>,
                op: CompareOp,
            ) -> Object<'py> {
                let Ok(other) = other.cast::<Self>() else {
                    return Ok(py.NotImplemented().into_bound(py));
                };
                match op {
                    CompareOp::Eq | CompareOp::Ne => {
                        self.values(py)?.rich_compare(other.get().values(py)?, op)
                    }
                    _ => Ok(py.NotImplemented().into_bound(py)),
                }
            }

            fn __setattr__(
                &self,
                py: Python<'_>,
                name: &Bound<'_, PyString>,
                _value: &Bound<'_, PyAny>,
            ) -> PyResult<()> {
                Err(frozen(py, "assign to", name))
            }

            fn __delattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<()> {
                Err(frozen(py, "delete", name))
            }

            #[pyo3(signature = (**changes))]
            fn __replace__<'py>(
                &self,
                py: Python<'py>,
                changes: Option<&Bound<'py, PyDict>>,
            ) -> Object<'py> {
                self.replaced(py, py.get_type::<Self>(), changes)
            }

            fn __reduce__<'py>(
                &self,
                py: Python<'py>,
            ) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
                Ok((py.get_type::<Self>(), self.values(py)?))
            }
        }
    };
}

pub fn object<'py, T: IntoPyObject<'py>>(py: Python<'py>, value: T) -> Object<'py> {
    value.into_bound_py_any(py)
}

/// An address of a node.
#[pyclass(frozen, module = "caster")]
pub struct PeerAddress {
    address: Py<PyAny>,
    interface: Py<PyAny>,
    last_seen: u64,
}

record!(PeerAddress, fields: [address, interface, last_seen], unhashed: [], {
    #[new]
    fn new(address: Py<PyAny>, interface: Py<PyAny>, last_seen: u64) -> Self {
        Self { address, interface, last_seen }
    }

    /// The source address of its datagrams.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.address.bind(py).clone())
    }

    /// The name of the local interface that received them; None if it is not known.
    #[getter]
    fn interface<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.interface.bind(py).clone())
    }

    /// The time of the last one, in milliseconds since 1970.
    #[getter]
    fn last_seen<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.last_seen)
    }
});

/// The state of another node at one moment.
#[pyclass(frozen, module = "caster")]
pub struct Peer {
    id: Cell,
    address: Cell,
    first_seen: u64,
    last_seen: u64,
    meta: Cell,
    suspect: bool,
    loss: f64,
    addresses: Cell,
    /// The source of the cells, if it came from the core.
    core: Option<core::Peer>,
}

impl Peer {
    pub fn of(peer: core::Peer) -> Self {
        Self {
            id: Cell::new(),
            address: Cell::new(),
            first_seen: peer.first_seen,
            last_seen: peer.last_seen,
            meta: Cell::new(),
            suspect: peer.suspect,
            loss: f64::from(peer.loss_per_mille) / 1000.0,
            addresses: Cell::new(),
            core: Some(peer),
        }
    }

    /// Reads the metadata. Returns the reason if it cannot be read; it is None then.
    pub fn read_meta(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let Some(text) = self.core.as_ref().and_then(|core| core.meta.as_deref()) else {
            return Ok(None);
        };
        match json_value(py, text.as_bytes())? {
            Ok(value) => {
                let _ = self.meta.set(py, value.unbind());
                Ok(None)
            }
            Err(why) => {
                let _ = self.meta.set(py, py.None());
                let id = self.id(py)?.repr()?;
                Ok(Some(format!("the metadata of {} cannot be read: {why}", id.to_string_lossy())))
            }
        }
    }

    fn core(&self) -> &core::Peer {
        self.core.as_ref().expect("all cells of others are filled")
    }
}

/// The Python string for an id.
pub fn id_object<'py>(py: Python<'py>, id: &core::NodeId) -> Object<'py> {
    let json = id.as_json();
    if json.contains('\\') {
        // It may hold a lone surrogate.
        return py.import("json")?.call_method1("loads", (json,));
    }
    Ok(PyString::new(py, &json[1..json.len() - 1]).into_any())
}

record!(
    Peer,
    fields: [id, address, first_seen, last_seen, meta, suspect, loss, addresses],
    unhashed: [meta],
    {
        #[new]
        #[pyo3(signature = (id, address, first_seen, last_seen, meta=None, suspect=false, loss=0.0, addresses=None))]
        #[pyo3(text_signature = "(id, address, first_seen, last_seen, meta=None, suspect=False, loss=0.0, addresses=())")]
        #[allow(clippy::too_many_arguments, reason = "they are keyword arguments")]
        fn new(
            py: Python<'_>,
            id: Py<PyAny>,
            address: Py<PyAny>,
            first_seen: u64,
            last_seen: u64,
            meta: Option<Py<PyAny>>,
            suspect: bool,
            loss: f64,
            addresses: Option<Bound<'_, PyTuple>>,
        ) -> Self {
            let addresses = addresses.unwrap_or_else(|| PyTuple::empty(py));
            Self {
                id: filled(py, id),
                address: filled(py, address),
                first_seen,
                last_seen,
                meta: filled(py, meta.unwrap_or_else(|| py.None())),
                suspect,
                loss,
                addresses: filled(py, addresses.into_any().unbind()),
                core: None,
            }
        }

        /// Its id. It may hold lone surrogates if the other program is written in JavaScript.
        #[getter]
        fn id<'py>(&self, py: Python<'py>) -> Object<'py> {
            get_or(py, &self.id, || id_object(py, &self.core().id))
        }

        /// The IP address of its most recent datagram's sender.
        #[getter]
        fn address<'py>(&self, py: Python<'py>) -> Object<'py> {
            get_or(py, &self.address, || object(py, self.core().scoped_address().to_string()))
        }

        /// The time of its first datagram, in milliseconds since 1970.
        #[getter]
        fn first_seen<'py>(&self, py: Python<'py>) -> Object<'py> {
            object(py, self.first_seen)
        }

        /// The time of its most recent datagram, in milliseconds since 1970.
        #[getter]
        fn last_seen<'py>(&self, py: Python<'py>) -> Object<'py> {
            object(py, self.last_seen)
        }

        /// Its metadata, any JSON value; None if it has none, or if Python cannot read it.
        #[getter]
        fn meta<'py>(&self, py: Python<'py>) -> Object<'py> {
            if self.meta.get(py).is_none() {
                self.read_meta(py)?;
            }
            get_or(py, &self.meta, || Ok(py.None().into_bound(py)))
        }

        /// Whether it has been silent for longer than its timeout allows and is being probed.
        #[getter]
        fn suspect<'py>(&self, py: Python<'py>) -> Object<'py> {
            object(py, self.suspect)
        }

        /// The share of its recent heartbeats that did not arrive, from 0 to 1.
        ///
        /// It is an estimate over the last few dozen heartbeats. It is 0 for nodes that do not number
        /// their heartbeats, such as those of caster 0.1.1.
        #[getter]
        fn loss<'py>(&self, py: Python<'py>) -> Object<'py> {
            object(py, self.loss)
        }

        /// All addresses from which its datagrams came, as a tuple of `PeerAddress`: `address`
        /// first, then from the best to the worst; at most 8.
        #[getter]
        fn addresses<'py>(&self, py: Python<'py>) -> Object<'py> {
            get_or(py, &self.addresses, || {
                let known = self.core().addresses.iter().map(|known| {
                    let interface = known.interface.as_ref().map(core::Interface::name);
                    Bound::new(
                        py,
                        PeerAddress {
                            address: object(py, known.scoped_address().to_string())?.unbind(),
                            interface: object(py, interface)?.unbind(),
                            last_seen: known.last_seen,
                        },
                    )
                });
                Ok(PyTuple::new(py, known.collect::<PyResult<Vec<_>>>()?)?.into_any())
            })
        }
    }
);

/// The sender of a datagram.
#[pyclass(frozen, module = "caster")]
pub struct Remote {
    address: Cell,
    port: u16,
    family: Cell,
    size: usize,
    core: Option<core::Remote>,
}

impl Remote {
    pub fn of(remote: core::Remote) -> Self {
        Self {
            address: Cell::new(),
            port: remote.address.port(),
            family: Cell::new(),
            size: remote.size,
            core: Some(remote),
        }
    }

    fn core(&self) -> &core::Remote {
        self.core.as_ref().expect("all cells of others are filled")
    }
}

record!(Remote, fields: [address, port, family, size], unhashed: [], {
    #[new]
    fn new(py: Python<'_>, address: Py<PyAny>, port: u16, family: Py<PyAny>, size: usize) -> Self {
        Self { address: filled(py, address), port, family: filled(py, family), size, core: None }
    }

    /// The IP address of the sender.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> Object<'py> {
        get_or(py, &self.address, || object(py, self.core().scoped_address().to_string()))
    }

    /// The port of the sender.
    #[getter]
    fn port<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.port)
    }

    /// `IPv4` or `IPv6`.
    #[getter]
    fn family<'py>(&self, py: Python<'py>) -> Object<'py> {
        let family = || if self.core().address.is_ipv4() { "IPv4" } else { "IPv6" };
        get_or(py, &self.family, || object(py, family()))
    }

    /// The size of the datagram on the wire, in bytes.
    #[getter]
    fn size<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.size)
    }
});

/// A node was discovered.
#[pyclass(frozen, module = "caster")]
pub struct Up {
    pub node: Py<PyAny>,
}

record!(Up, fields: [node], unhashed: [], name: "up", {
    #[new]
    fn new(node: Py<PyAny>) -> Self {
        Self { node }
    }

    /// The node, a `Peer`.
    #[getter]
    fn node<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.node.bind(py).clone())
    }
});

/// A node changed.
#[pyclass(frozen, module = "caster")]
pub struct Update {
    pub node: Py<PyAny>,
    pub changed: Py<PyAny>,
}

record!(Update, fields: [node, changed], unhashed: [], name: "update", {
    #[new]
    fn new(node: Py<PyAny>, changed: Py<PyAny>) -> Self {
        Self { node, changed }
    }

    /// The node as it is now, a `Peer`.
    #[getter]
    fn node<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.node.bind(py).clone())
    }

    /// The changed attributes, as a tuple: `meta`, `address` or both.
    #[getter]
    fn changed<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.changed.bind(py).clone())
    }
});

/// A node is down.
#[pyclass(frozen, module = "caster")]
pub struct Down {
    pub node: Py<PyAny>,
    pub reason: Py<PyAny>,
}

record!(Down, fields: [node, reason], unhashed: [], name: "down", {
    #[new]
    fn new(node: Py<PyAny>, reason: Py<PyAny>) -> Self {
        Self { node, reason }
    }

    /// The node as it was last known, a `Peer`.
    #[getter]
    fn node<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.node.bind(py).clone())
    }

    /// `goodbye` if it announced its departure, `timeout` if it fell silent and no other node
    /// received its datagrams either, `restart` if it has started again: an `Up` follows at once.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.reason.bind(py).clone())
    }
});

/// Two nodes have the same id, which may be the id of this node.
///
/// At most once a minute for each id.
#[pyclass(frozen, module = "caster")]
pub struct Conflict {
    pub id: Py<PyAny>,
    pub address: Py<PyAny>,
}

record!(Conflict, fields: [id, address], unhashed: [], name: "conflict", {
    #[new]
    fn new(id: Py<PyAny>, address: Py<PyAny>) -> Self {
        Self { id, address }
    }

    /// The id.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.id.bind(py).clone())
    }

    /// The IP address of the node whose datagram revealed the conflict.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.address.bind(py).clone())
    }
});

/// This node receives datagrams of no other node any more, or not even its own.
///
/// It appears to be cut off from the network. Transitions to down are withheld for a while: nodes
/// that have fallen silent stay up.
#[pyclass(frozen, module = "caster")]
pub struct Isolated;

record!(Isolated, fields: [], unhashed: [], name: "isolated", {
    #[new]
    fn new() -> Self {
        Self
    }
});

/// This node receives datagrams of other nodes again.
#[pyclass(frozen, module = "caster")]
pub struct Rejoined;

record!(Rejoined, fields: [], unhashed: [], name: "rejoined", {
    #[new]
    fn new() -> Self {
        Self
    }
});

/// The answers to the first heartbeat of this node have arrived.
///
/// `nodes` contains the nodes that were up before this one. Once after each `up`, within 3 s.
#[pyclass(frozen, module = "caster")]
pub struct Settled;

record!(Settled, fields: [], unhashed: [], name: "settled", {
    #[new]
    fn new() -> Self {
        Self
    }
});

/// Datagrams on this port cannot be understood, for example because of another secret.
///
/// It is not an error: several groups may share a port. At most once in ten minutes for each address.
#[pyclass(frozen, module = "caster")]
pub struct Hint {
    pub text: Py<PyAny>,
}

record!(Hint, fields: [text], unhashed: [], name: "hint", {
    #[new]
    fn new(text: Py<PyAny>) -> Self {
        Self { text }
    }

    /// The sender, and the probable cause.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.text.bind(py).clone())
    }
});

/// A node sent a message.
#[pyclass(frozen, module = "caster")]
pub struct Message {
    pub message: Py<PyAny>,
    pub node: Cell,
    pub peer: Option<core::Peer>,
    pub sealed: bool,
    pub fresh: bool,
    pub signed: bool,
}

record!(Message, fields: [message, node, sealed, fresh, signed], unhashed: [message], name: "message", {
    #[new]
    #[pyo3(signature = (message, node, sealed=false, fresh=false, signed=false))]
    fn new(
        py: Python<'_>,
        message: Py<PyAny>,
        node: Py<PyAny>,
        sealed: bool,
        fresh: bool,
        signed: bool,
    ) -> Self {
        Self { message, node: filled(py, node), peer: None, sealed, fresh, signed }
    }

    /// Any JSON value.
    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.message.bind(py).clone())
    }

    /// The sender, a `Peer`.
    #[getter]
    fn node<'py>(&self, py: Python<'py>) -> Object<'py> {
        get_or(py, &self.node, || {
            let peer = self.peer.clone().expect("the cell of others is filled");
            Ok(Bound::new(py, Peer::of(peer))?.into_any())
        })
    }

    /// Whether the sender has a key of the group.
    #[getter]
    fn sealed<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.sealed)
    }

    /// Whether the sender has proven that it is there now. A sealed message that is not fresh may be a recording.
    #[getter]
    fn fresh<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.fresh)
    }

    /// Whether the identity of the sender has signed it. Then no other member of the group has written it.
    #[getter]
    fn signed<'py>(&self, py: Python<'py>) -> Object<'py> {
        object(py, self.signed)
    }
});

/// A caster received a message.
#[pyclass(frozen, module = "caster")]
pub struct Datagram {
    pub message: Py<PyAny>,
    pub remote: Cell,
    pub core: Option<core::Remote>,
}

record!(Datagram, fields: [message, remote], unhashed: [message], name: "message", {
    #[new]
    fn new(py: Python<'_>, message: Py<PyAny>, remote: Py<PyAny>) -> Self {
        Self { message, remote: filled(py, remote), core: None }
    }

    /// `bytes`; a JSON value if the middleware `json` is in use and the datagram was JSON.
    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.message.bind(py).clone())
    }

    /// The sender, a `Remote`.
    #[getter]
    fn remote<'py>(&self, py: Python<'py>) -> Object<'py> {
        get_or(py, &self.remote, || {
            let remote = self.core.expect("the cell of others is filled");
            Ok(Bound::new(py, Remote::of(remote))?.into_any())
        })
    }
});

/// An error that an operator can correct; the node or caster goes on.
#[pyclass(frozen, module = "caster")]
pub struct ErrorEvent {
    pub error: Py<PyAny>,
}

record!(ErrorEvent, fields: [error], unhashed: [], name: "error", {
    #[new]
    fn new(error: Py<PyAny>) -> Self {
        Self { error }
    }

    /// The error, a `caster.Error`.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> Object<'py> {
        Ok(self.error.bind(py).clone())
    }
});
