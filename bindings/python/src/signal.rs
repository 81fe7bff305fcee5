//! A descriptor that is readable while there is something to take, for event loops.

use caster_core::host::EventSource;
use pyo3::PyResult;
use std::io;

/// The descriptor of a source of events.
#[cfg(unix)]
pub fn fileno_of(source: &EventSource) -> PyResult<i32> {
    Ok(source.raw_fd()?)
}

#[cfg(not(unix))]
pub fn fileno_of(_: &EventSource) -> PyResult<i32> {
    Err(unsupported().into())
}

#[cfg(not(unix))]
fn unsupported() -> io::Error {
    let text = "this system has no descriptors for event loops: use callbacks or `events()`";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Both ends of a pipe.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signal {
    reader: std::os::unix::net::UnixStream,
    writer: std::os::unix::net::UnixStream,
}

#[cfg(unix)]
impl Signal {
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }

    pub fn raise(&self) {
        // If the pipe is full it is readable already.
        let _ = io::Write::write(&mut &self.writer, &[1]);
    }

    pub fn clear(&self) {
        let mut sink = [0; 64];
        while matches!(io::Read::read(&mut &self.reader, &mut sink), Ok(n) if n > 0) {}
    }

    pub fn fileno(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.reader)
    }
}

/// Windows has no descriptor that an event loop of Python could wait for: there is no value of this type.
#[cfg(not(unix))]
#[derive(Debug)]
pub enum Signal {}

#[cfg(not(unix))]
impl Signal {
    pub fn new() -> io::Result<Self> {
        Err(unsupported())
    }

    pub fn raise(&self) {
        match *self {}
    }

    pub fn clear(&self) {
        match *self {}
    }

    pub fn fileno(&self) -> i32 {
        match *self {}
    }
}
