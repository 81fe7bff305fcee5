//! Systems on which the core attaches no socket filter.

use std::io;

pub(in crate::driver) fn attach(_socket: &mio::net::UdpSocket, _port: u16) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(in crate::driver) fn detach(_socket: &mio::net::UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(in crate::driver) fn may_have_come_back(_error: &io::Error) -> bool {
    false
}
