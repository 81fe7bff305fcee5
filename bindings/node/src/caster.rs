//! `NativeCaster`.

use crate::convert::{Given, code, message, options, thrown};
use crate::events::{Bell, Events, NativeTransit};
use crate::middleware::{NativeMiddleware, host_stage, native_stages};
use crate::network::NativeNetwork;
use caster_core::host::Progress;
use caster_core::{Caster, Error, Message, Options, Result};
use napi::JsString;
use napi::bindgen_prelude::{BufferSlice, ClassInstance, Env, Function};
use napi_derive::napi;

#[napi]
pub struct NativeCaster {
    // In this order: nobody wakes an event loop that is going away.
    events: Events,
    caster: Caster,
    warnings: Vec<String>,
}

#[napi]
impl NativeCaster {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        json: String,
        network: Option<ClassInstance<'_, NativeNetwork>>,
    ) -> napi::Result<Self> {
        let make = || -> Result<Self> {
            let options = options(Options::for_caster(), &json)?;
            let (caster, bell) = match &network {
                Some(virtual_one) => (virtual_one.network.caster(&options)?, virtual_one.bell()),
                None => (Caster::new(&options)?, Bell::Loop),
            };
            let events = Events::new(caster.event_source(), bell);
            Ok(Self { events, caster, warnings: options.warnings().to_vec() })
        };
        make().map_err(|error| thrown(&env, &error))
    }

    /// What was odd about the options.
    #[napi(getter, catch_unwind)]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The options in force that a program can read, as JSON.
    #[napi(getter, catch_unwind)]
    pub fn config(&self) -> String {
        let Self { caster, .. } = self;
        format!(
            r#"{{"multicast":"{}","address":"{}","port":{},"loopback":{},"ttl":{}}}"#,
            caster.multicast(),
            caster.address(),
            caster.port(),
            caster.loopback(),
            caster.ttl(),
        )
    }

    /// Opens the socket; `wake` is called when there are events to drain.
    #[napi(catch_unwind)]
    pub fn open(&self, env: Env, wake: Function<'_, (), ()>) -> napi::Result<()> {
        if !self.caster.is_bound() {
            self.events.start(&wake)?;
        }
        self.caster.bind().map_err(|error| {
            if !self.caster.is_bound() {
                self.events.stop();
            }
            thrown(&env, &error)
        })
    }

    /// Closes the socket and forgets the events that wait.
    #[napi(catch_unwind)]
    pub fn close(&self, env: Env) -> napi::Result<()> {
        self.events.leave();
        let closed = self.caster.close();
        self.events.stop();
        closed.map_err(|error| thrown(&env, &error))
    }

    #[napi(catch_unwind)]
    pub fn drain<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<JsString<'env>> {
        self.events.drain(env, limit)
    }

    #[napi(catch_unwind)]
    pub fn bytes<'env>(&self, env: &'env Env) -> napi::Result<BufferSlice<'env>> {
        self.events.bytes(env)
    }

    #[napi(catch_unwind)]
    pub fn transits(&self) -> Vec<NativeTransit> {
        self.events.transits()
    }

    /// A chain of built-in middleware, run here.
    #[napi(catch_unwind)]
    pub fn run_natively(
        &self,
        env: Env,
        chain: Vec<ClassInstance<'_, NativeMiddleware>>,
    ) -> napi::Result<()> {
        self.caster.set_stages(native_stages(&chain)).map_err(|error| thrown(&env, &error))
    }

    /// A chain that JavaScript runs: every message comes as an event with a transit.
    #[napi(catch_unwind)]
    pub fn run_in_javascript(&self, env: Env) -> napi::Result<()> {
        self.caster.set_stages(host_stage()).map_err(|error| thrown(&env, &error))
    }

    /// Sends through the chain.
    #[napi(catch_unwind)]
    pub fn send(&self, env: Env, given: Given<'_>) -> napi::Result<u32> {
        self.transmit(message(given)).map_err(|error| thrown(&env, &error))
    }

    /// Sends many messages. Only for a chain of built-in middleware.
    #[napi(catch_unwind)]
    pub fn send_batch(&self, env: Env, given: Vec<Given<'_>>) -> napi::Result<f64> {
        let sent = self.caster.send_batch(given.into_iter().map(message));
        sent.map(|bytes| bytes as f64).map_err(|error| thrown(&env, &error))
    }

    fn transmit(&self, message: Message) -> Result<u32> {
        let mut progress = self.caster.start_send(message)?;
        loop {
            match progress {
                Progress::Done(bytes) => return Ok(bytes as u32),
                // JavaScript has already run its chain on it.
                Progress::Host(transit) => progress = self.caster.resume(transit)?,
            }
        }
    }

    /// JavaScript has delivered an incoming message.
    #[napi(catch_unwind)]
    pub fn accept(&self, transit: &mut NativeTransit) -> napi::Result<()> {
        self.caster.accept(transit.take()?);
        Ok(())
    }

    /// The chain of JavaScript has turned an incoming message away.
    #[napi(catch_unwind)]
    pub fn reject(
        &self,
        transit: &mut NativeTransit,
        name: Option<String>,
        text: String,
    ) -> napi::Result<()> {
        self.caster.reject(transit.take()?, Error::new(code(name.as_deref()), text));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn watch_rejects(&self, watch: bool) {
        self.caster.watch_rejects(watch);
    }

    /// The counters as JSON.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> String {
        self.caster.stats().to_json()
    }
}
