//! Functions of the program: their user data, and how they are called.

use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};

/// A function that tells the program that `user_data` is no longer used and may be freed. The library
/// calls it exactly once for each registration, after the last call that gets this `user_data`, also
/// if the registration failed. The call is made on the thread that used the registration last, and
/// never under a lock of the library. NULL: there is nothing to free.
pub type DropFn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// A pointer of the program, and the function to call when it is no longer used.
pub(crate) struct UserData {
    pointer: *mut c_void,
    drop: DropFn,
}

// SAFETY: the library only passes the pointer on. The header tells the program that its functions
// are called on several threads.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    pub fn new(pointer: *mut c_void, drop: DropFn) -> Self {
        Self { pointer, drop }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            let pointer = self.pointer;
            // SAFETY: the program registered both for this call, and it is the only one.
            foreign(|| unsafe { drop(pointer) });
        }
    }
}

/// Runs code of the program. `None` if it panicked, which only Rust code can. An exception of another
/// language ends the process here, with a message.
pub(crate) fn foreign<R>(call: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(call)).ok()
}
