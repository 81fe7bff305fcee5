//! `NativeNetwork`: a network in memory, for the tests of programs.

use crate::convert::thrown;
use crate::events::Bell;
use caster_core::{JsText, NodeId, Result, VirtualNetwork};
use napi::bindgen_prelude::{Env, Utf16String};
use napi_derive::napi;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[napi]
pub struct NativeNetwork {
    pub(crate) network: VirtualNetwork,
    members: Cell<u32>,
    /// The numbers of the members that have events to drain.
    rung: Arc<Mutex<Vec<u32>>>,
}

fn duration(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

#[napi]
impl NativeNetwork {
    #[napi(constructor, catch_unwind)]
    pub fn new(seed: f64) -> Self {
        let network = VirtualNetwork::new(seed as u64);
        Self { network, members: Cell::new(0), rung: Arc::default() }
    }

    /// The bell of the next node or caster, which gets the next number from 0.
    pub(crate) fn bell(&self) -> Bell {
        let number = self.members.replace(self.members.get() + 1);
        let rung = self.rung.clone();
        Bell::Virtual(Arc::new(move || {
            rung.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        }))
    }

    /// Advances the clock to `until`, in milliseconds, or to the first moment at which a member has
    /// events to drain. Returns the numbers of these members.
    #[napi(catch_unwind)]
    pub fn advance(&self, until: f64) -> Vec<u32> {
        let rung = || self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let left = duration(until).saturating_sub(self.network.now());
        self.network.advance_until(left, || !rung().is_empty());
        std::mem::take(&mut *rung())
    }

    /// The virtual clock in milliseconds.
    #[napi(getter, catch_unwind)]
    pub fn now(&self) -> f64 {
        self.network.now().as_secs_f64() * 1e3
    }

    #[napi(catch_unwind)]
    pub fn set_loss(&self, share: f64) {
        self.network.set_loss(share);
    }

    #[napi(catch_unwind)]
    pub fn set_duplicates(&self, share: f64) {
        self.network.set_duplicates(share);
    }

    #[napi(catch_unwind)]
    pub fn set_delay(&self, ms: f64) {
        self.network.set_delay(duration(ms));
    }

    #[napi(catch_unwind)]
    pub fn set_plugged(&self, env: Env, id: Utf16String, plugged: bool) -> napi::Result<()> {
        let change = || -> Result<()> {
            let id = NodeId::from_js(&JsText::from_utf16(&id[..]))?;
            if plugged { self.network.plug(&id) } else { self.network.unplug(&id) }
        };
        change().map_err(|error| thrown(&env, &error))
    }
}
