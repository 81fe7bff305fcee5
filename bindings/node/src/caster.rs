//! `NativeCaster`.

use crate::convert::{Given, GivenKey, code, key, message, options, thrown};
use crate::events::{Bell, Events};
use crate::handle::export_shared_methods;
use crate::middleware::{NativeMiddleware, host_stage, native_stages};
use crate::network::NativeNetwork;
use crate::transit::NativeTransit;
use caster_core::host::Progress;
use caster_core::{Caster, Error, Options, Result};
use napi::JsString;
use napi::bindgen_prelude::{BufferSlice, ClassInstance, Env, Function};
use napi_derive::napi;

#[napi]
pub struct NativeCaster {
    // Dropped first: the event loop may be ending.
    events: Events,
    core: Caster,
    warnings: Vec<String>,
}

export_shared_methods!(NativeCaster {
    is_open: is_bound,
    open: bind,
    close: close,
    send: start_send
});

#[napi]
impl NativeCaster {
    /// From the JSON text of the options; on the network in memory if there is one.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        json: String,
        network: Option<ClassInstance<'_, NativeNetwork>>,
        keys: Option<Vec<GivenKey<'_>>>,
    ) -> napi::Result<Self> {
        let make = || -> Result<Self> {
            let mut options = options(Options::for_caster(), &json)?;
            if let Some(given) = &keys {
                options = options.keys(given.iter().map(key).collect::<Result<Vec<_>>>()?);
            }
            let (core, bell) = match &network {
                Some(network) => (network.network.caster(&options)?, network.bell()),
                None => (Caster::new(&options)?, Bell::Loop),
            };
            let events = Events::new(core.event_source(), bell);
            Ok(Self { events, core, warnings: options.warnings().to_vec() })
        };
        make().map_err(|error| thrown(&env, &error))
    }

    /// The options in force that a program can read, as JSON.
    #[napi(getter, catch_unwind)]
    pub fn config(&self) -> String {
        let Self { core, .. } = self;
        format!(
            r#"{{"multicast":"{}","address":"{}","port":{},"loopback":{},"ttl":{}}}"#,
            core.multicast(),
            core.scoped_address(),
            core.port(),
            core.loopback(),
            core.ttl(),
        )
    }

    /// Runs a chain of built-in middleware in the core.
    #[napi(catch_unwind)]
    pub fn run_natively(
        &self,
        env: Env,
        chain: Vec<ClassInstance<'_, NativeMiddleware>>,
    ) -> napi::Result<()> {
        self.core.set_stages(native_stages(&chain)).map_err(|error| thrown(&env, &error))
    }

    /// Sends many messages. Fails if the chain is left to JavaScript.
    #[napi(catch_unwind)]
    pub fn send_batch(&self, env: Env, given: Vec<Given<'_>>) -> napi::Result<f64> {
        let sent = self.core.send_batch(given.into_iter().map(message));
        sent.map(|bytes| bytes as f64).map_err(|error| thrown(&env, &error))
    }

    /// JavaScript has delivered an incoming message.
    #[napi(catch_unwind)]
    pub fn accept(&self, transit: &mut NativeTransit) -> napi::Result<()> {
        self.core.accept(transit.take()?);
        Ok(())
    }
}
