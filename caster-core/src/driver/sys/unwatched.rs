//! Changes of interfaces, on systems for which Caster has no report of them: they are listed more often.

use mio::{Registry, Token, Waker};
use std::io;
use std::sync::Arc;

/// Never opened.
pub(in crate::driver) enum Watch {}

pub(in crate::driver) struct News {
    pub any: bool,
    pub broken: Vec<u32>,
}

impl Watch {
    /// Whether the waker of the thread tells of news.
    pub const WAKES: bool = false;

    pub fn new(_registry: &Registry, _token: Token, _waker: &Arc<Waker>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn read(&mut self) -> News {
        match *self {}
    }
}
