//! A line on standard error while a command waits. Only terminals see it, and it is gone at the end.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The time between two drawings.
const TICK: Duration = Duration::from_millis(200);

/// The line that is shown now.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The line of a command, until it is dropped. A process has one at most.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins a line as in `Listening, 2s of 10s`.
    pub fn begin(work: &str, total: Option<Duration>) -> Self {
        let target = match stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let end = total.map(|total| format!(" of {}", crate::show::span(total)));
        let template = format!("{work}{{msg}}, {{elapsed}}{}", end.unwrap_or_default());
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Self(bar)
    }

    /// Shows how many there are, as in `3 nodes`.
    pub fn count(&self, number: u64, unit: &str) {
        self.0.set_message(format!(", {number} {unit}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Writes a line to standard error, above that of the progress.
pub fn tell(text: &str) {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
        None => anstream::eprintln!("{text}"),
    }
}
