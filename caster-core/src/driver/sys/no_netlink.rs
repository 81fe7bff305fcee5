//! Changes of interfaces, on systems for which Caster has no report of them: they are listed more often.

use mio::{Registry, Token};
use std::io;

/// Never opened.
pub(in crate::driver) enum Watch {}

pub(in crate::driver) struct News {
    pub any: bool,
    pub broken: Vec<u32>,
}

impl Watch {
    pub fn new(_registry: &Registry, _token: Token) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn read(&mut self) -> News {
        match *self {}
    }
}
