//! The built-in middleware as objects whose `tx` and `rx` JavaScript can call.

use crate::convert::{Given, Handed, hand, message, thrown};
use caster_core::host::check_stages;
use caster_core::middleware::{
    Crypto, CryptoOptions, Hash, HashEra, HashOptions, HostStage, Json, Middleware, Stage,
};
use caster_core::{Error, ErrorCode, JsText, Remote, Result};
use napi::bindgen_prelude::{ClassInstance, Env};
use napi_derive::napi;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// One built-in middleware. Any number of casters may use it.
#[napi]
pub struct NativeMiddleware(Arc<dyn Middleware>);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameters {
    secret: JsText,
    key: JsText,
    algorithm: String,
    era: String,
    #[serde(rename = "rawUtf8")]
    raw_utf8: bool,
}

fn make(name: &str, options: &str) -> Result<Arc<dyn Middleware>> {
    let wrong = |text: String| Error::new(ErrorCode::InvalidOption, text);
    let given: Parameters = serde_json::from_str(options)
        .map_err(|error| wrong(format!("options of the middleware {name}: {error}")))?;
    Ok(match name {
        "json" if given.raw_utf8 => Arc::new(Json::raw_utf8()),
        "json" => Arc::new(Json::new()),
        "hash" => {
            let era = match given.era.as_str() {
                "" => HashEra::default(),
                era => era.parse()?,
            };
            let (secret, algorithm) = (given.secret, given.algorithm);
            Arc::new(Hash::new(&HashOptions { secret, algorithm, era })?)
        }
        "crypto" => {
            let (key, algorithm) = (given.key, given.algorithm);
            Arc::new(Crypto::new(&CryptoOptions { key, algorithm })?)
        }
        other => return Err(wrong(format!("there is no middleware {other:?}"))),
    })
}

#[napi]
impl NativeMiddleware {
    /// `json`, `hash` or `crypto` with the JSON text of its options.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, name: String, options: String) -> napi::Result<Self> {
        make(&name, &options).map(Self).map_err(|error| thrown(&env, &error))
    }

    #[napi(getter, catch_unwind)]
    pub fn name(&self) -> String {
        self.0.name().to_owned()
    }

    #[napi(catch_unwind)]
    pub fn tx(&self, env: Env, given: Given<'_>) -> napi::Result<Handed> {
        let mut message = message(given);
        self.0.tx(&mut message).map_err(|error| thrown(&env, &error))?;
        Ok(hand(message))
    }

    #[napi(catch_unwind)]
    pub fn rx(&self, env: Env, given: Given<'_>) -> napi::Result<Handed> {
        // No built-in middleware reads the source address.
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut message = message(given);
        let remote = Remote::new(address, message.data().len());
        self.0.rx(&mut message, &remote).map_err(|reject| thrown(&env, reject.error()))?;
        Ok(hand(message))
    }
}

impl From<Arc<dyn Middleware>> for NativeMiddleware {
    fn from(middleware: Arc<dyn Middleware>) -> Self {
        Self(middleware)
    }
}

/// The stages for a chain of built-in middleware, from the program to the wire.
pub fn native_stages(chain: &[ClassInstance<'_, NativeMiddleware>]) -> Vec<Stage> {
    chain.iter().map(|middleware| Stage::Native(middleware.0.clone())).collect()
}

/// Checks the chain that the program makes by adding a middleware with the last of these names, which
/// has the function `tx` or `rx` or both. The names before are those of the middleware in use.
#[napi(catch_unwind)]
pub fn check_chain(env: Env, names: Vec<String>, tx: bool, rx: bool) -> napi::Result<()> {
    let last = names.len().saturating_sub(1);
    let stage = |(at, name): (usize, String)| {
        let (tx, rx) = if at == last { (tx, rx) } else { (true, true) };
        HostStage { name: name.into(), token: 0, tx, rx }.into()
    };
    let stages = names.into_iter().enumerate().map(stage).collect();
    check_stages(stages).map_err(|error| thrown(&env, &error))
}

/// The stages for a chain that JavaScript runs: one stands for the whole chain.
pub fn host_stage() -> Vec<Stage> {
    vec![HostStage { name: "javascript".into(), token: 0, tx: true, rx: true }.into()]
}
