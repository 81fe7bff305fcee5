//! `NativeNode`.

use crate::convert::{Given, GivenKey, code, identity, key, message, options, public_key, thrown};
use crate::events::{Bell, Events};
use crate::handle::export_shared_methods;
use crate::middleware::{NativeMiddleware, host_stage};
use crate::network::NativeNetwork;
use crate::transit::NativeTransit;
use caster_core::host::{Progress, written_json};
use caster_core::middleware::Stage;
use caster_core::{Error, JsText, Message, Node, NodeId, Options, Result};
use napi::JsString;
use napi::bindgen_prelude::{BufferSlice, ClassInstance, Either, Env, Function, Utf16String};
use napi_derive::napi;

#[napi]
pub struct NativeNode {
    // Dropped first: the event loop may be ending.
    events: Events,
    core: Node,
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

export_shared_methods!(NativeNode { is_open: is_up, open: up, close: down, send: start_send_bare });

#[napi]
impl NativeNode {
    /// From the JSON text of the options; on the network in memory if there is one.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        json: String,
        network: Option<ClassInstance<'_, NativeNetwork>>,
        keys: Option<Vec<GivenKey<'_>>>,
        seed: Option<GivenKey<'_>>,
        trust: Option<Vec<GivenKey<'_>>>,
    ) -> napi::Result<Self> {
        let make = || -> Result<Self> {
            let mut options = options(Options::for_node(), &json)?;
            if let Some(given) = &keys {
                options = options.keys(given.iter().map(key).collect::<Result<Vec<_>>>()?);
            }
            if let Some(seed) = &seed {
                options.set_identity(identity(seed)?);
            }
            if let Some(given) = &trust {
                options = options.trust(given.iter().map(public_key).collect::<Result<Vec<_>>>()?);
            }
            let (core, bell) = match &network {
                Some(network) => (network.network.node(&options)?, network.bell()),
                None => (Node::new(&options)?, Bell::Loop),
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
            r#"{{"id":{},"expose":{},"heartbeat":{},"timeout":{},"caster":{{"multicast":"{}","address":"{}","port":{},"loopback":{},"ttl":{}}}}}"#,
            core.id().as_json(),
            core.is_exposed(),
            core.heartbeat().as_millis(),
            core.timeout().as_millis(),
            core.multicast(),
            core.scoped_address(),
            core.port(),
            core.loopback(),
            core.ttl(),
        )
    }

    /// Starts the leave and returns. The core repeats it, closes the socket and wakes the event loop.
    #[napi(catch_unwind)]
    pub fn leave(&self, env: Env) -> napi::Result<()> {
        self.events.leave();
        self.core.start_down().map_err(|error| thrown(&env, &error))
    }

    /// Sends a message as JSON text. `json` is null for the message `undefined`.
    #[napi(catch_unwind)]
    pub fn send(&self, env: Env, json: Option<String>) -> napi::Result<Sent> {
        let message = json.map(written_json);
        self.core.start_send(message.as_ref()).map(sent).map_err(|error| thrown(&env, &error))
    }

    /// Sends many messages as JSON texts. Fails if the chain is left to JavaScript.
    #[napi(catch_unwind)]
    pub fn send_batch(&self, env: Env, texts: Vec<String>) -> napi::Result<f64> {
        let messages: Vec<Message> = texts.into_iter().map(written_json).collect();
        let sent = self.core.send_batch(&messages);
        sent.map(|bytes| bytes as f64).map_err(|error| thrown(&env, &error))
    }

    /// Resumes a message on which JavaScript has run its chain. Returns the bytes on the wire if it
    /// goes out, else 0.
    #[napi(catch_unwind)]
    pub fn resume(
        &self,
        env: Env,
        transit: &mut NativeTransit,
        given: Given<'_>,
    ) -> napi::Result<u32> {
        match self.core.resume(transit.take_with(given)?) {
            Ok(Progress::Done(bytes)) => Ok(bytes as u32),
            Ok(Progress::Host(_)) => {
                Err(napi::Error::from_reason("the chain has only one stage in JavaScript"))
            }
            Err(error) => Err(thrown(&env, &error)),
        }
    }

    /// The built-in middleware of the chain, from the program to the wire.
    #[napi(catch_unwind)]
    pub fn stages(&self) -> Vec<NativeMiddleware> {
        let native = |stage| match stage {
            Stage::Native(middleware) => Some(middleware.into()),
            Stage::Host(_) => None,
        };
        self.core.stages().into_iter().filter_map(native).collect()
    }

    /// The ids of the keys of secure mode; the first one seals.
    #[napi(getter, catch_unwind)]
    pub fn key_ids(&self) -> Vec<String> {
        self.core.key_ids().iter().map(ToString::to_string).collect()
    }

    /// Accepts one more key.
    #[napi(catch_unwind)]
    pub fn add_key(&self, env: Env, given: GivenKey<'_>) -> napi::Result<()> {
        let add = key(&given).and_then(|key| self.core.add_key(&key));
        add.map_err(|error| thrown(&env, &error))
    }

    /// Seals with this key.
    #[napi(catch_unwind)]
    pub fn use_key(&self, env: Env, given: GivenKey<'_>) -> napi::Result<()> {
        let used = key(&given).and_then(|key| self.core.use_key(key.id()));
        used.map_err(|error| thrown(&env, &error))
    }

    /// Accepts this key no longer, in two timeouts or at once.
    #[napi(catch_unwind)]
    pub fn remove_key(&self, env: Env, given: GivenKey<'_>, now: bool) -> napi::Result<()> {
        let removed = key(&given).and_then(|key| match now {
            true => self.core.remove_key_now(key.id()),
            false => self.core.remove_key(key.id()),
        });
        removed.map_err(|error| thrown(&env, &error))
    }

    /// The id of the key that a peer sends with.
    #[napi(catch_unwind)]
    pub fn key_of(&self, env: Env, id: String) -> napi::Result<Option<String>> {
        let id = NodeId::new(&id).map_err(|error| thrown(&env, &error))?;
        Ok(self.core.key_of(&id).map(|key| key.to_string()))
    }

    /// The identity of a peer.
    #[napi(catch_unwind)]
    pub fn identity_of(&self, env: Env, id: String) -> napi::Result<Option<String>> {
        let id = NodeId::new(&id).map_err(|error| thrown(&env, &error))?;
        Ok(self.core.identity_of(&id).map(|key| key.to_string()))
    }

    /// Accepts a peer that is not up with another identity, or plain although it was sealed.
    #[napi(catch_unwind)]
    pub fn forget_sealed(&self, env: Env, id: String) -> napi::Result<bool> {
        let id = NodeId::new(&id).map_err(|error| thrown(&env, &error))?;
        Ok(self.core.forget_sealed(&id))
    }

    /// Replaces the metadata by a JSON text.
    #[napi(catch_unwind)]
    pub fn set_meta(&self, env: Env, json: String) -> napi::Result<()> {
        self.core.set_meta_json(&json).map_err(|error| thrown(&env, &error))
    }

    /// Returns the metadata as it is then.
    #[napi(catch_unwind)]
    pub fn update_meta(&self, env: Env, json: String) -> napi::Result<String> {
        let meta = self.core.update_meta_json(&json).map_err(|error| thrown(&env, &error))?;
        Ok(meta.to_string())
    }

    /// The ids, as JSON, of the peers whose metadata has these keys with these values. A value is a JSON
    /// text, or null for any value.
    #[napi(catch_unwind)]
    pub fn find(&self, keys: Vec<String>, values: Vec<Option<String>>) -> String {
        let pairs = keys.iter().map(String::as_str).zip(values.iter().map(Option::as_deref));
        let found = self.core.find_all(&pairs.collect::<Vec<_>>());
        let ids: Vec<&str> = found.iter().map(|peer| peer.id.as_json()).collect();
        format!("[{}]", ids.join(","))
    }

    /// When the peer was last heard, in milliseconds since 1970. Null if the core does not know it.
    #[napi(catch_unwind)]
    pub fn last_seen(&self, id: Utf16String) -> Option<f64> {
        let id = NodeId::from_js(&JsText::from_utf16(&id[..])).ok()?;
        self.core.last_seen(&id).map(|millis| millis as f64)
    }

    /// Whether the peer is suspect.
    #[napi(catch_unwind)]
    pub fn is_suspect(&self, id: Utf16String) -> bool {
        let id = NodeId::from_js(&JsText::from_utf16(&id[..])).ok();
        id.and_then(|id| self.core.node(&id.as_str())).is_some_and(|peer| peer.suspect)
    }

    /// Whether an event tells of every datagram that passes the chain, before the node handles it.
    #[napi(catch_unwind)]
    pub fn watch_datagrams(&self, watch: bool) {
        self.core.watch_datagrams(watch);
    }
}
