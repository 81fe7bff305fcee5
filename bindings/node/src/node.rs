//! `NativeNode`.

use crate::convert::{Given, code, message, options, thrown};
use crate::events::{Bell, Events, NativeTransit};
use crate::middleware::{NativeMiddleware, host_stage};
use crate::network::NativeNetwork;
use caster_core::host::{Progress, written_json};
use caster_core::middleware::Stage;
use caster_core::{Error, JsText, Message, Node, NodeId, Options, Result};
use napi::JsString;
use napi::bindgen_prelude::{BufferSlice, ClassInstance, Either, Env, Function, Utf16String};
use napi_derive::napi;

#[napi]
pub struct NativeNode {
    // In this order: nobody wakes an event loop that is going away.
    events: Events,
    node: Node,
    warnings: Vec<String>,
}

/// Bytes on the wire, or a message on which JavaScript has to run its chain.
type Sent = Either<u32, NativeTransit>;

fn sent(progress: Progress) -> Sent {
    match progress {
        Progress::Done(bytes) => Either::A(bytes as u32),
        Progress::Host(transit) => Either::B(NativeTransit::new(transit)),
    }
}

#[napi]
impl NativeNode {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        json: String,
        network: Option<ClassInstance<'_, NativeNetwork>>,
    ) -> napi::Result<Self> {
        let make = || -> Result<Self> {
            let options = options(Options::for_node(), &json)?;
            let (node, bell) = match &network {
                Some(virtual_one) => (virtual_one.network.node(&options)?, virtual_one.bell()),
                None => (Node::new(&options)?, Bell::Loop),
            };
            let events = Events::new(node.event_source(), bell);
            Ok(Self { events, node, warnings: options.warnings().to_vec() })
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
        let Self { node, .. } = self;
        format!(
            r#"{{"id":{},"expose":{},"heartbeat":{},"timeout":{},"caster":{{"multicast":"{}","address":"{}","port":{},"loopback":{},"ttl":{}}}}}"#,
            node.id().as_json(),
            node.is_exposed(),
            node.heartbeat().as_millis(),
            node.timeout().as_millis(),
            node.multicast(),
            node.address(),
            node.port(),
            node.loopback(),
            node.ttl(),
        )
    }

    /// Goes up; `wake` is called when there are events to drain.
    #[napi(catch_unwind)]
    pub fn up(&self, env: Env, wake: Function<'_, (), ()>) -> napi::Result<()> {
        if !self.node.is_up() {
            self.events.start(&wake)?;
        }
        self.node.up().map_err(|error| {
            if !self.node.is_up() {
                self.events.stop();
            }
            thrown(&env, &error)
        })
    }

    /// Sends the goodbye; `down` does not send it again.
    #[napi(catch_unwind)]
    pub fn say_goodbye(&self, env: Env) -> napi::Result<Sent> {
        self.node.say_goodbye().map(sent).map_err(|error| thrown(&env, &error))
    }

    /// Goes down and forgets the events that wait.
    #[napi(catch_unwind)]
    pub fn down(&self, env: Env) -> napi::Result<()> {
        self.events.leave();
        let down = self.node.down();
        self.events.stop();
        down.map_err(|error| thrown(&env, &error))
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

    /// Sends a message as JSON text; null is `undefined`.
    #[napi(catch_unwind)]
    pub fn send(&self, env: Env, json: Option<String>) -> napi::Result<Sent> {
        let message = json.map(written_json);
        self.node.start_send(message.as_ref()).map(sent).map_err(|error| thrown(&env, &error))
    }

    /// Sends many messages as JSON texts. Only for a chain of built-in middleware.
    #[napi(catch_unwind)]
    pub fn send_batch(&self, env: Env, texts: Vec<String>) -> napi::Result<f64> {
        let messages: Vec<Message> = texts.into_iter().map(written_json).collect();
        let sent = self.node.send_batch(&messages);
        sent.map(|bytes| bytes as f64).map_err(|error| thrown(&env, &error))
    }

    /// Sends without the envelope. JavaScript has run its chain on it if it has one.
    #[napi(catch_unwind)]
    pub fn send_bare(&self, env: Env, given: Given<'_>) -> napi::Result<u32> {
        let mut progress = self.node.start_send_bare(message(given));
        loop {
            progress = match progress {
                Ok(Progress::Done(bytes)) => return Ok(bytes as u32),
                Ok(Progress::Host(transit)) => self.node.resume(transit),
                Err(error) => return Err(thrown(&env, &error)),
            }
        }
    }

    /// Takes a message further on which JavaScript has run its chain. Returns the bytes on the
    /// wire if it is going out.
    #[napi(catch_unwind)]
    pub fn resume(
        &self,
        env: Env,
        transit: &mut NativeTransit,
        given: Given<'_>,
    ) -> napi::Result<u32> {
        let message = message(given);
        let mut transit = transit.take()?;
        transit.set_message(message);
        match self.node.resume(transit) {
            Ok(Progress::Done(bytes)) => Ok(bytes as u32),
            Ok(Progress::Host(_)) => {
                Err(napi::Error::from_reason("the chain has only one stage in JavaScript"))
            }
            Err(error) => Err(thrown(&env, &error)),
        }
    }

    /// The chain of JavaScript has turned an incoming message away.
    #[napi(catch_unwind)]
    pub fn reject(
        &self,
        transit: &mut NativeTransit,
        name: Option<String>,
        text: String,
    ) -> napi::Result<()> {
        self.node.reject(transit.take()?, Error::new(code(name.as_deref()), text));
        Ok(())
    }

    /// Leaves the chain to JavaScript: every message comes as an event with a transit.
    #[napi(catch_unwind)]
    pub fn run_in_javascript(&self, env: Env) -> napi::Result<()> {
        self.node.set_stages(host_stage()).map_err(|error| thrown(&env, &error))
    }

    /// The built-in middleware in the chain, from the program to the wire.
    #[napi(catch_unwind)]
    pub fn stages(&self) -> Vec<NativeMiddleware> {
        let native = |stage| match stage {
            Stage::Native(middleware) => Some(middleware.into()),
            Stage::Host(_) => None,
        };
        self.node.stages().into_iter().filter_map(native).collect()
    }

    #[napi(catch_unwind)]
    pub fn set_meta(&self, env: Env, json: String) -> napi::Result<()> {
        self.node.set_meta_json(&json).map_err(|error| thrown(&env, &error))
    }

    /// The ids, as JSON, of the nodes whose metadata has these keys with these values, which are JSON
    /// texts; null is any.
    #[napi(catch_unwind)]
    pub fn find(&self, keys: Vec<String>, values: Vec<Option<String>>) -> String {
        let pairs = keys.iter().map(String::as_str).zip(values.iter().map(Option::as_deref));
        let found = self.node.find(&pairs.collect::<Vec<_>>());
        let ids: Vec<&str> = found.iter().map(|peer| peer.id.as_json()).collect();
        format!("[{}]", ids.join(","))
    }

    /// When that node was last heard, in milliseconds since 1970.
    #[napi(catch_unwind)]
    pub fn last_seen(&self, id: Utf16String) -> Option<f64> {
        let id = NodeId::from_js(&JsText::from_utf16(&id[..])).ok()?;
        self.node.last_seen(&id).map(|millis| millis as f64)
    }

    /// Whether that node has been silent for too long and is being asked whether it is there.
    #[napi(catch_unwind)]
    pub fn is_suspect(&self, id: Utf16String) -> bool {
        let id = NodeId::from_js(&JsText::from_utf16(&id[..])).ok();
        id.and_then(|id| self.node.node(&id.as_str())).is_some_and(|peer| peer.suspect)
    }

    #[napi(catch_unwind)]
    pub fn watch_rejects(&self, watch: bool) {
        self.node.watch_rejects(watch);
    }

    #[napi(catch_unwind)]
    pub fn watch_datagrams(&self, watch: bool) {
        self.node.watch_datagrams(watch);
    }

    /// The counters as JSON.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> String {
        self.node.stats().to_json()
    }
}
