//! The end of commands that listen: a time, a count, or a signal.

use crate::args;
use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When the command ends; without both at a signal only.
#[derive(Debug, Clone, clap::Args)]
pub struct Ending {
    /// End after this time
    #[arg(long, value_parser = args::time, value_name = "TIME")]
    time: Option<Duration>,
    /// End after so many datagrams
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// The time between two looks for a signal.
const LOOK: Duration = Duration::from_millis(200);

/// The rest of the time and of the count.
#[derive(Debug)]
pub struct Rest {
    ends: Option<Instant>,
    left: Option<u64>,
    signalled: Arc<AtomicBool>,
}

/// Catches the signals that end a command, from now on.
///
/// # Errors
/// The system refuses.
pub fn signalled() -> Result<Arc<AtomicBool>, Failure> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&signalled))
            .map_err(|error| Failure::system("signals", &error))?;
    }
    Ok(signalled)
}

impl Ending {
    /// The time after which the command ends.
    pub fn time(&self) -> Option<Duration> {
        self.time
    }

    /// Begins; signals are caught from now on.
    ///
    /// # Errors
    /// The system refuses to catch signals.
    pub fn begin(&self) -> Result<Rest, Failure> {
        let signalled = signalled()?;
        let ends = self.time.map(|time| Instant::now() + time);
        Ok(Rest { ends, left: self.count, signalled })
    }
}

impl Rest {
    /// Counts datagrams. Returns whether the command is to end.
    pub fn count(&mut self, number: u64) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(number));
        self.left == Some(0) || self.signalled.load(Ordering::Relaxed)
    }

    /// The time to wait before the next look. `None` at the end.
    pub fn left(&self) -> Option<Duration> {
        let left = match self.ends {
            None => LOOK,
            Some(ends) => ends.saturating_duration_since(Instant::now()).min(LOOK),
        };
        (!left.is_zero() && !self.signalled.load(Ordering::Relaxed)).then_some(left)
    }
}
