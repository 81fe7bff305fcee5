//! Where a datagram came from, as texts for C.

use crate::text::{LazyText, c_string};
use caster_core::Remote;
use std::ffi::{c_char, c_int};
use std::ptr::null;

/// Where a datagram came from.
#[derive(Clone)]
pub(crate) struct Source {
    remote: Remote,
    address: LazyText,
    interface: LazyText,
}

impl Source {
    pub fn new(remote: Remote) -> Self {
        Self { remote, address: LazyText::default(), interface: LazyText::default() }
    }

    pub fn address(&self) -> *const c_char {
        self.address.get(|| c_string(&self.remote.scoped_address().to_string()))
    }

    pub fn interface(&self) -> *const c_char {
        match &self.remote.interface {
            Some(interface) => self.interface.get(|| c_string(interface.name())),
            None => null(),
        }
    }

    pub fn port(&self) -> c_int {
        self.remote.address.port().into()
    }

    pub fn size(&self) -> usize {
        self.remote.size
    }
}
