//! The half of a node in migration to secure mode that has no keys: an engine, stages and sockets of its own, on
//! the port of the nodes without keys. Its events enter the queue of the sealed half.

use crate::driver::clock;
use crate::driver::endpoint::Endpoint;
use crate::driver::link::Network;
use crate::driver::seeds::{self, Lookup};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::middleware::pipeline::Pipeline;
use crate::options::NodeConfig;
use crate::peer::{NodeId, Peer};
use crate::protocol::engine::{Engine, LEAVE_PAUSES};
use crate::protocol::migration::{Migration, Shared, Side};
use crate::stats::Stats;
use crate::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) struct Plain {
    config: NodeConfig,
    endpoint: Arc<Endpoint<Engine>>,
    /// Held while both halves get the same metadata.
    changes: Mutex<()>,
    lookup: Mutex<Option<Lookup>>,
}

impl Plain {
    /// The half beside this sealed one.
    pub fn new(
        config: NodeConfig,
        pipeline: Pipeline,
        sealed: &Endpoint<Engine>,
        network: &Arc<dyn Network>,
        seed: u64,
    ) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut engine = Engine::new(&config, seed);
        engine.set_migration(Migration::new(Side::Plain, shared.clone()));
        let network = network.beside().unwrap_or_else(|| network.clone());
        let endpoint = Arc::new(Endpoint::beside(sealed, engine, config.limits, network)?);
        endpoint.set_pipeline(Arc::new(pipeline))?;
        sealed.update(|engine, _| engine.set_migration(Migration::new(Side::Sealed, shared)));
        Ok(Self { config, endpoint, changes: Mutex::default(), lookup: Mutex::default() })
    }

    pub fn up(&self, secret: u128) -> Result<()> {
        let announce = self.config.announce && !self.endpoint.pipeline().listens_first();
        self.endpoint.open(&self.config.transport, Error::not_up, |engine, now| {
            engine.start(announce, secret, now);
            // Those with keys are peers of the other half.
            engine.expect_no_peers();
        })?;
        *lock(&self.lookup) = seeds::follow(&self.endpoint, &self.config.seeds, Engine::set_seeds);
        Ok(())
    }

    /// Sends a leave if it has spoken, and closes the sockets.
    pub fn down(&self) {
        lock(&self.lookup).take();
        let endpoint = &self.endpoint;
        if endpoint.is_leaving() {
            endpoint.close(&mut || endpoint.finish_leave());
            return;
        }
        endpoint.close(&mut || {
            endpoint.update(|engine, _| engine.stop());
            for pause in [None].into_iter().chain(LEAVE_PAUSES.map(Some)) {
                if let Some(pause) = pause.filter(|_| self.speaks() && !endpoint.is_virtual()) {
                    clock::pause(pause);
                }
                self.send(self.leave_message());
            }
        });
    }

    /// Begins to leave. The core thread does the rest.
    pub fn start_down(&self) {
        lock(&self.lookup).take();
        self.endpoint.update(|engine, _| engine.stop());
        if self.speaks() {
            // A failure has been counted.
            let _ = self.endpoint.start_leave(self.leave_message(), &LEAVE_PAUSES, Error::not_up);
        } else {
            self.endpoint.close(&mut || ());
        }
    }

    fn leave_message(&self) -> Message {
        Message::trusted_json(self.endpoint.with(Engine::leave_message).into_bytes())
    }

    fn speaks(&self) -> bool {
        self.config.expose
    }

    /// Sends a message of the program, if all is sent here as well. A failure has been counted.
    pub fn send(&self, message: Message) {
        if self.speaks() {
            self.introduce();
            let _ = self.endpoint.send(message, Error::not_up);
        }
    }

    /// The same with many of them.
    pub fn send_batch(&self, count: usize, fill: &mut dyn FnMut(usize, &mut Message)) {
        if self.speaks() {
            self.introduce();
            let _ = self.endpoint.send_batch(count, fill, Error::not_up);
        }
    }

    fn introduce(&self) {
        if self.endpoint.is_open() && !self.endpoint.with(Engine::is_introduced) {
            self.endpoint.update(Engine::introduce);
        }
    }

    /// Asks all nodes for a heartbeat.
    pub fn ask(&self) {
        let hello = self.endpoint.update(|engine, _| engine.anonymous_hello());
        let _ = self.endpoint.send_bare(hello, Error::not_up);
    }

    /// While this is held, no other thread changes the metadata of both halves.
    pub fn in_order(&self) -> MutexGuard<'_, ()> {
        lock(&self.changes)
    }

    pub fn set_meta(&self, meta: Arc<str>) {
        self.endpoint.update(|engine, now| engine.set_meta(meta, now));
    }

    /// The peers that have no keys.
    pub fn peers(&self) -> Vec<Peer> {
        self.endpoint.with(|engine| engine.visible_peers().collect())
    }

    /// Reads about one of them.
    pub fn read<R>(&self, id: &NodeId, read: impl FnOnce(&Engine) -> Option<R>) -> Option<R> {
        self.endpoint.with(|engine| if engine.is_foreign(id) { None } else { read(engine) })
    }

    /// Adds the numbers of this half.
    pub fn complete(&self, stats: &mut Stats) {
        let peers = self.peers().len() as u64;
        stats.nodes += peers;
        stats.plain_nodes = peers;
    }
}
