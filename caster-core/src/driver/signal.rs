//! A descriptor that is readable while there are events.

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
pub(super) struct Signal {
    reader: std::os::unix::net::UnixStream,
    writer: std::os::unix::net::UnixStream,
    /// The system has refused to make it readable: it has no memory, for example.
    owed: AtomicBool,
}

#[cfg(unix)]
impl Signal {
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, owed: AtomicBool::new(false) })
    }

    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.reader)
    }

    pub fn set(&self) {
        let written = io::Write::write(&mut &self.writer, &[1]);
        // A full pipe is readable, which is all that is wanted.
        let failed = written.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        self.owed.store(failed, Ordering::Relaxed);
    }

    pub fn set_if_owed(&self) {
        if self.owed.load(Ordering::Relaxed) {
            self.set();
        }
    }

    pub fn clear(&self) {
        self.owed.store(false, Ordering::Relaxed);
        let mut sink = [0; 64];
        while matches!(io::Read::read(&mut &self.reader, &mut sink), Ok(n) if n > 0) {}
    }
}

#[cfg(not(unix))]
pub(super) struct Signal;

#[cfg(not(unix))]
impl Signal {
    pub fn set(&self) {}
    pub fn set_if_owed(&self) {}
    pub fn clear(&self) {}
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_signal_that_the_system_refuses_is_set_later() {
        let mut signal = Signal::new().unwrap();
        let is_set = |signal: &Signal| io::Read::read(&mut &signal.reader, &mut [0]).is_ok();
        // Nothing reads from this one, so that the write fails.
        let broken = UnixStream::pair().unwrap().0;
        let writer = std::mem::replace(&mut signal.writer, broken);
        signal.set();
        signal.set_if_owed();
        drop(std::mem::replace(&mut signal.writer, writer));
        assert!(!is_set(&signal));
        signal.set_if_owed();
        assert!(is_set(&signal));
        signal.set_if_owed();
        assert!(!is_set(&signal), "once");
    }
}
