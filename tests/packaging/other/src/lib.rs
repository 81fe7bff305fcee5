//! Another library written in Rust: it has threads, thread-local values and panics of its own.

use std::cell::Cell;

thread_local! {
    static CALLS: Cell<i64> = const { Cell::new(0) };
}

/// The sum, computed on another thread.
///
/// # Safety
/// `numbers` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn other_sum(numbers: *const std::ffi::c_long, count: usize) -> i64 {
    CALLS.set(CALLS.get() + 1);
    // SAFETY: the caller says so.
    let numbers = unsafe { std::slice::from_raw_parts(numbers, count) }.to_vec();
    std::thread::spawn(move || numbers.iter().map(|&number| number as i64).sum()).join().unwrap_or(-1)
}

/// 1 if a panic is caught here, as it should be.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| if CALLS.get() > 0 { panic!("caught") }).is_err();
    let _ = std::panic::take_hook();
    caught.into()
}
