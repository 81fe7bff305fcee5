//! The common methods of `NativeNode` and `NativeCaster`.

/// Exports the methods that both classes have. napi has no generic classes, so their bodies stand in
/// a macro. `$class` has the fields `core`, `events` and `warnings`; the names in braces are the methods
/// of the core that differ by name.
macro_rules! export_shared_methods {
    ($class:ident { is_open: $is_open:ident, open: $open:ident, close: $close:ident, send: $send:ident }) => {
        #[napi]
        impl $class {
            /// Warnings about the options.
            #[napi(getter, catch_unwind)]
            pub fn warnings(&self) -> Vec<String> {
                self.warnings.clone()
            }

            /// Opens the socket. From then on `wake` is called on the event loop when there are events
            /// to drain.
            #[napi(catch_unwind)]
            pub fn open(&self, env: Env, wake: Function<'_, (), ()>) -> napi::Result<()> {
                if !self.core.$is_open() {
                    self.events.start(&wake)?;
                }
                self.core.$open().map_err(|error| {
                    if !self.core.$is_open() {
                        self.events.stop();
                    }
                    thrown(&env, &error)
                })
            }

            /// Whether the process stays alive until the socket is closed. After `open` it does not.
            #[napi(catch_unwind)]
            pub fn keep_alive(&self, env: Env, keep: bool) {
                self.events.keep_alive(&env, keep);
            }

            /// Whether the socket is open. It stays open while a leave goes on.
            #[napi(getter, catch_unwind)]
            pub fn is_open(&self) -> bool {
                self.core.event_source().is_open()
            }

            /// Closes the socket after the rest of a leave, and discards the events that wait. Does
            /// nothing if it is closed.
            #[napi(catch_unwind)]
            pub fn close(&self) {
                self.events.leave();
                // The only errors are those of a handle that is closed already.
                let _ = self.core.$close();
                self.events.stop();
            }

            /// Takes up to `limit` events: their JSON text, as `caster_core::host::Batch` describes it.
            #[napi(catch_unwind)]
            pub fn drain<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<JsString<'env>> {
                self.events.drain(env, limit)
            }

            /// The bytes that belong to the events drained last. Empty the second time.
            #[napi(catch_unwind)]
            pub fn bytes<'env>(&self, env: &'env Env) -> napi::Result<BufferSlice<'env>> {
                self.events.bytes(env)
            }

            /// The transits that belong to the events drained last. Empty the second time.
            #[napi(catch_unwind)]
            pub fn transits(&self) -> Vec<NativeTransit> {
                self.events.transits()
            }

            /// Leaves the chain to JavaScript: every message comes as an event with a transit.
            #[napi(catch_unwind)]
            pub fn run_in_javascript(&self, env: Env) -> napi::Result<()> {
                self.core.set_stages(host_stage()).map_err(|error| thrown(&env, &error))
            }

            /// Sends a message as it is: a node adds no envelope. If the chain is left to JavaScript, it
            /// has run already.
            #[napi(catch_unwind)]
            pub fn send_bare(&self, env: Env, given: Given<'_>) -> napi::Result<u32> {
                let mut progress = self.core.$send(message(given));
                loop {
                    progress = match progress {
                        Ok(Progress::Done(bytes)) => return Ok(bytes as u32),
                        Ok(Progress::Host(transit)) => self.core.resume(transit),
                        Err(error) => return Err(thrown(&env, &error)),
                    }
                }
            }

            /// Drops an incoming message that the chain of JavaScript has rejected.
            #[napi(catch_unwind)]
            pub fn reject(
                &self,
                transit: &mut NativeTransit,
                name: Option<String>,
                text: String,
            ) -> napi::Result<()> {
                self.core.reject(transit.take()?, Error::new(code(name.as_deref()), text));
                Ok(())
            }

            /// Whether an event tells of every datagram that the chain rejects.
            #[napi(catch_unwind)]
            pub fn watch_rejects(&self, watch: bool) {
                self.core.watch_rejects(watch);
            }

            /// The counters as JSON.
            #[napi(catch_unwind)]
            pub fn stats(&self) -> String {
                self.core.stats().to_json()
            }
        }
    };
}

pub(crate) use export_shared_methods;
