//! The files of `caster_core::driver`, and what they have around them there.

#[path = "../../../../caster-core/src/driver/backlog.rs"]
pub mod backlog;
#[path = "../../../../caster-core/src/driver/handover.rs"]
pub mod handover;
#[path = "../../../../caster-core/src/driver/queue.rs"]
pub mod queue;

/// Of the types that the files have for their module alone.
pub use handover_types::*;
mod handover_types {
    pub struct Hand(super::handover::Handover);
    impl Default for Hand {
        fn default() -> Self {
            Self(super::handover::Handover::default())
        }
    }
    impl Hand {
        pub fn park(&self, is_over: impl FnOnce() -> bool, park: impl FnOnce()) {
            self.0.park(is_over, park);
        }
        pub fn take(&self) {
            self.0.take();
        }
        pub fn release(&self, now: std::time::Duration) -> bool {
            self.0.release(now)
        }
        pub fn is_taken_for_long(&self) -> bool {
            self.0.is_taken(std::time::Duration::from_secs(3600))
        }
    }
}

pub mod fork {
    /// There is one process.
    pub struct Process;
    impl Process {
        pub fn current() -> Self {
            Self
        }
        pub fn is_forked(&self) -> bool {
            false
        }
        pub fn check(&self) -> crate::error::Result<()> {
            Ok(())
        }
    }
}

pub mod link {
    use std::sync::Arc;
    use std::time::Duration;

    pub enum Turn {
        Refused,
    }
    pub trait Link: Send + Sync {
        fn leader(&self) -> Option<Arc<loom::sync::Mutex<()>>>;
        fn lead(&self, until: Option<Duration>, done: &dyn Fn() -> bool) -> bool;
        fn hand_over(&self) -> bool;
        fn take_turn(&self, has_something: &dyn Fn() -> bool) -> Turn;
        fn turn_fd(&self) -> Option<std::os::fd::RawFd>;
        fn interrupt(&self);
    }
}

pub mod signal {
    /// A descriptor: whether it is readable.
    pub struct Signal;
    impl Signal {
        pub fn new() -> std::io::Result<Self> {
            Ok(Self)
        }
        pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            unreachable!("no model waits in the system")
        }
        pub fn set(&self) {}
        pub fn set_if_owed(&self) {}
        pub fn clear(&self) {}
    }
}

pub mod thread {
    pub fn on_core_thread() -> bool {
        false
    }
}

pub mod clock {
    pub fn monotonic() -> std::time::Duration {
        std::time::Duration::from_secs(100)
    }
}

pub mod subscription {
    pub const NEVER: u64 = u64::MAX;
    pub fn as_nanos(time: std::time::Duration) -> u64 {
        time.as_nanos() as u64
    }
}
