//! Calls a function on the event loop when there is something to receive, by libuv.

use caster_core::host::EventSource;
use napi::bindgen_prelude::{Env, FunctionRef, JsValue};
use napi::sys;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::OnceLock;

/// `uv_loop_t` and `uv_poll_t`, of which only the address is known here.
type Loop = c_void;
type Handle = c_void;
type Callback = unsafe extern "C" fn(*mut Handle, c_int, c_int);
type Closed = unsafe extern "C" fn(*mut Handle);

/// `UV_POLL` among the types of handles, `UV_READABLE` among events: part of libuv's ABI.
const POLL: c_int = 8;
const READABLE: c_int = 1;

/// The functions of the libuv that runs the event loop, as uv.h declares them. They are looked up and not
/// linked, because other runtimes may lack them.
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    init: unsafe extern "C" fn(*mut Loop, *mut Handle, c_int) -> c_int,
    start: unsafe extern "C" fn(*mut Handle, c_int, Callback) -> c_int,
    stop: unsafe extern "C" fn(*mut Handle) -> c_int,
    close: unsafe extern "C" fn(*mut Handle, Closed),
    unref: unsafe extern "C" fn(*mut Handle),
    set_data: unsafe extern "C" fn(*mut Handle, *mut c_void),
    data: unsafe extern "C" fn(*const Handle) -> *mut c_void,
}

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The function of that name.
///
/// # Safety
/// `F` has to be a pointer to a function of its type.
unsafe fn find<F: Copy>(name: &CStr) -> Option<F> {
    assert_eq!(mem::size_of::<F>(), mem::size_of::<*mut c_void>());
    // SAFETY: null stands for everything that is loaded; the name ends with a zero.
    let symbol = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
    // SAFETY: the caller says what it is, and it has the size of a pointer.
    (!symbol.is_null()).then(|| unsafe { mem::transmute_copy(&symbol) })
}

impl Uv {
    fn find() -> Option<&'static Self> {
        static UV: OnceLock<Option<Uv>> = OnceLock::new();
        let make = || {
            // SAFETY: these are the types that uv.h declares for these names.
            unsafe {
                Some(Uv {
                    handle_size: find(c"uv_handle_size")?,
                    init: find(c"uv_poll_init")?,
                    start: find(c"uv_poll_start")?,
                    stop: find(c"uv_poll_stop")?,
                    close: find(c"uv_close")?,
                    unref: find(c"uv_unref")?,
                    set_data: find(c"uv_handle_set_data")?,
                    data: find(c"uv_handle_get_data")?,
                })
            }
        };
        UV.get_or_init(make).as_ref()
    }
}

/// The descriptor of a source, watched by the event loop. It does not keep the loop running.
pub struct Readable(Rc<Watched>);

struct Watched {
    uv: &'static Uv,
    /// The `uv_poll_t`.
    handle: Box<[Cell<u64>]>,
    wanted: Box<dyn Fn() -> bool>,
    function: Rc<FunctionRef<(), ()>>,
    env: sys::napi_env,
    context: Cell<sys::napi_async_context>,
    closing: Cell<bool>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Readable {
    /// From [`Readable::start`] on, `wanted` is called on the event loop of `env` when the descriptor is
    /// readable, and `function` if `wanted` returns true. `None` if that is not possible here. To be
    /// dropped before the node leaves or the caster closes.
    pub fn new(
        env: &Env,
        source: &EventSource,
        wanted: Box<dyn Fn() -> bool>,
        function: Rc<FunctionRef<(), ()>>,
    ) -> Option<Self> {
        let uv = Uv::find()?;
        let descriptor = source.turn_fd()?;
        // SAFETY: the call only returns a number.
        let size = unsafe { (uv.handle_size)(POLL) };
        let watched = Rc::new(Watched {
            uv,
            handle: vec![Cell::new(0); size.div_ceil(mem::size_of::<u64>())].into(),
            wanted,
            function,
            env: env.raw(),
            context: Cell::new(ptr::null_mut()),
            closing: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
        });
        let name = env.create_string("caster").ok()?.raw();
        let env = env.raw();
        let (mut event_loop, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: this is the thread of `env`, as all functions that JavaScript calls run on it.
        let statuses = unsafe {
            [
                sys::napi_get_uv_event_loop(env, &mut event_loop),
                sys::napi_async_init(env, ptr::null_mut(), name, &mut context),
            ]
        };
        watched.context.set(context);
        if statuses != [sys::Status::napi_ok; 2] {
            return None;
        }
        let handle = watched.handle();
        // SAFETY: the memory has the size that libuv requires. It stays in place until `closed`, for which
        // libuv keeps a reference, or until the return below if `init` fails.
        unsafe {
            if (uv.init)(event_loop.cast(), handle, descriptor) != 0 {
                return None;
            }
            (uv.unref)(handle);
            let own = Rc::into_raw(watched.clone()).cast_mut().cast();
            (uv.set_data)(handle, own);
            let mut hook = ptr::null_mut();
            // If this fails, the descriptor is still not watched beyond the life of this value.
            sys::napi_add_async_cleanup_hook(env, Some(clean_up), own, &mut hook);
            watched.hook.set(hook);
        }
        Some(Self(watched))
    }

    /// Starts watching. Returns whether that worked.
    pub fn start(&self) -> bool {
        let Watched { uv, closing, .. } = &*self.0;
        // SAFETY: it was made by `init` and is not being closed.
        !closing.get() && unsafe { (uv.start)(self.0.handle(), READABLE, on_readable) } == 0
    }

    /// Stops watching until the next start.
    pub fn stop(&self) {
        if !self.0.closing.get() {
            // SAFETY: it was made by `init` and is not being closed.
            unsafe { (self.0.uv.stop)(self.0.handle()) };
        }
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Watched {
    fn handle(&self) -> *mut Handle {
        self.handle.as_ptr().cast_mut().cast()
    }

    /// Calls the function as Node.js does: microtasks and ticks run after it, and an uncaught exception is
    /// an uncaught exception of the process.
    fn call_function(&self) {
        let (env, context) = (self.env, self.context.get());
        let (mut handles, mut callback) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: this is the thread of `env`, which has not ended: it closes this first. Scopes are closed
        // in reverse order.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut handles) != sys::Status::napi_ok {
                return;
            }
            let open = sys::napi_open_callback_scope(env, ptr::null_mut(), context, &mut callback);
            if open == sys::Status::napi_ok {
                let env = Env::from_raw(env);
                let called = self.function.borrow_back(&env).and_then(|function| function.call(()));
                if let Err(error) = called {
                    env.fatal_exception(error);
                }
                sys::napi_close_callback_scope(self.env, callback);
            }
            sys::napi_close_handle_scope(env, handles);
        }
    }

    fn close(&self) {
        if !self.closing.replace(true) {
            // SAFETY: it was made by `init` and is closed once, on the thread of its loop.
            unsafe { (self.uv.close)(self.handle(), closed) };
        }
    }
}

unsafe extern "C" fn on_readable(handle: *mut Handle, _status: c_int, _events: c_int) {
    let uv = Uv::find().expect("it has been found before");
    // SAFETY: the data is what `new` has set, and libuv's reference is there until `closed`.
    let watched = unsafe {
        let watched = (uv.data)(handle).cast::<Watched>().cast_const();
        Rc::increment_strong_count(watched);
        Rc::from_raw(watched)
    };
    if (watched.wanted)() {
        watched.call_function();
    }
}

/// The environment ends: the handle must be closed before the loop is.
unsafe extern "C" fn clean_up(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: `closed` removes this hook before it gives up libuv's reference.
    unsafe { &*data.cast::<Watched>() }.close();
}

unsafe extern "C" fn closed(handle: *mut Handle) {
    let uv = Uv::find().expect("it has been found before");
    // SAFETY: as in `on_readable`; this is the last that is called for the handle.
    let watched = unsafe { Rc::from_raw((uv.data)(handle).cast::<Watched>().cast_const()) };
    // SAFETY: `new` has made these, and they are given up once, here. The hook keeps `env`.
    unsafe {
        sys::napi_async_destroy(watched.env, watched.context.get());
        if let Some(hook) = NonNull::new(watched.hook.get()) {
            sys::napi_remove_async_cleanup_hook(hook.as_ptr());
        }
    }
}
