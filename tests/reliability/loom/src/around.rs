//! The surroundings of the files of the library: the locks of loom, and small forms of the types that pass
//! through the queue.

pub mod sync {
    pub use super::seq_cst as atomic;
    pub use loom::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    /// Those of the standard library: loom has no `Weak`, and no `Arc` of a trait. They count only.
    pub use std::sync::{Arc, Weak};
    use std::time::Duration;

    pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
    pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        mutex.try_lock().ok()
    }
    pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().unwrap()
    }
    pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write().unwrap()
    }
    /// Models have no time: a wait ends by a notification, or the model is stuck, which loom finds.
    pub fn wait<'a, T>(
        condition: &Condvar,
        guard: MutexGuard<'a, T>,
        _: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        condition.wait(guard).unwrap()
    }
}

/// loom takes SeqCst operations as acquire and release, but has SeqCst fences. With a fence on either side an
/// operation is what the library asks for.
pub mod seq_cst {
    pub use loom::sync::atomic::Ordering;
    use loom::sync::atomic::fence;

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub struct $name(loom::sync::atomic::$name);
            impl $name {
                pub fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }
                pub fn load(&self, _: Ordering) -> $value {
                    fence(Ordering::SeqCst);
                    self.0.load(Ordering::Acquire)
                }
                pub fn store(&self, value: $value, _: Ordering) {
                    self.0.store(value, Ordering::Release);
                    fence(Ordering::SeqCst);
                }
                pub fn swap(&self, value: $value, _: Ordering) -> $value {
                    fence(Ordering::SeqCst);
                    let before = self.0.swap(value, Ordering::AcqRel);
                    fence(Ordering::SeqCst);
                    before
                }
            }
        };
    }
    atomic!(AtomicBool, bool);
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
    impl AtomicU32 {
        pub fn fetch_add(&self, value: u32, _: Ordering) -> u32 {
            fence(Ordering::SeqCst);
            let before = self.0.fetch_add(value, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            before
        }
    }
}

pub mod error {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ErrorCode {
        Internal,
        Lagged,
        Forked,
    }
    #[derive(Debug, Clone)]
    pub struct Error(ErrorCode);
    impl Error {
        pub fn new(code: ErrorCode, _: impl Into<String>) -> Self {
            Self(code)
        }
        pub fn code(&self) -> ErrorCode {
            self.0
        }
    }
    pub type Result<T, E = Error> = std::result::Result<T, E>;
}

pub mod peer {
    pub type NodeId = u32;
}

pub mod options {
    #[derive(Clone, Copy)]
    pub struct EndpointLimits {
        pub events: usize,
        pub bytes: usize,
    }
}

pub mod stats {
    use std::sync::atomic::{AtomicU64, Ordering};
    #[derive(Default)]
    pub struct Counters {
        pub errors_suppressed: AtomicU64,
        pub events_lost: AtomicU64,
    }
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

pub mod transit {
    /// A suspended message: a number.
    #[derive(Debug)]
    pub struct Transit(pub u32);
    impl Transit {
        pub fn message(&self) -> &Self {
            self
        }
        pub fn data(&self) -> &[u8] {
            &[0; 8]
        }
    }
}

pub mod protocol {
    pub mod event {
        use crate::error::Error;
        use crate::peer::NodeId;
        use crate::transit::Transit;

        #[derive(Debug, Default, Clone, Copy)]
        pub struct Changed {
            pub meta: bool,
            pub address: bool,
        }
        /// An event of a peer, whose id is its number; a message; a suspended message.
        #[derive(Debug)]
        pub enum Event {
            Up(NodeId),
            Update { peer: NodeId, changed: Changed },
            Down { peer: NodeId },
            Message(u32),
            Error(Error),
            HostStage(Box<Transit>),
        }
        impl Event {
            pub fn lifecycle_of(&self) -> Option<&NodeId> {
                match self {
                    Event::Up(peer) | Event::Update { peer, .. } | Event::Down { peer } => Some(peer),
                    _ => None,
                }
            }
            pub fn is_notice(&self) -> bool {
                matches!(self, Event::Error(_))
            }
            pub fn weight(&self) -> usize {
                16
            }
        }
    }
}
