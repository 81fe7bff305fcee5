//! A descriptor that is readable while there are events.

#[cfg(unix)]
use std::io;

#[cfg(unix)]
pub(super) struct Signal {
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

    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.reader)
    }

    pub fn set(&self) {
        // A full pipe is readable, which is all that is wanted.
        let _ = io::Write::write(&mut &self.writer, &[1]);
    }

    pub fn clear(&self) {
        let mut sink = [0; 64];
        while matches!(io::Read::read(&mut &self.reader, &mut sink), Ok(n) if n > 0) {}
    }
}

#[cfg(not(unix))]
pub(super) struct Signal;

#[cfg(not(unix))]
impl Signal {
    pub fn set(&self) {}
    pub fn clear(&self) {}
}
