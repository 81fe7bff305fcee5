//! Events of the core as Python objects.

use crate::convert::{exception, payload_value};
use crate::records::{
    Cell, Conflict, Datagram, Down, ErrorEvent, Hint, Isolated, Message, Object, Peer, Rejoined,
    Settled, Up, Update, id_object, object,
};
use caster_core as core;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

fn problem<'py>(py: Python<'py>, text: String) -> Object<'py> {
    let error = core::Error::new(core::ErrorCode::InvalidArgument, text);
    let error = exception(py, &error)?.unbind();
    Ok(Bound::new(py, ErrorEvent { error })?.into_any())
}

/// A peer whose metadata has been read, and an error event if it cannot be.
fn peer_object<'py>(
    py: Python<'py>,
    peer: core::Peer,
) -> PyResult<(Py<PyAny>, Option<Bound<'py, PyAny>>)> {
    let peer = Bound::new(py, Peer::of(peer))?;
    let wrong = peer.get().read_meta(py)?.map(|text| problem(py, text)).transpose()?;
    Ok((peer.into_any().unbind(), wrong))
}

/// Appends the object for an event, and an error event if a part of it cannot be read: an unreadable
/// message is dropped, a node with unreadable metadata is kept. Unknown kinds are left out.
pub fn push<'py>(
    py: Python<'py>,
    event: core::Event,
    to: &mut Vec<Bound<'py, PyAny>>,
) -> PyResult<()> {
    use core::Event;
    let mut wrong = None;
    let event = match event {
        Event::Message { message, peer } => match payload_value(py, &message)? {
            Ok(value) => {
                let (sealed, fresh) = (message.is_sealed(), message.is_fresh());
                let signed = message.is_signed();
                let (message, node) = (value.unbind(), Cell::new());
                let message = Message { message, node, peer: Some(peer), sealed, fresh, signed };
                Bound::new(py, message)?.into_any()
            }
            Err(why) => {
                let id = id_object(py, &peer.id)?.repr()?;
                let text = format!("a message from {} cannot be read: {why}", id.to_string_lossy());
                problem(py, text)?
            }
        },
        Event::Datagram { message, remote } => match payload_value(py, &message)? {
            Ok(value) => {
                let message =
                    Datagram { message: value.unbind(), remote: Cell::new(), core: Some(remote) };
                Bound::new(py, message)?.into_any()
            }
            Err(why) => {
                let from = remote.scoped_address();
                problem(py, format!("a message from {from} cannot be read: {why}"))?
            }
        },
        Event::Up(peer) => {
            let (node, error) = peer_object(py, peer)?;
            wrong = error;
            Bound::new(py, Up { node })?.into_any()
        }
        Event::Update { peer, changed } => {
            let (node, error) = peer_object(py, peer)?;
            wrong = error;
            let core::Changed { meta, address, .. } = changed;
            let names = [(meta, "meta"), (address, "address")];
            let names = names.into_iter().filter(|(is, _)| *is).map(|(_, name)| name);
            let changed = PyTuple::new(py, names.collect::<Vec<_>>())?.into_any().unbind();
            Bound::new(py, Update { node, changed })?.into_any()
        }
        Event::Down { peer, reason } => {
            let (node, error) = peer_object(py, peer)?;
            wrong = error;
            let reason = object(py, reason.as_str())?.unbind();
            Bound::new(py, Down { node, reason })?.into_any()
        }
        Event::Conflict { id, address } => {
            let (id, address) = (id_object(py, &id)?, object(py, address.to_string())?);
            Bound::new(py, Conflict { id: id.unbind(), address: address.unbind() })?.into_any()
        }
        Event::Isolated => Bound::new(py, Isolated)?.into_any(),
        Event::Rejoined => Bound::new(py, Rejoined)?.into_any(),
        Event::Settled => Bound::new(py, Settled)?.into_any(),
        Event::Hint(text) => {
            Bound::new(py, Hint { text: object(py, &*text)?.unbind() })?.into_any()
        }
        Event::Error(error) => {
            let error = exception(py, &error)?.unbind();
            Bound::new(py, ErrorEvent { error })?.into_any()
        }
        _ => return Ok(()),
    };
    to.push(event);
    to.extend(wrong);
    Ok(())
}

/// Peers by id, as they are now.
pub fn peers_dict<'py>(py: Python<'py>, peers: Vec<core::Peer>) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for peer in peers {
        let id = id_object(py, &peer.id)?;
        all.set_item(id, Bound::new(py, Peer::of(peer))?)?;
    }
    Ok(all)
}
